/// What one word of a query comes to in the index.
struct WordSense: Equatable, Sendable {
    /// Stems that are the word.
    private(set) var exact: [String] = []
    /// Stems of words that begin with it or differ by a typing error.
    private(set) var loose: [String] = []
    /// Ways in which it is several stems beside each other: `t-shirt` is `t` and then `shirt`.
    private(set) var compounds: [Compound] = []
    /// Documents with it, as far as they are known: of a word that is several, with the rarest of these.
    private(set) var documents = 0
    private(set) var isStop = false

    /// - Parameters:
    ///   - asItStands: neither continuations nor typing errors count.
    ///   - isOpen: it may be the beginning of a word.
    init(_ meanings: [Meaning], asItStands: Bool, isOpen: Bool) {
        let usable = meanings.filter { $0.kind == .exact || !asItStands && ($0.kind == .prefix || $0.kind == .near) }
        let whole = Compound.Piece(usable.filter { $0.reading == 0 })
        (exact, loose) = (whole.exact, whole.loose)
        let readings = Dictionary(grouping: usable.filter { $0.reading > 0 }, by: \.reading)
        compounds = readings.keys.sorted().map { Compound(readings[$0] ?? [], isOpen: isOpen && !asItStands) }
        documents = ([whole] + compounds.map(\.rarest)).map(\.documents).filter { $0 > 0 }.min() ?? 0
        isStop = meanings.contains { $0.kind == .stop }
    }

    /// Stems of which each document with the word has one.
    var keys: [String] { exact + loose + compounds.flatMap { $0.rarest.exact + $0.rarest.loose } }
    /// Those of them that rank as the word itself, and those that rank less.
    var ranked: (exact: [String], loose: [String]) {
        (exact + compounds.flatMap(\.rarest.exact), loose + compounds.flatMap(\.rarest.loose))
    }
}

/// Stems that stand beside each other, where the index has no single one for the whole word.
struct Compound: Equatable, Sendable {
    /// One of these stems.
    struct Piece: Equatable, Sendable {
        let exact: [String]
        let loose: [String]
        /// 0 is also said of single letters and of what has signs in it, which nobody counts.
        let documents: Int

        init(_ meanings: [Meaning]) {
            let stems = meanings.filter { $0.kind == .exact }, others = meanings.filter { $0.kind != .exact }
            exact = stems.map(\.stem).unrepeated(without: [])
            loose = others.map(\.stem).unrepeated(without: exact)
            let found = stems.map(\.documents).max() ?? 0
            documents = found > 0 ? found : others.map(\.documents).reduce(0, +)
        }

        fileprivate var isLetter: Bool { exact.allSatisfy { $0.count == 1 } }
    }

    let pieces: [Piece]
    /// The last piece may be the beginning of a word.
    let isOpen: Bool
    /// The piece that fewest documents have.
    let rarest: Piece

    init(_ meanings: [Meaning], isOpen: Bool) {
        let places = Dictionary(grouping: meanings, by: \.piece)
        pieces = places.keys.sorted().map { Piece(places[$0] ?? []) }
        self.isOpen = isOpen
        // What is unfinished says least of which documents have it, and single letters are in most of them.
        let finished = isOpen ? pieces.dropLast() : pieces[...]
        let telling = finished.filter { !$0.isLetter }
        let candidates = telling.isEmpty ? pieces.filter { !$0.isLetter } : telling
        rarest = candidates.min { $0.documents < $1.documents } ?? pieces.last ?? Piece([])
    }
}

extension [String] {
    /// Each once, in order, and none of the others.
    fileprivate func unrepeated(without others: [String]) -> [String] {
        var seen = Set(others)
        return filter { seen.insert($0).inserted }
    }
}
