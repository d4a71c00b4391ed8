package import Contracts

/// One key of the load: what is kept in order.
package struct EntryKey: Hashable, Sendable {
    package let tenant: TenantID
    package let subject: String

    package init(tenant: TenantID, subject: String) {
        self.tenant = tenant
        self.subject = subject
    }
}

/// What the sink has of one key.
package struct KeyEffects: Hashable, Sendable {
    /// Rows.
    package var effects: Int64
    /// Different numbers.
    package var numbers: Int64
    package var lowest: Int64
    package var highest: Int64
    /// Rows whose number was not above the one seen before.
    package var disordered: Int64

    package init(effects: Int64, numbers: Int64, lowest: Int64, highest: Int64, disordered: Int64) {
        self.effects = effects
        self.numbers = numbers
        self.lowest = lowest
        self.highest = highest
        self.disordered = disordered
    }
}

/// Accounts for every event of a drill.
package struct Ledger: Hashable, Sendable, Codable {
    /// Committed in the producer's database, as its state says.
    package var produced: Int64 = 0
    /// Rows of its outbox. Differs from `produced` only when a state was committed without its event, or the other way round.
    package var announced: Int64 = 0
    /// Of those, confirmed by the brokers.
    package var published: Int64 = 0
    /// Records that the topic got, repetitions included; less than `published` after a broker has lost its own.
    package var records: Int64 = 0
    /// Different events that took effect.
    package var effected: Int64 = 0
    /// Given up into the dead letters, and without effect.
    package var dead: Int64 = 0
    /// Poisonous ones that were produced: as many must be dead.
    package var poison: Int64 = 0
    /// Dead, and nothing was wrong with them.
    package var wronglyDead: Int64 = 0
    /// Produced, and neither in effect nor among the dead.
    package var lost: Int64 = 0
    /// Effects beyond the first of an event.
    package var doubled: Int64 = 0
    /// Effects of what nobody produced.
    package var invented: Int64 = 0
    /// Effects after one with a higher number of the same key.
    package var disordered: Int64 = 0
    /// Events whose first record stands in the topic behind one with a higher number of its key: the order was lost before the consumer.
    package var overtaken: Int64 = 0
    /// Both in effect and among the dead: poison whose effect was not rolled back.
    package var undead: Int64 = 0
    /// Records that are no events at all, put into the topic by the drill.
    package var strangers: Int64 = 0
    /// Of those, found among the dead letters.
    package var strangersBuried: Int64 = 0

    package init() {}

    /// Keys of the producer with their last numbers, effects of the consumer, and the dead by number. `effectedDead` are those of the dead
    /// that took effect. Of each key one number in `poisonEvery` is poisonous; 0 for none.
    package init(
        counters: [EntryKey: Int64], effects: [EntryKey: KeyEffects], dead: [EntryKey: Set<Int64>], effectedDead: [EntryKey: Set<Int64>],
        poisonEvery: Int64 = 0
    ) {
        for (key, last) in counters {
            produced += last
            if poisonEvery > 0 { poison += last / poisonEvery }
            wronglyDead += Int64((dead[key] ?? []).count { poisonEvery == 0 || $0 % poisonEvery != 0 })
            let of = effects[key] ?? KeyEffects(effects: 0, numbers: 0, lowest: 1, highest: 0, disordered: 0)
            let undeadOfKey = Int64(effectedDead[key]?.count ?? 0)
            let deadOfKey = Int64(dead[key]?.count ?? 0) - undeadOfKey
            effected += of.numbers
            doubled += of.effects - of.numbers
            disordered += of.disordered
            self.dead += deadOfKey
            undead += undeadOfKey
            if of.highest > last || of.lowest < 1 { invented += max(0, of.highest - last) + max(0, 1 - of.lowest) }
            lost += max(0, last - of.numbers - deadOfKey)
        }
        for (key, of) in effects where counters[key] == nil { invented += of.effects }
    }

    /// What is wrong, one sentence each; empty when every event is accounted for.
    package var faults: [String] {
        var faults: [String] = []
        func none(_ count: Int64, _ what: String) { if count != 0 { faults.append("\(count) \(what)") } }
        none(lost, "lost")
        none(doubled, "doubled")
        none(disordered, "out of order")
        none(overtaken, "out of order in the topic already")
        none(invented, "invented")
        none(wronglyDead, "given up although nothing was wrong with them")
        none(poison - (dead - wronglyDead + undead), "poisonous and not given up")
        none(undead, "given up although they took effect")
        none(announced - produced, "announced without their state, or the other way round")
        none(announced - published, "never published")
        none(strangers - strangersBuried, "strangers not among the dead letters")
        if produced == 0 { faults.append("nothing was produced") }
        if effected + dead + lost != produced { faults.append("the sum is wrong: \(effected) + \(dead) + \(lost) is not \(produced)") }
        return faults
    }

    package var balances: Bool { faults.isEmpty }
}
