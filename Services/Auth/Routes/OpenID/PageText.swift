import Contracts
import Foundation

/// The words of our pages. One language as yet, in one place.
enum PageText {
    static let language = "en"
    static let signIn = "Sign in"
    static let consent = "Allow access"
    static let secondFactor = "Second step"
    static let forgotten = "Forgotten password"
    static let signOut = "Sign out"
    static let somethingIsWrong = "This did not work"

    /// What a person is told that a scope means.
    static func meaning(of scope: OAuthScope) -> String {
        switch scope {
        case .openid: "Know that it is you"
        case .profile: "See your name"
        case .email: "See your e-mail address"
        case .offlineAccess: "Stay signed in while you are away, until you withdraw it"
        case .permission(let permission): meaning(of: "\(permission.resource)", "\(permission.action)")
        }
    }

    private static func meaning(of resource: String, _ action: String) -> String {
        let things = resource == "*" ? "everything" : resource.replacingOccurrences(of: "-", with: " ")
        switch action {
        case "read": return "Read \(things), as far as you may"
        case "write": return "Create and change \(things), as far as you may"
        case "*": return "Do everything with \(things) that you may"
        default: return "\(action.prefix(1).uppercased())\(action.dropFirst()) \(things), as far as you may"
        }
    }

    static func method(_ method: String) -> String {
        switch method {
        case "totp": "Code of your authenticator app"
        case "sms": "Code by text message"
        case "email": "Code by e-mail"
        case "recovery", "recovery-code": "Recovery code"
        default: "Code"
        }
    }
}
