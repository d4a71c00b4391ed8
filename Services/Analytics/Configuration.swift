import Foundation
package import ServiceKit

/// The settings of analytics alone.
package struct AnalyticsSettings: ServiceSettings {
    let privacy: PrivacySettings
    let bots: BotSettings
    /// A database of locations in MaxMind's format; nil: nobody's location is looked up.
    let locations: LocationDatabase?
    let retention: Retention
    /// Whether what is collected is announced on `trionex.analytics.ingest`.
    let announces: Bool
    /// Events and page views of a period up to which people and visits are counted one by one; beyond, they are estimated.
    let exactRows: Int
    /// Different values of a dimension (event names, paths, referrers …) that roll-ups count by themselves for one organization on one day;
    /// what is beyond is counted together as `…`. A lower one takes effect with the next new value, and nothing that is stored changes.
    let bound: RollupBound

    package init(_ reader: inout SettingsReader) {
        let addresses = reader.choice(
            "ANALYTICS_ADDRESSES", default: "truncated", of: ["truncated", "hashed", "none"],
            "What is kept of client addresses: their network (/24 or /48) and a hash for the day, that hash alone, or nothing")
        let wish = reader.choice(
            "ANALYTICS_DO_NOT_TRACK", default: "unnamed", of: ["unnamed", "dropped", "ignored"],
            "What is done about DNT and Sec-GPC: the event is kept without person, session and address, is not kept, or is kept as any")
        privacy = PrivacySettings(
            addresses: PrivacySettings.Addresses(rawValue: addresses) ?? .truncated,
            doNotTrack: PrivacySettings.DoNotTrack(rawValue: wish) ?? .unnamed)
        let handling = reader.choice(
            "ANALYTICS_BOTS", default: "flagged", of: ["flagged", "dropped", "counted"],
            "What is done with what bots report: kept apart and not counted, not kept, or counted as any")
        let marks = reader.text(
            "ANALYTICS_BOT_AGENTS", default: "", "Further parts of User-Agents that are bots, comma-separated, beside those known")
        bots = BotSettings(
            handling: BotSettings.Handling(rawValue: handling) ?? .flagged,
            marks: Bots(marks: marks.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }))
        locations = reader.optionalText(
            "ANALYTICS_LOCATIONS", "A file of locations in MaxMind's format (GeoLite2, GeoIP2, DB-IP); read at the start"
        ).flatMap { path in
            do throws(LocationDatabase.Unreadable) {
                return try LocationDatabase(path: path)
            } catch {
                reader.refuse("TRIONEX_ANALYTICS_LOCATIONS: \(error.description)")
                return nil
            }
        }
        let days = reader.text(
            "ANALYTICS_RETENTION", default: Retention.standard, "Days for which raw events are kept, by plan, and * for every other")
        if let retention = Retention(days) {
            self.retention = retention
        } else {
            reader.refuse("TRIONEX_ANALYTICS_RETENTION is \"\(days)\", but must be like \(Retention.standard), 1 to 36500 days each")
            retention = Retention.untouched
        }
        announces = reader.flag(
            "ANALYTICS_STREAM", default: false, "Whether collected events are published on trionex.analytics.ingest")
        exactRows = reader.integer(
            "ANALYTICS_EXACT_ROWS", default: Exactness.standardRows, in: 0...10_000_000,
            "Rows of a period up to which distinct people and visits are counted one by one; beyond, they are estimated")
        bound = RollupBound(
            values: reader.integer(
                "ANALYTICS_VALUES_PER_DAY", default: RollupBound.standardValues, in: 1...1_000_000,
                "Event names, paths and the like of a day, each, that roll-ups count by themselves; the rest is counted together as …"))
    }
}

/// What is kept of those who are counted.
struct PrivacySettings: Sendable {
    enum Addresses: String, Sendable { case truncated, hashed, none }
    enum DoNotTrack: String, Sendable { case unnamed, dropped, ignored }

    let addresses: Addresses
    let doNotTrack: DoNotTrack
}

struct BotSettings: Sendable {
    enum Handling: String, Sendable { case flagged, dropped, counted }

    let handling: Handling
    /// The operator's own, beside those that are known.
    let marks: Bots
}
