/// What a `Range` header asks for (RFC 9110, section 14).
enum ByteRange: Equatable, Sendable {
    /// No range, several, or one that is not well formed: a server may answer those with everything, and this one does.
    case whole
    case part(Range<Int>)
    /// Well formed, but outside the content.
    case unsatisfiable

    init(header: String?, size: Int) {
        guard let header, let equals = header.firstIndex(of: "="), header[..<equals].lowercased() == "bytes" else {
            self = .whole
            return
        }
        let text = header[header.index(after: equals)...].filter { $0 != " " && $0 != "\t" }
        let halves = text.split(separator: "-", omittingEmptySubsequences: false)
        guard halves.count == 2, let first = Self.number(halves[0]), let last = Self.number(halves[1]) else {
            self = .whole
            return
        }
        switch (first, last) {
        case (.none, .none): self = .whole
        case (.none, .some(let count)): self = Self.suffix(count, size)
        case (.some(let first), .none): self = first < size ? .part(first..<size) : .unsatisfiable
        case (.some(let first), .some(let last)):
            if last < first {
                self = .whole
            } else {
                self = first < size ? .part(first..<min(last, size - 1) + 1) : .unsatisfiable
            }
        }
    }

    private static func suffix(_ count: Int, _ size: Int) -> ByteRange {
        if count == 0 { return .unsatisfiable }
        // An empty content has no byte that Content-Range could name.
        return size == 0 ? .whole : .part(max(0, size - count)..<size)
    }

    /// Outer nil: not a number. Inner nil: left out. Larger than any file counts as the largest number.
    private static func number(_ text: some StringProtocol) -> Int?? {
        if text.isEmpty { return .some(nil) }
        guard text.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
        return .some(Int(text) ?? Int.max - 1)
    }
}
