import CFido2
import Foundation

/// CBOR (RFC 8949) as authenticators write it (CTAP 2.1, section 8): definite lengths only, shallow, no key twice.
indirect enum CBOR: Sendable, Equatable {
    case unsigned(UInt64)
    /// -1 - n.
    case negative(UInt64)
    case bytes(Data)
    case text(String)
    case array([CBOR])
    case map([Entry])
    case bool(Bool)
    case null

    struct Entry: Sendable, Equatable {
        let key: CBOR
        let value: CBOR
    }

    struct Malformed: Error {}

    /// Deeper than an attestation object is.
    static let maximumDepth = 8
    static let maximumBytes = 65_536

    /// One item at the beginning of `data`, and how many bytes it takes.
    static func decodeFirst(_ data: Data) throws -> (value: CBOR, length: Int) {
        guard data.count <= maximumBytes else { throw Malformed() }
        // libcbor sets aside what a head promises: a promise beyond the bytes that are there is refused before it sees it.
        var outline = CBOROutline(bytes: Array(data))
        let length = try outline.skipItem(depth: 0)
        return try Array(data.prefix(length)).withUnsafeBufferPointer { buffer in
            var result = cbor_load_result()
            guard let item = cbor_load(buffer.baseAddress, buffer.count, &result), result.read == length else { throw Malformed() }
            var owned: UnsafeMutablePointer<cbor_item_t>? = item
            defer { cbor_decref(&owned) }
            return (try CBOR(item), length)
        }
    }

    /// The one item that `data` is.
    static func decode(_ data: Data) throws -> CBOR {
        let (value, length) = try decodeFirst(data)
        guard length == data.count else { throw Malformed() }
        return value
    }

    /// The bytes of the value that a text key has in the map that `data` is, as they came.
    static func bytes(of key: String, in data: Data) throws -> Data {
        var outline = CBOROutline(bytes: Array(data))
        for _ in 0..<(try outline.enterMap()) {
            let keyStart = outline.offset, keyEnd = try outline.skipItem(depth: 1)
            let valueEnd = try outline.skipItem(depth: 1)
            let name = try decode(Data(outline.bytes[keyStart..<keyEnd]))
            if name == .text(key) { return Data(outline.bytes[keyEnd..<valueEnd]) }
        }
        throw Malformed()
    }

    private init(_ item: UnsafeMutablePointer<cbor_item_t>) throws {
        switch cbor_typeof(item) {
        case CBOR_TYPE_UINT: self = .unsigned(cbor_get_int(item))
        case CBOR_TYPE_NEGINT: self = .negative(cbor_get_int(item))
        case CBOR_TYPE_BYTESTRING:
            self = .bytes(Data(UnsafeBufferPointer(start: cbor_bytestring_handle(item), count: cbor_bytestring_length(item))))
        case CBOR_TYPE_STRING:
            let bytes = UnsafeBufferPointer(start: cbor_string_handle(item), count: cbor_string_length(item))
            guard let text = String(validating: bytes, as: UTF8.self) else { throw Malformed() }
            self = .text(text)
        case CBOR_TYPE_ARRAY:
            let items = UnsafeBufferPointer(start: cbor_array_handle(item), count: cbor_array_size(item))
            self = .array(
                try items.map { item in
                    guard let item else { throw Malformed() }
                    return try CBOR(item)
                })
        case CBOR_TYPE_MAP:
            let pairs = UnsafeBufferPointer(start: cbor_map_handle(item), count: cbor_map_size(item))
            var entries: [Entry] = []
            for pair in pairs {
                let entry = Entry(key: try CBOR(pair.key), value: try CBOR(pair.value))
                guard !entries.contains(where: { $0.key == entry.key }) else { throw Malformed() }
                entries.append(entry)
            }
            self = .map(entries)
        case CBOR_TYPE_FLOAT_CTRL where cbor_is_bool(item): self = .bool(cbor_get_bool(item))
        case CBOR_TYPE_FLOAT_CTRL where cbor_is_null(item): self = .null
        default: throw Malformed()
        }
    }

    // MARK: - Reading

    /// The value of a text key in a map; nil when there is none.
    subscript(key: String) -> CBOR? { self[.text(key)] }

    /// The value of a whole-number key in a map: how COSE names its parameters.
    subscript(key: Int) -> CBOR? { self[key < 0 ? .negative(UInt64(-1 - key)) : .unsigned(UInt64(key))] }

    private subscript(key: CBOR) -> CBOR? { entries?.first { $0.key == key }?.value }

    var entries: [Entry]? { if case .map(let entries) = self { entries } else { nil } }
    var array: [CBOR]? { if case .array(let items) = self { items } else { nil } }
    var bytes: Data? { if case .bytes(let bytes) = self { bytes } else { nil } }
    var text: String? { if case .text(let text) = self { text } else { nil } }
    var bool: Bool? { if case .bool(let value) = self { value } else { nil } }

    var int: Int? {
        switch self {
        case .unsigned(let value): Int(exactly: value)
        case .negative(let value): Int(exactly: value).map { -1 - $0 }
        default: nil
        }
    }
}

/// Steps over the items of a text without making anything of them.
private struct CBOROutline {
    let bytes: [UInt8]
    private(set) var offset = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    /// Steps over one item. Returns where it ends.
    @discardableResult
    mutating func skipItem(depth: Int) throws -> Int {
        guard depth <= CBOR.maximumDepth else { throw CBOR.Malformed() }
        let head = try next()
        let argument = try self.argument(head & 0x1F)
        switch head >> 5 {
        case 0, 1: break
        case 2, 3:
            guard argument <= UInt64(bytes.count - offset) else { throw CBOR.Malformed() }
            offset += Int(argument)
        case 4: try skipItems(argument, depth)
        case 5:
            guard argument <= UInt64(CBOR.maximumBytes) else { throw CBOR.Malformed() }
            try skipItems(argument * 2, depth)
        case 7: guard head & 0x1F < 24 else { throw CBOR.Malformed() }
        default: throw CBOR.Malformed()
        }
        return offset
    }

    /// Steps into a map. Returns how many pairs follow.
    mutating func enterMap() throws -> UInt64 {
        let head = try next()
        guard head >> 5 == 5 else { throw CBOR.Malformed() }
        return try argument(head & 0x1F)
    }

    private mutating func skipItems(_ count: UInt64, _ depth: Int) throws {
        // Each takes a byte at least.
        guard count <= UInt64(bytes.count - offset) else { throw CBOR.Malformed() }
        for _ in 0..<count { try skipItem(depth: depth + 1) }
    }

    private mutating func next() throws -> UInt8 {
        guard offset < bytes.count else { throw CBOR.Malformed() }
        defer { offset += 1 }
        return bytes[offset]
    }

    /// What the head says of length or value. Indefinite lengths and reserved heads are refused.
    private mutating func argument(_ short: UInt8) throws -> UInt64 {
        guard short >= 24 else { return UInt64(short) }
        guard short <= 27 else { throw CBOR.Malformed() }
        var value: UInt64 = 0
        for _ in 0..<(1 << (short - 24)) { value = value << 8 | UInt64(try next()) }
        return value
    }
}
