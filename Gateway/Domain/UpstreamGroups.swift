import Synchronization

/// All upstream groups of this process, by name. Replaced when the gateway file changes; what stays the same keeps its state.
final class UpstreamGroups: Sendable {
    private struct State {
        var present: [String: UpstreamGroup]
        /// Replaced ones, with when that was first seen: requests may still run or wait in them, or be on their way to them.
        var former: [(group: UpstreamGroup, since: UInt64?)] = []
    }

    /// For how long a replaced group can still be found, in nanoseconds: longer than anybody decides about a request.
    private static let grace: UInt64 = 60_000_000_000

    private let held: Mutex<State>

    init(_ specs: [String: UpstreamSpec] = [:]) {
        held = Mutex(State(present: specs.reduce(into: [:]) { $0[$1.key] = UpstreamGroup(name: $1.key, spec: $1.value) }))
    }

    /// For set-up and look-ups when the table changed, not for each request.
    subscript(name: String) -> UpstreamGroup? { held.withLock { $0.present[name] } }

    /// With those that were taken out a moment ago: a request that began before a change ends as it began.
    var byName: [String: UpstreamGroup] {
        held.withLock { held in held.former.reduce(into: held.present) { if $0[$1.group.name] == nil { $0[$1.group.name] = $1.group } } }
    }

    /// In order of their names.
    var all: [UpstreamGroup] { held.withLock { $0.present }.values.sorted { $0.name < $1.name } }

    /// Takes new addresses and numbers. Requests under way end in the group that they began with.
    func apply(_ specs: [String: UpstreamSpec]) {
        held.withLock { held in
            let before = held.present
            held.present = specs.reduce(into: [:]) { groups, entry in
                let former = before[entry.key]
                groups[entry.key] =
                    former?.spec == entry.value ? former : UpstreamGroup(name: entry.key, spec: entry.value, former: former)
            }
            held.former += before.values.filter { held.present[$0.name] !== $0 }.map { ($0, nil) }
        }
    }

    /// Sends away those who waited too long, in every group.
    func tick(now: UInt64) {
        let groups = held.withLock { held in
            if !held.former.isEmpty {
                for index in held.former.indices where held.former[index].since == nil { held.former[index].since = now }
                held.former.removeAll { $0.group.isDeserted && now > ($0.since ?? now) &+ Self.grace }
            }
            return Array(held.present.values) + held.former.map(\.group)
        }
        for group in groups { group.tick(now: now) }
    }

    func snapshots(now: UInt64) -> [GroupSnapshot] { all.map { $0.snapshot(now: now) } }
}
