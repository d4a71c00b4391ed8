-- What other programs of the platform ask to have told to somebody: links and codes among it. To whom it goes and what it says is
-- sealed under the platform's key, and forgotten as soon as its fate is known. The row stays a while, so that a letter which is asked
-- for again under its id is not sent again.
CREATE TABLE letters (
    tenant_id       uuid        NOT NULL,
    id              uuid        NOT NULL,
    channel         text        NOT NULL CHECK (channel IN ('email', 'sms')),
    template        text        NOT NULL,
    -- Somebody waits for it: it goes before the others.
    urgent          boolean     NOT NULL,
    sealed          bytea,
    status          text        NOT NULL CHECK (status IN ('queued', 'sent', 'failed')),
    attempts        integer     NOT NULL,
    -- When it is due. A worker that takes it moves this forward by its lease, so a worker that dies gives it back by itself.
    next_attempt_at timestamptz NOT NULL,
    -- Whether a try is under way, or has ended in a way that does not tell whether the letter went out.
    in_doubt        boolean     NOT NULL DEFAULT false,
    -- After this it is not sent any more.
    expires_at      timestamptz,
    last_error      text,
    created_at      timestamptz NOT NULL,
    finished_at     timestamptz,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT forgotten_when_finished CHECK ((sealed IS NOT NULL) = (status = 'queued'))
);
CREATE INDEX letters_due ON letters (tenant_id, channel, urgent, next_attempt_at) WHERE status = 'queued';
CREATE INDEX letters_finished ON letters (finished_at) WHERE finished_at IS NOT NULL;
ALTER TABLE letters ENABLE ROW LEVEL SECURITY;
ALTER TABLE letters FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON letters
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
-- One worker for each channel takes what is due of all organizations; what became of it is written as the organization's own.
CREATE POLICY platform ON letters TO {service}_platform USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ON letters TO {service};
GRANT SELECT, UPDATE (attempts, next_attempt_at, in_doubt), DELETE ON letters TO {service}_platform;
