import Contracts
import Foundation
import Messaging
import Postgres
import ServiceKit

/// The signed-in person's objection to being followed in one organization's figures (GDPR, article 21): what is there is unnamed, and
/// what comes is kept without their name.
struct ObjectionRoutes {
    let database: Database

    var endpoints: Endpoints {
        Endpoints("analytics") {
            Endpoint.get("objection", "Whether I have objected to being followed", may: .signedIn, read)
            Endpoint.put("objection", "Object to being followed", may: .signedIn, object)
            Endpoint.delete("objection", "Withdraw my objection", may: .signedIn, withdraw)
        }
    }

    func read(_ request: CallerRequest) async throws -> ObjectionView {
        let person = try person(request)
        return ObjectionView(objectedAt: try await database.first(PersonStore.objection(of: person), as: request.caller))
    }

    func object(_ request: CallerRequest, _: Objection) async throws -> ObjectionView {
        let person = try person(request)
        try await database.transaction(as: request.caller) { tx in
            if try PersonStore(tx: tx).unname(person, .objected, at: tx.now) {
                try Audit(tx).record("analytics.objection.make", "objection", person.description)
            }
        }
        return try await read(request)
    }

    func withdraw(_ request: CallerRequest) async throws -> NoContent {
        let person = try person(request)
        try await database.transaction(as: request.caller) { tx in
            try PersonStore(tx: tx).withdrawObjection(person)
            try Audit(tx).record("analytics.objection.withdraw", "objection", person.description)
        }
        return NoContent()
    }

    /// A key speaks for nobody.
    private func person(_ request: CallerRequest) throws(AccessFailure) -> UserID {
        guard case .person(let id) = request.caller.principal else { throw .personOnly }
        return id
    }
}

/// There is nothing to say.
struct Objection: Decodable, Sendable {}

struct ObjectionView: View {
    /// Null without an objection.
    let objectedAt: Date?
}
