import Contracts
import Foundation
import ServiceKit

/// A provider of short messages that speaks Twilio's wire format, and what may be sent over it.
struct SMSSettings: Sendable, Equatable {
    /// Without a slash at the end.
    let url: String
    /// The account's SID.
    let account: String
    let token: String
    let sender: SMSSender
    /// Beginnings of the numbers that may be written to; all when empty. Expensive destinations are what fraud with codes lives on.
    let prefixes: [String]
    /// Messages that one number gets in an hour at most.
    let hourly: Int

    /// What is wrong, in words that do not repeat the token.
    struct Refused: Error, Equatable {
        let reason: String
    }

    static let hourlyDefault = 10
    private static let variables = ["URL", "ACCOUNT", "TOKEN", "FROM"]

    /// Nil when none of the four settings is there. When some are, or one of them cannot be used, that is refused.
    static func read(_ reader: inout SettingsReader) -> SMSSettings? {
        let values = [
            reader.optionalText("SMS_URL", "A provider of short messages with Twilio's interface, such as https://api.twilio.com"),
            reader.optionalText("SMS_ACCOUNT", "Its account (SID)"), reader.optionalText("SMS_TOKEN", "The account's secret token"),
            reader.optionalText("SMS_FROM", "The sender: a number, a name of up to 11 letters, or a messaging service (MG…)"),
        ]
        let prefixes = reader.optionalText(
            "SMS_PREFIXES", "Beginnings of numbers that may be written to, such as +49,+43; all when not set")
        let hourly = reader.integer(
            "SMS_PER_NUMBER_PER_HOUR", default: hourlyDefault, in: 1...1_000, "Short messages to one number in an hour")
        let known = values.compactMap { $0 }
        guard !known.isEmpty else { return nil }
        guard known.count == values.count else {
            let missing = zip(variables, values).filter { $0.1 == nil }.map { "TRIONEX_SMS_\($0.0)" }
            reader.refuse("short messages need \(missing.joined(separator: ", ")) too")
            return nil
        }
        let list = (prefixes ?? "").split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
        guard list.allSatisfy({ $0.first == "+" && $0.utf8.count > 1 && $0.utf8.dropFirst().allSatisfy { (48...57).contains($0) } }) else {
            reader.refuse("TRIONEX_SMS_PREFIXES must be beginnings of numbers such as +49,+43")
            return nil
        }
        do throws(Refused) {
            return try SMSSettings(url: known[0], account: known[1], token: known[2], sender: known[3], prefixes: list, hourly: hourly)
        } catch {
            reader.refuse("TRIONEX_SMS_\(error.reason)")
            return nil
        }
    }

    init(
        url: String, account: String, token: String, sender: String, prefixes: [String] = [], hourly: Int = hourlyDefault
    ) throws(Refused) {
        guard let parts = URLComponents(string: url), let scheme = parts.scheme?.lowercased(), ["http", "https"].contains(scheme),
            let host = parts.host, !host.isEmpty, parts.query == nil, parts.fragment == nil, parts.user == nil, parts.password == nil
        else { throw Refused(reason: "URL must be https://host[:port]") }
        guard scheme == "https" || SMTPSettings.isLocal(host) else {
            throw Refused(reason: "URL must be https://…, or the token would travel in clear text")
        }
        guard account.utf8.allSatisfy({ (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0) }) else {
            throw Refused(reason: "ACCOUNT must be letters and digits")
        }
        guard let sender = SMSSender(sender) else {
            throw Refused(reason: "FROM must be a number in international form, a name of up to 11 letters, or MG…")
        }
        var base = url
        while base.hasSuffix("/") { base.removeLast() }
        self.url = base
        self.account = account
        self.token = token
        self.sender = sender
        self.prefixes = prefixes
        self.hourly = hourly
    }
}

/// Who a short message is from.
enum SMSSender: Sendable, Equatable {
    /// A number in E.164, or a name where the network allows one.
    case from(String)
    /// A messaging service that chooses the number.
    case service(String)

    /// Letters, digits and spaces of a name.
    static let longestName = 11

    init?(_ text: String) {
        let letters = text.utf8.allSatisfy { (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0) || $0 == 32 }
        if text.hasPrefix("MG"), text.utf8.count == 34, letters {
            self = .service(text)
        } else if let number = PhoneNumber(rawValue: text) {
            self = .from(number.rawValue)
        } else if letters, (1...Self.longestName).contains(text.utf8.count), text.contains(where: \.isLetter) {
            self = .from(text)
        } else {
            return nil
        }
    }

    /// The form field that says it.
    var field: (name: String, value: String) {
        switch self {
        case .from(let text): ("From", text)
        case .service(let sid): ("MessagingServiceSid", sid)
        }
    }
}
