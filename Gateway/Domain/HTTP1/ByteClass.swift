/// Which bytes may stand where in a head (RFC 9110, section 5.6.2; RFC 3986).
enum ByteClass {
    private static let token: UInt8 = 1
    private static let target: UInt8 = 2
    private static let host: UInt8 = 4

    /// Filled once, before the first request; never written again.
    nonisolated(unsafe) private static let table: UnsafeMutablePointer<UInt8> = {
        let table = UnsafeMutablePointer<UInt8>.allocate(capacity: 256)
        table.initialize(repeating: 0, count: 256)
        for byte in "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".utf8 { table[Int(byte)] |= token }
        // A fragment is for the client alone, a backslash is a slash to some, and what is not ASCII must come encoded.
        for byte in UInt8(0x21)...0x7E where byte != UInt8(ascii: "#") && byte != UInt8(ascii: "\\") { table[Int(byte)] |= target }
        for byte in "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-._~".utf8 { table[Int(byte)] |= host }
        return table
    }()

    @inline(__always) static func isToken(_ byte: UInt8) -> Bool { table[Int(byte)] & token != 0 }
    @inline(__always) static func isTarget(_ byte: UInt8) -> Bool { table[Int(byte)] & target != 0 }
    @inline(__always) static func isHost(_ byte: UInt8) -> Bool { table[Int(byte)] & host != 0 }

    /// No control characters but the tabulator.
    @inline(__always)
    static func isValue(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        var index = 0
        // Eight at a time: a byte below 0x20, or 0x7F, shows in the highest bit of its place.
        while index &+ 8 <= count {
            let word = UnsafeRawPointer(bytes + index).loadUnaligned(as: UInt64.self)
            let low = (word &- 0x2020_2020_2020_2020) & ~word
            let delete = word ^ 0x7F7F_7F7F_7F7F_7F7F
            let isDelete = (delete &- 0x0101_0101_0101_0101) & ~delete
            if (low | isDelete) & 0x8080_8080_8080_8080 != 0 { break }
            index &+= 8
        }
        while index < count {
            let byte = bytes[index]
            if (byte < 0x20 && byte != 0x09) || byte == 0x7F { return false }
            index &+= 1
        }
        return true
    }
}
