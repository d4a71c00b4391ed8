import Contracts
import Crypto
import Foundation
import ServiceKit

/// A refresh token: opaque to clients, used once, kept as a hash only.
///
/// It carries the organization and the session beside 256 random bits, so that it is looked up inside the organization, under
/// row-level security like everything else, and no table of tokens across organizations is needed.
struct RefreshToken: Sendable {
    /// Logs mask whatever begins so.
    static let prefix = "trx_rt_"
    static let secretBytes = 32

    let tenant: TenantID
    let session: SessionID
    let text: String

    static func make(tenant: TenantID, session: SessionID) -> RefreshToken {
        var bytes = Data()
        withUnsafeBytes(of: tenant.uuid.uuid) { bytes.append(contentsOf: $0) }
        withUnsafeBytes(of: session.uuid.uuid) { bytes.append(contentsOf: $0) }
        SymmetricKey(size: .bits256).withUnsafeBytes { bytes.append(contentsOf: $0) }
        return RefreshToken(tenant: tenant, session: session, text: prefix + Base64URL.encode(bytes))
    }

    private init(tenant: TenantID, session: SessionID, text: String) {
        self.tenant = tenant
        self.session = session
        self.text = text
    }

    /// Nil when the text has not the form of one.
    init?(_ text: String) {
        guard text.hasPrefix(Self.prefix), let bytes = Base64URL.decode(String(text.dropFirst(Self.prefix.count))),
            bytes.count == 32 + Self.secretBytes
        else { return nil }
        func uuid(_ offset: Int) -> UUID {
            bytes.withUnsafeBytes { UUID(uuid: $0.loadUnaligned(fromByteOffset: offset, as: uuid_t.self)) }
        }
        self.init(tenant: TenantID(uuid(0)), session: SessionID(uuid(16)), text: text)
    }

    /// SHA-256 of the text: all that is stored.
    var digest: Data { Data(SHA256.hash(data: Data(text.utf8))) }
}
