import Contracts
import Synchronization

/// How many documents of each organization are derived together.
///
/// A full batch of articles takes a part of a second. Long texts, and documents that cannot be derived at all, take fewer, down to one: so
/// a batch that has failed is not tried again as it was, and the document that it fails for is found.
final class ReindexPaces: Sendable {
    /// Beyond it a batch gets fewer documents; it is also about what an event may have to wait for.
    static let target = Duration.seconds(1)
    /// After a failure a batch has this part of what it had.
    static let cut = 8

    /// Of organizations whose batches are not full ones.
    private let reduced = Mutex<[TenantID: Int]>([:])

    func documents(of tenant: TenantID) -> Int { reduced.withLock { $0[tenant] } ?? ReindexRun.batch }

    /// So many documents have taken so long.
    func took(_ duration: Duration, for documents: Int, _ tenant: TenantID) {
        let most = self.documents(of: tenant)
        if duration > Self.target {
            set(max(documents / Self.cut, Int(Double(documents) * (Self.target / duration))), tenant)
        } else if duration < Self.target / 4 {
            set(most * 2, tenant)
        }
    }

    /// They could not be derived.
    func failed(for documents: Int, _ tenant: TenantID) { set(documents / Self.cut, tenant) }

    /// There is nothing left to derive.
    func end(_ tenant: TenantID) { set(ReindexRun.batch, tenant) }

    private func set(_ documents: Int, _ tenant: TenantID) {
        reduced.withLock { $0[tenant] = documents < ReindexRun.batch ? max(1, documents) : nil }
    }
}
