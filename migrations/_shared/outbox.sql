-- The outbox by days, and beside it what still waits to be published (Shared/Decisions/0017-outbox-relay.md).
-- Events are written once and never updated; a day is dropped whole when it has been kept long enough.
ALTER TABLE outbox RENAME TO outbox_before;
-- The owner moves the rows, of all tenants.
ALTER TABLE outbox_before NO FORCE ROW LEVEL SECURITY;
DROP POLICY tenant ON outbox_before;
DROP POLICY platform ON outbox_before;
REVOKE ALL ON outbox_before FROM {service}, {service}_platform;

-- Without a cache: a session that numbered ahead would publish a key's events in the wrong order.
CREATE SEQUENCE outbox_positions CACHE 1;
SELECT setval('outbox_positions', COALESCE((SELECT max(position) FROM outbox_before), 0) + 1, false);
GRANT USAGE ON SEQUENCE outbox_positions TO {service};

-- One row for each event that waits: narrow, so that marking an event as published is the removal of a few bytes.
-- A lane is the events of one tenant in one shard of its keys; `again` are those to be published once more.
CREATE TABLE outbox_waiting (
    tenant_id   uuid        NOT NULL,
    shard       integer     NOT NULL,
    again       boolean     NOT NULL,
    position    bigint      NOT NULL,
    key         integer     NOT NULL,
    occurred_at timestamptz NOT NULL,
    -- The transaction that announced it: the relay asks for what has become visible since it last looked.
    xid         bigint      NOT NULL,
    PRIMARY KEY (tenant_id, shard, again, position)
) WITH (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0,
    -- Giving the end of the file back would lock the table against those who announce.
    vacuum_truncate = false
);
CREATE INDEX outbox_waiting_by_xid ON outbox_waiting (xid);
CREATE INDEX outbox_waiting_again ON outbox_waiting (tenant_id, key) WHERE again;
INSERT INTO outbox_waiting (tenant_id, shard, again, position, key, occurred_at, xid)
    SELECT tenant_id, hashtext(subject) & 15, false, position, hashtext(subject), occurred_at, pg_current_xact_id()::text::bigint
    FROM outbox_before WHERE sent_at IS NULL;
ALTER TABLE outbox_waiting ENABLE ROW LEVEL SECURITY;
ALTER TABLE outbox_waiting FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON outbox_waiting
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY platform ON outbox_waiting TO {service}_platform USING (true) WITH CHECK (true);
GRANT INSERT ON outbox_waiting TO {service};
GRANT SELECT, INSERT, DELETE ON outbox_waiting TO {service}_platform;

DROP INDEX outbox_by_position, outbox_unsent, outbox_sent;
ALTER TABLE outbox_before DROP CONSTRAINT outbox_pkey, DROP COLUMN sent_at, ALTER COLUMN position DROP IDENTITY;

CREATE TABLE outbox (
    tenant_id   uuid        NOT NULL,
    id          uuid        NOT NULL,
    position    bigint      NOT NULL DEFAULT nextval('outbox_positions'),
    topic       text        NOT NULL,
    type        text        NOT NULL,
    subject     text        NOT NULL,
    actor       text,
    traceparent text,
    occurred_at timestamptz NOT NULL,
    payload     bytea       NOT NULL,
    PRIMARY KEY (tenant_id, position, occurred_at)
) PARTITION BY RANGE (occurred_at);
CREATE INDEX outbox_by_time ON outbox USING brin (occurred_at) WITH (pages_per_range = 32);
ALTER TABLE outbox ENABLE ROW LEVEL SECURITY;
ALTER TABLE outbox FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON outbox
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY platform ON outbox TO {service}_platform USING (true);
GRANT SELECT, INSERT ON outbox TO {service};
GRANT SELECT ON outbox TO {service}_platform;

-- Whatever announces an event, it waits: also what a program of an earlier release writes during a roll-out.
CREATE FUNCTION outbox_waits() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    me constant bigint := pg_current_xact_id()::text::bigint;
BEGIN
    INSERT INTO {service}.outbox_waiting (tenant_id, shard, again, position, key, occurred_at, xid)
        SELECT tenant_id, hashtext(subject) & 15, false, position, hashtext(subject), occurred_at, me FROM added;
    RETURN NULL;
END
$$;
CREATE TRIGGER outbox_waits AFTER INSERT ON outbox REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION outbox_waits();

-- The service owns nothing, so days are made and dropped by this function of the owner: ahead, and never one younger than a day.
-- Names end in the day (UTC) before which all rows of the partition lie. The answer is how many were made or dropped.
CREATE FUNCTION outbox_days(first_day date, last_day date, keep_since timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {service}, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    keep constant timestamptz := least(keep_since, now() - interval '1 day');
    changed integer := 0;
    part record;
    day date;
    name text;
BEGIN
    -- Two replicas would only wait for each other.
    IF NOT pg_try_advisory_xact_lock(hashtext('{service}.outbox_days')) THEN RETURN 0; END IF;
    FOR day IN SELECT generate_series(first_day, least(last_day, first_day + 400), '1 day')::date LOOP
        name := 'outbox_to_' || to_char(day + 1, 'YYYYMMDD');
        CONTINUE WHEN to_regclass(quote_ident(name)) IS NOT NULL;
        BEGIN
            -- Made apart and then attached: that does not lock those out who write meanwhile.
            EXECUTE format('CREATE TABLE %I (LIKE outbox INCLUDING DEFAULTS)', name);
            EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
            EXECUTE format('ALTER TABLE outbox ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name,
                day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
            changed := changed + 1;
        -- The day is covered by another partition, or rows of it lie in the one for all others.
        EXCEPTION WHEN check_violation OR invalid_object_definition THEN NULL;
        END;
    END LOOP;
    FOR part IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'outbox'::regclass AND c.relname ~ '^outbox_to_[0-9]{8}$'
          AND to_date(right(c.relname, 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC' <= keep
    LOOP
        BEGIN
            EXECUTE format('DROP TABLE %I', part.relname);
            changed := changed + 1;
        -- Somebody writes just now: the next round is soon enough.
        EXCEPTION WHEN lock_not_available THEN NULL;
        END;
    END LOOP;
    -- What came with a clock far off; usually nothing. Row-level security hides it from the owner too, unless he says otherwise.
    IF pg_relation_size('outbox_other') > 0 THEN
        BEGIN
            ALTER TABLE outbox_other NO FORCE ROW LEVEL SECURITY;
            DELETE FROM outbox_other WHERE occurred_at < keep;
            ALTER TABLE outbox_other FORCE ROW LEVEL SECURITY;
        EXCEPTION WHEN lock_not_available THEN NULL;
        END;
    END IF;
    RETURN changed;
END
$$;
REVOKE ALL ON FUNCTION outbox_days(date, date, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outbox_days(date, date, timestamptz) TO {service}_platform;

-- What was announced before stays where it lies, as one partition up to the end of its last day.
DO $$
DECLARE
    ends date;
BEGIN
    SELECT (date_trunc('day', greatest(max(occurred_at), now()) AT TIME ZONE 'UTC'))::date + 1 INTO ends FROM outbox_before
        HAVING count(*) > 0;
    IF ends IS NULL THEN
        DROP TABLE outbox_before;
    ELSE
        ALTER TABLE outbox_before ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
        EXECUTE format('ALTER TABLE outbox_before RENAME TO %I', 'outbox_to_' || to_char(ends, 'YYYYMMDD'));
        EXECUTE format('ALTER TABLE outbox ATTACH PARTITION %I FOR VALUES FROM (MINVALUE) TO (%L)',
            'outbox_to_' || to_char(ends, 'YYYYMMDD'), ends::timestamp AT TIME ZONE 'UTC');
    END IF;
END
$$;
-- No event is refused for its day. Without policy or grant: it is reached through the outbox alone.
CREATE TABLE outbox_other PARTITION OF outbox DEFAULT;
ALTER TABLE outbox_other ENABLE ROW LEVEL SECURITY;
SELECT outbox_days((now() AT TIME ZONE 'UTC')::date, (now() AT TIME ZONE 'UTC')::date + 3, '-infinity');
ALTER TABLE outbox_other FORCE ROW LEVEL SECURITY;

-- Which relays are alive, and which shards of the keys each works on: rows of the platform itself.
DROP TABLE outbox_lease;
CREATE TABLE outbox_relays (
    tenant_id  uuid        NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    holder     uuid        NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, holder)
);
ALTER TABLE outbox_relays ENABLE ROW LEVEL SECURITY;
ALTER TABLE outbox_relays FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON outbox_relays
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY platform ON outbox_relays TO {service}_platform USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON outbox_relays TO {service}_platform;

CREATE TABLE outbox_shards (
    tenant_id uuid    NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    shard     integer NOT NULL,
    holder    uuid,
    PRIMARY KEY (tenant_id, shard)
);
INSERT INTO outbox_shards (shard) SELECT generate_series(0, 15);
ALTER TABLE outbox_shards ENABLE ROW LEVEL SECURITY;
ALTER TABLE outbox_shards FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON outbox_shards
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY platform ON outbox_shards TO {service}_platform USING (true) WITH CHECK (true);
GRANT SELECT, UPDATE ON outbox_shards TO {service}_platform;
