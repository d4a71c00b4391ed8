import ArgumentParser
import AuditChain
import Contracts
import Foundation

/// Checks an export of an audit log, away from the platform that wrote it.
@main
struct AuditCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trionex-audit", abstract: "Checks an export of an organization's audit log.", subcommands: [Verify.self])
}

struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Names every entry that was edited, removed, moved or cut off.",
        discussion: """
            Exit codes: 0 all is as it was written, 1 something is not or is missing, 2 the file cannot be read.
            The keys are those of GET /api/v1/audit-logs/key, fetched and kept at another time than the export: without --key the export \
            vouches for itself, and whoever can write all of it can sign it too.
            """)

    @Argument(help: "The export: GET /api/v1/audit-logs/export?format=ndjson. A hyphen reads standard input.")
    var export: String

    @Option(help: "The public keys that are trusted, as GET /api/v1/audit-logs/key gives them.")
    var key: String?

    @Option(help: "An earlier export, or a file of checkpoints: the log must still hold what they vouch for.")
    var witness: [String] = []

    @Flag(help: "The findings as JSON.")
    var json = false

    static let readBytes = 65_536
    /// Longer than any entry: an event has at most half a megabyte.
    static let longestLine = 4_194_304

    func run() throws {
        do {
            let keys = try key.map { try JSON.decode(AuditKeySet.self, from: try Data(contentsOf: URL(filePath: $0))) }
            var verifier = ExportVerifier(keys: keys, witnesses: try witness.flatMap(Self.checkpoints))
            try Self.lines(of: export) { try verifier.add(line: $0) }
            let report = try verifier.finish()
            Self.say(json ? try Self.document(report, verifier) : Self.text(report, trusts: keys != nil))
            if !report.isValid { throw ExitCode(1) }
        } catch let code as ExitCode {
            throw code
        } catch {
            FileHandle.standardError.write(Data("trionex-audit: \(error)\n".utf8))
            throw ExitCode(2)
        }
    }

    private struct Findings: Encodable {
        let valid: Bool
        let complete: Bool
        let organizationId: TenantID?
        let entries: Int
        let checkpoints: Int
        let signedThrough: Int
        let problemCount: Int
        let problems: [ChainProblem]
    }

    private static func document(_ report: ChainReport, _ verifier: ExportVerifier) throws -> String {
        String(
            decoding: try JSON.encode(
                Findings(
                    valid: report.isValid, complete: verifier.isComplete, organizationId: verifier.header?.organizationId,
                    entries: report.entries, checkpoints: report.checkpoints, signedThrough: report.signedThrough,
                    problemCount: report.problemCount, problems: report.problems)), as: UTF8.self)
    }

    private static func text(_ report: ChainReport, trusts: Bool) -> String {
        var lines = report.problems.map { problem in
            let through = problem.lastSequence.map { " to \($0)" } ?? ""
            return "\(problem.kind.rawValue) \(problem.sequence)\(through): \(problem.detail)"
        }
        if report.problemCount > report.problems.count { lines.append("and \(report.problemCount - report.problems.count) more") }
        if !trusts { lines.append("note: checked against the keys in the export itself; --key names those to trust") }
        lines.append(
            "\(report.isValid ? "valid" : "NOT VALID"): \(report.entries) entries, \(report.checkpoints) checkpoints, "
                + "signed through \(report.signedThrough), \(report.problemCount) problems")
        return lines.joined(separator: "\n")
    }

    private static func say(_ text: String) { FileHandle.standardOutput.write(Data((text + "\n").utf8)) }

    /// Every line of a file that is a checkpoint, whatever else is in it.
    private static func checkpoints(in path: String) throws -> [Checkpoint] {
        var found: [Checkpoint] = []
        try lines(of: path) { line in
            if let checkpoint = try? JSON.decode(Checkpoint.self, from: line) { found.append(checkpoint) }
        }
        return found
    }

    /// A line at a time, however long the file is.
    private static func lines(of path: String, _ body: (Data) throws -> Void) throws {
        let file = path == "-" ? FileHandle.standardInput : try FileHandle(forReadingFrom: URL(filePath: path))
        var rest = Data()
        while let chunk = try file.read(upToCount: readBytes), !chunk.isEmpty {
            rest += chunk
            var start = rest.startIndex
            while let end = rest[start...].firstIndex(of: UInt8(ascii: "\n")) {
                try body(Data(rest[start..<end]))
                start = rest.index(after: end)
            }
            rest = Data(rest[start...])
            guard rest.count <= longestLine else { throw UnreadableExport(line: 0, reason: "a line is longer than \(longestLine) bytes") }
        }
        if !rest.isEmpty { try body(rest) }
    }
}
