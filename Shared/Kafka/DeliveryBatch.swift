import CRdKafka
import Synchronization

/// The results of records sent together, filled in by delivery reports in any order.
final class DeliveryBatch: Sendable {
    private struct State {
        var results: [Result<Delivery, KafkaFailure>?]
        var missing: Int
        var waiter: CheckedContinuation<[Result<Delivery, KafkaFailure>], Never>?
    }

    private let state: Mutex<State>

    init(count: Int) {
        state = Mutex(State(results: Array(repeating: nil, count: count), missing: count))
    }

    func resolve(_ index: Int, _ result: Result<Delivery, KafkaFailure>) {
        finish { state in
            guard state.results[index] == nil else { return }
            state.results[index] = result
            state.missing -= 1
        }
    }

    /// Answers what has no report yet with `failure`. The records may be delivered all the same.
    func abandon(_ failure: KafkaFailure) {
        finish { state in
            for index in state.results.indices where state.results[index] == nil { state.results[index] = .failure(failure) }
            state.missing = 0
        }
    }

    /// Called once.
    func results() async -> [Result<Delivery, KafkaFailure>] {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                finish { $0.waiter = continuation }
            }
        } onCancel: {
            abandon(.closed)
        }
    }

    private func finish(_ change: (inout State) -> Void) {
        let ready = state.withLock {
            state -> (CheckedContinuation<[Result<Delivery, KafkaFailure>], Never>, [Result<Delivery, KafkaFailure>])? in
            change(&state)
            guard state.missing == 0, let waiter = state.waiter else { return nil }
            state.waiter = nil
            return (waiter, state.results.compactMap(\.self))
        }
        if let (waiter, results) = ready { waiter.resume(returning: results) }
    }
}

/// Travels with one record through the library and back in its delivery report.
final class DeliverySlot: Sendable {
    private let batch: DeliveryBatch
    private let index: Int

    init(_ batch: DeliveryBatch, _ index: Int) {
        self.batch = batch
        self.index = index
    }

    func resolve(_ result: Result<Delivery, KafkaFailure>) { batch.resolve(index, result) }
}
