package import Contracts
import Foundation

/// A JSON Schema (draft 2020-12), as far as our own documents use it. A keyword or a format that it does not know is refused when the
/// schema is read, so that nothing passes because nobody looked; `format` is asserted.
package struct JSONSchema: Sendable {
    /// Deeper references than any of our documents has; a schema that refers to itself ends here.
    private static let maximumDepth = 32

    /// Why a schema cannot be used: where in it, and what is not known.
    package struct Unreadable: Error, Equatable, CustomStringConvertible {
        package let path: String
        package let what: String
        package var description: String { "the schema at \(path.isEmpty ? "/" : path): \(what)" }
    }

    /// What is wrong with a value: where in it (a JSON pointer, RFC 6901), and what. The value itself is not repeated.
    package struct Violation: Sendable, Hashable, CustomStringConvertible {
        package let path: String
        package let what: String
        package var description: String { "\(path.isEmpty ? "/" : path) \(what)" }
    }

    private enum Others: Sendable {
        case allowed
        case refused
        indirect case like(JSONSchema)
    }

    private var types: [String]?
    private var properties: [String: JSONSchema] = [:]
    private var required: [String] = []
    private var others = Others.allowed
    /// One or none: a value of its own type cannot lie in a struct.
    private var items: [JSONSchema] = []
    private var choices: [JSONValue]?
    private var format: Format?
    private var pattern: String?
    private var minimum: Double?
    private var maximum: Double?
    private var length: (least: Int, most: Int) = (0, .max)
    private var count: (least: Int, most: Int) = (0, .max)
    private var anyOf: [JSONSchema] = []

    private static let annotations: Set<String> = ["title", "description", "examples", "default", "deprecated", "$comment"]

    /// Reads a schema; `#/…` references are looked up in `document`. Throws `Unreadable`.
    package init(_ schema: JSONValue, in document: JSONValue = .null) throws(Unreadable) {
        self = try Self.read(schema, document, path: "", depth: 0)
    }

    private init() {}

    private static func read(_ schema: JSONValue, _ document: JSONValue, path: String, depth: Int) throws(Unreadable) -> JSONSchema {
        guard depth < maximumDepth else { throw Unreadable(path: path, what: "refers to itself, or is too deep") }
        if case .bool(true) = schema { return JSONSchema() }
        guard case .object(let keywords) = schema else { throw Unreadable(path: path, what: "is no object") }
        if let reference = keywords["$ref"]?.string {
            guard keywords.keys.allSatisfy({ $0 == "$ref" || annotations.contains($0) }) else {
                throw Unreadable(path: path, what: "has keywords beside $ref")
            }
            return try read(try lookUp(reference, in: document, path), document, path: path + "/$ref", depth: depth + 1)
        }
        var result = JSONSchema()
        for (keyword, value) in keywords.sorted(by: { $0.key < $1.key }) where !annotations.contains(keyword) {
            try result.take(keyword, value, path: "\(path)/\(keyword)") { (inner: JSONValue, path: String) throws(Unreadable) in
                try read(inner, document, path: path, depth: depth + 1)
            }
        }
        return result
    }

    private static func lookUp(_ reference: String, in document: JSONValue, _ path: String) throws(Unreadable) -> JSONValue {
        guard reference.hasPrefix("#/") else { throw Unreadable(path: path, what: "refers to \(reference), outside the document") }
        let names = reference.dropFirst(2).split(separator: "/").map {
            $0.replacing("~1", with: "/").replacing("~0", with: "~")
        }
        let found = names.reduce(document) { $0[String($1)] }
        guard !found.isNull else { throw Unreadable(path: path, what: "refers to \(reference), which is not there") }
        return found
    }

    private mutating func take(
        _ keyword: String, _ value: JSONValue, path: String, _ read: (JSONValue, String) throws(Unreadable) -> JSONSchema
    ) throws(Unreadable) {
        switch (keyword, value) {
        case ("type", .string(let name)): types = [try Self.type(name, path)]
        case ("type", .array(let names)):
            types = try names.map { name throws(Unreadable) in try Self.type(name.string ?? "", path) }
        case ("properties", .object(let members)):
            for (name, schema) in members { properties[name] = try read(schema, "\(path)/\(name)") }
        case ("required", .array(let names)): required = names.compactMap(\.string)
        case ("additionalProperties", .bool(let allowed)): others = allowed ? .allowed : .refused
        case ("additionalProperties", .object): others = .like(try read(value, path))
        case ("items", .object): items = [try read(value, path)]
        case ("enum", .array(let values)): choices = values
        case ("const", _): choices = [value]
        case ("format", .string(let name)):
            guard let known = Format(rawValue: name) else { throw Unreadable(path: path, what: "\(name) is no format that is known here") }
            format = known
        case ("pattern", .string(let text)):
            guard (try? Regex(text)) != nil else { throw Unreadable(path: path, what: "is no regular expression") }
            pattern = text
        case ("minimum", _) where value.double != nil: minimum = value.double
        case ("maximum", _) where value.double != nil: maximum = value.double
        case ("minLength", .integer(let bound)): length.least = bound
        case ("maxLength", .integer(let bound)): length.most = bound
        case ("minItems", .integer(let bound)): count.least = bound
        case ("maxItems", .integer(let bound)): count.most = bound
        case ("anyOf", .array(let schemas)):
            anyOf = try schemas.map { schema throws(Unreadable) in try read(schema, path) }
        default: throw Unreadable(path: path, what: "is not known here, or not of its type")
        }
    }

    private static func type(_ name: String, _ path: String) throws(Unreadable) -> String {
        guard ["object", "array", "string", "integer", "number", "boolean", "null"].contains(name) else {
            throw Unreadable(path: path, what: "\(name) is no type")
        }
        return name
    }
}

// MARK: - Checking

extension JSONSchema {
    /// All that is wrong with a value; empty when it fits.
    package func violations(of value: JSONValue) -> [Violation] {
        var found: [Violation] = []
        check(value, "", &found)
        return found
    }

    private func check(_ value: JSONValue, _ path: String, _ found: inout [Violation]) {
        func wrong(_ what: String) { found.append(Violation(path: path, what: what)) }
        if let types, !types.contains(where: { value.isOf($0) }) {
            return wrong("is \(value.typeName), not \(types.joined(separator: " or "))")
        }
        if let choices, !choices.contains(value) { wrong("is none of the values allowed") }
        if !anyOf.isEmpty, !anyOf.contains(where: { $0.violations(of: value).isEmpty }) { wrong("fits none of anyOf") }
        switch value {
        case .object(let members): check(members, path, &found)
        case .array(let elements):
            if elements.count < count.least || elements.count > count.most { wrong("has \(elements.count) items") }
            for (index, element) in elements.enumerated() { items.first?.check(element, "\(path)/\(index)", &found) }
        case .string(let text):
            // The specification counts code points.
            let size = text.unicodeScalars.count
            if size < length.least || size > length.most { wrong("has \(size) characters") }
            if let format, !format.allows(text) { wrong("is no \(format.rawValue)") }
            if let pattern, let regex = try? Regex(pattern), text.firstMatch(of: regex) == nil { wrong("does not match \(pattern)") }
        case .integer, .number:
            guard let number = value.double else { return }
            if let minimum, number < minimum { wrong("is below \(minimum)") }
            if let maximum, number > maximum { wrong("is above \(maximum)") }
        case .null, .bool: return
        }
    }

    private func check(_ members: [String: JSONValue], _ path: String, _ found: inout [Violation]) {
        for name in required where members[name] == nil {
            found.append(Violation(path: "\(path)/\(Self.escaped(name))", what: "is missing"))
        }
        for (name, member) in members.sorted(by: { $0.key < $1.key }) {
            let place = "\(path)/\(Self.escaped(name))"
            if let schema = properties[name] {
                schema.check(member, place, &found)
                continue
            }
            switch others {
            case .allowed: continue
            case .refused: found.append(Violation(path: place, what: "is not allowed"))
            case .like(let schema): schema.check(member, place, &found)
            }
        }
    }

    private static func escaped(_ name: String) -> String { name.replacing("~", with: "~0").replacing("/", with: "~1") }

    /// The formats of our documents.
    private enum Format: String {
        case uuid, uri, email, byte, binary
        case dateTime = "date-time"

        func allows(_ text: String) -> Bool {
            switch self {
            case .uuid: text.utf8.count == 36 && UUID(uuidString: text) != nil
            case .dateTime: Timestamp.date(text) != nil
            case .uri: URL(string: text)?.scheme != nil
            case .email: (try? EmailAddress(text)) != nil
            case .byte: Data(base64Encoded: text) != nil
            case .binary: true
            }
        }
    }
}

extension JSONValue {
    /// In the words of JSON Schema.
    fileprivate var typeName: String {
        switch self {
        case .null: "null"
        case .bool: "boolean"
        case .integer: "integer"
        case .number: "number"
        case .string: "string"
        case .array: "array"
        case .object: "object"
        }
    }

    fileprivate func isOf(_ type: String) -> Bool {
        switch (type, self) {
        case ("number", .integer): true
        // 1.0 is an integer (JSON Schema, core, 4.2.3).
        case ("integer", .number(let number)): number.rounded() == number
        default: typeName == type
        }
    }
}
