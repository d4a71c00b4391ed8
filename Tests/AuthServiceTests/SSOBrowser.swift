import AsyncHTTPClient
import Contracts
import Foundation
import NIOCore
import NIOFoundationCompat
import NIOHTTP1
import ServiceKit
import Synchronization
import TestKit

/// A browser as far as signing in needs one: keeps cookies by their path, and goes from page to page one step at a time.
final class SSOBrowser: Sendable {
    /// Where the tests' platform says that it is reached; the browser finds it at `host`.
    static let publicURL = "https://app.example.test"

    private let host: String
    private let cookies = Mutex<[String: (value: String, path: String)]>([:])

    private static let http: HTTPClient = {
        var configuration = HTTPClient.Configuration()
        configuration.redirectConfiguration = .disallow
        configuration.tracing.tracer = nil
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }()

    init(_ host: TestHost) { self.host = host.url }

    /// Goes to an address and stays there, whatever it answers.
    func go(_ address: String) async throws -> SSOPage {
        let isOurs = address.hasPrefix(Self.publicURL)
        var request = HTTPClientRequest(url: isOurs ? host + address.dropFirst(Self.publicURL.count) : address)
        if isOurs {
            let path = URLComponents(string: address)?.path ?? ""
            let sent = cookies.withLock { $0.filter { path.hasPrefix($0.value.path) }.map { "\($0.key)=\($0.value.value)" } }
            if !sent.isEmpty { request.headers.add(name: "cookie", value: sent.joined(separator: "; ")) }
        }
        let response = try await Self.http.execute(request, timeout: .seconds(30))
        var body = try await response.body.collect(upTo: 4_000_000)
        if isOurs { keep(response.headers["set-cookie"]) }
        return SSOPage(
            status: Int(response.status.code), headers: response.headers, text: body.readString(length: body.readableBytes) ?? "")
    }

    /// Takes what an answer to somebody else's request in this browser would have left.
    func keep(_ texts: [String]) {
        for text in texts {
            let parts = text.split(separator: ";").map { $0.trimmingCharacters(in: .whitespaces) }
            let pair = parts[0].split(separator: "=", maxSplits: 1).map(String.init)
            let path = parts.first { $0.lowercased().hasPrefix("path=") }.map { String($0.dropFirst(5)) } ?? "/"
            cookies.withLock { cookies in
                if parts.contains("Max-Age=0") { cookies[pair[0]] = nil } else { cookies[pair[0]] = (pair.count > 1 ? pair[1] : "", path) }
            }
        }
    }

    var held: [String: String] { cookies.withLock { $0.mapValues(\.value) } }
    var cookieCount: Int { cookies.withLock { $0.count } }

    /// Begins at our door and follows to the issuer, whose answer is an address of ours: not gone to yet.
    func answer(from start: String) async throws -> String {
        let first = try await go(start)
        guard first.status == 303, let issuer = first.header("location") else { throw Unexpected(answer: "\(first.status) \(first.text)") }
        let second = try await go(issuer)
        guard second.status == 302, let back = second.header("location") else {
            throw Unexpected(answer: "\(second.status) \(second.text)")
        }
        return back
    }

    /// The whole way. What `returnTo` is sent: `code`, or `error`.
    func signIn(_ start: String) async throws -> SSOEnd {
        let end = try await go(try await answer(from: start))
        guard end.status == 303, let location = end.header("location") else { throw Unexpected(answer: "\(end.status) \(end.text)") }
        return SSOEnd(location)
    }
}

struct SSOPage: Sendable {
    let status: Int
    let headers: HTTPHeaders
    let text: String

    func header(_ name: String) -> String? { headers.first(name: name) }
}

/// Where the browser is at the end.
struct SSOEnd: Sendable {
    let location: String
    let code: String?
    let error: String?

    init(_ location: String) {
        self.location = location
        let items = URLComponents(string: location)?.queryItems ?? []
        code = items.first { $0.name == "code" }?.value
        error = items.first { $0.name == "error" }?.value
    }
}

extension SSOBrowser {
    /// The cookies as `Set-Cookie` would say them, for another path: what a browser that mixes things up would send.
    func texts(path: String) -> [String] { held.map { "\($0.key)=\($0.value); Path=\(path)" } }
}
