/// How a drill is played: load, faults and paces. The defaults are those of the full form.
package struct DrillSettings: Sendable {
    /// Events a second.
    package var rate = 2_000.0
    /// How often a process is killed.
    package var kills = 50
    /// Between the recovery from one kill and the next, a random time up to this.
    package var every: Duration = .seconds(1)
    /// Kill again although the last kill is not recovered from.
    package var isImpatient = false
    /// How long a fault lasts that has a length.
    package var hold: Duration = .seconds(30)
    package var tenants = 20
    package var keysPerTenant = 50
    package var partitions = 32
    package var paddingBytes = 100
    /// A consumer that is silent for so long is dead to its group. A real cluster allows no less than 6 s unless told to.
    package var sessionTimeout: Duration = .seconds(3)
    /// A relay that is silent for so long is dead to its replicas.
    package var lease: Duration = .seconds(3)
    /// Brokers of a real cluster to use instead of the local one; drills that need to break brokers are refused then.
    package var bootstrap: String?
    /// The product's migrations, whose outbox and inbox are used.
    package var migrations = "migrations"
    /// Where logs are kept; a temporary folder otherwise.
    package var logs: String?

    package init() {}
}
