import Foundation
package import ServiceKit

/// Settings of auth alone; README.md has them as a table.
package struct AuthSettings: ServiceSettings {
    let keyDirectory: String
    /// Nil: keys are rotated by `auth rotate-keys` alone.
    let keyRotation: TimeInterval?
    let apiKeyTokenLifetime: TimeInterval
    let accessLifetime: TimeInterval
    let refreshLifetime: TimeInterval
    let serviceTokenLifetime: TimeInterval
    let hashing: Argon2Cost
    let hashingThreads: Int
    let hashingQueue: Int
    let lockOut: LockOut
    /// For development: issuers over plain http and inside the network are let through.
    let allowsPrivateIssuers: Bool
    /// The age at which a pending registration is finished or removed by the worker.
    let completionAge: TimeInterval
    let sessionLife: SessionLife
    /// The risk from which a trusted device is trusted no longer: 0 to 1.
    let riskThreshold: Double
    let verificationLifetime: TimeInterval
    let resetLifetime: TimeInterval
    /// A file of known-bad passwords, one a line.
    let badPasswords: String?
    let registrationMode: RegistrationMode
    /// Who security keys are for, and whose pages may ask for them; nil and empty: what follows from the public address.
    let relyingPartyID: String?
    let relyingPartyName: String
    let relyingPartyOrigins: [String]
    let attestation: String
    /// Text messages of the whole platform in a day.
    let textsPerDay: Int

    package init(_ reader: inout SettingsReader) {
        keyDirectory = reader.text(
            "AUTH_KEY_DIRECTORY", default: ".run/auth-keys", "Directory of the signing keys; one is made there on the first start")
        let days = reader.integer(
            "AUTH_KEY_ROTATION_DAYS", default: 90, in: 0...3_650, "Age at which a new signing key is made; 0 for never")
        keyRotation = days == 0 ? nil : TimeInterval(days) * 86_400
        apiKeyTokenLifetime = TimeInterval(
            reader.integer("AUTH_API_KEY_TOKEN_SECONDS", default: 90, in: 30...120, "Life of the token that an API key is exchanged for"))
        accessLifetime = TimeInterval(
            reader.integer("AUTH_ACCESS_TOKEN_SECONDS", default: 900, in: 1...3_600, "Life of an access token"))
        refreshLifetime = TimeInterval(
            reader.integer("AUTH_REFRESH_TOKEN_SECONDS", default: 2_592_000, in: 1...31_536_000, "Life of a refresh token"))
        serviceTokenLifetime = TimeInterval(
            reader.integer("AUTH_SERVICE_TOKEN_SECONDS", default: 600, in: 120...3_600, "Life of a service token"))
        hashing = Argon2Cost(
            memoryKiB: reader.integer("AUTH_ARGON2_MEMORY_KIB", default: 19_456, in: 64...1_048_576, "Memory of one password hash"),
            passes: reader.integer("AUTH_ARGON2_PASSES", default: 2, in: 1...20, "Passes over that memory"),
            lanes: reader.integer("AUTH_ARGON2_LANES", default: 1, in: 1...8, "Lanes of one password hash"))
        hashingThreads = reader.integer("AUTH_HASHING_THREADS", default: 2, in: 1...64, "Passwords hashed at once")
        hashingQueue = reader.integer("AUTH_HASHING_QUEUE", default: 128, in: 1...10_000, "Passwords hashed and waiting, before 503")
        lockOut = LockOut(
            threshold: reader.integer("AUTH_LOCKOUT_FAILURES", default: 5, in: 2...100, "Failed sign-ins before the first lock"),
            first: TimeInterval(reader.integer("AUTH_LOCKOUT_FIRST_SECONDS", default: 30, in: 1...3_600, "Seconds of the first lock")),
            longest: TimeInterval(
                reader.integer("AUTH_LOCKOUT_LONGEST_SECONDS", default: 900, in: 1...86_400, "Seconds of the longest lock")),
            networkThreshold: reader.integer(
                "AUTH_LOCKOUT_NETWORK_FAILURES", default: 100, in: 5...1_000_000,
                "Failed sign-ins from one range of addresses before it is closed to accounts that never signed in there"))
        allowsPrivateIssuers = reader.flag(
            "AUTH_SSO_PRIVATE_ISSUERS", default: false, "For development: take issuers over http and inside the network")
        completionAge = TimeInterval(
            reader.integer("AUTH_COMPLETION_SECONDS", default: 30, in: 1...3_600, "Age of a registration cut short before it is finished"))
        let idle = reader.integer("AUTH_SESSION_IDLE_SECONDS", default: 1_209_600, in: 1...31_536_000, "Life of a session that is not used")
        let absolute = reader.integer("AUTH_SESSION_SECONDS", default: 7_776_000, in: 1...157_680_000, "Life of a session, however used")
        sessionLife = SessionLife(idle: min(TimeInterval(idle), refreshLifetime), absolute: TimeInterval(absolute))
        riskThreshold =
            Double(
                reader.integer(
                    "AUTH_RISK_PERCENT", default: 70, in: 1...100, "Risk of a sign-in from which a trusted device is asked again")) / 100
        verificationLifetime = TimeInterval(
            reader.integer("AUTH_VERIFICATION_SECONDS", default: 86_400, in: 60...604_800, "Life of a link that verifies an address"))
        resetLifetime = TimeInterval(
            reader.integer("AUTH_RESET_SECONDS", default: 1_800, in: 60...86_400, "Life of a link that resets a password"))
        badPasswords = reader.optionalText("AUTH_BAD_PASSWORDS", "A file of passwords that are known to attackers, one a line")
        let mode = reader.choice(
            "AUTH_REGISTRATION", default: "open", of: RegistrationMode.allCases.map(\.rawValue),
            "Whether a registration is answered at once (open), or when the mailbox is proven (confirmed)")
        registrationMode = RegistrationMode(rawValue: mode) ?? .open
        relyingPartyID = reader.optionalText("AUTH_WEBAUTHN_ID", "Host that security keys are for; else that of the public address")
        relyingPartyName = reader.text("AUTH_WEBAUTHN_NAME", default: "Trionex", "What authenticators call the platform")
        let origins = reader.optionalText(
            "AUTH_WEBAUTHN_ORIGINS", "Origins whose pages may ask for security keys, comma-separated; else the public address")
        relyingPartyOrigins = (origins ?? "").split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
        attestation = reader.choice(
            "AUTH_WEBAUTHN_ATTESTATION", default: "none", of: ["none", "indirect", "direct"],
            "Whether authenticators are asked for their certificate")
        textsPerDay = reader.integer(
            "AUTH_TEXTS_PER_DAY", default: 5_000, in: 1...10_000_000, "Text messages with codes in a day, on the whole platform")
    }
}
