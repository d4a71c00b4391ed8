/// Which route a request line names: an immutable trie over the bytes of whole path segments, replaced as a whole when something changes.
///
/// Literal segments go before parameters, from the left. An operation that takes the method is looked for on every path through the trie
/// before another method's is taken for a refusal, and only then what is left to a service as a whole.
final class RouteTable: Sendable {
    /// One line of the table.
    struct Entry: Sendable {
        /// Nil: every method.
        let method: RouteMethod?
        let parts: [RoutePattern.Part]
        /// Everything below too, where nothing nearer is known.
        let isOpen: Bool
        let route: Route
    }

    let entries: [Entry]
    /// By `Route.place`, not by `Route.id`.
    let routes: [Route]

    private let nodes: [Node]
    private let slots: [Slot]
    /// `columns` to a row: a place in `routes` for each method, then for every method; -1: none.
    private let rows: [Int32]
    /// The bytes of all literal segments.
    private let names: [UInt8]
    /// Whether a pattern is so wide that it takes any first segment.
    private let isWide: Bool

    /// What no pattern of whatever width may reach: it is for the platform's own programs and operators.
    static let forbidden = ["internal", "metrics", "health", "ready"]

    fileprivate static let columns = RouteMethod.routable + 1
    private static let anyMethod = RouteMethod.routable

    struct Node: Sendable {
        /// The first of its places in `slots`, and their number less one; -1 where it has no literal children.
        var firstSlot: Int32 = 0
        var mask: Int32 = -1
        var parameter: Int32 = -1
        /// Rows; -1: none.
        var exact: Int32 = -1
        var below: Int32 = -1
        /// Bits of the methods that are known here, and of all that are named here.
        var known: UInt8 = 0
        var named: UInt8 = 0
    }

    struct Slot: Sendable {
        var hash: UInt32 = 0
        var node: Int32 = -1
        var start: Int32 = 0
        var length: Int32 = 0
    }

    /// Of two entries for the same method and path the first one counts.
    init(_ entries: [Entry]) {
        var builder = RouteTableBuilder()
        for entry in entries where entry.parts.count <= RoutePattern.maximumDepth && !Self.isForbidden(entry.parts) { builder.add(entry) }
        self.entries = builder.entries
        routes = builder.entries.map(\.route)
        (nodes, slots, rows, names) = builder.flattened()
        isWide = nodes[0].parameter >= 0 || nodes[0].below >= 0
    }

    /// Whether the route is of this very table, and its place one in it.
    @inline(__always)
    func has(_ route: Route) -> Bool { route.place < routes.count && routes[route.place] === route }

    static func isForbidden(_ parts: [RoutePattern.Part]) -> Bool {
        guard case .literal(let first)? = parts.first else { return false }
        return isForbidden(first.utf8)
    }

    /// Without parameters (`;…`) and in whatever case, since some servers read it so.
    private static func isForbidden(_ segment: some Collection<UInt8>) -> Bool {
        let name = segment.prefix { $0 != UInt8(ascii: ";") }
        return forbidden.contains { $0.utf8.count == name.count && zip(name, $0.utf8).allSatisfy { $0 | 0x20 == $1 } }
    }

    /// The route for a method and a raw path, without its query.
    func match(method: UnsafeRawBufferPointer, path: UnsafeRawBufferPointer) -> RouteMatch {
        match(RouteMethod(method), path: path, isDecoded: false)
    }

    /// The same, for what is not on the hot path.
    func match(_ method: String, _ path: String) -> RouteMatch {
        var method = method, path = path
        return method.withUTF8 { method in
            path.withUTF8 { match(method: UnsafeRawBufferPointer(method), path: UnsafeRawBufferPointer($0)) }
        }
    }

    private func match(_ method: RouteMethod, path: UnsafeRawBufferPointer, isDecoded: Bool) -> RouteMatch {
        withUnsafeTemporaryAllocation(of: PathSegment.self, capacity: RoutePattern.maximumDepth) { segments in
            switch PathSegments.scan(path, isDecoded: isDecoded, into: segments) {
            case .malformed: return .malformed
            case .encoded: return matchDecoded(method, path)
            case .segments(let count):
                return nodes.withUnsafeBufferPointer { nodes in
                    slots.withUnsafeBufferPointer { slots in
                        rows.withUnsafeBufferPointer { rows in
                            names.withUnsafeBufferPointer { names in
                                var search = Search(
                                    path: path, segments: segments, count: count, method: method, nodes: nodes, slots: slots, rows: rows,
                                    names: names)
                                return answer(search.visit(0, 0), search)
                            }
                        }
                    }
                }
            }
        }
    }

    private func matchDecoded(_ method: RouteMethod, _ path: UnsafeRawBufferPointer) -> RouteMatch {
        withUnsafeTemporaryAllocation(byteCount: path.count, alignment: 1) { output in
            guard let count = PathSegments.decode(path, into: output) else { return .malformed }
            return match(method, path: UnsafeRawBufferPointer(rebasing: output[..<count]), isDecoded: true)
        }
    }

    private func answer(_ exact: Int32, _ search: Search) -> RouteMatch {
        if isWide, search.count > 0, Self.isForbidden(search.bytes(of: 0)) { return .notFound }
        if exact >= 0 { return .route(routes[Int(exact)]) }
        if search.known != 0 { return refusal(search.method, search.known) }
        if search.hasBelow {
            guard search.method.isRoutable else { return .methodNotAllowed(allow: Self.allow(.max)) }
            if search.below >= 0 { return .route(routes[Int(search.below)]) }
        }
        return search.named != 0 ? refusal(search.method, search.named) : .notFound
    }

    private func refusal(_ method: RouteMethod, _ known: UInt8) -> RouteMatch {
        let allow = Self.allow(known)
        return method == .options ? .options(allow: allow) : .methodNotAllowed(allow: allow)
    }

    /// `DELETE, GET, HEAD, OPTIONS`: what is declared, `HEAD` where there is `GET`, and `OPTIONS`, which is always answered.
    private static func allow(_ methods: UInt8) -> String {
        RouteMethod.allCases.filter { method in
            guard method.isRoutable else { return false }
            return methods & bit(method) != 0 || method == .options || (method == .head && methods & bit(.get) != 0)
        }
        .map(\.name).sorted().joined(separator: ", ")
    }

    fileprivate static func bit(_ method: RouteMethod) -> UInt8 { 1 << UInt8(method.rawValue) }

    /// One walk through the trie. A node is at one depth only, so each is seen at most once.
    private struct Search {
        let path: UnsafeRawBufferPointer
        let segments: UnsafeMutableBufferPointer<PathSegment>
        let count: Int
        let method: RouteMethod
        let nodes: UnsafeBufferPointer<Node>
        let slots: UnsafeBufferPointer<Slot>
        let rows: UnsafeBufferPointer<Int32>
        let names: UnsafeBufferPointer<UInt8>
        /// Methods that operations of this very path are known for, and named for.
        var known: UInt8 = 0
        var named: UInt8 = 0
        /// The nearest of what is left to a service as a whole.
        var below: Int32 = -1
        var hasBelow = false

        mutating func visit(_ index: Int, _ depth: Int) -> Int32 {
            let node = nodes[index]
            if depth == count {
                if node.exact >= 0 {
                    let found = route(node.exact)
                    if found >= 0 { return found }
                    known |= node.known
                    named |= node.named
                }
            } else {
                if node.mask >= 0, let child = literal(node, segments[depth]) {
                    let found = visit(child, depth + 1)
                    if found >= 0 { return found }
                }
                if node.parameter >= 0 {
                    let found = visit(Int(node.parameter), depth + 1)
                    if found >= 0 { return found }
                }
            }
            if node.below >= 0, below < 0 {
                below = route(node.below)
                hasBelow = true
            }
            return -1
        }

        private func route(_ row: Int32) -> Int32 {
            let first = Int(row) * RouteTable.columns
            guard method.isRoutable else { return -1 }
            var found = rows[first + method.rawValue]
            if found < 0, method == .head { found = rows[first + RouteMethod.get.rawValue] }
            return found >= 0 ? found : rows[first + RouteTable.anyMethod]
        }

        private func literal(_ node: Node, _ segment: PathSegment) -> Int? {
            var place = segment.hash ^ (segment.hash >> 15)
            while true {
                let slot = slots[Int(node.firstSlot) + Int(place & UInt32(bitPattern: node.mask))]
                if slot.node < 0 { return nil }
                if slot.hash == segment.hash, slot.length == segment.length, isSame(slot, segment) { return Int(slot.node) }
                place &+= 1
            }
        }

        private func isSame(_ slot: Slot, _ segment: PathSegment) -> Bool {
            let own = Int(slot.start), start = Int(segment.start)
            for offset in 0..<Int(segment.length) where names[own + offset] != path[start + offset] { return false }
            return true
        }

        func bytes(of depth: Int) -> Slice<UnsafeRawBufferPointer> {
            let start = Int(segments[depth].start)
            return path[start..<start + Int(segments[depth].length)]
        }
    }
}

/// Puts a table together, then lays it out flat.
private struct RouteTableBuilder {
    private final class Branch {
        var literals: [String: Branch] = [:]
        var parameter: Branch?
        var exact: [Int32]?
        var below: [Int32]?
        var known: UInt8 = 0
        var named: UInt8 = 0
    }

    private let root = Branch()
    private(set) var entries: [RouteTable.Entry] = []

    mutating func add(_ entry: RouteTable.Entry) {
        let branch = entry.parts.reduce(root) { branch, part in
            switch part {
            case .literal(let text):
                let next = branch.literals[text] ?? Branch()
                branch.literals[text] = next
                return next
            case .parameter:
                let next = branch.parameter ?? Branch()
                branch.parameter = next
                return next
            }
        }
        let column = entry.method?.rawValue ?? RouteMethod.routable
        let empty = [Int32](repeating: -1, count: RouteTable.columns)
        var row = (entry.isOpen ? branch.below : branch.exact) ?? empty
        guard row[column] < 0 else { return }
        row[column] = Int32(entries.count)
        entries.append(entry)
        if entry.isOpen {
            branch.below = row
        } else {
            branch.exact = row
            let bits = entry.method.map(RouteTable.bit) ?? .max
            branch.named |= bits
            if entry.route.isKnown { branch.known |= bits }
        }
    }

    func flattened() -> (nodes: [RouteTable.Node], slots: [RouteTable.Slot], rows: [Int32], names: [UInt8]) {
        var nodes: [RouteTable.Node] = [.init()], slots: [RouteTable.Slot] = [], rows: [Int32] = [], names: [UInt8] = []
        var waiting = [(branch: root, index: 0)]
        func put(_ row: [Int32]?) -> Int32 {
            guard let row else { return -1 }
            rows += row
            return Int32(rows.count / RouteTable.columns - 1)
        }
        func put(_ branch: Branch) -> Int32 {
            nodes.append(.init())
            waiting.append((branch, nodes.count - 1))
            return Int32(nodes.count - 1)
        }
        while let (branch, index) = waiting.popLast() {
            var node = RouteTable.Node()
            node.known = branch.known
            node.named = branch.named
            node.exact = put(branch.exact)
            node.below = put(branch.below)
            node.parameter = branch.parameter.map(put) ?? -1
            if !branch.literals.isEmpty {
                // Half empty at most, so that every search comes to an end soon.
                var size = 2
                while size < branch.literals.count * 2 { size *= 2 }
                node.firstSlot = Int32(slots.count)
                node.mask = Int32(size - 1)
                slots += Array(repeating: .init(), count: size)
                for (name, child) in branch.literals.sorted(by: { $0.key < $1.key }) {
                    let hash = name.utf8.reduce(PathSegment.hashSeed, PathSegment.hash)
                    var place = hash ^ (hash >> 15)
                    while slots[Int(node.firstSlot) + Int(place & UInt32(size - 1))].node >= 0 { place &+= 1 }
                    slots[Int(node.firstSlot) + Int(place & UInt32(size - 1))] = .init(
                        hash: hash, node: put(child), start: Int32(names.count), length: Int32(name.utf8.count))
                    names += Array(name.utf8)
                }
            }
            nodes[index] = node
        }
        return (nodes, slots, rows, names)
    }
}
