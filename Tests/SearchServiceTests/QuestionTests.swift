import Testing

@testable import SearchService

@Suite("What somebody typed, taken apart")
struct QuestionTests {
    @Test("words, phrases, exclusions and alternatives are told apart; only a word at the end is unfinished")
    func clauses() {
        let question = Question("red \"green apples\" -pears -\"old wine\" plum or cherry fig")
        #expect(question.words == ["red", "green", "apples", "pears", "old", "wine", "plum", "cherry", "fig"])
        #expect(
            question.clauses.map { $0.alternatives.map(\.text) } == [
                ["red"], ["green apples"], ["pears"], ["old wine"], ["plum", "cherry"], ["fig"],
            ])
        #expect(question.clauses.map(\.isExcluded) == [false, false, true, true, false, false])
        #expect(question.clauses.map(\.isOpen) == [false, false, false, false, false, true])
        #expect(Question("a \"b c\"").openWord == 0)
        #expect(Question("a -b").openWord == 0)
        #expect(Question("a b").openWord == 2)
    }

    @Test(
        "what has no sense as an operator is a word, and nothing is lost or endless",
        arguments: [
            ("or", ["or"]), ("a or", ["a", "or"]), ("or a", ["or", "a"]), ("a or -b", ["a", "or", "b"]), ("-", ["-"]), ("--x", ["--x"]),
            ("\"", []), ("\"unclosed words", ["unclosed", "words"]), ("a\"b c\"d", ["a", "b", "c", "d"]),
        ])
    func odd(text: String, words: [String]) {
        #expect(Question(text).words == words)
    }

    @Test("of very many words the first sixteen demands are looked at")
    func bounded() {
        #expect(Question((0..<90).map { "w\($0)" }.joined(separator: " ")).clauses.count == Question.maximumClauses)
    }

    @Test("the longest text keeps every word, and synonyms beyond the bound are left out before a demand or an exclusion is")
    func crowded() {
        let phrase = "\"" + (0..<97).map { _ in "a" }.joined(separator: " ") + "\" -red"
        #expect(phrase.count <= SearchText.maximumLength)
        #expect(Question(phrase).words.count <= Question.maximumWords && Question(phrase).words.last == "red")
        let group = ["car"] + (0..<19).map { "several words of synonym \($0)" }
        let question = Question("car car car insurance -red").expanded(by: [group])
        #expect(question.words.count <= Question.maximumWords && question.words.count > Question.maximumWords - 5)
        #expect(question.clauses.map { $0.alternatives[0].text } == ["car", "car", "car", "insurance", "red"])
        #expect(question.clauses[0].alternatives.count == 20)
        #expect(question.clauses[4].isExcluded)
    }

    @Test("what was typed may be unfinished, its synonyms may not; errors are looked for in neither phrases nor exclusions")
    func open() {
        let question = Question("-red \"a b\" fast car").expanded(by: [["car", "motor vehicle", "automobile"]])
        #expect(question.words == ["red", "a", "b", "fast", "car", "motor", "vehicle", "automobile"])
        #expect(question.openWord == 5)
        #expect(question.correctable == [4, 5, 8])
        let known = [Meaning(word: 4, kind: .exact, stem: "fast", documents: 9), Meaning(word: 5, kind: .exact, stem: "car", documents: 1)]
        #expect(question.correctable(knowing: known) == [4, 5, 8])
        let long = Question((1...12).map { "w\($0)" }.joined(separator: " "))
        let frequent = (1...5).map { Meaning(word: $0, kind: .exact, stem: "w\($0)", documents: 7) }
        #expect(long.correctable(knowing: frequent) == [1] + Array(6...12))
    }

    @Test("each member of a group of synonyms stands for all of them, several words for one, too")
    func synonyms() {
        let groups = [["car", "Automobile", "motor vehicle"]]
        #expect(
            Question("fast CAR wash").expanded(by: groups).clauses.map { $0.alternatives.map(\.text) } == [
                ["fast"], ["CAR", "automobile", "motor vehicle"], ["wash"],
            ])
        let several = Question("motor vehicle tax").expanded(by: groups)
        #expect(several.clauses.map { $0.alternatives.map(\.text) } == [["motor vehicle", "car", "automobile"], ["tax"]])
        #expect(several.clauses[0].alternatives.map(\.isPhrase) == [true, false, false])
        #expect(Question("-car").expanded(by: groups) == Question("-car"))
        #expect(Question("\"car\"").expanded(by: groups) == Question("\"car\""))
    }

    @Test(
        "a language is told from its frequent words, and not from too few of them",
        arguments: [
            ("The history of the engine and what it was for", Language.english),
            ("Die Geschichte der Maschine und wie sie mit dem Dampf zu tun hat", .german),
            ("L'histoire de la machine et les raisons pour lesquelles elle est dans un musée", .french),
            ("La historia de los motores y por qué se usan en el mundo con tanta frecuencia", .spanish),
            ("De geschiedenis van het werk en waarom dat niet voor de mensen is", .dutch),
            ("История машины и почему она работает", .russian), ("日本語 の 記事", .simple), ("Bonjour", .italian), ("", .italian),
        ])
    func languages(text: String, language: Language) {
        #expect(Language.of(text, standard: .italian) == language)
    }
}
