-- include: _shared/messaging.sql
-- include: _shared/idempotency.sql

-- What customers report: things that happened in their own products. The id is the client's eventId where it gave one, so that
-- a retry meets the primary key and changes nothing. Client addresses are kept as networks only (/24, /48).
CREATE TABLE analytics_events (
    tenant_id        uuid         NOT NULL,
    id               uuid         NOT NULL,
    user_id          uuid,
    session_id       varchar(255),
    event_name       varchar(255) NOT NULL,
    event_category   varchar(100),
    event_properties jsonb,
    url              varchar(1000),
    referrer         varchar(1000),
    user_agent       text,
    ip_address       inet,
    occurred_at      timestamptz  NOT NULL,
    received_at      timestamptz  NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
-- Holds all that the overview asks for, so that it is answered from the index alone.
CREATE INDEX analytics_events_by_time ON analytics_events (tenant_id, occurred_at) INCLUDE (user_id, session_id);
-- Rows arrive in this order, so a few bytes per megabyte find what came in since some time.
CREATE INDEX analytics_events_by_arrival ON analytics_events USING brin (received_at);
ALTER TABLE analytics_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE analytics_events FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON analytics_events
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT ON analytics_events TO {service};

CREATE TABLE page_views (
    tenant_id        uuid          NOT NULL,
    id               uuid          NOT NULL,
    user_id          uuid,
    session_id       varchar(255),
    url              varchar(1000) NOT NULL,
    referrer         varchar(1000),
    user_agent       text,
    ip_address       inet,
    duration_seconds integer,
    bounce           boolean       NOT NULL DEFAULT false,
    occurred_at      timestamptz   NOT NULL,
    received_at      timestamptz   NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX page_views_by_time ON page_views (tenant_id, occurred_at) INCLUDE (user_id, session_id);
CREATE INDEX page_views_by_arrival ON page_views USING brin (received_at);
ALTER TABLE page_views ENABLE ROW LEVEL SECURITY;
ALTER TABLE page_views FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON page_views
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT ON page_views TO {service};

-- What happened on the platform itself, one row for each event of another service that is counted. Rows and not counters, so that
-- any period is exact, a late event lands where it belongs, and a replay from the beginning changes nothing.
CREATE TABLE facts (
    tenant_id   uuid        NOT NULL,
    event_id    uuid        NOT NULL,
    kind        text        NOT NULL,
    subject     text        NOT NULL,
    user_id     uuid,
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, event_id)
);
CREATE INDEX facts_by_time ON facts (tenant_id, occurred_at) INCLUDE (kind);
ALTER TABLE facts ENABLE ROW LEVEL SECURITY;
ALTER TABLE facts FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON facts
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT ON facts TO {service};
