/// A statement, or a part of one, whose values are bindings and never text.
///
/// `"SELECT title FROM articles WHERE id = \(id)"` becomes `… WHERE id = $1` with one binding. Text comes from
/// literals alone, because the literal type is `StaticString`: nothing made at run time can be spliced in.
/// A `String` is sent untyped, so that the server infers its type from where it stands (text, enum, timestamp …);
/// where it cannot (`jsonb_build_object('a', \(text)::text)`), write a cast.
package struct SQL: Sendable, ExpressibleByStringInterpolation {
    enum Piece: Sendable {
        case literal(StaticString)
        /// Text made inside this module only: control statements and names checked there.
        case trusted(String)
        case value(Binding)
    }

    var pieces: [Piece]

    init(pieces: [Piece]) { self.pieces = pieces }
    init(trusted text: String) { pieces = [.trusted(text)] }

    package init(stringLiteral text: StaticString) { pieces = [.literal(text)] }
    package init(stringInterpolation: StringInterpolation) { pieces = stringInterpolation.pieces }

    /// No text and no bindings: the start of a filter that may stay empty.
    package static let empty = SQL(pieces: [])
    package var isEmpty: Bool { pieces.isEmpty }

    package static func + (left: SQL, right: SQL) -> SQL { SQL(pieces: left.pieces + right.pieces) }
    package static func += (left: inout SQL, right: SQL) { left.pieces += right.pieces }

    package struct StringInterpolation: StringInterpolationProtocol, Sendable {
        var pieces: [Piece] = []

        package init(literalCapacity: Int, interpolationCount: Int) { pieces.reserveCapacity(2 * interpolationCount + 1) }

        package mutating func appendLiteral(_ literal: StaticString) {
            if literal.utf8CodeUnitCount > 0 { pieces.append(.literal(literal)) }
        }

        /// A value, sent beside the text.
        package mutating func appendInterpolation(_ value: some SQLBindable) { pieces.append(.value(value.binding)) }

        /// A value that may be NULL. Its own method, because the compiler takes an optional in any other for a mistake.
        package mutating func appendInterpolation<Value: SQLBindable>(_ value: Value?) { pieces.append(.value(value.binding)) }

        /// Another piece of SQL with its own bindings, numbered anew.
        package mutating func appendInterpolation(fragment: SQL) { pieces += fragment.pieces }

        /// Text known when the program was compiled: a table, a column, a direction.
        package mutating func appendInterpolation(raw text: StaticString) { pieces.append(.literal(text)) }
    }
}

extension Sequence<SQL> {
    /// The fragments one after the other with `separator` between them: `filters.joined(separator: " AND ")`.
    package func joined(separator: StaticString) -> SQL {
        var result = SQL.empty
        for fragment in self {
            if !result.isEmpty { result.pieces.append(.literal(separator)) }
            result.pieces += fragment.pieces
        }
        return result
    }
}

/// SQL as it goes to the server: text with `$1`, `$2` … and what they stand for.
struct Statement: Sendable {
    /// The protocol counts parameters in 16 bits.
    static let parameterLimit = 65_535

    let text: String
    let bindings: [Binding]

    /// A control statement of this module.
    init(control text: String) {
        self.text = text
        bindings = []
    }

    /// Refuses what cannot be sent: text with a NUL character (as `ValidationFailure`), a value that JSON cannot hold, too many bindings.
    init(_ sql: SQL) throws {
        var bindings: [Binding] = []
        var capacity = 0
        for piece in sql.pieces {
            switch piece {
            case .literal(let text): capacity += text.utf8CodeUnitCount
            case .trusted(let text): capacity += text.utf8.count
            case .value(let binding):
                try binding.check()
                bindings.append(binding)
                capacity += 6
            }
        }
        guard bindings.count <= Self.parameterLimit else {
            throw PostgresFailure(sqlState: "54023", message: "a statement takes at most \(Self.parameterLimit) values")
        }
        text = Self.text(of: sql.pieces, capacity: capacity)
        self.bindings = bindings
    }

    private static func text(of pieces: [SQL.Piece], capacity: Int) -> String {
        String(unsafeUninitializedCapacity: capacity) { buffer in
            var end = 0
            func append(_ bytes: UnsafeBufferPointer<UInt8>) {
                _ = UnsafeMutableBufferPointer(rebasing: buffer[end...]).update(fromContentsOf: bytes)
                end += bytes.count
            }
            var number = 0
            for piece in pieces {
                switch piece {
                case .literal(let text): text.withUTF8Buffer(append)
                case .trusted(var text): text.withUTF8(append)
                case .value:
                    number += 1
                    var marker = "$\(number)"
                    marker.withUTF8(append)
                }
            }
            return end
        }
    }
}
