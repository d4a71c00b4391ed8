import Contracts
import Foundation
import NIOCore
import NIOHTTP1
import Testing

@testable import GatewayService
@testable import ServiceKit
@testable import TestKit

/// Which accounts a body counts for, against which one auth would take.
@Suite("Accounts of sign-ins")
struct SignInTests {
    private static let form = "application/x-www-form-urlencoded", json = "application/json"

    private func subjects(_ body: String, _ type: String?) -> [String] {
        SignIn.subjects(of: ByteBuffer(string: body), contentType: type, address: "192.0.2.1")
    }

    /// What these accounts count as.
    private func accounts(_ emails: String...) -> [String] {
        emails.map { SignIn.subjects(of: ByteBuffer(string: #"{"email":"\#($0)"}"#), contentType: Self.json, address: "192.0.2.1")[0] }
    }

    private struct Fields: Decodable {
        let email: String
        let z: String?
    }

    private struct OpenForm: Decodable, OpenFields { let email: String }

    @Test(
        "JSON counts for the account that auth's decoder finds, and not for what would stand there in a form",
        arguments: [
            #"{"email":"a@x.org"}"#, #"{"email":"a@x.org","z":"&email=b%40x.org&"}"#, #"{"\u0065mail":"a@x.org"}"#,
            #"{"email":"a@x.org","email":"b@x.org"}"#, #"{"email":"b@x.org","\u0065mail":"a@x.org"}"#, #"  {"email" : " A@X.org "}"#,
            "\u{feff}{\"email\":\"a@x.org\"}", #"{"Email":"b@x.org","email":"a@x.org"}"#,
        ])
    func json(body: String) throws {
        guard let taken = try? FieldDecoder.decode(Fields.self, from: Data(body.utf8)).email else { return }
        for type in [Self.json, "Application/JSON; charset=utf-8", ";application/json", "application/scim+json"] {
            #expect(subjects(body, type) == accounts(taken), "\(type)")
        }
    }

    @Test(
        "A form counts for the account that auth's reader finds, however its name is written, and not for what would stand there in JSON",
        arguments: [
            "email=b%40x.org&password=guess", "password=guess&%65mail=b%40x.org", "%65%6D%61%69%6C=%62@x.org", "a&email=+b%40x.org+&c=",
            "e%6dail=B@X.org", #"{"email":"r17@x.y","z":"&email=b%40x.org&password=guess"}"#, "email=b%40x.org=",
        ])
    func form(body: String) throws {
        let pairs = try #require(FormText.pairs(body))
        let taken = try FieldDecoder.decode(OpenForm.self, query: pairs, schema: SchemaProbe.named(OpenForm.self).schema).email
        for type in [Self.form, "Application/X-WWW-Form-Urlencoded;charset=utf-8", " \(Self.form) "] {
            #expect(subjects(body, type) == accounts(taken), "\(type)")
        }
    }

    @Test("A field that is there twice, which auth refuses, counts for the first account and the last")
    func repeated() throws {
        let body = "email=a%40x.org&email=b%40x.org&%65mail=c%40x.org"
        #expect(throws: ValidationFailure.self) {
            try FieldDecoder.decode(
                OpenForm.self, query: try #require(FormText.pairs(body)), schema: SchemaProbe.named(OpenForm.self).schema)
        }
        #expect(subjects(body, Self.form) == accounts("a@x.org", "c@x.org"))
        #expect(subjects("email=a%40x.org&email=A%40x.org", Self.form) == accounts("a@x.org"))
    }

    @Test("Of another type, of none and of two, a body counts for every account that it may mean")
    func doubt() {
        let both = #"{"email":"a@x.org","z":"&email=b%40x.org&"}"#
        for type in [nil, "", "text/plain", "multipart/form-data", "application/json,\(Self.form)", "\(Self.form),\(Self.json)", "x/json"] {
            #expect(subjects(both, type) == accounts("a@x.org", "b@x.org"), "\(type ?? "none")")
            #expect(subjects(#"{"email":"a@x.org"}"#, type) == accounts("a@x.org"))
            #expect(subjects("email=b%40x.org", type) == accounts("b@x.org"))
        }
    }

    @Test(
        "Where no account is named the address alone counts",
        arguments: ["", "{}", "nonsense", "email", "email=%zz", #"{"email":1}"#, "[]"])
    func none(body: String) {
        for type in [Self.json, Self.form, nil] { #expect(subjects(body, type) == accounts(""), "\(type ?? "none")") }
    }

    @Test("At the door a form that looks like JSON counts for the account that auth signs in to")
    func door() async throws {
        try await Town.with(["TRIONEX_LIMIT_SIGN_IN": "3"]) { town in
            let client = try await town.client()
            func guess(_ body: String, _ type: String = Self.form) async throws -> Int {
                try await client.send(.POST, "/oauth2/sign-in", bytes: Data(body.utf8), headers: ["content-type": type]).status
            }
            func disguised(_ number: Int) -> String { #"{"email":"r\#(number)@x.y","z":"&email=victim%40x.org&password=guess"}"# }
            for number in 0..<3 { #expect(try await guess(disguised(number)) == 200) }
            #expect(try await guess(disguised(3)) == 429)
            #expect(try await guess("%65mail=victim%40x.org&password=guess") == 429)
            #expect(try await guess("email=other%40x.org&password=guess") == 200)
            // Auth does not read this at all, but who knows.
            #expect(try await guess(disguised(4), "text/plain") == 429)
        }
    }
}
