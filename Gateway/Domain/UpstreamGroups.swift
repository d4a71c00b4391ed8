import Synchronization

/// All upstream groups of this process, by name. Replaced when the gateway file changes; what stays the same keeps its state.
final class UpstreamGroups: Sendable {
    private let held: Mutex<[String: UpstreamGroup]>

    init(_ specs: [String: UpstreamSpec] = [:]) {
        held = Mutex(specs.reduce(into: [:]) { $0[$1.key] = UpstreamGroup(name: $1.key, spec: $1.value) })
    }

    /// For set-up and look-ups when the table changed, not for each request.
    subscript(name: String) -> UpstreamGroup? { held.withLock { $0[name] } }

    /// In order of their names.
    var all: [UpstreamGroup] { held.withLock { $0.values.sorted { $0.name < $1.name } } }

    /// Takes new addresses and numbers. Requests under way end in the group that they began with.
    func apply(_ specs: [String: UpstreamSpec]) {
        held.withLock { held in
            held = specs.reduce(into: [:]) { groups, entry in
                let former = held[entry.key]
                groups[entry.key] =
                    former?.spec == entry.value ? former : UpstreamGroup(name: entry.key, spec: entry.value, former: former)
            }
        }
    }

    /// Sends away those who waited too long, in every group.
    func tick(now: UInt64) {
        for group in held.withLock({ Array($0.values) }) { group.tick(now: now) }
    }

    func snapshots(now: UInt64) -> [GroupSnapshot] { all.map { $0.snapshot(now: now) } }
}
