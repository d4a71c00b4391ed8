import Contracts

/// Who may read next: a few answers at once, fewer for one organization, and those who wait take turns by organization.
///
/// A pure book: `AnswerTurns` does the waiting. One organization's dashboard therefore delays another's by at most one answer.
struct TurnBook: Sendable {
    struct Limits: Sendable {
        /// Answers being read at once by this program, and for one organization.
        var running = 3
        var runningPerTenant = 2
        /// Calls that may wait for each organization; one more is refused.
        var waitingPerTenant = 24
    }

    enum Arrival: Equatable { case go, wait, refused }

    private let limits: Limits
    private(set) var running: [TenantID: Int] = [:]
    private(set) var waiting: [TenantID: [Int]] = [:]
    /// Organizations with calls that wait, the next to be served first.
    private var rotation: [TenantID] = []

    init(_ limits: Limits) { self.limits = limits }

    private var total: Int { running.values.reduce(0, +) }

    private func mayRun(_ tenant: TenantID) -> Bool {
        total < limits.running && running[tenant, default: 0] < limits.runningPerTenant
    }

    /// A call comes; `ticket` names it from now on.
    mutating func arrive(_ ticket: Int, _ tenant: TenantID) -> Arrival {
        // Who comes now does not overtake those of the same organization.
        if waiting[tenant] == nil, mayRun(tenant) {
            running[tenant, default: 0] += 1
            return .go
        }
        guard waiting[tenant, default: []].count < limits.waitingPerTenant else { return .refused }
        if waiting[tenant] == nil { rotation.append(tenant) }
        waiting[tenant, default: []].append(ticket)
        return .wait
    }

    /// A call has its answer. Returns the tickets of those who go now.
    mutating func leave(_ tenant: TenantID) -> [Int] {
        running[tenant, default: 1] -= 1
        if running[tenant] == 0 { running[tenant] = nil }
        return admit()
    }

    /// A call that waited has gone away. False when it was let in already.
    mutating func giveUp(_ ticket: Int, _ tenant: TenantID) -> Bool {
        guard let place = waiting[tenant]?.firstIndex(of: ticket) else { return false }
        waiting[tenant]?.remove(at: place)
        forgetIfEmpty(tenant)
        return true
    }

    private mutating func admit() -> [Int] {
        var admitted: [Int] = []
        while let place = rotation.firstIndex(where: mayRun) {
            let tenant = rotation.remove(at: place)
            guard let ticket = waiting[tenant]?.removeFirst() else { continue }
            running[tenant, default: 0] += 1
            admitted.append(ticket)
            if waiting[tenant]?.isEmpty == true { waiting[tenant] = nil } else { rotation.append(tenant) }
        }
        return admitted
    }

    private mutating func forgetIfEmpty(_ tenant: TenantID) {
        guard waiting[tenant]?.isEmpty == true else { return }
        waiting[tenant] = nil
        rotation.removeAll { $0 == tenant }
    }
}

/// Why there is no answer.
enum AnswerFailure: String, Failure {
    case tooExpensive = "answer-too-expensive"
    case tooMany = "too-many-answers"
    case tooManyStreams = "too-many-streams"

    var kind: FailureKind {
        switch self {
        case .tooExpensive: .unprocessable
        case .tooMany: .limited(retryAfter: 2)
        case .tooManyStreams: .limited(retryAfter: 30)
        }
    }

    var detail: String? {
        switch self {
        case .tooExpensive:
            "Reading the rows took longer than an answer may. Ask for a shorter period, or with conditions that fewer rows meet."
        case .tooMany: "Too many answers of your organization are being worked out. Ask again when some of them are there."
        case .tooManyStreams: "Your organization has as many open streams as it may. Close one, or ask for the overview instead."
        }
    }
}
