-- Plans, limits and what an organization says of itself; domains; suspension and deletion.
ALTER TABLE organizations DROP CONSTRAINT organizations_status_check;
ALTER TABLE organizations
    ADD CONSTRAINT organizations_status_check CHECK (status IN ('active', 'suspended', 'deleted')),
    ADD COLUMN subscription_status text        NOT NULL DEFAULT 'none'
        CHECK (subscription_status IN ('none', 'trialing', 'active', 'past_due', 'canceled')),
    ADD COLUMN sso_enabled         boolean     NOT NULL DEFAULT false,
    ADD COLUMN custom_branding     boolean     NOT NULL DEFAULT false,
    ADD COLUMN api_access          boolean     NOT NULL DEFAULT false,
    ADD COLUMN settings            jsonb       NOT NULL DEFAULT '{}',
    ADD COLUMN branding            jsonb       NOT NULL DEFAULT '{}',
    -- The domain asked for, and what its owner is to publish; `domain` is the one that has been shown to be theirs.
    ADD COLUMN wanted_domain       text,
    ADD COLUMN domain_challenge    text,
    ADD COLUMN domain_verified_at  timestamptz,
    ADD COLUMN domain_checked_at   timestamptz,
    -- Checks in a row that did not find the record of a verified domain.
    ADD COLUMN domain_misses       integer     NOT NULL DEFAULT 0,
    ADD COLUMN suspended_at        timestamptz,
    ADD COLUMN suspended_reason    text,
    ADD COLUMN deleted_at          timestamptz,
    ADD COLUMN erased_after        timestamptz,
    ADD CONSTRAINT organizations_domain UNIQUE (domain);
-- What a superadmin lists.
CREATE INDEX organizations_platform_newest ON organizations (created_at DESC, tenant_id DESC);

ALTER TABLE people
    ADD COLUMN data_retention_until date,
    -- What `q` looks in, made once and not for each search: 40 ms instead of 100 for a text that none of 100,000 members has. A trigram
    -- index would stay unused: LIKE is not leakproof, so under row-level security it never becomes an index condition.
    ADD COLUMN search text NOT NULL
        GENERATED ALWAYS AS (lower(email || ' ' || coalesce(first_name, '') || ' ' || coalesce(last_name, '') || ' ' || coalesce(company, ''))) STORED;

-- Roles of an organization's own, beside those that ship.
CREATE TABLE roles (
    tenant_id   uuid        NOT NULL REFERENCES organizations ON DELETE CASCADE,
    id          uuid        NOT NULL,
    name        text        NOT NULL,
    description text        NOT NULL DEFAULT '',
    permissions text[]      NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    version     integer     NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT roles_name UNIQUE (tenant_id, name)
);
ALTER TABLE roles ENABLE ROW LEVEL SECURITY;
ALTER TABLE roles FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON roles
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY platform ON roles TO {service}_platform USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON roles TO {service};
GRANT SELECT ON roles TO {service}_platform;

-- Somebody who is asked to join; the person stands in `people` as invited until they do. Of the token only its digest is kept.
CREATE TABLE invitations (
    tenant_id   uuid        NOT NULL REFERENCES organizations ON DELETE CASCADE,
    id          uuid        NOT NULL,
    user_id     uuid        NOT NULL,
    email       text        NOT NULL,
    role        text        NOT NULL,
    message     text,
    digest      bytea       NOT NULL,
    status      text        NOT NULL CHECK (status IN ('pending', 'accepted', 'declined', 'revoked')),
    invited_by  uuid,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    sent_at     timestamptz NOT NULL,
    sends       integer     NOT NULL DEFAULT 1,
    settled_at  timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX invitations_open ON invitations (tenant_id, email) WHERE status = 'pending';
CREATE UNIQUE INDEX invitations_by_digest ON invitations (tenant_id, digest);
CREATE INDEX invitations_newest ON invitations (tenant_id, created_at DESC, id DESC);
CREATE INDEX invitations_by_sending ON invitations (tenant_id, sent_at);
ALTER TABLE invitations ENABLE ROW LEVEL SECURITY;
ALTER TABLE invitations FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON invitations
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON invitations TO {service};

-- What an organization's files take, counted from their events.
CREATE TABLE storage_usage (
    tenant_id  uuid        NOT NULL PRIMARY KEY,
    bytes      bigint      NOT NULL,
    files      bigint      NOT NULL,
    updated_at timestamptz NOT NULL
);
ALTER TABLE storage_usage ENABLE ROW LEVEL SECURITY;
ALTER TABLE storage_usage FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON storage_usage
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON storage_usage TO {service};

-- Who runs the platform: rows of the platform itself, which is no organization.
CREATE TABLE platform_admins (
    tenant_id  uuid        NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    user_id    uuid        NOT NULL,
    email      text        NOT NULL,
    granted_by uuid,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
);
ALTER TABLE platform_admins ENABLE ROW LEVEL SECURITY;
ALTER TABLE platform_admins FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON platform_admins
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY platform ON platform_admins TO {service}_platform USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON platform_admins TO {service};
GRANT SELECT ON platform_admins TO {service}_platform;

-- Addresses that accounts have shown to be theirs, from auth's events: what makes somebody whom the settings name a platform admin.
CREATE TABLE verified_addresses (
    tenant_id   uuid        NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    user_id     uuid        NOT NULL,
    email       text        NOT NULL,
    verified_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
);
CREATE INDEX verified_addresses_by_email ON verified_addresses (tenant_id, email);
ALTER TABLE verified_addresses ENABLE ROW LEVEL SECURITY;
ALTER TABLE verified_addresses FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON verified_addresses
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON verified_addresses TO {service};
