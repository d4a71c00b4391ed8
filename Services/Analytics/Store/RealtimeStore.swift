import Contracts
import Foundation
import Postgres

/// The last minutes, from the roll-ups that the fold writes within a second: a few rows, however much happens.
enum RealtimeStore {
    static func minutes(before now: Date) -> Query<RealtimeMinute> {
        let from = RollupUnit.minute.bucket(now).addingTimeInterval(-60 * Double(RealtimeView.minutes - 1))
        return Query(
            """
            SELECT bucket, NULL AS name, events, page_views, users FROM activity_rollups
            WHERE unit = 'minute' AND dimension = '' AND bucket >= \(from) AND bucket <= \(now)
            UNION ALL (
                SELECT \(from), value, sum(events)::bigint, 0, NULL FROM activity_rollups
                WHERE unit = 'minute' AND dimension = 'eventName' AND bucket >= \(from) AND bucket <= \(now) AND events > 0
                GROUP BY value ORDER BY sum(events) DESC, value COLLATE "C" LIMIT \(RealtimeView.names)
            )
            """
        ) { row in
            RealtimeMinute(
                start: try row("bucket"), eventName: try row("name"), events: try row("events"), pageViews: try row("page_views"),
                users: try RollupSource.sketch(row("users")))
        }
    }
}
