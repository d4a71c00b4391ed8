-- An id may be kept for an address before anybody registers with it (an invitation), and an account may have no password (it signs in
-- with others): then there is no hash.
ALTER TABLE accounts
    ADD COLUMN email_verified_at  timestamptz,
    -- Kept for an invitation: a registration that fails gives the id back instead of forgetting it.
    ADD COLUMN reserved_at        timestamptz,
    -- Sessions that are still to be ended after a change of password: those begun before this time, all but one.
    ADD COLUMN sessions_end_at    timestamptz,
    ADD COLUMN session_kept       uuid,
    ALTER COLUMN password_hash DROP NOT NULL,
    ALTER COLUMN password_changed_at DROP NOT NULL,
    DROP CONSTRAINT accounts_status_check,
    ADD CONSTRAINT accounts_status_check CHECK (status IN ('reserved', 'pending', 'active'));
CREATE INDEX accounts_ending_sessions ON accounts (tenant_id, sessions_end_at) WHERE sessions_end_at IS NOT NULL;
-- Imported hashes that nobody has signed in with yet: what they cost decides what every refusal costs.
CREATE INDEX accounts_with_bcrypt ON accounts (tenant_id) WHERE password_hash LIKE '$2%';

-- Letters that prove a mailbox: a link and a code that verify an address, reset a password or finish a registration. One row is written
-- for every request, also where no account has the address and no letter leaves: asking costs the same.
CREATE TABLE email_proofs (
    tenant_id     uuid        NOT NULL CHECK (tenant_id = '00000000-0000-0000-0000-000000000000'),
    id            uuid        NOT NULL,
    purpose       text        NOT NULL CHECK (purpose IN ('verify-email', 'reset-password', 'register')),
    email         text        NOT NULL,
    -- Nobody's where no account has the address; a registration has none yet.
    account_id    uuid,
    token_digest  bytea       NOT NULL,
    -- Keyed: eight digits are too few to be hashed plainly.
    code_digest   bytea       NOT NULL,
    attempts      integer     NOT NULL DEFAULT 0,
    -- Counted apart, so that strangers who guess codes do not make the link worthless.
    wrong_passwords integer   NOT NULL DEFAULT 0,
    -- What a registration waits with, both until the address is proven.
    password_hash text,
    registration  bytea,
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    -- Used, or replaced by a later one.
    spent_at      timestamptz,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT email_proofs_token UNIQUE (tenant_id, token_digest)
);
CREATE INDEX email_proofs_by_address ON email_proofs (tenant_id, email, purpose, created_at);
CREATE INDEX email_proofs_by_age ON email_proofs (tenant_id, expires_at);
ALTER TABLE email_proofs ENABLE ROW LEVEL SECURITY;
ALTER TABLE email_proofs FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON email_proofs
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON email_proofs TO {service};

-- Where a person has signed in before, by the kind of device and the range of addresses: what is new is a risk, and what is known keeps
-- an allowance of its own when others fail with the address.
CREATE TABLE sign_in_places (
    tenant_id     uuid        NOT NULL CHECK (tenant_id = '00000000-0000-0000-0000-000000000000'),
    account_id    uuid        NOT NULL,
    device        text        NOT NULL,
    network       text        NOT NULL,
    -- What the browser shows to be known again; empty for programs, which keep no cookies.
    mark          text        NOT NULL,
    first_seen_at timestamptz NOT NULL,
    last_seen_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, account_id, device, network, mark)
);
CREATE INDEX sign_in_places_by_age ON sign_in_places (tenant_id, last_seen_at);
ALTER TABLE sign_in_places ENABLE ROW LEVEL SECURITY;
ALTER TABLE sign_in_places FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON sign_in_places
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON sign_in_places TO {service};

-- Failures are counted by what failed: an address from places unknown to it, an address from one known place, a range of addresses.
-- The column keeps its name while older programs write it; what it holds is the digest of the counter's name.
COMMENT ON COLUMN sign_in_failures.email_digest IS 'SHA-256 of what is counted: an address, an address at a known place, or a network';

ALTER TABLE sessions
    ADD COLUMN authenticated_at timestamptz,
    ADD COLUMN ends_at          timestamptz,
    ADD COLUMN device           text,
    ADD COLUMN risk             double precision NOT NULL DEFAULT 0;
-- A person's sessions in all organizations, for their own list and for what ends all of them.
CREATE INDEX sessions_platform_of_account ON sessions (account_id, created_at, id);
