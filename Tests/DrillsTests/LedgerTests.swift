import Contracts
import Drills
import Testing

@Suite("The ledger")
struct LedgerTests {
    private let key = EntryKey(tenant: .make(), subject: "key-1")
    private let other = EntryKey(tenant: .make(), subject: "key-1")

    private func ledger(
        _ counters: [EntryKey: Int64], _ effects: [EntryKey: KeyEffects], dead: [EntryKey: Set<Int64>] = [:],
        effectedDead: [EntryKey: Set<Int64>] = [:], poisonEvery: Int64 = 0
    ) -> Ledger {
        var ledger = Ledger(counters: counters, effects: effects, dead: dead, effectedDead: effectedDead, poisonEvery: poisonEvery)
        ledger.announced = ledger.produced
        ledger.published = ledger.produced
        return ledger
    }

    private func all(_ count: Int64) -> KeyEffects {
        KeyEffects(effects: count, numbers: count, lowest: 1, highest: count, disordered: 0)
    }

    @Test("Everything in effect once and in order balances")
    func balances() {
        let ledger = ledger([key: 7, other: 3], [key: all(7), other: all(3)])
        #expect(ledger.balances)
        #expect(ledger.produced == 10)
        #expect(ledger.effected == 10)
    }

    @Test("A missing effect is lost, also of a key that never arrived")
    func lost() {
        #expect(ledger([key: 7], [key: KeyEffects(effects: 6, numbers: 6, lowest: 1, highest: 7, disordered: 0)]).lost == 1)
        #expect(ledger([key: 7, other: 3], [key: all(7)]).faults == ["3 lost"])
    }

    @Test("A second effect is doubled, one after a higher number is out of order")
    func doubledAndDisordered() {
        let ledger = ledger([key: 7], [key: KeyEffects(effects: 9, numbers: 7, lowest: 1, highest: 7, disordered: 2)])
        #expect(ledger.doubled == 2)
        #expect(ledger.faults == ["2 doubled", "2 out of order"])
    }

    @Test("The dead are accounted for when they are the poisonous ones, and without effect")
    func dead() {
        let six = KeyEffects(effects: 6, numbers: 6, lowest: 1, highest: 7, disordered: 0)
        let good = ledger([key: 7], [key: six], dead: [key: [4]], poisonEvery: 4)
        #expect(good.balances)
        #expect(good.dead == 1 && good.poison == 1)
        let undead = ledger([key: 7], [key: all(7)], dead: [key: [4]], effectedDead: [key: [4]], poisonEvery: 4)
        #expect(undead.faults == ["1 given up although they took effect"])
    }

    @Test("An event that is given up although nothing is wrong with it does not balance, nor does poison that is not given up")
    func wronglyDead() {
        let six = KeyEffects(effects: 6, numbers: 6, lowest: 1, highest: 7, disordered: 0)
        #expect(ledger([key: 7], [key: six], dead: [key: [4]]).faults == ["1 given up although nothing was wrong with them"])
        #expect(!ledger([key: 7], [key: six], dead: [key: [4]], poisonEvery: 5).balances)
        #expect(ledger([key: 7], [key: all(7)], poisonEvery: 4).faults == ["1 poisonous and not given up"])
    }

    @Test("Effects of what nobody produced are invented")
    func invented() {
        #expect(!ledger([key: 7], [key: all(8)]).balances)
        #expect(ledger([key: 7], [key: all(7), other: all(2)]).invented == 2)
    }

    @Test("State without its event, what was never published, and nothing at all do not balance")
    func announced() {
        var ledger = ledger([key: 7], [key: all(7)])
        ledger.announced = 6
        #expect(!ledger.balances)
        ledger.announced = 7
        ledger.published = 5
        #expect(ledger.faults == ["2 never published"])
        #expect(!self.ledger([:], [:]).balances)
    }
}
