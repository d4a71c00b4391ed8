/// Something that is not as it was written.
package struct ChainProblem: Sendable, Hashable, Codable {
    package enum Kind: String, Sendable, Hashable, Codable, CaseIterable {
        /// What stands there is not what was written there.
        case edited
        /// It was written and is not there any more, with entries after it that are.
        case removed
        /// It stands in another's place.
        case reordered
        /// The end of the log is missing.
        case cutTail = "cut-tail"
        /// Not signed with our key, or changed after it was signed.
        case badCheckpoint = "bad-checkpoint"
    }

    package let kind: Kind
    package let sequence: Int
    /// The last one, where it is several in a row.
    package let lastSequence: Int?
    /// A sentence for whoever has to look into it.
    package let detail: String

    package init(_ kind: Kind, _ sequence: Int, through last: Int? = nil, _ detail: String) {
        self.kind = kind
        self.sequence = sequence
        lastSequence = last.flatMap { $0 > sequence ? $0 : nil }
        self.detail = detail
    }

    var range: ClosedRange<Int> { sequence...(lastSequence ?? sequence) }
}

/// What a verification found.
package struct ChainReport: Sendable, Hashable {
    package let entries: Int
    package let checkpoints: Int
    /// By sequence; at most `ChainVerifier.Limits.problems`.
    package let problems: [ChainProblem]
    /// How many there are, named or not.
    package let problemCount: Int
    /// The last sequence that a good checkpoint vouches for.
    package let signedThrough: Int

    package var isValid: Bool { problemCount == 0 }
}

/// Whole numbers in runs: small as long as they come mostly in a row.
struct RunSet {
    private(set) var runs: [ClosedRange<Int>] = []

    var last: Int? { runs.last?.upperBound }

    /// False when it was there already.
    mutating func insert(_ number: Int) -> Bool {
        guard let final = runs.last else {
            runs = [number...number]
            return true
        }
        if number == final.upperBound + 1 {
            runs[runs.count - 1] = final.lowerBound...number
            return true
        }
        if number > final.upperBound {
            runs.append(number...number)
            return true
        }
        return insertAmong(number)
    }

    private mutating func insertAmong(_ number: Int) -> Bool {
        let next = runs.firstIndex { $0.upperBound >= number } ?? runs.count
        if next < runs.count, runs[next].contains(number) { return false }
        runs.insert(number...number, at: next)
        if next + 1 < runs.count, runs[next + 1].lowerBound == number + 1 {
            runs[next] = number...runs[next + 1].upperBound
            runs.remove(at: next + 1)
        }
        if next > 0, runs[next - 1].upperBound == number - 1 {
            runs[next - 1] = runs[next - 1].lowerBound...runs[next].upperBound
            runs.remove(at: next)
        }
        return true
    }

    /// The runs that are missing from `start` up to the last number.
    func gaps(from start: Int) -> [ClosedRange<Int>] {
        var gaps: [ClosedRange<Int>] = []
        var next = start
        for run in runs {
            if run.lowerBound > next { gaps.append(next...(run.lowerBound - 1)) }
            next = max(next, run.upperBound + 1)
        }
        return gaps
    }
}
