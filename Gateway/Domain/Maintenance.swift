import Contracts

/// Which services are closed for work on them, and what is said meanwhile.
struct Maintenance: Sendable, Equatable {
    static let standardMessage = "The platform is being worked on. Please try again shortly."
    static let standardRetryAfter = 120

    var isWhole = false
    var services: Set<ServiceName> = []
    /// Seconds, for `Retry-After`.
    var retryAfter = standardRetryAfter
    var message = standardMessage
    /// Who may pass all the same: those who do the work.
    var allowed = NetworkSet()

    /// Nothing is closed, as almost always.
    var isOff: Bool { !isWhole && services.isEmpty }

    func closes(_ service: ServiceName) -> Bool { isWhole || services.contains(service) }

    /// `client`: the address of the client, as text.
    func refuses(_ service: ServiceName, client: String) -> Bool { !isOff && closes(service) && !allowed.contains(client) }
}
