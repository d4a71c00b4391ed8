import Contracts
import Crypto
import Foundation
import ServiceKit

/// The secrets of one sign-in with others. The browser keeps one, in a cookie; the state travels through the issuer. From both together
/// come nonce and PKCE verifier, so that what is stored (two hashes) opens nothing, and neither half is of use without the other.
struct SSOSecrets: Sendable {
    static let bytes = 32

    let state: String
    let browser: String

    static func make() -> SSOSecrets { SSOSecrets(state: random(), browser: random()) }

    private static func random() -> String { SymmetricKey(size: .bits256).withUnsafeBytes { Base64URL.encode(Data($0)) } }

    var stateDigest: Data { Self.digest(state) }
    var browserDigest: Data { Self.digest(browser) }
    var nonce: String { derived("nonce") }
    var verifier: String { derived("verifier") }
    /// One cookie for each sign-in: two tabs do not spoil each other's.
    var cookieName: String { Self.cookieName(state: state) }

    static func cookieName(state: String) -> String { "trx_sso_" + Base64URL.encode(digest("cookie " + state).prefix(9)) }

    private func derived(_ purpose: String) -> String {
        let code = HMAC<SHA256>.authenticationCode(for: Data("\(purpose) \(state)".utf8), using: SymmetricKey(data: Data(browser.utf8)))
        return Base64URL.encode(Data(code))
    }

    static func digest(_ text: String) -> Data { Data(SHA256.hash(data: Data(text.utf8))) }

    /// RFC 7636, section 4.2: S256.
    static func challenge(of verifier: String) -> String { Base64URL.encode(digest(verifier)) }
}

/// The code that ends a sign-in in the browser, for the client to exchange: opaque, used once, kept as a hash only. It names the
/// organization, as a refresh token does, so that it is looked up inside it.
struct SSOCode: Sendable {
    static let prefix = "trx_sc_"
    private static let secretBytes = 32

    let tenant: TenantID
    let text: String

    static func make(in tenant: TenantID) -> SSOCode {
        var bytes = withUnsafeBytes(of: tenant.uuid.uuid) { Data($0) }
        SymmetricKey(size: .bits256).withUnsafeBytes { bytes.append(contentsOf: $0) }
        return SSOCode(tenant: tenant, text: prefix + Base64URL.encode(bytes))
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
        self.init(tenant: TenantID(UUID(uuid: bytes.withUnsafeBytes { $0.loadUnaligned(as: uuid_t.self) })), text: text)
    }

    var digest: Data { SSOSecrets.digest(text) }
}
