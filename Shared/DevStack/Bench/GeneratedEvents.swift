import DevStack
import Foundation

/// Events and page views as organizations have them, written by the server itself (`generate_series`) as the owner of the tables would find
/// them: ninety days, up to a hundred thousand people, thirty names, two hundred pages, half a day's rush in each day. The roll-ups
/// are then made of them by the service's own worker.
struct GeneratedEvents: Sendable {
    let psql: Psql

    static let days = 90
    static let people = 100_000
    /// Rows written in one statement.
    private static let chunk = 250_000

    init(database: String) { psql = Psql(database: database) }

    /// Writes the rows of these numbers, two thirds of them events, and returns the seconds that it took. Hashes of the number stand for chance,
    /// so a second run writes the same. `tenant` is an expression of SQL, which may depend on the number `n`.
    @discardableResult
    func write(_ numbers: Range<Int>, tenant: String) async throws -> Double {
        let start = ContinuousClock.now
        try await psql.run("CREATE UNLOGGED TABLE public.bench_made (tenant_id uuid, is_event boolean, at timestamptz, id uuid)")
        for first in stride(from: numbers.lowerBound, to: numbers.upperBound, by: Self.chunk) {
            try await psql.run(Self.statement(first..<min(first + Self.chunk, numbers.upperBound), tenant))
        }
        try await psql.run("ANALYZE analytics.analytics_events; ANALYZE analytics.page_views;")
        try await psql.run(Self.queue)
        return (ContinuousClock.now - start) / .seconds(1)
    }

    /// Until nothing waits to be folded: seconds. Of one organization, or of all.
    @discardableResult
    func waitForRollups(of tenant: String? = nil) async throws -> Double {
        let start = ContinuousClock.now
        let condition = tenant.map { " WHERE tenant_id = '\($0)'" } ?? ""
        while try await psql.count("SELECT count(*) FROM analytics.rollup_queue\(condition)") > 0 {
            try await Task.sleep(for: .milliseconds(300))
        }
        return (ContinuousClock.now - start) / .seconds(1)
    }

    private static func statement(_ numbers: Range<Int>, _ tenant: String) -> String {
        """
        SET synchronous_commit = off;
        CREATE TEMP TABLE made AS
        SELECT n, \(tenant) AS tenant_id, gen_random_uuid() AS id,
            date_trunc('milliseconds', now() - make_interval(secs => \(days * 86_400) * ((hashint8extended(n, 1) & 1048575) / 1048576.0))) AS at,
            (hashint8extended(n, 2) & 1048575) AS chance,
            ('00000000-0000-7000-8000-' || lpad(to_hex((power((hashint8extended(n, 3) & 1048575) / 1048576.0, 2) * \(people))::int), 12, '0'))::uuid
                AS person
        FROM generate_series(\(numbers.lowerBound)::bigint, \(numbers.upperBound - 1)::bigint) AS n;
        INSERT INTO analytics.analytics_events (tenant_id, occurred_at, id, user_id, session_id, event_name, event_category, event_properties, url,
            path, device_info, received_at)
        SELECT tenant_id, at, id, person, substr(person::text, 25) || to_char(at, 'YYYYMMDD'), 'name.' || chance % 30,
            'category.' || chance % 7, jsonb_build_object('plan', (ARRAY['free', 'pro', 'business'])[chance % 3 + 1], 'amount', chance % 5000),
            'https://bench.example/app', '/app', '{"type": "desktop", "browser": "Firefox", "os": "Linux"}', at
        FROM made WHERE n % 3 < 2;
        INSERT INTO analytics.page_views (tenant_id, occurred_at, id, user_id, session_id, url, path, referrer, referrer_host, device_info,
            duration_seconds, bounce, received_at)
        SELECT tenant_id, at, id, person, substr(person::text, 25) || to_char(at, 'YYYYMMDD'), 'https://bench.example/p/' || chance % 200,
            '/p/' || chance % 200, 'https://host' || chance % 40 || '.example/', 'host' || chance % 40 || '.example',
            '{"type": "mobile", "browser": "Chrome", "os": "Android"}', chance % 300, chance % 5 = 0, at
        FROM made WHERE n % 3 = 2;
        INSERT INTO public.bench_made SELECT tenant_id, n % 3 < 2, at, id FROM made;
        """
    }

    /// As history arrives: in the order of its time, a thousand a call.
    private static let queue = """
        SET synchronous_commit = off; SET work_mem = '256MB';
        INSERT INTO analytics.rollup_queue (tenant_id, source, ids, times)
        SELECT tenant_id, CASE WHEN is_event THEN 'event' ELSE 'pageView' END, array_agg(id), array_agg(at)
        FROM (SELECT *, row_number() OVER (PARTITION BY tenant_id, is_event ORDER BY at) / 1000 AS call FROM public.bench_made) AS numbered
        GROUP BY tenant_id, is_event, call ORDER BY min(at);
        DROP TABLE public.bench_made;
        """
}
