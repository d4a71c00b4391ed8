package import Contracts
package import Foundation

/// A log outside the platform: one JSON object a line (NDJSON), each told by its `kind`.
///
///     {"kind":"log", "format":"trionex-audit/1", "organizationId":…, "exportedAt":…, "keys":[…]}
///     {"kind":"pruned", …}        when the log no longer reaches back to its first entry
///     {"kind":"entry", "sequence":1, …, "previousHash":…, "hash":…}
///     {"kind":"checkpoint", …}    after the entry that it vouches for
///     {"kind":"end", "entries":…, "sequence":…, "hash":…}
package enum ChainExport {
    package static let mediaType = "application/x-ndjson"

    package struct Header: Sendable, Hashable, Codable {
        package let kind: String
        package let format: String
        package let organizationId: TenantID
        package let exportedAt: Date
        package let keys: [AuditPublicKey]

        package init(_ organization: TenantID, keys: AuditKeySet, at time: Date) {
            kind = "log"
            format = ChainLink.format
            organizationId = organization
            exportedAt = time
            self.keys = keys.keys
        }
    }

    package struct End: Sendable, Hashable, Codable {
        package let kind: String
        package let entries: Int
        package let sequence: Int
        package let hash: String

        package init(entries: Int, sequence: Int, hash: ChainHash) {
            kind = "end"
            self.entries = entries
            self.sequence = sequence
            self.hash = hash.description
        }
    }

    package static func line(_ header: Header) throws -> Data { try JSON.encode(header) + newline }
    package static func line(_ checkpoint: Checkpoint) throws -> Data { try JSON.encode(checkpoint) + newline }
    package static func line(_ end: End) throws -> Data { try JSON.encode(end) + newline }

    /// `entry` has the members of the chain.
    package static func line(entry: [String: JSONValue]) -> Data {
        var entry = entry
        entry["kind"] = "entry"
        return CanonicalJSON.data(.object(entry)) + newline
    }

    private static let newline = Data([UInt8(ascii: "\n")])
}

/// Why an export cannot be read at all.
package struct UnreadableExport: Error, Equatable, CustomStringConvertible {
    package let line: Int
    package let reason: String
    package var description: String { "line \(line): \(reason)" }

    package init(line: Int, reason: String) {
        self.line = line
        self.reason = reason
    }
}

/// Holds an export against itself, a line at a time.
package struct ExportVerifier {
    package private(set) var header: ChainExport.Header?
    private let trusted: AuditKeySet?
    private let witnesses: [Checkpoint]
    private var nextWitness = 0
    private var verifier: ChainVerifier?
    private var end: (sequence: Int, hash: ChainHash)?
    private var lines = 0

    /// - Parameters:
    ///   - keys: those that are trusted; without them the export's own, which then proves only that it is whole in itself.
    ///   - witnesses: checkpoints from elsewhere: an earlier export, a log archive.
    package init(keys: AuditKeySet? = nil, witnesses: [Checkpoint] = []) {
        trusted = keys
        self.witnesses = witnesses.sorted { $0.sequence < $1.sequence }
    }

    /// Throws `UnreadableExport`.
    package mutating func add(line: Data) throws {
        lines += 1
        guard !line.allSatisfy({ $0 == 32 || $0 == 13 }) else { return }
        guard end == nil else { throw unreadable("there is more after the end") }
        switch try kind(of: line) {
        case "log": try begin(line)
        case "entry": try addEntry(line)
        case "checkpoint":
            let checkpoint = try decode(Checkpoint.self, line)
            catchUp(before: checkpoint.sequence)
            verifier?.add(checkpoint)
        case "pruned":
            let pruned = try decode(Checkpoint.self, line)
            verifier?.begin(after: pruned)
        case "end":
            let last = try decode(ChainExport.End.self, line)
            guard let hash = ChainHash(last.hash) else { throw unreadable("the last line has no hash") }
            end = (last.sequence, hash)
        case let other: throw unreadable("no line of an export has the kind \"\(other)\"")
        }
    }

    /// A file without its last line is reported as cut off. Throws `UnreadableExport` for a file that does not begin as an export does.
    package mutating func finish() throws -> ChainReport {
        catchUp(before: .max)
        guard var verifier else { throw unreadable("this is no export of an audit log") }
        return verifier.finishExport(head: end)
    }

    /// False for a file that was cut off: it has no last line.
    package var isComplete: Bool { end != nil }

    private mutating func begin(_ line: Data) throws {
        guard verifier == nil else { throw unreadable("there is a second beginning") }
        let header = try decode(ChainExport.Header.self, line)
        guard header.format == ChainLink.format else { throw unreadable("the format \(header.format) is unknown") }
        self.header = header
        verifier = ChainVerifier(header.organizationId, keys: trusted ?? AuditKeySet(header.keys))
    }

    private mutating func addEntry(_ line: Data) throws {
        guard case .object(var entry) = try decode(JSONValue.self, line), verifier != nil else {
            throw unreadable("an entry before the beginning")
        }
        guard entry["organizationId"]?.string == header?.organizationId.description else {
            throw unreadable("an entry of another organization")
        }
        entry["kind"] = nil
        guard let link = ChainLink(entry: entry) else { throw unreadable("an entry without its place or its hashes") }
        catchUp(before: link.sequence)
        verifier?.add(link)
    }

    /// Witnesses come after the entry that they vouch for, too.
    private mutating func catchUp(before sequence: Int) {
        while nextWitness < witnesses.count, witnesses[nextWitness].sequence < sequence {
            let witness = witnesses[nextWitness]
            verifier?.add(witness)
            nextWitness += 1
        }
    }

    private func kind(of line: Data) throws -> String {
        struct Kind: Decodable { let kind: String }
        return try decode(Kind.self, line).kind
    }

    private func decode<T: Decodable>(_ type: T.Type, _ line: Data) throws -> T {
        do {
            return try JSON.decode(type, from: line)
        } catch {
            throw unreadable("cannot be read as \(type)")
        }
    }

    private func unreadable(_ reason: String) -> UnreadableExport { UnreadableExport(line: lines, reason: reason) }
}
