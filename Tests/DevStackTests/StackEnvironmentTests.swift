import Contracts
import Foundation
import Testing

@testable import DevStack

@Suite("What programs of the stack are told")
struct StackEnvironmentTests {
    private func variables(
        of program: ServiceName, inherited: [String: String] = [:], _ change: (inout StackSettings) -> Void = { _ in }
    ) throws -> [String: String] {
        var settings = StackSettings(root: "/checkout", runDirectory: "/checkout/.run")
        change(&settings)
        let addresses = StackAddresses(
            database: "postgres://postgres:postgres@127.0.0.1:54329/trionex", redis: "redis://127.0.0.1:63799/0", kafka: "127.0.0.1:29092",
            smtp: "smtp://127.0.0.1:2525", mail: settings.smtpURL == nil ? "http://127.0.0.1:8025" : nil, admin: "http://127.0.0.1:9080",
            programs: [:], pid: 1)
        let environment = StackEnvironment(settings: settings, addresses: addresses, inherited: inherited)
        return environment.variables(for: try #require(StackProgram.all.first { $0.name == program }))
    }

    @Test("Every program has the key that seals and the address that people use")
    func shared() throws {
        for program in StackProgram.all {
            let told = try variables(of: program.name)
            #expect(told["TRIONEX_SEALING_KEY_FILE"] == "/checkout/.run/keys/sealing-key")
            #expect(told["TRIONEX_PUBLIC_URL"] == "http://127.0.0.1:8080")
        }
    }

    @Test("Short messages go to the mail sink, unless there is a provider or no sink")
    func shortMessages() throws {
        let told = try variables(of: .notifications)
        #expect(told["TRIONEX_SMS_URL"] == "http://127.0.0.1:8025")
        #expect(told["TRIONEX_SMS_TOKEN"] != nil && told["TRIONEX_SMS_ACCOUNT"] != nil && told["TRIONEX_SMS_FROM"] != nil)
        let own = try variables(of: .notifications, inherited: ["TRIONEX_SMS_URL": "https://sms.example.org"])
        #expect(own["TRIONEX_SMS_URL"] == "https://sms.example.org")
        #expect(own["TRIONEX_SMS_TOKEN"] == nil)
        #expect(try variables(of: .notifications) { $0.smtpURL = "smtp://mail.example.org" }["TRIONEX_SMS_URL"] == nil)
    }

    @Test("An administrator whose password anybody can read exists only where all servers are private")
    func administrator() throws {
        #expect(try variables(of: .users)["TRIONEX_USERS_SUPERADMINS"] == DemoOrganization.operatorEmail)
        #expect(try variables(of: .auth)["TRIONEX_USERS_SUPERADMINS"] == nil)
        #expect(try variables(of: .users) { $0.databaseURL = "postgres://a:b@db/trionex" }["TRIONEX_USERS_SUPERADMINS"] == nil)
        #expect(try variables(of: .users) { $0.smtpURL = "smtp://mail.example.org" }["TRIONEX_USERS_SUPERADMINS"] == nil)
        let own = try variables(of: .users, inherited: ["TRIONEX_USERS_SUPERADMINS": "me@example.org"])
        #expect(own["TRIONEX_USERS_SUPERADMINS"] == "me@example.org")
    }
}
