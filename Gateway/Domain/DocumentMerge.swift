import Contracts

/// One OpenAPI document out of those of the services: what the outside can reach, and nothing else.
enum DocumentMerge {
    /// A schema name that two services use for different things gets the name of the service in front in the later one.
    static func merge(_ documents: [(service: ServiceName, document: JSONValue)], routing: RoutingTable, version: String) -> JSONValue {
        var paths: [String: JSONValue] = [:]
        var schemas: [String: JSONValue] = [:]
        var securitySchemes: [String: JSONValue] = [:]
        var tags: [JSONValue] = []
        for (service, document) in documents {
            let own = document.member("components").member("schemas").members
            let renamed = own.reduce(into: [String: String]()) { names, schema in
                if let taken = schemas[schema.key], taken != schema.value { names[schema.key] = capitalized(service) + schema.key }
            }
            for (name, schema) in own { schemas[renamed[name] ?? name] = rename(schema, renamed) }
            securitySchemes.merge(document.member("components").member("securitySchemes").members) { first, _ in first }
            let routed = document.member("paths").members.filter { path, _ in
                routing.service(for: path.split(separator: "/").map(String.init)) == service
            }
            for (path, item) in routed { paths[path] = tag(rename(item, renamed), service) }
            if !routed.isEmpty { tags.append(described(service, document)) }
        }
        return .object([
            "openapi": .string("3.1.0"),
            "info": .object(["title": .string("Trionex"), "version": .string(version)]),
            "servers": .array([.object(["url": .string("/")])]),
            "tags": .array(tags),
            "paths": .object(paths),
            "components": .object(["schemas": .object(schemas), "securitySchemes": .object(securitySchemes)]),
        ])
    }

    /// A service's operations go by its name, and by what its own document says that it does.
    private static func described(_ service: ServiceName, _ document: JSONValue) -> JSONValue {
        var tag: [String: JSONValue] = ["name": .string(service.rawValue)]
        if case .string(let summary) = document.member("info").member("summary") { tag["description"] = .string(summary) }
        return .object(tag)
    }

    private static func capitalized(_ service: ServiceName) -> String {
        service.rawValue.prefix(1).uppercased() + service.rawValue.dropFirst()
    }

    private static func tag(_ item: JSONValue, _ service: ServiceName) -> JSONValue {
        .object(
            item.members.mapValues { operation in
                guard case .object(var members) = operation else { return operation }
                members["tags"] = .array([.string(service.rawValue)])
                return .object(members)
            })
    }

    private static func rename(_ value: JSONValue, _ names: [String: String]) -> JSONValue {
        guard !names.isEmpty else { return value }
        let prefix = "#/components/schemas/"
        switch value {
        case .object(let members):
            return .object(
                members.reduce(into: [:]) { result, member in
                    if member.key == "$ref", case .string(let text) = member.value, text.hasPrefix(prefix),
                        let name = names[String(text.dropFirst(prefix.count))]
                    {
                        result[member.key] = .string(prefix + name)
                    } else {
                        result[member.key] = rename(member.value, names)
                    }
                })
        case .array(let values): return .array(values.map { rename($0, names) })
        default: return value
        }
    }
}
