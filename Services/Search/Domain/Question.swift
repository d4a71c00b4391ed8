import Foundation

/// What somebody typed, taken apart: words, `"phrases"`, `-exclusions`, and alternatives joined by `or`.
struct Question: Equatable, Sendable {
    /// One demand: any of its alternatives meets it.
    struct Clause: Equatable, Sendable {
        var alternatives: [Alternative]
        /// Documents that meet it are left out.
        var isExcluded = false
        /// The last word may be the beginning of one.
        var isOpen = false

        /// The word, where it is no more than one.
        var word: String? {
            guard alternatives.count == 1, !alternatives[0].isPhrase, !isExcluded else { return nil }
            return alternatives[0].text
        }
    }

    struct Alternative: Equatable, Sendable {
        let text: String
        /// Its words stand side by side, in this order.
        var isPhrase = false

        var words: [String] { isPhrase ? text.split(separator: " ").map(String.init) : [text] }
    }

    /// Of more, the rest is not looked at.
    static let maximumClauses = 16
    /// Words of all alternatives together: as many as a text of the greatest length can have, so that synonyms alone are left out. The
    /// statement that looks words up knows the same number.
    static let maximumWords = SearchText.maximumLength / 2

    private(set) var clauses: [Clause]

    init(_ text: String) {
        clauses = Self.joined(Self.tokens(of: text))
        // Something is typed after a space or inside a word; what stands in quotation marks is finished.
        if let last = clauses.indices.last, clauses[last].word != nil { clauses[last].isOpen = true }
        clauses = Array(clauses.prefix(Self.maximumClauses))
    }

    /// With the synonyms of an organization: each member of a group stands for all of them. Phrases in a group are found as words
    /// that follow each other. Synonyms beyond `maximumWords` are left out, demands never.
    func expanded(by groups: [[String]]) -> Question {
        guard !groups.isEmpty else { return self }
        let folded = groups.map { $0.map(Self.folded) }
        var result: [Clause] = []
        var room = Self.maximumWords - words.count
        var index = 0
        while index < clauses.count {
            guard let (length, members) = Self.group(at: index, of: clauses, in: folded) else {
                result.append(clauses[index])
                index += 1
                continue
            }
            let typed = clauses[index..<index + length].compactMap(\.word).joined(separator: " ")
            var all = [Alternative(text: typed, isPhrase: length > 1)]
            for member in members where member != Self.folded(typed) {
                let other = Alternative(text: member, isPhrase: member.contains(" "))
                guard other.words.count <= room else { continue }
                room -= other.words.count
                all.append(other)
            }
            result.append(Clause(alternatives: all, isOpen: clauses[index + length - 1].isOpen && length == 1))
            index += length
        }
        var question = self
        question.clauses = result
        return question
    }

    /// Neither case nor accents count where words are compared with an organization's own.
    static func folded(_ text: String) -> String { text.folding(options: [.caseInsensitive, .diacriticInsensitive], locale: nil) }

    /// The longest member of a group that stands at this place, as a number of clauses, with its group.
    private static func group(at start: Int, of clauses: [Clause], in groups: [[String]]) -> (Int, [String])? {
        var best: (Int, [String])?
        for group in groups {
            for member in group {
                let words = member.split(separator: " ").map(String.init)
                guard words.count > best?.0 ?? 0, start + words.count <= clauses.count else { continue }
                let typed = clauses[start..<start + words.count].map { $0.word.map(folded) }
                if typed == words.map(Optional.some) { best = (words.count, group) }
            }
        }
        return best
    }

    // MARK: - Reading

    private enum Token {
        case clause(Clause)
        case or
    }

    private static func tokens(of text: String) -> [Token] {
        var tokens: [Token] = []
        var rest = Substring(text)
        while let first = rest.first {
            guard first != " " else {
                rest = rest.dropFirst()
                continue
            }
            var isExcluded = false
            if first == "-", let next = rest.dropFirst().first, next != " ", next != "-" {
                isExcluded = true
                rest = rest.dropFirst()
            }
            if rest.first == "\"" {
                rest = rest.dropFirst()
                let phrase = rest.prefix { $0 != "\"" }
                rest = rest[phrase.endIndex...].dropFirst()
                let words = phrase.split(separator: " ").joined(separator: " ")
                if !words.isEmpty {
                    tokens.append(.clause(Clause(alternatives: [Alternative(text: words, isPhrase: true)], isExcluded: isExcluded)))
                }
            } else {
                let word = rest.prefix { $0 != " " && $0 != "\"" }
                rest = rest[word.endIndex...]
                if !isExcluded, word.lowercased() == "or" {
                    tokens.append(.or)
                } else {
                    tokens.append(.clause(Clause(alternatives: [Alternative(text: String(word))], isExcluded: isExcluded)))
                }
            }
        }
        return tokens
    }

    /// `or` between two demands makes one of them; anywhere else it is a word.
    private static func joined(_ tokens: [Token]) -> [Clause] {
        var clauses: [Clause] = []
        var isJoining = false
        for (index, token) in tokens.enumerated() {
            switch token {
            case .clause(let clause):
                if isJoining, !clause.isExcluded, let last = clauses.indices.last {
                    clauses[last].alternatives += clause.alternatives
                } else {
                    clauses.append(clause)
                }
                isJoining = false
            case .or:
                if let last = clauses.last, !last.isExcluded, index + 1 < tokens.count, case .clause(let next) = tokens[index + 1],
                    !next.isExcluded
                {
                    isJoining = true
                } else {
                    clauses.append(Clause(alternatives: [Alternative(text: "or")]))
                }
            }
        }
        return clauses
    }
}
