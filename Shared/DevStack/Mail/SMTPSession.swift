import Foundation

/// One SMTP dialogue (RFC 5321) as a pure state machine: a line in, a reply out. No sockets.
struct SMTPSession {
    /// A mail as it came: the envelope, and the content with dot-stuffing undone.
    struct Mail: Equatable {
        let from: String
        let to: [String]
        let content: [UInt8]
    }

    enum Step: Equatable {
        /// Nothing to say: the client is in the middle of the content.
        case silent
        case reply(String)
        case replyAndClose(String)
        /// A whole mail; say the reply once it is stored.
        case deliver(Mail, reply: String)
    }

    /// The largest content, in bytes, as told by SIZE (RFC 1870).
    static let contentLimit = 10 * 1024 * 1024
    /// The longest line; RFC 5321 asks for 1,000, and some senders exceed it.
    static let lineLimit = 64 * 1024
    static let recipientLimit = 100

    private enum State {
        case commands
        case content
        /// Lines of an AUTH exchange still to come; the last one is answered with success.
        case credentials(remaining: Int)
    }
    private var state = State.commands
    private var greeted = false
    private var from: String?
    private var recipients: [String] = []
    private var content: [UInt8] = []
    private var isTooLarge = false

    static let greeting = "220 localhost mail sink, everything is kept and nothing is sent"

    mutating func receive(_ line: ArraySlice<UInt8>) -> Step {
        switch state {
        case .commands: return command(String(decoding: line, as: UTF8.self))
        case .content: return contentLine(line)
        case .credentials(let remaining):
            state = remaining > 1 ? .credentials(remaining: remaining - 1) : .commands
            return .reply(remaining > 1 ? Self.askPassword : Self.signedIn)
        }
    }

    private static let askUser = "334 VXNlcm5hbWU6"
    private static let askPassword = "334 UGFzc3dvcmQ6"
    private static let signedIn = "235 2.7.0 any name and password will do"

    private mutating func command(_ line: String) -> Step {
        let words = line.split(separator: " ", maxSplits: 1).map(String.init)
        let argument = words.count > 1 ? words[1] : ""
        switch words.first?.uppercased() {
        case "EHLO":
            reset()
            greeted = true
            let features = ["localhost", "SIZE \(Self.contentLimit)", "8BITMIME", "SMTPUTF8", "PIPELINING", "AUTH PLAIN LOGIN"]
            return .reply(features.dropLast().map { "250-\($0)\r\n" }.joined() + "250 " + features[features.count - 1])
        case "HELO":
            reset()
            greeted = true
            return .reply("250 localhost")
        case "AUTH": return authenticate(argument)
        case "MAIL": return mail(argument)
        case "RCPT": return recipient(argument)
        case "DATA":
            guard !recipients.isEmpty else { return .reply("503 5.5.1 name the sender and a recipient first") }
            state = .content
            return .reply("354 end with a line that has only a dot")
        case "RSET":
            reset()
            return .reply("250 2.0.0 ok")
        case "NOOP": return .reply("250 2.0.0 ok")
        case "VRFY": return .reply("252 2.1.5 every address is taken")
        case "QUIT": return .replyAndClose("221 2.0.0 bye")
        default: return .reply("500 5.5.2 not understood")
        }
    }

    private mutating func authenticate(_ argument: String) -> Step {
        let words = argument.split(separator: " ")
        switch (words.first?.uppercased(), words.count) {
        case ("PLAIN", 2): return .reply(Self.signedIn)
        case ("PLAIN", 1):
            state = .credentials(remaining: 1)
            return .reply("334 ")
        case ("LOGIN", 1):
            state = .credentials(remaining: 2)
            return .reply(Self.askUser)
        case ("LOGIN", 2):
            state = .credentials(remaining: 1)
            return .reply(Self.askPassword)
        default: return .reply("504 5.5.4 PLAIN or LOGIN")
        }
    }

    private mutating func mail(_ argument: String) -> Step {
        guard greeted else { return .reply("503 5.5.1 say EHLO first") }
        guard from == nil else { return .reply("503 5.5.1 one mail at a time") }
        guard let sender = Self.address(argument, after: "FROM:") else { return .reply("501 5.5.4 MAIL FROM:<address>") }
        if let size = argument.firstMatch(of: /\bSIZE=(\d+)/.ignoresCase()), (Int(size.1) ?? .max) > Self.contentLimit {
            return .reply(Self.tooLarge)
        }
        from = sender
        return .reply("250 2.1.0 ok")
    }

    /// Addresses in two domains that cannot exist (RFC 6761) are refused, so that failures can be tried:
    /// `…@refused.test` for good, `…@busy.test` for now.
    private mutating func recipient(_ argument: String) -> Step {
        guard from != nil else { return .reply("503 5.5.1 name the sender first") }
        guard let address = Self.address(argument, after: "TO:")?.lowercased(), !address.isEmpty else {
            return .reply("501 5.5.4 RCPT TO:<address>")
        }
        if address.hasSuffix("@refused.test") { return .reply("550 5.1.1 no such mailbox") }
        if address.hasSuffix("@busy.test") { return .reply("451 4.3.0 try again later") }
        guard recipients.count < Self.recipientLimit else { return .reply("452 4.5.3 too many recipients") }
        recipients.append(address)
        return .reply("250 2.1.5 ok")
    }

    private static let tooLarge = "552 5.3.4 larger than \(contentLimit) bytes"

    private mutating func contentLine(_ line: ArraySlice<UInt8>) -> Step {
        let dot = UInt8(ascii: ".")
        guard line != [dot] else {
            let mail = Mail(from: from ?? "", to: recipients, content: content)
            let wasTooLarge = isTooLarge
            reset()
            return wasTooLarge ? .reply(Self.tooLarge) : .deliver(mail, reply: "250 2.0.0 kept")
        }
        // A leading dot was doubled by the sender (RFC 5321, 4.5.2).
        let text = line.first == dot ? line.dropFirst() : line
        isTooLarge = isTooLarge || content.count + text.count + 2 > Self.contentLimit
        if !isTooLarge {
            content.append(contentsOf: text)
            content.append(contentsOf: [0x0d, 0x0a])
        }
        return .silent
    }

    private mutating func reset() {
        state = .commands
        from = nil
        recipients = []
        content = []
        isTooLarge = false
    }

    /// The address of `FROM:<a@b> SIZE=1`; empty for `<>`, nil when the form is wrong.
    private static func address(_ argument: String, after keyword: String) -> String? {
        guard argument.uppercased().hasPrefix(keyword) else { return nil }
        let rest = argument.dropFirst(keyword.count).drop { $0 == " " }
        guard rest.first == "<", let end = rest.firstIndex(of: ">") else { return nil }
        let address = rest[rest.index(after: rest.startIndex)..<end]
        return address.contains { $0.isWhitespace || $0 == "<" } ? nil : String(address)
    }
}
