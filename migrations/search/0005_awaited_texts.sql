-- Files that are found by name, and whose text is still to be asked of the files service: a row is written with the document, and goes
-- when the text is in, or the document is gone.
CREATE TABLE awaited_texts (
    tenant_id uuid        NOT NULL,
    id        uuid        NOT NULL,
    version   bigint      NOT NULL,
    -- How often it was asked for since it was wanted, and when it is asked for next. Who is asking has put this off for a while.
    attempts  bigint      NOT NULL DEFAULT 0,
    due_at    timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX awaited_texts_due ON awaited_texts (tenant_id, due_at);

-- Files that are known already.
INSERT INTO awaited_texts (tenant_id, id, version, due_at)
SELECT tenant_id, id, version, now() FROM documents WHERE searchable AND type = 'file' AND body = '';

ALTER TABLE awaited_texts ENABLE ROW LEVEL SECURITY;
ALTER TABLE awaited_texts FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON awaited_texts
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
-- The worker finds whose there are; it then works as that organization.
CREATE POLICY platform ON awaited_texts TO {service}_platform USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON awaited_texts TO {service};
GRANT SELECT ON awaited_texts TO {service}_platform;
