/// `POST /api/v1/files`, `/api/v1/content/**`, `GET,HEAD /api/v1/users/*/export`: which routes a rule is for.
///
/// A pattern is made of whole segments: literal ones, `*` or `{name}` for any one, and `**` at the end for whatever follows, or nothing.
struct RoutePattern: Sendable, Equatable {
    enum Part: Sendable, Hashable {
        case literal(String)
        /// Any one segment. The name is for people.
        case parameter(String)

        var text: String {
            switch self {
            case .literal(let text): text
            case .parameter(let name): name == "*" ? "*" : "{\(name)}"
            }
        }

        /// Whether all that `other` stands for is one of what this stands for.
        func covers(_ other: Part) -> Bool {
            switch (self, other) {
            case (.parameter, _): true
            case (.literal(let own), .literal(let others)): own == others
            case (.literal, .parameter): false
            }
        }
    }

    /// What is wrong with a pattern, in a sentence that says what to do.
    struct Unreadable: Error, Equatable {
        let reason: String
    }

    /// Paths deeper than this cannot be told apart.
    static let maximumDepth = 24

    /// Empty: all.
    var methods: [RouteMethod]
    var parts: [Part]
    /// Ends in `**`.
    var isOpen: Bool

    init(_ text: String) throws(Unreadable) {
        let words = text.split(separator: " ", omittingEmptySubsequences: true)
        guard words.count == 1 || words.count == 2, let path = words.last, path.first == "/" else {
            throw Unreadable(reason: "write it as \"POST /api/v1/files\", or as a path alone for all methods")
        }
        var methods: [RouteMethod] = []
        for name in words.count == 2 ? words[0].split(separator: ",", omittingEmptySubsequences: false) : [] {
            guard let method = RouteMethod(name: String(name)), method.isRoutable else {
                throw Unreadable(reason: "\"\(name)\" is no method that can be routed; use GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS")
            }
            methods.append(method)
        }
        self.methods = methods
        (parts, isOpen) = try Self.parts(path)
    }

    init(methods: [RouteMethod] = [], parts: [Part], isOpen: Bool) {
        self.methods = methods
        self.parts = parts
        self.isOpen = isOpen
    }

    /// The template of an OpenAPI document: `/api/v1/users/{id}`.
    static func template(_ text: String) -> [Part] {
        text.split(separator: "/").map {
            $0.hasPrefix("{") ? .parameter(String($0.dropFirst().prefix { $0 != "}" })) : .literal(String($0))
        }
    }

    private static func parts(_ path: Substring) throws(Unreadable) -> ([Part], isOpen: Bool) {
        var parts: [Part] = []
        let segments = path.split(separator: "/")
        guard !path.contains("//") else { throw Unreadable(reason: "it has an empty segment; write one slash between two segments") }
        guard segments.count <= maximumDepth else { throw Unreadable(reason: "it has more than \(maximumDepth) segments") }
        for (index, segment) in segments.enumerated() {
            switch segment {
            case "**":
                guard index == segments.count - 1 else {
                    throw Unreadable(reason: "** stands for all that follows, so it must be the last segment")
                }
                return (parts, true)
            case "*": parts.append(.parameter("*"))
            case let name where name.hasPrefix("{") && name.hasSuffix("}") && name.count > 2:
                parts.append(.parameter(String(name.dropFirst().dropLast())))
            default:
                guard !segment.contains("*"), !segment.contains("{"), !segment.contains("}") else {
                    throw Unreadable(reason: "\"\(segment)\" is half a wildcard; * and {name} stand for whole segments")
                }
                let isPlain = segment.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7F && !"%?#\\".utf8.contains($0) }
                guard isPlain, segment != ".", segment != ".." else {
                    throw Unreadable(reason: "\"\(segment)\" can be no segment of a path; write it decoded, without a query")
                }
                parts.append(.literal(String(segment)))
            }
        }
        return (parts, false)
    }

    /// `/api/v1/users/{id}`, with `/**` where it is open.
    var path: String {
        let own = parts.map { "/" + $0.text }.joined()
        return isOpen ? own + "/**" : own.isEmpty ? "/" : own
    }

    var text: String { methods.isEmpty ? path : methods.map(\.name).joined(separator: ",") + " " + path }

    /// Whether every path of the other is one of this pattern's.
    func covers(_ other: [Part], isOpen otherIsOpen: Bool) -> Bool {
        guard isOpen ? other.count >= parts.count : !otherIsOpen && other.count == parts.count else { return false }
        return zip(parts, other).allSatisfy { $0.covers($1) }
    }

    /// More literal segments first, from the left; a whole path before a prefix; a method before all.
    func isMoreSpecific(than other: RoutePattern) -> Bool {
        for (own, others) in zip(parts, other.parts) {
            switch (own, others) {
            case (.literal, .parameter): return true
            case (.parameter, .literal): return false
            default: continue
            }
        }
        if parts.count != other.parts.count { return parts.count > other.parts.count }
        if isOpen != other.isOpen { return !isOpen }
        return !methods.isEmpty && other.methods.isEmpty
    }
}

/// The methods that a table knows apart.
enum RouteMethod: Int, Sendable, CaseIterable {
    case get, head, post, put, patch, delete, options, trace, connect, other

    /// Those that a route can be declared for; they are the columns of a row of the table.
    static let routable = 7

    var isRoutable: Bool { rawValue < Self.routable }

    var name: String {
        switch self {
        case .get: "GET"
        case .head: "HEAD"
        case .post: "POST"
        case .put: "PUT"
        case .patch: "PATCH"
        case .delete: "DELETE"
        case .options: "OPTIONS"
        case .trace: "TRACE"
        case .connect: "CONNECT"
        case .other: ""
        }
    }

    init?(name: String) {
        guard let found = Self.allCases.first(where: { $0 != .other && $0.name == name }) else { return nil }
        self = found
    }

    /// Methods are case-sensitive (RFC 9110, section 9.1).
    init(_ bytes: UnsafeRawBufferPointer) {
        self =
            switch bytes.count {
            case 3: Self.same(bytes, "GET") ? .get : Self.same(bytes, "PUT") ? .put : .other
            case 4: Self.same(bytes, "POST") ? .post : Self.same(bytes, "HEAD") ? .head : .other
            case 5: Self.same(bytes, "PATCH") ? .patch : Self.same(bytes, "TRACE") ? .trace : .other
            case 6: Self.same(bytes, "DELETE") ? .delete : .other
            case 7: Self.same(bytes, "OPTIONS") ? .options : Self.same(bytes, "CONNECT") ? .connect : .other
            default: .other
            }
    }

    private static func same(_ bytes: UnsafeRawBufferPointer, _ name: StaticString) -> Bool {
        for index in 0..<bytes.count where bytes[index] != name.utf8Start[index] { return false }
        return true
    }

    /// Safe or idempotent without consequences when sent twice (RFC 9110, section 9.2): what may be tried again by itself.
    var isSafe: Bool { self == .get || self == .head || self == .options }
}
