-- Events on their way out and the ids of those that came in: the same tables in every service's schema (EVENTS.md).

-- Written in the transaction that changes the state; published by the relay in order of position; kept a while, to be published again.
CREATE TABLE outbox (
    tenant_id   uuid        NOT NULL,
    id          uuid        NOT NULL,
    position    bigint      GENERATED ALWAYS AS IDENTITY,
    topic       text        NOT NULL,
    type        text        NOT NULL,
    subject     text        NOT NULL,
    actor       text,
    traceparent text,
    occurred_at timestamptz NOT NULL,
    payload     bytea       NOT NULL,
    sent_at     timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX outbox_by_position ON outbox (position);
CREATE INDEX outbox_unsent ON outbox (position) WHERE sent_at IS NULL;
CREATE INDEX outbox_sent ON outbox (sent_at) WHERE sent_at IS NOT NULL;
ALTER TABLE outbox ENABLE ROW LEVEL SECURITY;
ALTER TABLE outbox FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON outbox
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY platform ON outbox TO {service}_platform USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON outbox TO {service};
GRANT SELECT, UPDATE, DELETE ON outbox TO {service}_platform;

-- Which of the service's relays publishes just now: one row, of the platform itself.
CREATE TABLE outbox_lease (
    tenant_id  uuid        NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000' PRIMARY KEY,
    holder     uuid        NOT NULL,
    expires_at timestamptz NOT NULL
);
ALTER TABLE outbox_lease ENABLE ROW LEVEL SECURITY;
ALTER TABLE outbox_lease FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON outbox_lease
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY platform ON outbox_lease TO {service}_platform USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON outbox_lease TO {service}_platform;

-- One row for each event a consumer has handled, written in the handler's transaction: a second delivery does nothing.
CREATE TABLE inbox (
    tenant_id  uuid        NOT NULL,
    consumer   text        NOT NULL,
    event_id   uuid        NOT NULL,
    handled_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, consumer, event_id)
);
CREATE INDEX inbox_by_age ON inbox (handled_at);
ALTER TABLE inbox ENABLE ROW LEVEL SECURITY;
ALTER TABLE inbox FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON inbox
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY platform ON inbox TO {service}_platform USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON inbox TO {service};
GRANT SELECT, DELETE ON inbox TO {service}_platform;
