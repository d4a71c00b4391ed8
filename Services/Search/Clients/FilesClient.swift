import Contracts
import HTTPTypes
import ServiceKit

/// Asks files for the texts of what it stores.
struct FilesClient: Sendable {
    /// Seconds: a PDF takes files up to ten.
    static let timeLimit: Int64 = 20

    let neighbours: Neighbours

    /// The text of a file, empty when it has none. Throws `RemoteFailure` when files refuses, `DependencyFailure` when it is away.
    func text(of file: DocumentID, in tenant: TenantID) async throws -> String {
        try await neighbours.call(
            .get, .files, "/internal/v1/files/\(file)/text?organization=\(tenant)", as: FileText.self, within: Self.timeLimit
        ).text
    }
}
