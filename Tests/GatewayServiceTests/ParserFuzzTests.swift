import Foundation
import NIOCore
import Testing

@testable import GatewayService

/// The reader of HTTP/1.1 against whatever bytes there are: the same bytes in each run, and no more than a few seconds of them.
@Suite("Parser fuzzing")
struct ParserFuzzTests {
    /// SplitMix64.
    struct Dice {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var word = state
            word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
            word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
            return word ^ word >> 31
        }
        mutating func below(_ count: Int) -> Int { Int(next() % UInt64(max(1, count))) }
        mutating func pick<T>(_ of: [T]) -> T { of[below(of.count)] }
    }

    static let limit = Duration.seconds(4)

    /// What a side of the gateway made of the bytes.
    enum Outcome: Equatable {
        case refused(HeadRefusal)
        case unfinished
        case whole(Meaning)
    }

    struct Meaning: Equatable {
        var first = ""
        var host = ""
        var framing = BodyFraming.none
        var keepsAlive = false
        var lines: [String] = []
        var rest = 0
    }

    // MARK: Heads

    static let corpus: [[UInt8]] = {
        let cases =
            SmugglingTests.lengths + SmugglingTests.codings + SmugglingTests.lines + SmugglingTests.targets + SmugglingTests.hosts
            + SmugglingTests.versions + SmugglingTests.bodies + SmugglingTests.connections
        return cases.map { Array($0.bytes.utf8.prefix(1_200)) }
    }()

    static let answers: [[UInt8]] = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\nConnection: keep-alive\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\nSet-Cookie: a=b\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.0 404 Not Found\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nServer: x\r\nConnection: x-secret\r\nX-Secret: 1\r\n\r\n",
        "HTTP/1.1 103\r\nLink: </a>\r\n\r\nHTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
    ].map { Array($0.utf8) }

    static let pieces: [[UInt8]] = [
        "\r\n", "\n", "\r", " ", "\t", ":", ",", "\0", "\u{b}", "\u{7f}", "ü", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n",
        "Host: x\r\n",
        "Connection: ", "0", "-", "+", "chunked", "HTTP/1.1", "HTTP/1.0", "http://", "*", "/", "?", "#", "@", "[", "]", "_", "\r\n\r\n",
        "\r\n ",
        "X: y\r\n", "Expect: 100-continue\r\n", "GET ",
    ].map { Array($0.utf8) }

    static func mutate(_ bytes: [UInt8], with other: [UInt8], _ dice: inout Dice) -> [UInt8] {
        var bytes = bytes
        for _ in 0...dice.below(4) {
            let at = dice.below(bytes.count + 1), end = min(bytes.count, at + dice.below(12))
            switch dice.below(7) {
            case 0: bytes.insert(contentsOf: dice.pick(pieces), at: at)
            case 1: bytes.replaceSubrange(at..<end, with: dice.pick(pieces))
            case 2: bytes.removeSubrange(at..<end)
            case 3: bytes.insert(contentsOf: bytes[at..<end], at: dice.below(bytes.count))
            case 4: if at < bytes.count { bytes[at] ^= 1 << dice.below(8) }
            case 5: if at < bytes.count { bytes[at] = UInt8(dice.below(256)) }
            default:
                let cut = dice.below(other.count)
                bytes = Array(bytes[..<at] + other[cut...])
            }
            if bytes.isEmpty { bytes = [13] }
        }
        return bytes
    }

    /// Feeds the bytes in pieces that end at the cuts.
    static func parse(_ head: MessageHead, _ bytes: [UInt8], cuts: [Int]) -> Outcome {
        var buffer = ByteBuffer()
        var from = 0
        for to in cuts + [bytes.count] where to >= from {
            buffer.writeBytes(bytes[from..<to])
            from = to
            do throws(HeadRefusal) {
                if try head.parse(&buffer) { return .whole(meaning(head, rest: buffer.readableBytes + bytes.count - to)) }
            } catch {
                return .refused(error)
            }
        }
        return .unfinished
    }

    static func meaning(_ head: MessageHead, rest: Int) -> Meaning {
        var out = ByteBuffer()
        head.writeFields(to: &out)
        var meaning = Meaning(lines: String(buffer: out).components(separatedBy: "\r\n"), rest: rest)
        if let request = head as? RequestHead {
            meaning.first = "\(request.text(request.method)) \(request.text(request.target))"
            meaning.host = request.host.map(request.text) ?? ""
            meaning.framing = request.framing
            meaning.keepsAlive = request.keepsAlive
        } else if let answer = head as? ResponseHead {
            meaning.first = "\(answer.status)"
            meaning.framing = answer.framing(toHead: false)
            meaning.keepsAlive = answer.keepsAlive
        }
        return meaning
    }

    static func cuts(_ count: Int, _ dice: inout Dice) -> [Int] {
        if dice.below(8) == 0 { return Array(0..<min(count, 400)) }
        return (0..<(1 + dice.below(6))).map { _ in dice.below(count + 1) }.sorted()
    }

    @Test("Requests mean the same however their bytes are split, and what goes on cannot be read otherwise")
    func requests() {
        var dice = Dice(state: 1)
        let used = RequestHead(limits: .standard)
        let start = ContinuousClock.now
        var whole = 0, tries = 0
        while tries < 20_000, ContinuousClock.now - start < Self.limit {
            tries += 1
            let bytes =
                tries <= Self.corpus.count
                ? Self.corpus[tries - 1] : Self.mutate(dice.pick(Self.corpus), with: dice.pick(Self.corpus), &dice)
            let outcome = Self.parse(RequestHead(limits: .standard), bytes, cuts: [])
            let cuts = Self.cuts(bytes.count, &dice)
            used.reset()
            let split = Self.parse(used, bytes, cuts: cuts)
            #expect(split == outcome, "\(Self.text(bytes)) at \(cuts)")
            guard case .whole(let meaning) = outcome else { continue }
            whole += 1
            // As `Exchange` writes it, in the reading of a program that knows nothing of the gateway.
            let forwarded = Self.forwarded(meaning)
            let plain = PlainReading(forwarded)
            #expect(
                plain?.first == meaning.first && plain?.framing == meaning.framing, "\(Self.text(bytes)) became \(Self.text(forwarded))")
            var again = meaning
            again.rest = 0
            again.host = "upstream:80"
            again.keepsAlive = true
            #expect(
                Self.parse(RequestHead(limits: .standard), forwarded, cuts: []) == .whole(again),
                "\(Self.text(bytes)) became \(Self.text(forwarded))")
        }
        #expect(tries > 500 && whole > 50, "\(whole) of \(tries)")
    }

    @Test("Answers mean the same however their bytes are split")
    func answers() {
        var dice = Dice(state: 2)
        let used = ResponseHead(limits: .standard)
        let start = ContinuousClock.now
        var whole = 0, tries = 0
        while tries < 10_000, ContinuousClock.now - start < Self.limit / 2 {
            tries += 1
            let bytes = Self.mutate(dice.pick(Self.answers), with: dice.pick(Self.answers), &dice)
            let outcome = Self.parse(ResponseHead(limits: .standard), bytes, cuts: [])
            let cuts = Self.cuts(bytes.count, &dice)
            used.reset()
            let split = Self.parse(used, bytes, cuts: cuts)
            #expect(split == outcome, "\(Self.text(bytes)) at \(cuts)")
            guard case .whole(let meaning) = outcome else { continue }
            whole += 1
            for line in meaning.lines { #expect(!line.utf8.contains { $0 < 0x20 && $0 != 9 }, "\(Self.text(bytes))") }
        }
        #expect(tries > 500 && whole > 50, "\(whole) of \(tries)")
    }

    static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes.prefix(600), as: UTF8.self).debugDescription }

    private static func forwarded(_ meaning: Meaning) -> [UInt8] {
        let framing =
            switch meaning.framing {
            case .length(let length): "Content-Length: \(length)\r\n"
            case .chunked: "Transfer-Encoding: chunked\r\n"
            case .none, .untilClose: ""
            }
        return Array("\(meaning.first) HTTP/1.1\r\nHost: upstream:80\r\n\(meaning.lines.joined(separator: "\r\n"))\(framing)\r\n".utf8)
    }

    /// A head as the plainest of programs would read it: lines at LF, with or without CR, and whatever stands before the first colon
    /// with or without blanks. Nil where any two ways of reading would differ.
    private struct PlainReading {
        var first = ""
        var framing = BodyFraming.none

        init?(_ bytes: [UInt8]) {
            var lines = bytes.split(separator: 10, omittingEmptySubsequences: false).map(Array.init)
            guard lines.popLast() == [], lines.popLast() == [13], !lines.isEmpty else { return nil }
            var lengths = 0, codings = 0
            for (index, line) in lines.enumerated() {
                guard line.last == 13, line.count(where: { $0 == 13 }) == 1, !line.contains(0), line.count > 1 else { return nil }
                let text = String(decoding: line.dropLast(), as: UTF8.self)
                if index == 0 {
                    let words = text.components(separatedBy: " ")
                    guard words.count == 3, words[2] == "HTTP/1.1" else { return nil }
                    first = "\(words[0]) \(words[1])"
                    continue
                }
                guard let colon = line.firstIndex(of: 58), colon > 0, !line[..<colon].contains(where: { $0 <= 32 || $0 > 126 }) else {
                    return nil
                }
                let name = String(decoding: line[..<colon], as: UTF8.self).lowercased().replacing("_", with: "-")
                let value = String(decoding: line[(colon + 1)...].dropLast(), as: UTF8.self).trimmingPrefix(" ")
                if name == "content-length" {
                    lengths += 1
                    guard let length = Int(value), "\(length)" == value else { return nil }
                    framing = .length(length)
                } else if name == "transfer-encoding" {
                    codings += 1
                    guard value == "chunked" else { return nil }
                    framing = .chunked
                } else if name == "upgrade" || name == "connection" || name == "host" && index != 1 {
                    return nil
                }
            }
            guard lengths + codings <= 1 else { return nil }
        }
    }

    // MARK: Bodies

    /// What came out of a body: its bytes, its trailers, and what is left; or how far it went.
    struct Body: Equatable {
        var data: [UInt8] = []
        var trailers: String?
        var end = End.unfinished
        enum End: Equatable { case unfinished, malformed, whole(rest: Int) }
    }

    /// Chunks decoded byte by byte, with nothing in mind but RFC 9112, section 7.1, and the limits.
    static func reference(_ bytes: [UInt8]) -> Body {
        var body = Body(), at = 0, extensions = 0, fields = 0, fieldBytes = 0, kept = ""
        func line(_ most: Int) -> [UInt8]?? {
            guard let end = bytes[at...].prefix(most).firstIndex(of: 10) else { return bytes.count - at >= most ? .some(nil) : nil }
            guard end > at, bytes[end - 1] == 13 else { return .some(nil) }
            defer { at = end + 1 }
            return Array(bytes[at..<(end - 1)])
        }
        func isText(_ bytes: ArraySlice<UInt8>) -> Bool { bytes.allSatisfy { $0 == 9 || $0 >= 32 && $0 != 127 } }
        func stopped(_ found: [UInt8]??) -> Body {
            body.end = found == nil ? .unfinished : .malformed
            return body
        }
        while true {
            let found = line(BodyReader.maximumSizeLine)
            guard let size = found ?? nil else { return stopped(found) }
            let digits = size.prefix { String(UnicodeScalar($0)).wholeMatch(of: /[0-9a-fA-F]/) != nil }
            let rest = size[digits.count...]
            extensions += rest.count
            let isExtended =
                rest.first { $0 != 9 && $0 != 32 } == UInt8(ascii: ";") && isText(rest) && extensions <= BodyReader.maximumExtensions
            guard (1...15).contains(digits.count), rest.isEmpty || isExtended,
                let count = Int(String(decoding: digits, as: UTF8.self), radix: 16)
            else { return stopped(.some(nil)) }
            if count == 0 { break }
            let there = min(count, bytes.count - at)
            body.data += bytes[at..<(at + there)]
            at += there
            if there < count { return body }
            guard at < bytes.count else { return body }
            guard bytes[at] == 13 else { return stopped(.some(nil)) }
            guard at + 1 < bytes.count else { return body }
            guard bytes[at + 1] == 10 else { return stopped(.some(nil)) }
            at += 2
        }
        while true {
            let found = line(BodyReader.maximumTrailers)
            guard let field = found ?? nil else { return stopped(found) }
            if field.isEmpty { break }
            fields += 1
            fieldBytes += field.count + 2
            let text = String(decoding: field, as: UTF8.self)
            guard fields <= BodyReader.maximumTrailerFields, fieldBytes <= BodyReader.maximumTrailers, isText(field[...]),
                let name = text.prefixMatch(of: /([!#$%&'*+\-.^_`|~0-9A-Za-z]+):/)?.1.lowercased()
            else { return stopped(.some(nil)) }
            // Which fields mean something is the gateway's own table, and told of in `SmugglingTests`.
            var letters = Array(name.utf8)
            if FieldNames.request(&letters, letters.count).mayTrail, FieldNames.response(&letters, letters.count).mayTrail {
                kept += text + "\r\n"
            }
        }
        body.trailers = kept.isEmpty ? nil : kept
        body.end = .whole(rest: bytes.count - at)
        return body
    }

    static func read(_ bytes: [UInt8], cuts: [Int]) -> Body {
        var reader = BodyReader(.chunked), buffer = ByteBuffer(), body = Body(), from = 0
        for to in cuts + [bytes.count] where to >= from {
            buffer.writeBytes(bytes[from..<to])
            from = to
            reading: while true {
                switch reader.next(&buffer) {
                case .data(let part): body.data += Array(part.readableBytesView)
                case .more: break reading
                case .malformed:
                    body.end = .malformed
                    return body
                case .end(let trailers):
                    body.trailers = trailers.map { String(buffer: $0) }
                    body.end = .whole(rest: buffer.readableBytes + bytes.count - to)
                    return body
                }
            }
        }
        return body
    }

    static func chunks(_ dice: inout Dice) -> [UInt8] {
        var text = ""
        for _ in 0..<dice.below(6) {
            let count = 1 + dice.below(dice.below(10) == 0 ? 3_000 : 20)
            let size = String(count, radix: 16, uppercase: dice.below(2) == 0)
            text +=
                String(repeating: "0", count: dice.below(4)) + size + dice.pick(["", "", ";x", " ;a=b", ";\t", "\t;q=\"\\\"\""]) + "\r\n"
            text += String(repeating: dice.pick(["a", "\r", "\n", "0\r\n\r\n"]), count: count).utf8.prefix(count).map {
                String(UnicodeScalar($0))
            }.joined()
            text += "\r\n"
        }
        text += dice.pick(["0", "000", "0;x"]) + "\r\n"
        for _ in 0..<dice.below(4) {
            text += dice.pick(["X-Sum: 1", "x-rows:", "Content-Length: 5", "Host: x", "Authorization: x", "TE: y"]) + "\r\n"
        }
        return Array((text + "\r\n" + dice.pick(["", "GET / HTTP/1.1\r\n"])).utf8)
    }

    @Test("Chunks are decoded as the plainest of decoders does, however they are split, and broken ones are refused where it refuses them")
    func bodies() {
        var dice = Dice(state: 3)
        let start = ContinuousClock.now
        var whole = 0, malformed = 0, tries = 0
        while tries < 10_000, ContinuousClock.now - start < Self.limit {
            tries += 1
            var bytes = Self.chunks(&dice)
            if dice.below(2) == 0 {
                for _ in 0...dice.below(3) {
                    let at = dice.below(bytes.count)
                    switch dice.below(4) {
                    case 0: bytes[at] = dice.pick([0, 9, 10, 13, 32, 43, 45, 48, 59, 58, 127, 200])
                    case 1: bytes.remove(at: at)
                    case 2: bytes.insert(contentsOf: dice.pick([[13], [10], [13, 10], [48], [59], [32]]), at: at)
                    default: bytes.removeSubrange(at...)
                    }
                    if bytes.isEmpty { bytes = [48] }
                }
            }
            let wanted = Self.reference(bytes)
            let cuts = Self.cuts(bytes.count, &dice)
            #expect(Self.read(bytes, cuts: []) == wanted, "\(Self.text(bytes))")
            #expect(Self.read(bytes, cuts: cuts) == wanted, "\(Self.text(bytes)) at \(cuts)")
            if case .whole = wanted.end { whole += 1 }
            if wanted.end == .malformed { malformed += 1 }
        }
        #expect(whole > 50 && malformed > 50, "\(whole) and \(malformed) of \(tries)")
    }
}
