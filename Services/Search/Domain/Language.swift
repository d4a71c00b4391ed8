import Foundation

/// The stemming of a document's words. The name is that of the text search configuration `<name>_words`.
enum Language: String, CaseIterable, Codable, Sendable {
    case danish, dutch, english, finnish, french, german, italian, norwegian, portuguese, russian, spanish, swedish
    /// Words as they stand: other scripts, names, and what has no language.
    case simple

    /// Words looked at to tell a language.
    static let wordsRead = 300
    /// At least so many of them must be frequent words of a language, and so much more often than of the next.
    static let leastHits = 3
    static let leastLead = 1.3

    /// Told from the frequent words of each language, `standard` where there are too few of them. A text in letters that no stemmer
    /// here knows is `simple`.
    static func of(_ text: String, standard: Language) -> Language {
        let words = text.prefix(wordsRead * 12).lowercased().split { !$0.isLetter }.prefix(wordsRead)
        switch Script.of(words) {
        case .cyrillic: return .russian
        case .other: return .simple
        case .latin: break
        }
        var hits: [Language: Int] = [:]
        for word in words {
            for language in frequent[String(word)] ?? [] { hits[language, default: 0] += 1 }
        }
        let ranked = hits.sorted { ($0.value, $1.key.rawValue) > ($1.value, $0.key.rawValue) }
        guard let best = ranked.first, best.value >= leastHits else { return standard }
        let next = ranked.dropFirst().first?.value ?? 0
        return Double(best.value) >= Double(next) * leastLead ? best.key : standard
    }

    /// Frequent words that few other of these languages have.
    private static let frequent: [String: [Language]] = {
        let words: [Language: String] = [
            .english: "the and of to is that it was for with as this are be by from have which you not they has their were at or an but",
            .german: "der die das und ist nicht ein eine zu mit sich auf für dem den des im auch es wird bei aus sind einen oder wir nach",
            .french: "le la les et est une des un dans que pour qui sur pas plus ce au il par avec sont ne du cette nous vous mais ou",
            .spanish: "el la los las y es una un que en de por con para se del su al lo como más pero sus este está son muy también",
            .italian: "il lo la gli e è una un che di per con si del della non sono nel più come anche da questo alla dei ha ma",
            .portuguese: "o os as e é uma um que de em para com se do da não no na por mais dos como mas ao ele das são também foi",
            .dutch: "de het een en is van dat niet op te zijn met voor die er maar ook als aan bij naar wordt uit deze hij heeft kan wij",
            .swedish: "och att det är en ett som på av för med inte den till har de i om var men från så kan eller vi jag",
            .danish: "og at det er en et som på af for med ikke den til har de i om var men fra så kan eller vi jeg blev",
            .norwegian: "og at det er en et som på av for med ikke den til har de i om var men fra så kan eller vi jeg ble",
            .finnish: "ja on ei että se oli hän mutta ovat kun niin myös tai joka kuin ole tämä mitä sen olla jos hänen",
        ]
        var table: [String: [Language]] = [:]
        for (language, text) in words {
            for word in text.split(separator: " ") { table[String(word), default: []].append(language) }
        }
        return table
    }()

    private enum Script {
        case latin, cyrillic, other

        /// Of most letters.
        static func of(_ words: ArraySlice<Substring>) -> Script {
            var latin = 0, cyrillic = 0, other = 0
            for scalar in words.prefix(100).joined().unicodeScalars {
                switch scalar.value {
                case ..<0x0250, 0x1E00..<0x1F00: latin += 1
                case 0x0400..<0x0530: cyrillic += 1
                default: other += 1
                }
            }
            if cyrillic > latin, cyrillic > other { return .cyrillic }
            return other > latin ? .other : .latin
        }
    }
}
