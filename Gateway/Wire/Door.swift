import Contracts
import Foundation
import Logging
import ServiceKit

/// What all event loops share: clients of other programs, and what was read from settings. Every part is safe to use from anywhere.
final class Door: Sendable {
    let settings: GatewaySettings
    let times: DoorTimes
    let verifier: TokenVerifier
    let revocations: Revocations
    /// Nil where this program cannot ask auth, having no service secret; then the services exchange keys themselves.
    let apiKeys: APIKeys?
    let guesses: LimitGuesses
    /// Nil where this program cannot ask users.
    let agreement: TenantAgreement?
    let routing: RoutingState
    let groups: UpstreamGroups
    let limits: LimitBook
    /// Nil: every request goes to its service.
    let cache: ResponseCache?
    let pages: OwnPages
    let log: AccessLog
    let metrics: GatewayMetrics
    /// Bytes of a request's head.
    let maximumHeader: Int
    let logger: Logger

    init(
        settings: GatewaySettings, verifier: TokenVerifier, revocations: Revocations, apiKeys: APIKeys?, guesses: LimitGuesses,
        agreement: TenantAgreement?, routing: RoutingState, groups: UpstreamGroups, limits: LimitBook, cache: ResponseCache?,
        pages: OwnPages, log: AccessLog, metrics: GatewayMetrics, maximumHeader: Int, logger: Logger
    ) {
        self.settings = settings
        times = DoorTimes(settings)
        self.verifier = verifier
        self.revocations = revocations
        self.apiKeys = apiKeys
        self.guesses = guesses
        self.agreement = agreement
        self.routing = routing
        self.groups = groups
        self.limits = limits
        self.cache = cache
        self.pages = pages
        self.log = log
        self.metrics = metrics
        self.maximumHeader = maximumHeader
        self.logger = logger
    }
}

/// How long a client may take, in nanoseconds.
struct DoorTimes: Sendable {
    /// For a whole head, from its first byte.
    let head: UInt64
    /// Between two pieces of a body.
    let bodyIdle: UInt64
    /// Between two requests.
    let keepAlive: UInt64
    /// For what the gateway must ask before it passes a request on.
    let deciding = 10 * Monotonic.second

    init(_ settings: GatewaySettings) {
        head = UInt64(settings.client.headSeconds) * Monotonic.second
        bodyIdle = UInt64(settings.client.bodySeconds) * Monotonic.second
        keepAlive = UInt64(settings.client.keepAliveSeconds) * Monotonic.second
    }
}
