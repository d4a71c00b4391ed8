import Contracts
import Foundation
import TestKit
import Testing

@testable import AnalyticsService

@Suite("Experiments")
struct ExperimentTests {
    @Test("Exposures and what followed them, as OpenFeature's hooks report them")
    func counts() async throws {
        let host = try await TestHost.start(Analytics.self)
        let tenant = TestTenant()
        let client = try await host.client(tenant.owner)
        let start = Date().addingTimeInterval(-86_400)
        func event(_ name: String, _ user: String, after seconds: Double, _ properties: [String: JSONValue] = [:]) -> JSONValue {
            [
                "eventName": .string(name), "userId": .string(user),
                "occurredAt": .string(Timestamp.text(start.addingTimeInterval(seconds))),
                "eventProperties": .object(properties),
            ]
        }
        func seen(_ variant: String, _ user: String, after seconds: Double, flag: String = "checkout") -> JSONValue {
            event(
                "feature_flag.evaluation", user, after: seconds,
                ["feature_flag.key": .string(flag), "feature_flag.result.variant": .string(variant)])
        }
        let people = (0..<100).map { _ in UserID.make().description }
        var events: [JSONValue] = []
        for (number, person) in people.enumerated() {
            events.append(seen(number < 50 ? "control" : "green", person, after: 100))
            // Evaluated again and again; the first time counts.
            if number % 3 == 0 { events.append(seen(number < 50 ? "control" : "green", person, after: 900)) }
        }
        // 10 of 50 and 25 of 50 buy; some before they saw it, some too late.
        for person in people[0..<10] + people[50..<75] { events.append(event("order.completed", person, after: 500)) }
        for person in people[10..<20] { events.append(event("order.completed", person, after: 50)) }
        for person in people[20..<30] { events.append(event("order.completed", person, after: 4_000)) }
        // Somebody who saw both, and a flag that is not asked for.
        let both = UserID.make().description
        events += [seen("control", both, after: 1), seen("green", both, after: 2), seen("on", both, after: 3, flag: "other")]
        #expect(try await client.post("/api/v1/analytics/events", ["events": .array(events)]).status == 202)

        let list = try await client.get("/api/v1/analytics/experiments")
        #expect(
            list["flags"].array == [
                ["flag": "checkout", "variants": ["control", "green"], "exposed": 101],
                ["flag": "other", "variants": ["on"], "exposed": 1],
            ])
        let response = try await client.get(
            "/api/v1/analytics/experiments?flag=checkout&goal=order.completed&control=control&windowSeconds=3600")
        #expect(response.status == 200, "\(response.text)")
        #expect(response["mixed"] == 1)
        let variants = response["variants"].array
        #expect(variants.map { $0["variant"].string } == ["control", "green"])
        #expect(variants.map { $0["exposed"].int } == [50, 50])
        #expect(variants.map { $0["converted"].int } == [10, 25])
        #expect(variants[0]["comparison"].isNull)
        #expect(variants[1]["comparison"]["significant"] == true)
        #expect(abs((variants[1]["comparison"]["difference"].double ?? 0) - 0.3) < 1e-9)
        #expect(abs((variants[1]["comparison"]["lift"].double ?? 0) - 1.5) < 1e-9)
        let alone = try await client.get("/api/v1/analytics/experiments?flag=checkout")
        #expect(alone.status == 400 && alone.badFields == ["?goal"])
    }

    /// Newcombe, "Interval estimation for the difference between independent proportions" (1998), table II, method 10, and the Wilson
    /// intervals of "Two-sided confidence intervals for the single proportion" (1998), table I.
    @Test("Intervals are those of the literature")
    func intervals() throws {
        func near(_ range: ClosedRange<Double>, _ low: Double, _ high: Double) {
            #expect(abs(range.lowerBound - low) < 0.00006 && abs(range.upperBound - high) < 0.00006, "\(range)")
        }
        near(ExperimentStatistics.wilson(81, of: 263), 0.2553, 0.3662)
        near(ExperimentStatistics.wilson(15, of: 148), 0.0624, 0.1605)
        near(ExperimentStatistics.wilson(0, of: 20), 0, 0.1611)
        near(ExperimentStatistics.wilson(1, of: 29), 0.0061, 0.1718)
        #expect(ExperimentStatistics.wilson(0, of: 0) == 0...1)
        func difference(_ a: (Int, Int), _ b: (Int, Int)) throws -> ClosedRange<Double> {
            let counts = [
                VariantCount(variant: "b", exposed: b.1, converted: b.0), VariantCount(variant: "a", exposed: a.1, converted: a.0),
            ]
            return try #require(ExperimentStatistics.results(counts, control: "b")[1].comparison).interval
        }
        near(try difference((56, 70), (48, 80)), 0.0524, 0.3339)
        near(try difference((9, 10), (3, 10)), 0.1705, 0.8090)
        near(try difference((10, 10), (0, 20)), 0.6791, 1)
    }

    @Test("P-values are those of the pooled test, and are corrected for several variants")
    func significance() throws {
        let counts = [
            VariantCount(variant: "a", exposed: 1_000, converted: 100), VariantCount(variant: "b", exposed: 1_000, converted: 130),
            VariantCount(variant: "c", exposed: 1_000, converted: 101), VariantCount(variant: "d", exposed: 0, converted: 0),
        ]
        // z = 0.03 / sqrt(0.115 · 0.885 · 0.002) = 2.1027; two-sided 0.0355.
        let alone = try #require(ExperimentStatistics.pValue(counts[1], counts[0]))
        #expect(abs(alone - 0.035_5) < 0.000_1)
        let results = ExperimentStatistics.results(counts, control: "a")
        #expect(results[0].comparison == nil)
        #expect(abs((results[1].comparison?.pValue ?? 0) - 2 * alone) < 1e-12)
        #expect(results[1].comparison?.isSignificant == false)
        #expect(results[3].comparison?.pValue == nil)
        #expect(ExperimentStatistics.results(Array(counts.prefix(2)), control: "a")[1].comparison?.isSignificant == true)
        #expect(ExperimentStatistics.holm([0.01, nil, 0.04, 0.03]) == [0.03, nil, 0.06, 0.06])
        #expect(ExperimentStatistics.results([], control: nil).isEmpty)
    }
}
