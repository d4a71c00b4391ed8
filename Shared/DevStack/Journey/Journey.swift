import Contracts
import Crypto
import Foundation

/// The journey that shows the whole product: nothing but HTTP through the gateway, each answer checked.
///
/// `make demo` plays it for people; the system test plays the same on the nine real programs.
package struct Journey: Sendable {
    /// What was made, so that a later look can tell whether it is still there.
    package struct Record: Codable, Sendable {
        package var email = ""
        package var password = ""
        package var articleID = ""
        package var articleTitle = ""
        package var conversationID = ""
        package var organizationID = ""
        package var events = 0
    }

    package struct Failed: Error, CustomStringConvertible {
        package let description: String
        package init(description: String) { self.description = description }
    }

    package static let eventBatches = 10
    package static let eventsPerBatch = 100
    package static let fileBytes = 20 * 1024 * 1024

    let gateway: GatewayClient
    let mail: GatewayClient
    /// Called with the headline of each step and with what was found out.
    let headline: @Sendable (String) -> Void
    let finding: @Sendable (String) -> Void

    package init(
        gateway: String, mail: String, report: @escaping @Sendable (Exchange) -> Void, headline: @escaping @Sendable (String) -> Void,
        finding: @escaping @Sendable (String) -> Void
    ) {
        self.gateway = GatewayClient(base: gateway, report: report)
        self.mail = GatewayClient(base: mail, report: report)
        self.headline = headline
        self.finding = finding
    }

    /// Steps 1 to 11. Throws `Failed` with a sentence at the first answer that is not as it should be.
    package func play() async throws -> Record {
        var record = Record()
        let unique = UUID().uuidString.lowercased().prefix(8)
        let me = try await becomeSomebody(&record, unique: String(unique))
        try await writeAndPublish(me, &record)
        try await find(me, record)
        try await measure(me, &record)
        try await receiveMail(me, record)
        try await keepFiles(me)
        try await ask(me, &record)
        try await beTwo(me, record, unique: String(unique))
        try await useKey(me, record)
        try await readAudit(me)
        try await beSomebodyElse(record, unique: String(unique))
        return record
    }

    /// Step 12, after a restart: all of it is still there.
    package func lookAgain(_ record: Record) async throws {
        headline("12. After stopping and starting again, all of it is still there")
        let answer = try await gateway.post("/api/v1/auth/login", ["email": .string(record.email), "password": .string(record.password)])
        try expect(answer, 200, "signing in after the restart")
        let me = gateway.signedIn(answer["accessToken"].string ?? "")
        let article = try await me.get("/api/v1/content/articles/\(record.articleID)")
        try expect(article, 200, "reading the article after the restart")
        try require(article["status"].string == "published", "the article is still published")
        let found = try await me.get("/api/v1/search?q=loom")
        try require(found["data"].array.contains { $0["id"].string == record.articleID }, "search still finds it")
        let overview = try await me.get("/api/v1/analytics/overview")
        try require(overview["totals"]["events"].int ?? 0 >= record.events, "analytics still counts \(record.events) events")
        let conversation = try await me.get("/api/v1/ai/conversations/\(record.conversationID)")
        try expect(conversation, 200, "reading the conversation after the restart")
        let inbox = try await me.get("/api/v1/notifications")
        try require(!inbox["data"].array.isEmpty, "the inbox still has the welcome")
    }

    // MARK: - 1. Identity

    private func becomeSomebody(_ record: inout Record, unique: String) async throws -> GatewayClient {
        headline("1. Register a person with a new organization; verify the address by mail; sign in; me; refresh")
        record.email = "ada.\(unique)@example.org"
        record.password = "weaving algebraic patterns \(unique)"
        let registered = try await gateway.post(
            "/api/v1/auth/register",
            [
                "email": .string(record.email), "password": .string(record.password), "firstName": "Ada", "lastName": "Lovelace",
                "organization": ["name": .string("Analytical Engines \(unique)")],
            ])
        try expect(registered, 201, "registering")
        record.organizationID = registered["organization"]["id"].string ?? ""
        try await verifyAddress(of: record.email, password: record.password)
        let login = try await gateway.post("/api/v1/auth/login", ["email": .string(record.email), "password": .string(record.password)])
        try expect(login, 200, "signing in")
        let who = try await gateway.signedIn(login["accessToken"].string ?? "").get("/api/v1/auth/me")
        try expect(who, 200, "asking who I am")
        try require(who["user"]["email"].string == record.email, "me is \(record.email)")
        try require(who["user"]["emailVerified"].bool == true, "the address is verified")
        let old = login["refreshToken"]
        let refreshed = try await gateway.post("/api/v1/auth/refresh", ["refreshToken": old])
        try expect(refreshed, 200, "refreshing")
        let replayed = try await gateway.post("/api/v1/auth/refresh", ["refreshToken": old])
        try expect(replayed, 401, "using the old refresh token again")
        finding("the old refresh token is worthless, and its reuse ended that session; the registration's own session goes on")
        return gateway.signedIn(registered["accessToken"].string ?? "")
    }

    // MARK: - 2. and 3. Content and search

    private func writeAndPublish(_ me: GatewayClient, _ record: inout Record) async throws {
        headline("2. Write an article with a script in it, change it, publish it")
        let html =
            "<p>The Analytical Engine weaves algebraic patterns just as the Jacquard loom weaves flowers and leaves.</p><script>alert(1)</script>"
        let created = try await me.post(
            "/api/v1/content/articles",
            ["title": "Notes on the Analytical Engine", "content": .string(html), "category": "history", "tags": ["engines", "weaving"]])
        try expect(created, 201, "writing the article")
        record.articleID = created["id"].string ?? ""
        try require(created["content"].string?.contains("<script") == false, "the script is gone from what is stored")
        record.articleTitle = "Notes on the Analytical Engine and the loom"
        let changed = try await me.put(
            "/api/v1/content/articles/\(record.articleID)",
            [
                "title": .string(record.articleTitle),
                "content": .string(html + "<p>It might compose elaborate music of any complexity.</p>"),
                "category": "history", "tags": ["engines", "weaving", "music"],
            ])
        try expect(changed, 200, "changing the article")
        try expect(try await me.post("/api/v1/content/articles/\(record.articleID)/publish"), 200, "publishing it")
    }

    private func find(_ me: GatewayClient, _ record: Record) async throws {
        headline("3. It is found within a second, with a snippet; unpublished it is gone")
        let path = "/api/v1/search?q=loom"
        let appeared = try await until("the article is found by search") {
            try await me.get(path, quiet: true)["data"].array.contains { $0["id"].string == record.articleID }
        }
        let found = try await me.get(path)
        try require(found["data"].array.first?["snippet"].string?.contains("loom") == true, "the snippet shows the word")
        finding("found after \(appeared.milliseconds) ms")
        try expect(try await me.post("/api/v1/content/articles/\(record.articleID)/unpublish"), 200, "unpublishing")
        let gone = try await until("the article is gone from search") { try await me.get(path, quiet: true)["data"].array.isEmpty }
        finding("gone after \(gone.milliseconds) ms")
        try expect(try await me.post("/api/v1/content/articles/\(record.articleID)/publish"), 200, "publishing it again")
    }

    // MARK: - 4. Analytics

    private func measure(_ me: GatewayClient, _ record: inout Record) async throws {
        headline("4. Analytics counts the registration, the publication and 1,000 events posted in batches")
        for batch in 0..<Self.eventBatches {
            let events = (0..<Self.eventsPerBatch).map { index -> JSONValue in
                [
                    "eventName": "report.opened", "eventCategory": "reports", "sessionId": .string("s-\(batch)"),
                    "eventProperties": ["number": .integer(batch * Self.eventsPerBatch + index)],
                ]
            }
            let answer = try await me.post("/api/v1/analytics/events", ["events": .array(events)], quiet: batch > 0)
            try expect(answer, 202, "posting \(Self.eventsPerBatch) events")
        }
        record.events = Self.eventBatches * Self.eventsPerBatch
        let expected = record.events
        _ = try await until("the overview counts everything") {
            let totals = try await me.get("/api/v1/analytics/overview", quiet: true)["totals"]
            return totals["events"].int ?? 0 >= expected && totals["registrations"].int ?? 0 >= 1 && totals["publications"].int ?? 0 >= 1
        }
        let totals = try await me.get("/api/v1/analytics/overview")["totals"]
        finding(
            "events \(totals["events"].int ?? 0), registrations \(totals["registrations"].int ?? 0), publications \(totals["publications"].int ?? 0)"
        )
    }

    // MARK: - 5. Notifications

    private func receiveMail(_ me: GatewayClient, _ record: Record) async throws {
        headline("5. A welcome mail has come by SMTP, and the inbox shows it too")
        let welcome = try await mail(to: record.email, called: "Welcome")
        finding("subject: \(welcome["subject"].string ?? "")")
        _ = try await until("the inbox shows the notification") {
            try await !me.get("/api/v1/notifications", quiet: true)["data"].array.isEmpty
        }
        _ = try await me.get("/api/v1/notifications")
    }

    // MARK: - 6. Files

    private func keepFiles(_ me: GatewayClient) async throws {
        headline("6. Upload 20 MB, list it, download a range and the whole, compare checksums, delete it")
        var generator = SplitMix(state: 42)
        let pieces = (0..<(Self.fileBytes / 65_536)).map { _ in generator.bytes(65_536) }
        var hash = SHA256()
        for piece in pieces { hash.update(data: piece) }
        let digest = hash.finalize().map { String(format: "%02x", $0) }.joined()
        let uploaded = try await me.upload("/api/v1/files", name: "engine.bin", pieces: pieces)
        try expect(uploaded, 201, "uploading")
        let id = uploaded["id"].string ?? ""
        try require(uploaded["sha256"].string == digest, "the service's checksum is ours")
        let listed = try await me.get("/api/v1/files")
        try require(listed["data"].array.contains { $0["id"].string == id }, "the file is listed")
        let range = try await me.get("/api/v1/files/\(id)/content", headers: [("range", "bytes=100000-199999")], quiet: true)
        try expect(range, 206, "asking for a range")
        let whole = pieces.prefix(4).reduce(Data(), +)
        try require(range.body == whole[100_000..<200_000], "the range has the right bytes")
        let content = try await me.get("/api/v1/files/\(id)/content", quiet: true)
        try expect(content, 200, "downloading")
        let returned = SHA256.hash(data: content.body).map { String(format: "%02x", $0) }.joined()
        try require(returned == digest, "what comes back has the same checksum")
        finding("sha256 \(digest.prefix(16))… both ways, \(content.body.count) bytes")
        try expect(try await me.delete("/api/v1/files/\(id)"), 204, "deleting")
        try expect(try await me.get("/api/v1/files/\(id)"), 404, "looking for it afterwards")
    }

    // MARK: - 7. Assistant

    private func ask(_ me: GatewayClient, _ record: inout Record) async throws {
        headline("7. Ask the assistant about the article: an answer with citations")
        let articleID = record.articleID
        let question: JSONValue = ["message": "What does the Analytical Engine weave?"]
        var answer = try await me.post("/api/v1/ai/chat", question)
        // The assistant learns of the article by event, as search does.
        if !answer["message"]["citations"].array.contains(where: { $0["id"].string == articleID }) {
            _ = try await until("the assistant has read the article") {
                answer = try await me.post("/api/v1/ai/chat", question, quiet: true)
                return answer["message"]["citations"].array.contains { $0["id"].string == articleID }
            }
        }
        try expect(answer, 200, "asking")
        finding("answer: \((answer["message"]["content"].string ?? "").prefix(200))")
        record.conversationID = answer["conversationId"].string ?? ""
        let id = record.conversationID
        let conversations = try await me.get("/api/v1/ai/conversations")
        try require(conversations["data"].array.contains { $0["id"].string == id }, "the conversation is listed")
    }

    // MARK: - 11. Isolation

    private func beSomebodyElse(_ record: Record, unique: String) async throws {
        headline("11. A second organization signs up and sees none of it")
        let registered = try await gateway.post(
            "/api/v1/auth/register",
            [
                "email": .string("charles.\(unique)@example.org"), "password": .string("difference engine number two \(unique)"),
                "organization": ["name": .string("Difference Engines \(unique)")],
            ])
        try expect(registered, 201, "registering a second organization")
        let other = gateway.signedIn(registered["accessToken"].string ?? "")
        try expect(try await other.get("/api/v1/content/articles/\(record.articleID)"), 404, "reading the other's article")
        try expect(try await other.delete("/api/v1/content/articles/\(record.articleID)"), 404, "deleting the other's article")
        try require(try await other.get("/api/v1/content/articles")["data"].array.isEmpty, "its list of articles is empty")
        try require(try await other.get("/api/v1/search?q=loom")["data"].array.isEmpty, "its search finds nothing")
        try require(try await other.get("/api/v1/analytics/overview")["totals"]["events"].int == 0, "its analytics count no event")
        try require(try await other.get("/api/v1/files")["data"].array.isEmpty, "it has no files")
        try expect(try await other.get("/api/v1/ai/conversations/\(record.conversationID)"), 404, "reading the other's conversation")
        let answer = try await other.post("/api/v1/ai/chat", ["message": "What does the Analytical Engine weave?"])
        try expect(answer, 200, "asking the assistant")
        try require(answer["message"]["citations"].array.isEmpty, "the assistant cites nothing to it")
        let people = try await other.get("/api/v1/users")
        try require(people["data"].array.allSatisfy { $0["email"].string != record.email }, "it does not see the other's people")
    }

    // MARK: - Checking

    func expect(_ exchange: Exchange, _ status: Int, _ what: String) throws(Failed) {
        guard exchange.status == status else {
            throw Failed(
                description: "\(what): \(exchange.method) \(exchange.path) answered \(exchange.status), not \(status): "
                    + String(decoding: exchange.body.prefix(500), as: UTF8.self))
        }
    }

    func require(_ condition: Bool, _ what: String) throws(Failed) {
        guard condition else { throw Failed(description: "this should be so, but is not: \(what)") }
    }

    /// Asks until it is so; gives up after 10 seconds. Returns how long it took.
    func until(_ what: String, _ condition: () async throws -> Bool) async throws -> Duration {
        let start = ContinuousClock.now
        while start.duration(to: .now) < .seconds(10) {
            if try await condition() { return start.duration(to: .now) }
            try await Task.sleep(for: .milliseconds(20))
        }
        throw Failed(description: "did not happen within 10 seconds: \(what)")
    }
}

extension Duration {
    package var milliseconds: Int64 { components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000 }
}

/// Pseudo-random bytes that are the same each time, so that checksums can be compared between runs.
struct SplitMix {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    mutating func bytes(_ count: Int) -> Data {
        var data = Data(capacity: count)
        while data.count < count { withUnsafeBytes(of: next()) { data.append(contentsOf: $0) } }
        return data
    }
}
