-- include: _shared/messaging.sql
-- include: _shared/idempotency.sql

-- The organization is the tenant: its id is its tenant_id.
CREATE TABLE organizations (
    tenant_id        uuid        NOT NULL PRIMARY KEY,
    name             text        NOT NULL,
    slug             text        NOT NULL,
    domain           text,
    status           text        NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended')),
    plan             text        NOT NULL DEFAULT 'starter',
    max_users        integer     NOT NULL DEFAULT 10 CHECK (max_users > 0),
    storage_limit_gb integer     NOT NULL DEFAULT 10 CHECK (storage_limit_gb >= 0),
    trial_ends_at    timestamptz,
    data_residency   text        NOT NULL DEFAULT 'default',
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    version          integer     NOT NULL DEFAULT 1,
    -- Unique on the whole platform: it is a part of an address.
    CONSTRAINT organizations_slug UNIQUE (slug)
);
ALTER TABLE organizations ENABLE ROW LEVEL SECURITY;
ALTER TABLE organizations FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON organizations
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY platform ON organizations TO {service}_platform USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON organizations TO {service};
GRANT SELECT ON organizations TO {service}_platform;

-- A person in one organization. Whoever belongs to two has a row in each, and neither organization sees the other's.
CREATE TABLE people (
    tenant_id         uuid        NOT NULL REFERENCES organizations ON DELETE CASCADE,
    user_id           uuid        NOT NULL,
    email             text        NOT NULL,
    first_name        text,
    last_name         text,
    role              text        NOT NULL,
    status            text        NOT NULL CHECK (status IN ('active', 'invited', 'suspended')),
    company           text,
    job_title         text,
    phone             text,
    timezone          text        NOT NULL DEFAULT 'UTC',
    language          text        NOT NULL DEFAULT 'en',
    gdpr_consent      boolean     NOT NULL DEFAULT false,
    marketing_consent boolean     NOT NULL DEFAULT false,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    version           integer     NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, user_id),
    CONSTRAINT people_email UNIQUE (tenant_id, email)
);
CREATE INDEX people_newest ON people (tenant_id, created_at DESC, user_id DESC);
CREATE INDEX people_by_role ON people (tenant_id, role, created_at DESC, user_id DESC);
CREATE INDEX people_by_status ON people (tenant_id, status, created_at DESC, user_id DESC);
-- Which organizations somebody belongs to, asked at sign-in before any is known.
CREATE INDEX people_by_user ON people (user_id);
ALTER TABLE people ENABLE ROW LEVEL SECURITY;
ALTER TABLE people FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON people
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY platform ON people TO {service}_platform USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON people TO {service};
GRANT SELECT ON people TO {service}_platform;
