import Contracts
import Foundation
package import Logging
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Writes each log event as one line of JSON, in the field names of requirement 1:
/// `timestamp, level, service, requestId, userId, action, ip, userAgent, duration, statusCode, metadata`, plus `tenantId`, `traceId`.
///
/// What is no field of its own goes under `metadata`. Values that look like a token are masked, whoever logged them.
package struct JSONLog: LogHandler {
    package var logLevel: Logger.Level
    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?
    package let service: String
    /// Nil: standard output.
    private let sink: (@Sendable (String) -> Void)?

    static let fields: Set<String> = [
        "requestId", "userId", "action", "ip", "userAgent", "duration", "statusCode", "tenantId", "traceId",
    ]
    /// Names whose values are never written.
    static let secretNames = ["password", "secret", "token", "authorization", "cookie", "apikey", "api_key", "credential"]

    package init(
        service: String, level: Logger.Level, write: (@Sendable (String) -> Void)? = nil
    ) {
        self.service = service
        logLevel = level
        sink = write
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var merged = metadata
        if let provided = metadataProvider?.get() { merged.merge(provided) { _, new in new } }
        if let own = event.metadata { merged.merge(own) { _, new in new } }
        let line = line(level: event.level, message: "\(event.message)", metadata: merged, at: Date())
        if let sink { sink(line) } else { Self.standardOutput(line) }
    }

    /// Writes lines that are whole already, each with its end: those of a program that makes very many of them.
    package func write(lines: UnsafeRawBufferPointer) {
        guard let sink else { return Self.standardOutput(bytes: lines) }
        for line in lines.split(separator: UInt8(ascii: "\n")) { sink(String(decoding: line, as: UTF8.self)) }
    }

    func line(level: Logger.Level, message: String, metadata: Logger.Metadata, at time: Date) -> String {
        var object: [String: JSONValue] = [
            "timestamp": .string(Timestamp.text(time)), "level": .string(level.rawValue), "service": .string(service),
            "message": .string(message),
        ]
        var rest: [String: JSONValue] = [:]
        for (key, value) in metadata {
            let safe = Self.isSecret(key) ? .string("[hidden]") : Self.json(value)
            if Self.fields.contains(key) { object[key] = safe } else { rest[key] = safe }
        }
        if !rest.isEmpty { object["metadata"] = .object(rest) }
        let data = (try? JSON.encode(JSONValue.object(object))) ?? Data()
        return String(decoding: data, as: UTF8.self)
    }

    private static func isSecret(_ key: String) -> Bool {
        let lowered = key.lowercased()
        return secretNames.contains { lowered.contains($0) }
    }

    private static func json(_ value: Logger.MetadataValue) -> JSONValue {
        switch value {
        case .string(let text): .string(mask(text))
        case .stringConvertible(let value):
            if let number = value as? any BinaryInteger { .integer(Int(number)) } else { .string(mask("\(value)")) }
        case .array(let values): .array(values.map(json))
        case .dictionary(let values):
            .object(values.reduce(into: [:]) { $0[$1.key] = isSecret($1.key) ? .string("[hidden]") : json($1.value) })
        }
    }

    /// A JWT or one of our API keys inside a text, wherever it came from.
    private static func mask(_ text: String) -> String {
        guard text.contains("eyJ") || text.contains("trx_") || text.contains("Bearer ") else { return text }
        return text.split(separator: " ", omittingEmptySubsequences: false).map { word in
            word.contains("eyJ") || word.contains("trx_") ? "[hidden]" : String(word)
        }.joined(separator: " ")
    }

    private static let lock = Mutex(())

    /// One write a line, so that lines of several threads never mix.
    package static func standardOutput(_ line: String) {
        Array((line + "\n").utf8).withUnsafeBytes { standardOutput(bytes: $0) }
    }

    private static func standardOutput(bytes: UnsafeRawBufferPointer) {
        lock.withLock { _ in
            var rest = bytes[...]
            while !rest.isEmpty {
                let written = Glibc.write(1, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                if written < 0, errno == EINTR { continue }
                if written <= 0 { return }
                rest = rest.dropFirst(written)
            }
        }
    }
}
