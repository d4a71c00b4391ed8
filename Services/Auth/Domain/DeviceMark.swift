import Foundation

/// A random text in a cookie by which a browser is known again. It opens nothing: it only tells a browser that has signed in
/// before from a stranger behind the same address, so that the stranger's failures are not counted against it.
struct DeviceMark: Hashable, Sendable {
    static let cookieName = "trx_device"
    static let bytes = 16
    /// A year.
    static let lifetime = 31_536_000

    let text: String

    static func make() -> DeviceMark {
        var generator = SystemRandomNumberGenerator()
        let random = (0..<bytes).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
        return DeviceMark(text: random.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined())
    }

    private init(text: String) { self.text = text }

    /// Out of a `Cookie` header (RFC 6265, section 4.2); nil unless it has the form of one of ours.
    init?(cookies: String?) {
        let named = (cookies ?? "").split(separator: ";").map { $0.trimmingCharacters(in: .whitespaces) }
            .first { $0.hasPrefix(Self.cookieName + "=") }
        guard let value = named?.dropFirst(Self.cookieName.count + 1), value.utf8.count == 2 * Self.bytes,
            value.utf8.allSatisfy({ (48...57).contains($0) || (97...102).contains($0) })
        else { return nil }
        text = String(value)
    }

    /// Programs that are no browsers keep no cookies: they would leave a new mark each time.
    static func isKept(by userAgent: String?) -> Bool { userAgent?.hasPrefix("Mozilla/") ?? false }

    /// The `Set-Cookie` header.
    func cookie(isSecure: Bool) -> String {
        "\(Self.cookieName)=\(text); Path=/; Max-Age=\(Self.lifetime); HttpOnly; SameSite=Lax" + (isSecure ? "; Secure" : "")
    }
}
