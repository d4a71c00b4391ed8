import Contracts
import Foundation

/// Steps that people take one after the other, and how far they come.
///
/// An attempt begins with an event of the first step in the period. It reaches step n when events of the steps 1 … n follow one another in time,
/// the last at most `window` after the first; other events may lie between. One event counts for one step of an attempt, though it may fit
/// several. Of events at the same moment, those of earlier steps come first. Somebody is counted once, with the furthest that any of their
/// attempts came. What follows the period's end counts for attempts that began before it.
struct Funnel: Sendable {
    static let steps = 2...10
    /// Seconds: from a minute to ninety days, and a week when nothing is said.
    static let windows: ClosedRange<Int> = 60...7_776_000
    static let standardWindow = 604_800
    static let maximumFiltersPerStep = 5

    struct Step: Sendable, Equatable {
        let name: String
        let filters: [Filter]
    }

    let period: Period
    let steps: [Step]
    let window: Int
    let by: FunnelSubject
}

/// Whose steps are followed: a person's over all their visits, or those of one visit.
enum FunnelSubject: String, Codable, Sendable, CaseIterable {
    case user, session
}

/// One step as it is asked for: an event by its name, or a page by its path, with further conditions.
struct FunnelStepDraft: Codable, Sendable {
    let eventName: EventName?
    let path: PageAddress?
    let filters: [FilterDraft]?

    func step(at pointer: String) throws(ValidationFailure) -> Funnel.Step {
        let drafts = filters ?? []
        guard drafts.count <= Funnel.maximumFiltersPerStep else {
            throw ValidationFailure("\(pointer)/filters", "too-many", "must have at most \(Funnel.maximumFiltersPerStep) filters")
        }
        let conditions = try FilterDraft.filters(drafts, at: "\(pointer)/filters")
        switch (eventName, path) {
        case (let name?, nil): return Funnel.Step(event: name.rawValue, conditions)
        case (nil, let path?):
            return Funnel.Step(page: path.rawValue, conditions)
        default: throw ValidationFailure(pointer, "missing", "must have either an eventName or a path")
        }
    }
}

extension Funnel.Step {
    init(event name: String, _ conditions: [Filter] = []) {
        self.init(name: name, filters: [Filter(field: .known(.eventName), test: .equal([.text(name)]))] + conditions)
    }
}

extension Funnel.Step {
    init(page path: String, _ conditions: [Filter] = []) {
        let view = Filter(field: .known(.kind), test: .equal([.text(OccurrenceKind.pageView.rawValue)]))
        let page = Filter(field: .known(.path), test: .equal([.text(path)]))
        self.init(name: path, filters: [view, page] + conditions)
    }
}

/// What a row is.
enum OccurrenceKind: String, Sendable, CaseIterable {
    case event, pageView
}

/// A funnel as it is asked for in a body.
struct FunnelDraft: Decodable, Sendable {
    let steps: [FunnelStepDraft]
    let from: Moment?
    let to: Moment?
    let windowSeconds: Int?
    let by: FunnelSubject?

    func funnel(now: Date) throws -> Funnel {
        var problems: [FieldError] = []
        var steps: [Funnel.Step] = []
        for (index, draft) in self.steps.prefix(Funnel.steps.upperBound).enumerated() {
            do throws(ValidationFailure) {
                steps.append(try draft.step(at: "/steps/\(index)"))
            } catch {
                problems += error.fields
            }
        }
        if !Funnel.steps.contains(self.steps.count) {
            problems.append(Self.stepCount("/steps"))
        }
        let window = windowSeconds ?? Funnel.standardWindow
        if !Funnel.windows.contains(window) { problems.append(Self.windowLength("/windowSeconds")) }
        var period: Period?
        do throws(ValidationFailure) {
            period = try Period(from: from?.date, to: to?.date, granularity: .month, now: now)
        } catch {
            problems += error.inBody.fields
        }
        guard problems.isEmpty, let period else { throw ValidationFailure(problems) }
        return Funnel(period: period, steps: steps, window: window, by: by ?? .user)
    }

    static func stepCount(_ pointer: String) -> FieldError {
        FieldError(
            pointer: pointer, code: "out-of-range", detail: "must have \(Funnel.steps.lowerBound) to \(Funnel.steps.upperBound) steps")
    }

    static func windowLength(_ pointer: String) -> FieldError {
        FieldError(
            pointer: pointer, code: "out-of-range",
            detail: "must be from \(Funnel.windows.lowerBound) to \(Funnel.windows.upperBound) seconds")
    }
}

extension ValidationFailure {
    /// The same mistakes, made in a body instead of a query string.
    var inBody: ValidationFailure {
        ValidationFailure(fields.map { FieldError(pointer: "/" + $0.pointer.dropFirst(), code: $0.code, detail: $0.detail) })
    }
}

/// How many came to one step.
struct FunnelCount: Sendable, Equatable {
    let reached: Int
    /// Half of those who reached the step took at most so long, the first time that they reached it and by the shortest way there:
    /// since the first step, and since the one before. Nil for the first step, and where nobody came.
    let medianSecondsFromStart: Double?
    let medianSecondsFromPrevious: Double?
}
