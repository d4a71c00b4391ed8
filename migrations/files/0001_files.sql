-- include: _shared/messaging.sql
-- include: _shared/idempotency.sql

-- Each organization's data keys, wrapped by the master key. Never changed: a new key is a new version.
CREATE TABLE tenant_keys (
    tenant_id  uuid        NOT NULL,
    version    integer     NOT NULL CHECK (version > 0),
    wrapped    bytea       NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, version)
);
ALTER TABLE tenant_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenant_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON tenant_keys
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT ON tenant_keys TO {service};

-- A row stands for content that is stored completely and durably.
CREATE TABLE files (
    tenant_id    uuid        NOT NULL,
    id           uuid        NOT NULL,
    name         text        NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 255),
    content_type text        NOT NULL CHECK (octet_length(content_type) BETWEEN 3 AND 255),
    size         bigint      NOT NULL CHECK (size >= 0),
    sha256       text        NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    key_version  integer     NOT NULL,
    uploaded_by  uuid,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, key_version) REFERENCES tenant_keys (tenant_id, version)
);
CREATE INDEX files_by_time ON files (tenant_id, created_at DESC, id DESC);
ALTER TABLE files ENABLE ROW LEVEL SECURITY;
ALTER TABLE files FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON files
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, DELETE ON files TO {service};

-- What an organization stores, changed together with its files.
CREATE TABLE storage_usage (
    tenant_id uuid   NOT NULL PRIMARY KEY,
    bytes     bigint NOT NULL CHECK (bytes >= 0),
    files     bigint NOT NULL CHECK (files >= 0)
);
ALTER TABLE storage_usage ENABLE ROW LEVEL SECURITY;
ALTER TABLE storage_usage FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON storage_usage
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE ON storage_usage TO {service};
