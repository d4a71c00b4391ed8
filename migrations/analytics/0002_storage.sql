-- Storage that grows: the raw tables by month, roll-ups beside them, and what keeps both right.
--
--   analytics_events, page_views, facts   the raw rows, partitioned by the month in which things happened (UTC)
--   collected_ids                         which eventIds were taken: deduplication stays exact whatever month an event names
--   rollup_queue                          rows that the roll-ups do not have yet, written with them, taken away when folded
--   activity_rollups, fact_rollups        counts and sketches by minute, hour and day
--   people                                when each person was first seen
--   organizations, daily_salts            plan and retention of each organization; the salts that make visitors anonymous
--
-- The service owns nothing, so partitions are made and dropped by two functions of the owner that do just that
-- (make_partition, drop_partition). They are made three months ahead. What is older than the first lies in `…_before`; `…_default`
-- is empty unless nobody has made partitions for three months.
--
-- Services of the release before cannot insert while this is applied and they still run: their ON CONFLICT names a key that is gone.
-- Callers get 500 and send again, under the same eventId.

-- What was there before is kept, and copied below.
ALTER TABLE analytics_events RENAME TO old_events;
ALTER TABLE page_views RENAME TO old_views;
ALTER TABLE facts RENAME TO old_facts;
DROP INDEX analytics_events_by_time, analytics_events_by_arrival, page_views_by_time, page_views_by_arrival, facts_by_time;
ALTER TABLE old_events DROP CONSTRAINT analytics_events_pkey;
ALTER TABLE old_views DROP CONSTRAINT page_views_pkey;
ALTER TABLE old_facts DROP CONSTRAINT facts_pkey;
-- The owner is bound by row-level security too; it must see the rows to copy them.
ALTER TABLE old_events NO FORCE ROW LEVEL SECURITY;
ALTER TABLE old_views NO FORCE ROW LEVEL SECURITY;
ALTER TABLE old_facts NO FORCE ROW LEVEL SECURITY;

-- What customers report. The key is in the order of time, so one index finds a period, pages through an export, and answers counts of
-- events, people and sessions without the rows themselves.
CREATE TABLE analytics_events (
    tenant_id        uuid         NOT NULL,
    -- When it happened, by our clock (a client's skew is taken out).
    occurred_at      timestamptz  NOT NULL,
    -- The client's eventId, or one made here.
    id               uuid         NOT NULL,
    user_id          uuid,
    session_id       varchar(255),
    -- Address and browser under a salt that is thrown away after its day: tells visits of one day apart, and names nobody. Null by setting.
    visitor          uuid,
    -- Bots are kept and never counted: every figure has `WHERE NOT is_bot`.
    is_bot           boolean      NOT NULL DEFAULT false,
    event_name       varchar(255) NOT NULL,
    event_category   varchar(100),
    event_properties jsonb,
    url              varchar(1000),
    -- The url without scheme, host, query and fragment; in lower case the host of the referrer. Null where there is none.
    path             varchar(1000),
    referrer         varchar(1000),
    referrer_host    varchar(255),
    user_agent       text,
    -- The network only (/24, /48), or null by setting.
    ip_address       inet,
    -- {"country": "DE", "region": "BE", "city": "Berlin"}; null without a database of locations.
    location         jsonb,
    -- {"type": "mobile", "browser": "Firefox", "browserVersion": "128", "os": "Android", "osVersion": "14"}; what is not known is not there.
    device_info      jsonb,
    received_at      timestamptz  NOT NULL,
    PRIMARY KEY (tenant_id, occurred_at, id) INCLUDE (user_id, session_id, is_bot)
) PARTITION BY RANGE (occurred_at);
-- Funnels, and figures about one kind of event.
CREATE INDEX analytics_events_by_name ON analytics_events (tenant_id, event_name, occurred_at) INCLUDE (user_id, session_id, is_bot);
-- Cohorts, and erasure of one person's rows.
CREATE INDEX analytics_events_by_person ON analytics_events (tenant_id, user_id, occurred_at) WHERE user_id IS NOT NULL;
-- Rows arrive in this order, so a few bytes per megabyte find what came in since some time.
CREATE INDEX analytics_events_by_arrival ON analytics_events USING brin (received_at);
ALTER TABLE analytics_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE analytics_events FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON analytics_events
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON analytics_events TO {service};

CREATE TABLE page_views (
    tenant_id        uuid          NOT NULL,
    occurred_at      timestamptz   NOT NULL,
    id               uuid          NOT NULL,
    user_id          uuid,
    session_id       varchar(255),
    visitor          uuid,
    is_bot           boolean       NOT NULL DEFAULT false,
    url              varchar(1000) NOT NULL,
    path             varchar(1000),
    referrer         varchar(1000),
    referrer_host    varchar(255),
    user_agent       text,
    ip_address       inet,
    location         jsonb,
    device_info      jsonb,
    duration_seconds integer,
    bounce           boolean       NOT NULL DEFAULT false,
    received_at      timestamptz   NOT NULL,
    PRIMARY KEY (tenant_id, occurred_at, id) INCLUDE (user_id, session_id, is_bot)
) PARTITION BY RANGE (occurred_at);
CREATE INDEX page_views_by_person ON page_views (tenant_id, user_id, occurred_at) WHERE user_id IS NOT NULL;
CREATE INDEX page_views_by_arrival ON page_views USING brin (received_at);
ALTER TABLE page_views ENABLE ROW LEVEL SECURITY;
ALTER TABLE page_views FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON page_views
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON page_views TO {service};

-- What happened on the platform itself, one row for each event of another service that is counted. An event's time never changes,
-- so its id is as unique with it as without.
CREATE TABLE facts (
    tenant_id   uuid        NOT NULL,
    occurred_at timestamptz NOT NULL,
    event_id    uuid        NOT NULL,
    -- 'registration', 'publication', 'answer' …: FactKind.
    kind        text        NOT NULL,
    -- The id of the person, article, file … that it is about.
    subject     text        NOT NULL,
    -- Whose doing it was.
    user_id     uuid,
    -- What it is counted by beside its kind: the model of an answer, the currency of a payment, the category of an article, the plan.
    label       text,
    -- How much: bytes of a file, tokens of an answer, minor units of a payment, 1 to 5 of a rating.
    amount      bigint,
    -- More numbers of the same event: {"promptTokens": 3, "completionTokens": 5, "milliseconds": 800, "citations": 2}.
    details     jsonb,
    PRIMARY KEY (tenant_id, occurred_at, event_id)
) PARTITION BY RANGE (occurred_at);
CREATE INDEX facts_by_kind ON facts (tenant_id, kind, occurred_at) INCLUDE (user_id, amount);
CREATE INDEX facts_by_person ON facts (tenant_id, user_id, occurred_at) WHERE user_id IS NOT NULL;
ALTER TABLE facts ENABLE ROW LEVEL SECURITY;
ALTER TABLE facts FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON facts
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON facts TO {service};

-- Makes the first partition that is missing of the months between two times, and returns its name; null when all are there. One a call, since
-- each waits for the statements of its table: nobody then waits while holding another table.
CREATE FUNCTION make_partition(first timestamptz, last timestamptz) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {service}, pg_temp SET timezone = 'UTC' SET lock_timeout = '2s' AS $$
DECLARE
    parent text;
    month timestamptz;
    oldest timestamptz;
    child text;
BEGIN
    -- Two replicas at once: one makes it, the other finds it.
    PERFORM pg_advisory_xact_lock(hashtextextended('{service}.partitions', 0));
    FOREACH parent IN ARRAY ARRAY['analytics_events', 'page_views', 'facts'] LOOP
        -- Older months lie in one partition together; none is split off.
        SELECT substring(pg_get_expr(relpartbound, oid) FROM 'TO \(''([^'']+)''\)')::timestamptz INTO oldest
        FROM pg_class WHERE oid = to_regclass('{service}.' || parent || '_before');
        FOR month IN SELECT generate_series(date_trunc('month', first), last, interval '1 month') LOOP
            child := parent || to_char(month, '_YYYY_MM');
            CONTINUE WHEN month < oldest OR to_regclass('{service}.' || child) IS NOT NULL;
            EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', child, parent, month, month + interval '1 month');
            -- Reached through its table alone: no grant, and without a policy no row.
            EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', child);
            EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', child);
            RETURN child;
        END LOOP;
    END LOOP;
    RETURN NULL;
END
$$;

-- Drops a partition whose months all end before a time, and returns its name; null when there is none. Of the oldest months, which lie together,
-- the rows go and the partition stays.
CREATE FUNCTION drop_partition(before timestamptz) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {service}, pg_temp SET timezone = 'UTC' SET lock_timeout = '2s' AS $$
DECLARE
    child record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('{service}.partitions', 0));
    FOR child IN
        SELECT c.relname AS name, c.relname LIKE '%\_before' AS is_oldest
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent IN ('{service}.analytics_events'::regclass, '{service}.page_views'::regclass, '{service}.facts'::regclass)
          AND substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''([^'']+)''\)')::timestamptz <= before
        ORDER BY c.relname
    LOOP
        IF NOT child.is_oldest THEN
            EXECUTE format('DROP TABLE %I', child.name);
            RETURN child.name;
        END IF;
        -- Row-level security hides rows from the owner too; the size of the file does not.
        CONTINUE WHEN pg_relation_size(child.name::regclass) = 0;
        EXECUTE format('TRUNCATE TABLE %I', child.name);
        RETURN child.name;
    END LOOP;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION make_partition(timestamptz, timestamptz), drop_partition(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION make_partition(timestamptz, timestamptz), drop_partition(timestamptz) TO {service}_platform;

DO $$
DECLARE
    parent text;
    first timestamptz := date_trunc('month', now(), 'UTC') - interval '12 months';
BEGIN
    FOREACH parent IN ARRAY ARRAY['analytics_events', 'page_views', 'facts'] LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (MINVALUE) TO (%L)', parent || '_before', parent, first);
        EXECUTE format('CREATE TABLE %I PARTITION OF %I DEFAULT', parent || '_default', parent);
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', parent || '_before');
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', parent || '_before');
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', parent || '_default');
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', parent || '_default');
    END LOOP;
    WHILE make_partition(first, now() + interval '3 months') IS NOT NULL LOOP END LOOP;
END
$$;

-- Which ids were taken, as long as their events are kept. Narrow, and apart from the events, because a key of a partitioned table must
-- have its time in it: the same eventId with another time would count twice.
CREATE TABLE collected_ids (
    tenant_id   uuid        NOT NULL,
    id          uuid        NOT NULL,
    -- 1 an event, 2 a page view: ids of one are not ids of the other.
    kind        smallint    NOT NULL,
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id, kind)
) PARTITION BY HASH (id);
DO $$
BEGIN
    FOR part IN 0..7 LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF collected_ids FOR VALUES WITH (MODULUS 8, REMAINDER %s)', 'collected_ids_' || part, part);
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', 'collected_ids_' || part);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', 'collected_ids_' || part);
    END LOOP;
END
$$;
-- Ids go with their events. Most arrive soon after they happened, so this is nearly in the order of the heap.
CREATE INDEX collected_ids_by_time ON collected_ids USING brin (occurred_at);
ALTER TABLE collected_ids ENABLE ROW LEVEL SECURITY;
ALTER TABLE collected_ids FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON collected_ids
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, DELETE ON collected_ids TO {service};

-- Raw rows that are not in the roll-ups yet: a row for each call, written in the statement that stores its events. The worker (or whoever
-- asks first) takes rows away in the transaction that folds them, so each event is folded exactly once, and none is forgotten.
CREATE TABLE rollup_queue (
    tenant_id uuid          NOT NULL,
    position  bigint        GENERATED ALWAYS AS IDENTITY,
    -- 'event', 'pageView' or 'fact': which table the ids are of.
    source    text          NOT NULL,
    ids       uuid[]        NOT NULL,
    times     timestamptz[] NOT NULL,
    PRIMARY KEY (tenant_id, position)
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE rollup_queue ENABLE ROW LEVEL SECURITY;
ALTER TABLE rollup_queue FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON rollup_queue
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY platform ON rollup_queue FOR SELECT TO {service}_platform USING (true);
GRANT SELECT, INSERT, DELETE ON rollup_queue TO {service};
-- Whose turn it is, and nothing else of it.
GRANT SELECT (tenant_id) ON rollup_queue TO {service}_platform;

-- What customers reported, by minute (kept for 7 days; late rows of older minutes are not in it), hour and day. The dimension ''
-- has everything under the value ''. In each other dimension an event counts once under its value, or under '' when it has none:
--   eventName and eventCategory (events only), page (the path), referrer (its host), country, device, browser, os.
-- Minutes have '' and eventName only. Bots are counted in `bots` and in nothing else.
CREATE TABLE activity_rollups (
    tenant_id        uuid        NOT NULL,
    -- 'minute', 'hour' or 'day'.
    unit             text        NOT NULL,
    dimension        text        NOT NULL,
    bucket           timestamptz NOT NULL,
    value            text        NOT NULL,
    events           bigint      NOT NULL,
    page_views       bigint      NOT NULL,
    bots             bigint      NOT NULL,
    bounces          bigint      NOT NULL,
    -- Sum over page views that say how long they were, and how many those are.
    duration_seconds bigint      NOT NULL,
    timed_views      bigint      NOT NULL,
    -- Sketches (Domain/Sketch.swift) of the distinct user_id and session_id of events and page views together: they merge, and are off
    -- by 0.81 % in the mean when there are many. Null for nobody.
    users            bytea,
    sessions         bytea,
    PRIMARY KEY (tenant_id, unit, dimension, bucket, value)
) WITH (fillfactor = 80);
ALTER TABLE activity_rollups ENABLE ROW LEVEL SECURITY;
ALTER TABLE activity_rollups FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON activity_rollups
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON activity_rollups TO {service};

-- What happened on the platform, by hour and day, under each label and, as the sum over all of them, under none ('').
CREATE TABLE fact_rollups (
    tenant_id uuid        NOT NULL,
    unit      text        NOT NULL,
    kind      text        NOT NULL,
    bucket    timestamptz NOT NULL,
    -- '*' for all labels together; '' for facts without one.
    label     text        NOT NULL,
    facts     bigint      NOT NULL,
    -- The sum of the amounts.
    amount    bigint      NOT NULL,
    users     bytea,
    PRIMARY KEY (tenant_id, unit, kind, bucket, label)
) WITH (fillfactor = 80);
ALTER TABLE fact_rollups ENABLE ROW LEVEL SECURITY;
ALTER TABLE fact_rollups FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON fact_rollups
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON fact_rollups TO {service};

-- When each person did something first, bots apart: kept right by the fold, also for late events. Cohorts begin here.
CREATE TABLE people (
    tenant_id     uuid        NOT NULL,
    user_id       uuid        NOT NULL,
    first_seen_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
);
CREATE INDEX people_by_first_seen ON people (tenant_id, first_seen_at) INCLUDE (user_id);
ALTER TABLE people ENABLE ROW LEVEL SECURITY;
ALTER TABLE people FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON people
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON people TO {service};

-- What analytics knows of an organization: how long its raw rows are kept, and whether they are to go.
CREATE TABLE organizations (
    tenant_id   uuid        NOT NULL PRIMARY KEY,
    -- As users told it last; null until it has.
    plan        text,
    plan_at     timestamptz,
    -- After this everything of it is removed.
    erase_after timestamptz,
    -- When its rows were last looked through for old ones.
    pruned_at   timestamptz
);
ALTER TABLE organizations ENABLE ROW LEVEL SECURITY;
ALTER TABLE organizations FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON organizations
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY platform ON organizations FOR SELECT TO {service}_platform USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON organizations TO {service};
GRANT SELECT ON organizations TO {service}_platform;

-- One random salt for each organization and day, thrown away two days later: from then on nobody can tell whose visit it was.
CREATE TABLE daily_salts (
    tenant_id uuid  NOT NULL,
    day       date  NOT NULL,
    salt      bytea NOT NULL,
    PRIMARY KEY (tenant_id, day)
);
ALTER TABLE daily_salts ENABLE ROW LEVEL SECURITY;
ALTER TABLE daily_salts FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON daily_salts
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, DELETE ON daily_salts TO {service};

-- People who have refused to be followed: what is reported of them is kept without their name from then on.
CREATE TABLE objections (
    tenant_id   uuid        NOT NULL,
    user_id     uuid        NOT NULL,
    objected_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
);
ALTER TABLE objections ENABLE ROW LEVEL SECURITY;
ALTER TABLE objections FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON objections
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, DELETE ON objections TO {service};

-- What was there before, copied as the owner: the new tables are forced from here on only for those who come after.
ALTER TABLE analytics_events NO FORCE ROW LEVEL SECURITY;
ALTER TABLE page_views NO FORCE ROW LEVEL SECURITY;
ALTER TABLE facts NO FORCE ROW LEVEL SECURITY;
ALTER TABLE collected_ids NO FORCE ROW LEVEL SECURITY;
ALTER TABLE rollup_queue NO FORCE ROW LEVEL SECURITY;
ALTER TABLE organizations NO FORCE ROW LEVEL SECURITY;
INSERT INTO analytics_events (tenant_id, occurred_at, id, user_id, session_id, event_name, event_category, event_properties, url, path, referrer,
    referrer_host, user_agent, ip_address, received_at)
SELECT tenant_id, occurred_at, id, user_id, session_id, event_name, event_category, event_properties, url,
    CASE WHEN url IS NOT NULL THEN coalesce(nullif(regexp_replace(url, '^[^/?#]+:(//[^/?#]*)?|[?#].*$', '', 'g'), ''), '/') END, referrer,
    lower(substring(referrer FROM '^[^/?#]+://([^/?#:]+)')), user_agent, ip_address, received_at FROM old_events;
INSERT INTO page_views (tenant_id, occurred_at, id, user_id, session_id, url, path, referrer, referrer_host, user_agent, ip_address,
    duration_seconds, bounce, received_at)
SELECT tenant_id, occurred_at, id, user_id, session_id, url,
    CASE WHEN url IS NOT NULL THEN coalesce(nullif(regexp_replace(url, '^[^/?#]+:(//[^/?#]*)?|[?#].*$', '', 'g'), ''), '/') END, referrer,
    lower(substring(referrer FROM '^[^/?#]+://([^/?#:]+)')), user_agent, ip_address, duration_seconds, bounce, received_at FROM old_views;
INSERT INTO facts (tenant_id, occurred_at, event_id, kind, subject, user_id)
SELECT tenant_id, occurred_at, event_id, kind, subject, user_id FROM old_facts;
INSERT INTO collected_ids (tenant_id, id, kind, occurred_at)
SELECT tenant_id, id, 1, occurred_at FROM old_events UNION ALL SELECT tenant_id, id, 2, occurred_at FROM old_views;
INSERT INTO rollup_queue (tenant_id, source, ids, times)
SELECT tenant_id, source, array_agg(id), array_agg(occurred_at)
FROM (
    SELECT tenant_id, source, id, occurred_at, row_number() OVER (PARTITION BY tenant_id, source ORDER BY occurred_at) / 1000 AS part
    FROM (
        SELECT tenant_id, 'event' AS source, id, occurred_at FROM old_events
        UNION ALL SELECT tenant_id, 'pageView', id, occurred_at FROM old_views
        UNION ALL SELECT tenant_id, 'fact', event_id, occurred_at FROM old_facts
    ) AS every
) AS numbered
GROUP BY tenant_id, source, part;
INSERT INTO organizations (tenant_id) SELECT DISTINCT tenant_id FROM rollup_queue;
DROP TABLE old_events, old_views, old_facts;
ALTER TABLE analytics_events FORCE ROW LEVEL SECURITY;
ALTER TABLE page_views FORCE ROW LEVEL SECURITY;
ALTER TABLE facts FORCE ROW LEVEL SECURITY;
ALTER TABLE collected_ids FORCE ROW LEVEL SECURITY;
ALTER TABLE rollup_queue FORCE ROW LEVEL SECURITY;
ALTER TABLE organizations FORCE ROW LEVEL SECURITY;
