package import Contracts
import Foundation

/// Decodes a body and names every bad field at once.
///
/// A plain `Decodable` stops at the first error. This decoder stands between a type and Foundation's JSON decoder: a field
/// that fails is written down and replaced by a placeholder, so that decoding goes on; if anything was written down, the
/// result is thrown away and the whole list is the answer. Fields that the type did not ask for are refused too.
enum FieldDecoder {
    static let maximumErrors = 100

    static func decode<T: Decodable>(_ type: T.Type, from data: Data) throws -> T {
        let sink = FieldSink()
        let decoder = JSON.decoder()
        decoder.userInfo[.fieldSink] = sink
        let collected: Collected<T>
        do {
            collected = try decoder.decode(Collected<T>.self, from: data)
        } catch {
            throw MalformedBody.notJSON
        }
        guard sink.errors.isEmpty, let value = collected.value else {
            throw ValidationFailure(sink.errors.isEmpty ? [FieldSink.unknownError] : sink.errors)
        }
        return value
    }

    /// Query parameters, through the same door: the declared types say which texts are numbers, flags and lists.
    static func decode<T: Decodable>(_ type: T.Type, query: [(String, String)], schema: Schema) throws -> T {
        guard case .object(let properties) = schema else { preconditionFailure("query parameters are declared as a struct") }
        var object: [String: JSONValue] = [:]
        let isOpen = T.self is any OpenFields.Type
        for (name, text) in query {
            let declared = properties.first { $0.name == name }?.schema
            if isOpen {
                guard declared != nil else { continue }
                guard object[name] == nil else { throw ValidationFailure("?\(name)", "repeated", "must be given once") }
            }
            object[name] = value(text, declared, earlier: object[name])
        }
        do {
            return try decode(type, from: try JSONEncoder().encode(JSONValue.object(object)))
        } catch let failure as ValidationFailure {
            throw ValidationFailure(
                failure.fields.map { FieldError(pointer: "?" + $0.pointer.dropFirst(), code: $0.code, detail: $0.detail) })
        }
    }

    /// Foundation's decoder has its own reading of these; they must reach it unwrapped.
    static func isPlain(_ type: Any.Type) -> Bool {
        type == Date.self || type == Data.self || type == URL.self || type == Decimal.self || type == JSONValue.self
    }

    private static func value(_ text: String, _ schema: Schema?, earlier: JSONValue?) -> JSONValue {
        switch schema {
        case .integer: return Int(text).map(JSONValue.integer) ?? .string(text)
        case .number: return Double(text).map(JSONValue.number) ?? .string(text)
        case .boolean: return Bool(text).map(JSONValue.bool) ?? .string(text)
        case .array(let element, _):
            let parts = text.split(separator: ",").map { value(String($0), element, earlier: nil) }
            if case .array(let before) = earlier { return .array(before + parts) }
            return .array(parts)
        default: return .string(text)
        }
    }
}

/// Parameters of a protocol that has others ignored and repetitions refused (OAuth 2.1, section 3.1).
package protocol OpenFields {
    /// What is answered for parameters that cannot be read, where the protocol has a form of its own for refusals.
    static func refusal(of failure: any Failure) -> any Error
}

extension OpenFields {
    package static func refusal(of failure: any Failure) -> any Error { failure }
}

/// Bodies that are not what the endpoint reads at all.
package enum MalformedBody: String, Failure {
    case notJSON = "malformed-json"
    case wrongMediaType = "unsupported-media-type"
    case tooLarge = "body-too-large"
    case badQuery = "malformed-query"

    package var kind: FailureKind {
        switch self {
        case .notJSON, .badQuery: .invalid
        case .wrongMediaType: .unsupportedMediaType
        case .tooLarge: .tooLarge
        }
    }

    package var detail: String? {
        switch self {
        case .notJSON: "The body is not valid JSON in UTF-8."
        case .wrongMediaType: "Send the body as application/json."
        case .tooLarge: "The body is larger than this endpoint takes."
        case .badQuery: "The query string has a broken escape in it."
        }
    }
}

extension CodingUserInfoKey {
    static let fieldSink = CodingUserInfoKey(rawValue: "trionex.field-sink")!
}

/// The list of what was wrong. Lives for one decoding, on one thread; JSONDecoder demands that it be Sendable.
final class FieldSink: @unchecked Sendable {
    private(set) var errors: [FieldError] = []
    static let unknownError = FieldError(pointer: "", code: "invalid", detail: "cannot be read")

    func record(_ path: [any CodingKey], _ code: String, _ detail: String) {
        guard errors.count < FieldDecoder.maximumErrors else { return }
        let pointer = path.map { "/" + ($0.intValue.map(String.init) ?? Self.escape($0.stringValue)) }.joined()
        errors.append(FieldError(pointer: pointer, code: code, detail: detail))
    }

    func record(_ error: any Error, at path: [any CodingKey], wanted: Any.Type) {
        let wanted = (wanted as? any AbsentDecodable.Type)?.wanted ?? wanted
        switch error {
        case DecodingError.keyNotFound: record(path, "missing", "is required")
        case DecodingError.valueNotFound: record(path, "null", "must not be null")
        case DecodingError.typeMismatch: record(path, "wrong-type", "must be \(Self.describe(wanted))")
        case DecodingError.dataCorrupted(let context):
            if let problem = context.underlyingError as? TextProblem {
                record(path, problem.code, problem.detail)
            } else if case .choice(let choices) = SchemaProbe.schema(of: wanted) {
                record(path, "invalid-choice", "must be one of \(choices.joined(separator: ", "))")
            } else if wanted == Date.self {
                record(path, "invalid-time", "must be a time as in RFC 3339, such as 2026-01-15T10:30:00Z")
            } else {
                record(path, "invalid", "must be \(Self.describe(wanted))")
            }
        default: record(path, "invalid", "must be \(Self.describe(wanted))")
        }
    }

    private static func escape(_ key: String) -> String {
        key.replacingOccurrences(of: "~", with: "~0").replacingOccurrences(of: "/", with: "~1")
    }

    /// What people call the formats of JSON Schema.
    private static let names = [
        "email": "an e-mail address", "uuid": "a UUID", "uri": "a URL", "date-time": "a time as in RFC 3339", "byte": "text in Base64",
    ]

    private static func describe(_ type: Any.Type) -> String {
        switch SchemaProbe.schema(of: type) {
        case .string(let format, _, _, _): format.map { Self.names[$0] ?? "a string in the form \($0)" } ?? "a string"
        case .choice: "a string"
        case .integer: "a whole number"
        case .number: "a number"
        case .boolean: "true or false"
        case .array: "an array"
        case .map, .object: "an object"
        case .nullable, .any, .binary: "a value"
        }
    }
}

/// A value on its way through the collecting decoder; nil when it failed and that is written down.
private struct Collected<T: Decodable>: Decodable {
    let value: T?

    init(from decoder: any Decoder) throws {
        guard let sink = decoder.userInfo[.fieldSink] as? FieldSink else { preconditionFailure("only FieldDecoder decodes this") }
        let collecting = CollectingDecoder(inner: decoder, sink: sink)
        do {
            value = try T(from: collecting)
            collecting.refuseUnknown()
        } catch let error as PlaceholderMissing {
            // Already written down, but there is nothing to put in its place: the enclosing value cannot be read further.
            _ = error
            value = nil
        } catch {
            sink.record(error, at: decoder.codingPath, wanted: T.self)
            value = nil
        }
    }
}

/// Thrown when a failed field has no placeholder.
private struct PlaceholderMissing: Error {}

private final class CollectingDecoder: Decoder {
    let inner: any Decoder
    let sink: FieldSink
    var known: Set<String> = []
    var isKeyed = false
    var takesAnyKey = false

    init(inner: any Decoder, sink: FieldSink) {
        self.inner = inner
        self.sink = sink
    }

    var codingPath: [any CodingKey] { inner.codingPath }
    var userInfo: [CodingUserInfoKey: Any] { inner.userInfo }

    func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
        isKeyed = true
        return KeyedDecodingContainer(CollectingKeyed(inner: try inner.container(keyedBy: type), decoder: self))
    }

    func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
        CollectingUnkeyed(inner: try inner.unkeyedContainer(), decoder: self)
    }

    func singleValueContainer() throws -> any SingleValueDecodingContainer { try inner.singleValueContainer() }

    func refuseUnknown() {
        guard isKeyed, !takesAnyKey, let container = try? inner.container(keyedBy: AnyKey.self) else { return }
        for key in container.allKeys.sorted(by: { $0.stringValue < $1.stringValue }) where !known.contains(key.stringValue) {
            sink.record(codingPath + [key], "unknown-field", "is not a field of this request")
        }
    }

    /// Runs one field's decoding; on failure writes it down and gives the placeholder.
    func attempt<T>(_ type: T.Type, at path: [any CodingKey], _ body: () throws -> T?) throws -> T {
        do {
            if let value = try body() { return value }
        } catch let error where !(error is PlaceholderMissing) {
            sink.record(error, at: path, wanted: T.self)
        }
        guard let placeholder = SchemaProbe.placeholder(of: type) else { throw PlaceholderMissing() }
        return placeholder
    }
}

struct AnyKey: CodingKey {
    let stringValue: String
    let intValue: Int?
    init(stringValue: String) {
        self.stringValue = stringValue
        intValue = nil
    }
    init(intValue: Int) {
        stringValue = String(intValue)
        self.intValue = intValue
    }
}

private struct CollectingKeyed<Key: CodingKey>: KeyedDecodingContainerProtocol {
    let inner: KeyedDecodingContainer<Key>
    let decoder: CollectingDecoder

    var codingPath: [any CodingKey] { inner.codingPath }
    var allKeys: [Key] {
        decoder.takesAnyKey = true
        return inner.allKeys
    }

    func contains(_ key: Key) -> Bool {
        decoder.known.insert(key.stringValue)
        return inner.contains(key)
    }

    func decodeNil(forKey key: Key) throws -> Bool { try inner.decodeNil(forKey: key) }

    private func field<T>(_ type: T.Type, _ key: Key, _ body: () throws -> T?) throws -> T {
        decoder.known.insert(key.stringValue)
        return try decoder.attempt(type, at: codingPath + [key], body)
    }

    func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T {
        if let change = T.self as? any AbsentDecodable.Type, !inner.contains(key), let absent = change.absent as? T {
            decoder.known.insert(key.stringValue)
            return absent
        }
        return try field(type, key) {
            if FieldDecoder.isPlain(type) { return try inner.decode(type, forKey: key) }
            return try inner.decode(Collected<T>.self, forKey: key).value
        }
    }

    func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool { try field(type, key) { try inner.decode(type, forKey: key) } }
    func decode(_ type: String.Type, forKey key: Key) throws -> String { try field(type, key) { try inner.decode(type, forKey: key) } }
    func decode(_ type: Double.Type, forKey key: Key) throws -> Double { try field(type, key) { try inner.decode(type, forKey: key) } }
    func decode(_ type: Float.Type, forKey key: Key) throws -> Float { try field(type, key) { try inner.decode(type, forKey: key) } }
    func decode(_ type: Int.Type, forKey key: Key) throws -> Int { try field(type, key) { try inner.decode(type, forKey: key) } }
    func decode(_ type: Int8.Type, forKey key: Key) throws -> Int8 { try field(type, key) { try inner.decode(type, forKey: key) } }
    func decode(_ type: Int16.Type, forKey key: Key) throws -> Int16 { try field(type, key) { try inner.decode(type, forKey: key) } }
    func decode(_ type: Int32.Type, forKey key: Key) throws -> Int32 { try field(type, key) { try inner.decode(type, forKey: key) } }
    func decode(_ type: Int64.Type, forKey key: Key) throws -> Int64 { try field(type, key) { try inner.decode(type, forKey: key) } }
    func decode(_ type: UInt.Type, forKey key: Key) throws -> UInt { try field(type, key) { try inner.decode(type, forKey: key) } }
    func decode(_ type: UInt8.Type, forKey key: Key) throws -> UInt8 { try field(type, key) { try inner.decode(type, forKey: key) } }
    func decode(_ type: UInt16.Type, forKey key: Key) throws -> UInt16 { try field(type, key) { try inner.decode(type, forKey: key) } }
    func decode(_ type: UInt32.Type, forKey key: Key) throws -> UInt32 { try field(type, key) { try inner.decode(type, forKey: key) } }
    func decode(_ type: UInt64.Type, forKey key: Key) throws -> UInt64 { try field(type, key) { try inner.decode(type, forKey: key) } }

    func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type, forKey key: Key) throws -> KeyedDecodingContainer<Nested> {
        decoder.known.insert(key.stringValue)
        return try inner.nestedContainer(keyedBy: type, forKey: key)
    }
    func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
        decoder.known.insert(key.stringValue)
        return try inner.nestedUnkeyedContainer(forKey: key)
    }
    func superDecoder() throws -> any Decoder { try inner.superDecoder() }
    func superDecoder(forKey key: Key) throws -> any Decoder { try inner.superDecoder(forKey: key) }
}

private struct CollectingUnkeyed: UnkeyedDecodingContainer {
    var inner: any UnkeyedDecodingContainer
    let decoder: CollectingDecoder

    var codingPath: [any CodingKey] { inner.codingPath }
    var count: Int? { inner.count }
    var isAtEnd: Bool { inner.isAtEnd }
    var currentIndex: Int { inner.currentIndex }
    mutating func decodeNil() throws -> Bool { try inner.decodeNil() }

    /// Reads the element as it is, and steps over it also when it failed.
    private mutating func element<T>(_ type: T.Type, _ body: (inout any UnkeyedDecodingContainer) throws -> T?) throws -> T {
        let index = inner.currentIndex
        let path = codingPath + [AnyKey(intValue: index)]
        let value = try decoder.attempt(type, at: path) { try body(&inner) }
        if inner.currentIndex == index { _ = try? inner.decode(JSONValue.self) }
        return value
    }

    mutating func decode<T: Decodable>(_ type: T.Type) throws -> T {
        try element(type) { inner in
            if FieldDecoder.isPlain(type) { return try inner.decode(type) }
            return try inner.decode(Collected<T>.self).value
        }
    }

    mutating func decode(_ type: Bool.Type) throws -> Bool { try element(type) { try $0.decode(type) } }
    mutating func decode(_ type: String.Type) throws -> String { try element(type) { try $0.decode(type) } }
    mutating func decode(_ type: Double.Type) throws -> Double { try element(type) { try $0.decode(type) } }
    mutating func decode(_ type: Float.Type) throws -> Float { try element(type) { try $0.decode(type) } }
    mutating func decode(_ type: Int.Type) throws -> Int { try element(type) { try $0.decode(type) } }
    mutating func decode(_ type: Int8.Type) throws -> Int8 { try element(type) { try $0.decode(type) } }
    mutating func decode(_ type: Int16.Type) throws -> Int16 { try element(type) { try $0.decode(type) } }
    mutating func decode(_ type: Int32.Type) throws -> Int32 { try element(type) { try $0.decode(type) } }
    mutating func decode(_ type: Int64.Type) throws -> Int64 { try element(type) { try $0.decode(type) } }
    mutating func decode(_ type: UInt.Type) throws -> UInt { try element(type) { try $0.decode(type) } }
    mutating func decode(_ type: UInt8.Type) throws -> UInt8 { try element(type) { try $0.decode(type) } }
    mutating func decode(_ type: UInt16.Type) throws -> UInt16 { try element(type) { try $0.decode(type) } }
    mutating func decode(_ type: UInt32.Type) throws -> UInt32 { try element(type) { try $0.decode(type) } }
    mutating func decode(_ type: UInt64.Type) throws -> UInt64 { try element(type) { try $0.decode(type) } }

    mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) throws -> KeyedDecodingContainer<Nested> {
        try inner.nestedContainer(keyedBy: type)
    }
    mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer { try inner.nestedUnkeyedContainer() }
    mutating func superDecoder() throws -> any Decoder { try inner.superDecoder() }
}
