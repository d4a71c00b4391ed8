import Crypto
import Foundation
import ServiceKit

/// A cookie of 256 random bits with which a device is not asked for a second factor for a while: its owner has asked for that after
/// showing one there. Worth nothing without the password, nor where the organization demands a second factor, nor when the
/// sign-in looks strange, nor after a change of password or the removal of a factor.
struct DeviceTrust: Sendable {
    static let cookieName = "trx_trust"
    /// Thirty days.
    static let lifetime: TimeInterval = 2_592_000
    private static let secretBytes = 32

    let text: String

    static func make() -> DeviceTrust {
        DeviceTrust(text: Base64URL.encode(SymmetricKey(size: .bits256).withUnsafeBytes { Data($0) }))
    }

    private init(text: String) { self.text = text }

    /// Out of a `Cookie` header (RFC 6265, section 4.2); nil unless it has the form of one of ours.
    init?(cookies: String?) {
        let named = (cookies ?? "").split(separator: ";").map { $0.trimmingCharacters(in: .whitespaces) }
            .first { $0.hasPrefix(Self.cookieName + "=") }
        guard let value = named?.dropFirst(Self.cookieName.count + 1), Base64URL.decode(String(value))?.count == Self.secretBytes else {
            return nil
        }
        text = String(value)
    }

    var digest: Data { Data(SHA256.hash(data: Data(text.utf8))) }

    /// The `Set-Cookie` header.
    func cookie(isSecure: Bool) -> String {
        "\(Self.cookieName)=\(text); Path=/; Max-Age=\(Int(Self.lifetime)); HttpOnly; SameSite=Lax" + (isSecure ? "; Secure" : "")
    }
}
