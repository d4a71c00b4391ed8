import Contracts
import Foundation
import Postgres
import ServiceKit
import TestKit
import Testing

@testable import UsersService

@Suite struct InvitationTests {
    /// Somebody's address that nobody has used.
    private func address() -> String { "guest.\(UUID().uuidString.lowercased())@example.org" }

    private func invite(_ company: Company, _ email: String, role: String = "editor") async throws -> TestResponse {
        try await company.owner().post("\(company.path)/invitations", ["email": .string(email), "role": .string(role)])
    }

    private func registration(_ email: String, _ token: String) -> JSONValue {
        [
            "email": .string(email), "firstName": "Grace", "lastName": "Hopper", "organizationID": .string(TenantID.make().description),
            "organizationName": "Grace's own", "gdprConsent": true, "marketingConsent": false, "invitationToken": .string(token),
        ]
    }

    private func register(_ company: Company, _ email: String, _ token: String, as user: UserID = .make()) async throws -> TestResponse {
        try await company.host.client(service: .auth).put("/internal/v1/registrations/\(user)", registration(email, token))
    }

    @Test("an invitation answers without its token, which goes out in a letter, and is announced")
    func invites() async throws {
        let company = try await Company.found(), email = address()
        let created = try await invite(company, email)
        #expect(created.status == 201)
        #expect(created["status"] == "pending")
        #expect(created["role"] == "editor")
        let letter = try await company.letter(to: email)
        #expect(letter.template == "invitation")
        #expect(letter.data["organization"] == "Analytical Engines")
        #expect(letter.data["inviter"] == "Ada Lovelace")
        #expect(letter.data["days"] == "7")
        #expect(letter.token.hasPrefix("trx_inv_"))
        #expect(!created.text.contains(letter.token))
        let location = try #require(created.header("location"))
        #expect(try await company.owner().get(location).json == created.json)
        let list = try await company.owner().get("\(company.path)/invitations?status=pending")
        #expect(list["data"].array == [created.json])
        #expect(try await company.events().last?.type == InvitationSent.type)
        // Nothing that is kept or announced opens the door.
        let kept = try await company.host.database.query(
            Query<String>("SELECT row_to_json(i)::text AS row FROM invitations i", column: "row"),
            as: .service(.users, for: company.tenant.id))
        let announced = try await company.events().map { "\($0.payload)" } + company.audit().map { "\($0)" }
        for text in kept + announced + company.host.log.lines { #expect(!text.contains(letter.token)) }
    }

    @Test("whoever registers with the token joins instead of founding, once, and under the address that was invited")
    func joinsByRegistering() async throws {
        let company = try await Company.found(), email = address()
        _ = try await invite(company, email)
        let token = try await company.letter(to: email).token
        #expect(try await register(company, address(), token).badFields == ["/invitationToken"])
        let user = UserID.make()
        let joined = try await register(company, email, token, as: user)
        #expect(joined.status == 200, "\(joined.text)")
        let claims = try joined.decode(PersonClaims.self)
        #expect(claims.organization.id == company.tenant.id)
        #expect(claims.roles == ["editor"])
        #expect(claims.firstName == "Grace")
        let person = try await company.owner().get("/api/v1/users/\(user)")
        #expect(person["status"] == "active")
        #expect(person["consents"]["gdpr"] == true)
        let added = try await company.events().filter { $0.type == MemberAdded.type && $0.payload["userID"].string == user.description }
        #expect(added.count == 1)
        // Cut short after it was done, and asked again: the same answer, and nothing more happens.
        let events = try await company.events().count
        #expect(try await register(company, email, token, as: user).json == joined.json)
        #expect(try await company.events().count == events)
        // Anybody else's token it is not.
        let stolen = try await register(company, email, token)
        #expect(stolen.status == 400)
        #expect(stolen["errors"][0]["code"] == "invitation-not-found")
    }

    @Test("the same registration many times at once joins once")
    func concurrentRegistration() async throws {
        let company = try await Company.found(), email = address(), user = UserID.make()
        _ = try await invite(company, email)
        let token = try await company.letter(to: email).token
        let answers = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<8 { group.addTask { try await register(company, email, token, as: user).status } }
            return try await group.reduce(into: [Int]()) { $0.append($1) }
        }
        #expect(answers == Array(repeating: 200, count: 8))
        let added = try await company.events().filter { $0.type == MemberAdded.type && $0.payload["userID"].string == user.description }
        #expect(added.count == 1)
    }

    @Test("of many who hold one letter, one gets in")
    func singleUse() async throws {
        let company = try await Company.found(), email = address()
        _ = try await invite(company, email)
        let token = try await company.letter(to: email).token
        let answers = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<6 { group.addTask { try await register(company, email, token).status } }
            return try await group.reduce(into: [Int]()) { $0.append($1) }
        }
        #expect(answers.sorted() == [200, 400, 400, 400, 400, 400])
        #expect(try await company.owner().get("/api/v1/users?email=\(email)")["data"].array.count == 1)
    }

    @Test("somebody who has an account accepts signed in with the invited address, and may do so twice")
    func accepts() async throws {
        let company = try await Company.found(), other = try await Company.found(), third = try await Company.found()
        _ = try await invite(company, other.email, role: "viewer")
        let token = try await company.letter(to: other.email).token
        let body: JSONValue = ["token": .string(token)]
        let refused = try await third.owner().post("/api/v1/invitations/accept", body)
        #expect(refused.status == 403)
        #expect(refused.problem == "invitation-of-another-address")
        #expect(try await company.host.client(token: nil).post("/api/v1/invitations/accept", body).status == 401)
        let client = try await other.owner()
        let joined = try await client.post("/api/v1/invitations/accept", body)
        #expect(joined.status == 200, "\(joined.text)")
        #expect(joined["organization"]["id"].string == company.tenant.id.description)
        #expect(joined["role"] == "viewer")
        #expect(try await client.post("/api/v1/invitations/accept", body).json == joined.json)
        // The id that was kept while auth was away gave way to the account's.
        #expect(try await company.owner().get("/api/v1/users/\(other.tenant.owner.id)")["status"] == "active")
        let mine = try await client.get("/api/v1/organizations")["data"].array.compactMap { $0["id"].string }
        #expect(Set(mine) == [company.tenant.id.description, other.tenant.id.description])
        #expect(try await company.owner().get("\(company.path)/invitations?status=accepted")["data"].array.count == 1)
    }

    @Test("a key, or a platform admin who acts as somebody, accepts nothing in their name")
    func inPerson() async throws {
        let company = try await Company.found(), other = try await Company.found()
        _ = try await invite(company, other.email)
        let token = try await company.letter(to: other.email).token
        let person = other.tenant.owner
        for claims in [
            AccessClaims(
                user: person.id, session: person.session, tenant: person.tenant, roles: ["owner"], permissions: ["*"], plan: "starter",
                amr: ["pwd"], issuedAt: Date(), lifetime: 900, impersonator: .make()),
            AccessClaims(
                user: person.id, session: nil, tenant: person.tenant, roles: ["owner"], permissions: ["*"], plan: "starter", amr: [],
                issuedAt: Date(), lifetime: 900, apiKey: .make()),
        ] {
            let client = company.host.client(token: try await TestKeys.sign(claims))
            let refused = try await client.post("/api/v1/invitations/accept", ["token": .string(token)])
            #expect(refused.status == 403)
            #expect(refused.problem == "person-only")
        }
    }

    @Test("with its letter an invitation can be looked at and turned down, by anybody who holds it")
    func previewAndDecline() async throws {
        let company = try await Company.found(), email = address()
        let created = try await invite(company, email)
        let body: JSONValue = ["token": .string(try await company.letter(to: email).token)]
        let anybody = company.host.client(token: nil)
        let preview = try await anybody.post("/api/v1/invitations/preview", body)
        #expect(preview.status == 200)
        #expect(preview["organization"]["slug"].string == company.slug)
        #expect(preview["email"].string == email)
        #expect(preview["inviter"] == "Ada Lovelace")
        #expect(try await anybody.post("/api/v1/invitations/decline", body).status == 204)
        #expect(try await anybody.post("/api/v1/invitations/preview", body).status == 404)
        #expect(try await register(company, email, body["token"].string ?? "").status == 400)
        let id = try #require(created["id"].string)
        #expect(try await company.owner().get("\(company.path)/invitations/\(id)")["status"] == "declined")
        #expect(try await company.owner().get("/api/v1/users?email=\(email)")["data"].array.isEmpty)
        // They may be asked again.
        #expect(try await invite(company, email).status == 201)
    }

    @Test(
        "a text that is no token, or one of no invitation, finds nothing",
        arguments: [
            "rubbish", "trx_inv_", "trx_inv_AAAA", InvitationToken.make(tenant: .make()).text, InvitationToken.make(tenant: .platform).text,
        ])
    func noToken(_ token: String) async throws {
        let host = try await TestHost.start(Users.self)
        for call in ["preview", "decline"] {
            let answer = try await host.client(token: nil).post("/api/v1/invitations/\(call)", ["token": .string(token)])
            #expect(answer.status == 404)
            #expect(answer.problem == "invitation-not-found")
        }
    }

    @Test("one's own organization's id with other random bits finds nothing")
    func guessed() async throws {
        let company = try await Company.found(), email = address()
        _ = try await invite(company, email)
        let guess = InvitationToken.make(tenant: company.tenant.id)
        let answer = try await company.host.client(token: nil).post("/api/v1/invitations/preview", ["token": .string(guess.text)])
        #expect(answer.status == 404)
        #expect(try await register(company, email, guess.text).badFields == ["/invitationToken"])
    }

    @Test("a revoked invitation is worth nothing, and its seat is free")
    func revokes() async throws {
        let company = try await Company.found(), email = address()
        try await company.setSeats(2)
        let id = try #require(try await invite(company, email)["id"].string)
        #expect(try await invite(company, address()).problem == "seats-exhausted")
        let token = try await company.letter(to: email).token
        #expect(try await company.owner().delete("\(company.path)/invitations/\(id)").status == 204)
        #expect(try await register(company, email, token).badFields == ["/invitationToken"])
        #expect(try await company.owner().delete("\(company.path)/invitations/\(id)").problem == "invitation-settled")
        #expect(try await company.owner().post("\(company.path)/invitations/\(id)/resend").problem == "invitation-settled")
        #expect(try await invite(company, address()).status == 201)
        // Removing the invited person is the same.
        let other = try await Company.found(), guest = address()
        _ = try await invite(other, guest)
        let person = try await other.owner().get("/api/v1/users?email=\(guest)")["data"][0]["id"].string ?? ""
        let letter = try await other.letter(to: guest).token
        #expect(try await other.owner().delete("/api/v1/users/\(person)").status == 204)
        #expect(try await register(other, guest, letter).status == 400)
        #expect(try await other.owner().get("\(other.path)/invitations")["data"][0]["status"] == "revoked")
    }

    @Test("sent again, the new letter is good and the old one is not; not more than once a minute")
    func resends() async throws {
        let company = try await Company.found(), email = address()
        let id = try #require(try await invite(company, email)["id"].string)
        let old = try await company.letter(to: email).token
        let again = try await company.owner().post("\(company.path)/invitations/\(id)/resend")
        #expect(again.status == 429)
        #expect(again.header("retry-after") != nil)
        let past = Date().addingTimeInterval(-120)
        try await company.host.database.execute("UPDATE invitations SET sent_at = \(past)", as: .service(.users, for: company.tenant.id))
        let sent = try await company.owner().post("\(company.path)/invitations/\(id)/resend")
        #expect(sent.status == 200, "\(sent.text)")
        #expect(sent["sends"] == 2)
        let new = try await company.letter(to: email).token
        #expect(new != old)
        #expect(try await register(company, email, old).status == 400)
        #expect(try await register(company, email, new).status == 200)
    }

    @Test("an invitation expires, says so, and lives again when it is sent again")
    func expires() async throws {
        let company = try await Company.found(), email = address()
        let id = try #require(try await invite(company, email)["id"].string)
        let token = try await company.letter(to: email).token
        let past = Date().addingTimeInterval(-120)
        try await company.host.database.execute(
            "UPDATE invitations SET expires_at = \(past), sent_at = \(past)", as: .service(.users, for: company.tenant.id))
        let answer = try await company.host.client(token: nil).post("/api/v1/invitations/preview", ["token": .string(token)])
        #expect(answer.status == 410)
        #expect(answer.problem == "invitation-expired")
        #expect(try await register(company, email, token)["errors"][0]["code"] == "invitation-expired")
        #expect(try await company.owner().get("\(company.path)/invitations?status=expired")["data"].array.count == 1)
        #expect(try await company.owner().get("\(company.path)/invitations?status=pending")["data"].array.isEmpty)
        #expect(try await company.owner().post("\(company.path)/invitations/\(id)/resend")["status"] == "pending")
        #expect(try await register(company, email, try await company.letter(to: email).token).status == 200)
    }

    @Test("the answer is the same whether or not somebody has an account with the address")
    func noEnumeration() async throws {
        let company = try await Company.found(), other = try await Company.found()
        let known = try await invite(company, other.email), unknown = try await invite(company, address())
        #expect(known.status == unknown.status)
        func shape(_ response: TestResponse) -> [String] {
            guard case .object(let fields) = response.json else { return [] }
            return fields.keys.sorted()
        }
        #expect(shape(known) == shape(unknown))
        #expect(known.headers.map(\.name).sorted() == unknown.headers.map(\.name).sorted())
    }

    @Test("nobody is invited twice, nor a member at all")
    func twice() async throws {
        let company = try await Company.found(), email = address()
        #expect(try await invite(company, email).status == 201)
        let again = try await invite(company, email)
        #expect(again.status == 409)
        #expect(again.problem == "already-invited")
        #expect(try await invite(company, company.email).problem == "already-member")
    }

    @Test("a message of the inviter's own goes along, but no link of theirs")
    func message() async throws {
        let company = try await Company.found(), email = address()
        let path = "\(company.path)/invitations"
        let refused = try await company.owner().post(path, ["email": .string(email), "message": "see https://evil.example"])
        #expect(refused.badFields == ["/message"])
        #expect(try await company.owner().post(path, ["email": .string(email), "message": "We need you."]).status == 201)
        #expect(try await company.letter(to: email).data["message"] == "We need you.")
    }

    @Test("only an owner invites an owner, and a viewer nobody")
    func rights() async throws {
        let company = try await Company.found()
        try await company.join(company.tenant.admin, role: "admin")
        try await company.join(company.tenant.viewer, role: "viewer")
        let admin = try await company.host.client(company.tenant.admin), path = "\(company.path)/invitations"
        #expect(try await admin.post(path, ["email": .string(address()), "role": "owner"]).problem == "owners-only")
        #expect(try await admin.post(path, ["email": .string(address()), "role": "admin"]).status == 201)
        #expect(try await company.host.client(company.tenant.viewer).post(path, ["email": .string(address())]).status == 403)
        #expect(try await admin.post(path, ["email": .string(address()), "role": "no-such-role"]).badFields == ["/role"])
        #expect(try await admin.post(path, ["email": .string(address()), "role": "superadmin"]).badFields == ["/role"])
        let other = try await Company.found()
        #expect(try await admin.get("\(other.path)/invitations").status == 404)
    }

    @Test("two who are asked for the last seat at one moment: one is, the other finds no seat")
    func lastSeat() async throws {
        for _ in 0..<3 {
            let company = try await Company.found()
            try await company.setSeats(2)
            async let one = invite(company, address()), two = invite(company, address())
            let answers = try await [one, two]
            #expect(answers.map(\.status).sorted() == [201, 409])
            #expect(answers.first { $0.status == 409 }?.problem == "seats-exhausted")
        }
    }

    @Test("nobody joins an organization that is suspended meanwhile")
    func suspendedOrganization() async throws {
        let company = try await Company.found(), email = address()
        _ = try await invite(company, email)
        let token = try await company.letter(to: email).token
        try await company.host.database.execute(
            "UPDATE organizations SET status = 'suspended'", as: .service(.users, for: company.tenant.id))
        let refused = try await register(company, email, token)
        #expect(refused.status == 409)
        #expect(refused.problem == "organization-suspended")
        #expect(try await company.host.client(token: nil).post("/api/v1/invitations/preview", ["token": .string(token)]).status == 404)
    }

    @Test("signing in with others lets somebody join: into the seat kept by an invitation, or a free one; repeated, nothing changes")
    func admits() async throws {
        let company = try await Company.found(), email = address(), user = UserID.make()
        let auth = try await company.host.client(service: .auth)
        func join(_ user: UserID, _ email: String, _ role: String = "viewer") async throws -> TestResponse {
            try await auth.put(
                "/internal/v1/organizations/\(company.tenant.id)/members/\(user)", ["email": .string(email), "role": .string(role)])
        }
        _ = try await invite(company, email, role: "editor")
        let joined = try await join(user, email)
        #expect(joined.status == 200, "\(joined.text)")
        #expect(try joined.decode(PersonClaims.self).roles == ["editor"])
        #expect(try await join(user, email).json == joined.json)
        #expect(try await company.owner().get("\(company.path)/invitations?status=accepted")["data"].array.count == 1)
        #expect(try await join(.make(), address()).decode(PersonClaims.self).roles == ["viewer"])
        #expect(try await join(.make(), address(), "owner").badFields == ["/role"])
        try await company.setSeats(3)
        #expect(try await join(.make(), address()).problem == "seats-exhausted")
        #expect(
            try await auth.put("/internal/v1/organizations/\(TenantID.make())/members/\(user)", ["email": .string(email), "role": "user"])
                .status == 404)
    }
}
