-- Letters on their way to notifications: written in the transaction that calls for them, forgotten when notifications has taken them.
-- What is in one (an address, a link, a code) is sealed; the row says nothing about anybody.
CREATE TABLE letters (
    tenant_id    uuid        NOT NULL,
    id           uuid        NOT NULL,
    sealed       bytea       NOT NULL,
    created_at   timestamptz NOT NULL,
    -- When it is due. A worker that takes it moves this forward, so one that dies gives it back by itself.
    next_attempt_at timestamptz NOT NULL,
    attempts     integer     NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX letters_due ON letters (next_attempt_at);
ALTER TABLE letters ENABLE ROW LEVEL SECURITY;
ALTER TABLE letters FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON letters
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY platform ON letters TO {service}_platform USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON letters TO {service};
GRANT SELECT, UPDATE, DELETE ON letters TO {service}_platform;
