package import Foundation
import Synchronization

/// One short message that the sink took, as `GET /sms` answers it.
package struct ShortMessage: Codable, Sendable, Equatable {
    /// Grows with the time of arrival.
    package let id: String
    package let from: String
    /// In E.164.
    package let to: String
    package let body: String
    package let arrivedAt: Date
}

/// A provider of short messages with Twilio's interface that keeps every message and sends none.
///
/// Any account and token will do, but they must be there. Numbers of Twilio's own test range fail as theirs do, and three more:
/// +15005550001 is no number (21211), …0002 cannot be reached (21612), …0004 has said STOP (21610), …0009 is no mobile (21614),
/// …0003 is limited (429), …0007 answers 503 and takes nothing, and …0008 takes the message and never answers.
final class ShortMessageProvider: Sendable {
    /// How many messages are kept; older ones are forgotten.
    static let limit = 1_000
    static let longestBody = 1_600

    private struct State {
        var messages: [ShortMessage] = []
        var arrivals = 0
    }
    private let state = Mutex(State())

    /// Oldest first; those to one number when there is one.
    func messages(to number: String?) -> [ShortMessage] {
        state.withLock { $0.messages }.filter { number == nil || $0.to == number }
    }

    /// Nil when the path is not one of theirs.
    func answer(_ request: SinkRequest, at now: Date = Date()) -> SinkAnswer? {
        let parts = request.path.split(separator: "/")
        guard parts.count == 4, parts[0] == "2010-04-01", parts[1] == "Accounts", parts[3] == "Messages.json" else { return nil }
        let account = String(parts[2])
        guard isSignedIn(request, as: account) else { return Self.refuse("401 Unauthorized", 20003, "Authenticate") }
        switch request.method {
        case "GET": return list(request, of: account)
        case "POST": return take(request.form, of: account, at: now)
        default: return Self.refuse("405 Method Not Allowed", 20004, "Method not allowed")
        }
    }

    private func isSignedIn(_ request: SinkRequest, as account: String) -> Bool {
        guard let header = request.headers["authorization"], header.hasPrefix("Basic "),
            let data = Data(base64Encoded: String(header.dropFirst(6)))
        else { return false }
        let halves = String(decoding: data, as: UTF8.self).split(separator: ":", maxSplits: 1)
        return halves.count == 2 && halves[0] == account && halves[1] != "wrong"
    }

    private func take(_ form: [String: String], of account: String, at now: Date) -> SinkAnswer {
        guard let from = form["From"] ?? form["MessagingServiceSid"], !from.isEmpty else {
            return Self.refuse("400 Bad Request", 21603, "A 'From' phone number is required.")
        }
        guard let body = form["Body"], !body.isEmpty else { return Self.refuse("400 Bad Request", 21602, "Message body is required.") }
        guard body.count <= Self.longestBody else { return Self.refuse("400 Bad Request", 21617, "The message body is too long.") }
        guard let to = form["To"], to.wholeMatch(of: /\+[1-9][0-9]{6,14}/) != nil else {
            return Self.refuse("400 Bad Request", 21211, "Invalid 'To' phone number")
        }
        switch to {
        case "+15005550001": return Self.refuse("400 Bad Request", 21211, "Invalid 'To' phone number: \(to)")
        case "+15005550002": return Self.refuse("400 Bad Request", 21612, "The 'To' phone number is not reachable: \(to)")
        case "+15005550003": return Self.refuse("429 Too Many Requests", 20429, "Too many requests")
        case "+15005550004": return Self.refuse("400 Bad Request", 21610, "Attempt to send to unsubscribed recipient \(to)")
        case "+15005550007": return Self.refuse("503 Service Unavailable", 20503, "Service unavailable")
        case "+15005550009": return Self.refuse("400 Bad Request", 21614, "'To' number is not a valid mobile number")
        default: break
        }
        var answer = SinkAnswer.json(TwilioMessage(keep(body, from: from, to: to, at: now), account), status: "201 Created")
        answer.isLost = to == "+15005550008"
        return answer
    }

    private func keep(_ body: String, from: String, to: String, at now: Date) -> ShortMessage {
        state.withLock { state in
            state.arrivals += 1
            let message = ShortMessage(id: String(format: "%08d", state.arrivals), from: from, to: to, body: body, arrivedAt: now)
            state.messages.append(message)
            if state.messages.count > Self.limit { state.messages.removeFirst() }
            return message
        }
    }

    /// Newest first, as theirs.
    private func list(_ request: SinkRequest, of account: String) -> SinkAnswer {
        let size = Int(request.query["PageSize"] ?? "50") ?? 50
        // `+` that was not percent-encoded is a space by then; theirs takes it all the same.
        let number = request.query["To"].map { $0.hasPrefix(" ") ? "+" + $0.dropFirst() : $0 }
        let found = messages(to: number).filter { message in request.query["From"].map { $0 == message.from } ?? true }
        return .json(TwilioList(messages: found.reversed().prefix(size).map { TwilioMessage($0, account) }, page: 0, pageSize: size))
    }

    private static func refuse(_ status: String, _ code: Int, _ message: String) -> SinkAnswer {
        .json(
            TwilioRefusal(
                code: code, message: message, moreInfo: "https://www.twilio.com/docs/errors/\(code)",
                status: Int(status.prefix(3)) ?? 400), status: status)
    }
}

private struct TwilioRefusal: Encodable {
    let code: Int
    let message: String
    let moreInfo: String
    let status: Int

    enum CodingKeys: String, CodingKey {
        case code, message, status
        case moreInfo = "more_info"
    }
}

private struct TwilioList: Encodable {
    let messages: [TwilioMessage]
    let page: Int
    let pageSize: Int

    enum CodingKeys: String, CodingKey {
        case messages, page
        case pageSize = "page_size"
    }
}

/// The fields of theirs that anybody looks at.
private struct TwilioMessage: Encodable {
    let sid: String
    let account: String
    let from: String
    let to: String
    let body: String
    let status = "queued"
    let direction = "outbound-api"
    let version = "2010-04-01"
    let segments: String
    let created: String

    init(_ message: ShortMessage, _ account: String) {
        sid = "SM" + String(repeating: "0", count: 24) + message.id
        self.account = account
        from = message.from
        to = message.to
        body = message.body
        segments = "\((message.body.count + 159) / 160)"
        let format = DateFormatter()
        format.locale = Locale(identifier: "en_US_POSIX")
        format.timeZone = .gmt
        format.dateFormat = "EEE, dd MMM yyyy HH:mm:ss Z"
        created = format.string(from: message.arrivedAt)
    }

    enum CodingKeys: String, CodingKey {
        case sid, from, to, body, status, direction
        case account = "account_sid"
        case version = "api_version"
        case segments = "num_segments"
        case created = "date_created"
    }
}
