import Contracts
import Foundation
import ServiceKit

/// Custom questions in a small language: measures, dimensions, filters and time. It has no way to say anything else.
struct QueryRoutes {
    let engine: any AnalyticsEngine

    /// Bytes of a question: twenty filters with a hundred short values each.
    static let maxBodyBytes = 262_144

    var endpoints: Endpoints {
        Endpoints("analytics") {
            Endpoint.post("query", "Ask a question of your own", may: "analytics:read", maxBodyBytes: Self.maxBodyBytes, query)
        }
    }

    func query(_ request: CallerRequest, _ draft: QuestionDraft) async throws -> QueryView {
        QueryView(try await engine.answer(try draft.question(now: request.now), as: request.caller))
    }
}

/// An answer in columns and rows; each row has its values in the order of the columns.
struct QueryView: View {
    let from: Date
    let to: Date
    let granularity: Granularity?
    let columns: [String]
    let rows: [[JSONValue]]
    /// Whether there are more rows than `limit` allowed.
    let truncated: Bool
    /// The standard error of those measures that are estimates, as a share of the figure; left out when all are exact.
    let approximate: [String: Double]?
    /// What was before is no longer kept, and in no figure; left out when all of the period is there.
    let keptFrom: Date?

    init(_ answer: QuestionAnswer) {
        let question = answer.question
        from = question.period.from
        to = question.period.to
        granularity = question.granularity
        columns = question.columns
        rows = Array(answer.rows.prefix(question.limit))
        truncated = answer.rows.count > question.limit
        let estimated = question.measures.filter { $0 == .uniqueUsers || $0 == .sessions }.map(\.name)
        approximate = Estimate.of(estimated, when: answer.isEstimated)
        keptFrom = answer.keptFrom
    }
}
