package import Contracts
import Foundation
import HTTPTypes

/// Writes OpenAPI 3.1 from the declarations that route and validate, so that it cannot drift.
package enum OpenAPI {
    package static let version = "0.1.0"

    package static func document(title: String, summary: String, endpoints: [Endpoint]) -> JSONValue {
        var paths: [String: [String: JSONValue]] = [:]
        let shown = endpoints.filter { !$0.path.hasPrefix("/internal/") }
        var components = Components(shown.flatMap { [$0.requestBody, $0.responseBody].compactMap { $0 } } + [Problem.schema])
        _ = components.reference(Problem.schema)
        for endpoint in shown {
            paths[endpoint.template, default: [:]][endpoint.method.rawValue.lowercased()] = operation(endpoint, &components)
        }
        return .object([
            "openapi": .string("3.1.0"),
            "info": .object(["title": .string(title), "summary": .string(summary), "version": .string(version)]),
            "paths": .object(paths.mapValues { .object($0) }),
            "components": .object([
                "schemas": .object(components.schemas),
                "securitySchemes": .object([
                    "bearer": .object(["type": .string("http"), "scheme": .string("bearer"), "bearerFormat": .string("JWT")]),
                    "apiKey": .object(["type": .string("apiKey"), "in": .string("header"), "name": .string("X-API-Key")]),
                ]),
            ]),
        ])
    }

    private static func operation(_ endpoint: Endpoint, _ components: inout Components) -> JSONValue {
        var operation: [String: JSONValue] = [
            "summary": .string(endpoint.summary), "operationId": .string(operationID(endpoint)),
            "security": .array(endpoint.access.schemes.map { .object([$0: .array([])]) }),
        ]
        switch endpoint.access {
        case .permission(let permission), .recently(.some(let permission)): operation["x-permission"] = .string(permission.description)
        case .public, .signedIn, .recently(nil), .superadmin, .service: break
        }
        if case .recently = endpoint.access { operation["x-max-authentication-age"] = .integer(Access.recentSeconds) }
        var parameters: [JSONValue] = endpoint.pathParameters.map { name in
            .object(["name": .string(name), "in": .string("path"), "required": .bool(true), "schema": json(.string())])
        }
        if case .object(let properties) = endpoint.query?.schema {
            parameters += properties.map { property in
                .object([
                    "name": .string(property.name), "in": .string("query"), "required": .bool(property.required),
                    "schema": json(property.schema),
                ])
            }
        }
        if endpoint.method == .post {
            parameters.append(
                .object([
                    "name": .string("Idempotency-Key"), "in": .string("header"), "required": .bool(false),
                    "schema": json(.string(maxLength: Idempotency.maximumKeyLength)),
                ]))
        }
        if !parameters.isEmpty { operation["parameters"] = .array(parameters) }
        if let body = endpoint.requestBody {
            operation["requestBody"] = .object([
                "required": .bool(true), "content": .object([endpoint.requestMediaType: .object(["schema": components.reference(body)])]),
            ])
        }
        operation["responses"] = .object(responses(endpoint, &components))
        return .object(operation)
    }

    private static func responses(_ endpoint: Endpoint, _ components: inout Components) -> [String: JSONValue] {
        var success: [String: JSONValue] = ["description": .string(endpoint.status.reasonPhrase)]
        if let body = endpoint.responseBody {
            success["content"] = .object([endpoint.responseMediaType: .object(["schema": components.reference(body)])])
        }
        var responses: [String: JSONValue] = [String(endpoint.status.code): .object(success)]
        let problem: JSONValue = .object([
            "description": .string("A problem (RFC 9457)"),
            "content": .object([
                Problem.mediaType: .object(["schema": .object(["$ref": .string("#/components/schemas/Problem")])])
            ]),
        ])
        responses["default"] = problem
        return responses
    }

    /// `getContentArticlesById`: stable, unique by method and path.
    private static func operationID(_ endpoint: Endpoint) -> String {
        let words = endpoint.path.replacingOccurrences(of: "/api/v1/", with: "/").split { $0 == "/" || $0 == "-" || $0 == "." || $0 == "_" }
        return endpoint.method.rawValue.lowercased()
            + words.map {
                $0.hasPrefix(":")
                    ? "By" + $0.dropFirst().prefix(1).uppercased() + $0.dropFirst(2) : $0.prefix(1).uppercased() + $0.dropFirst()
            }
            .joined()
    }

    /// The schemas with names. Where two types have one name and not one form, both go by their full names.
    private struct Components {
        private(set) var schemas: [String: JSONValue] = [:]
        private let ambiguous: Set<String>

        init(_ all: [NamedSchema]) {
            let forms = Dictionary(grouping: all.filter { $0.name != nil }) { $0.name ?? "" }.mapValues { Set($0.map { json($0.schema) }) }
            ambiguous = Set(forms.filter { $0.value.count > 1 }.keys)
        }

        mutating func reference(_ named: NamedSchema) -> JSONValue {
            guard let short = named.name, let full = named.fullName else { return json(named.schema) }
            let name = ambiguous.contains(short) ? full : short
            schemas[name] = json(named.schema)
            return .object(["$ref": .string("#/components/schemas/\(name)")])
        }
    }

    /// A schema as JSON Schema 2020-12; also used by AsyncAPI.
    package static func json(_ schema: Schema) -> JSONValue {
        switch schema {
        case .string(let format, let minimum, let maximum, let pattern):
            var object: [String: JSONValue] = ["type": .string("string")]
            object["format"] = format.map(JSONValue.string)
            object["minLength"] = minimum.map(JSONValue.integer)
            object["maxLength"] = maximum.map(JSONValue.integer)
            object["pattern"] = pattern.map(JSONValue.string)
            return .object(object)
        case .choice(let choices): return .object(["type": .string("string"), "enum": .array(choices.map(JSONValue.string))])
        case .integer(let minimum, let maximum):
            var object: [String: JSONValue] = ["type": .string("integer")]
            object["minimum"] = minimum.map(JSONValue.integer)
            object["maximum"] = maximum.map(JSONValue.integer)
            return .object(object)
        case .number: return .object(["type": .string("number")])
        case .boolean: return .object(["type": .string("boolean")])
        case .array(let items, let maximum):
            var object: [String: JSONValue] = ["type": .string("array"), "items": json(items)]
            object["maxItems"] = maximum.map(JSONValue.integer)
            return .object(object)
        case .map(let values): return .object(["type": .string("object"), "additionalProperties": json(values)])
        case .object(let properties):
            var object: [String: JSONValue] = [
                "type": .string("object"),
                "properties": .object(Dictionary(properties.map { ($0.name, json($0.schema)) }, uniquingKeysWith: { first, _ in first })),
            ]
            let required = properties.filter(\.required).map { JSONValue.string($0.name) }
            if !required.isEmpty { object["required"] = .array(required) }
            return .object(object)
        case .nullable(let inner):
            return .object(["anyOf": .array([json(inner), .object(["type": .string("null")])])])
        case .any: return .object([:])
        case .binary: return .object(["type": .string("string"), "format": .string("binary")])
        }
    }
}

extension Access {
    /// The credentials that are taken: any of them, or none where anybody may call.
    fileprivate var schemes: [String] {
        switch self {
        case .public: []
        case .permission, .signedIn: ["bearer", "apiKey"]
        case .recently, .superadmin, .service: ["bearer"]
        }
    }
}
