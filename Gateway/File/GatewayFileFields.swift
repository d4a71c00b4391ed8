import Foundation
import Yams

/// Reads single values of a gateway file, and notes for each that is not as it should be a sentence with its line.
struct GatewayFileFields {
    static let second: UInt64 = 1_000_000_000

    private(set) var faults: [GatewayFault]

    init(faults: [GatewayFault]) { self.faults = faults }

    mutating func refuse(_ node: Node?, _ message: String) { refuse(line(node), message) }
    mutating func refuse(_ line: Int, _ message: String) { faults.append(GatewayFault(line: line, message: message)) }

    func line(_ node: Node?) -> Int { node?.mark?.line ?? 0 }

    /// The values of a mapping by key; keys that are not among `keys` are refused. Nothing at all counts as an empty mapping.
    mutating func fields(_ node: Node, _ what: String, _ keys: [String]) -> [String: Node] {
        var fields: [String: Node] = [:]
        for (key, value) in pairs(node, what) {
            guard let name = key.scalar?.string, keys.contains(name) else {
                let name = key.scalar?.string ?? "?"
                let near = Self.nearest(name, keys).map { "did you mean \"\($0)\"?" } ?? "it has: \(keys.sorted().joined(separator: ", "))"
                refuse(key, "\(what) has no \"\(name)\"; \(near)")
                continue
            }
            fields[name] = value
        }
        return fields
    }

    /// A mapping whose keys are names that the file chooses.
    mutating func named(_ node: Node, _ what: String) -> [(name: String, node: Node)] {
        pairs(node, what).compactMap { key, value in
            guard let name = key.scalar?.string, !name.isEmpty else {
                refuse(key, "\(what): a name is a text")
                return nil
            }
            return (name, value)
        }
    }

    private mutating func pairs(_ node: Node, _ what: String) -> [(Node, Node)] {
        if Self.isNothing(node) { return [] }
        guard let mapping = node.mapping else {
            refuse(node, "\(what) is written as \"key: value\" lines, indented below it")
            return []
        }
        return mapping.map { ($0.key, $0.value) }.filter { !GatewayFileText.isDuplicate($0.0.scalar?.string ?? "") }
    }

    mutating func list(_ node: Node, _ what: String) -> [Node] {
        if Self.isNothing(node) { return [] }
        guard let sequence = node.sequence else {
            refuse(node, "\(what) is a list; write each on a line of its own behind \"- \", or all in [ ]")
            return []
        }
        return Array(sequence)
    }

    static func isNothing(_ node: Node) -> Bool {
        guard let scalar = node.scalar, scalar.style == .plain || scalar.style == .any else { return false }
        return scalar.string.isEmpty || scalar.string == "~" || scalar.string == "null"
    }

    mutating func text(_ node: Node, _ what: String) -> String? {
        guard let text = node.scalar?.string, !Self.isNothing(node) else {
            refuse(node, "\(what) is a text")
            return nil
        }
        return text
    }

    mutating func texts(_ node: Node, _ what: String) -> [(text: String, node: Node)] {
        list(node, what).compactMap { item in text(item, "each of \(what)").map { ($0, item) } }
    }

    mutating func flag(_ node: Node, _ what: String) -> Bool? {
        switch node.scalar?.string {
        case "true": return true
        case "false": return false
        default:
            refuse(node, "\(what) is true or false")
            return nil
        }
    }

    mutating func integer(_ node: Node, _ what: String, in range: ClosedRange<Int>) -> Int? {
        guard let number = node.scalar.flatMap({ Int($0.string) }), range.contains(number) else {
            refuse(node, "\(what) is a whole number from \(range.lowerBound) to \(range.upperBound)")
            return nil
        }
        return number
    }

    mutating func number(_ node: Node, _ what: String, in range: ClosedRange<Double>) -> Double? {
        guard let number = node.scalar.flatMap({ Double($0.string) }), range.contains(number) else {
            refuse(node, "\(what) is a number from \(range.lowerBound) to \(range.upperBound)")
            return nil
        }
        return number
    }

    /// `20%` or `0.2`, as 0 to 1.
    mutating func share(_ node: Node, _ what: String) -> Double? {
        let text = node.scalar?.string ?? ""
        let number = text.hasSuffix("%") ? Double(text.dropLast()).map { $0 / 100 } : Double(text)
        guard let number, (0...1).contains(number) else {
            refuse(node, "\(what) is a share such as 5%, from 0% to 100%")
            return nil
        }
        return number
    }

    /// `500ms`, `30s`, `5m`, `1h`, in nanoseconds.
    mutating func duration(_ node: Node, _ what: String, in range: ClosedRange<UInt64>) -> UInt64? {
        let text = node.scalar?.string ?? ""
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let unit: UInt64? =
            switch text.dropFirst(digits.count) {
            case "ms": Self.second / 1_000
            case "s": Self.second
            case "m": 60 * Self.second
            case "h": 3_600 * Self.second
            case "d": 86_400 * Self.second
            default: nil
            }
        guard let unit, let count = UInt64(digits), count <= UInt64.max / unit, range.contains(count * unit) else {
            let bounds = "from \(Self.text(range.lowerBound)) to \(Self.text(range.upperBound))"
            refuse(node, "\(what) is a time such as 500ms, 30s, 5m or 1h, \(bounds)")
            return nil
        }
        return count * unit
    }

    /// Whole seconds.
    mutating func seconds(_ node: Node, _ what: String, in range: ClosedRange<Int>) -> Int? {
        let found = duration(node, what, in: UInt64(range.lowerBound) * Self.second...UInt64(range.upperBound) * Self.second)
        guard let found else { return nil }
        guard found % Self.second == 0 else {
            refuse(node, "\(what) is a whole number of seconds, such as 30s")
            return nil
        }
        return Int(found / Self.second)
    }

    /// `65536`, `64KiB`, `10MiB`, `5GiB`.
    mutating func size(_ node: Node, _ what: String, in range: ClosedRange<Int>) -> Int? {
        let text = node.scalar?.string ?? ""
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let unit: Int? =
            switch text.dropFirst(digits.count) {
            case "": 1
            case "KiB": 1 << 10
            case "MiB": 1 << 20
            case "GiB": 1 << 30
            default: nil
            }
        guard let unit, let count = Int(digits), count <= Int.max / unit, range.contains(count * unit) else {
            let bounds = "from \(range.lowerBound) to \(range.upperBound)"
            refuse(node, "\(what) is a number of bytes such as 65536, 64KiB, 10MiB or 5GiB, \(bounds)")
            return nil
        }
        return count * unit
    }

    mutating func choice(_ node: Node, _ what: String, of choices: [String]) -> String? {
        guard let text = node.scalar?.string, choices.contains(text) else {
            refuse(node, "\(what) is one of \(choices.joined(separator: ", "))")
            return nil
        }
        return text
    }

    mutating func networks(_ node: Node, _ what: String) -> [Network] {
        texts(node, what).compactMap { text, item in
            let network = Network(text)
            if network == nil { refuse(item, "\"\(text)\" is no address or network; write 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32") }
            return network
        }
    }

    static func text(_ nanoseconds: UInt64) -> String {
        let units: [(UInt64, String)] = [
            (86_400 * second, "d"), (3_600 * second, "h"), (60 * second, "m"), (second, "s"), (second / 1_000, "ms"),
        ]
        for (unit, name) in units where nanoseconds >= unit && nanoseconds % unit == 0 { return "\(nanoseconds / unit)\(name)" }
        return nanoseconds == 0 ? "0s" : "\(nanoseconds)ns"
    }

    /// A key that differs by two letters at most.
    private static func nearest(_ name: String, _ keys: [String]) -> String? {
        keys.map { ($0, distance(Array(name.lowercased()), Array($0.lowercased()))) }.filter { $0.1 <= 2 }.min { $0.1 < $1.1 }?.0
    }

    /// Levenshtein's.
    private static func distance(_ left: [Character], _ right: [Character]) -> Int {
        var previous = Array(0...right.count)
        for (row, character) in left.enumerated() {
            var current = [row + 1]
            for (column, other) in right.enumerated() {
                current.append(min(previous[column] + (character == other ? 0 : 1), previous[column + 1] + 1, current[column] + 1))
            }
            previous = current
        }
        return previous[right.count]
    }
}
