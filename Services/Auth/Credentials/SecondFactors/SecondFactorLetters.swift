import Contracts
import Foundation
import Postgres
import ServiceKit

/// What the owner of an account is told of their second factors, at the account's address.
struct SecondFactorLetters {
    private let tx: Transaction
    private let sealing: Sealing

    init(_ tx: Transaction, _ sealing: Sealing) {
        self.tx = tx
        self.sealing = sealing
    }

    /// - Parameter change: `added`, `removed` or `reset`.
    func changed(_ method: SecondFactorMethod, _ change: String, _ account: UserID) throws {
        try send(account, "mfa-changed", ["method": method.rawValue, "change": change, "when": Timestamp.text(tx.now)])
    }

    func recoveryCodesRenewed(_ account: UserID) throws {
        try send(account, "mfa-changed", ["method": "recovery-codes", "change": "renewed", "when": Timestamp.text(tx.now)])
    }

    func recoveryCodeUsed(_ account: UserID, left: Int) throws { try send(account, "recovery-code-used", ["left": String(left)]) }

    func locked(_ account: UserID, until: Date) throws { try send(account, "account-locked", ["until": Timestamp.text(until)]) }

    private func send(_ account: UserID, _ template: String, _ data: [String: String]) throws {
        guard let address = try SecondFactorStore(tx: tx).address(of: account) else { return }
        try Letters(tx, sealing).send(Letter(channel: .email, to: address.rawValue, template: template, tenant: nil, data: data))
    }
}
