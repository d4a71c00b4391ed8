import AsyncHTTPClient
import Contracts
import Foundation
import NIOCore
import NIOFoundationCompat
import NIOHTTP1
import NIOPosix
import ServiceKit

/// Requests to issuers: strangers, whose address a customer wrote down.
struct SSOTransport: Sendable {
    /// For one request, from the look-up of the name to the last byte.
    static let timeout = Duration.seconds(5)
    static let maximumAnswerBytes = 262_144

    let guarding: SSOAddressGuard

    struct Answer: Sendable {
        let status: Int
        let body: Data
    }

    func get(_ url: String, headers: [(String, String)] = []) async throws -> Answer {
        try await send(.GET, url, headers: headers, body: nil)
    }

    func post(_ url: String, form: [(String, String)], headers: [(String, String)] = []) async throws -> Answer {
        let body = form.map { "\(SSOQuery.encode($0.0))=\(SSOQuery.encode($0.1))" }.joined(separator: "&")
        return try await send(.POST, url, headers: headers + [("content-type", "application/x-www-form-urlencoded")], body: body)
    }

    /// No redirect is followed: where a secret goes, and whose keys are believed, is what the connection says and nothing else.
    private func send(_ method: HTTPMethod, _ url: String, headers: [(String, String)], body: String?) async throws -> Answer {
        let parts = try guarding.check(url)
        return try await within(Self.timeout) {
            let address = try await guarding.resolve(parts)
            var configuration = HTTPClient.Configuration()
            configuration.redirectConfiguration = .disallow
            configuration.dnsOverride = [parts.host ?? "": address]
            configuration.timeout.connect = .seconds(3)
            configuration.decompression = .disabled
            configuration.connectionPool.retryConnectionEstablishment = false
            configuration.tracing.tracer = nil
            let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
            let answer: Result<Answer, any Error>
            do {
                answer = .success(try await exchange(client, method, url, headers, body))
            } catch {
                answer = .failure(error)
            }
            try? await client.shutdown()
            return try answer.get()
        }
    }

    private func exchange(
        _ client: HTTPClient, _ method: HTTPMethod, _ url: String, _ headers: [(String, String)], _ body: String?
    ) async throws -> Answer {
        var request = HTTPClientRequest(url: url)
        request.method = method
        request.headers.add(name: "accept", value: "application/json")
        request.headers.add(name: "user-agent", value: "trionex")
        for (name, value) in headers { request.headers.replaceOrAdd(name: name, value: value) }
        if let body { request.body = .bytes(ByteBuffer(string: body)) }
        let response = try await client.execute(request, deadline: .now() + .seconds(5))
        var collected = try await response.body.collect(upTo: Self.maximumAnswerBytes)
        return Answer(
            status: Int(response.status.code), body: collected.readData(length: collected.readableBytes) ?? Data())
    }

    /// A stranger's slowness and a stranger's errors are one refusal; what exactly went wrong inside the network is not told.
    private func within<T: Sendable>(_ limit: Duration, _ work: @escaping @Sendable () async throws -> T) async throws -> T {
        do {
            return try await withThrowingTaskGroup(of: T.self) { group in
                group.addTask { try await work() }
                group.addTask {
                    try await Task.sleep(for: limit)
                    throw SSOFailure.issuerUnavailable
                }
                defer { group.cancelAll() }
                guard let first = try await group.next() else { throw SSOFailure.issuerUnavailable }
                return first
            }
        } catch let failure as SSOFailure {
            throw failure
        } catch is NIOTooManyBytesError {
            throw SSOFailure.badIssuerAnswer
        } catch {
            throw SSOFailure.issuerUnavailable
        }
    }
}

/// Text for query strings and forms: everything but the unreserved characters (RFC 3986) is escaped.
enum SSOQuery {
    private static let unreserved = CharacterSet(charactersIn: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

    static func encode(_ text: String) -> String { text.addingPercentEncoding(withAllowedCharacters: unreserved) ?? "" }

    static func adding(_ pairs: [(String, String)], to address: String) -> String {
        let query = pairs.map { "\(encode($0.0))=\(encode($0.1))" }.joined(separator: "&")
        return "\(address)\(address.contains("?") ? "&" : "?")\(query)"
    }
}
