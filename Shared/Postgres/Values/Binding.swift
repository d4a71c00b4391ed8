package import Contracts
package import Foundation

/// A type of the server, as far as this client sends it: its object identifier and that of its arrays (`pg_type.dat`).
package struct SQLType: Sendable, Hashable {
    let oid: UInt32
    /// Zero when arrays of it are not sent.
    let array: UInt32
    /// What stands in the header of an array of it.
    let element: UInt32

    init(_ oid: UInt32, array: UInt32, element: UInt32? = nil) {
        self.oid = oid
        self.array = array
        self.element = element ?? oid
    }

    static let bool = SQLType(16, array: 1000)
    static let bytea = SQLType(17, array: 1001)
    static let int8 = SQLType(20, array: 1016)
    static let int4 = SQLType(23, array: 1007)
    static let float8 = SQLType(701, array: 1022)
    static let timestamptz = SQLType(1184, array: 1185)
    static let uuid = SQLType(2950, array: 2951)
    static let jsonb = SQLType(3802, array: 3807)
    /// The server infers it; in arrays it is `text`.
    static let inferred = SQLType(0, array: 1009, element: 25)
}

/// One value on its way to the server.
package struct Binding: Sendable {
    enum Value: Sendable {
        case null
        case bool(Bool)
        case int32(Int32)
        case int64(Int64)
        case double(Double)
        case uuid(UUID)
        case text(String)
        case bytes([UInt8])
        /// It could not be turned into bytes, and why; reported when the statement is run.
        case unencodable(String)
    }

    let type: SQLType
    let value: Value

    init(_ type: SQLType, _ value: Value) {
        self.type = type
        self.value = value
    }

    /// libpq takes text as a C string, which ends at the first NUL: silently cut text would be wrong, so it is refused.
    func check() throws {
        switch value {
        case .text(let text):
            if text.utf8.contains(0) {
                throw ValidationFailure("", "control-character", "text must not contain the NUL character")
            }
        case .unencodable(let reason): throw PostgresFailure(sqlState: "22000", message: reason)
        case .null, .bool, .int32, .int64, .double, .uuid, .bytes: break
        }
    }

    /// Text goes as text, everything else in the binary form.
    var isText: Bool {
        if case .text = value { true } else { false }
    }

    /// Appends the value's bytes, numbers in network order; a null appends nothing.
    func append(to bytes: inout [UInt8]) {
        switch value {
        case .null, .unencodable: break
        case .bool(let value): bytes.append(value ? 1 : 0)
        case .int32(let value): bytes.append(bigEndian: value)
        case .int64(let value): bytes.append(bigEndian: value)
        case .double(let value): bytes.append(bigEndian: value.bitPattern)
        case .uuid(let value): withUnsafeBytes(of: value.uuid) { bytes.append(contentsOf: $0) }
        case .text(let value): bytes.append(contentsOf: value.utf8)
        case .bytes(let value): bytes.append(contentsOf: value)
        }
    }
}

extension [UInt8] {
    mutating func append(bigEndian value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value.bigEndian) { append(contentsOf: $0) }
    }
}

/// A value that may stand in SQL.
///
/// A type with a raw value that may (a `ValidatedText`, an enum of `String`) conforms with an empty extension.
package protocol SQLBindable: Sendable {
    static var sqlType: SQLType { get }
    var binding: Binding { get }
    /// Several of them as one array.
    static func arrayBinding(_ values: [Self]) -> Binding
}

extension SQLBindable {
    /// The binary form of a one-dimensional array (`array_recv` of the server).
    package static func arrayBinding(_ values: [Self]) -> Binding { Binding.array(of: sqlType, values.map(\.binding)) }
}

extension Binding {
    static func array(of type: SQLType, _ elements: [Binding]) -> Binding {
        let arrayType = SQLType(type.array, array: 0)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(20 + elements.count * 20)
        let hasNull = elements.contains { if case .null = $0.value { true } else { false } }
        bytes.append(bigEndian: Int32(elements.isEmpty ? 0 : 1))
        bytes.append(bigEndian: Int32(hasNull ? 1 : 0))
        bytes.append(bigEndian: type.element)
        if !elements.isEmpty {
            bytes.append(bigEndian: Int32(elements.count))
            bytes.append(bigEndian: Int32(1))
        }
        for element in elements {
            if case .unencodable = element.value { return Binding(arrayType, element.value) }
            if case .null = element.value {
                bytes.append(bigEndian: Int32(-1))
                continue
            }
            if case .text(let text) = element.value, text.utf8.contains(0) {
                // Reported as any text with NUL is, when the statement is made.
                return Binding(arrayType, .text(text))
            }
            let start = bytes.count
            bytes.append(bigEndian: Int32(0))
            // The binary form of jsonb begins with its version.
            if type == .jsonb { bytes.append(1) }
            element.append(to: &bytes)
            let length = Int32(bytes.count - start - 4)
            Swift.withUnsafeBytes(of: length.bigEndian) { bytes.replaceSubrange(start..<start + 4, with: $0) }
        }
        return Binding(arrayType, .bytes(bytes))
    }
}

extension SQLBindable where Self: RawRepresentable, RawValue: SQLBindable {
    package static var sqlType: SQLType { RawValue.sqlType }
    package var binding: Binding { rawValue.binding }
}

extension String: SQLBindable {
    package static var sqlType: SQLType { .inferred }
    package var binding: Binding { Binding(.inferred, .text(self)) }
}

extension Int: SQLBindable {
    package static var sqlType: SQLType { .int8 }
    package var binding: Binding { Binding(.int8, .int64(Int64(self))) }
}

extension Int64: SQLBindable {
    package static var sqlType: SQLType { .int8 }
    package var binding: Binding { Binding(.int8, .int64(self)) }
}

extension Int32: SQLBindable {
    package static var sqlType: SQLType { .int4 }
    package var binding: Binding { Binding(.int4, .int32(self)) }
}

/// Alone it is a number; an array of it is `bytea`.
extension UInt8: SQLBindable {
    package static var sqlType: SQLType { .int4 }
    package var binding: Binding { Binding(.int4, .int32(Int32(self))) }
    package static func arrayBinding(_ values: [UInt8]) -> Binding { Binding(.bytea, .bytes(values)) }
}

extension Double: SQLBindable {
    package static var sqlType: SQLType { .float8 }
    package var binding: Binding { Binding(.float8, .double(self)) }
}

extension Bool: SQLBindable {
    package static var sqlType: SQLType { .bool }
    package var binding: Binding { Binding(.bool, .bool(self)) }
}

extension UUID: SQLBindable {
    package static var sqlType: SQLType { .uuid }
    package var binding: Binding { Binding(.uuid, .uuid(self)) }
}

extension TypedID: SQLBindable {
    package static var sqlType: SQLType { .uuid }
    package var binding: Binding { Binding(.uuid, .uuid(uuid)) }
}

/// `timestamptz`, which counts microseconds from 2000-01-01.
extension Date: SQLBindable {
    package static var sqlType: SQLType { .timestamptz }
    package var binding: Binding {
        let microseconds = ((timeIntervalSince1970 - PostgresEpoch.seconds) * 1_000_000).rounded()
        guard let value = Int64(exactly: microseconds) else {
            return Binding(.timestamptz, .unencodable("a time is outside what timestamptz holds"))
        }
        return Binding(.timestamptz, .int64(value))
    }
}

/// 2000-01-01T00:00:00Z, where the server's clock begins, in Unix seconds.
enum PostgresEpoch {
    static let seconds: Double = 946_684_800
}

extension Data: SQLBindable {
    package static var sqlType: SQLType { .bytea }
    package var binding: Binding { Binding(.bytea, .bytes([UInt8](self))) }
}

/// A Codable value kept as `jsonb`, in the platform's JSON (`JSON.encoder`).
package struct JSONB<Value: Sendable>: Sendable {
    package let value: Value
    package init(_ value: Value) { self.value = value }
}

extension JSONB: Equatable where Value: Equatable {}

extension JSONB: SQLBindable where Value: Encodable {
    package static var sqlType: SQLType { .jsonb }
    package var binding: Binding {
        do {
            return Binding(.jsonb, .text(String(decoding: try JSON.encode(value), as: UTF8.self)))
        } catch {
            return Binding(.jsonb, .unencodable("a value of \(Value.self) cannot be written as JSON"))
        }
    }
}

extension Optional: SQLBindable where Wrapped: SQLBindable {
    package static var sqlType: SQLType { Wrapped.sqlType }
    package var binding: Binding { self?.binding ?? Binding(Wrapped.sqlType, .null) }
}

extension Array: SQLBindable where Element: SQLBindable {
    package static var sqlType: SQLType { Element.arrayBinding([]).type }
    package var binding: Binding { Element.arrayBinding(self) }
}

extension EmailAddress: SQLBindable {}
extension Slug: SQLBindable {}
extension Name: SQLBindable {}
extension Title: SQLBindable {}
extension Label: SQLBindable {}
extension ShortText: SQLBindable {}
extension WebAddress: SQLBindable {}
extension ServiceName: SQLBindable {}
