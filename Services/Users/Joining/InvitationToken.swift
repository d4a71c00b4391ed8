import Contracts
import Crypto
import Foundation
import ServiceKit

/// What is in the letter of an invitation: which organization, and 256 random bits that nobody guesses.
///
/// The organization stands in the text, so that it can be looked for under row-level security; only the digest of the whole is kept.
struct InvitationToken: Sendable {
    /// Logs mask whatever begins so, and nobody takes it for an API key.
    static let prefix = "trx_inv_"
    static let secretBytes = 32

    let tenant: TenantID
    let text: String

    static func make(tenant: TenantID) -> InvitationToken {
        var bytes = Data()
        withUnsafeBytes(of: tenant.uuid.uuid) { bytes.append(contentsOf: $0) }
        SymmetricKey(size: .bits256).withUnsafeBytes { bytes.append(contentsOf: $0) }
        return InvitationToken(tenant: tenant, text: prefix + Base64URL.encode(bytes))
    }

    private init(tenant: TenantID, text: String) {
        self.tenant = tenant
        self.text = text
    }

    /// Nil when the text has not the form of one.
    init?(_ text: String) {
        guard text.hasPrefix(Self.prefix), let bytes = Base64URL.decode(String(text.dropFirst(Self.prefix.count))),
            bytes.count == 16 + Self.secretBytes
        else { return nil }
        let tenant = TenantID(bytes.withUnsafeBytes { UUID(uuid: $0.loadUnaligned(as: uuid_t.self)) })
        guard tenant != .platform else { return nil }
        self.init(tenant: tenant, text: text)
    }

    /// SHA-256 of the text: all that is stored.
    var digest: Data { Data(SHA256.hash(data: Data(text.utf8))) }
}
