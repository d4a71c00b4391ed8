import Contracts
import Foundation
import ServiceKit

/// Key figures, each beside that of the period before.
struct KPIRoutes {
    let engine: any AnalyticsEngine

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
        let figures = try await engine.keyFigures(period, before: before, as: request.caller)
        return KPIView(figures.now, before: figures.before, keptFrom: figures.keptFrom)
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
    /// Ratings, satisfaction, answering times and revenue are of what happened from then on, since what was before is no longer kept row by
    /// row; left out when all of the period is.
    let keptFrom: Date?

    init(_ now: KPIAnswer, before: KPIAnswer, keptFrom: Date?) {
        from = now.period.from
        to = now.period.to
        previous = Span(from: before.period.from, to: before.period.to)
        kpis = KPI.all(now.figures, before.figures)
        approximate = Estimate.of(
            ["activeUsers", "stickiness", "sessions", "registrationRate"], when: now.isEstimated || before.isEstimated)
        self.keptFrom = keptFrom
    }
}
