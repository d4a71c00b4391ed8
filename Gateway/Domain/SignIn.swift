import Contracts
import Crypto
import Foundation
import NIOCore

/// Which account somebody wants to sign in to, by JSON or a form. Only a digest of it is ever kept.
///
/// A body is read as auth reads it: by its `Content-Type`, with the same decoders. Else one account would be counted and another signed
/// in to. Where it is in doubt what a service makes of a body, every account counts that it may mean.
enum SignIn {
    /// How a service reads a body.
    enum Reading: Equatable {
        case json, form
        /// No service of the platform reads it; another may, in whichever way.
        case unknown

        /// `contentType`: all fields of that name, joined by commas, so that two are no type that is known.
        init(contentType: String?) {
            // As `Endpoint` does.
            let type = contentType?.split(separator: ";").first?.trimmingCharacters(in: .whitespaces).lowercased() ?? ""
            if type.contains(",") {
                self = .unknown
            } else if type == "application/json" || type.hasSuffix("+json") {
                self = .json
            } else {
                self = type == "application/x-www-form-urlencoded" ? .form : .unknown
            }
        }
    }

    private struct Account: Decodable { let email: String }

    /// Each names an account and the address together; without an account the address alone. Three at most.
    static func subjects(of body: ByteBuffer, contentType: String?, address: String) -> [String] {
        let data = Data(body.readableBytesView)
        let reading = Reading(contentType: contentType)
        var accounts: [String] = []
        if reading != .form, let account = try? JSON.decode(Account.self, from: data).email { accounts.append(account) }
        if reading != .json { accounts += formFields("email", in: data) }
        if accounts.isEmpty { accounts = [""] }
        var subjects: [String] = []
        for account in accounts {
            let subject = subject(account, address)
            if !subjects.contains(subject) { subjects.append(subject) }
        }
        return subjects
    }

    private static func subject(_ account: String, _ address: String) -> String {
        let normal = account.trimmingCharacters(in: .whitespacesAndNewlines).lowercased()
        let digest = SHA256.hash(data: Data("\(normal)\u{0}\(address)".utf8))
        return digest.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }

    /// The first value and the last. Auth refuses a form that has a field twice; others take one of the two.
    private static func formFields(_ name: String, in data: Data) -> [String] {
        var found: [String] = []
        for pair in String(decoding: data, as: UTF8.self).split(separator: "&") {
            let halves = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard decoded(halves[0]) == name, let value = decoded(halves.count > 1 ? halves[1] : "") else { continue }
            if found.count > 1 { found.removeLast() }
            found.append(value)
        }
        return found
    }

    private static func decoded(_ text: Substring) -> String? {
        text.replacingOccurrences(of: "+", with: " ").removingPercentEncoding
    }
}
