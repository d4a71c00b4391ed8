/// An answer as a client that knows HTTP/1.1 reads it from bytes, and whether it was whole.
struct RawAnswer {
    var status = 0
    /// Of the heads before it: 100, 103.
    var interim: [Int] = []
    /// Status line and fields, with those of the interim heads before it.
    var head = ""
    var body: [UInt8] = []
    var trailers = ""
    /// The framing came to its end.
    var isWhole = false
    /// The connection ended.
    var hasEnded = false
    /// What came after it.
    var rest: [UInt8] = []

    var text: String { String(decoding: body, as: UTF8.self) }

    /// Of the last head, in lower case.
    func field(_ name: String) -> String? {
        for line in head.split(separator: "\r\n").reversed() {
            let parts = line.split(separator: ":", maxSplits: 1)
            if parts.count == 2, parts[0].lowercased() == name { return String(parts[1].drop { $0 == " " }) }
        }
        return nil
    }

    /// - Parameter ended: whether the connection ended after these bytes: where there is no other framing, that is the end.
    init(_ bytes: [UInt8], ended: Bool, isHead: Bool = false) {
        hasEnded = ended
        var left = bytes[...]
        repeat {
            guard let end = left.firstRange(of: Array("\r\n\r\n".utf8)) else {
                rest = Array(left)
                return
            }
            let text = String(decoding: left[..<end.upperBound], as: UTF8.self)
            left = left[end.upperBound...]
            head += text
            status = text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
            if 100..<200 ~= status, status != 101 { interim.append(status) }
        } while 100..<200 ~= status && status != 101
        if isHead || status == 204 || status == 304 || status == 101 {
            isWhole = true
            rest = Array(left)
        } else if field("transfer-encoding") != nil {
            readChunks(left)
        } else if let length = field("content-length").flatMap({ Int($0) }) {
            body = Array(left.prefix(length))
            isWhole = body.count == length
            rest = Array(left.dropFirst(length))
        } else {
            body = Array(left)
            isWhole = ended
        }
    }

    private mutating func readChunks(_ bytes: ArraySlice<UInt8>) {
        var left = bytes
        func line() -> String? {
            guard let end = left.firstRange(of: [13, 10]) else { return nil }
            defer { left = left[end.upperBound...] }
            return String(decoding: left[..<end.lowerBound], as: UTF8.self)
        }
        while let text = line(), let size = Int(text, radix: 16) {
            if size == 0 {
                while let text = line() {
                    if text.isEmpty {
                        isWhole = true
                        rest = Array(left)
                        return
                    }
                    trailers += text + "\r\n"
                }
                return
            }
            body += left.prefix(size)
            guard left.count >= size + 2 else { return }
            left = left.dropFirst(size + 2)
        }
    }
}
