/// Cuts paragraphs into passages of one to three sentences: small enough to quote, large enough to make sense.
enum Passages {
    static let sentencesPerPassage = 3
    static let passageLength = 400
    /// A text without full stops is cut at a space.
    static let sentenceLength = 600
    static let maximumPerArticle = 2000

    static func of(html: String) -> [String] {
        var passages: [String] = []
        for paragraph in PlainText.paragraphs(ofHTML: html) {
            passages += group(sentences(paragraph))
            if passages.count >= maximumPerArticle { break }
        }
        return Array(passages.prefix(maximumPerArticle))
    }

    private static func group(_ sentences: [String]) -> [String] {
        var passages: [String] = []
        var current: [String] = []
        var length = 0
        for sentence in sentences {
            if !current.isEmpty, current.count == sentencesPerPassage || length + sentence.count > passageLength {
                passages.append(current.joined(separator: " "))
                current = []
                length = 0
            }
            current.append(sentence)
            length += sentence.count + 1
        }
        if !current.isEmpty { passages.append(current.joined(separator: " ")) }
        return passages
    }

    /// A sentence ends at . ! ? or … before a space and something that can begin one, but not after an abbreviation or an initial.
    static func sentences(_ paragraph: String) -> [String] {
        var sentences: [String] = []
        var current = ""
        let words = paragraph.split(separator: " ")
        for (index, word) in words.enumerated() {
            if current.count + word.count > sentenceLength, !current.isEmpty {
                sentences.append(current)
                current = ""
            }
            current += current.isEmpty ? String(word) : " " + word
            let next = index + 1 < words.count ? words[index + 1] : nil
            if endsSentence(word, before: next) {
                sentences.append(current)
                current = ""
            }
        }
        if !current.isEmpty { sentences.append(current) }
        return sentences
    }

    private static let abbreviations: Set<String> = [
        "mr.", "mrs.", "ms.", "dr.", "prof.", "st.", "e.g.", "i.e.", "etc.", "vs.", "no.", "fig.", "approx.", "inc.", "ltd.", "co.", "jr.",
        "sr.", "cf.", "al.", "z.b.", "bzw.", "ca.", "nr.", "usw.",
    ]

    private static func endsSentence(_ word: Substring, before next: Substring?) -> Bool {
        guard let next else { return true }
        let closing: Set<Character> = ["\"", "'", ")", "]", "”", "’", "»"]
        var stem = word
        while let last = stem.last, closing.contains(last) { stem = stem.dropLast() }
        guard let mark = stem.last, [".", "!", "?", "…", "。", "！", "？"].contains(mark) else { return false }
        if mark == "." {
            if abbreviations.contains(stem.lowercased()) { return false }
            // An initial: "J. Smith".
            if stem.count == 2, stem.first?.isUppercase == true { return false }
        }
        guard let first = next.first else { return true }
        return !first.isLowercase
    }
}
