package import Contracts
import Foundation

/// Reads a log from its first entry to its last and names what is not as it was written, in memory that does not grow with the log.
///
/// Give it the entries in the order in which they are stored, and each checkpoint after the entry that it vouches for. No clock, no I/O.
package struct ChainVerifier {
    /// How much of what is wrong is looked at in detail. What is beyond is counted.
    package struct Limits: Sendable {
        package var problems = 1_000
        /// Places out of the ordinary that are kept for the end.
        package var irregular = 10_000
        /// How far away an entry that is not in its place is looked for.
        package var distance = 20_000
        /// Hashes tried for that, in all.
        package var tries = 1_000_000
        /// Edited entries that are compared with each other, for contents that changed places.
        package var suspects = 256
        package init() {}
    }

    /// Entries in a row that all stand as far from where they belong.
    private struct Shifted {
        let position: Int
        var count: Int
        let shift: Int
    }

    private let organization: TenantID
    private let keys: AuditKeySet
    private let limits: Limits
    /// The first entry that must be there, and what it builds on.
    private var start = 1
    private var base = ChainHash.none

    private var entries = 0
    private var checkpoints = 0
    /// The entries that are there, by the sequence they were written with.
    private var present = RunSet()
    private var last: (sequence: Int, hash: ChainHash)?
    /// Where the order is broken: the hash of an entry that its successor did not follow, and what an entry that came out of turn
    /// builds on.
    private var ends: [Int: ChainHash] = [:]
    private var starts: [Int: ChainHash] = [:]
    /// Entries that do not build on the one before them, and whether that one is vouched for.
    private var breaks: [Int: Bool] = [:]
    private var suspects: [ChainLink] = []
    private var suspected: Set<Int> = []
    private var shifted: [Shifted] = []
    private var shift = 0
    /// The last entry that came with the sequence it was written with, and those that came behind a later one.
    private var lastInPlace = 0
    private var late: [(sequence: Int, behind: Int)] = []
    private var tries: Int
    /// The last sequence whose checkpoint is good and agrees with the log.
    private var agreed = 0
    /// The last sequence that a good checkpoint names.
    private var signed = 0
    private var disagreements: [(after: Int, at: Int)] = []
    private var waiting: [Checkpoint] = []
    private var problems: [ChainProblem] = []
    private var problemCount = 0

    package init(_ organization: TenantID, keys: AuditKeySet, limits: Limits = Limits()) {
        self.organization = organization
        self.keys = keys
        self.limits = limits
        tries = limits.tries
    }

    /// A log need not reach back to its beginning: what a signed statement says was removed may be missing. Called before any entry.
    package mutating func begin(after pruned: Checkpoint) {
        checkpoints += 1
        guard isGood(pruned), let hash = pruned.chainHash else { return }
        start = pruned.sequence + 1
        base = hash
    }

    // MARK: - Entries

    package mutating func add(_ link: ChainLink) {
        entries += 1
        let original: Int
        var isInPlace = false
        if ChainLink.hash(organization, link.sequence, link.previous, link.content) == link.hash {
            original = link.sequence
            shift = 0
            isInPlace = true
        } else if let found = place(of: link) {
            original = found
            note(link.sequence, belongsAt: found)
        } else {
            original = follows(link.sequence + shift) ? link.sequence + shift : link.sequence
            suspect(link)
        }
        if follow(original, link), isInPlace { noteTurn(original) }
    }

    private func follows(_ original: Int) -> Bool { original == (last?.sequence ?? start - 1) + 1 }

    /// Where an entry belongs that is whole but stands elsewhere; nil for one that is not whole.
    private mutating func place(of link: ChainLink) -> Int? {
        if shift != 0, fits(link, link.sequence + shift) { return link.sequence + shift }
        var distance = 1
        while distance <= limits.distance, tries > 0 {
            tries -= 2
            if fits(link, link.sequence + distance) { return link.sequence + distance }
            if fits(link, link.sequence - distance) { return link.sequence - distance }
            distance += 1
        }
        return nil
    }

    private func fits(_ link: ChainLink, _ sequence: Int) -> Bool {
        sequence > 0 && ChainLink.hash(organization, sequence, link.previous, link.content) == link.hash
    }

    private mutating func note(_ position: Int, belongsAt original: Int) {
        shift = original - position
        if let run = shifted.last, run.shift == shift, run.position + run.count == position {
            shifted[shifted.count - 1].count += 1
        } else if shifted.count < limits.irregular {
            shifted.append(Shifted(position: position, count: 1, shift: shift))
        } else {
            problemCount += 1
        }
    }

    /// A stored log is read by sequence; the lines of a file can be moved.
    private mutating func noteTurn(_ sequence: Int) {
        if sequence < lastInPlace {
            if late.count < limits.irregular { late.append((sequence, behind: lastInPlace)) } else { problemCount += 1 }
        }
        lastInPlace = sequence
    }

    private mutating func suspect(_ link: ChainLink) {
        if suspects.count < limits.suspects {
            suspects.append(link)
        } else {
            report(.edited, link.sequence, Self.notAsHashed)
        }
        if suspected.count < limits.irregular { suspected.insert(link.sequence) }
    }

    /// False for an entry that was there already.
    private mutating func follow(_ original: Int, _ link: ChainLink) -> Bool {
        guard present.insert(original) else {
            report(.reordered, link.sequence, "This is entry \(original) once more.")
            return false
        }
        if follows(original) {
            if link.previous != last?.hash ?? base, breaks.count < limits.irregular { breaks[original] = agreed == original - 1 }
        } else if ends.count < limits.irregular {
            ends[last?.sequence ?? start - 1] = last?.hash ?? base
            starts[original] = link.previous
        }
        last = (original, link.hash)
        return true
    }

    // MARK: - Checkpoints

    /// Comes after the entry that it names.
    package mutating func add(_ checkpoint: Checkpoint) {
        checkpoints += 1
        guard isGood(checkpoint) else { return }
        signed = max(signed, checkpoint.sequence)
        if last?.sequence == checkpoint.sequence {
            compare(checkpoint, last?.hash)
        } else if checkpoint.sequence >= start, waiting.count < limits.irregular {
            waiting.append(checkpoint)
        }
    }

    private mutating func isGood(_ checkpoint: Checkpoint) -> Bool {
        guard checkpoint.organizationId == organization else {
            report(.badCheckpoint, checkpoint.sequence, "This checkpoint is of another organization.")
            return false
        }
        switch keys.judge(checkpoint) {
        case .good: return true
        case .unknownKey: report(.badCheckpoint, checkpoint.sequence, "This checkpoint is signed with a key that is not ours.")
        case .badSignature: report(.badCheckpoint, checkpoint.sequence, "This checkpoint was changed after it was signed.")
        }
        return false
    }

    private mutating func compare(_ checkpoint: Checkpoint, _ hash: ChainHash?) {
        if checkpoint.chainHash == hash {
            agreed = max(agreed, checkpoint.sequence)
        } else if disagreements.count < limits.irregular {
            disagreements.append((after: agreed, at: checkpoint.sequence))
        }
    }

    // MARK: - The end

    /// `head` is what the log itself says its last entry is, where it says so.
    package mutating func finish(head: (sequence: Int, hash: ChainHash)? = nil) -> ChainReport {
        judgeSuspects()
        matchEnds()
        judgeOrder()
        judgeBreaks()
        judgeEnd(head)
        judgeDisagreements()
        judgeTurns()
        return ChainReport(
            entries: entries, checkpoints: checkpoints,
            problems: problems.sorted { ($0.sequence, $0.kind.rawValue) < ($1.sequence, $1.kind.rawValue) },
            problemCount: problemCount, signedThrough: agreed)
    }

    /// The same for an export, whose last line is `head` and which, unless it has no entry, has a checkpoint.
    package mutating func finishExport(head: (sequence: Int, hash: ChainHash)?) -> ChainReport {
        let reached = present.last ?? start - 1
        if head == nil, signed <= reached {
            report(.cutTail, reached + 1, "The file ends after entry \(reached) without its last line: how much is cut off is unknown.")
        } else if head != nil, entries > 0, checkpoints == 0 {
            report(.badCheckpoint, reached, "No checkpoint vouches for any of this, and an export has at least one.")
        }
        return finish(head: head)
    }

    private mutating func judgeSuspects() {
        for link in suspects {
            let other = suspects.first { other in
                other.sequence != link.sequence
                    && ChainLink.hash(organization, link.sequence, link.previous, other.content) == link.hash
            }
            if let other {
                report(.reordered, link.sequence, "What belongs here stands at \(other.sequence).")
            } else {
                report(.edited, link.sequence, Self.notAsHashed)
            }
        }
    }

    private mutating func matchEnds() {
        for (sequence, previous) in starts {
            if let end = ends[sequence - 1], end != previous { breaks[sequence] = agreed == sequence - 1 }
        }
        for checkpoint in waiting {
            if let hash = ends[checkpoint.sequence] ?? (last?.sequence == checkpoint.sequence ? last?.hash : nil) {
                compare(checkpoint, hash)
            }
        }
    }

    /// What is missing, and what stands elsewhere for another reason than that others before it are missing.
    private mutating func judgeOrder() {
        let gaps = present.gaps(from: start)
        for gap in gaps {
            report(
                .removed, gap.lowerBound, through: gap.upperBound,
                gap.count == 1 ? "This entry is missing." : "These \(gap.count) entries are missing.")
        }
        for run in shifted {
            let original = run.position + run.shift
            let missing = gaps.reduce(0) { count, gap in gap.upperBound < original ? count + gap.count : count }
            guard missing != run.shift else { continue }
            report(
                .reordered, run.position, through: run.position + run.count - 1,
                run.count == 1 ? "The entry here belongs at \(original)." : "The entries here belong at \(original) and after.")
        }
    }

    /// An entry and the one after it do not fit, and each is whole: one of them was written anew.
    private mutating func judgeBreaks() {
        var explained: Set<Int> = []
        for (sequence, isVouchedFor) in breaks.sorted(by: { $0.key < $1.key }) where !explained.contains(sequence) {
            if suspected.contains(sequence) || suspected.contains(sequence - 1) { continue }
            if breaks[sequence + 1] != nil {
                explained.insert(sequence + 1)
                report(.edited, sequence, "This entry was written anew: it fits neither the one before nor the one after.")
            } else if isVouchedFor || sequence == start {
                report(.edited, sequence, "This entry was written anew: it does not build on the one before, which is vouched for.")
            } else {
                report(
                    .edited, sequence - 1, "This entry was written anew, perhaps with some before it: the one after it builds on another.")
            }
        }
    }

    private mutating func judgeEnd(_ head: (sequence: Int, hash: ChainHash)?) {
        let reached = present.last ?? start - 1
        let written = max(signed, head?.sequence ?? 0)
        if written > reached {
            report(.cutTail, reached + 1, through: written, "The log ends at \(reached), and was written as far as \(written).")
        }
        if let head, head.sequence == reached, let last, last.sequence == reached, last.hash != head.hash, !isNamed(reached...reached) {
            report(.edited, reached, "This entry was written anew: the log was last known to end with another.")
        }
    }

    /// A good checkpoint that does not agree says that something before it was written anew, even when all fits.
    private mutating func judgeDisagreements() {
        var open: (first: Int, last: Int)?
        func problem(_ open: (first: Int, last: Int)) -> ChainProblem {
            ChainProblem(
                .edited, open.first, through: open.last,
                "Something here was written anew, with all that follows: a checkpoint says otherwise.")
        }
        for (after, sequence) in disagreements.sorted(by: { $0.at < $1.at }) {
            if isNamed(min(after + 1, sequence)...sequence) { continue }
            if let known = open, known.first == after + 1 {
                open = (known.first, sequence)
            } else {
                if let open { add(problem(open)) }
                open = (min(after + 1, sequence), sequence)
            }
        }
        if let open { add(problem(open)) }
    }

    /// Named last: a line that was moved must not hide what else is wrong with the entries around it.
    private mutating func judgeTurns() {
        for (sequence, behind) in late { report(.reordered, sequence, "This entry stands behind entry \(behind).") }
    }

    // MARK: - Problems

    private static let notAsHashed = "What stands here is not what was written."

    private func isNamed(_ range: ClosedRange<Int>) -> Bool {
        problems.contains { $0.kind != .badCheckpoint && $0.kind != .cutTail && $0.range.overlaps(range) }
    }

    private mutating func report(_ kind: ChainProblem.Kind, _ sequence: Int, through last: Int? = nil, _ detail: String) {
        add(ChainProblem(kind, sequence, through: last, detail))
    }

    private mutating func add(_ problem: ChainProblem) {
        problemCount += 1
        if problems.count < limits.problems { problems.append(problem) }
    }
}
