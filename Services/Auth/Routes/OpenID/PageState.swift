import Contracts
import Crypto
import Foundation
import HTTPTypes
import ServiceKit

/// What a page of ours hands to the next: sealed, so that nobody has read or changed it, tied to the browser by its cookie, so that a form
/// from elsewhere is worth nothing (OWASP's signed double submit), and old after a while.
struct PageState: Sendable {
    struct Content: Codable, Sendable {
        let request: AuthorizationRequest
        /// SHA-256 of the browser's cookie.
        let browser: Data
        let sealedAt: Date
        /// Set between the first and the second factor.
        var secondFactor: SecondStep?
        /// Who is asked for consent: the answer is worth nothing from anybody else.
        var account: UserID?
    }

    struct SecondStep: Codable, Sendable {
        let token: String
        let methods: [String]
        let hasKey: Bool
    }

    /// Seconds for which a page may stay open.
    static let lifetime: TimeInterval = 1_800
    static let maximumBytes = 24_000
    private static let context = "openid sign-in page"

    let text: String

    static func seal(_ content: Content, _ sealing: Sealing) throws -> PageState {
        PageState(text: Base64URL.encode(try sealing.seal(try JSONEncoder().encode(content), context: context)))
    }

    /// Throws `PageFailure.stale` for what was not sealed for this browser, or too long ago.
    static func open(_ text: String, cookie: String?, _ sealing: Sealing, now: Date) throws -> Content {
        guard text.utf8.count <= maximumBytes, let cookie, let sealed = Base64URL.decode(text),
            let plain = try? sealing.open(sealed, context: context), let content = try? JSONDecoder().decode(Content.self, from: plain),
            content.browser == digest(cookie), now.timeIntervalSince(content.sealedAt) <= lifetime
        else { throw PageFailure.stale }
        return content
    }

    static func digest(_ cookie: String) -> Data { Data(SHA256.hash(data: Data(cookie.utf8))) }
}

/// The browser's cookie for forms: the one it has, or a new one to be set.
struct FormCookie: Sendable {
    static let bytes = 32
    let value: String
    /// Set when the browser has none yet.
    let field: [HTTPField]

    init(_ request: PublicRequest, _ cookies: PageCookies) {
        if let known = cookies.value(.form, of: request), known.utf8.count == 43 {
            value = known
            field = []
        } else {
            value = SymmetricKey(size: .bits256).withUnsafeBytes { Base64URL.encode(Data($0)) }
            field = [cookies.set(.form, value)]
        }
    }

    var digest: Data { PageState.digest(value) }
}
