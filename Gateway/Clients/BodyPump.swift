import Hummingbird
import NIOCore
import Synchronization

/// Reads a request body into a relay, in a task of its own that ends before the connection is used for the next request.
final class BodyPump: Sendable {
    /// What is still read from a client whose request was answered early, so that the answer reaches it before the connection closes.
    static let drainBytes = 2_097_152
    static let drainTime: Duration = .seconds(2)

    let relay = BodyRelay()
    private let task: Task<Void, Never>

    init(_ body: RequestBody, limit: Int) {
        let relay = relay
        task = Task { await Self.pump(body, into: relay, limit: limit) }
    }

    private static func pump(_ body: RequestBody, into relay: BodyRelay, limit: Int) async {
        var iterator = body.makeAsyncIterator()
        var count = 0
        var drained = 0
        var isAbandoned = false
        do {
            while let chunk = try await iterator.next() {
                count += chunk.readableBytes
                if isAbandoned || count > limit {
                    if !isAbandoned { relay.finish(throwing: GatewayFailure.bodyTooLarge(limit: limit)) }
                    isAbandoned = true
                    drained += chunk.readableBytes
                    // Cancelled, the next read ends the connection's input; nobody else reads it after that.
                    if drained > drainBytes { withUnsafeCurrentTask { $0?.cancel() } }
                    continue
                }
                do { try await relay.send(chunk) } catch { isAbandoned = true }
            }
            relay.finish()
        } catch {
            relay.finish(throwing: error)
        }
    }

    /// To be awaited once the answer is written: afterwards nothing reads the body any more.
    func stop() async {
        relay.abandon()
        let task = task
        let timer = Task {
            try await Task.sleep(for: Self.drainTime)
            task.cancel()
        }
        await task.value
        timer.cancel()
    }
}
