import Foundation

/// One HTTP request to the sink (RFC 9112), as far as the sink looks at it.
struct SinkRequest: Sendable {
    let method: String
    let path: String
    let query: [String: String]
    /// Names in lower case.
    let headers: [String: String]
    let body: String

    enum Step {
        /// More bytes are to come.
        case incomplete
        case complete(SinkRequest)
        case refused(status: String)
    }

    /// The longest head and the longest body, in bytes.
    static let headLimit = 8 * 1024
    static let bodyLimit = 64 * 1024

    /// Reads what has come so far.
    static func read(_ bytes: some Collection<UInt8>) -> Step {
        let text = String(decoding: bytes, as: UTF8.self)
        guard let end = text.range(of: "\r\n\r\n") else {
            return bytes.count > headLimit ? .refused(status: "431 Request Header Fields Too Large") : .incomplete
        }
        let lines = text[..<end.lowerBound].components(separatedBy: "\r\n")
        let words = lines[0].split(separator: " ")
        guard words.count == 3, words[2].hasPrefix("HTTP/1."), let target = URLComponents(string: String(words[1])) else {
            return .refused(status: "400 Bad Request")
        }
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            let halves = line.split(separator: ":", maxSplits: 1)
            if halves.count == 2 { headers[halves[0].lowercased()] = halves[1].trimmingCharacters(in: .whitespaces) }
        }
        let length = Int(headers["content-length"] ?? "0") ?? -1
        guard (0...bodyLimit).contains(length) else { return .refused(status: "413 Content Too Large") }
        let body = text[end.upperBound...]
        guard body.utf8.count >= length else { return .incomplete }
        let query = (target.queryItems ?? []).reduce(into: [String: String]()) { $0[$1.name] = $1.value ?? "" }
        return .complete(
            SinkRequest(
                method: String(words[0]), path: target.path, query: query, headers: headers,
                body: String(decoding: body.utf8.prefix(length), as: UTF8.self)))
    }

    /// The fields of a form (`application/x-www-form-urlencoded`).
    var form: [String: String] {
        body.split(separator: "&").reduce(into: [:]) { fields, pair in
            let halves = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let decoded = halves.map { $0.replacing("+", with: " ").removingPercentEncoding ?? "" }
            fields[decoded[0]] = decoded.count > 1 ? decoded[1] : ""
        }
    }
}

/// What the sink answers.
struct SinkAnswer: Sendable {
    let status: String
    let contentType: String
    let body: String
    /// The connection ends without an answer: the case in which a sender does not know what became of its message.
    var isLost = false

    static func json(_ status: String, _ body: String) -> SinkAnswer {
        SinkAnswer(status: status, contentType: "application/json", body: body)
    }

    static func json(_ value: some Encodable, status: String = "200 OK") -> SinkAnswer {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .iso8601
        guard let data = try? encoder.encode(value) else {
            return .problem("500 Internal Server Error", "It could not be written as JSON.")
        }
        return .json(status, String(decoding: data, as: UTF8.self))
    }

    static func problem(_ status: String, _ detail: String) -> SinkAnswer { .json(status, #"{"detail":"\#(detail)"}"#) }
}
