package import Foundation
import ServiceKit

/// `auth rotate-keys`: a new signing key, on a running platform, without a restart.
package struct KeyCommand {
    /// EX_USAGE and EX_CONFIG of sysexits.h.
    package static let usageExitCode: Int32 = 64
    package static let configurationExitCode: Int32 = 78
    static let name = "rotate-keys"
    static let replacing = "--compromised"

    /// What is said, and how the process ends.
    package struct Outcome: Sendable {
        package let text: String
        package let exitCode: Int32
    }

    /// Nil when the arguments are not this command's.
    package static func run(_ arguments: [String], environment: [String: String], now: Date) -> Outcome? {
        guard arguments.first == name else { return nil }
        let options = arguments.dropFirst()
        guard options.allSatisfy({ $0 == replacing }) else {
            return Outcome(
                text: """
                    Usage: auth rotate-keys [--compromised]
                      Makes a signing key. It is published at once and signs in \(Int(KeyRing.leadSeconds)) seconds; the one before it stays
                      published until every token it signed has expired.
                      --compromised: the new key signs at once and all others are removed, so every token signed so far is worthless.

                    """, exitCode: usageExitCode)
        }
        var reader = SettingsReader(environment: environment)
        let settings = AuthSettings(&reader)
        let sealing = reader.optionalText("SEALING_KEY", "").flatMap { Sealing(keys: $0) }
        if sealing == nil { reader.refuse("TRIONEX_SEALING_KEY must be that of the running auth") }
        guard let sealing, reader.problems.isEmpty else {
            return Outcome(text: reader.problems.map { "auth: \($0)\n" }.joined(), exitCode: configurationExitCode)
        }
        do {
            let made = try KeyRing.rotate(
                settings.keyDirectory, sealing: sealing, now: now, replacing: options.contains(replacing))
            let wait = max(0, Int(made.signsFrom.timeIntervalSince(now).rounded()))
            let when = wait == 0 ? "signs at once" : "signs in \(wait) seconds"
            return Outcome(text: "The new key \(made.kid) is in \(settings.keyDirectory) and \(when).\n", exitCode: 0)
        } catch {
            return Outcome(text: "auth: \(error)\n", exitCode: 1)
        }
    }
}
