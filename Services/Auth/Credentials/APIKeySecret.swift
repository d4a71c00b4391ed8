import Contracts
import Crypto
import Foundation
import ServiceKit

/// The text of an API key: shown once, kept as a hash only.
///
/// 256 random bits, then the organization, so that it is looked up inside the organization, under row-level security like
/// everything else.
struct APIKeySecret: Sendable {
    static let secretBytes = 32
    /// Characters shown later: the beginning and eight random ones.
    static let shownCharacters = APIKeys.prefix.count + 8

    let tenant: TenantID
    let text: String

    static func make(in tenant: TenantID) -> APIKeySecret {
        while true {
            var bytes = SymmetricKey(size: .bits256).withUnsafeBytes { Data($0) }
            withUnsafeBytes(of: tenant.uuid.uuid) { bytes.append(contentsOf: $0) }
            let text = APIKeys.prefix + Base64URL.encode(bytes)
            // One in a quarter of a million begins by chance as another kind of secret does.
            if APIKeys.isKey(text) { return APIKeySecret(tenant: tenant, text: text) }
        }
    }

    private init(tenant: TenantID, text: String) {
        self.tenant = tenant
        self.text = text
    }

    /// Nil when the text has not the form of one.
    init?(_ text: String) {
        guard APIKeys.isKey(text), let bytes = Base64URL.decode(String(text.dropFirst(APIKeys.prefix.count))),
            bytes.count == Self.secretBytes + 16
        else { return nil }
        let tenant = bytes.withUnsafeBytes { UUID(uuid: $0.loadUnaligned(fromByteOffset: Self.secretBytes, as: uuid_t.self)) }
        self.init(tenant: TenantID(tenant), text: text)
    }

    /// By which the owner knows it again; 48 of its 256 random bits.
    var prefix: String { String(text.prefix(Self.shownCharacters)) }

    /// SHA-256 of the text: all that is stored.
    var digest: Data { Data(SHA256.hash(data: Data(text.utf8))) }
}
