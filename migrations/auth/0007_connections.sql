-- Where people of an organization may sign in instead of here.
CREATE TABLE sso_connections (
    tenant_id      uuid        NOT NULL,
    id             uuid        NOT NULL,
    name           text        NOT NULL,
    kind           text        NOT NULL CHECK (kind IN ('oidc', 'oauth2')),
    preset         text        NOT NULL,
    issuer         text        NOT NULL,
    client_id      text        NOT NULL,
    -- Sealed for this row and this issuer.
    client_secret  bytea       NOT NULL,
    domains        text[]      NOT NULL,
    default_role   text        NOT NULL,
    joins          boolean     NOT NULL,
    -- Whether a password is refused for its domains.
    enforced       boolean     NOT NULL CHECK (enabled OR NOT enforced),
    enabled        boolean     NOT NULL,
    return_origins text[]      NOT NULL,
    last_used_at   timestamptz,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    version        integer     NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX sso_connections_newest ON sso_connections (tenant_id, created_at DESC, id DESC);
-- A sign-in names a connection, or a domain, before any organization is known.
CREATE INDEX sso_connections_by_id ON sso_connections (id);
CREATE INDEX sso_connections_by_domain ON sso_connections USING gin (domains) WHERE enabled;
ALTER TABLE sso_connections ENABLE ROW LEVEL SECURITY;
ALTER TABLE sso_connections FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON sso_connections
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY platform ON sso_connections TO {service}_platform USING (enabled);
GRANT SELECT, INSERT, UPDATE, DELETE ON sso_connections TO {service};
GRANT SELECT (tenant_id, id, domains, enabled) ON sso_connections TO {service}_platform;

-- Sign-ins that are under way at an issuer. Nonce and verifier are not here: they come from the state and the browser's cookie, of
-- which these are the hashes.
CREATE TABLE sso_attempts (
    tenant_id      uuid        NOT NULL,
    state_digest   bytea       NOT NULL,
    browser_digest bytea       NOT NULL,
    connection_id  uuid        NOT NULL,
    return_to      text        NOT NULL,
    challenge      text,
    link_to        uuid,
    created_at     timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, state_digest),
    FOREIGN KEY (tenant_id, connection_id) REFERENCES sso_connections ON DELETE CASCADE
);
CREATE INDEX sso_attempts_by_age ON sso_attempts (tenant_id, expires_at);
CREATE INDEX sso_attempts_by_connection ON sso_attempts (tenant_id, connection_id);
ALTER TABLE sso_attempts ENABLE ROW LEVEL SECURITY;
ALTER TABLE sso_attempts FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON sso_attempts
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, DELETE ON sso_attempts TO {service};

-- What a sign-in ended in, until its client comes for it.
CREATE TABLE sso_codes (
    tenant_id     uuid        NOT NULL,
    digest        bytea       NOT NULL,
    connection_id uuid        NOT NULL,
    account_id    uuid        NOT NULL,
    challenge     text,
    expires_at    timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, digest),
    FOREIGN KEY (tenant_id, connection_id) REFERENCES sso_connections ON DELETE CASCADE
);
CREATE INDEX sso_codes_by_age ON sso_codes (tenant_id, expires_at);
CREATE INDEX sso_codes_by_connection ON sso_codes (tenant_id, connection_id);
ALTER TABLE sso_codes ENABLE ROW LEVEL SECURITY;
ALTER TABLE sso_codes FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON sso_codes
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, DELETE ON sso_codes TO {service};

-- Who somebody is elsewhere. A person's, not an organization's: under the platform's tenant, like their account.
CREATE TABLE identities (
    tenant_id    uuid        NOT NULL CHECK (tenant_id = '00000000-0000-0000-0000-000000000000'),
    id           uuid        NOT NULL,
    issuer       text        NOT NULL,
    subject      text        NOT NULL,
    account_id   uuid        NOT NULL,
    -- As the issuer said it last.
    email        text,
    -- By an address that the issuer was believed about, or by the person, signed in.
    linked_by    text        NOT NULL CHECK (linked_by IN ('email', 'person')),
    created_at   timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT identities_subject UNIQUE (tenant_id, issuer, subject),
    FOREIGN KEY (tenant_id, account_id) REFERENCES accounts ON DELETE CASCADE
);
CREATE INDEX identities_by_account ON identities (tenant_id, account_id);
ALTER TABLE identities ENABLE ROW LEVEL SECURITY;
ALTER TABLE identities FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON identities
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON identities TO {service};
