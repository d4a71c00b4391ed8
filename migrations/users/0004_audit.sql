-- Who did what to what, and who was refused: one row per entry of `trionex.audit`, from every service, chained by hashes (README.md,
-- "The audit log"). The service adds and reads; nothing it is granted changes or removes a row.
CREATE TABLE audit_logs (
    tenant_id     uuid        NOT NULL,
    -- From 1, without gaps.
    sequence      bigint      NOT NULL CHECK (sequence > 0),
    -- The event's: what was recorded once is not recorded again.
    id            uuid        NOT NULL,
    service       text        NOT NULL,
    action        text        NOT NULL,
    resource_type text        NOT NULL,
    resource_id   text,
    -- person:<id>, key:<id>, client:<id>, service:<name> or anonymous.
    actor         text        NOT NULL,
    -- The person behind it, also behind a key.
    user_id       uuid,
    -- The platform admin who acted as that person.
    impersonator  uuid,
    outcome       text        NOT NULL,
    risk_level    text        NOT NULL,
    old_values    jsonb,
    new_values    jsonb,
    ip_address    text,
    user_agent    text,
    location      jsonb,
    request_id    text,
    occurred_at   timestamptz NOT NULL,
    recorded_at   timestamptz NOT NULL,
    previous_hash bytea       NOT NULL CHECK (octet_length(previous_hash) = 32),
    hash          bytea       NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (tenant_id, sequence),
    CONSTRAINT audit_logs_once UNIQUE (tenant_id, id)
);
CREATE INDEX audit_logs_by_person ON audit_logs (tenant_id, user_id, sequence DESC);
CREATE INDEX audit_logs_by_actor ON audit_logs (tenant_id, actor, sequence DESC);
CREATE INDEX audit_logs_by_action ON audit_logs (tenant_id, action COLLATE "C", sequence DESC);
CREATE INDEX audit_logs_by_resource ON audit_logs (tenant_id, resource_type, resource_id, sequence DESC);
CREATE INDEX audit_logs_by_time ON audit_logs (tenant_id, occurred_at, sequence DESC);
CREATE INDEX audit_logs_by_risk ON audit_logs (tenant_id, risk_level, sequence DESC) WHERE risk_level <> 'low';
CREATE INDEX audit_logs_by_outcome ON audit_logs (tenant_id, outcome, sequence DESC) WHERE outcome <> 'allowed';
ALTER TABLE audit_logs ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_logs FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON audit_logs
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
-- Retention is the platform's work, and even it cannot reach what is younger than a year.
CREATE POLICY retention_sees ON audit_logs FOR SELECT TO {service}_platform USING (recorded_at < now() - interval '365 days');
CREATE POLICY retention ON audit_logs FOR DELETE TO {service}_platform USING (recorded_at < now() - interval '365 days');
GRANT SELECT, INSERT ON audit_logs TO {service};
GRANT SELECT (tenant_id, sequence, recorded_at, hash), DELETE ON audit_logs TO {service}_platform;

-- How far each log has come. Locked by whoever adds an entry, so that one follows the other.
CREATE TABLE audit_heads (
    tenant_id       uuid   NOT NULL PRIMARY KEY,
    sequence        bigint NOT NULL CHECK (sequence >= 0),
    hash            bytea  NOT NULL CHECK (octet_length(hash) = 32),
    -- How far it is vouched for by a checkpoint.
    signed_sequence bigint NOT NULL DEFAULT 0
);
CREATE INDEX audit_heads_unsigned ON audit_heads (tenant_id) WHERE sequence > signed_sequence;
ALTER TABLE audit_heads ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_heads FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON audit_heads
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY platform ON audit_heads FOR SELECT TO {service}_platform USING (true);
GRANT SELECT, INSERT, UPDATE ON audit_heads TO {service};
GRANT SELECT (tenant_id, sequence, signed_sequence) ON audit_heads TO {service}_platform;

-- Signed statements that a log had come so far with this hash. The key is not in this database.
CREATE TABLE audit_checkpoints (
    tenant_id uuid        NOT NULL,
    sequence  bigint      NOT NULL CHECK (sequence > 0),
    kind      text        NOT NULL CHECK (kind IN ('checkpoint', 'pruned')),
    hash      text        NOT NULL,
    signed_at timestamptz NOT NULL,
    key_id    text        NOT NULL,
    signature text        NOT NULL,
    PRIMARY KEY (tenant_id, kind, sequence)
);
ALTER TABLE audit_checkpoints ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_checkpoints FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON audit_checkpoints
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT ON audit_checkpoints TO {service};
