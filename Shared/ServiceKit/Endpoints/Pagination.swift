package import Contracts
package import Foundation
package import HTTPTypes
package import Hummingbird
import NIOCore

/// How many objects a page has: 1 to 100, 20 unless said.
package struct PageLimit: Sendable, Codable, Described, Equatable {
    package let value: Int
    package init(_ value: Int) { self.value = value }
    package static let standard = PageLimit(20)
    package static var schema: Schema { .integer(minimum: 1, maximum: 100) }
    package static var placeholder: PageLimit { .standard }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let value = try container.decode(Int.self)
        guard (1...100).contains(value) else {
            throw DecodingError.dataCorrupted(
                .init(
                    codingPath: container.codingPath, debugDescription: "must be from 1 to 100",
                    underlyingError: TextProblem("out-of-range", "must be from 1 to 100")))
        }
        self.value = value
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(value)
    }
}

/// Where the next page begins: the sort keys of the last object shown, opaque to clients (base64url of JSON texts).
package struct Cursor: Sendable, Codable, Described, Equatable {
    package let keys: [String]
    package init(_ keys: [String]) { self.keys = keys }
    package static var schema: Schema { .string(maxLength: 1000) }
    package static var placeholder: Cursor { Cursor([]) }

    package var text: String { Base64URL.encode((try? JSONEncoder().encode(keys)) ?? Data()) }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard text.utf8.count <= 1000, let data = Base64URL.decode(text), let keys = try? JSONDecoder().decode([String].self, from: data)
        else {
            throw DecodingError.dataCorrupted(
                .init(
                    codingPath: container.codingPath, debugDescription: "must be a nextCursor of an earlier answer",
                    underlyingError: TextProblem("invalid-cursor", "must be a nextCursor of an earlier answer")))
        }
        self.keys = keys
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }

    /// The end of the year 9999: a later time is nobody's, and no database would take it.
    private static let latest: Int64 = 253_402_300_799_999_999

    /// The keys as a time (in milliseconds, as `Page` makes it with `Cursor(time:id:)`) and an id.
    package var timeAndID: (Date, UUID)? {
        guard keys.count == 2, let microseconds = Int64(keys[0]), (0...Self.latest).contains(microseconds),
            let id = UUID(uuidString: keys[1])
        else { return nil }
        return (Date(timeIntervalSince1970: Double(microseconds) / 1_000_000), id)
    }

    /// The usual keyset: a time (kept to the microsecond, as PostgreSQL does) and, to tell equals apart, an id.
    package init(time: Date, id: UUID) {
        keys = [String(Int64((time.timeIntervalSince1970 * 1_000_000).rounded())), id.uuidString.lowercased()]
    }
}

/// One page of a list: `{ "data": […], "nextCursor": "…" or null }` and a `Link` to the next.
package struct Page<Item: Codable & Sendable>: EndpointResult {
    package let data: [Item]
    package let nextCursor: Cursor?

    package init(_ data: [Item], next: Cursor?) {
        self.data = data
        nextCursor = next
    }

    /// From one row more than the limit: whether there is a next page is known without counting.
    package init(_ rows: [Item], limit: PageLimit, cursor: (Item) -> Cursor) {
        if rows.count > limit.value {
            data = Array(rows.prefix(limit.value))
            nextCursor = data.last.map(cursor)
        } else {
            data = rows
            nextCursor = nil
        }
    }

    package static var status: HTTPResponse.Status { .ok }
    package static var bodySchema: NamedSchema? {
        let item = SchemaProbe.named(Item.self)
        let next = Schema.nullable(.string())
        return NamedSchema(
            name: item.name.map { $0 + "Page" },
            schema: .object([.init("data", .array(item.schema), required: true), .init("nextCursor", next, required: true)]))
    }

    private struct Body: Encodable {
        let data: [Item]
        let nextCursor: Cursor?
        enum Key: CodingKey { case data, nextCursor }
        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Key.self)
            try container.encode(data, forKey: .data)
            // Written out as null on the last page, so that clients need not tell missing from null.
            try container.encode(nextCursor, forKey: .nextCursor)
        }
    }

    package func response(to request: PublicRequest) throws -> Response {
        var headers = request.linkToNext(nextCursor)
        headers[.contentType] = "application/json"
        let body = try JSON.encode(Body(data: data, nextCursor: nextCursor))
        return Response(status: .ok, headers: headers, body: .init(byteBuffer: ByteBuffer(bytes: body)))
    }
}

/// A page that says more than its rows, such as facets or a total; it gets the same `Link` as `Page`.
package protocol PagedView: View {
    var nextCursor: Cursor? { get }
}

extension PagedView {
    /// Written out as null on the last page, as `Page` does.
    package static var bodySchema: NamedSchema? {
        let named = SchemaProbe.named(Self.self)
        guard case .object(let properties) = named.schema else { return named }
        let rest = properties.filter { $0.name != "nextCursor" }
        return NamedSchema(name: named.name, schema: .object(rest + [.init("nextCursor", .nullable(.string()), required: true)]))
    }

    package func response(to request: PublicRequest) throws -> Response {
        try response(to: request, status: Self.status, headers: request.linkToNext(nextCursor))
    }
}

extension PublicRequest {
    /// The `Link` header with this request's address and another cursor (RFC 8288); nothing on the last page.
    func linkToNext(_ cursor: Cursor?) -> HTTPFields {
        guard let cursor, let link = HTTPField.Name("Link") else { return [:] }
        let others = query.filter { $0.0 != "cursor" } + [("cursor", cursor.text)]
        let text = others.map { "\(FormText.encode($0.0))=\(FormText.encode($0.1))" }.joined(separator: "&")
        return [link: "<\(path)?\(text)>; rel=\"next\""]
    }
}
