import Foundation

/// How many different things there were, in a few bytes: a HyperLogLog sketch (Flajolet et al. 2007) that merges without loss, so that
/// the people of a week are those of its days put together, each counted once.
///
/// With 2^14 registers the standard error is 0.81 %. Up to 1,536 different things it keeps 25 bits of place for each (the sparse form of
/// HyperLogLog++, Heule et al. 2013), and a count is off by one in a thousand sketches. The estimate is Ertl's (2017), which needs no
/// tables of corrections and is unbiased from nought to 2^50.
struct Sketch: Sendable, Equatable {
    /// Bits of a hash that choose the register.
    static let precision = 14
    static let registerCount = 1 << precision
    /// `1.04 / √registers`.
    static let standardError = 0.008125
    /// Entries of the sparse form: beyond this the registers take less room.
    static let sparseLimit = 1_536
    /// Bits of a hash that the sparse form keeps as place.
    private static let sparsePrecision = 25
    private static let rankBits = 6

    private enum Form: Equatable {
        /// `place << 6 | rank`, in ascending order, each place once.
        case sparse([UInt32])
        /// The rank of each register.
        case dense([UInt8])
    }

    private var form = Form.sparse([])

    init() {}

    var isEmpty: Bool { form == .sparse([]) }

    // MARK: - Counting

    mutating func insert(_ uuid: UUID) { withUnsafeBytes(of: uuid.uuid) { insert(hash: Self.hash($0)) } }

    mutating func insert(_ text: String) {
        var text = text
        text.withUTF8 { insert(hash: Self.hash(UnsafeRawBufferPointer($0))) }
    }

    /// Any 64 bits that are as good as random.
    mutating func insert(hash: UInt64) {
        switch form {
        case .sparse(var entries):
            form = .sparse([])  // The array has one owner, so it is changed in its place.
            let rest = hash << UInt64(Self.sparsePrecision)
            let rank = rest == 0 ? 64 - Self.sparsePrecision + 1 : rest.leadingZeroBitCount + 1
            Self.put(UInt32(hash >> UInt64(64 - Self.sparsePrecision)) << UInt32(Self.rankBits) | UInt32(rank), into: &entries)
            form = entries.count > Self.sparseLimit ? .dense(Self.registers(entries)) : .sparse(entries)
        case .dense(var registers):
            form = .sparse([])
            let rest = hash << UInt64(Self.precision)
            let rank = UInt8(rest == 0 ? 64 - Self.precision + 1 : rest.leadingZeroBitCount + 1)
            let place = Int(hash >> UInt64(64 - Self.precision))
            if rank > registers[place] { registers[place] = rank }
            form = .dense(registers)
        }
    }

    mutating func merge(_ other: Sketch) {
        switch (form, other.form) {
        case (.sparse(var mine), .sparse(let theirs)):
            form = .sparse([])
            for entry in theirs { Self.put(entry, into: &mine) }
            form = mine.count > Self.sparseLimit ? .dense(Self.registers(mine)) : .sparse(mine)
        case (.sparse(let mine), .dense(var registers)):
            Self.raise(&registers, by: mine)
            form = .dense(registers)
        case (.dense(var registers), .sparse(let theirs)):
            form = .sparse([])
            Self.raise(&registers, by: theirs)
            form = .dense(registers)
        case (.dense(var registers), .dense(let theirs)):
            form = .sparse([])
            for place in registers.indices { registers[place] = max(registers[place], theirs[place]) }
            form = .dense(registers)
        }
    }

    /// How many different things were inserted.
    var estimate: Int {
        switch form {
        case .sparse(let entries):
            let places = Double(1 << Self.sparsePrecision)
            return Int((places * log(places / (places - Double(entries.count)))).rounded())
        case .dense(let registers): return Int(Self.estimate(registers).rounded())
        }
    }

    // MARK: - As bytes

    /// One byte for the form; then four for each entry, or six bits for each register.
    var bytes: [UInt8] {
        switch form {
        case .sparse(let entries):
            var bytes: [UInt8] = [1]
            bytes.reserveCapacity(1 + entries.count * 4)
            for entry in entries { withUnsafeBytes(of: entry.bigEndian) { bytes.append(contentsOf: $0) } }
            return bytes
        case .dense(let registers):
            var bytes: [UInt8] = [2]
            bytes.reserveCapacity(1 + Self.registerCount * 3 / 4)
            for start in stride(from: 0, to: Self.registerCount, by: 4) {
                let (a, b, c, d) = (registers[start], registers[start + 1], registers[start + 2], registers[start + 3])
                bytes.append(a << 2 | b >> 4)
                bytes.append(b << 4 | c >> 2)
                bytes.append(c << 6 | d)
            }
            return bytes
        }
    }

    /// Nil for bytes that no sketch of this form has written.
    init?(bytes: [UInt8]) {
        switch bytes.first {
        case 1 where (bytes.count - 1) % 4 == 0 && bytes.count <= 1 + Self.sparseLimit * 4:
            var entries: [UInt32] = []
            entries.reserveCapacity(bytes.count / 4)
            for start in stride(from: 1, to: bytes.count, by: 4) {
                entries.append(bytes[start..<start + 4].reduce(0) { $0 << 8 | UInt32($1) })
            }
            guard zip(entries, entries.dropFirst()).allSatisfy({ $0 >> 6 < $1 >> 6 }) else { return nil }
            form = .sparse(entries)
        case 2 where bytes.count == 1 + Self.registerCount * 3 / 4:
            var registers: [UInt8] = []
            registers.reserveCapacity(Self.registerCount)
            for start in stride(from: 1, to: bytes.count, by: 3) {
                let (a, b, c) = (bytes[start], bytes[start + 1], bytes[start + 2])
                registers += [a >> 2, (a & 3) << 4 | b >> 4, (b & 15) << 2 | c >> 6, c & 63]
            }
            form = .dense(registers)
        default: return nil
        }
    }

    // MARK: - How it is done

    /// FNV-1a, stirred by the last step of MurmurHash3: the same on every machine and in every release, since sketches are kept.
    private static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        hash = (hash ^ (hash >> 33)) &* 0xFF51_AFD7_ED55_8CCD
        hash = (hash ^ (hash >> 33)) &* 0xC4CE_B9FE_1A85_EC53
        return hash ^ (hash >> 33)
    }

    private static func put(_ entry: UInt32, into entries: inout [UInt32]) {
        var low = 0, high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if entries[middle] >> UInt32(rankBits) < entry >> UInt32(rankBits) { low = middle + 1 } else { high = middle }
        }
        if low < entries.count, entries[low] >> UInt32(rankBits) == entry >> UInt32(rankBits) {
            entries[low] = max(entries[low], entry)
        } else {
            entries.insert(entry, at: low)
        }
    }

    private static func registers(_ entries: [UInt32]) -> [UInt8] {
        var registers = [UInt8](repeating: 0, count: registerCount)
        raise(&registers, by: entries)
        return registers
    }

    /// The bits of an entry's place that are beyond the register's are the first of those whose leading zeros are counted.
    private static func raise(_ registers: inout [UInt8], by entries: [UInt32]) {
        let beyond = UInt32(sparsePrecision - precision)
        for entry in entries {
            let place = entry >> UInt32(rankBits)
            let rest = place & (1 << beyond - 1)
            let rank =
                rest == 0
                ? beyond + (entry & (1 << UInt32(rankBits) - 1)) : UInt32(rest.leadingZeroBitCount) - (32 - beyond) + 1
            let register = Int(place >> beyond)
            if UInt8(rank) > registers[register] { registers[register] = UInt8(rank) }
        }
    }

    /// O. Ertl, "New cardinality estimation algorithms for HyperLogLog sketches", algorithm 6.
    private static func estimate(_ registers: [UInt8]) -> Double {
        let ranks = 64 - precision
        var counts = [Int](repeating: 0, count: ranks + 2)
        for register in registers { counts[min(Int(register), ranks + 1)] += 1 }
        let all = Double(registerCount)
        var sum = all * tau(1 - Double(counts[ranks + 1]) / all)
        for rank in stride(from: ranks, through: 1, by: -1) { sum = 0.5 * (sum + Double(counts[rank])) }
        sum += all * sigma(Double(counts[0]) / all)
        return all * all / (2 * log(2.0) * sum)
    }

    private static func sigma(_ share: Double) -> Double {
        guard share < 1 else { return .infinity }
        var x = share, y = 1.0, sum = share, last = -1.0
        while sum != last {
            x *= x
            last = sum
            sum += x * y
            y += y
        }
        return sum
    }

    private static func tau(_ share: Double) -> Double {
        guard share > 0, share < 1 else { return 0 }
        var x = share, y = 1.0, sum = 1 - share, last = -1.0
        while sum != last {
            x = x.squareRoot()
            last = sum
            y *= 0.5
            sum -= (1 - x) * (1 - x) * y
        }
        return sum / 3
    }
}
