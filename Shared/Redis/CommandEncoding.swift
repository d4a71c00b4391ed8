/// A command as bytes of RESP 2, ready to be sent. Written on the caller's thread, so that connection threads only copy.
enum CommandEncoding {
    static func encode(_ arguments: [String]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(arguments.reduce(16) { $0 + $1.utf8.count + 16 })
        header("*", arguments.count, into: &bytes)
        for argument in arguments {
            var argument = argument
            argument.withUTF8 { append($0, to: &bytes) }
        }
        return bytes
    }

    static func encode(_ arguments: [[UInt8]]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(arguments.reduce(16) { $0 + $1.count + 16 })
        header("*", arguments.count, into: &bytes)
        for argument in arguments { argument.withUnsafeBufferPointer { append($0, to: &bytes) } }
        return bytes
    }

    private static func append(_ argument: UnsafeBufferPointer<UInt8>, to bytes: inout [UInt8]) {
        header("$", argument.count, into: &bytes)
        bytes.append(contentsOf: argument)
        bytes.append(contentsOf: [0x0D, 0x0A])
    }

    private static func header(_ kind: Unicode.Scalar, _ count: Int, into bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: kind))
        bytes.append(contentsOf: String(count).utf8)
        bytes.append(contentsOf: [0x0D, 0x0A])
    }
}
