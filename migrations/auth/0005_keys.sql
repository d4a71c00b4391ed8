-- Keys for programs, made by people. A key carries its organization beside 256 random bits, so it is looked up inside the
-- organization like everything else; only its hash is kept.
CREATE TABLE api_keys (
    tenant_id         uuid        NOT NULL,
    id                uuid        NOT NULL,
    owner_id          uuid        NOT NULL,
    name              text        NOT NULL,
    -- The first characters of the key, by which its owner knows it again.
    prefix            text        NOT NULL,
    digest            bytea       NOT NULL,
    scopes            text[]      NOT NULL,
    created_at        timestamptz NOT NULL,
    expires_at        timestamptz,
    last_used_at      timestamptz,
    revoked_at        timestamptz,
    revocation_reason text,
    version           integer     NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT api_keys_digest UNIQUE (tenant_id, digest),
    CHECK ((revoked_at IS NULL) = (revocation_reason IS NULL))
);
CREATE INDEX api_keys_newest ON api_keys (tenant_id, created_at DESC, id DESC);
CREATE INDEX api_keys_by_owner ON api_keys (tenant_id, owner_id, created_at DESC, id DESC);
ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON api_keys
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON api_keys TO {service};

-- What ended before its tokens expired, written with the change that ended it: the truth behind what every program keeps in
-- memory and Redis passes on. Sessions that end by themselves are in their own table.
CREATE TABLE revocations (
    tenant_id        uuid        NOT NULL,
    id               uuid        NOT NULL,
    kind             text        NOT NULL CHECK (kind IN ('session', 'member', 'account', 'organization', 'api-key', 'client')),
    subject_id       uuid        NOT NULL,
    -- Tokens signed until then are dead.
    revoked_at       timestamptz NOT NULL,
    -- When the last of them has expired by itself.
    tokens_expire_at timestamptz NOT NULL,
    recorded_at      timestamptz NOT NULL,
    published_at     timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX revocations_unpublished ON revocations (recorded_at) WHERE published_at IS NULL;
CREATE INDEX revocations_newest ON revocations (recorded_at);
CREATE INDEX revocations_by_end ON revocations (tokens_expire_at);
ALTER TABLE revocations ENABLE ROW LEVEL SECURITY;
ALTER TABLE revocations FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON revocations
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY platform ON revocations TO {service}_platform USING (true);
GRANT SELECT, INSERT, UPDATE (published_at) ON revocations TO {service};
GRANT SELECT, UPDATE (published_at), DELETE ON revocations TO {service}_platform;

-- A platform admin acting as the person: shown to the person among their sessions, and never prolonged.
ALTER TABLE sessions ADD COLUMN impersonator_id uuid;
ALTER TABLE sessions ADD COLUMN impersonation_reason text;
CREATE INDEX sessions_revoked ON sessions (revoked_at) WHERE revoked_at IS NOT NULL;
