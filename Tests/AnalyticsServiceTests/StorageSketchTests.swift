import Foundation
import TestKit
import Testing

@testable import AnalyticsService

@Suite("Sketches of distinct people")
struct StorageSketchTests {
    private func sketch(_ numbers: Range<Int>, _ generator: inout SeededGenerator) -> Sketch {
        var sketch = Sketch()
        for _ in numbers { sketch.insert(hash: generator.next()) }
        return sketch
    }

    /// 60 sketches of each size: their errors' root mean square is the standard error, give or take a tenth of it by chance.
    @Test("The error is within the stated one at every size", arguments: [10, 1_000, 1_536, 2_000, 20_000, 100_000])
    func error(_ count: Int) {
        var generator = SeededGenerator(state: UInt64(count))
        let errors = (0..<60).map { _ in Double(sketch(0..<count, &generator).estimate) / Double(count) - 1 }
        let spread = (errors.map { $0 * $0 }.reduce(0, +) / 60).squareRoot()
        let mean = errors.reduce(0, +) / 60
        #expect(spread < Sketch.standardError * 1.35, "\(spread)")
        #expect(abs(mean) < Sketch.standardError * 0.5, "\(mean)")
        if count <= Sketch.sparseLimit { #expect(spread < 0.0007, "as good as exact: \(spread)") }
    }

    @Test("Ids and texts are spread as well as random numbers are")
    func hashing() {
        var ids = Sketch(), texts = Sketch()
        for number in 0..<50_000 {
            // The worst there is: ids that differ in their last bytes alone.
            ids.insert(UUID(uuid: (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, UInt8(number >> 8 & 255), UInt8(number & 255))))
            texts.insert("s\(number)")
        }
        #expect(abs(Double(ids.estimate) / 50_000 - 1) < 4 * Sketch.standardError)
        #expect(abs(Double(texts.estimate) / 50_000 - 1) < 4 * Sketch.standardError)
    }

    @Test("Merged sketches are the sketch of everything, in whatever form and order")
    func merging() {
        for (first, second) in [(10, 10), (1_500, 1_500), (5_000, 10), (10, 5_000), (5_000, 5_000), (0, 5_000), (0, 0)] {
            var generator = SeededGenerator(state: 3)
            let a = (0..<first).map { _ in generator.next() }
            // A third of those in the first are in the second too.
            let b = a.prefix(first / 3) + (0..<second).map { _ in generator.next() }
            var one = Sketch(), two = Sketch(), both = Sketch()
            for hash in a { one.insert(hash: hash) }
            for hash in b { two.insert(hash: hash) }
            for hash in (a + b).shuffled() { both.insert(hash: hash) }
            var merged = one
            merged.merge(two)
            #expect(merged == both, "\(first) and \(second)")
            two.merge(one)
            #expect(two == both)
            // Again: it changes nothing, as a row that is folded twice would not.
            two.merge(one)
            #expect(two == both)
        }
    }

    @Test("Bytes give the same sketch back, and rubbish none", arguments: [0, 1, 1_536, 1_537, 30_000])
    func bytes(_ count: Int) {
        var generator = SeededGenerator(state: 5)
        let sketch = sketch(0..<count, &generator)
        #expect(Sketch(bytes: sketch.bytes) == sketch)
        #expect(sketch.bytes.count == (count > 1_536 ? 12_289 : 1 + 4 * count))
        #expect(Sketch(bytes: Array(sketch.bytes.dropLast())) == nil)
        #expect(Sketch(bytes: [3] + sketch.bytes.dropFirst()) == nil)
        #expect(Sketch(bytes: []) == nil)
        #expect(Sketch(bytes: [1, 0, 0, 0, 200, 0, 0, 0, 100]) == nil)
    }
}
