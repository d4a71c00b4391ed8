-- OAuth clients of one organization. Their id as clients show it carries the organization beside this id, so that no table of
-- clients across organizations is needed.
CREATE TABLE oauth_clients (
    tenant_id                 uuid        NOT NULL,
    id                        uuid        NOT NULL,
    name                      text        NOT NULL,
    kind                      text        NOT NULL CHECK (kind IN ('confidential', 'public')),
    -- SHA-256 of 256 random bits; public clients have none.
    secret_digest             bytea,
    -- Public keys (RFC 7517) of a client that signs its assertions (private_key_jwt).
    key_set                   jsonb,
    redirect_uris             text[]      NOT NULL,
    post_logout_redirect_uris text[]      NOT NULL,
    grant_types               text[]      NOT NULL,
    -- All that it may ask for; what names a permission was held by whoever granted it.
    scopes                    text[]      NOT NULL,
    created_by                uuid        NOT NULL,
    created_at                timestamptz NOT NULL,
    updated_at                timestamptz NOT NULL,
    version                   integer     NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CHECK ((kind = 'public') = (secret_digest IS NULL AND key_set IS NULL))
);
CREATE INDEX oauth_clients_by_time ON oauth_clients (tenant_id, created_at, id);
ALTER TABLE oauth_clients ENABLE ROW LEVEL SECURITY;
ALTER TABLE oauth_clients FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON oauth_clients
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON oauth_clients TO {service};

-- What a person has allowed a client: remembered, so that nobody is asked twice, until it is withdrawn.
CREATE TABLE oauth_grants (
    tenant_id    uuid        NOT NULL,
    id           uuid        NOT NULL,
    account_id   uuid        NOT NULL,
    client_id    uuid        NOT NULL,
    scopes       text[]      NOT NULL,
    created_at   timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT oauth_grants_one UNIQUE (tenant_id, account_id, client_id),
    FOREIGN KEY (tenant_id, client_id) REFERENCES oauth_clients ON DELETE CASCADE
);
CREATE INDEX oauth_grants_by_client ON oauth_grants (tenant_id, client_id);
ALTER TABLE oauth_grants ENABLE ROW LEVEL SECURITY;
ALTER TABLE oauth_grants FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON oauth_grants
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON oauth_grants TO {service};

-- One sign-in through a client: the code that was given, who and what it stands for, and the session that it became. A code is kept
-- as a hash and lives for a minute; its row stays as long as the session, so that a code shown twice ends what the first use began.
CREATE TABLE oauth_authorizations (
    tenant_id        uuid        NOT NULL,
    id               uuid        NOT NULL,
    client_id        uuid        NOT NULL,
    account_id       uuid        NOT NULL,
    code_digest      bytea       NOT NULL,
    code_expires_at  timestamptz NOT NULL,
    redirect_uri     text        NOT NULL,
    scopes           text[]      NOT NULL,
    nonce            text,
    -- The PKCE challenge, always S256 (RFC 7636).
    challenge        text        NOT NULL,
    -- The session of the browser that the person signed in with; it may be in another organization.
    browser_tenant   uuid        NOT NULL,
    browser_session  uuid        NOT NULL,
    methods          text[]      NOT NULL,
    authenticated_at timestamptz NOT NULL,
    address          text,
    user_agent       text,
    created_at       timestamptz NOT NULL,
    -- Set when the code is redeemed.
    session_id       uuid,
    redeemed_at      timestamptz,
    expires_at       timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, client_id) REFERENCES oauth_clients ON DELETE CASCADE,
    CHECK ((session_id IS NULL) = (redeemed_at IS NULL))
);
CREATE INDEX oauth_authorizations_by_client ON oauth_authorizations (tenant_id, client_id, account_id);
CREATE INDEX oauth_authorizations_by_session ON oauth_authorizations (tenant_id, session_id);
CREATE INDEX oauth_authorizations_by_browser ON oauth_authorizations (tenant_id, browser_session);
CREATE INDEX oauth_authorizations_by_end ON oauth_authorizations (expires_at);
ALTER TABLE oauth_authorizations ENABLE ROW LEVEL SECURITY;
ALTER TABLE oauth_authorizations FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON oauth_authorizations
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY platform ON oauth_authorizations TO {service}_platform USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON oauth_authorizations TO {service};
GRANT SELECT, DELETE ON oauth_authorizations TO {service}_platform;

-- Refresh tokens of clients, as hashes. Apart from those of the platform's own sign-in: they give the rights that were allowed, no more.
CREATE TABLE oauth_refresh_tokens (
    tenant_id        uuid        NOT NULL,
    digest           bytea       NOT NULL,
    authorization_id uuid        NOT NULL,
    created_at       timestamptz NOT NULL,
    expires_at       timestamptz NOT NULL,
    used_at          timestamptz,
    PRIMARY KEY (tenant_id, digest),
    FOREIGN KEY (tenant_id, authorization_id) REFERENCES oauth_authorizations ON DELETE CASCADE
);
CREATE INDEX oauth_refresh_tokens_by_authorization ON oauth_refresh_tokens (tenant_id, authorization_id);
ALTER TABLE oauth_refresh_tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE oauth_refresh_tokens FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON oauth_refresh_tokens
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON oauth_refresh_tokens TO {service};

-- Browsers that somebody signed in with on our own pages. The session is an ordinary one of the organization that was signed in to
-- first; the cookie is kept as a hash.
CREATE TABLE browser_sessions (
    tenant_id  uuid        NOT NULL,
    session_id uuid        NOT NULL,
    digest     bytea       NOT NULL,
    -- The organizations whose clients the browser has signed in to: where to look when it signs out.
    tenants    uuid[]      NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, session_id),
    FOREIGN KEY (tenant_id, session_id) REFERENCES sessions ON DELETE CASCADE
);
ALTER TABLE browser_sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE browser_sessions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON browser_sessions
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON browser_sessions TO {service};

-- Assertions that clients have signed in with (RFC 7523): each is good once.
CREATE TABLE oauth_assertions (
    tenant_id  uuid        NOT NULL,
    client_id  uuid        NOT NULL,
    digest     bytea       NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, client_id, digest),
    FOREIGN KEY (tenant_id, client_id) REFERENCES oauth_clients ON DELETE CASCADE
);
CREATE INDEX oauth_assertions_by_end ON oauth_assertions (expires_at);
ALTER TABLE oauth_assertions ENABLE ROW LEVEL SECURITY;
ALTER TABLE oauth_assertions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON oauth_assertions
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY platform ON oauth_assertions TO {service}_platform USING (true);
GRANT SELECT, INSERT, DELETE ON oauth_assertions TO {service};
GRANT SELECT, DELETE ON oauth_assertions TO {service}_platform;
