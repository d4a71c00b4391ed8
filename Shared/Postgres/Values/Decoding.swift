package import Contracts
package import Foundation

/// One field of a row: its bytes in the binary form, nil for NULL. It does not outlive the row it was read from.
package struct Cell {
    let bytes: UnsafeRawBufferPointer?
    let oid: UInt32
}

/// Why a field is not what was asked for.
package struct CellProblem: Error {
    let reason: String
}

/// A value that can be read from a field.
///
/// A type with a raw value that can (a `ValidatedText`, an enum of `String`) conforms with an empty extension.
package protocol SQLDecodable {
    static func decode(_ cell: Cell) throws(CellProblem) -> Self
    /// Several of them from one array.
    static func decodeArray(_ cell: Cell) throws(CellProblem) -> [Self]
}

extension Cell {
    /// The arrays of the types read here; those of extensions and enums have identifiers from 16,384.
    static let arrayTypes: Set<UInt32> = [
        199, 1000, 1001, 1002, 1003, 1005, 1007, 1009, 1014, 1015, 1016, 1021, 1022, 1028, 1115, 1182, 1185, 2951, 3807,
    ]

    func notNull(_ type: Any.Type) throws(CellProblem) -> UnsafeRawBufferPointer {
        guard let bytes else { throw CellProblem(reason: "is NULL, not \(type)") }
        return bytes
    }

    func mismatch(_ type: Any.Type) -> CellProblem {
        CellProblem(reason: "has the server's type \(oid), which is not read as \(type): cast it in the statement")
    }

    /// `smallint`, `integer`, `bigint` and `oid`, by their length.
    func integer(_ type: Any.Type) throws(CellProblem) -> Int64 {
        let bytes = try notNull(type)
        switch oid {
        case 20 where bytes.count == 8: return Int64(bigEndian: bytes.loadUnaligned(as: Int64.self))
        case 23 where bytes.count == 4: return Int64(Int32(bigEndian: bytes.loadUnaligned(as: Int32.self)))
        case 21 where bytes.count == 2: return Int64(Int16(bigEndian: bytes.loadUnaligned(as: Int16.self)))
        case 26 where bytes.count == 4: return Int64(UInt32(bigEndian: bytes.loadUnaligned(as: UInt32.self)))
        default: throw mismatch(type)
        }
    }

    func integer<T: FixedWidthInteger>(as type: T.Type) throws(CellProblem) -> T {
        let wide = try integer(type)
        guard let value = T(exactly: wide) else { throw CellProblem(reason: "does not fit \(type)") }
        return value
    }

    /// The text types, JSON, and types of extensions and enums, whose binary form is their text.
    func text(_ type: Any.Type) throws(CellProblem) -> String {
        var bytes = try notNull(type)
        switch oid {
        case 18, 19, 25, 114, 142, 705, 1042, 1043: break
        case 3802: bytes = try jsonBytes(type)
        case 16_384...: break
        default: throw mismatch(type)
        }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw mismatch(type) }
        return text
    }

    /// The text of `json` or `jsonb`; the binary form of the latter begins with its version.
    func jsonBytes(_ type: Any.Type) throws(CellProblem) -> UnsafeRawBufferPointer {
        let bytes = try notNull(type)
        switch oid {
        case 114: return bytes
        case 3802 where bytes.first == 1: return UnsafeRawBufferPointer(rebasing: bytes.dropFirst())
        default: throw mismatch(type)
        }
    }

    /// The fields of a one-dimensional array.
    func elements(_ type: Any.Type) throws(CellProblem) -> [Cell] {
        let bytes = try notNull(type)
        func int32(_ offset: Int) -> Int32? {
            guard offset + 4 <= bytes.count else { return nil }
            return Int32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Int32.self))
        }
        guard let dimensions = int32(0), let element = int32(8) else { throw mismatch(type) }
        if dimensions == 0 { return [] }
        guard dimensions == 1, let count = int32(12), count >= 0 else { throw mismatch(type) }
        var cells: [Cell] = []
        cells.reserveCapacity(min(Int(count), bytes.count / 4))
        var offset = 20
        for _ in 0..<count {
            guard let length = int32(offset) else { throw mismatch(type) }
            offset += 4
            if length < 0 {
                cells.append(Cell(bytes: nil, oid: UInt32(bitPattern: element)))
                continue
            }
            guard offset + Int(length) <= bytes.count else { throw mismatch(type) }
            let field = UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + Int(length)])
            cells.append(Cell(bytes: field, oid: UInt32(bitPattern: element)))
            offset += Int(length)
        }
        return cells
    }
}

extension SQLDecodable {
    package static func decodeArray(_ cell: Cell) throws(CellProblem) -> [Self] {
        guard cell.bytes == nil || Cell.arrayTypes.contains(cell.oid) || cell.oid >= 16_384 else { throw cell.mismatch([Self].self) }
        var values: [Self] = []
        for element in try cell.elements([Self].self) { values.append(try decode(element)) }
        return values
    }
}

extension SQLDecodable where Self: RawRepresentable, RawValue: SQLDecodable {
    package static func decode(_ cell: Cell) throws(CellProblem) -> Self {
        guard let value = Self(rawValue: try RawValue.decode(cell)) else {
            throw CellProblem(reason: "is not a value of \(Self.self)")
        }
        return value
    }
}

extension SQLDecodable where Self: ValidatedText {
    /// Stored text was checked when it came in; a rule that has become stricter must not make old rows unreadable.
    package static func decode(_ cell: Cell) throws(CellProblem) -> Self { Self(checked: try cell.text(Self.self)) }
}

extension String: SQLDecodable {
    package static func decode(_ cell: Cell) throws(CellProblem) -> String { try cell.text(String.self) }
}

extension Int: SQLDecodable {
    package static func decode(_ cell: Cell) throws(CellProblem) -> Int { try cell.integer(as: Int.self) }
}

extension Int64: SQLDecodable {
    package static func decode(_ cell: Cell) throws(CellProblem) -> Int64 { try cell.integer(as: Int64.self) }
}

extension Int32: SQLDecodable {
    package static func decode(_ cell: Cell) throws(CellProblem) -> Int32 { try cell.integer(as: Int32.self) }
}

extension UInt8: SQLDecodable {
    package static func decode(_ cell: Cell) throws(CellProblem) -> UInt8 { try cell.integer(as: UInt8.self) }
    package static func decodeArray(_ cell: Cell) throws(CellProblem) -> [UInt8] {
        guard cell.bytes == nil || cell.oid == SQLType.bytea.oid else { throw cell.mismatch([UInt8].self) }
        return [UInt8](try cell.notNull([UInt8].self))
    }
}

extension Double: SQLDecodable {
    package static func decode(_ cell: Cell) throws(CellProblem) -> Double {
        let bytes = try cell.notNull(Double.self)
        switch cell.oid {
        case 701 where bytes.count == 8: return Double(bitPattern: UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)))
        case 700 where bytes.count == 4: return Double(Float(bitPattern: UInt32(bigEndian: bytes.loadUnaligned(as: UInt32.self))))
        default: throw cell.mismatch(Double.self)
        }
    }
}

extension Bool: SQLDecodable {
    package static func decode(_ cell: Cell) throws(CellProblem) -> Bool {
        let bytes = try cell.notNull(Bool.self)
        guard cell.oid == SQLType.bool.oid, bytes.count == 1 else { throw cell.mismatch(Bool.self) }
        return bytes[0] != 0
    }
}

extension UUID: SQLDecodable {
    package static func decode(_ cell: Cell) throws(CellProblem) -> UUID {
        let bytes = try cell.notNull(UUID.self)
        guard cell.oid == SQLType.uuid.oid, bytes.count == 16 else { throw cell.mismatch(UUID.self) }
        return UUID(uuid: bytes.loadUnaligned(as: uuid_t.self))
    }
}

extension TypedID: SQLDecodable {
    package static func decode(_ cell: Cell) throws(CellProblem) -> TypedID { TypedID(try UUID.decode(cell)) }
}

/// `timestamptz`, `timestamp` (taken as UTC) and `date` (its midnight in UTC). The infinities become `distantFuture` and `distantPast`.
extension Date: SQLDecodable {
    package static func decode(_ cell: Cell) throws(CellProblem) -> Date {
        let bytes = try cell.notNull(Date.self)
        switch cell.oid {
        case 1184, 1114:
            guard bytes.count == 8 else { throw cell.mismatch(Date.self) }
            let microseconds = Int64(bigEndian: bytes.loadUnaligned(as: Int64.self))
            if microseconds == .max { return .distantFuture }
            if microseconds == .min { return .distantPast }
            return Date(timeIntervalSince1970: PostgresEpoch.seconds + Double(microseconds) / 1_000_000)
        case 1082:
            guard bytes.count == 4 else { throw cell.mismatch(Date.self) }
            let days = Int32(bigEndian: bytes.loadUnaligned(as: Int32.self))
            if days == .max { return .distantFuture }
            if days == .min { return .distantPast }
            return Date(timeIntervalSince1970: PostgresEpoch.seconds + Double(days) * 86_400)
        default: throw cell.mismatch(Date.self)
        }
    }
}

extension Data: SQLDecodable {
    package static func decode(_ cell: Cell) throws(CellProblem) -> Data { Data(try UInt8.decodeArray(cell)) }
}

extension JSONB: SQLDecodable where Value: Decodable {
    package static func decode(_ cell: Cell) throws(CellProblem) -> JSONB {
        let data = Data(try cell.jsonBytes(JSONB.self))
        do {
            return JSONB(try JSON.decode(Value.self, from: data))
        } catch {
            throw CellProblem(reason: "holds JSON that is not \(Value.self)")
        }
    }
}

extension Optional: SQLDecodable where Wrapped: SQLDecodable {
    package static func decode(_ cell: Cell) throws(CellProblem) -> Wrapped? {
        cell.bytes == nil ? nil : try Wrapped.decode(cell)
    }
}

extension Array: SQLDecodable where Element: SQLDecodable {
    package static func decode(_ cell: Cell) throws(CellProblem) -> [Element] { try Element.decodeArray(cell) }
}

extension EmailAddress: SQLDecodable {}
extension Slug: SQLDecodable {}
extension Name: SQLDecodable {}
extension Title: SQLDecodable {}
extension Label: SQLDecodable {}
extension ShortText: SQLDecodable {}
extension WebAddress: SQLDecodable {}
extension ServiceName: SQLDecodable {}
