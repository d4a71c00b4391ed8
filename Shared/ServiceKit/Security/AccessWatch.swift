import Contracts
import Foundation
import HTTPTypes
import Hummingbird
import Logging
import Messaging
import Metrics
import Postgres
import ServiceLifecycle
import Synchronization

/// Writes down who was refused, and who asked for another organization's objects. What a caller is answered is not changed by it, in
/// word or in time: a refusal is written before the answer, and whose an object is is only asked after it.
final class AccessWatch: Service, Sendable {
    struct Limits: Sendable {
        var refusals = RefusalBook.Limits()
        var attempts = RefusalBook.Limits()
        /// Objects that were not found and are still to be looked up; more are let go and counted.
        var queue = 1_000
        /// How long an answer waits for its entry.
        var wait: Duration = .seconds(1)
        /// How often windows are looked through.
        var pause: Duration = .seconds(5)
        /// How long a shutdown looks up what waits.
        var drain: Duration = .seconds(2)
    }

    /// What an entry says of a call.
    struct Call: Sendable {
        let caller: Caller
        /// `GET /api/v1/content/articles/{id}`.
        let endpoint: String
        /// The UUIDs in the path. Other parameters may be secrets, such as the token of an invitation.
        let objects: [String: UUID]
        let code: String
        let address: String?
        let userAgent: String?
        let requestID: String
    }

    private let service: ServiceName
    private let database: Database
    private let owned: [OwnedObjects]
    private let limits: Limits
    private let now: @Sendable () -> Date
    private let logger: Logger
    private let refusals: Mutex<RefusalBook>
    private let attempts: Mutex<RefusalBook>
    private let unknown: AsyncStream<Call>
    private let notFound: AsyncStream<Call>.Continuation
    private let attemptsSeen: Counter
    private let refusalsSeen: Counter
    private let notLookedUp: Counter

    init(
        service: ServiceName, database: Database, owned: [OwnedObjects], limits: Limits = Limits(), now: @escaping @Sendable () -> Date,
        logger: Logger
    ) {
        self.service = service
        self.database = database
        self.owned = owned
        self.limits = limits
        self.now = now
        self.logger = logger
        refusals = Mutex(RefusalBook(limits.refusals))
        attempts = Mutex(RefusalBook(limits.attempts))
        (unknown, notFound) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(limits.queue))
        let labels = [("service", service.rawValue)]
        attemptsSeen = Counter(label: "trionex_cross_tenant_attempts_total", dimensions: labels)
        refusalsSeen = Counter(label: "trionex_refused_access_total", dimensions: labels)
        notLookedUp = Counter(label: "trionex_cross_tenant_unchecked_total", dimensions: labels)
        // Shown before the first, so that an alarm sees the step from zero to one.
        for counter in [attemptsSeen, refusalsSeen, notLookedUp] { counter.increment(by: 0) }
    }

    // MARK: - From the router

    /// Looks at what a known caller is about to be answered. Never throws, and waits for `Limits.wait` at most.
    func saw(_ status: HTTPResponse.Status, _ call: Call) async {
        switch status {
        case .forbidden: await refused(call)
        case .notFound:
            guard !owned.isEmpty, !call.objects.isEmpty, Self.isOfAnOrganization(call.caller) else { return }
            if case .dropped = notFound.yield(call) { notLookedUp.increment() }
        default: return
        }
    }

    private static func isOfAnOrganization(_ caller: Caller) -> Bool {
        switch caller.principal {
        case .person, .apiKey, .client: true
        case .service, .anonymous: false
        }
    }

    private func refused(_ call: Call) async {
        refusalsSeen.increment()
        let decision = refusals.withLock { $0.decide(call.caller, at: now()) }
        guard decision == .write else { return }
        // A task of its own: the client may be gone by now, and was refused all the same.
        let writing = Task { try await write(entry(call), as: call.caller) }
        let alarm = Task {
            try await Task.sleep(for: limits.wait)
            writing.cancel()
        }
        defer { alarm.cancel() }
        if case .failure(let error) = await writing.result { notWritten(error) }
    }

    private func entry(_ call: Call) -> AuditEntryRecorded {
        var details: [String: JSONValue] = ["reason": .string(call.code)]
        for (name, id) in call.objects { details[name] = .string(id.uuidString.lowercased()) }
        return AuditEntryRecorded(
            action: "access.refused", resourceType: "endpoint", resourceID: call.endpoint, actor: call.caller.principalText,
            outcome: "refused", riskLevel: "medium", address: call.address, userAgent: call.userAgent, changed: details,
            requestID: call.requestID, impersonator: call.caller.impersonator, user: call.caller.user)
    }

    private func write(_ entry: AuditEntryRecorded, as caller: Caller) async throws {
        try await database.transaction(as: caller) { tx in try Outbox(tx).append(entry) }
    }

    private func notWritten(_ error: any Error) {
        logger.warning("a refusal could not be written down", metadata: ["reason": "\(FailureReason.text(error))"])
    }

    // MARK: - In the background

    func run() async throws {
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask { for await call in self.unknown { await self.lookUp(call) } }
            tasks.addTask { await self.closeWindows() }
            tasks.addTask {
                try? await gracefulShutdown()
                self.notFound.finish()
                // What waits is still looked up, for this long.
                try? await Task.sleep(for: self.limits.drain)
            }
            await tasks.next()
            tasks.cancelAll()
        }
        await writeSums(all: true)
    }

    private func lookUp(_ call: Call) async {
        let (ids, owned, tenant) = (Array(call.objects.values), owned, call.caller.tenant)
        do {
            let isForeign = try await database.platform(PlatformWork("cross-tenant attempts")) { tx in
                try OwnershipStore(tx: tx).belongsToAnother(ids, than: tenant, in: owned)
            }
            if isForeign { try await attempted(call) }
        } catch {
            notLookedUp.increment()
            logger.warning("an object that was not found could not be looked up", metadata: ["reason": "\(FailureReason.text(error))"])
        }
    }

    /// The entry stands in the platform's own log. In the caller's it would tell them what the 404 does not: that the object exists.
    private func attempted(_ call: Call) async throws {
        attemptsSeen.increment()
        logger.warning(
            "cross-tenant attempt",
            metadata: [
                "securityEvent": "cross-tenant-attempt", "userId": "\(call.caller.principalText)", "tenantId": "\(call.caller.tenant)",
                "action": "\(call.endpoint)", "requestId": "\(call.requestID)", "ip": "\(call.address?.prefix(64) ?? "")",
            ])
        guard attempts.withLock({ $0.decide(call.caller, at: now()) }) == .write else { return }
        var details: [String: JSONValue] = ["organization": .string(call.caller.tenant.description)]
        for (name, id) in call.objects { details[name] = .string(id.uuidString.lowercased()) }
        let entry = AuditEntryRecorded(
            action: "security.cross-tenant-attempt", resourceType: "endpoint", resourceID: call.endpoint,
            actor: call.caller.principalText, outcome: "refused", riskLevel: "high", address: call.address, userAgent: call.userAgent,
            changed: details, requestID: call.requestID, impersonator: call.caller.impersonator, user: call.caller.user)
        try await write(entry, as: .service(service, for: .platform))
    }

    private func closeWindows() async {
        while (try? await Task.sleep(for: limits.pause)) != nil { await writeSums(all: false) }
    }

    private func writeSums(all: Bool) async {
        let now = now()
        for sum in refusals.withLock({ $0.sums(at: now, all: all) }) {
            let entry = AuditEntryRecorded(
                action: "access.refused.more", resourceType: "endpoint", resourceID: nil, actor: sum.caller.principalText,
                outcome: "refused",
                riskLevel: "high", address: nil, userAgent: nil,
                changed: ["count": .integer(sum.count), "since": .string(Timestamp.text(sum.since))],
                impersonator: sum.caller.impersonator, user: sum.caller.user)
            do {
                try await write(entry, as: sum.caller)
            } catch {
                notWritten(error)
            }
        }
        _ = attempts.withLock { $0.sums(at: now, all: all) }
    }
}
