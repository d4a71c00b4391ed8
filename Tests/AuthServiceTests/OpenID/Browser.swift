import AsyncHTTPClient
import Contracts
import Foundation
import NIOCore
import NIOFoundationCompat
import NIOHTTP1
import Synchronization
import TestKit

/// A browser as far as a sign-in needs one: it keeps cookies, sends forms, and goes where it is told only when it is asked to.
final class Browser: Sendable {
    private let base: String
    private let jar = Mutex<[String: String]>([:])

    private static let http: HTTPClient = {
        var configuration = HTTPClient.Configuration()
        configuration.redirectConfiguration = .disallow
        configuration.tracing.tracer = nil
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }()

    init(_ host: TestHost) { base = host.url }

    var cookies: [String: String] { jar.withLock { $0 } }
    func forget(_ cookie: String) { jar.withLock { $0[cookie] = nil } }

    func get(_ path: String) async throws -> TestResponse { try await send(.GET, path, nil, [:]) }

    func post(_ path: String, _ form: [(String, String)], headers: [String: String] = [:]) async throws -> TestResponse {
        try await send(.POST, path, Self.encode(form), headers)
    }

    static func encode(_ form: [(String, String)]) -> String {
        let unreserved = CharacterSet(charactersIn: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
        func text(_ text: String) -> String { text.addingPercentEncoding(withAllowedCharacters: unreserved) ?? "" }
        return form.map { "\(text($0.0))=\(text($0.1))" }.joined(separator: "&")
    }

    private func send(_ method: HTTPMethod, _ path: String, _ body: String?, _ headers: [String: String]) async throws -> TestResponse {
        var request = HTTPClientRequest(url: base + path)
        request.method = method
        let cookies = self.cookies
        if !cookies.isEmpty {
            request.headers.add(name: "cookie", value: cookies.map { "\($0.key)=\($0.value)" }.joined(separator: "; "))
        }
        if let body {
            request.headers.add(name: "content-type", value: "application/x-www-form-urlencoded")
            request.body = .bytes(ByteBuffer(string: body))
        }
        for (name, value) in headers { request.headers.replaceOrAdd(name: name, value: value) }
        let response = try await Self.http.execute(request, timeout: .seconds(30))
        var buffer = try await response.body.collect(upTo: 4_000_000)
        for cookie in response.headers["set-cookie"] {
            let pair = cookie.split(separator: ";")[0].split(separator: "=", maxSplits: 1).map(String.init)
            let isGone = cookie.contains("Max-Age=0")
            jar.withLock { $0[pair[0]] = isGone || pair.count < 2 ? nil : pair[1] }
        }
        return TestResponse(
            status: Int(response.status.code), headers: response.headers, body: buffer.readData(length: buffer.readableBytes) ?? Data())
    }

    /// Follows redirects as long as they stay here; the last answer, or the one that leads away.
    func follow(_ response: TestResponse) async throws -> TestResponse {
        var response = response
        while response.status == 303, let location = response.header("location"), location.hasPrefix("/") {
            response = try await get(location)
        }
        return response
    }
}

extension TestResponse {
    /// The hidden field of a page's form.
    func hidden(_ name: String) -> String? {
        guard let start = text.range(of: "name=\"\(name)\" value=\"") else { return nil }
        let rest = text[start.upperBound...]
        return rest.firstIndex(of: "\"").map { String(rest[..<$0]).replacingOccurrences(of: "&amp;", with: "&") }
    }

    /// Where its form goes.
    var formAction: String? {
        guard let start = text.range(of: "<form method=\"post\" action=\"") else { return nil }
        let rest = text[start.upperBound...]
        return rest.firstIndex(of: "\"").map { String(rest[..<$0]) }
    }

    /// The parameters of the address that it leads to.
    var returned: [String: String] {
        guard let location = header("location"), let parts = URLComponents(string: location) else { return [:] }
        return Dictionary((parts.queryItems ?? []).map { ($0.name, $0.value ?? "") }, uniquingKeysWith: { $1 })
    }

    /// Where it leads, without the parameters.
    var returnAddress: String? { header("location")?.split(separator: "?").first.map(String.init) }
}
