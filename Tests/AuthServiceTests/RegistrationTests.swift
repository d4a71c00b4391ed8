import AuthService
import Contracts
import Foundation
import NIOHTTP1
import Postgres
import ServiceKit
import TestKit
import Testing
import UsersService

@Suite struct RegistrationTests {
    @Test("registering answers 201 with the person, the organization and tokens that work")
    func registers() async throws {
        let stack = try await AuthStack.shared.value
        let newcomer = Newcomer()
        let response = try await stack.auth.client(token: nil).post("/api/v1/auth/register", newcomer.registration)
        #expect(response.status == 201)
        let person = try SignedInPerson(newcomer, response)
        #expect(response.headers.first(name: "location") == "/api/v1/users/\(person.user)")
        #expect(response.headers.first(name: "cache-control") == "no-store")
        #expect(response["user"]["email"].string == newcomer.email)
        #expect(response["user"]["firstName"].string == "Ada")
        #expect(response["organization"]["slug"].string == newcomer.slug)
        #expect(response["organization"]["plan"].string == "starter")
        #expect(response["tokenType"].string == "Bearer")
        #expect(response["expiresIn"].int == 900)

        let me = try await stack.auth.client(token: person.access).get("/api/v1/auth/me")
        #expect(me.status == 200)
        #expect(me["user"]["id"].string == person.user.description)
        #expect(me["organization"]["id"].string == person.tenant.description)
        #expect(me["roles"] == ["owner"])
        #expect(me["permissions"] == ["*"])
        #expect(me["session"]["id"].string == TokenParts.claims(person.access)["sid"].string)

        // The same token is good at users, where the person now is.
        let profile = try await stack.users.client(token: person.access).get("/api/v1/users/me")
        #expect(profile.status == 200)
        #expect(profile["role"].string == "owner")
        #expect(profile["consents"]["gdpr"] == true)
    }

    @Test("a token says what the contract says, and nothing else")
    func tokenClaims() async throws {
        let person = try await AuthStack.shared.value.register()
        let header = TokenParts.header(person.access), claims = TokenParts.claims(person.access)
        #expect(header["alg"] == "RS256")
        #expect(header["typ"] == "JWT")
        guard case .object(let headerFields) = header, case .object(let fields) = claims else { throw Unexpected(answer: person.access) }
        #expect(Set(headerFields.keys) == ["alg", "typ", "kid"])
        #expect(
            Set(fields.keys) == [
                "sub", "iss", "aud", "exp", "iat", "nbf", "jti", "sid", "roles", "permissions", "org", "amr", "auth_time", "plan",
            ])
        #expect(claims["sub"].string == person.user.description)
        #expect(claims["org"].string == person.tenant.description)
        #expect(claims["iss"] == "trionex-auth-service")
        #expect(claims["aud"] == "trionex-platform")
        #expect(claims["amr"] == ["pwd"])
        #expect((claims["exp"].int ?? 0) - (claims["iat"].int ?? 0) == 900)
    }

    @Test("without an organization a personal one is made, with a slug of its own even when the name is taken")
    func personalOrganization() async throws {
        let stack = try await AuthStack.shared.value
        var slugs: Set<String> = []
        for _ in 0..<3 {
            let newcomer = Newcomer()
            let response = try await stack.auth.client(token: nil).post(
                "/api/v1/auth/register",
                ["email": .string(newcomer.email), "password": .string(newcomer.password), "firstName": "Grace", "lastName": "Hopper"])
            #expect(response.status == 201)
            #expect(response["organization"]["name"].string == "Grace Hopper")
            slugs.insert(response["organization"]["slug"].string ?? "")
        }
        #expect(slugs.count == 3)
        #expect(slugs.allSatisfy { $0.hasPrefix("grace-hopper") })
    }

    @Test("a registration is announced once, in its organization, with the session it opened")
    func announces() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        let events = try await stack.auth.outbox(person.tenant)
        #expect(events.filter { $0.type == UserRegistered.type }.count == 1)
        #expect(events.filter { $0.type == UserLoggedIn.type }.count == 1)
        #expect(events.filter { $0.type == AuditEntryRecorded.type }.count == 2)
        let registered = events.first { $0.type == UserRegistered.type }?.payload
        #expect(registered?["email"].string == person.newcomer.email)
        #expect(registered?["organizationName"] == "Analytical Engines")
        let made = try await stack.users.outbox(person.tenant).map(\.type)
        #expect(made.filter { $0 != AuditEntryRecorded.type } == [OrganizationCreated.type, UserCreated.type, MemberAdded.type])
    }

    @Test("an address is one account, however it is written")
    func emailTaken() async throws {
        let stack = try await AuthStack.shared.value
        let person = try await stack.register()
        var second = Newcomer().registration
        guard case .object(var fields) = second else { return }
        fields["email"] = .string(person.newcomer.email.uppercased())
        second = .object(fields)
        let response = try await stack.auth.client(token: nil).post("/api/v1/auth/register", second)
        #expect(response.status == 409)
        #expect(response.problem == "email-taken")
    }

    @Test("a taken slug answers 409 and leaves nothing: the address can be registered at once")
    func slugTaken() async throws {
        let stack = try await AuthStack.shared.value
        let first = try await stack.register()
        let newcomer = Newcomer()
        let refused = try await stack.auth.client(token: nil).post(
            "/api/v1/auth/register",
            [
                "email": .string(newcomer.email), "password": .string(newcomer.password),
                "organization": ["name": "Others", "slug": .string(first.newcomer.slug)],
            ])
        #expect(refused.status == 409)
        #expect(refused.problem == "slug-taken")
        let login = try await stack.auth.client(token: nil).post("/api/v1/auth/login", newcomer.signIn)
        #expect(login.status == 401)
        #expect(try await stack.register(newcomer).status == 201)
    }

    @Test("every bad field is named at once, and a password never comes back")
    func badFields() async throws {
        let stack = try await AuthStack.shared.value
        let response = try await stack.auth.client(token: nil).post(
            "/api/v1/auth/register",
            [
                "email": "no address", "password": "short-one", "firstName": "", "organization": ["name": 7, "color": "red"],
                "role": "owner",
            ])
        #expect(response.status == 400)
        #expect(response.problem == "validation-failed")
        #expect(
            Set(response.badFields) == ["/email", "/password", "/firstName", "/organization/name", "/organization/color", "/role"])
        #expect(!response.text.contains("short-one"))
    }

    @Test(
        "passwords that attackers try first are refused",
        arguments: ["password1234", "PassWord1234", "aaaaaaaaaaaa", "1234567890", "Password123!", "qwertyuiop"])
    func knownPassword(_ password: String) async throws {
        let stack = try await AuthStack.shared.value
        let response = try await stack.auth.client(token: nil).post(
            "/api/v1/auth/register", ["email": .string(Newcomer().email), "password": .string(password)])
        #expect(response.status == 400)
        #expect(response.badFields == ["/password"])
        #expect(response["errors"][0]["code"] == "password-known")
    }

    @Test("the person's own address is no password")
    func personalPassword() async throws {
        let stack = try await AuthStack.shared.value
        let newcomer = Newcomer()
        let response = try await stack.auth.client(token: nil).post(
            "/api/v1/auth/register", ["email": .string(newcomer.email), "password": .string(newcomer.email.uppercased())])
        #expect(response.status == 400)
        #expect(response["errors"][0]["code"] == "password-personal")
    }

    @Test("a slug that users refuses is named as the field that the client sent, and nothing is left")
    func reservedSlug() async throws {
        let stack = try await AuthStack.shared.value
        let newcomer = Newcomer()
        let response = try await stack.auth.client(token: nil).post(
            "/api/v1/auth/register",
            ["email": .string(newcomer.email), "password": .string(newcomer.password), "organization": ["name": "API", "slug": "api"]])
        #expect(response.status == 400)
        #expect(response.badFields == ["/organization/slug"])
        #expect(try await stack.register(newcomer).status == 201)
    }

    @Test("of many at once with one address, one registers")
    func race() async throws {
        let stack = try await AuthStack.shared.value
        let newcomer = Newcomer()
        let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
            for index in 0..<8 {
                group.addTask {
                    try await stack.auth.client(token: nil).post(
                        "/api/v1/auth/register",
                        ["email": .string(newcomer.email), "password": .string("a good password, number \(index)")]
                    ).status
                }
            }
            return try await group.reduce(into: [Int]()) { $0.append($1) }
        }
        #expect(statuses.filter { $0 == 201 }.count == 1)
        #expect(statuses.filter { $0 == 409 }.count == 7)
    }

    @Test("the same Idempotency-Key replays the first answer and makes no second account")
    func idempotent() async throws {
        let stack = try await AuthStack.shared.value
        let newcomer = Newcomer(), key = ["idempotency-key": UUID().uuidString]
        let first = try await stack.auth.client(token: nil).post("/api/v1/auth/register", newcomer.registration, headers: key)
        let second = try await stack.auth.client(token: nil).post("/api/v1/auth/register", newcomer.registration, headers: key)
        #expect(first.status == 201)
        #expect(second.status == 201)
        #expect(second.headers.first(name: "idempotency-replayed") == "true")
        #expect(first.json == second.json)
    }
}
