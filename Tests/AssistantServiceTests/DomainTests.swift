import Contracts
import Foundation
import TestKit
import Testing

@testable import AssistantService

@Suite("Text of articles")
struct PlainTextTests {
    @Test("Markup goes, text and paragraphs stay")
    func stripped() {
        let html = """
            <h2>On <em>looms</em></h2><!-- <p>hidden</p> --><p>One&nbsp;&amp; two &lt;3 &#8364;5 &#x41; &unknown; a < b</p>
            <STYLE>p { color: red }</STYLE><ul><li>first<li>second</ul><table><tr><td>Price</td><td>10</td></tr></table>
            <a title="x > y">link</a><br>next<script>if (a < b) { "</p>" }</script >
            """
        #expect(
            PlainText.paragraphs(ofHTML: html) == [
                "On looms", "One & two <3 €5 A &unknown; a < b", "first", "second", "Price 10", "link", "next",
            ])
    }

    @Test(
        "Whatever comes, it ends", arguments: ["", "<", "</", "<p", "<!--", "<script>", "<a title=\"", "&", "&#;", "&#x110000;", "<<<>>>"])
    func broken(_ html: String) {
        #expect(PlainText.paragraphs(ofHTML: html).count <= 1)
    }

    @Test("Sentences end where they end")
    func sentences() {
        #expect(
            Passages.sentences("Dr. Smith met A. Lovelace at 3.5 p.m. precisely. \"Really?\" she asked. Yes! It costs e.g. 5 pounds. end.")
                == [
                    "Dr. Smith met A. Lovelace at 3.5 p.m. precisely.", "\"Really?\" she asked.", "Yes!", "It costs e.g. 5 pounds. end.",
                ])
    }

    @Test("Passages are short, and all of the text is in them")
    func passages() {
        let sentence = "This sentence has exactly some words in it and goes on for a while. "
        let passages = Passages.of(html: "<p>" + String(repeating: sentence, count: 20) + "</p><p>Alone.</p>")
        #expect(passages.last == "Alone.")
        #expect(passages.allSatisfy { $0.count <= Passages.passageLength })
        #expect(passages.joined(separator: " ").components(separatedBy: "exactly").count == 21)
        let endless = Passages.of(html: String(repeating: "word ", count: 1000))
        #expect(endless.allSatisfy { $0.count <= Passages.sentenceLength })
        #expect(endless.joined(separator: " ").split(separator: " ").count == 1000)
        #expect(Passages.of(html: String(repeating: "<p>x</p>", count: 5000)).count == Passages.maximumPerArticle)
    }
}

@Suite("Rules of conversations")
struct ConversationRuleTests {
    private let answer = ChatAnswer(
        content: "So.", citations: [], usage: TokenUsage(promptTokens: 1, completionTokens: 2), provider: "p", model: "m")

    @Test("A conversation that is full takes no more")
    func full() throws {
        var conversation = Conversation(
            id: .make(), user: .make(), title: "t", messages: Conversation.maximumMessages - 2, createdAt: .now, updatedAt: .now)
        let added = try conversation.add(try Question("Who?"), answer, id: .make(), took: 5, at: .now)
        #expect(added.asked.position == Conversation.maximumMessages - 2)
        #expect(added.answered.position == Conversation.maximumMessages - 1)
        #expect(added.event.milliseconds == 5)
        #expect(throws: ConversationFailure.full) {
            try conversation.add(try Question("Who?"), answer, id: .make(), took: 5, at: .now)
        }
    }

    @Test("The title is the beginning of the first question")
    func title() {
        #expect(Conversation.title(of: "Short\nand  sweet?") == "Short and sweet?")
        let long = Conversation.title(of: String(repeating: "patterns ", count: 20))
        #expect(long.count <= Conversation.titleLength)
        #expect(long.hasSuffix("patterns…"))
        #expect(Conversation.title(of: String(repeating: "x", count: 200)).count == Conversation.titleLength)
    }

    @Test("Four tokens are reckoned for three words")
    func tokens() {
        #expect(TokenUsage.estimate("") == 0)
        #expect(TokenUsage.estimate("one two three") == 4)
        #expect(TokenUsage.estimate("one") == 2)
    }

    @Test("Passages with too few of the words are not an answer, and good ones push weak ones out")
    func best() {
        func passage(_ matched: Int, of wanted: Int) -> FoundPassage {
            FoundPassage(article: .make(), title: "t", slug: "s", text: "x", matched: matched, wanted: wanted)
        }
        #expect(RetrievalProvider.best(of: []).isEmpty)
        #expect(RetrievalProvider.best(of: [passage(1, of: 3)]).isEmpty)
        #expect(RetrievalProvider.best(of: [passage(1, of: 2)]).count == 1)
        #expect(RetrievalProvider.best(of: [passage(5, of: 5), passage(4, of: 5), passage(3, of: 5)]).count == 2)
        #expect(RetrievalProvider.best(of: (0..<9).map { _ in passage(2, of: 2) }).count == RetrievalProvider.maximumPassages)
    }
}
