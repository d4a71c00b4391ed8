-- include: _shared/messaging.sql
-- include: _shared/idempotency.sql

-- Accounts belong to no organization: they live under the platform's own tenant (all zeros), so that row-level security holds for
-- them as for every other table, and a caller inside an organization cannot see one.
CREATE TABLE accounts (
    tenant_id           uuid        NOT NULL CHECK (tenant_id = '00000000-0000-0000-0000-000000000000'),
    id                  uuid        NOT NULL,
    email               text        NOT NULL,
    password_hash       text        NOT NULL,
    status              text        NOT NULL CHECK (status IN ('pending', 'active')),
    -- What users is told, kept until users has answered.
    registration        jsonb,
    completion_tried_at timestamptz,
    password_changed_at timestamptz NOT NULL,
    last_login_at       timestamptz,
    created_at          timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT accounts_email UNIQUE (tenant_id, email),
    CHECK ((status = 'pending') = (registration IS NOT NULL))
);
CREATE INDEX accounts_pending ON accounts (tenant_id, created_at) WHERE status = 'pending';
ALTER TABLE accounts ENABLE ROW LEVEL SECURITY;
ALTER TABLE accounts FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON accounts
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON accounts TO {service};

-- Failed sign-ins by address, whether an account has it or not: a lock-out reveals nothing. Under the platform's tenant too.
CREATE TABLE sign_in_failures (
    tenant_id      uuid        NOT NULL CHECK (tenant_id = '00000000-0000-0000-0000-000000000000'),
    email_digest   bytea       NOT NULL,
    failures       integer     NOT NULL,
    locked_until   timestamptz,
    last_failed_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, email_digest)
);
CREATE INDEX sign_in_failures_by_age ON sign_in_failures (tenant_id, last_failed_at);
ALTER TABLE sign_in_failures ENABLE ROW LEVEL SECURITY;
ALTER TABLE sign_in_failures FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON sign_in_failures
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON sign_in_failures TO {service};

-- Registrations that have been announced: the guard that makes user.registered leave once, whoever finishes the registration.
CREATE TABLE registrations (
    tenant_id    uuid        NOT NULL,
    account_id   uuid        NOT NULL,
    announced_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, account_id)
);
ALTER TABLE registrations ENABLE ROW LEVEL SECURITY;
ALTER TABLE registrations FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON registrations
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, DELETE ON registrations TO {service};

CREATE TABLE sessions (
    tenant_id               uuid        NOT NULL,
    id                      uuid        NOT NULL,
    account_id              uuid        NOT NULL,
    -- How the person proved who they are (RFC 8176).
    methods                 text[]      NOT NULL,
    address                 text,
    user_agent              text,
    created_at              timestamptz NOT NULL,
    last_used_at            timestamptz NOT NULL,
    expires_at              timestamptz NOT NULL,
    revoked_at              timestamptz,
    revocation_reason       text,
    revocation_published_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX sessions_by_account ON sessions (tenant_id, account_id, last_used_at);
CREATE INDEX sessions_by_end ON sessions (expires_at);
CREATE INDEX sessions_unpublished ON sessions (revoked_at) WHERE revoked_at IS NOT NULL AND revocation_published_at IS NULL;
ALTER TABLE sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE sessions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON sessions
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY platform ON sessions TO {service}_platform USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON sessions TO {service};
GRANT SELECT, UPDATE (revocation_published_at), DELETE ON sessions TO {service}_platform;

-- Every refresh token a session ever had, as a hash. The spent ones stay as long as the session: showing one again ends it.
CREATE TABLE refresh_tokens (
    tenant_id  uuid        NOT NULL,
    digest     bytea       NOT NULL,
    session_id uuid        NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz,
    PRIMARY KEY (tenant_id, digest),
    FOREIGN KEY (tenant_id, session_id) REFERENCES sessions ON DELETE CASCADE
);
CREATE INDEX refresh_tokens_by_session ON refresh_tokens (tenant_id, session_id);
ALTER TABLE refresh_tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE refresh_tokens FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON refresh_tokens
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON refresh_tokens TO {service};
