import Contracts

/// When each service is asked for its document: once in an interval, and sooner while it does not answer at all.
struct DocumentSchedule {
    typealias Instant = ContinuousClock.Instant

    /// After which one that is away is asked again; doubled each time, up to the interval.
    static let shortestPause: Duration = .seconds(1)

    private struct Entry {
        let service: ServiceName
        var due: Instant
        /// Nil while it answers.
        var pause: Duration?
    }

    private let interval: Duration
    private var entries: [Entry]

    /// All are due at once.
    init(_ services: [ServiceName], interval: Duration, now: Instant) {
        self.interval = interval
        entries = services.map { Entry(service: $0, due: now) }
    }

    /// When the next is due.
    var next: Instant { entries.map(\.due).min() ?? .now + interval }

    func due(_ now: Instant) -> [ServiceName] { entries.filter { $0.due <= now }.map(\.service) }

    /// `there`: those of them that have answered, whatever they said.
    mutating func asked(_ services: [ServiceName], there: Set<ServiceName>, now: Instant) {
        for index in entries.indices where services.contains(entries[index].service) {
            let isThere = there.contains(entries[index].service)
            let pause = isThere ? nil : min(interval, entries[index].pause.map { $0 * 2 } ?? Self.shortestPause)
            entries[index].pause = pause
            entries[index].due = now + (pause ?? interval)
        }
    }
}
