package import Contracts
import Foundation
import HTTPTypes
import NIOHTTP1
package import ServiceKit
package import Testing

/// Holds every declared endpoint of a service against the three callers it must refuse: nobody, somebody without the
/// permission, and somebody of another organization.
package enum EndpointSweep {
    /// `objects` gives, for each path parameter, an id that exists in `tenant`; `bodies` a valid body by endpoint label
    /// where the default `{}` would be refused before the object is looked for. `sign` is for a service that does not trust `TestKeys`.
    package static func check(
        _ host: TestHost, objects: [String: String] = [:], bodies: [String: JSONValue] = [:], skipForeign: Set<String> = [],
        signedBy sign: @escaping @Sendable (AccessClaims) async throws -> String = { try await TestKeys.sign($0) },
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        #expect(!host.endpoints.isEmpty, sourceLocation: sourceLocation)
        let stranger = TestTenant()
        func client(_ person: TestPerson) async throws -> TestClient {
            host.client(token: try await sign(person.claims(issuedAt: Date())))
        }
        for endpoint in host.endpoints {
            let path = filled(endpoint, objects)
            let anonymous = try await send(endpoint, path, host.client(token: nil), bodies)
            let powerless = try await send(endpoint, path, try await client(stranger.person()), bodies)
            switch endpoint.access {
            case .public:
                // OpenID Connect's userinfo takes its token by itself, from the header or from a form.
                let asksItself = endpoint.path.contains("internal") || endpoint.path.hasSuffix("/userinfo")
                #expect(anonymous.status != 401 || asksItself, "\(endpoint.label)", sourceLocation: sourceLocation)
            case .signedIn:
                #expect(anonymous.status == 401, "\(endpoint.label) for nobody", sourceLocation: sourceLocation)
                #expect(anonymous.headers.contains(name: "www-authenticate"), "\(endpoint.label)", sourceLocation: sourceLocation)
            case .permission:
                #expect(anonymous.status == 401, "\(endpoint.label) for nobody", sourceLocation: sourceLocation)
                #expect(powerless.status == 403, "\(endpoint.label) without permission", sourceLocation: sourceLocation)
                #expect(powerless.problem == "missing-permission", "\(endpoint.label)", sourceLocation: sourceLocation)
            case .recently:
                #expect(anonymous.status == 401, "\(endpoint.label) for nobody", sourceLocation: sourceLocation)
            case .superadmin:
                #expect(anonymous.status == 401, "\(endpoint.label) for nobody", sourceLocation: sourceLocation)
                let owner = try await send(endpoint, path, try await client(stranger.owner), bodies)
                #expect(owner.status == 403 && owner.problem == "superadmin-only", "\(endpoint.label)", sourceLocation: sourceLocation)
            case .service:
                #expect(anonymous.status == 401, "\(endpoint.label) for nobody", sourceLocation: sourceLocation)
                let owner = try await send(endpoint, path, try await client(stranger.owner), bodies)
                #expect(owner.status == 403, "\(endpoint.label) with a person's token", sourceLocation: sourceLocation)
            }
            // What anybody may call takes no notice of tokens.
            guard endpoint.access != .public else { continue }
            try await refusesForgedTokens(endpoint, path, host, stranger, bodies, sign, sourceLocation)
            guard !endpoint.pathParameters.isEmpty, !skipForeign.contains(endpoint.label) else { continue }
            switch endpoint.access {
            case .permission, .signedIn, .recently:
                let foreign = try await send(endpoint, path, try await client(stranger.owner), bodies)
                #expect(
                    [400, 404, 415].contains(foreign.status),
                    "\(endpoint.label) for another organization answered \(foreign.status)", sourceLocation: sourceLocation)
                for id in objects.values {
                    #expect(
                        !foreign.text.contains(id) || foreign.json["instance"].string?.contains(id) == true, sourceLocation: sourceLocation)
                }
            case .public, .service, .superadmin: break
            }
        }
    }

    private static func refusesForgedTokens(
        _ endpoint: Endpoint, _ path: String, _ host: TestHost, _ tenant: TestTenant, _ bodies: [String: JSONValue],
        _ sign: @Sendable (AccessClaims) async throws -> String, _ location: SourceLocation
    ) async throws {
        let person = tenant.owner
        let forged = [
            ("expired", try await sign(person.claims(issuedAt: Date().addingTimeInterval(-3600)))),
            ("signed by a foreign key", try await TestKeys.signForeign(person.claims(issuedAt: Date()))),
            ("unsigned", try TestKeys.unsigned(person.claims(issuedAt: Date()))), ("no token at all", "rubbish"),
        ]
        for (what, token) in forged {
            let response = try await send(endpoint, path, host.client(token: token), bodies)
            #expect(response.status == 401, "\(endpoint.label) with a token that is \(what)", sourceLocation: location)
        }
    }

    private static func filled(_ endpoint: Endpoint, _ objects: [String: String]) -> String {
        endpoint.path.split(separator: "/").map { part in
            part.hasPrefix(":") ? "/" + (objects[String(part.dropFirst())] ?? UUID().uuidString.lowercased()) : "/\(part)"
        }.joined()
    }

    private static func send(_ endpoint: Endpoint, _ path: String, _ client: TestClient, _ bodies: [String: JSONValue]) async throws
        -> TestResponse
    {
        let method = HTTPMethod(rawValue: endpoint.method.rawValue)
        guard endpoint.requestBody != nil else { return try await client.send(method, path, bytes: nil) }
        if endpoint.streamsBody {
            return try await client.send(
                method, path, bytes: Data("x".utf8),
                headers: ["content-type": "text/plain", "content-disposition": "attachment; filename=\"x.txt\""])
        }
        let body = bodies[endpoint.label] ?? [:]
        return try await client.send(method, path, bytes: try JSON.encode(body), headers: ["content-type": "application/json"])
    }
}
