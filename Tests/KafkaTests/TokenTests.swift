import Foundation
import Testing

@testable import Kafka

@Suite("Tokens for OAUTHBEARER")
struct TokenTests {
    private func jwt(_ claims: String) -> String {
        let part = Data(claims.utf8).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
        return "e30.\(part).sig"
    }

    @Test("Expiry and principal are those of the token, and the file's blanks are not part of it")
    func read() throws {
        let text = jwt(#"{"sub":"content","exp":1795000000}"#)
        let token = try KafkaToken("\n \(text)\n")
        #expect(token.text == text)
        #expect(token.expiresAt == 1_795_000_000_000)
        #expect(token.principal == "content")
        #expect(try KafkaToken(jwt(#"{"exp":1795000000.5}"#)).expiresAt == 1_795_000_000_500)
    }

    @Test(
        "What is no token is refused without repeating it",
        arguments: ["", "hunter2", "a.b", "a.!!!.c", "a.aHVudGVyMg.c", "e30.e30.sig", String(repeating: "a", count: 100_000) + ".e30.c"])
    func refused(file: String) {
        let failure = #expect(throws: KafkaToken.Unusable.self) { try KafkaToken(file) }
        #expect(failure?.reason.contains("hunter2") == false)
    }

    @Test("A file that is not there is said")
    func gone() {
        #expect(throws: KafkaToken.Unusable(reason: "the file of the token cannot be read")) { try KafkaToken(path: "/nowhere/token") }
    }
}
