import Contracts
import Foundation

/// What an organization says about its own searches.
struct SearchSettings: Equatable, Sendable {
    static let maximumGroups = 500
    static let maximumMembers = 20
    static let maximumStopWords = 500

    /// Counts the changes; 0 while nothing was ever said.
    private(set) var version = 0
    /// Of documents whose language cannot be told; nil: English.
    private(set) var language: Language?
    /// Groups of words and phrases that mean the same.
    private(set) var synonyms: [[Label]] = []
    /// Words that need not be found.
    private(set) var stopWords: [Label] = []

    static let standardLanguage = Language.english

    init() {}

    init(version: Int, language: Language?, synonyms: [[Label]], stopWords: [Label]) {
        self.version = version
        self.language = language
        self.synonyms = synonyms
        self.stopWords = stopWords
    }

    /// Refuses lists that are too long, and groups in which nothing stands for anything else, naming each.
    mutating func replace(language: Language?, synonyms: [[Label]], stopWords: [Label]) throws(ValidationFailure) {
        var problems: [FieldError] = []
        if synonyms.count > Self.maximumGroups {
            problems.append(FieldError(pointer: "/synonyms", code: "too-many", detail: "must have at most \(Self.maximumGroups) groups"))
        }
        for (index, group) in synonyms.enumerated().prefix(Self.maximumGroups)
        where !(2...Self.maximumMembers).contains(Set(group.map { Question.folded($0.rawValue) }).count) {
            problems.append(
                FieldError(
                    pointer: "/synonyms/\(index)", code: "bad-group",
                    detail: "must have 2 to \(Self.maximumMembers) different words or phrases"))
        }
        if stopWords.count > Self.maximumStopWords {
            problems.append(FieldError(pointer: "/stopWords", code: "too-many", detail: "must have at most \(Self.maximumStopWords) words"))
        }
        guard problems.isEmpty else { throw ValidationFailure(problems) }
        self.language = language
        self.synonyms = synonyms
        self.stopWords = stopWords
        version += 1
    }

    var synonymGroups: [[String]] { synonyms.map { $0.map(\.rawValue) } }
    var foldedStopWords: Set<String> { Set(stopWords.map { Question.folded($0.rawValue) }) }
}
