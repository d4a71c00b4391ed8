import AsyncHTTPClient
import Contracts
import Foundation
import NIOCore
import NIOHTTP1

/// The organization that `make run` has ready for a first try.
package enum DemoOrganization {
    package static let email = "demo@example.org"
    package static let password = "lantern-harbour-42-demo"
    package static let name = "Demo"
    /// Who runs the platform: sees all organizations, suspends them, acts in them.
    package static let operatorEmail = "operator@example.org"
    package static let operatorPassword = "beacon-meadow-17-operator"

    private static let tries = 20
    private static let pause: Duration = .milliseconds(500)
    private static let askLimit: TimeAmount = .seconds(10)
    private static let answerLimit = 64 * 1024

    private struct Registration: Encodable {
        struct Organization: Encodable { let name: String }
        let email: String
        let password: String
        let firstName: String
        let organization: Organization
    }
    private struct SignIn: Encodable {
        let email: String
        let password: String
    }
    private struct Tokens: Decodable { let accessToken: String }
    /// The password is right, and a second factor is asked for.
    private struct AsksForMore: Error {}
    private struct Challenge: Decodable { let mfaRequired: Bool }

    /// Registers it, or signs in when it is there already. Returns an access token.
    ///
    /// Throws a `StackFailure` with the platform's own words when it refuses both.
    package static func token(from gateway: String) async throws -> String {
        try await token(
            from: gateway, Registration(email: email, password: password, firstName: "Demo", organization: .init(name: name)))
    }

    /// Registers the platform's administrator and proves the address with the mail that the sink has taken.
    package static func prepareOperator(_ gateway: String, mail: String) async throws {
        let registration = Registration(
            email: operatorEmail, password: operatorPassword, firstName: "Operator", organization: .init(name: "Operations"))
        do {
            _ = try await token(from: gateway, registration)
        } catch is AsksForMore {
            // An operator with a second factor has proven the address long ago.
            return
        }
        let sink = GatewayClient(base: mail), platform = GatewayClient(base: gateway)
        for _ in 0..<tries {
            let mails = try await sink.get("/messages?to=\(operatorEmail)").json.array
            for letter in mails.reversed() {
                guard let link = (letter["body"].string ?? "").firstMatch(of: /email\/verify\?token=([^\s&]+)/) else { continue }
                let answer = try await platform.post(
                    "/api/v1/auth/email/verify", ["token": .string(String(link.1)), "password": .string(operatorPassword)])
                // 400 at a later start: the link was used at the first.
                if answer.status == 200 || answer.status == 400 { return }
            }
            try await Task.sleep(for: pause)
        }
        throw StackFailure("The platform administrator's address could not be verified: no mail has come.")
    }

    private static func token(from gateway: String, _ registration: Registration) async throws -> String {
        var answer: (status: UInt, body: ByteBuffer) = (0, ByteBuffer())
        for _ in 0..<tries {
            answer = try await post(registration, to: gateway + "/api/v1/auth/register")
            if answer.status == 409 {
                answer = try await post(
                    SignIn(email: registration.email, password: registration.password), to: gateway + "/api/v1/auth/login")
            }
            // A neighbour may still be settling: 503 is worth another try.
            if answer.status < 500 { break }
            try await Task.sleep(for: pause)
        }
        let body = Data(answer.body.readableBytesView)
        if answer.status == 200, let challenge = try? JSONDecoder().decode(Challenge.self, from: body), challenge.mfaRequired {
            throw AsksForMore()
        }
        if answer.status == 429 {
            throw StackFailure(
                "\(registration.organization.name) is there (\(registration.email), \(registration.password)), but its sign-ins are used up for some minutes: each start is one."
            )
        }
        guard (200..<300).contains(answer.status), let tokens = try? JSONDecoder().decode(Tokens.self, from: body) else {
            throw StackFailure(
                "The organization \(registration.organization.name) could not be made: the gateway answered \(answer.status) \(String(buffer: answer.body))."
            )
        }
        return tokens.accessToken
    }

    private static func post(_ body: some Encodable, to url: String) async throws -> (status: UInt, body: ByteBuffer) {
        var request = HTTPClientRequest(url: url)
        request.method = .POST
        request.headers.add(name: "content-type", value: "application/json")
        request.body = .bytes(try JSONEncoder().encode(body))
        let response = try await HTTPClient.shared.execute(request, timeout: askLimit)
        return (response.status.code, try await response.body.collect(upTo: answerLimit))
    }
}
