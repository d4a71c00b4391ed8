import Contracts
import Foundation

/// A telephone number as people write it: digits with the usual marks, at most 50 characters.
struct PhoneNumber: ValidatedText {
    let rawValue: String
    init(checked: String) { rawValue = checked }
    static var schema: Schema { .string(minLength: 3, maxLength: 50, pattern: #"^\+?[0-9 ()./-]+$"#) }

    static func check(_ text: String) throws(TextProblem) -> String {
        let number = text.trimmingCharacters(in: .whitespaces)
        let digits = number.unicodeScalars.count { ("0"..."9").contains($0) }
        let rest = number.hasPrefix("+") ? number.dropFirst() : number[...]
        let marks = "0123456789 ()./-".unicodeScalars
        guard number.utf8.count <= 50, digits >= 3, rest.unicodeScalars.allSatisfy({ marks.contains($0) }) else {
            throw TextProblem("invalid-phone", "must be a telephone number such as +49 30 123456")
        }
        return number
    }
}

/// A name of the IANA time zone database, such as `Europe/Berlin`.
struct TimeZoneName: ValidatedText {
    let rawValue: String
    init(checked: String) { rawValue = checked }
    static let utc = TimeZoneName(checked: "UTC")
    static var schema: Schema { .string(minLength: 1, maxLength: 50) }

    static func check(_ text: String) throws(TextProblem) -> String {
        let plain = text.utf8.allSatisfy { $0.isLetterOrDigit || "/_+-".utf8.contains($0) }
        guard (1...50).contains(text.utf8.count), plain, TimeZone(identifier: text) != nil else {
            throw TextProblem("invalid-timezone", "must be a name of the IANA time zone database, such as Europe/Berlin")
        }
        return text
    }
}

/// A language tag (RFC 5646) of at most 10 characters, such as `en` or `pt-BR`.
struct LanguageTag: ValidatedText {
    let rawValue: String
    init(checked: String) { rawValue = checked }
    static let english = LanguageTag(checked: "en")
    static var schema: Schema { .string(minLength: 2, maxLength: 10, pattern: "^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$") }

    static func check(_ text: String) throws(TextProblem) -> String {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        let first = parts.first ?? ""
        guard text.utf8.count <= 10, (2...3).contains(first.utf8.count), first.utf8.allSatisfy({ !(48...57).contains($0) }),
            parts.allSatisfy({ $0.utf8.allSatisfy(\.isLetterOrDigit) }), parts.dropFirst().allSatisfy({ (2...8).contains($0.utf8.count) })
        else { throw TextProblem("invalid-language", "must be a language tag such as en or pt-BR") }
        return text
    }
}

/// A day of the calendar, as RFC 3339 writes it: `2030-12-31`.
struct CalendarDate: ValidatedText {
    let rawValue: String
    init(checked: String) { rawValue = checked }
    static var schema: Schema { .string(format: "date", pattern: #"^\d{4}-\d{2}-\d{2}$"#) }

    static func check(_ text: String) throws(TextProblem) -> String {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false).map { part in
            part.utf8.allSatisfy { (48...57).contains($0) } ? Int(part) : nil
        }
        let widths = text.split(separator: "-", omittingEmptySubsequences: false).map(\.utf8.count)
        guard widths == [4, 2, 2], let year = parts[0], let month = parts[1], let day = parts[2], (1900...9999).contains(year),
            (1...12).contains(month), (1...days(month, year)).contains(day)
        else { throw TextProblem("invalid-date", "must be a day such as 2030-12-31") }
        return text
    }

    private static func days(_ month: Int, _ year: Int) -> Int {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }
}

extension UInt8 {
    fileprivate var isLetterOrDigit: Bool { (48...57).contains(self) || (65...90).contains(self) || (97...122).contains(self) }
}
