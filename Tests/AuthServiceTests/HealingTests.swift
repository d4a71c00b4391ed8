import Contracts
import Foundation
import NIOHTTP1
import Postgres
import ServiceKit
import TestKit
import Testing
import UsersService

@testable import AuthService

/// A registration takes two services; whichever is killed between two steps, it ends whole or not at all.
///
/// One after the other: the worker of one test would complete the registrations of another.
@Suite(.serialized) struct HealingTests {
    private struct Pending: Sendable {
        let id: UserID
        let registration: RegistrationRequest
    }

    /// Leaves a registration as a crash would: the address is kept, users has not been asked.
    private func cutShort(_ newcomer: Newcomer, _ stack: AuthStack) async throws -> Pending {
        let alone = try await AuthStack.withoutUsers.value
        let response = try await alone.client(token: nil).post("/api/v1/auth/register", newcomer.registration)
        #expect(response.status == 503)
        #expect(response.headers.contains(name: "retry-after"))
        return try #require(try await pending(newcomer, stack))
    }

    private func pending(_ newcomer: Newcomer, _ stack: AuthStack) async throws -> Pending? {
        let email = newcomer.email
        return try await stack.auth.database.first(
            Query("SELECT id, registration FROM accounts WHERE email = \(email) AND status = 'pending'") { row in
                let registration: JSONB<RegistrationRequest> = try row("registration")
                return Pending(id: try row("id"), registration: registration.value)
            }, as: .anonymous(in: .platform))
    }

    private func registeredEvents(_ tenant: TenantID, _ stack: AuthStack) async throws -> Int {
        try await stack.auth.outbox(tenant).filter { $0.type == UserRegistered.type }.count
    }

    @Test("with users away the answer is 503, and trying again later completes the same registration")
    func retried() async throws {
        let stack = try await AuthStack.shared.value
        let newcomer = Newcomer()
        let pending = try await cutShort(newcomer, stack)
        let login = try await stack.auth.client(token: nil).post("/api/v1/auth/login", newcomer.signIn)
        #expect(login.status == 409)
        #expect(login.problem == "registration-pending")
        let person = try await stack.register(newcomer)
        #expect(person.status == 201)
        #expect(person.user == pending.id)
        #expect(person.tenant == pending.registration.organizationID)
        #expect(try await registeredEvents(person.tenant, stack) == 1)
    }

    @Test("somebody else cannot take over a registration that was cut short")
    func notTakenOver() async throws {
        let stack = try await AuthStack.shared.value
        let newcomer = Newcomer()
        _ = try await cutShort(newcomer, stack)
        let response = try await stack.auth.client(token: nil).post(
            "/api/v1/auth/register", ["email": .string(newcomer.email), "password": "quite another password"])
        #expect(response.status == 409)
        #expect(response.problem == "email-taken")
    }

    @Test("the worker completes a registration that died before users was asked")
    func healedBeforeUsers() async throws {
        let stack = try await AuthStack.shared.value
        let newcomer = Newcomer()
        let pending = try await cutShort(newcomer, stack)
        let healer = try await stack.another(["TRIONEX_AUTH_COMPLETION_SECONDS": "1"])
        try await healer.eventually("sign-in works") {
            try await healer.client(token: nil).post("/api/v1/auth/login", newcomer.signIn).status == 200
        }
        #expect(try await registeredEvents(pending.registration.organizationID, stack) == 1)
        try await healer.stop()
    }

    @Test("the worker completes a registration that died after users had answered, and announces it once")
    func healedAfterUsers() async throws {
        let stack = try await AuthStack.shared.value
        let newcomer = Newcomer()
        let pending = try await cutShort(newcomer, stack)
        let body = try JSON.decode(JSONValue.self, from: try JSON.encode(pending.registration))
        let made = try await stack.program(.auth, of: stack.users).put("/internal/v1/registrations/\(pending.id)", body)
        #expect(made.status == 200)
        let healer = try await stack.another(["TRIONEX_AUTH_COMPLETION_SECONDS": "1"])
        try await healer.eventually("sign-in works") {
            try await healer.client(token: nil).post("/api/v1/auth/login", newcomer.signIn).status == 200
        }
        #expect(try await registeredEvents(pending.registration.organizationID, stack) == 1)
        let announced = try await stack.users.outbox(pending.registration.organizationID).map(\.type)
        #expect(announced.filter { $0 == OrganizationCreated.type }.count == 1)
        try await healer.stop()
    }

    @Test("a registration that died after it was announced becomes active and is not announced again")
    func healedAfterAnnouncement() async throws {
        let stack = try await AuthStack.shared.value
        let newcomer = Newcomer()
        let person = try await stack.register(newcomer)
        // As if the last step had not happened.
        let registration = RegistrationRequest(
            email: try EmailAddress(newcomer.email), firstName: nil, lastName: nil, organizationID: person.tenant,
            organizationName: try Name("Analytical Engines"), organizationSlug: try Slug(newcomer.slug), gdprConsent: true,
            marketingConsent: false)
        let user = person.user
        let changed = try await stack.auth.database.execute(
            "UPDATE accounts SET status = 'pending', registration = \(JSONB(registration)) WHERE id = \(user)",
            as: .anonymous(in: .platform))
        #expect(changed == 1)
        let login = try await stack.auth.client(token: nil).post("/api/v1/auth/login", newcomer.signIn)
        #expect(login.problem == "registration-pending")
        let healer = try await stack.another(["TRIONEX_AUTH_COMPLETION_SECONDS": "1"])
        try await healer.eventually("sign-in works") {
            try await healer.client(token: nil).post("/api/v1/auth/login", newcomer.signIn).status == 200
        }
        #expect(try await registeredEvents(person.tenant, stack) == 1)
        try await healer.stop()
    }

    @Test("the worker removes a registration that users refuses, and the address is free")
    func removed() async throws {
        let stack = try await AuthStack.shared.value
        let first = try await stack.register()
        var newcomer = Newcomer()
        newcomer.name = "Others"
        let taken: JSONValue = [
            "email": .string(newcomer.email), "password": .string(newcomer.password),
            "organization": ["name": "Others", "slug": .string(first.newcomer.slug)],
        ]
        let alone = try await AuthStack.withoutUsers.value
        #expect(try await alone.client(token: nil).post("/api/v1/auth/register", taken).status == 503)
        let healer = try await stack.another(["TRIONEX_AUTH_COMPLETION_SECONDS": "1"])
        try await healer.eventually("nobody has the address") {
            try await healer.client(token: nil).post("/api/v1/auth/login", newcomer.signIn).problem == "wrong-credentials"
        }
        try await healer.stop()
        #expect(try await stack.register(newcomer).status == 201)
    }

    @Test("a late refusal does not remove what the person has put in place of the refused registration")
    func replacedMeanwhile() async throws {
        let stack = try await AuthStack.shared.value
        let first = try await stack.register(), newcomer = Newcomer()
        let taken: JSONValue = [
            "email": .string(newcomer.email), "password": .string(newcomer.password),
            "organization": ["name": "Others", "slug": .string(first.newcomer.slug)],
        ]
        let alone = try await AuthStack.withoutUsers.value
        #expect(try await alone.client(token: nil).post("/api/v1/auth/register", taken).status == 503)
        // What a worker has in hand while the person tries again with another slug.
        let old = try #require(try await pending(newcomer, stack))
        let stale = Account(
            id: old.id, email: try EmailAddress(newcomer.email), passwordHash: "", status: .pending, registration: old.registration)
        let new = try await cutShort(newcomer, stack)
        #expect(new.id == old.id)
        #expect(new.registration != old.registration)
        let house = stack.auth.host.foundations
        let proofs = EmailProofs(
            database: house.database, sealing: try house.sealing(), publicURL: "", verificationLifetime: 60, resetLifetime: 60)
        let completion = RegistrationCompletion(
            database: house.database, people: PeopleClient(neighbours: house.neighbours), proofs: proofs)
        await #expect(throws: AccountFailure.slugTaken) { _ = try await completion.askUsers(stale) }
        #expect(try await pending(newcomer, stack)?.registration == new.registration)
        #expect(try await stack.register(newcomer).user == new.id)
    }
}
