-- The end of a partition is read for partitions of these three tables alone: those of the inbox end in an id and not in a time, and reading it
-- as one failed, so that nothing was ever dropped.
CREATE OR REPLACE FUNCTION drop_partition(before timestamptz) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {service}, pg_temp SET timezone = 'UTC' SET lock_timeout = '2s' AS $$
DECLARE
    child record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('{service}.partitions', 0));
    FOR child IN
        SELECT c.relname AS name, c.relname LIKE '%\_before' AS is_oldest
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE CASE WHEN i.inhparent IN ('{service}.analytics_events'::regclass, '{service}.page_views'::regclass, '{service}.facts'::regclass)
            THEN substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''([^'']+)''\)')::timestamptz <= before ELSE false END
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
