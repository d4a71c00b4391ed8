import Contracts
import Foundation

/// A sender: an address, perhaps with a name.
struct MailSender: Sendable, Equatable {
    let name: String?
    let address: EmailAddress

    /// `Trionex <no-reply@example.org>` or an address alone; nil when it is neither.
    init?(_ text: String) {
        let trimmed = text.trimmingCharacters(in: .whitespaces)
        if trimmed.hasSuffix(">"), let opening = trimmed.lastIndex(of: "<") {
            let inside = trimmed[trimmed.index(after: opening)...].dropLast()
            guard let address = EmailAddress(rawValue: String(inside)) else { return nil }
            let before = trimmed[..<opening].trimmingCharacters(in: .whitespaces)
            guard before.isEmpty || Name(rawValue: before) != nil else { return nil }
            name = before.isEmpty ? nil : before
            self.address = address
        } else {
            guard let address = EmailAddress(rawValue: trimmed) else { return nil }
            name = nil
            self.address = address
        }
    }

    var domain: String { address.rawValue.split(separator: "@").last.map(String.init) ?? "localhost" }
}

/// A mail as it is sent (RFC 5322, RFC 2045 to 2047): text and HTML as alternatives, all of it ASCII.
struct OutgoingMail: Sendable {
    let delivery: DeliveryID
    let from: MailSender
    let to: EmailAddress
    let date: Date
    let message: Message

    /// Derived from the delivery alone: a mail that goes out twice, because a program died between the server's answer and our
    /// commit, has the same one, and mail programs show it once.
    var messageID: String { "<\(delivery)@\(from.domain)>" }

    /// Refuses header text with a control character in it: no value can begin a header of its own.
    func content() throws(DeliveryRefusal) -> [UInt8] {
        let sender = try from.name.map { name throws(DeliveryRefusal) in "\(try HeaderText.phrase(name)) <\(from.address)>" }
        let boundary = "=_\(delivery.description.replacingOccurrences(of: "-", with: ""))"
        let headers = [
            "From: \(sender ?? from.address.rawValue)", "To: \(to)", "Subject: \(try HeaderText.unstructured(message.subject))",
            "Date: \(HeaderText.date(date))", "Message-ID: \(messageID)", "MIME-Version: 1.0", "Auto-Submitted: auto-generated",
            "Content-Type: multipart/alternative;\r\n boundary=\"\(boundary)\"",
        ]
        var lines = headers + [""]
        for (type, text) in [("text/plain", message.text), ("text/html", message.html)] {
            lines += ["--\(boundary)", "Content-Type: \(type); charset=utf-8", "Content-Transfer-Encoding: base64", "", Self.base64(text)]
        }
        lines += ["--\(boundary)--", ""]
        return Array(lines.joined(separator: "\r\n").utf8)
    }

    /// Lines of 76 characters; line ends inside are CR LF, as RFC 2045 wants text.
    private static func base64(_ text: String) -> String {
        let canonical = text.replacingOccurrences(of: "\r\n", with: "\n").replacingOccurrences(of: "\n", with: "\r\n")
        return Data(canonical.utf8).base64EncodedString(
            options: [.lineLength76Characters, .endLineWithCarriageReturn, .endLineWithLineFeed])
    }
}

/// Text in header fields.
enum HeaderText {
    /// Bytes in one encoded word, so that a line of it has at most 76 characters (RFC 2047, section 2).
    private static let wordBytes = 39
    /// Plain text up to this length needs no folding.
    private static let plainLength = 60

    /// A subject: as it is when short and ASCII, else as encoded words on lines of their own.
    static func unstructured(_ text: String) throws(DeliveryRefusal) -> String {
        try refuseControls(text)
        let isPlain = text.utf8.allSatisfy { (32...126).contains($0) } && text.utf8.count <= plainLength && !text.contains("=?")
        return isPlain ? text : encodedWords(text)
    }

    /// A name before an address: quoted when ASCII (RFC 5322, section 3.2.4), else encoded.
    static func phrase(_ text: String) throws(DeliveryRefusal) -> String {
        try refuseControls(text)
        guard text.utf8.allSatisfy({ (32...126).contains($0) }), text.utf8.count <= plainLength, !text.contains("=?") else {
            return encodedWords(text)
        }
        return "\"" + text.replacingOccurrences(of: "\\", with: "\\\\").replacingOccurrences(of: "\"", with: "\\\"") + "\""
    }

    private static func refuseControls(_ text: String) throws(DeliveryRefusal) {
        guard !text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else {
            throw DeliveryRefusal("a header would have a control character in it", isFinal: true)
        }
    }

    /// Words end between characters, never inside the bytes of one.
    private static func encodedWords(_ text: String) -> String {
        var words: [[UInt8]] = [[]]
        for scalar in text.unicodeScalars {
            let bytes = Array(String(scalar).utf8)
            if words[words.count - 1].count + bytes.count > wordBytes { words.append([]) }
            words[words.count - 1] += bytes
        }
        return words.map { "=?utf-8?B?\(Data($0).base64EncodedString())?=" }.joined(separator: "\r\n ")
    }

    /// RFC 5322, section 3.3, in UTC.
    static func date(_ date: Date) -> String {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = .gmt
        let parts = calendar.dateComponents([.year, .month, .day, .weekday, .hour, .minute, .second], from: date)
        let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        func two(_ number: Int?) -> String { String(format: "%02d", number ?? 0) }
        let day = days[(parts.weekday ?? 1) - 1], month = months[(parts.month ?? 1) - 1]
        return "\(day), \(two(parts.day)) \(month) \(parts.year ?? 1970) \(two(parts.hour)):\(two(parts.minute)):\(two(parts.second)) +0000"
    }
}
