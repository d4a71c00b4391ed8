import Contracts
import Foundation

/// The languages that letters are written in.
enum LetterLanguage: String, Sendable, CaseIterable {
    case english = "en"
    case german = "de"

    /// The language of a tag (BCP 47) by look-up (RFC 4647, section 3.4): `de-AT` is German; English where there is no text in it.
    init(tag: String) {
        var subtags = tag.lowercased().split { $0 == "-" || $0 == "_" }
        while !subtags.isEmpty {
            if let known = Self(rawValue: subtags.joined(separator: "-")) {
                self = known
                return
            }
            subtags.removeLast()
        }
        self = .english
    }

    /// A time (RFC 3339) in words and in UTC; nil when it is none.
    func moment(_ text: String) -> String? {
        guard let date = Timestamp.date(text) else { return nil }
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = .gmt
        let parts = calendar.dateComponents([.year, .month, .day, .hour, .minute], from: date)
        guard let year = parts.year, let month = parts.month, let day = parts.day, let hour = parts.hour, let minute = parts.minute else {
            return nil
        }
        let clock = String(format: "%02d:%02d UTC", hour, minute)
        switch self {
        case .english: return "\(day) \(LetterEnglish.months[month - 1]) \(year), \(clock)"
        case .german: return "\(day). \(LetterGerman.months[month - 1]) \(year), \(clock)"
        }
    }

    /// Minutes as people say them: from two full hours on in hours.
    func duration(minutes: Int) -> String {
        let inHours = minutes >= 120 && minutes % 60 == 0
        let number = inHours ? minutes / 60 : minutes
        switch self {
        case .english: return "\(number) \(inHours ? "hour" : "minute")\(number == 1 ? "" : "s")"
        case .german: return "\(number) \(inHours ? "Stunde" : "Minute")\(number == 1 ? "" : "n")"
        }
    }

    func duration(days: Int) -> String {
        switch self {
        case .english: "\(days) \(days == 1 ? "day" : "days")"
        case .german: "\(days) \(days == 1 ? "Tag" : "Tage")"
        }
    }

    /// What a word of the platform is called in this language; nil for one that is not known.
    func term(_ word: String) -> String? {
        switch self {
        case .english: LetterEnglish.terms[word]
        case .german: LetterGerman.terms[word]
        }
    }
}
