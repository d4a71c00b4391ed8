import DequeModule

/// How far one partition has been handled when messages end out of order: only what is handled without a gap may be committed.
struct PartitionProgress {
    private struct Step {
        let offset: Int64
        var isDone = false
    }

    private var steps: Deque<Step> = []
    /// The first offset that is not handled, once something is.
    private(set) var next: Int64?
    private var last: Int64?

    var isIdle: Bool { steps.isEmpty }
    /// Offsets that are remembered: from the first not handled to the last begun.
    var span: Int { steps.count }

    /// Offsets begin in ascending order. One that does not says that the partition is read anew, so what was known is forgotten.
    mutating func begin(_ offset: Int64) {
        if let last, offset <= last {
            steps = []
            next = nil
        }
        last = offset
        steps.append(Step(offset: offset))
    }

    /// True when `next` has moved.
    mutating func finish(_ offset: Int64) -> Bool {
        guard let index = index(of: offset), !steps[index].isDone else { return false }
        steps[index].isDone = true
        guard index == 0 else { return false }
        while let first = steps.first, first.isDone {
            next = first.offset + 1
            steps.removeFirst()
        }
        return true
    }

    private func index(of offset: Int64) -> Int? {
        var low = 0
        var high = steps.count
        while low < high {
            let middle = (low + high) / 2
            if steps[middle].offset < offset { low = middle + 1 } else { high = middle }
        }
        return low < steps.count && steps[low].offset == offset ? low : nil
    }
}
