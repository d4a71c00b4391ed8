import Foundation

/// A database of locations in MaxMind's format (MaxMind DB File Format Specification 2.0), as GeoLite2, GeoIP2 and DB-IP publish them:
/// a binary tree over the bits of addresses, and the data its leaves point to.
///
/// Read here and not by libmaxminddb: it is two loops over a file in memory, checked at each step, and every machine that builds the
/// platform is spared a library. The file is mapped, so what is not asked for takes no memory.
struct LocationDatabase: Sendable {
    /// Why a file is no such database, for the operator who named it.
    struct Unreadable: Error, CustomStringConvertible {
        let description: String
    }

    /// The marker before the metadata, at most this far from the end.
    private static let metadataLimit = 131_072
    private static let marker = [UInt8]("\u{AB}\u{CD}\u{EF}MaxMind.com".unicodeScalars.map { UInt8($0.value) })
    /// Bytes of zeros between tree and data.
    private static let separator = 16

    private let file: Data
    private let nodeCount: Int
    private let recordBits: Int
    private let isVersion6: Bool
    private let dataStart: Int
    /// Where an IPv4 address begins in a tree of IPv6: after 96 zeros (`::/96`).
    private let version4Root: Int

    /// Its name for itself, such as `GeoLite2-City`.
    let type: String

    init(path: String) throws(Unreadable) {
        let data: Data
        do {
            data = try Data(contentsOf: URL(filePath: path), options: .mappedIfSafe)
        } catch {
            throw Unreadable(description: "\(path) cannot be read")
        }
        try self.init(data, name: path)
    }

    init(_ file: Data, name: String) throws(Unreadable) {
        let file = file.startIndex == 0 ? file : Data(file)
        let tail = max(0, file.count - Self.metadataLimit)
        guard let place = file.lastRange(of: Self.marker, in: tail..<file.count) else {
            throw Unreadable(description: "\(name) is not in MaxMind's format: it has no metadata")
        }
        var reader = Fields(file: file, start: place.upperBound)
        guard case .map(let metadata) = reader.value(at: place.upperBound, depth: 0)?.value,
            case .number(let nodes) = metadata["node_count"],
            case .number(let bits) = metadata["record_size"], case .number(let version) = metadata["ip_version"],
            [24, 28, 32].contains(bits), version == 4 || version == 6, nodes > 0, nodes < 1 << 31
        else { throw Unreadable(description: "\(name) has metadata that cannot be read") }
        let treeBytes = nodes * bits / 4
        guard treeBytes + Self.separator <= place.lowerBound else { throw Unreadable(description: "\(name) is cut off") }
        self.file = file
        nodeCount = nodes
        recordBits = bits
        isVersion6 = version == 6
        dataStart = treeBytes + Self.separator
        type = if case .text(let type) = metadata["database_type"] { type } else { "" }
        var node = 0
        if version == 6 {
            for _ in 0..<96 where node < nodes { node = Self.record(file, node, 0, bits) }
        }
        version4Root = node
    }

    /// Nil for an address that it does not know.
    func location(of address: ClientAddress) -> Location? {
        guard let offset = find(address) else { return nil }
        var reader = Fields(file: file, start: dataStart)
        guard case .map(let entry) = reader.value(at: dataStart + offset, depth: 0)?.value else { return nil }
        var location = Location()
        if case .map(let country) = entry["country"] ?? entry["registered_country"], case .text(let code) = country["iso_code"] {
            location.country = code
        }
        if case .list(let divisions) = entry["subdivisions"], case .map(let first) = divisions.first,
            case .text(let code) = first["iso_code"]
        {
            location.region = code
        }
        if case .map(let city) = entry["city"], case .map(let names) = city["names"], case .text(let name) = names["en"] {
            location.city = name
        }
        return location == Location() ? nil : location
    }

    /// Walks the address's bits down the tree; the offset of its data, or nil.
    private func find(_ address: ClientAddress) -> Int? {
        guard isVersion6 || address.bytes.count == 4 else { return nil }
        var node = isVersion6 && address.bytes.count == 4 ? version4Root : 0
        for byte in address.bytes {
            for bit in stride(from: 7, through: 0, by: -1) where node < nodeCount {
                node = Self.record(file, node, Int(byte >> UInt8(bit)) & 1, recordBits)
            }
        }
        return node > nodeCount ? node - nodeCount - Self.separator : nil
    }

    /// The left (0) or right (1) record of a node.
    private static func record(_ file: Data, _ node: Int, _ side: Int, _ bits: Int) -> Int {
        let start = node * bits / 4
        func byte(_ offset: Int) -> Int { Int(file[start + offset]) }
        switch bits {
        case 24: return byte(side * 3) << 16 | byte(side * 3 + 1) << 8 | byte(side * 3 + 2)
        case 28:
            let high = side == 0 ? byte(3) >> 4 : byte(3) & 15
            return high << 24 | byte(side * 4) << 16 | byte(side * 4 + 1) << 8 | byte(side * 4 + 2)
        default: return byte(side * 4) << 24 | byte(side * 4 + 1) << 16 | byte(side * 4 + 2) << 8 | byte(side * 4 + 3)
        }
    }
}

/// The data section: fields that begin with their type and size.
private struct Fields {
    indirect enum Value {
        case text(String)
        case number(Int)
        case map([String: Value])
        case list([Value])
        case other
    }

    /// Maps in maps, and pointers, of a file that means no harm.
    private static let maximumDepth = 32
    /// Entries of one map or list.
    private static let maximumCount = 10_000

    let file: Data
    /// What pointers count from.
    let start: Int

    /// The value at an offset of the file and where the next one begins; nil for bytes that are none.
    mutating func value(at offset: Int, depth: Int) -> (value: Value, end: Int)? {
        guard depth < Self.maximumDepth, let control = byte(offset) else { return nil }
        var next = offset + 1
        var type = control >> 5
        if type == 1 { return pointer(control, next, depth) }
        if type == 0 {
            guard let extended = byte(next) else { return nil }
            type = extended + 7
            next += 1
        }
        guard let (size, content) = size(control & 31, next) else { return nil }
        switch type {
        case 7: return map(size, content, depth)
        case 11: return list(size, content, depth)
        case 14: return (.other, content)
        default:
            guard content + size <= file.count else { return nil }
            let bytes = file[content..<content + size]
            switch type {
            case 2: return (String(validating: bytes, as: UTF8.self).map(Value.text) ?? .other, content + size)
            case 5 where size <= 7, 6 where size <= 7, 9 where size <= 7:
                return (.number(bytes.reduce(0) { $0 << 8 | Int($1) }), content + size)
            default: return (.other, content + size)
            }
        }
    }

    private func byte(_ offset: Int) -> Int? { offset >= 0 && offset < file.count ? Int(file[offset]) : nil }

    private func number(_ offset: Int, bytes count: Int) -> Int? {
        guard offset + count <= file.count else { return nil }
        return file[offset..<offset + count].reduce(0) { $0 << 8 | Int($1) }
    }

    private func size(_ short: Int, _ offset: Int) -> (size: Int, content: Int)? {
        switch short {
        case 29: number(offset, bytes: 1).map { (29 + $0, offset + 1) }
        case 30: number(offset, bytes: 2).map { (285 + $0, offset + 2) }
        case 31: number(offset, bytes: 3).map { (65_821 + $0, offset + 3) }
        default: (short, offset)
        }
    }

    private mutating func pointer(_ control: Int, _ offset: Int, _ depth: Int) -> (value: Value, end: Int)? {
        let bytes = (control >> 3 & 3) + 1
        guard let low = number(offset, bytes: bytes) else { return nil }
        let high = control & 7
        let target =
            switch bytes {
            case 1: high << 8 | low
            case 2: (high << 16 | low) + 2_048
            case 3: (high << 24 | low) + 526_336
            default: low
            }
        return value(at: start + target, depth: depth + 1).map { ($0.value, offset + bytes) }
    }

    private mutating func map(_ count: Int, _ offset: Int, _ depth: Int) -> (value: Value, end: Int)? {
        guard count <= Self.maximumCount else { return nil }
        var map: [String: Value] = [:], next = offset
        for _ in 0..<count {
            guard let key = value(at: next, depth: depth + 1), case .text(let name) = key.value,
                let entry = value(at: key.end, depth: depth + 1)
            else { return nil }
            map[name] = entry.value
            next = entry.end
        }
        return (.map(map), next)
    }

    private mutating func list(_ count: Int, _ offset: Int, _ depth: Int) -> (value: Value, end: Int)? {
        guard count <= Self.maximumCount else { return nil }
        var list: [Value] = [], next = offset
        for _ in 0..<count {
            guard let entry = value(at: next, depth: depth + 1) else { return nil }
            list.append(entry.value)
            next = entry.end
        }
        return (.list(list), next)
    }
}

extension Data {
    fileprivate func lastRange(of bytes: [UInt8], in range: Range<Int>) -> Range<Int>? {
        self.range(of: Data(bytes), options: .backwards, in: range)
    }
}
