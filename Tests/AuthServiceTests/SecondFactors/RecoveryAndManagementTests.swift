import Contracts
import Foundation
import NIOHTTP1
import Postgres
import ServiceKit
import TestKit
import Testing

@testable import AuthService

@Suite struct RecoveryCodeTests {
    @Test("a recovery code opens once, the owner hears of it, and other accounts' codes open nothing")
    func once() async throws {
        let desk = try await FactorDesk.open(), other = try await FactorDesk.open()
        let codes = try await desk.addApp().answer["recoveryCodes"].array
        let foreign = try await other.addApp().answer["recoveryCodes"].array
        let typed = try #require(codes[3].string).lowercased().replacingOccurrences(of: "-", with: " ")
        let answer = try await desk.verify(["mfaToken": try await desk.mfaToken(), "method": "recovery", "code": .string(typed)])
        #expect(answer.status == 200)
        #expect(TokenParts.claims(answer["accessToken"].string ?? "")["amr"] == ["pwd", "otp"])
        #expect(try await desk.verify(["mfaToken": try await desk.mfaToken(), "recoveryCode": codes[3]]).problem == "wrong-code")
        #expect(try await desk.verify(["mfaToken": try await desk.mfaToken(), "recoveryCode": foreign[0]]).problem == "wrong-code")
        #expect(try await desk.letters("recovery-code-used").map { $0.data["left"] } == ["9"])
        #expect(try await desk.signedIn.get("/api/v1/auth/mfa")["recoveryCodesLeft"] == 9)
    }

    @Test("new recovery codes make the old ones worthless, and need a recent proof of identity")
    func renewed() async throws {
        let desk = try await FactorDesk.open()
        #expect(try await desk.signedIn.post("/api/v1/auth/mfa/recovery-codes").problem == "no-second-factor")
        let old = try await desk.addApp().answer["recoveryCodes"].array
        let stale = try await desk.age().post("/api/v1/auth/mfa/recovery-codes")
        #expect(stale.status == 401 && stale.problem == "insufficient-user-authentication")
        let answer = try await desk.signedIn.post("/api/v1/auth/mfa/recovery-codes")
        #expect(answer.status == 200 && answer.header("cache-control") == "no-store")
        let new = answer["recoveryCodes"].array
        #expect(Set(new).count == 10 && Set(new).isDisjoint(with: old))
        #expect(try await desk.verify(["mfaToken": try await desk.mfaToken(), "recoveryCode": old[0]]).status == 401)
        #expect(try await desk.verify(["mfaToken": try await desk.mfaToken(), "recoveryCode": new[0]]).status == 200)
    }

    @Test("recovery codes are kept as hashes")
    func hashed() async throws {
        let desk = try await FactorDesk.open()
        let codes = try await desk.addApp().answer["recoveryCodes"].array.compactMap(\.string)
        let user = desk.person.user
        let stored = try await desk.database.query(
            Query<String>(
                "SELECT encode(digest, 'escape') AS text FROM recovery_codes WHERE account_id = \(user)", column: "text"),
            as: AccountStore.caller)
        #expect(stored.count == 10)
        for code in codes { #expect(!stored.contains { $0.contains(code) || $0.contains(code.filter { $0 != "-" }) }) }
    }
}

@Suite struct FactorManagementTests {
    @Test("removing a factor needs a recent proof of identity, tells the owner, and signs in without it afterwards")
    func removed() async throws {
        let desk = try await FactorDesk.open()
        _ = try await desk.addApp()
        let id = try #require(try await desk.signedIn.get("/api/v1/auth/mfa")["data"][0]["id"].string)
        let stale = try await desk.age().delete("/api/v1/auth/mfa/\(id)")
        #expect(stale.status == 401)
        #expect(stale.header("www-authenticate")?.contains("insufficient_user_authentication") == true)
        #expect(try await desk.signedIn.delete("/api/v1/auth/mfa/\(id)").status == 204)
        #expect(try await desk.signedIn.delete("/api/v1/auth/mfa/\(id)").status == 404)
        #expect(try await desk.logIn()["accessToken"].string != nil)
        let list = try await desk.signedIn.get("/api/v1/auth/mfa")
        #expect(list["data"].array.isEmpty && list["recoveryCodesLeft"] == 0)
        #expect(try await desk.announced(MFADisabled.self).map { $0["method"] } == ["totp"])
        #expect(try await desk.letters("mfa-changed").map { $0.data["change"] } == ["added", "removed"])
        #expect(try await desk.audit("auth.second-factor.remove").map { $0["riskLevel"] } == ["high"])
    }

    @Test("another account's factor is not there, for reading, renaming or removing")
    func foreign() async throws {
        let desk = try await FactorDesk.open(), stranger = try await FactorDesk.open()
        _ = try await desk.addApp()
        let id = try #require(try await desk.signedIn.get("/api/v1/auth/mfa")["data"][0]["id"].string)
        #expect(try await stranger.signedIn.get("/api/v1/auth/mfa")["data"].array.isEmpty)
        #expect(try await stranger.signedIn.delete("/api/v1/auth/mfa/\(id)").status == 404)
        #expect(try await stranger.signedIn.patch("/api/v1/auth/mfa/\(id)", ["name": "Mine"]).status == 404)
        #expect(try await desk.signedIn.get("/api/v1/auth/mfa")["data"][0]["name"] == "Authenticator app")
        #expect(try await desk.signedIn.patch("/api/v1/auth/mfa/\(id)", ["name": "Work phone"])["name"] == "Work phone")
    }

    @Test("an organization's tenant sees none of the rows of second factors")
    func isolated() async throws {
        let desk = try await FactorDesk.open()
        _ = try await desk.addApp()
        _ = try await desk.mfaToken()
        for query in [
            Query<Int>("SELECT count(*) AS count FROM second_factors", column: "count"),
            Query<Int>("SELECT count(*) AS count FROM recovery_codes", column: "count"),
            Query<Int>("SELECT count(*) AS count FROM pending_sign_ins", column: "count"),
        ] {
            #expect(try await desk.database.first(query, as: .anonymous(in: desk.person.tenant)) == 0)
            #expect(try await desk.database.first(query, as: AccountStore.caller) ?? 0 > 0)
        }
    }

    @Test("setting up needs a person with a recent proof of identity: no stale session, no key, no client's token, no impersonator")
    func whoSetsUp() async throws {
        let desk = try await FactorDesk.open()
        let body: JSONValue = ["method": "totp"]
        #expect(try await desk.nobody.post("/api/v1/auth/mfa/setup", body).problem == "not-signed-in")
        #expect(try await desk.age().post("/api/v1/auth/mfa/setup", body).problem == "insufficient-user-authentication")
        let session = try #require(TokenParts.claims(desk.person.access)["sid"].string.flatMap { SessionID($0) })
        func token(impersonator: UserID? = nil, key: APIKeyID? = nil, client: ClientID? = nil, scope: String? = nil) async throws
            -> TestClient
        {
            desk.host.client(
                token: try await desk.stack.keys.sign(
                    AccessClaims(
                        user: desk.person.user, session: session, tenant: desk.person.tenant, roles: ["owner"], permissions: ["*"],
                        plan: "starter", amr: ["pwd"], issuedAt: Date(), lifetime: 900, impersonator: impersonator, apiKey: key,
                        client: client, scope: scope)))
        }
        for client in [
            try await token(impersonator: .make()), try await token(key: .make()), try await token(client: .make(), scope: "openid"),
        ] {
            for path in ["/api/v1/auth/mfa/setup", "/api/v1/auth/step-up/challenge"] {
                let answer = try await client.post(path, body)
                #expect(answer.status == 403 && answer.problem == "person-only", "\(path) \(answer.text)")
            }
        }
        #expect(try await token().post("/api/v1/auth/mfa/setup", body).status == 200)
    }

    @Test("an admin's reset takes everything: factors, recovery codes and sign-ins that wait")
    func reset() async throws {
        let desk = try await FactorDesk.open()
        var key = SoftwareAuthenticator()
        let codes = try await desk.addApp().answer["recoveryCodes"].array
        #expect(try await desk.addKey(&key).status == 200)
        let waiting = try await desk.mfaToken()
        let path = "/internal/v1/accounts/\(desk.person.user)/second-factors/reset"
        #expect(try await desk.signedIn.post(path).status == 403)
        #expect(try await desk.stack.program(.users, of: desk.host).post(path).status == 204)
        #expect(try await desk.verify(["mfaToken": waiting, "recoveryCode": codes[0]]).problem == "invalid-mfa-token")
        #expect(try await desk.logIn()["accessToken"].string != nil)
        #expect(try await desk.announced(MFADisabled.self).count == 2)
        let entries = try await desk.audit("auth.second-factor.reset")
        #expect(entries.map { $0["riskLevel"] } == ["high"])
        #expect(entries.first?["actor"] == "service:users")
        // Nothing to take is no failure.
        #expect(try await desk.stack.program(.users, of: desk.host).post(path).status == 204)
    }

    @Test("contradictory and missing fields are named")
    func validation() async throws {
        let desk = try await FactorDesk.open()
        _ = try await desk.addApp()
        let token = try await desk.mfaToken()
        let cases: [([String: JSONValue], String)] = [
            (["mfaToken": token, "method": "totp"], "/code"), (["mfaToken": token], "/method"),
            (["mfaToken": token, "method": "webauthn", "code": "123456"], "/credential"),
            (["mfaToken": token, "method": "totp", "code": "123456", "recoveryCode": "AAAA"], "/method"),
            (["mfaToken": token, "method": "fax", "code": "1"], "/method"), (["mfaToken": token, "method": "totp", "code": ""], "/code"),
            (["mfaToken": token, "credential": ["id": "AAAA", "type": "password"]], "/credential"),
        ]
        for (body, pointer) in cases {
            let answer = try await desk.verify(body)
            #expect(answer.status == 400 && answer.badFields == [pointer], "\(answer.text)")
        }
        #expect(try await desk.signedIn.post("/api/v1/auth/mfa/setup", ["method": "sms"]).badFields == ["/phone"])
        #expect(try await desk.signedIn.post("/api/v1/auth/mfa/setup", ["method": "sms", "phone": "123"]).badFields == ["/phone"])
    }

    @Test("what nobody finished is forgotten after a while, and what is still good stays")
    func housekeeping() async throws {
        let desk = try await FactorDesk.open()
        _ = try await desk.addApp()
        let waiting = try await desk.mfaToken(), old = try await desk.mfaToken()
        let digest = try #require(old.string.flatMap { MFAToken($0) }).digest
        _ = try await desk.signedIn.post("/api/v1/auth/mfa/setup", ["method": "webauthn"])
        let user = desk.person.user, long = Date().addingTimeInterval(-90_000)
        try await desk.database.execute(
            "UPDATE pending_sign_ins SET expires_at = \(long) WHERE digest = \(digest)", as: AccountStore.caller)
        try await desk.database.execute(
            "UPDATE second_factors SET created_at = \(long) WHERE account_id = \(user)", as: AccountStore.caller)
        let house = desk.host.host.foundations
        try await SecondFactorHousekeeping(database: house.database, now: { Date() }, logger: .silent, batch: 1).prune()
        let left = Query<Int>("SELECT count(*) AS count FROM second_factors WHERE account_id = \(user)", column: "count")
        #expect(try await desk.database.first(left, as: AccountStore.caller) == 1)
        let gone = Query<Int>("SELECT count(*) AS count FROM pending_sign_ins WHERE digest = \(digest)", column: "count")
        #expect(try await desk.database.first(gone, as: AccountStore.caller) == 0)
        #expect(try await desk.verify(["mfaToken": waiting, "recoveryCode": "AAAA-AAAA-AAAA-AAAA"]).problem == "wrong-code")
    }
}
