import Contracts
import Foundation
import Logging
import Metrics
import Postgres
import ServiceKit

/// What the platform's other programs ask: the text of a file, for search.
struct TextRoutes {
    let database: Database
    let texts: FileTexts
    let logger: Logger
    let metrics: FileMetrics

    var endpoints: Endpoints {
        Endpoints("/internal/v1/files") {
            Endpoint.get(":id/text", "Read the text of a file, as far as it has one", may: .service, text)
        }
    }

    struct TextQuery: Decodable, Sendable {
        /// Whose file it is; a service's token is for no organization.
        let organization: TenantID
    }

    func text(_ request: CallerRequest, _ query: TextQuery) async throws -> FileText {
        let id = try request.path("id", as: FileID.self)
        let caller = Caller.service(.files, for: query.organization)
        guard let sealed = try await database.first(FileStore.findSealed(id), as: caller) else { throw ResourceFailure.notFound }
        do {
            return try await texts.read(sealed, of: caller.tenant)
        } catch let error as DamagedContent {
            // Deleted between the row and the content: then it is simply not there.
            guard try await database.first(FileStore.find(id), as: caller) != nil else { throw ResourceFailure.notFound }
            metrics.damaged.increment()
            logger.error(
                "stored content is damaged", metadata: ["fileId": "\(id)", "tenantId": "\(caller.tenant)", "reason": "\(error)"])
            throw error
        } catch let error as MasterKey.CannotUnwrap {
            logger.error("an organization's key cannot be unwrapped with this master key", metadata: ["tenantId": "\(caller.tenant)"])
            throw error
        }
    }
}

extension FileText: View {}
