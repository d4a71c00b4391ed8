import Synchronization

/// A program that is started again, with back-off, whenever it dies.
final class Supervised: Sendable {
    let name: String
    private let stopSteps: [StopStep]
    private let begin: @Sendable () async throws -> ManagedProcess
    private let current: Mutex<ManagedProcess?> = Mutex(nil)

    /// `begin` starts the program; for a server, it returns when the server is ready.
    init(_ name: String, stopSteps: [StopStep], begin: @escaping @Sendable () async throws -> ManagedProcess) {
        self.name = name
        self.stopSteps = stopSteps
        self.begin = begin
    }

    /// The process that runs now, or the last one that did.
    var process: ManagedProcess? { current.withLock { $0 } }

    func start() async throws {
        let process = try await begin()
        current.withLock { $0 = process }
    }

    /// Waits for deaths, says them and starts the program again. Returns when the task is cancelled.
    func watch(_ say: @escaping @Sendable (String) -> Void) async {
        var backoff = RestartBackoff()
        var started = ContinuousClock.now
        while let process, let exit = try? await process.exited() {
            var wait = backoff.wait(afterRunningFor: ContinuousClock.now - started)
            say("\(name) \(exit). Starting it again in \(wait.components.seconds) s. Its log: \(process.launch.log)")
            while true {
                guard (try? await Task.sleep(for: wait)) != nil else { return }
                started = ContinuousClock.now
                do {
                    try await start()
                    say("\(name) was started again (process \(self.process?.pid ?? 0)).")
                    break
                } catch is CancellationError {
                    return
                } catch {
                    wait = backoff.wait(afterRunningFor: .zero)
                    say("\(name) could not be started: \(error) Trying again in \(wait.components.seconds) s.")
                }
            }
        }
    }

    func stop() async { await process?.stop(stopSteps) }
}
