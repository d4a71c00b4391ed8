-- Second factors belong to people, as accounts do: everything here lives under the platform's own tenant.

CREATE TABLE second_factors (
    tenant_id    uuid        NOT NULL CHECK (tenant_id = '00000000-0000-0000-0000-000000000000'),
    id           uuid        NOT NULL,
    account_id   uuid        NOT NULL,
    method       text        NOT NULL CHECK (method IN ('totp', 'sms', 'email', 'webauthn')),
    name         text        NOT NULL,
    -- The key of an authenticator app or a telephone number, sealed.
    secret       bytea,
    -- The number masked, for its owner to recognize.
    hint         text,
    -- The last time step whose code was taken: none is taken twice.
    last_step    bigint,
    created_at   timestamptz NOT NULL,
    -- Null until its owner has shown that they have it.
    confirmed_at timestamptz,
    last_used_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, account_id) REFERENCES accounts ON DELETE CASCADE
);
CREATE INDEX second_factors_by_account ON second_factors (tenant_id, account_id, created_at);
CREATE INDEX second_factors_unconfirmed ON second_factors (tenant_id, created_at) WHERE confirmed_at IS NULL;
ALTER TABLE second_factors ENABLE ROW LEVEL SECURITY;
ALTER TABLE second_factors FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON second_factors
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON second_factors TO {service};

-- What WebAuthn knows of a security key or passkey.
CREATE TABLE security_keys (
    tenant_id       uuid        NOT NULL CHECK (tenant_id = '00000000-0000-0000-0000-000000000000'),
    factor_id       uuid        NOT NULL,
    account_id      uuid        NOT NULL,
    credential_id   bytea       NOT NULL,
    -- As COSE writes it.
    public_key      bytea       NOT NULL,
    sign_count      bigint      NOT NULL,
    aaguid          uuid        NOT NULL,
    transports      text[]      NOT NULL,
    attestation     text        NOT NULL CHECK (attestation IN ('none', 'self', 'basic')),
    verifies_user   boolean     NOT NULL,
    backup_eligible boolean     NOT NULL,
    backed_up       boolean     NOT NULL,
    PRIMARY KEY (tenant_id, factor_id),
    CONSTRAINT security_keys_credential UNIQUE (tenant_id, credential_id),
    FOREIGN KEY (tenant_id, factor_id) REFERENCES second_factors ON DELETE CASCADE
);
CREATE INDEX security_keys_by_account ON security_keys (tenant_id, account_id);
ALTER TABLE security_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE security_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON security_keys
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON security_keys TO {service};

-- Challenges that have been answered, until they would have expired: a second answer is a replay.
CREATE TABLE spent_challenges (
    tenant_id  uuid        NOT NULL CHECK (tenant_id = '00000000-0000-0000-0000-000000000000'),
    digest     bytea       NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, digest)
);
CREATE INDEX spent_challenges_by_end ON spent_challenges (tenant_id, expires_at);
ALTER TABLE spent_challenges ENABLE ROW LEVEL SECURITY;
ALTER TABLE spent_challenges FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON spent_challenges
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, DELETE ON spent_challenges TO {service};

-- The code that was last sent for a factor, as a keyed digest. For a code without a factor the account stands for it.
CREATE TABLE sent_codes (
    tenant_id  uuid        NOT NULL CHECK (tenant_id = '00000000-0000-0000-0000-000000000000'),
    subject_id uuid        NOT NULL,
    account_id uuid        NOT NULL,
    digest     bytea       NOT NULL,
    attempts   integer     NOT NULL DEFAULT 0,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, subject_id),
    FOREIGN KEY (tenant_id, account_id) REFERENCES accounts ON DELETE CASCADE
);
CREATE INDEX sent_codes_by_account ON sent_codes (tenant_id, account_id);
CREATE INDEX sent_codes_by_end ON sent_codes (tenant_id, expires_at);
ALTER TABLE sent_codes ENABLE ROW LEVEL SECURITY;
ALTER TABLE sent_codes FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON sent_codes
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON sent_codes TO {service};

-- Wrong codes and sent codes of an account, whatever sign-in or session they were for.
CREATE TABLE second_factor_limits (
    tenant_id      uuid        NOT NULL CHECK (tenant_id = '00000000-0000-0000-0000-000000000000'),
    account_id     uuid        NOT NULL,
    failures       integer     NOT NULL DEFAULT 0,
    last_failed_at timestamptz,
    locked_until   timestamptz,
    sent           integer     NOT NULL DEFAULT 0,
    sent_since     timestamptz,
    last_sent_at   timestamptz,
    PRIMARY KEY (tenant_id, account_id),
    FOREIGN KEY (tenant_id, account_id) REFERENCES accounts ON DELETE CASCADE
);
ALTER TABLE second_factor_limits ENABLE ROW LEVEL SECURITY;
ALTER TABLE second_factor_limits FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON second_factor_limits
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON second_factor_limits TO {service};

CREATE TABLE recovery_codes (
    tenant_id  uuid        NOT NULL CHECK (tenant_id = '00000000-0000-0000-0000-000000000000'),
    account_id uuid        NOT NULL,
    digest     bytea       NOT NULL,
    created_at timestamptz NOT NULL,
    used_at    timestamptz,
    PRIMARY KEY (tenant_id, account_id, digest),
    FOREIGN KEY (tenant_id, account_id) REFERENCES accounts ON DELETE CASCADE
);
ALTER TABLE recovery_codes ENABLE ROW LEVEL SECURITY;
ALTER TABLE recovery_codes FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON recovery_codes
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON recovery_codes TO {service};

-- Sign-ins that have shown a first factor and wait for a second, by the digest of their token.
CREATE TABLE pending_sign_ins (
    tenant_id       uuid        NOT NULL CHECK (tenant_id = '00000000-0000-0000-0000-000000000000'),
    digest          bytea       NOT NULL,
    id              uuid        NOT NULL,
    account_id      uuid        NOT NULL,
    -- Where they sign in: asked of users again before the session is opened.
    organization_id uuid        NOT NULL,
    -- What has been shown (RFC 8176).
    methods         text[]      NOT NULL,
    -- 'verify' a factor, 'enrol' the first one, or 'mail': a code to the address of an account without a factor.
    demand          text        NOT NULL CHECK (demand IN ('verify', 'enrol', 'mail')),
    risk            double precision NOT NULL DEFAULT 0,
    attempts        integer     NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    used_at         timestamptz,
    PRIMARY KEY (tenant_id, digest),
    FOREIGN KEY (tenant_id, account_id) REFERENCES accounts ON DELETE CASCADE
);
CREATE INDEX pending_sign_ins_by_account ON pending_sign_ins (tenant_id, account_id);
CREATE INDEX pending_sign_ins_by_end ON pending_sign_ins (tenant_id, expires_at);
ALTER TABLE pending_sign_ins ENABLE ROW LEVEL SECURITY;
ALTER TABLE pending_sign_ins FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON pending_sign_ins
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON pending_sign_ins TO {service};

-- Devices on which the account's owner asked not to be asked for a second factor for a while, by the digest of a cookie.
CREATE TABLE trusted_devices (
    tenant_id  uuid        NOT NULL CHECK (tenant_id = '00000000-0000-0000-0000-000000000000'),
    digest     bytea       NOT NULL,
    account_id uuid        NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, digest),
    FOREIGN KEY (tenant_id, account_id) REFERENCES accounts ON DELETE CASCADE
);
CREATE INDEX trusted_devices_by_account ON trusted_devices (tenant_id, account_id);
CREATE INDEX trusted_devices_by_end ON trusted_devices (tenant_id, expires_at);
ALTER TABLE trusted_devices ENABLE ROW LEVEL SECURITY;
ALTER TABLE trusted_devices FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON trusted_devices
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, DELETE ON trusted_devices TO {service};
