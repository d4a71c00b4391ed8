import AsyncHTTPClient
import Contracts
import Foundation
import HTTPTypes
import Hummingbird
import Logging
import Metrics
import NIOCore
import NIOHTTP1
import NIOPosix
import ServiceLifecycle
import Synchronization

/// Passes requests on to the services and their answers back, both as streams.
final class Forwarder: Service {
    /// Connections to one address; beyond this requests wait for one.
    static let connectionsPerAddress = 512
    /// Kept shorter than the services' own, so that not they but we end an idle connection.
    static let keepAlive: TimeAmount = .seconds(45)
    /// Before the only address of a service is tried again.
    static let retryPause: Duration = .milliseconds(100)

    struct Outgoing: Sendable {
        let method: HTTPRequest.Method
        /// Path and query as the client sent them.
        let target: String
        let headers: HTTPHeaders
        let body: Body
    }

    enum Body: Sendable {
        case none
        /// Small enough to hold, and so to send a second time.
        case bytes(ByteBuffer)
        case stream(RequestBody, length: Int?, limit: Int)
    }

    let client: HTTPClient
    private let settings: GatewaySettings.Upstream
    private let logger: Logger
    private let rotations: Mutex<[ServiceName: UpstreamRotation]>
    private let isShutDown = Mutex(false)

    init(addresses: [ServiceName: [String]], settings: GatewaySettings.Upstream, logger: Logger) {
        self.settings = settings
        self.logger = logger
        rotations = Mutex(addresses.mapValues(UpstreamRotation.init))
        var configuration = HTTPClient.Configuration()
        configuration.redirectConfiguration = .disallow
        configuration.decompression = .disabled
        configuration.httpVersion = .http1Only
        configuration.timeout.connect = .init(settings.connect)
        configuration.timeout.read = .init(settings.idle)
        configuration.connectionPool.idleTimeout = Self.keepAlive
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = Self.connectionsPerAddress
        configuration.connectionPool.retryConnectionEstablishment = false
        // The trace is passed on with the other headers, whether or not a tracer was there when this client was made.
        configuration.tracing.tracer = nil
        client = HTTPClient(eventLoopGroup: MultiThreadedEventLoopGroup.singleton, configuration: configuration)
    }

    /// The client insists on being shut down, also by a program that was put together and never run.
    deinit {
        if !isShutDown.withLock({ $0 }) { client.shutdown(queue: .global()) { _ in } }
    }

    func run() async throws {
        try? await gracefulShutdown()
        isShutDown.withLock { $0 = true }
        try await client.shutdown()
    }

    /// The service's answer, with its body still to come. Throws `GatewayFailure`.
    func forward(_ outgoing: Outgoing, to service: ServiceName) async throws -> Response {
        let candidates = rotations.withLock { $0[service]?.candidates(at: .now) ?? [] }
        guard let first = candidates.first else { throw GatewayFailure.away(service) }
        var pump: BodyPump?
        if case .stream(let body, _, let limit) = outgoing.body { pump = BodyPump(body, limit: limit) }
        do {
            do {
                return try await attempt(outgoing, first, service, pump)
            } catch let trouble as UpstreamTrouble where trouble.allowsRetry(outgoing, pump) {
                if candidates.count == 1 { try await Task.sleep(for: Self.retryPause) }
                return try await attempt(outgoing, candidates.count > 1 ? candidates[1] : first, service, pump)
            }
        } catch {
            await pump?.stop()
            // What the client did wrong (a body too large, an upload broken off) is not the service's fault.
            if let failure = pump?.relay.failure { throw failure }
            guard let trouble = error as? UpstreamTrouble else { throw error }
            logger.warning(
                "a service did not answer", metadata: ["upstream": "\(service)", "kind": "\(trouble.kind)", "reason": "\(trouble.reason)"])
            throw trouble.kind == .tooSlow ? GatewayFailure.slow(service) : GatewayFailure.away(service)
        }
    }

    private func attempt(_ outgoing: Outgoing, _ address: String, _ service: ServiceName, _ pump: BodyPump?) async throws -> Response {
        var request = HTTPClientRequest(url: address + outgoing.target)
        request.method = HTTPMethod(rawValue: outgoing.method.rawValue)
        request.headers = outgoing.headers
        switch outgoing.body {
        case .none: break
        case .bytes(let buffer): request.body = .bytes(buffer)
        case .stream(_, let length, _):
            if let pump { request.body = .stream(pump.relay, length: length.map { .known(Int64($0)) } ?? .unknown) }
        }
        do {
            let answer = try await execute(request, pump?.relay)
            rotations.withLock { $0[service]?.answered(address) }
            return response(answer, to: outgoing.method, pump)
        } catch {
            let trouble = UpstreamTrouble(error)
            if trouble.kind == .notConnected { rotations.withLock { $0[service]?.failed(address, at: .now) } }
            throw trouble
        }
    }

    /// The time for the first byte of the answer counts from the end of the request.
    private func execute(_ request: HTTPClientRequest, _ relay: BodyRelay?) async throws -> HTTPClientResponse {
        guard let relay else { return try await client.execute(request, deadline: .now() + .init(settings.firstByte)) }
        return try await withThrowingTaskGroup(of: HTTPClientResponse.self) { [client, settings] group in
            group.addTask { try await client.execute(request, deadline: .now() + .hours(24)) }
            group.addTask {
                try await relay.stalled(idle: settings.idle, answer: settings.firstByte)
                throw HTTPClientError.deadlineExceeded
            }
            defer { group.cancelAll() }
            guard let answer = try await group.next() else { throw HTTPClientError.cancelled }
            return answer
        }
    }

    private func response(_ answer: HTTPClientResponse, to method: HTTPRequest.Method, _ pump: BodyPump?) -> Response {
        var headers = ForwardedHeaders.response(answer.headers)
        // Answered before the whole body was there: what is left of it makes the connection useless for another request.
        if let pump, !pump.relay.hasEnded { headers[.connection] = "close" }
        // Without a length the end of a HEAD would be taken for a body.
        if method == .head, headers[.contentLength] == nil { headers[.connection] = "close" }
        let body = ResponseBody { writer in
            do {
                for try await chunk in answer.body { try await writer.write(chunk) }
                try await writer.finish(nil)
                await pump?.stop()
            } catch {
                await pump?.stop()
                throw error
            }
        }
        return Response(status: .init(code: Int(answer.status.code)), headers: headers, body: body)
    }
}

/// What went wrong on the way to a service.
struct UpstreamTrouble: Error {
    enum Kind: String { case notConnected, broken, tooSlow }
    let kind: Kind
    let reason: String

    init(_ error: any Error) {
        reason = "\(error)"
        switch error {
        case is NIOConnectionError: kind = .notConnected
        case let error as HTTPClientError where error == .connectTimeout: kind = .notConnected
        case let error as HTTPClientError
        where error == .deadlineExceeded || error == .readTimeout || error == .getConnectionFromPoolTimeout:
            kind = .tooSlow
        case let error as IOError where [ECONNREFUSED, EHOSTUNREACH, ENETUNREACH].contains(error.errnoCode): kind = .notConnected
        default: kind = .broken
        }
    }

    /// Whether a second attempt can do no harm: nothing was sent, or what was sent may be done twice.
    func allowsRetry(_ outgoing: Forwarder.Outgoing, _ pump: BodyPump?) -> Bool {
        switch kind {
        case .tooSlow: return false
        case .notConnected: return pump.map { !$0.relay.hasStarted && $0.relay.failure == nil } ?? true
        case .broken:
            // A write that was done and is asked again answers otherwise: 404 to a DELETE, 412 to what had an If-Match.
            let repeatable =
                [.get, .head, .options].contains(outgoing.method) || outgoing.method == .put && outgoing.headers["if-match"].isEmpty
            return pump == nil && repeatable
        }
    }
}

extension TimeAmount {
    init(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        self = .nanoseconds(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
    }
}
