import Contracts
import Foundation
import Postgres
import Testing

@testable import Messaging

@Suite("What a failure means for an event")
struct VerdictTests {
    @Test(
        "A program that runs before its migration, or asks what is no primary any more, waits: good events are not given up",
        arguments: ["42P01", "42703", "42883", "42501"])
    func missing(state: String) {
        #expect(Verdict(PostgresFailure(sqlState: state, message: "")) == .outage)
    }

    @Test("What the event itself breaks is tried again and then given up")
    func broken() {
        #expect(Verdict(PostgresFailure(sqlState: "23514", message: "")) == .failed)
        #expect(Verdict(PostgresFailure(sqlState: "22003", message: "")) == .failed)
        #expect(Verdict(ResourceFailure.notFound) == .failed)
    }

    @Test("A statement that takes too long may do so again and again; other trouble passes")
    func time() {
        #expect(Verdict(DependencyFailure("database", reason: "the statement took too long")) == .slow)
        #expect(Verdict(DependencyFailure("database", reason: "SQLSTATE 25006")) == .outage)
        #expect(Verdict(DependencyFailure("files", reason: "away")) == .outage)
    }

    @Test("Others in the way are no fault of the event")
    func collisions() {
        #expect(Verdict(PostgresFailure(sqlState: "40001", message: "")) == .collision)
        #expect(Verdict(PostgresFailure(sqlState: "55P03", message: "")) == .collision)
    }
}
