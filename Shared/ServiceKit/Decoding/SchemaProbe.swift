package import Contracts
import Foundation

/// A schema with the name under which OpenAPI lists it; nil for what is written in place.
package struct NamedSchema: Sendable, Equatable {
    package let name: String?
    /// The name with those of the types around it, for two types of one name.
    package let fullName: String?
    package let schema: Schema

    package init(name: String?, fullName: String? = nil, schema: Schema) {
        self.name = name
        self.fullName = fullName ?? name
        self.schema = schema
    }
}

/// Reads a type's JSON form off its own `Decodable` conformance, by decoding it from a decoder that gives placeholders
/// and writes down what was asked for. So documents cannot say anything else than what is decoded.
package enum SchemaProbe {
    /// Deeper nesting than any of our types has; recursive types end here as "any JSON".
    private static let maximumDepth = 12

    package static func named<T: Decodable>(_ type: T.Type) -> NamedSchema {
        let schema = probe(type, depth: 0).schema
        if case .object = schema { return NamedSchema(name: name(of: type), fullName: fullName(of: type), schema: schema) }
        return NamedSchema(name: nil, schema: schema)
    }

    static func schema(of type: Any.Type) -> Schema {
        guard let decodable = type as? any Decodable.Type else { return .any }
        func open<T: Decodable>(_ type: T.Type) -> Schema { probe(type, depth: 0).schema }
        return open(decodable)
    }

    static func placeholder<T>(of type: T.Type) -> T? {
        guard let decodable = type as? any Decodable.Type else { return nil }
        func open<D: Decodable>(_ type: D.Type) -> T? { probe(type, depth: 0).value as? T }
        return open(decodable)
    }

    /// `RegistrationRoutes.Organization` as `RegistrationRoutesOrganization`: without the module, and without the marks of private types.
    private static func fullName(of type: Any.Type) -> String {
        String(reflecting: type).split(separator: ".").dropFirst().filter { !$0.contains("(") }.joined()
            .filter { $0.isLetter || $0.isNumber }
    }

    private static func name(of type: Any.Type) -> String {
        String(describing: type).filter { $0.isLetter || $0.isNumber }
    }

    fileprivate static func probe<T: Decodable>(_ type: T.Type, depth: Int) -> (schema: Schema, value: T?) {
        if let described = T.self as? any Described.Type { return (described.schema, described.placeholder as? T) }
        if let change = T.self as? any AbsentDecodable.Type { return (change.probeValue(depth: depth + 1), change.absent as? T) }
        if let list = T.self as? any ListProbe.Type { return (list.probeSchema(depth: depth + 1), list.emptyValue as? T) }
        if let choices = T.self as? any (CaseIterable & RawRepresentable).Type, let (names, first) = cases(choices) {
            return (.choice(names), first as? T)
        }
        if T.self == Date.self { return (.string(format: "date-time"), Date(timeIntervalSince1970: 0) as? T) }
        if T.self == UUID.self { return (.string(format: "uuid"), UUID() as? T) }
        if T.self == URL.self { return (.string(format: "uri"), URL(string: "https://example.org") as? T) }
        if T.self == Data.self { return (.string(format: "byte"), Data() as? T) }
        guard depth < maximumDepth else { return (.any, nil) }
        let decoder = ProbeDecoder(depth: depth + 1)
        let value = try? T(from: decoder)
        return (decoder.schema, value)
    }

    private static func cases<C: CaseIterable & RawRepresentable>(_ type: C.Type) -> (names: [String], first: Any)? {
        let names = type.allCases.compactMap { $0.rawValue as? String }
        guard let first = type.allCases.first, names.count == type.allCases.count else { return nil }
        return (names, first)
    }
}

/// A merge patch field (RFC 7396): left out keeps, null clears, a value sets.
package enum Change<Value: Codable & Sendable>: Sendable, Codable {
    case keep
    case clear
    case set(Value)

    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .clear
        } else {
            self = .set(FieldDecoder.isPlain(Value.self) ? try container.decode(Value.self) : try Value(from: decoder))
        }
    }

    package func encode(to encoder: any Encoder) throws {
        switch self {
        case .keep, .clear:
            var container = encoder.singleValueContainer()
            try container.encodeNil()
        case .set(let value): try value.encode(to: encoder)
        }
    }

    /// The value after the patch.
    package func applied(to current: Value?) -> Value? {
        switch self {
        case .keep: current
        case .clear: nil
        case .set(let value): value
        }
    }
}

/// A type that has a value for a field that is not there.
protocol AbsentDecodable {
    static var absent: Self { get }
    /// What it is when it is there.
    static var wanted: Any.Type { get }
    static func probeValue(depth: Int) -> Schema
}

extension Change: AbsentDecodable {
    static var absent: Change { .keep }
    static var wanted: Any.Type { Value.self }
    static func probeValue(depth: Int) -> Schema { SchemaProbe.probe(Value.self, depth: depth).schema }
}

private protocol ListProbe {
    static func probeSchema(depth: Int) -> Schema
    static var emptyValue: Any { get }
}

extension Array: ListProbe where Element: Decodable {
    static func probeSchema(depth: Int) -> Schema { .array(SchemaProbe.probe(Element.self, depth: depth).schema) }
    static var emptyValue: Any { [Element]() }
}

extension Dictionary: ListProbe where Key == String, Value: Decodable {
    static func probeSchema(depth: Int) -> Schema { .map(SchemaProbe.probe(Value.self, depth: depth).schema) }
    static var emptyValue: Any { [String: Value]() }
}

extension Optional: ListProbe where Wrapped: Decodable {
    static func probeSchema(depth: Int) -> Schema { SchemaProbe.probe(Wrapped.self, depth: depth).schema }
    static var emptyValue: Any { Wrapped?.none as Any }
}

private struct CannotProbe: Error {}

private final class ProbeDecoder: Decoder {
    let depth: Int
    var schema: Schema = .any
    var codingPath: [any CodingKey] { [] }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    init(depth: Int) { self.depth = depth }

    func add(_ name: String, _ property: Schema, required: Bool) {
        var properties: [Schema.Property] = []
        if case .object(let before) = schema { properties = before }
        properties.append(.init(name, property, required: required))
        schema = .object(properties)
    }

    func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
        if case .object = schema {} else { schema = .object([]) }
        return KeyedDecodingContainer(ProbeKeyed<Key>(decoder: self))
    }

    func unkeyedContainer() throws -> any UnkeyedDecodingContainer { throw CannotProbe() }
    func singleValueContainer() throws -> any SingleValueDecodingContainer { ProbeSingle(decoder: self) }
}

private final class ProbeKeyed<Key: CodingKey>: KeyedDecodingContainerProtocol {
    let decoder: ProbeDecoder
    /// The key whose presence was asked for: decoding it next means that it is optional.
    private var asked: String?

    init(decoder: ProbeDecoder) { self.decoder = decoder }

    var codingPath: [any CodingKey] { [] }
    var allKeys: [Key] { [] }

    func contains(_ key: Key) -> Bool {
        asked = key.stringValue
        return true
    }

    func decodeNil(forKey key: Key) throws -> Bool { false }

    private func note(_ key: Key, _ schema: Schema, required: Bool = true) {
        decoder.add(key.stringValue, schema, required: required && asked != key.stringValue)
        asked = nil
    }

    func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T {
        if let change = T.self as? any AbsentDecodable.Type, let absent = change.absent as? T {
            note(key, change.probeValue(depth: decoder.depth), required: false)
            return absent
        }
        let (schema, value) = SchemaProbe.probe(type, depth: decoder.depth)
        note(key, schema)
        guard let value else { throw CannotProbe() }
        return value
    }

    func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool {
        note(key, .boolean)
        return false
    }
    func decode(_ type: String.Type, forKey key: Key) throws -> String {
        note(key, .string())
        return ""
    }
    func decode(_ type: Double.Type, forKey key: Key) throws -> Double {
        note(key, .number)
        return 0
    }
    func decode(_ type: Float.Type, forKey key: Key) throws -> Float {
        note(key, .number)
        return 0
    }
    func decode(_ type: Int.Type, forKey key: Key) throws -> Int {
        note(key, .integer())
        return 0
    }
    func decode(_ type: Int8.Type, forKey key: Key) throws -> Int8 {
        note(key, .integer())
        return 0
    }
    func decode(_ type: Int16.Type, forKey key: Key) throws -> Int16 {
        note(key, .integer())
        return 0
    }
    func decode(_ type: Int32.Type, forKey key: Key) throws -> Int32 {
        note(key, .integer())
        return 0
    }
    func decode(_ type: Int64.Type, forKey key: Key) throws -> Int64 {
        note(key, .integer())
        return 0
    }
    func decode(_ type: UInt.Type, forKey key: Key) throws -> UInt {
        note(key, .integer())
        return 0
    }
    func decode(_ type: UInt8.Type, forKey key: Key) throws -> UInt8 {
        note(key, .integer())
        return 0
    }
    func decode(_ type: UInt16.Type, forKey key: Key) throws -> UInt16 {
        note(key, .integer())
        return 0
    }
    func decode(_ type: UInt32.Type, forKey key: Key) throws -> UInt32 {
        note(key, .integer())
        return 0
    }
    func decode(_ type: UInt64.Type, forKey key: Key) throws -> UInt64 {
        note(key, .integer())
        return 0
    }

    func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type, forKey key: Key) throws -> KeyedDecodingContainer<Nested> {
        throw CannotProbe()
    }
    func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer { throw CannotProbe() }
    func superDecoder() throws -> any Decoder { throw CannotProbe() }
    func superDecoder(forKey key: Key) throws -> any Decoder { throw CannotProbe() }
}

private struct ProbeSingle: SingleValueDecodingContainer {
    let decoder: ProbeDecoder
    var codingPath: [any CodingKey] { [] }
    func decodeNil() -> Bool { false }

    func decode<T: Decodable>(_ type: T.Type) throws -> T {
        let (schema, value) = SchemaProbe.probe(type, depth: decoder.depth)
        decoder.schema = schema
        guard let value else { throw CannotProbe() }
        return value
    }

    func decode(_ type: Bool.Type) throws -> Bool {
        decoder.schema = .boolean
        return false
    }
    func decode(_ type: String.Type) throws -> String {
        decoder.schema = .string()
        return ""
    }
    func decode(_ type: Double.Type) throws -> Double {
        decoder.schema = .number
        return 0
    }
    func decode(_ type: Float.Type) throws -> Float {
        decoder.schema = .number
        return 0
    }
    func decode(_ type: Int.Type) throws -> Int {
        decoder.schema = .integer()
        return 0
    }
    func decode(_ type: Int8.Type) throws -> Int8 {
        decoder.schema = .integer()
        return 0
    }
    func decode(_ type: Int16.Type) throws -> Int16 {
        decoder.schema = .integer()
        return 0
    }
    func decode(_ type: Int32.Type) throws -> Int32 {
        decoder.schema = .integer()
        return 0
    }
    func decode(_ type: Int64.Type) throws -> Int64 {
        decoder.schema = .integer()
        return 0
    }
    func decode(_ type: UInt.Type) throws -> UInt {
        decoder.schema = .integer()
        return 0
    }
    func decode(_ type: UInt8.Type) throws -> UInt8 {
        decoder.schema = .integer()
        return 0
    }
    func decode(_ type: UInt16.Type) throws -> UInt16 {
        decoder.schema = .integer()
        return 0
    }
    func decode(_ type: UInt32.Type) throws -> UInt32 {
        decoder.schema = .integer()
        return 0
    }
    func decode(_ type: UInt64.Type) throws -> UInt64 {
        decoder.schema = .integer()
        return 0
    }
}
