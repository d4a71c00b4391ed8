import Contracts
import Synchronization

/// What is in force: the table, the file, and which of all their versions this is.
struct RoutingSnapshot: Sendable {
    let table: RouteTable
    /// Its `maintenance` is as it is now, also where it was switched at run time.
    let file: GatewayFile
    /// Moves whenever one of the two was replaced.
    let generation: Int
}

/// Holds what is in force. Event loops keep their own reference, and fetch it anew when `generation` has moved.
final class RoutingState: Sendable {
    private struct State {
        var operations: [ServiceName: [OperationIndex.Operation]] = [:]
        /// As it was read, without what was switched at run time.
        var file: GatewayFile
        var maintenance: Maintenance?
        var ids = RouteIDs()
    }

    private struct InForce {
        var snapshot: RoutingSnapshot
        var warnings: [GatewayFault]
    }

    let defaults: GatewayDefaults
    private let compiler: RouteCompiler
    private let counter = Atomic<Int>(0)
    /// Held for as long as a table is made, so by those alone who replace it.
    private let state: Mutex<State>
    /// Held for a moment.
    private let inForce: Mutex<InForce>
    /// Who makes ready what the file speaks of.
    private let follower = Mutex<(@Sendable (GatewayFile) -> Void)?>(nil)

    init(prefixes: RoutingTable = .platform, defaults: GatewayDefaults, file: GatewayFile? = nil) {
        self.defaults = defaults
        compiler = RouteCompiler(prefixes: prefixes, defaults: defaults)
        let file = file ?? defaults.file
        var ids = RouteIDs()
        let outcome = compiler.compile([:], file, ids: &ids)
        state = Mutex(State(file: file, ids: ids))
        inForce = Mutex(
            InForce(snapshot: RoutingSnapshot(table: outcome.table, file: file, generation: 0), warnings: outcome.faults + outcome.warnings)
        )
    }

    /// `follow` is given the file that is in force now, and each that follows before anybody can see that it is in force: upstreams are
    /// there when the first request asks for them.
    func follow(_ follow: @escaping @Sendable (GatewayFile) -> Void) {
        state.withLock { state in
            follower.withLock { $0 = follow }
            follow(state.file)
        }
    }

    /// One atomic read.
    var generation: Int { counter.load(ordering: .acquiring) }

    var current: RoutingSnapshot { inForce.withLock { $0.snapshot } }

    /// Rules of which it is not known whether they match anything, or that match nothing any more.
    var warnings: [GatewayFault] { inForce.withLock { $0.warnings } }

    /// Takes the operations that are known now. What the file says of operations that are gone has become a warning.
    func use(_ operations: [ServiceName: [OperationIndex.Operation]]) {
        state.withLock { state in
            guard operations != state.operations else { return }
            state.operations = operations
            let outcome = compiler.compile(operations, state.file, ids: &state.ids)
            replace(state, outcome.table, outcome.faults + outcome.warnings)
        }
    }

    /// Takes a new file, or throws all that is wrong with its routes and leaves everything as it was. Returns the warnings.
    @discardableResult
    func use(_ file: GatewayFile) throws(GatewayFaults) -> [GatewayFault] {
        let result = state.withLock { state -> Result<[GatewayFault], GatewayFaults> in
            guard file != state.file else { return .success(warnings) }
            let outcome = compiler.compile(state.operations, file, ids: &state.ids)
            guard outcome.faults.isEmpty else { return .failure(GatewayFaults(faults: outcome.faults)) }
            // What the operators write last counts: a new text about maintenance ends what was switched by hand.
            if file.maintenance != state.file.maintenance { state.maintenance = nil }
            state.file = file
            follower.withLock { $0 }?(file)
            replace(state, outcome.table, outcome.warnings)
            return .success(outcome.warnings)
        }
        return try result.get()
    }

    /// Switches maintenance at run time, until the file says something else; nil: as the file has it.
    func use(_ maintenance: Maintenance?) {
        state.withLock { state in
            state.maintenance = maintenance
            replace(state, current.table, warnings)
        }
    }

    private func replace(_ state: borrowing State, _ table: RouteTable, _ warnings: [GatewayFault]) {
        var file = state.file
        if let maintenance = state.maintenance { file.maintenance = maintenance }
        inForce.withLock { [file] inForce in
            let generation = inForce.snapshot.generation + 1
            inForce = InForce(snapshot: RoutingSnapshot(table: table, file: file, generation: generation), warnings: warnings)
            counter.store(generation, ordering: .releasing)
        }
    }
}
