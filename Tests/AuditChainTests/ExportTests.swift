import AuditChain
import Contracts
import Foundation
import Testing

/// The lines of an export, for a test to move and to cut.
private struct ExportedLog {
    let key = AuditSigningKey()
    var lines: [Data] = []

    /// With a checkpoint after the last entry but one.
    init(_ count: Int) throws {
        let organization = TenantID.make()
        lines.append(try ChainExport.line(ChainExport.Header(organization, keys: AuditKeySet([key.publicKey]), at: Date())))
        var previous = ChainHash.none
        for sequence in 1...count {
            var entry: [String: JSONValue] = [
                "organizationId": .string(organization.description), "action": .string("test.entry.\(sequence)"), "newValues": .null,
            ]
            let link = ChainLink(organization, sequence: sequence, previous: previous, content: entry)
            entry["sequence"] = .integer(sequence)
            entry["previousHash"] = .string(previous.description)
            entry["hash"] = .string(link.hash.description)
            lines.append(ChainExport.line(entry: entry))
            if sequence == count - 1 {
                lines.append(try ChainExport.line(try key.sign(organization, sequence: sequence, hash: link.hash, at: Date())))
            }
            previous = link.hash
        }
        lines.append(try ChainExport.line(ChainExport.End(entries: count, sequence: count, hash: previous)))
    }

    var checkpoints: [Checkpoint] { lines.compactMap { try? JSON.decode(Checkpoint.self, from: $0) } }

    func report(witnesses: [Checkpoint] = []) throws -> ChainReport {
        var verifier = ExportVerifier(keys: AuditKeySet([key.publicKey]), witnesses: witnesses)
        for line in lines { try verifier.add(line: line) }
        return try verifier.finish()
    }

    func findings(witnesses: [Checkpoint] = []) throws -> [String] {
        let report = try report(witnesses: witnesses)
        #expect(report.isValid == report.problems.isEmpty)
        return report.problems.map { "\($0.kind.rawValue) \($0.sequence)" + ($0.lastSequence.map { "-\($0)" } ?? "") }
    }
}

@Suite("An export")
struct ExportTests {
    @Test("one that nobody touched is valid, members that are null included")
    func valid() throws {
        let report = try ExportedLog(10).report()
        #expect(report.isValid)
        #expect(report.entries == 10 && report.checkpoints == 1 && report.signedThrough == 9)
    }

    @Test("a file that was cut off is named as that, wherever it was cut", arguments: [(1, 11), (2, 10), (3, 10), (4, 9), (12, 1)])
    func cut(lines: Int, firstMissing: Int) throws {
        var log = try ExportedLog(10)
        log.lines.removeLast(lines)
        #expect(try log.findings() == ["cut-tail \(firstMissing)"])
    }

    @Test("how far a file that was cut off went is told by a witness")
    func witness() throws {
        var log = try ExportedLog(10)
        let witnesses = log.checkpoints
        log.lines.removeLast(5)
        #expect(try log.findings(witnesses: witnesses) == ["cut-tail 8-9"])
    }

    @Test("entries without any checkpoint are not signed, and said to be so")
    func unsigned() throws {
        var log = try ExportedLog(10)
        let witnesses = log.checkpoints
        log.lines.remove(at: 10)
        #expect(try log.findings() == ["bad-checkpoint 10"])
        #expect(try log.findings(witnesses: witnesses) == [])
    }

    @Test("a log without entries needs no checkpoint, but its last line")
    func empty() throws {
        var log = try ExportedLog(2)
        log.lines = [log.lines[0], try ChainExport.line(ChainExport.End(entries: 0, sequence: 0, hash: .none))]
        #expect(try log.findings() == [])
        log.lines.removeLast()
        #expect(try log.findings() == ["cut-tail 1"])
    }

    @Test("an entry whose line was moved is named, and hides nothing else")
    func moved() throws {
        var log = try ExportedLog(10)
        log.lines.swapAt(4, 5)
        #expect(try log.findings() == ["reordered 4"])
        log = try ExportedLog(10)
        log.lines.insert(log.lines.remove(at: 3), at: 7)
        #expect(try log.findings() == ["reordered 3"])
        log.lines[8] = Data(String(decoding: log.lines[8], as: UTF8.self).replacingOccurrences(of: "entry.8", with: "entry.0").utf8)
        #expect(try log.findings() == ["reordered 3", "edited 8"])
    }

    @Test("a last line without a hash cannot be read")
    func lastLine() throws {
        var log = try ExportedLog(3)
        log.lines[log.lines.count - 1] = Data(#"{"entries":3,"hash":"","kind":"end","sequence":3}"#.utf8)
        #expect(throws: UnreadableExport.self) { try log.report() }
    }
}
