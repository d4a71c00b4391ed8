import ServiceKit

/// The settings of the audit log (README.md lists them).
struct AuditSettings: Sendable {
    let keyDirectory: String
    /// Keys from a secret, instead of the directory.
    let keys: String?
    let checkpointPause: Duration
    let retentionDays: Int

    init(_ reader: inout SettingsReader) {
        keyDirectory = reader.text(
            "USERS_AUDIT_KEY_DIRECTORY", default: ".run/audit-keys",
            "Directory of the keys that sign the audit log, the same for all replicas; one is made there on the first start")
        keys = reader.optionalText(
            "USERS_AUDIT_KEY",
            "Keys that sign the audit log, instead of a directory: each the base64 of 32 bytes, comma-separated; the last signs")
        if let keys, AuditKeys.read(keys) == nil {
            reader.refuse(
                "TRIONEX_USERS_AUDIT_KEY must be the base64 of exactly 32 bytes, or several, comma-separated (openssl rand -base64 32)")
        }
        checkpointPause = .seconds(
            reader.integer("USERS_AUDIT_CHECKPOINT_SECONDS", default: 10, in: 1...3_600, "Seconds between two checkpoints of an audit log"))
        retentionDays = reader.integer(
            "USERS_AUDIT_RETENTION_DAYS", default: 2_557, in: 366...36_525, "Days for which audit entries are kept")
    }
}
