import Contracts
import Foundation
import HTTPTypes
import ServiceKit
import Synchronization

/// Which organization a slug names: asked of users, remembered for a while.
final class TenantDirectory: Sendable {
    static let maximumEntries = 10_000
    /// Seconds for which an answer is remembered, and for which "there is none" is.
    static let lifetime: TimeInterval = 60
    static let absenceLifetime: TimeInterval = 10

    private struct Organization: Decodable { let id: TenantID }
    private struct Entry {
        let tenant: TenantID?
        let expires: Date
    }

    private let neighbours: Neighbours
    private let now: @Sendable () -> Date
    private let entries = Mutex<[String: Entry]>([:])

    init(neighbours: Neighbours, now: @escaping @Sendable () -> Date) {
        self.neighbours = neighbours
        self.now = now
    }

    /// Nil when there is no such organization. Throws `DependencyFailure` when users cannot be asked.
    func tenant(slug text: String) async throws -> TenantID? {
        guard let slug = Slug(rawValue: text.lowercased()) else { return nil }
        let now = now()
        if let known = entries.withLock({ $0[slug.rawValue] }), known.expires > now { return known.tenant }
        var tenant: TenantID?
        do {
            tenant = try await neighbours.call(
                .get, .users, "/internal/v1/organizations/by-slug/\(slug)", as: Organization.self
            ).id
        } catch let refusal as RemoteFailure where refusal.status == 404 {
            tenant = nil
        }
        let entry = Entry(tenant: tenant, expires: now.addingTimeInterval(tenant == nil ? Self.absenceLifetime : Self.lifetime))
        entries.withLock { entries in
            if entries.count >= Self.maximumEntries { entries = entries.filter { $0.value.expires > now } }
            if entries.count >= Self.maximumEntries { entries = [:] }
            entries[slug.rawValue] = entry
        }
        return tenant
    }
}
