import Contracts
import Foundation
import TestKit
import Testing

@testable import GatewayService

@Suite("The document of the whole platform")
struct DocumentTests {
    private func document(paths: JSONValue, thing: String) -> JSONValue {
        .object(["paths": paths, "components": .object(["schemas": .object(["Thing": .object(["title": .string(thing)])])])])
    }

    private func reference(_ name: String) -> JSONValue { .object(["$ref": .string("#/components/schemas/\(name)")]) }

    @Test("Paths and schemas are united; a name used for two things is kept apart, with every reference to it")
    func merge() throws {
        let merged = DocumentMerge.merge(
            [
                (.content, document(paths: .object(["/api/v1/content/a": .object(["get": reference("Thing")])]), thing: "one")),
                (.search, document(paths: .object(["/api/v1/search": .object(["get": reference("Thing")])]), thing: "two")),
            ], routing: .platform, version: "1")
        let schemas = merged.member("components").member("schemas").members
        #expect(Set(schemas.keys) == ["Thing", "SearchThing"])
        let text = String(decoding: try JSON.encode(merged.member("paths").member("/api/v1/search")), as: UTF8.self)
        #expect(text.contains("#/components/schemas/SearchThing"))
        #expect(text.contains("\"tags\":[\"search\"]"))
    }

    @Test("What the gateway does not route to a service is not in the document")
    func unrouted() {
        let paths: JSONValue = .object(["/internal/v1/x": .object([:]), "/api/v1/auth/me": .object([:]), "/api/v1/content/a": .object([:])])
        let merged = DocumentMerge.merge([(.content, document(paths: paths, thing: "one"))], routing: .platform, version: "1")
        #expect(Array(merged.member("paths").members.keys) == ["/api/v1/content/a"])
    }

    @Test("An operation is found by its template; literal segments go before parameters, HEAD counts as GET")
    func operations() throws {
        let open: JSONValue = .object(["security": .array([])])
        let closed: JSONValue = .object(["security": .array([.object(["bearer": .array([])])])])
        let index = OperationIndex(
            document: .object(["paths": .object(["/a/{id}": .object(["get": closed, "post": closed]), "/a/open": .object(["get": open])])]))
        #expect(index.operation(method: "GET", path: try RequestPath("/a/open"))?.isPublic == true)
        #expect(index.operation(method: "HEAD", path: try RequestPath("/a/open"))?.isPublic == true)
        #expect(index.operation(method: "GET", path: try RequestPath("/a/7"))?.label == "GET /a/{id}")
        #expect(index.operation(method: "GET", path: try RequestPath("/a/7"))?.isPublic == false)
        #expect(index.operation(method: "POST", path: try RequestPath("/a/open"))?.isPublic == false)
        #expect(index.operation(method: "PUT", path: try RequestPath("/a/7")) == nil)
        #expect(index.operation(method: "GET", path: try RequestPath("/a")) == nil)
    }
}
