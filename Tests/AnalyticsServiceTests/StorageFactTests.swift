import Contracts
import Foundation
import Postgres
import TestKit
import Testing

@testable import AnalyticsService

@Suite("What happens on the platform, as facts")
struct StorageFactTests {
    let tenant = TestTenant()

    private struct Stored: Sendable, Equatable {
        let kind: FactKind
        let label: String?
        let amount: Int?
    }

    @Test("Events of every service are facts with their label and amount, once, and are in the roll-ups")
    func facts() async throws {
        let host = try await TestHost.start(Analytics.self)
        let caller = Caller.service(.analytics, for: tenant.id)
        let author = UserID.make(), again = EventID.make()
        func publish(_ event: some Event, _ id: EventID = .make()) async throws {
            try await host.publish(event, for: tenant.id, eventID: id)
        }
        let answered = MessageAnswered(
            conversationID: .make(), messageID: .make(), userID: author, provider: "local", model: "small", promptTokens: 7,
            completionTokens: 5,
            citations: 2, milliseconds: 900)
        for _ in 0..<2 { try await publish(answered, again) }
        try await publish(answered)
        try await publish(FeedbackGiven(conversationID: .make(), messageID: .make(), rating: 4, comment: nil))
        try await publish(
            FileUploaded(fileID: .make(), name: "a.pdf", contentType: "application/pdf", size: 1_234, sha256: "00", uploadedBy: author))
        try await publish(PlanChanged(organizationID: tenant.id, plan: "business", previous: "starter"))
        try await publish(MemberAdded(userID: author, email: "ada@example.org", role: "editor"))
        try await publish(UsageRecorded(meter: "ai.tokens", quantity: 12, subject: "person:\(author)", occurredAt: Date()))
        try await publish(UserLoginFailed(userID: author, address: nil, userAgent: nil))
        try await publish(APIKeyCreated(keyID: .make(), userID: author, name: "n", permissions: ["*"], expiresAt: nil))
        try await publish(NotificationFailed(notificationID: .make(), channel: "email", template: nil, reason: "gone"))

        let all = Query<Stored>("SELECT kind, label, amount FROM facts ORDER BY kind, amount") { row in
            Stored(kind: try row("kind"), label: try row("label"), amount: try row("amount"))
        }
        let expected = [
            Stored(kind: .answer, label: "small", amount: 12), Stored(kind: .answer, label: "small", amount: 12),
            Stored(kind: .apiKeyCreated, label: nil, amount: nil), Stored(kind: .memberAdded, label: "editor", amount: nil),
            Stored(kind: .notificationFailed, label: "email", amount: nil), Stored(kind: .planChanged, label: "business", amount: nil),
            Stored(kind: .rating, label: "4", amount: 4), Stored(kind: .signInFailed, label: nil, amount: nil),
            Stored(kind: .upload, label: "application/pdf", amount: 1_234), Stored(kind: .usage, label: "ai.tokens", amount: 12),
        ]
        try await host.eventually("every event is a fact") {
            try await host.database.query(all, as: caller) == expected
        }
        #expect(try await RollupFold.catchUp(host.database, as: caller))
        struct Rollup: Sendable, Equatable {
            let label: String
            let facts: Int
            let amount: Int
            let people: Int
        }
        let answers = Query<Rollup>(
            "SELECT label, facts, amount, users FROM fact_rollups WHERE kind = 'answer' AND unit = 'day' ORDER BY label"
        ) {
            row in
            let users: [UInt8]? = try row("users")
            return Rollup(
                label: try row("label"), facts: try row("facts"), amount: try row("amount"),
                people: users.flatMap { Sketch(bytes: $0) }?.estimate ?? 0)
        }
        // Two days if midnight was in between.
        let rollups = try await host.database.query(answers, as: caller)
        #expect(Set(rollups.map(\.label)) == ["*", "small"])
        for label in ["*", "small"] {
            let mine = rollups.filter { $0.label == label }
            #expect(mine.map(\.facts).reduce(0, +) == 2)
            #expect(mine.map(\.amount).reduce(0, +) == 24)
            #expect(mine.allSatisfy { $0.people == 1 })
        }
        let details = Query<JSONB<[String: Int]>>(
            "SELECT details - 'provider' AS details FROM facts WHERE kind = 'answer'", column: "details")
        #expect(
            try await host.database.first(details, as: caller)?.value == [
                "promptTokens": 7, "completionTokens": 5, "citations": 2, "milliseconds": 900,
            ])
    }
}
