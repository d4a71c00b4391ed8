import Contracts
import Testing

@testable import AnalyticsService

@Suite("The pace of folds")
struct FoldPaceTests {
    private let slow = TenantID.make()
    private let other = TenantID.make()

    @Test("An organization whose folds take too long, or fail for it, gets fewer rows, and others full folds")
    func fewer() {
        let paces = FoldPaces()
        #expect(paces.rows(of: slow) == RollupFold.rowsAtOnce)
        paces.took(.seconds(2), slow)
        #expect(paces.rows(of: slow) == RollupFold.rowsAtOnce / 2)
        // As after a statement that ran out of its ten seconds, again and again.
        for _ in 0..<10 { paces.took(.seconds(10), slow) }
        #expect(paces.rows(of: slow) == FoldPaces.fewest)
        #expect(paces.rows(of: other) == RollupFold.rowsAtOnce)
    }

    @Test("When they are quick again it gets twice as many each time, up to full ones")
    func more() {
        let paces = FoldPaces()
        paces.took(.seconds(30), slow)
        let fewer = paces.rows(of: slow)
        #expect(fewer == RollupFold.rowsAtOnce / 8)
        paces.took(.milliseconds(600), slow)
        #expect(paces.rows(of: slow) == fewer, "as long as it should take")
        for _ in 0..<3 { paces.took(.milliseconds(100), slow) }
        #expect(paces.rows(of: slow) == RollupFold.rowsAtOnce)
    }
}
