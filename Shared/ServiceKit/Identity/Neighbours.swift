package import AsyncHTTPClient
package import Contracts
package import Foundation
package import HTTPTypes
import Logging
import NIOCore
import NIOFoundationCompat
import NIOHTTP1
import Synchronization
import Tracing

/// Calls to other programs over `/internal/v1`, each with a short-lived service token, a time-out and the current trace.
package final class Neighbours: Sendable {
    static let timeout = TimeAmount.seconds(5)
    static let maximumAnswerBytes = 4_000_000
    /// Seconds before its end at which a service token is renewed.
    static let renewBefore = 60.0

    /// Where service tokens come from: auth signs its own, the others ask auth.
    package typealias TokenSource = @Sendable () async throws -> (token: String, expires: Date)

    private let addresses: [ServiceName: [String]]
    private let tokens: TokenSource
    private let now: @Sendable () -> Date
    private let token = Mutex<(token: String, expires: Date)?>(nil)
    private let turn = Mutex(0)

    package init(addresses: [ServiceName: [String]], tokens: @escaping TokenSource, now: @escaping @Sendable () -> Date = { Date() }) {
        self.addresses = addresses
        self.tokens = tokens
        self.now = now
    }

    /// Asks auth for service tokens with the shared secret.
    package static func tokensFromAuth(
        _ addresses: [ServiceName: [String]], service: ServiceName, secret: String?
    ) -> TokenSource {
        { [addresses] in
            guard let secret, let auth = addresses[.auth]?.first else {
                throw DependencyFailure("auth", reason: "TRIONEX_SERVICE_SECRET is not set")
            }
            var request = HTTPClientRequest(url: auth + "/internal/v1/service-token")
            request.method = .POST
            request.headers.add(name: "content-type", value: "application/json")
            request.body = .bytes(ByteBuffer(bytes: try JSON.encode(ServiceTokenRequest(service: service, secret: secret))))
            do {
                let response = try await InternalHTTP.client.execute(request, timeout: Neighbours.timeout)
                var body = try await response.body.collect(upTo: 65_536)
                guard response.status == .ok else { throw DependencyFailure("auth", reason: "service token: \(response.status.code)") }
                let grant = try JSON.decode(ServiceToken.self, from: body.readData(length: body.readableBytes) ?? .init())
                return (grant.token, grant.expiresAt)
            } catch let failure as DependencyFailure {
                throw failure
            } catch {
                throw DependencyFailure("auth", reason: "\(error)")
            }
        }
    }

    /// Calls another program and decodes its answer. Its refusals come back as `RemoteFailure`, trouble as `DependencyFailure`. `seconds`
    /// are for work that takes long.
    package func call<Answer: Decodable>(
        _ method: HTTPRequest.Method, _ service: ServiceName, _ path: String, body: (any Encodable & Sendable)? = nil, as type: Answer.Type,
        within seconds: Int64? = nil
    ) async throws -> Answer {
        let data = try await send(method, service, path, body: body, within: seconds.map(TimeAmount.seconds) ?? Self.timeout)
        do {
            return try JSON.decode(type, from: data)
        } catch {
            throw DependencyFailure(service.rawValue, reason: "an answer that cannot be read")
        }
    }

    package func call(_ method: HTTPRequest.Method, _ service: ServiceName, _ path: String, body: (any Encodable & Sendable)? = nil)
        async throws
    {
        _ = try await send(method, service, path, body: body, within: Self.timeout)
    }

    private func send(
        _ method: HTTPRequest.Method, _ service: ServiceName, _ path: String, body: (any Encodable & Sendable)?, within timeout: TimeAmount
    ) async throws -> Data {
        guard let bases = addresses[service], !bases.isEmpty else { throw DependencyFailure(service.rawValue, reason: "no address") }
        let index = turn.withLock { turn in
            turn = (turn + 1) % 1_000_000
            return turn
        }
        var request = HTTPClientRequest(url: bases[index % bases.count] + path)
        request.method = HTTPMethod(rawValue: method.rawValue)
        request.headers.add(name: "authorization", value: "Bearer \(try await serviceToken())")
        if let context = ServiceContext.current {
            InstrumentationSystem.instrument.inject(context, into: &request.headers, using: HTTPHeadersInjector())
        }
        if let body {
            request.headers.add(name: "content-type", value: "application/json")
            request.body = .bytes(ByteBuffer(bytes: try JSON.encode(body)))
        }
        do {
            let response = try await InternalHTTP.client.execute(request, timeout: timeout)
            var buffer = try await response.body.collect(upTo: Self.maximumAnswerBytes)
            let data = buffer.readData(length: buffer.readableBytes) ?? Data()
            if (200..<300).contains(response.status.code) { return data }
            throw RemoteFailure(service: service, status: Int(response.status.code), problem: try? JSON.decode(Problem.self, from: data))
        } catch let failure as RemoteFailure {
            guard failure.status < 500 else { throw DependencyFailure(service.rawValue, reason: "status \(failure.status)") }
            throw failure
        } catch {
            throw DependencyFailure(service.rawValue, reason: "\(error)")
        }
    }

    private func serviceToken() async throws -> String {
        if let held = token.withLock({ $0 }), held.expires.timeIntervalSince(now()) > Self.renewBefore { return held.token }
        let fresh = try await tokens()
        token.withLock { $0 = fresh }
        return fresh.token
    }
}

/// What a program shows auth: `POST /internal/v1/service-token`.
package struct ServiceTokenRequest: Codable, Sendable {
    package let service: ServiceName
    package let secret: String
    package init(service: ServiceName, secret: String) {
        self.service = service
        self.secret = secret
    }
}

package struct ServiceToken: View {
    package let token: String
    package let expiresAt: Date
    package init(token: String, expiresAt: Date) {
        self.token = token
        self.expiresAt = expiresAt
    }
}

/// A refusal that another program made, handed on as it was.
package struct RemoteFailure: Failure {
    package let service: ServiceName
    package let status: Int
    package let problem: Problem?

    package var code: String { problem.map { String($0.type.split(separator: "/").last ?? "refused") } ?? "refused" }
    package var detail: String? { problem?.detail }
    package var fields: [FieldError] { problem?.errors ?? [] }
    package var kind: FailureKind {
        switch status {
        case 401, 403: .unavailable(retryAfter: 5)
        case 404: .notFound
        case 409: .conflict
        case 422: .unprocessable
        case 429: .limited(retryAfter: 1)
        default: .invalid
        }
    }
}

struct HTTPHeadersInjector: Injector {
    func inject(_ value: String, forKey key: String, into carrier: inout HTTPHeaders) { carrier.replaceOrAdd(name: key, value: value) }
}

/// The client for calls inside the platform. A neighbour that is not there is said so at once: trying again is the caller's business.
package enum InternalHTTP {
    package static let client: HTTPClient = {
        var configuration = HTTPClient.Configuration()
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.timeout.connect = .seconds(2)
        // The trace is written by us, once: a second `traceparent` beside it would be no valid one. And the calls that export spans
        // must not make spans of their own.
        configuration.tracing.tracer = nil
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }()
}
