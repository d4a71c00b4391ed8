-- The inbox by the days of its events (Shared/Decisions/0017-outbox-relay.md): ids are UUIDs of version 7, which begin with their time, so a
-- range of ids is a day, and the key that makes an event's effect happen once stays one key over all of them.
ALTER TABLE inbox RENAME TO inbox_before;
-- The owner moves the rows, of all tenants.
ALTER TABLE inbox_before NO FORCE ROW LEVEL SECURITY;
DROP POLICY tenant ON inbox_before;
DROP POLICY platform ON inbox_before;
REVOKE ALL ON inbox_before FROM {service}, {service}_platform;
DROP INDEX inbox_by_age;
ALTER INDEX inbox_pkey RENAME TO inbox_before_pkey;

CREATE TABLE inbox (
    tenant_id  uuid        NOT NULL,
    consumer   text        NOT NULL,
    event_id   uuid        NOT NULL,
    handled_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, consumer, event_id)
) PARTITION BY RANGE (event_id);
CREATE INDEX inbox_by_age ON inbox USING brin (handled_at) WITH (pages_per_range = 32);
ALTER TABLE inbox ENABLE ROW LEVEL SECURITY;
ALTER TABLE inbox FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON inbox
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY platform ON inbox TO {service}_platform USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON inbox TO {service};
GRANT SELECT, DELETE ON inbox TO {service}_platform;

-- The first id of a day (UTC).
CREATE FUNCTION inbox_first_id(day date) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM day::timestamp AT TIME ZONE 'UTC') * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;
REVOKE ALL ON FUNCTION inbox_first_id(date) FROM PUBLIC;

-- As outbox_days: days ahead are made, and those of events older than `keep_since` dropped, never one younger than a day.
CREATE FUNCTION inbox_days(first_day date, last_day date, keep_since timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {service}, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    keep constant timestamptz := least(keep_since, now() - interval '1 day');
    changed integer := 0;
    part record;
    day date;
    name text;
    is_needed boolean;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('{service}.inbox_days')) THEN RETURN 0; END IF;
    FOR day IN SELECT generate_series(first_day, least(last_day, first_day + 400), '1 day')::date LOOP
        name := 'inbox_to_' || to_char(day + 1, 'YYYYMMDD');
        CONTINUE WHEN to_regclass(quote_ident(name)) IS NOT NULL;
        BEGIN
            EXECUTE format('CREATE TABLE %I (LIKE inbox INCLUDING DEFAULTS)', name);
            EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
            EXECUTE format('ALTER TABLE inbox ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name,
                inbox_first_id(day), inbox_first_id(day + 1));
            changed := changed + 1;
        -- The day is covered by another partition, or ids of it lie in the one for all others.
        EXCEPTION WHEN check_violation OR invalid_object_definition THEN NULL;
        END;
    END LOOP;
    FOR part IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'inbox'::regclass AND c.relname ~ '^inbox_to_[0-9]{8}$'
          AND to_date(right(c.relname, 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC' <= keep
    LOOP
        BEGIN
            -- Also of an old event it is remembered for the whole time that it was handled: a dead letter may be replayed late, and twice.
            -- Row-level security would hide the rows from the owner.
            EXECUTE format('ALTER TABLE %I NO FORCE ROW LEVEL SECURITY', part.relname);
            EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE handled_at > $1)', part.relname) INTO is_needed USING keep;
            IF is_needed THEN
                EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', part.relname);
            ELSE
                EXECUTE format('DROP TABLE %I', part.relname);
                changed := changed + 1;
            END IF;
        EXCEPTION WHEN lock_not_available THEN NULL;
        END;
    END LOOP;
    RETURN changed;
END
$$;
REVOKE ALL ON FUNCTION inbox_days(date, date, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION inbox_days(date, date, timestamptz) TO {service}_platform;

-- Ids of no day: of clocks far off, or of no version 7. They are pruned row by row, by when they were handled.
CREATE TABLE inbox_other PARTITION OF inbox DEFAULT;
ALTER TABLE inbox_other ENABLE ROW LEVEL SECURITY;

-- What was handled before stays where it lies: the partition of all ids up to the end of today, also when it is empty. The few beyond it move.
INSERT INTO inbox_other SELECT tenant_id, consumer, event_id, handled_at FROM inbox_before
    WHERE event_id >= inbox_first_id((now() AT TIME ZONE 'UTC')::date + 1);
DELETE FROM inbox_before WHERE event_id >= inbox_first_id((now() AT TIME ZONE 'UTC')::date + 1);
DO $$
DECLARE
    ends constant date := (now() AT TIME ZONE 'UTC')::date + 1;
    name constant text := 'inbox_to_' || to_char(ends, 'YYYYMMDD');
BEGIN
    ALTER TABLE inbox_before ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    EXECUTE format('ALTER TABLE inbox_before RENAME TO %I', name);
    EXECUTE format('ALTER TABLE inbox ATTACH PARTITION %I FOR VALUES FROM (MINVALUE) TO (%L)', name, inbox_first_id(ends));
END
$$;
SELECT inbox_days((now() AT TIME ZONE 'UTC')::date, (now() AT TIME ZONE 'UTC')::date + 3, '-infinity');
ALTER TABLE inbox_other FORCE ROW LEVEL SECURITY;
