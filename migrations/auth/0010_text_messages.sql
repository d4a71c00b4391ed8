-- Text messages sent lately: to one number, to numbers of one range, and in all. A number is a keyed digest.
CREATE TABLE text_message_counts (
    tenant_id uuid        NOT NULL CHECK (tenant_id = '00000000-0000-0000-0000-000000000000'),
    subject   bytea       NOT NULL,
    sent      integer     NOT NULL,
    since     timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, subject)
);
CREATE INDEX text_message_counts_by_age ON text_message_counts (tenant_id, since);
ALTER TABLE text_message_counts ENABLE ROW LEVEL SECURITY;
ALTER TABLE text_message_counts FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON text_message_counts
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON text_message_counts TO {service};
