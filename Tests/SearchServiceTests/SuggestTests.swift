import TestKit
import Testing

@Suite("Completing")
struct SuggestTests {
    @Test("titles that begin with the text come first, then those with a word that does")
    func order() async throws {
        let library = try await Library.open()
        try await library.add("The engine room")
        try await library.add("Engines of the world")
        try await library.add("Gardening")
        #expect(try await library.suggestions("eng") == ["Engines of the world", "The engine room"])
        #expect(try await library.suggestions("ENGINES of") == ["Engines of the world"])
        #expect(try await library.suggestions("xyz").isEmpty)
    }

    @Test("typing errors and accents do not matter")
    func forgiving() async throws {
        let library = try await Library.open()
        try await library.add("Café society")
        #expect(try await library.suggestions("cafe") == ["Café society"])
        #expect(try await library.suggestions("soceity") == ["Café society"])
    }

    @Test("at most ten are given, and none of another organization")
    func bounds() async throws {
        let library = try await Library.open()
        for number in 1...12 { try await library.add("Common title \(number)") }
        let other = try await Library.open()
        #expect(try await library.suggestions("comm").count == 10)
        #expect(try await other.suggestions("comm").isEmpty)
    }
}
