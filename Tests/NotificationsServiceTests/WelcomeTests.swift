import Contracts
import DevStack
import Foundation
import TestKit
import Testing

@testable import NotificationsService

@Suite("Somebody joins")
struct WelcomeTests {
    let tenant = TestTenant()

    private func created(_ email: String, firstName: String? = "Ada", user: UserID? = nil) -> UserCreated {
        UserCreated(userID: user ?? tenant.user.id, email: email, firstName: firstName, lastName: "Lovelace", role: "user")
    }

    @Test("They get one mail and one notification, however often the event is delivered")
    func once() async throws {
        let post = try await PostOffice.open()
        let address = PostOffice.address()
        let event = created(address)
        let id = EventID.make()
        for _ in 0..<3 { try await post.host.publish(event, for: tenant.id, eventID: id) }
        let mail = try #require(await post.mails(to: address).first)
        #expect(mail.from == "post@trionex.example")
        #expect(mail.subject == "Welcome to Trionex, Ada")
        #expect(mail.body.hasPrefix("Hello Ada,\n"))
        #expect(mail.date.hasSuffix("+0000"))
        // The same fact under other ids: told again after a rebuild of the producer.
        for _ in 0..<2 { try await post.host.publish(event, for: tenant.id) }
        let marker = PostOffice.address()
        try await post.host.publish(created(marker, user: tenant.viewer.id), for: tenant.id)
        _ = try await post.mails(to: marker)

        try await post.host.eventually("the mail is marked as sent") {
            try await post.deliveries(tenant, "?status=sent").count == 4
        }
        #expect(post.sink.messages(to: address).count == 1)
        let inbox = try await post.host.client(tenant.user).get("/api/v1/notifications")
        #expect(inbox["data"].array.count == 1)
        #expect(inbox["data"][0]["template"] == "welcome")
        #expect(inbox["data"][0]["subject"] == "Welcome to Trionex, Ada")
        #expect(inbox["data"][0]["readAt"].isNull)
        let told = try await post.host.outbox(tenant.id).filter { $0.type == NotificationDelivered.type }
        #expect(told.count { $0.payload["userID"].string == tenant.user.id.description } == 2)
        #expect(Set(told.compactMap { $0.payload["channel"].string }) == ["email", "inApp"])
        #expect(told.allSatisfy { !"\($0.payload)".contains(address) })
    }

    @Test("A person who joins two organizations is greeted in each, and each sees its own")
    func twoTenants() async throws {
        let post = try await PostOffice.open()
        let other = TestTenant()
        let (first, second) = (PostOffice.address(), PostOffice.address())
        let user = UserID.make()
        try await post.host.publish(created(first, user: user), for: tenant.id)
        try await post.host.publish(created(second, user: user), for: other.id)
        _ = try await post.mails(to: first)
        _ = try await post.mails(to: second)
        #expect(try await post.deliveries(tenant).compactMap { $0["recipient"].string }.contains(first))
        #expect(try await !post.deliveries(tenant).compactMap { $0["recipient"].string }.contains(second))
        #expect(try await post.deliveries(TestTenant()).isEmpty)
    }

    @Test("A name with line ends in it begins no header: the welcome goes out without the name")
    func headerInjection() async throws {
        let post = try await PostOffice.open()
        let (address, victim) = (PostOffice.address(), PostOffice.address())
        try await post.host.publish(created(address, firstName: "Ada\r\nBcc: \(victim)\r\n\r\nBuy this"), for: tenant.id)
        let mail = try #require(await post.mails(to: address).first)
        #expect(mail.subject == "Welcome to Trionex, and hello")
        #expect(mail.to == [address])
        #expect(post.sink.messages(to: victim).isEmpty)
    }

    @Test("A name in any script arrives as it was written, and markup in it stays text")
    func scripts() async throws {
        let post = try await PostOffice.open()
        let address = PostOffice.address()
        try await post.host.publish(created(address, firstName: "Zoë <b>Ёлка</b> 🎈"), for: tenant.id)
        let mail = try #require(await post.mails(to: address).first)
        #expect(mail.subject == "Welcome to Trionex, Zoë <b>Ёлка</b> 🎈")
        #expect(mail.body.contains("Hello Zoë <b>Ёлка</b> 🎈,"))
    }

    @Test("Where to reach people follows their profile, and ends with their membership")
    func contacts() async throws {
        let post = try await PostOffice.open()
        let (old, new) = (PostOffice.address(), PostOffice.address())
        let user = tenant.user.id
        try await post.host.publish(created(old), for: tenant.id)
        try await post.host.publish(
            UserUpdated(userID: user, email: new, firstName: "Ada", lastName: nil, role: "user", status: "active"), for: tenant.id)
        let client = try await post.host.client(tenant.owner)
        func send() async throws -> TestResponse {
            try await client.post(
                "/api/v1/notifications",
                ["to": ["userId": .string(user.description)], "subject": "News", "body": "Read this.", "channels": ["email"]])
        }
        try await post.host.eventually("the new address is known") {
            try await send()["deliveries"][0]["recipient"].string == new
        }
        _ = try await post.mails(to: new)
        try await post.host.publish(MemberRemoved(userID: user), for: tenant.id)
        try await post.host.eventually("the address is forgotten") { try await send().status == 400 }
        #expect(try await send().badFields == ["/to/email"])
    }
}
