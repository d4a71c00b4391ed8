import Contracts
import Foundation
import Testing

@testable import UsersService

@Suite struct DomainTests {
    private let now = Date(timeIntervalSince1970: 1_768_473_000)

    private func person(_ role: BuiltInRole, _ status: PersonStatus = .active) throws -> Person {
        Person(
            new: .make(), email: try EmailAddress("ada@example.org"), profile: Profile(), role: GrantedRole(role), status: status,
            gdprConsent: true,
            at: now)
    }

    private func actor(_ role: BuiltInRole) throws -> Actor {
        try Actor(Caller(.person(.make()), tenant: .make()), now: try person(role), needing: "users:write")
    }

    @Test(
        "slugs that are tried for a name fit, differ, and begin as the name does",
        arguments: [
            ("Analytical Engines", "analytical-engines"), ("Ärger & Söhne", "arger-sohne"), ("日本", "organization"), ("API", "api-"),
            (String(repeating: "Very Long Name ", count: 17), "very-long-name-"),
        ])
    func slugs(_ name: String, _ beginning: String) throws {
        let candidates = OrganizationSlug.candidates(for: try Name(name), id: .make())
        #expect(candidates.count >= 2)
        #expect(Set(candidates).count == candidates.count)
        for slug in candidates {
            #expect(slug.rawValue.hasPrefix(beginning))
            #expect(OrganizationSlug(rawValue: slug.rawValue) != nil)
        }
    }

    @Test("a caller has the rights of their row, whatever the token says")
    func rightsNow() throws {
        let caller = Caller(.person(.make()), tenant: .make(), roles: ["owner"], permissions: ["*"])
        for refused in [try person(.owner, .suspended), try person(.owner, .invited), try person(.editor)] {
            #expect(throws: AccessFailure.missingPermission("users:write")) { try Actor(caller, now: refused, needing: "users:write") }
        }
        #expect(throws: AccessFailure.self) { try Actor(caller, now: nil, needing: nil) }
        #expect(try Actor(caller, now: try person(.admin), needing: "users:write").isOwner == false)
        #expect(try Actor(caller, now: try person(.owner), needing: "users:write").isOwner)
        #expect(try Actor(caller, now: try person(.viewer), needing: nil).isOwner == false)
        // Who runs the platform has no rights in an organization but those of a member.
        let superadmin = Caller(.person(.make()), tenant: .make(), roles: ["superadmin"], permissions: ["*"])
        #expect(throws: AccessFailure.self) { try Actor(superadmin, now: nil, needing: "users:write") }
        // A key has no more than it was given, nor more than its owner.
        let key = Caller(.apiKey(.make(), owner: .make()), tenant: .make(), permissions: ["users:*"])
        #expect(try Actor(key, now: try person(.admin), needing: "users:write").rights.allows("content:read") == false)
        #expect(throws: AccessFailure.self) { try Actor(key, now: try person(.viewer), needing: "users:write") }
    }

    @Test("only an owner makes, changes or removes an owner")
    func owners() throws {
        var editor = try person(.editor), owner = try person(.owner)
        #expect(throws: MemberFailure.ownersOnly) {
            try editor.change(profile: editor.profile, role: .owner, status: .active, by: try actor(.admin), otherOwners: 1, at: now)
        }
        #expect(throws: MemberFailure.ownersOnly) {
            try owner.change(
                profile: owner.profile, role: GrantedRole(.viewer), status: .active, by: try actor(.admin), otherOwners: 1, at: now)
        }
        #expect(throws: MemberFailure.ownersOnly) { try owner.remove(by: try actor(.admin), otherOwners: 1) }
        let events = try editor.change(
            profile: editor.profile, role: .owner, status: .active, by: try actor(.owner), otherOwners: 1, at: now)
        #expect(events.events.count == 2)
    }

    @Test("an organization always has an active owner")
    func lastOwner() throws {
        var owner = try person(.owner)
        #expect(throws: MemberFailure.lastOwner) { try owner.remove(by: try actor(.owner), otherOwners: 0) }
        #expect(throws: MemberFailure.lastOwner) {
            try owner.change(profile: owner.profile, role: .owner, status: .suspended, by: try actor(.owner), otherOwners: 0, at: now)
        }
        // A suspended owner is none that counts.
        let suspended = try person(.owner, .suspended)
        #expect(throws: Never.self) { try suspended.remove(by: try actor(.owner), otherOwners: 0) }
    }

    @Test("an owner's profile can be changed by whoever may change profiles")
    func profileOfOwner() throws {
        var owner = try person(.owner)
        var profile = owner.profile
        profile.jobTitle = try Name("Countess")
        let events = try owner.change(profile: profile, role: .owner, status: .active, by: try actor(.admin), otherOwners: 0, at: now)
        #expect(events.events.map { type(of: $0).name } == ["user.updated"])
        #expect(owner.version == 2)
    }

    @Test(
        "telephone numbers",
        arguments: [("+49 30 123456", true), ("(030) 12-34", true), ("12", false), ("+", false), ("1+2 333", false), ("call", false)])
    func phones(_ text: String, _ isGood: Bool) { #expect((PhoneNumber(rawValue: text) != nil) == isGood) }

    @Test(
        "language tags",
        arguments: [("en", true), ("pt-BR", true), ("zh-Hant", true), ("e", false), ("english", false), ("en_US", false), ("12", false)])
    func languages(_ text: String, _ isGood: Bool) { #expect((LanguageTag(rawValue: text) != nil) == isGood) }

    @Test(
        "time zones", arguments: [("UTC", true), ("Europe/Berlin", true), ("Mars/Olympus", false), ("", false), ("../etc/passwd", false)])
    func timezones(_ text: String, _ isGood: Bool) { #expect((TimeZoneName(rawValue: text) != nil) == isGood) }
}
