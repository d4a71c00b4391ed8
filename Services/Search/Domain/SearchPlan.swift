import Foundation

/// How many of a query's words a document must have.
enum SearchMode: String, Sendable {
    /// All that mean something.
    case all
    /// Any of them; the more of their weight a document has, the better it ranks. For when `all` finds less than a page.
    case some
    /// The text as it stands, in titles: for what has no words, such as signs.
    case title
}

/// What one word of a query stands for in the index of an organization.
struct Meaning: Sendable, Equatable {
    enum Kind: String, Sendable { case exact, prefix, near, stop }
    /// Counted from 1, in the order of `Question.words`.
    let word: Int
    let kind: Kind
    let stem: String
    /// Documents with the stem.
    let documents: Int
    /// Where the word is several stems beside each other, which way to read it, counted from 1; 0 where the stem is the whole word.
    var reading = 0
    /// The stem's place among these, counted from 1; 0 where the stem is the whole word.
    var piece = 0
}

/// What ranking knows of an organization's documents.
struct Corpus: Sendable, Equatable {
    var documents = 0
    /// Words of an average document.
    var averageLength = 0.0

    /// How much a word says, by how few documents have it (the inverse document frequency of BM25).
    func weight(ofWordIn number: Int) -> Double {
        let all = Double(max(documents, number, 1)), some = Double(number)
        return log(1 + (all - some + 0.5) / (some + 0.5))
    }
}

extension Question {
    /// Every word, of all alternatives, in order.
    var words: [String] { clauses.flatMap { $0.alternatives.flatMap(\.words) } }

    /// The number of the word that may be the beginning of one, which is what was typed and none of its synonyms; 0 when none may.
    var openWord: Int {
        guard let last = clauses.last, last.isOpen else { return 0 }
        return words.count - last.alternatives.flatMap(\.words).count + 1
    }

    /// The numbers of words that a typing error may stand in: excluded ones and phrases are meant as they stand.
    var correctable: [Int] {
        var number = 0
        return clauses.flatMap { clause in
            clause.alternatives.flatMap { alternative in
                alternative.words.compactMap { _ in
                    number += 1
                    return clause.isExcluded || alternative.isPhrase ? nil : number
                }
            }
        }
    }
}

extension Question {
    /// The words to look for typing errors in, given what all of them mean as they stand: as many as are ranked, the rarest.
    func correctable(knowing meanings: [Meaning]?) -> [Int] {
        guard let meanings else { return correctable }
        let found = Dictionary(grouping: meanings, by: \.word)
            .mapValues { WordSense($0, asItStands: true, isOpen: false).documents }
        let rarest = correctable.sorted { (found[$0] ?? 0, $0) < (found[$1] ?? 0, $1) }
        return rarest.prefix(SearchPlan.maximumScored).sorted()
    }
}

/// A query made ready for the index: which documents, and how they rank.
struct SearchPlan: Sendable, Equatable {
    /// Of more words, the rarest count.
    static let maximumScored = 8
    /// What a frequent word without sense of its own adds, beside its weight.
    static let stopWordShare = 0.3
    /// Of a word that may be a beginning, continuations looked for beside a neighbour.
    private static let maximumContinuations = 10

    /// One word of the query, for ranking.
    struct Scored: Sendable, Equatable {
        let exact: [String]
        /// Words that begin with it or differ by a typing error; they count less.
        let loose: [String]
        let weight: Double
    }

    /// A demand for stems beside each other, checked document by document: any of these.
    struct Checked: Sendable, Equatable {
        var phrases: [String] = []
        var stems: [String] = []
        var compounds: [Compound] = []
    }

    /// A document has one stem of each group.
    let groups: [[String]]
    let phrases: [Checked]
    /// Fewer words could find more.
    let canLoosen: Bool
    let excluded: Checked
    let scored: [Scored]
    /// Stems of words that follow each other in the query.
    let neighbours: [(first: [String], second: [String])]
    let mode: SearchMode

    static func == (left: SearchPlan, right: SearchPlan) -> Bool {
        left.groups == right.groups && left.phrases == right.phrases && left.excluded == right.excluded && left.scored == right.scored
            && left.mode == right.mode && left.canLoosen == right.canLoosen && left.neighbours.elementsEqual(right.neighbours, by: ==)
    }

    /// Nil when no word of the query means anything to the index.
    ///
    /// - Parameters:
    ///   - stopWords: the organization's own, folded.
    ///   - keepsStopWords: for completing titles, where every word counts.
    ///   - weights: those of the first page, so that later ones go on as it began.
    init?(
        _ question: Question, _ meanings: [Meaning], mode: SearchMode, corpus: Corpus, stopWords: Set<String> = [],
        keepsStopWords: Bool = false, weights: [Double]? = nil
    ) {
        let read = Self.read(question, meanings, stopWords)
        let positive = read.filter { !$0.clause.isExcluded && !$0.isEmpty }
        guard !positive.isEmpty || read.contains(where: \.clause.isExcluded) else { return nil }
        let meaningful = positive.filter { !$0.isStop }
        let needed = keepsStopWords || meaningful.isEmpty ? positive : meaningful
        let withPhrases = needed.filter(\.hasPhrase)
        if mode == .all {
            groups = needed.flatMap(\.groups)
            phrases = needed.filter { $0.hasPhrase || !$0.compounds.isEmpty }.map(\.checked)
        } else {
            // What was put in quotation marks stays a demand; what the parser splits is one word among the others.
            groups = needed.isEmpty ? [] : [needed.flatMap(\.keys)] + withPhrases.flatMap(\.groups)
            let splits = needed.contains { !$0.compounds.isEmpty }
            phrases =
                withPhrases.map(\.checked)
                + (splits ? [Checked(stems: needed.flatMap(\.stems), compounds: needed.flatMap(\.compounds))] : [])
        }
        canLoosen = mode == .all && needed.count > 1
        excluded = read.filter(\.clause.isExcluded).map(\.checked).reduce(into: Checked()) {
            $0.phrases += $1.phrases
            $0.stems += $1.stems
            $0.compounds += $1.compounds
        }
        let ranked = positive.map { ($0, $0.weight(corpus) * ($0.isStop && !meaningful.isEmpty ? Self.stopWordShare : 1)) }
            .sorted { $0.1 > $1.1 }.prefix(Self.maximumScored)
        scored = ranked.enumerated().map { index, item in
            let weight = weights.flatMap { index < $0.count ? $0[index] : nil } ?? (item.1 * 1000).rounded() / 1000
            return Scored(exact: item.0.exact, loose: item.0.loose, weight: weight)
        }
        neighbours = zip(positive, positive.dropFirst()).compactMap { first, second in
            guard first.clause.word != nil, second.clause.word != nil else { return nil }
            let next = second.exact + second.loose.prefix(Self.maximumContinuations)
            return first.exact.isEmpty || next.isEmpty ? nil : (first.exact, next)
        }
        self.mode = mode
    }

    // MARK: - Reading

    /// A clause with what its words mean.
    private struct Read {
        let clause: Question.Clause
        /// For ranking.
        var exact: [String] = []
        var loose: [String] = []
        /// Stems of which each document that meets it has one.
        var keys: [String] = []
        /// Of each word of a lone phrase; otherwise one group of all.
        var groups: [[String]] = []
        /// Of alternatives that are no phrases: stems that are enough by themselves, and those that must stand beside each other.
        var stems: [String] = []
        var compounds: [Compound] = []
        var documents = 0
        var isStop = false

        var isEmpty: Bool { keys.isEmpty }
        var hasPhrase: Bool { clause.alternatives.contains(where: \.isPhrase) }

        var checked: Checked {
            Checked(phrases: clause.alternatives.filter(\.isPhrase).map(\.text), stems: stems, compounds: compounds)
        }

        func weight(_ corpus: Corpus) -> Double { max(0.05, corpus.weight(ofWordIn: documents)) }

        mutating func add(_ sense: WordSense, inPhrase: Bool) {
            let ranked = sense.ranked
            exact += ranked.exact.filter { !exact.contains($0) }
            loose += ranked.loose.filter { !exact.contains($0) && !loose.contains($0) }
            keys += sense.keys
            documents = max(documents, sense.documents)
            if !sense.keys.isEmpty { groups.append(sense.keys) }
            guard !inPhrase else { return }
            stems += sense.exact + sense.loose
            compounds += sense.compounds
        }
    }

    private static func read(_ question: Question, _ meanings: [Meaning], _ stopWords: Set<String>) -> [Read] {
        let byWord = Dictionary(grouping: meanings, by: \.word)
        let open = question.openWord
        var number = 0
        return question.clauses.map { clause in
            var read = Read(clause: clause)
            var stops = 0, words = 0
            for alternative in clause.alternatives {
                for word in alternative.words {
                    number += 1
                    words += 1
                    // What is excluded, or part of a phrase, is meant as it stands.
                    let sense = WordSense(
                        byWord[number] ?? [], asItStands: clause.isExcluded || alternative.isPhrase, isOpen: number == open)
                    read.add(sense, inPhrase: alternative.isPhrase)
                    if sense.isStop || stopWords.contains(Question.folded(word)) { stops += 1 }
                }
            }
            if clause.alternatives.count > 1, !read.isEmpty { read.groups = [read.keys] }
            read.isStop = stops == words && !read.hasPhrase
            return read
        }
    }
}
