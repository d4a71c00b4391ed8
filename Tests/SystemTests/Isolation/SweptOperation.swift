import Contracts
import Foundation

/// One operation of the merged OpenAPI document, as the sweep calls it.
struct SweptOperation: Sendable {
    struct Parameter: Sendable {
        let name: String
        let schema: JSONValue
        let required: Bool
    }

    let method: String
    /// `/api/v1/content/articles/{idOrSlug}`.
    let template: String
    let pathParameters: [String]
    let query: [Parameter]
    let mediaType: String?
    let bodySchema: JSONValue?

    var label: String { "\(method) \(template)" }
    var isSafe: Bool { method == "GET" }

    /// The path with these values for its parameters.
    func path(_ values: [String: String]) -> String {
        pathParameters.reduce(template) { path, name in path.replacingOccurrences(of: "{\(name)}", with: values[name] ?? "missing") }
    }

    /// The collection that a path parameter stands in: what comes before it.
    func collection(of parameter: String) -> String? {
        template.range(of: "/{\(parameter)}").map { String(template[..<$0.lowerBound]) }
    }

    static func all(in document: JSONValue) -> [SweptOperation] {
        guard case .object(let paths) = document["paths"] else { return [] }
        var found: [SweptOperation] = []
        for (template, item) in paths {
            guard case .object(let methods) = item else { continue }
            for (method, operation) in methods where ["get", "post", "put", "patch", "delete"].contains(method) {
                // An answer that goes on until the caller leaves is held against other organizations in its room's own tests.
                if !operation["responses"]["200"]["content"]["text/event-stream"].isNull { continue }
                let parameters = operation["parameters"].array
                func named(_ place: String) -> [Parameter] {
                    parameters.filter { $0["in"].string == place }.map {
                        Parameter(name: $0["name"].string ?? "", schema: $0["schema"], required: $0["required"].bool ?? false)
                    }
                }
                var body: (String, JSONValue)?
                if case .object(let content) = operation["requestBody"]["content"],
                    let first = content.sorted(by: { $0.key < $1.key }).first
                {
                    body = (first.key, first.value["schema"])
                }
                found.append(
                    SweptOperation(
                        method: method.uppercased(), template: template, pathParameters: named("path").map(\.name), query: named("query"),
                        mediaType: body?.0, bodySchema: body?.1))
            }
        }
        // Reading first, and what ends something last, so that there is something to be read.
        let order = ["GET": 0, "POST": 1, "PUT": 2, "PATCH": 3, "DELETE": 4]
        return found.sorted { (order[$0.method] ?? 9, $0.template) < (order[$1.method] ?? 9, $1.template) }
    }
}

/// Values that fit a schema, made from the document alone: an operation that is new is swept without a line being written for it.
struct SampleMaker {
    let components: JSONValue
    /// What stands wherever an id is asked for.
    let id: String
    /// A word in every free text, by which it is known again.
    let mark: String

    static let depth = 6

    func value(_ schema: JSONValue, name: String = "", depth: Int = 0) -> JSONValue {
        if let reference = schema["$ref"].string?.split(separator: "/").last {
            return value(components["schemas"][String(reference)], name: name, depth: depth + 1)
        }
        if let first = schema["anyOf"].array.first { return value(first, name: name, depth: depth + 1) }
        if let choice = schema["enum"].array.first { return choice }
        guard depth < Self.depth else { return .null }
        switch schema["type"].string {
        case "string": return .string(text(schema, name))
        case "integer": return .integer(min(max(schema["minimum"].int ?? 1, 1), schema["maximum"].int ?? .max))
        case "number": return .number(1)
        case "boolean": return .bool(false)
        case "array": return .array([value(schema["items"], name: name, depth: depth + 1)])
        case "object":
            guard case .object(let properties) = schema["properties"] else { return [:] }
            return .object(
                properties.reduce(into: [:]) { result, property in
                    let made = value(property.value, name: property.key, depth: depth + 1)
                    if !made.isNull { result[property.key] = made }
                })
        default: return .null
        }
    }

    private func text(_ schema: JSONValue, _ name: String) -> String {
        let lowered = name.lowercased(), unique = UUID().uuidString.lowercased().prefix(8)
        switch schema["format"].string {
        case "uuid": return id
        case "email": return "\(mark).\(unique)@example.org"
        case "date-time": return "2030-01-15T10:30:00.000Z"
        case "uri", "uri-reference", "url": return "https://example.org/\(mark)"
        default: break
        }
        if lowered == "id" || name.hasSuffix("Id") || name.hasSuffix("ID") { return id }
        if lowered.contains("email") { return "\(mark).\(unique)@example.org" }
        if lowered.contains("password") { return "a long enough secret \(unique)" }
        if lowered == "scopes" || lowered == "permissions" { return "content:read" }
        if lowered.contains("slug") { return "\(mark)-\(unique)" }
        if lowered.contains("domain") { return "\(mark)-\(unique).example.org" }
        if lowered == "role" || lowered.hasSuffix("role") { return "user" }
        if lowered.contains("timezone") { return "UTC" }
        if lowered.contains("language") || lowered == "locale" { return "en" }
        if lowered.contains("phone") { return "+4915112345678" }
        if lowered == "content" { return "<p>\(mark) \(unique)</p>" }
        var made = "\(mark) \(unique)"
        if let least = schema["minLength"].int, made.count < least { made += String(repeating: "x", count: least - made.count) }
        if let most = schema["maxLength"].int, made.count > most { made = String(made.prefix(most)) }
        return made
    }

    /// The query with every parameter that asks for an id, and what is required.
    func query(_ parameters: [SweptOperation.Parameter]) -> String {
        let pairs = parameters.compactMap { parameter -> String? in
            let asksForID = parameter.schema["format"].string == "uuid"
            guard asksForID || parameter.required else { return nil }
            let text = asksForID ? id : value(parameter.schema, name: parameter.name).string ?? "1"
            return "\(parameter.name)=\(text.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? "")"
        }
        return pairs.isEmpty ? "" : "?" + pairs.joined(separator: "&")
    }
}
