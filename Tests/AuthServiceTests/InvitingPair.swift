import Contracts
import ServiceKit
import TestKit
import Testing

/// Both services, users knowing where auth is.
struct InvitingPair: Sendable {
    let stack: AuthStack
    let users: TestHost

    static let shared = Task {
        InvitingPair(stack: try await AuthStack.shared.value, users: try await AuthStack.invitingUsers.value)
    }

    func client(_ person: SignedInPerson) -> TestClient { users.client(token: person.access) }

    func invite(_ email: String, by owner: SignedInPerson, role: String = "editor") async throws -> TestResponse {
        try await client(owner).post("/api/v1/users", ["email": .string(email), "role": .string(role)])
    }

    /// The token in the letter that an organization has sent to an address.
    func invitationToken(_ email: String) async throws -> String { try await LetterBox(host: users).letter(to: email, "invitation").token }

    /// Invites, and opens the letter.
    func letter(to email: String, by owner: SignedInPerson, role: String = "editor") async throws -> Letter {
        let invited = try await invite(email, by: owner, role: role)
        #expect(invited.status == 201, "\(invited.text)")
        return try await LetterBox(host: users).letter(to: email, "invitation")
    }
}
