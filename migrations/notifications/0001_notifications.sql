-- include: _shared/messaging.sql
-- include: _shared/idempotency.sql

-- What was told to one person. The in-app inbox shows those that have in_app; once_key keeps what must be said only once
-- (a welcome) from being said again, whichever event asks for it.
CREATE TABLE notifications (
    tenant_id  uuid         NOT NULL,
    id         uuid         NOT NULL,
    user_id    uuid,
    in_app     boolean      NOT NULL,
    template   text,
    subject    varchar(500) NOT NULL,
    body       text         NOT NULL,
    once_key   text,
    created_at timestamptz  NOT NULL,
    read_at    timestamptz,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT in_app_needs_a_person CHECK (user_id IS NOT NULL OR NOT in_app)
);
CREATE UNIQUE INDEX notifications_once ON notifications (tenant_id, once_key) WHERE once_key IS NOT NULL;
CREATE INDEX notifications_inbox ON notifications (tenant_id, user_id, created_at DESC, id DESC) WHERE in_app;
CREATE INDEX notifications_unread ON notifications (tenant_id, user_id) WHERE in_app AND read_at IS NULL;
ALTER TABLE notifications ENABLE ROW LEVEL SECURITY;
ALTER TABLE notifications FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON notifications
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON notifications TO {service};

-- One row for each channel that a notification goes out on. The text of a mail is kept until its fate is known and no longer.
CREATE TABLE deliveries (
    tenant_id       uuid         NOT NULL,
    id              uuid         NOT NULL,
    notification_id uuid         NOT NULL,
    channel         text         NOT NULL CHECK (channel IN ('email', 'inApp')),
    recipient       varchar(255) NOT NULL,
    user_id         uuid,
    template        text,
    subject         text,
    body_text       text,
    body_html       text,
    status          text         NOT NULL CHECK (status IN ('queued', 'sent', 'failed')),
    attempts        integer      NOT NULL,
    -- When it is due. A worker that takes it moves this forward by its lease, so a worker that dies gives it back by itself.
    next_attempt_at timestamptz  NOT NULL,
    last_error      text,
    created_at      timestamptz  NOT NULL,
    finished_at     timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX deliveries_by_time ON deliveries (tenant_id, created_at DESC, id DESC);
CREATE INDEX deliveries_due ON deliveries (tenant_id, next_attempt_at) WHERE status = 'queued';
ALTER TABLE deliveries ENABLE ROW LEVEL SECURITY;
ALTER TABLE deliveries FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON deliveries
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
-- One worker takes what is due of all organizations; what became of it is written as the organization's own.
CREATE POLICY platform ON deliveries TO {service}_platform USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON deliveries TO {service};
GRANT SELECT, UPDATE (attempts, next_attempt_at) ON deliveries TO {service}_platform;

-- Where people can be reached, as the users service tells in its events.
CREATE TABLE contacts (
    tenant_id  uuid         NOT NULL,
    user_id    uuid         NOT NULL,
    email      varchar(255) NOT NULL,
    first_name varchar(255),
    updated_at timestamptz  NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
);
CREATE INDEX contacts_by_email ON contacts (tenant_id, email);
ALTER TABLE contacts ENABLE ROW LEVEL SECURITY;
ALTER TABLE contacts FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON contacts
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON contacts TO {service};
