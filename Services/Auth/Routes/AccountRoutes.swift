import Contracts
import Foundation
import Messaging
import Metrics
import Postgres
import ServiceKit

/// What the platform's other programs ask of accounts, and how accounts come from elsewhere.
struct AccountRoutes {
    let database: Database

    var endpoints: Endpoints {
        Endpoints("/internal/v1/accounts") {
            Endpoint.put("", "The account of an address, or an id kept for it", may: .service, reserve)
            Endpoint.post("import", "Take over accounts with their password hashes", may: .service, importAccounts)
        }
    }

    func reserve(_ request: CallerRequest, _ body: AccountReservationRequest) async throws -> ReservationView {
        let reservation = try await database.transaction(as: AccountStore.caller) { tx in
            try AccountStore(tx: tx).reserve(body.email)
        }
        // It was there, or has been made, a moment ago: it was removed in between.
        guard let reservation else { throw AccountFailure.registrationPending }
        return ReservationView(id: reservation.id, status: reservation.status)
    }

    struct Imported: Decodable, Sendable {
        let email: EmailAddress
        /// bcrypt (`$2a$`, `$2b$`, `$2y$`) or Argon2id in the PHC string format; nil for somebody who sets a password by mail.
        let passwordHash: String?
        let emailVerified: Bool?
    }

    struct Import: Decodable, Sendable {
        let accounts: [Imported]
    }

    static let maximumAccounts = 500

    /// The answer has one row for each, in their order: `imported` with the id, or `exists` with the id that the address has. Users is
    /// told who they are with `PUT /internal/v1/organizations/{id}/members/{userID}`; until then they belong to no organization.
    func importAccounts(_ request: CallerRequest, _ body: Import) async throws -> ImportView {
        guard (1...Self.maximumAccounts).contains(body.accounts.count) else {
            throw ValidationFailure("/accounts", "out-of-range", "must have 1 to \(Self.maximumAccounts) accounts")
        }
        let bad = body.accounts.enumerated().filter { $1.passwordHash.map { !PasswordHashing.canImport($0) } ?? false }.map { index, _ in
            FieldError(
                pointer: "/accounts/\(index)/passwordHash", code: "unknown-hash",
                detail: "must be a bcrypt or Argon2id hash of a cost that can be borne")
        }
        guard bad.isEmpty else { throw ValidationFailure(bad) }
        let http = request.http
        let rows = try await database.transaction(as: AccountStore.caller) { tx in
            let accounts = AccountStore(tx: tx)
            return try body.accounts.map { account -> ImportView.Row in
                let isVerified = account.emailVerified ?? false
                if let id = try accounts.insertImported(account.email, passwordHash: account.passwordHash, isVerified: isVerified) {
                    try Audit(tx, http).record(
                        "auth.account.import", "account", id.description, risk: "medium", changed: ["emailVerified": .bool(isVerified)])
                    return ImportView.Row(email: account.email.rawValue, id: id, status: "imported")
                }
                guard let known = try accounts.find(account.email) else { throw AccountFailure.registrationPending }
                return ImportView.Row(email: account.email.rawValue, id: known.id, status: "exists")
            }
        }
        Counter(label: "trionex_auth_accounts_imported_total").increment(by: rows.count { $0.status == "imported" })
        return ImportView(accounts: rows)
    }
}

/// `AccountReservation`, as an answer.
struct ReservationView: View {
    let id: UserID
    let status: AccountReservation.Status
}

struct ImportView: View {
    struct Row: Codable, Sendable {
        let email: String
        let id: UserID
        /// `imported` or `exists`.
        let status: String
    }

    let accounts: [Row]
}
