-- Answers to POSTs that carried an Idempotency-Key: kept 24 hours, under a hash of the key, encrypted with the key itself.
CREATE TABLE idempotency_keys (
    tenant_id   uuid        NOT NULL,
    principal   text        NOT NULL,
    key_hash    bytea       NOT NULL,
    fingerprint bytea       NOT NULL,
    answer      bytea,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, principal, key_hash)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (tenant_id, created_at);
ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE idempotency_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON idempotency_keys
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY platform ON idempotency_keys TO {service}_platform USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_keys TO {service};
GRANT SELECT, DELETE ON idempotency_keys TO {service}_platform;
