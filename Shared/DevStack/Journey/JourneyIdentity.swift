import Contracts
import Foundation

/// The steps of the journey that are about who somebody is and what they may do.
extension Journey {
    // MARK: - 1. A verified address

    func verifyAddress(of email: String, password: String) async throws {
        let letter = try await mail(to: email, called: "Confirm")
        let proof: JSONValue = ["token": .string(try Self.token(in: letter)), "password": .string(password)]
        let answer = try await gateway.post("/api/v1/auth/email/verify", proof)
        try expect(answer, 200, "verifying the address with the mail's link")
        finding("verified with the link of the mail \"\(letter["subject"].string ?? "")\"")
        let again = try await gateway.post("/api/v1/auth/email/verify", proof, quiet: true)
        try expect(again, 400, "using the link again")
    }

    // MARK: - 8. A colleague

    func beTwo(_ me: GatewayClient, _ record: Record, unique: String) async throws {
        headline("8. Invite a colleague, who registers with the link of the mail")
        let email = "mary.\(unique)@example.org"
        let invited = try await me.post(
            "/api/v1/organizations/\(record.organizationID)/invitations", ["email": .string(email), "role": "editor"])
        try expect(invited, 201, "inviting")
        let letter = try await mail(to: email, called: "Invitation to")
        finding("subject: \(letter["subject"].string ?? "")")
        let registered = try await gateway.post(
            "/api/v1/auth/register",
            [
                "email": .string(email), "password": .string("celestial mechanics \(unique)"), "firstName": "Mary",
                "lastName": "Somerville", "invitationToken": .string(try Self.token(in: letter)),
            ])
        try expect(registered, 201, "registering with the invitation")
        try require(registered["organization"]["id"].string == record.organizationID, "the colleague is in the same organization")
        let colleague = gateway.signedIn(registered["accessToken"].string ?? "")
        try expect(try await colleague.get("/api/v1/content/articles/\(record.articleID)"), 200, "the colleague reading the article")
        let people = try await me.get("/api/v1/users")
        try require(people["data"].array.contains { $0["email"].string == email }, "the colleague is among the people")
    }

    // MARK: - 9. A key for a program

    func useKey(_ me: GatewayClient, _ record: Record) async throws {
        headline("9. Make an API key that may read content, use it, revoke it")
        let made = try await me.post("/api/v1/auth/api-keys", ["name": "Reader", "scopes": ["content:read"]])
        try expect(made, 201, "making an API key")
        let key = [("x-api-key", made["key"].string ?? "")]
        try expect(try await gateway.get("/api/v1/content/articles/\(record.articleID)", headers: key), 200, "reading with the key")
        try expect(try await gateway.get("/api/v1/users", headers: key), 403, "reading with the key what it has no scope for")
        try expect(try await me.delete("/api/v1/auth/api-keys/\(made["id"].string ?? "")"), 204, "revoking the key")
        let gone = try await until("the key is worth nothing") {
            try await gateway.get("/api/v1/content/articles/\(record.articleID)", headers: key, quiet: true).status == 401
        }
        finding("refused \(gone.milliseconds) ms after it was revoked")
    }

    // MARK: - 10. The audit log

    func readAudit(_ me: GatewayClient) async throws {
        headline("10. The audit log has all of it, and its chain of hashes holds")
        let wanted = ["content.article.publish", "auth.api-key.create", "auth.api-key.revoke"]
        var actions: Set<String> = []
        // Entries come from the services by event.
        _ = try await until("the entries have arrived") {
            let page = try await me.get("/api/v1/audit-logs?limit=100", quiet: true)
            actions.formUnion(page["data"].array.compactMap { $0["action"].string })
            return actions.isSuperset(of: wanted)
        }
        let verdict = try await me.get("/api/v1/audit-logs/verify")
        try expect(verdict, 200, "verifying the audit log")
        try require(verdict["valid"].bool == true, "the audit log is as it was written")
        finding("\(verdict["entries"].int ?? 0) entries, none edited, removed or moved")
    }

    // MARK: - Mail

    /// The one mail to an address whose subject begins so, once it has come.
    func mail(to address: String, called subject: String) async throws -> JSONValue {
        let path = "/messages?to=\(address)"
        var found: [JSONValue] = []
        _ = try await until("a mail \"\(subject) …\" has arrived") {
            found = try await mail.get(path, quiet: true).json.array.filter { $0["subject"].string?.hasPrefix(subject) == true }
            return !found.isEmpty
        }
        _ = try await mail.get(path)
        try require(found.count == 1, "there is one mail \"\(subject) …\", not \(found.count)")
        return found[0]
    }

    /// The token of the link in a mail.
    private static func token(in letter: JSONValue) throws(Failed) -> String {
        guard let match = (letter["body"].string ?? "").firstMatch(of: /[?&]token=([^\s&]+)/),
            let token = String(match.1).removingPercentEncoding
        else { throw Failed(description: "there is no link with a token in the mail \"\(letter["subject"].string ?? "")\"") }
        return token
    }
}
