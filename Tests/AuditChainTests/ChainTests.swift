import AuditChain
import Contracts
import Foundation
import Testing

/// A log as it would lie in a table, for a test to do mischief to.
struct Ledger {
    let organization = TenantID.make()
    let key = AuditSigningKey()
    var links: [ChainLink] = []
    var checkpoints: [Checkpoint] = []

    init(_ count: Int, signedAt: [Int] = []) throws {
        for number in 1...count {
            append(["action": .string("test.entry.\(number)"), "number": .integer(number)])
            if signedAt.contains(number) { try sign() }
        }
    }

    mutating func append(_ content: [String: JSONValue]) {
        links.append(ChainLink(organization, sequence: links.count + 1, previous: links.last?.hash ?? .none, content: content))
    }

    mutating func sign() throws {
        let last = try #require(links.last)
        checkpoints.append(try key.sign(organization, sequence: last.sequence, hash: last.hash, at: Date()))
    }

    /// The entry with another content; `rehashed` as somebody would who knows how hashes are made.
    mutating func edit(_ sequence: Int, rehashed: Bool = false) {
        guard let index = links.firstIndex(where: { $0.sequence == sequence }) else { return }
        let old = links[index]
        let content = ChainLink.contentHash(["action": "forged", "number": .integer(sequence)])
        let hash = rehashed ? ChainLink.hash(organization, sequence, old.previous, content) : old.hash
        links[index] = ChainLink(sequence: sequence, previous: old.previous, content: content, hash: hash)
    }

    /// Everything from here on written anew, as the service itself would have.
    mutating func rewrite(from sequence: Int) {
        let count = links.count
        links = Array(links.prefix(sequence - 1))
        for number in sequence...count { append(["action": "forged", "number": .integer(number)]) }
    }

    mutating func remove(_ sequences: ClosedRange<Int>) { links.removeAll { sequences.contains($0.sequence) } }

    /// As an UPDATE of `sequence` would leave it.
    mutating func move(_ from: Int, to: Int) {
        guard let index = links.firstIndex(where: { $0.sequence == from }) else { return }
        let old = links[index]
        links[index] = ChainLink(sequence: to, previous: old.previous, content: old.content, hash: old.hash)
        links.sort { $0.sequence < $1.sequence }
    }

    func report(head: (Int, ChainHash)? = nil, keys: AuditKeySet? = nil) -> ChainReport {
        var verifier = ChainVerifier(organization, keys: keys ?? AuditKeySet([key.publicKey]))
        var waiting = checkpoints[...]
        for link in links {
            while let next = waiting.first, next.sequence < link.sequence {
                verifier.add(next)
                waiting.removeFirst()
            }
            verifier.add(link)
        }
        for checkpoint in waiting { verifier.add(checkpoint) }
        return verifier.finish(head: head.map { (sequence: $0.0, hash: $0.1) })
    }

    func findings(head: (Int, ChainHash)? = nil) -> [String] {
        report(head: head).problems.map { "\($0.kind.rawValue) \($0.sequence)" + ($0.lastSequence.map { "-\($0)" } ?? "") }
    }
}

@Suite("A hash chain")
struct ChainTests {
    @Test("a log that nobody touched is valid, with checkpoints and without")
    func valid() throws {
        let ledger = try Ledger(50, signedAt: [1, 20, 50])
        let report = ledger.report()
        #expect(report.isValid)
        #expect(report.entries == 50 && report.checkpoints == 3 && report.signedThrough == 50)
        #expect(try Ledger(3).findings() == [])
    }

    @Test("an edited entry is named, at the beginning, in the middle and at the end", arguments: [1, 2, 7, 19, 20])
    func edited(sequence: Int) throws {
        var ledger = try Ledger(20)
        ledger.edit(sequence)
        #expect(ledger.findings() == ["edited \(sequence)"])
    }

    @Test("an entry written anew with a hash that fits it is named, because the next one builds on the old", arguments: [1, 2, 7, 19])
    func rehashed(sequence: Int) throws {
        var ledger = try Ledger(20)
        ledger.edit(sequence, rehashed: true)
        #expect(ledger.findings() == ["edited \(sequence)"])
    }

    @Test("the last entry written anew is named by the head, or by a checkpoint")
    func lastRehashed() throws {
        var ledger = try Ledger(20)
        let head = (20, ledger.links[19].hash)
        ledger.edit(20, rehashed: true)
        #expect(ledger.findings(head: head) == ["edited 20"])
        var signed = try Ledger(20, signedAt: [19, 20])
        signed.edit(20, rehashed: true)
        #expect(signed.findings() == ["edited 20"])
    }

    @Test("a tail that is written anew from an entry on fits in itself, and is found by the checkpoints")
    func rewritten() throws {
        var ledger = try Ledger(30, signedAt: [9, 12, 20])
        ledger.rewrite(from: 10)
        #expect(ledger.findings() == ["edited 10-20"])
        var exact = try Ledger(30, signedAt: [9, 10])
        exact.rewrite(from: 10)
        #expect(exact.findings() == ["edited 10"])
    }

    @Test("removed entries are named, single ones and runs", arguments: [[3...3], [1...1], [4...9], [2...2, 7...9, 19...19]])
    func removed(runs: [ClosedRange<Int>]) throws {
        var ledger = try Ledger(20, signedAt: [5, 20])
        for run in runs { ledger.remove(run) }
        #expect(ledger.findings() == runs.map { "removed \($0.lowerBound)" + ($0.count > 1 ? "-\($0.upperBound)" : "") })
    }

    @Test("a removed entry is named even when all behind it have moved up to close the gap")
    func removedAndRenumbered() throws {
        var ledger = try Ledger(40)
        ledger.remove(10...11)
        for sequence in 12...40 { ledger.move(sequence, to: sequence - 2) }
        #expect(ledger.findings() == ["removed 10-11"])
    }

    @Test("two entries that changed places are both named, near and far", arguments: [[3, 4], [1, 2], [5, 16], [19, 20]])
    func swapped(pair: [Int]) throws {
        var ledger = try Ledger(20, signedAt: [4, 20])
        ledger.move(pair[0], to: 1_000)
        ledger.move(pair[1], to: pair[0])
        ledger.move(1_000, to: pair[1])
        #expect(ledger.findings() == pair.map { "reordered \($0)" })
    }

    @Test("contents that changed places while the hashes stayed are named as that")
    func contentsSwapped() throws {
        var ledger = try Ledger(20)
        let (one, two) = (ledger.links[4], ledger.links[11])
        ledger.links[4] = ChainLink(sequence: 5, previous: one.previous, content: two.content, hash: one.hash)
        ledger.links[11] = ChainLink(sequence: 12, previous: two.previous, content: one.content, hash: two.hash)
        #expect(ledger.findings() == ["reordered 5", "reordered 12"])
    }

    @Test("a cut tail is named by a checkpoint, by the head, and when nothing is left")
    func cut() throws {
        var ledger = try Ledger(20, signedAt: [10, 18])
        let head = (20, ledger.links[19].hash)
        ledger.remove(16...20)
        #expect(ledger.findings() == ["cut-tail 16-18"])
        #expect(ledger.findings(head: head) == ["cut-tail 16-20"])
        ledger.remove(1...20)
        #expect(ledger.findings() == ["cut-tail 1-18"])
    }

    @Test("checkpoints that were changed, or signed by another key, are named")
    func badCheckpoints() throws {
        var ledger = try Ledger(20, signedAt: [5, 10, 15])
        let honest = ledger.checkpoints[1]
        ledger.checkpoints[1] = Checkpoint(
            kind: .checkpoint, organizationId: honest.organizationId, sequence: 10, hash: ledger.links[8].hash.description,
            signedAt: honest.signedAt, keyId: honest.keyId, signature: honest.signature)
        #expect(ledger.findings() == ["bad-checkpoint 10"])
        let stranger = AuditSigningKey()
        ledger.checkpoints[1] = try stranger.sign(ledger.organization, sequence: 10, hash: ledger.links[9].hash, at: Date())
        #expect(ledger.findings() == ["bad-checkpoint 10"])
        ledger.checkpoints[1] = try ledger.key.sign(.make(), sequence: 10, hash: ledger.links[9].hash, at: Date())
        #expect(ledger.findings() == ["bad-checkpoint 10"])
    }

    @Test("a log may begin later only where a signed statement says so")
    func pruned() throws {
        var ledger = try Ledger(20, signedAt: [20])
        let pruned = try ledger.key.sign(ledger.organization, sequence: 8, hash: ledger.links[7].hash, at: Date(), as: .pruned)
        ledger.remove(1...8)
        #expect(ledger.findings() == ["removed 1-8"])
        var verifier = ChainVerifier(ledger.organization, keys: AuditKeySet([ledger.key.publicKey]))
        verifier.begin(after: pruned)
        for link in ledger.links { verifier.add(link) }
        #expect(verifier.finish().isValid)
    }

    @Test("several kinds of mischief at once are told apart")
    func together() throws {
        var ledger = try Ledger(60, signedAt: [30, 60])
        ledger.edit(5)
        ledger.remove(12...13)
        ledger.move(20, to: 1_000)
        ledger.move(21, to: 20)
        ledger.move(1_000, to: 21)
        ledger.edit(40, rehashed: true)
        ledger.remove(58...60)
        #expect(
            ledger.findings() == ["edited 5", "removed 12-13", "reordered 20", "reordered 21", "edited 40", "cut-tail 58-60"])
    }

    @Test("whatever single entry is touched, exactly that is named")
    func everySingleOne() throws {
        for sequence in 1...25 {
            var edited = try Ledger(25, signedAt: [8, 25])
            edited.edit(sequence)
            #expect(edited.findings() == ["edited \(sequence)"])
            var rehashed = try Ledger(25, signedAt: [8, 25])
            rehashed.edit(sequence, rehashed: true)
            // Nothing builds on the last: the checkpoint tells that it, or more before it, was written anew.
            #expect(rehashed.findings() == [sequence == 25 ? "edited 9-25" : "edited \(sequence)"])
            var removed = try Ledger(25, signedAt: [8, 25])
            removed.remove(sequence...sequence)
            #expect(removed.findings() == [sequence == 25 ? "cut-tail 25" : "removed \(sequence)"])
        }
    }

    @Test("what is wrong in very many places is counted, and only the first are listed")
    func limits() throws {
        var ledger = try Ledger(1_500)
        for sequence in 1...1_500 { ledger.edit(sequence) }
        var limits = ChainVerifier.Limits()
        limits.tries = 1_000
        var verifier = ChainVerifier(ledger.organization, keys: AuditKeySet([]), limits: limits)
        for link in ledger.links { verifier.add(link) }
        let report = verifier.finish()
        #expect(report.problemCount == 1_500)
        #expect(report.problems.count == limits.problems)
    }
}

@Suite("Canonical JSON")
struct CanonicalJSONTests {
    @Test(
        "numbers are written as ECMAScript writes them",
        arguments: [
            (0.0, "0"), (-0.0, "0"), (1.5, "1.5"), (-2.25, "-2.25"), (1e20, "100000000000000000000"), (1e21, "1e+21"), (1e-6, "0.000001"),
            (1e-7, "1e-7"), (1.5e-9, "1.5e-9"), (123456789.125, "123456789.125"), (5e-324, "5e-324"),
            (1.7976931348623157e308, "1.7976931348623157e+308"),
            (333333333.33333329, "333333333.3333333"), (4.50, "4.5"), (2e-3, "0.002"), (1e+30, "1e+30"),
        ])
    func numbers(value: Double, text: String) { #expect(CanonicalJSON.text(.number(value)) == text) }

    @Test("members are sorted by UTF-16, strings escaped as little as can be (the examples of RFC 8785)")
    func document() {
        let value: JSONValue = [
            "\u{20ac}": "Euro Sign", "\r": "Carriage Return", "\u{fb33}": "Hebrew Letter Dalet With Dagesh", "1": "One",
            "\u{1F600}": "Emoji: Grinning Face", "\u{80}": "Control", "\u{f6}": "Latin Small Letter O With Diaeresis",
        ]
        let names = ["\\r", "1", "\u{80}", "\u{f6}", "\u{20ac}", "\u{1F600}", "\u{fb33}"]
        var rest = CanonicalJSON.text(value)[...]
        for name in names {
            let place = rest.range(of: "\"\(name)\":")
            #expect(place != nil, "\(name)")
            if let place { rest = rest[place.upperBound...] }
        }
        #expect(
            CanonicalJSON.text(["s": "\u{20ac}$\u{0F}\u{0a}A'\u{42}\u{22}\u{5c}\\\"/", "l": [nil, true, false]])
                == #"{"l":[null,true,false],"s":"€$\u000f\nA'B\"\\\\\"/"}"#)
    }

    @Test("an entry has the hash that the documentation computes")
    func vector() throws {
        let organization = try #require(TenantID("0197b1c0-0000-7000-8000-000000000002"))
        let link = ChainLink(
            organization, sequence: 1, previous: .none,
            content: [
                "action": "content.article.publish", "actor": "person:0197b1c0-0000-7000-8000-000000000001", "newValues": ["seats": 3],
            ])
        // Computed by another program: sha256 over json.dumps(content, sort_keys=True, separators=(",", ":")), then over the five lines.
        #expect(link.content.description == "710f1a75b6fc1c2701a948518ed5bd61cd509bebe0f848fa988e6f97fc1fe311")
        #expect(link.hash.description == "1f2a9cc75045c25ea86b68e719ae0f3f8b19d29a9d88c77f0946a99aa57d535f")
    }
}
