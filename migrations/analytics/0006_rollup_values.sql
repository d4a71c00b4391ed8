-- How many different values each dimension of the roll-ups has on each day: beyond a number (TRIONEX_ANALYTICS_VALUES_PER_DAY) what is new
-- is counted under the value '…', which is not in this number, nor are '' and '*'. Written by the fold, under its lock. A day without a row
-- here has none counted yet: one from before this table may have as many again.
CREATE TABLE rollup_values (
    tenant_id uuid        NOT NULL,
    -- As in activity_rollups; 'fact ' and the kind for the labels of fact_rollups.
    dimension text        NOT NULL,
    day       timestamptz NOT NULL,
    taken     bigint      NOT NULL,
    PRIMARY KEY (tenant_id, dimension, day)
) WITH (fillfactor = 80);
ALTER TABLE rollup_values ENABLE ROW LEVEL SECURITY;
ALTER TABLE rollup_values FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON rollup_values
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON rollup_values TO {service};
