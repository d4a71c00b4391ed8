import ServiceKit
import ServiceLifecycle

/// The audit log put together: what fills it, what signs it, what answers from it.
struct AuditLog {
    let endpoints: [Endpoints]
    let consumption = Consumption("audit-log", RecordAuditEntry())
    let workers: [any Service]

    /// Throws `AuditKeys.Unusable` when there is no key to sign with and none can be made.
    init(_ settings: AuditSettings, _ house: Foundations) throws {
        let sealing = try house.sealing()
        let keys =
            try settings.keys.flatMap { AuditKeys.read($0) } ?? AuditKeys.open(settings.keyDirectory, sealing: sealing, now: house.now())
        let signer = AuditSigner(database: house.database, keys: keys, logger: house.logger)
        endpoints = AuditRoutes(database: house.database, signer: signer, sealing: sealing, logger: house.logger).endpoints
        workers = [
            AuditCheckpoints(database: house.database, signer: signer, pause: settings.checkpointPause, logger: house.logger),
            AuditRetention(
                database: house.database, keys: keys, days: settings.retentionDays, now: house.now, logger: house.logger),
        ]
    }
}
