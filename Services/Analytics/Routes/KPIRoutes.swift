import Contracts
import Foundation
import ServiceKit

/// Key figures, each beside that of the period before.
struct KPIRoutes {
    let answers: Answers

    var endpoints: Endpoints {
        Endpoints("analytics") {
            Endpoint.get("kpi", "Key figures against those of the period before", may: "analytics:read", kpi)
        }
    }

    /// The period before is as long, and ends where this one begins.
    func kpi(_ request: CallerRequest, _ query: KPIQuery) async throws -> KPIView {
        let period = try Period(from: query.from?.date, to: query.to?.date, granularity: .day, now: request.now)
        let length = period.to.timeIntervalSince(period.from)
        let before = try Period(from: period.from.addingTimeInterval(-length), to: period.from, granularity: .day, now: request.now)
        return try await answers.readFolded(as: request.caller) { tx, exactness in
            let store = KPIStore(tx: tx, exactness: exactness)
            let (now, isEstimated) = try store.figures(period)
            let (then, wasEstimated) = try store.figures(before)
            return KPIView(period, before, KPI.all(now, then), isEstimated: isEstimated || wasEstimated)
        }
    }
}

struct KPIQuery: Decodable, Sendable {
    let from: Moment?
    let to: Moment?
}

struct KPIView: View {
    struct Span: Codable, Sendable {
        let from: Date
        let to: Date
    }

    let from: Date
    let to: Date
    let previous: Span
    let kpis: [KPI]
    let approximate: [String: Double]?

    init(_ period: Period, _ before: Period, _ kpis: [KPI], isEstimated: Bool) {
        from = period.from
        to = period.to
        previous = Span(from: before.from, to: before.to)
        self.kpis = kpis
        approximate = Estimate.of(["activeUsers", "stickiness", "sessions", "registrationRate"], when: isEstimated)
    }
}
