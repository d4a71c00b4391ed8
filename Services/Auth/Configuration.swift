import Foundation
package import ServiceKit

/// Settings of auth alone; README.md has them as a table.
package struct AuthSettings: ServiceSettings {
    let keyDirectory: String
    let accessLifetime: TimeInterval
    let refreshLifetime: TimeInterval
    let serviceTokenLifetime: TimeInterval
    let hashing: Argon2Cost
    let hashingThreads: Int
    let hashingQueue: Int
    let lockOut: LockOut
    /// The age at which a pending registration is finished or removed by the worker.
    let completionAge: TimeInterval

    package init(_ reader: inout SettingsReader) {
        keyDirectory = reader.text(
            "AUTH_KEY_DIRECTORY", default: ".run/auth-keys", "Directory of the signing keys; one is made there on the first start")
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
                reader.integer("AUTH_LOCKOUT_LONGEST_SECONDS", default: 900, in: 1...86_400, "Seconds of the longest lock")))
        completionAge = TimeInterval(
            reader.integer("AUTH_COMPLETION_SECONDS", default: 30, in: 1...3_600, "Age of a registration cut short before it is finished"))
    }
}
