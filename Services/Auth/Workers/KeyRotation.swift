import Foundation
import Logging
import ServiceLifecycle

/// Makes a new signing key when the newest has come to its age, and forgets those that no living token needs.
struct KeyRotation: Service {
    let keys: KeyRing
    /// Nil: keys are made by `auth rotate-keys` alone.
    let age: TimeInterval?
    let logger: Logger

    static let pause = Duration.seconds(30)

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                do {
                    if let age { _ = try keys.rotate(whenOlderThan: age) }
                    try keys.removeOver()
                } catch {
                    logger.error("the signing keys cannot be seen to", metadata: ["reason": "\(error)"])
                }
                try? await Task.sleep(for: Self.pause)
            }
        }
    }
}
