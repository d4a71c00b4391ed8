-- include: _shared/messaging.sql
-- include: _shared/idempotency.sql

-- What content has announced of each article. An article that is not published keeps its row without a text, so that an older
-- event that comes late cannot bring it back.
CREATE TABLE articles (
    tenant_id  uuid        NOT NULL,
    id         uuid        NOT NULL,
    version    bigint      NOT NULL,
    published  boolean     NOT NULL,
    title      text        NOT NULL,
    slug       text        NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
ALTER TABLE articles ENABLE ROW LEVEL SECURITY;
ALTER TABLE articles FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON articles
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE ON articles TO {service};

-- Published text in pieces of one to three sentences. No index on the search vector: text search operators are not leakproof, so
-- under row-level security an organization's passages are found by its key and each is held against the question.
CREATE TABLE passages (
    tenant_id  uuid     NOT NULL,
    article_id uuid     NOT NULL,
    position   integer  NOT NULL,
    text       text     NOT NULL,
    search     tsvector NOT NULL,
    PRIMARY KEY (tenant_id, article_id, position),
    FOREIGN KEY (tenant_id, article_id) REFERENCES articles (tenant_id, id) ON DELETE CASCADE
);
ALTER TABLE passages ENABLE ROW LEVEL SECURITY;
ALTER TABLE passages FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON passages
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, DELETE ON passages TO {service};

-- A conversation belongs to one person.
CREATE TABLE conversations (
    tenant_id  uuid        NOT NULL,
    id         uuid        NOT NULL,
    user_id    uuid        NOT NULL,
    title      text        NOT NULL,
    messages   integer     NOT NULL CHECK (messages >= 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX conversations_by_person ON conversations (tenant_id, user_id, created_at DESC, id DESC);
ALTER TABLE conversations ENABLE ROW LEVEL SECURITY;
ALTER TABLE conversations FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON conversations
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON conversations TO {service};

CREATE TABLE messages (
    tenant_id         uuid        NOT NULL,
    id                uuid        NOT NULL,
    conversation_id   uuid        NOT NULL,
    position          integer     NOT NULL,
    role              text        NOT NULL CHECK (role IN ('user', 'assistant')),
    content           text        NOT NULL,
    citations         jsonb       NOT NULL,
    provider          text,
    model             text,
    prompt_tokens     integer     NOT NULL,
    completion_tokens integer     NOT NULL,
    created_at        timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT messages_in_order UNIQUE (tenant_id, conversation_id, position),
    FOREIGN KEY (tenant_id, conversation_id) REFERENCES conversations (tenant_id, id) ON DELETE CASCADE
);
ALTER TABLE messages ENABLE ROW LEVEL SECURITY;
ALTER TABLE messages FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON messages
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT ON messages TO {service};

-- What the person thought of an answer; the last word counts.
CREATE TABLE feedback (
    tenant_id  uuid        NOT NULL,
    message_id uuid        NOT NULL,
    rating     integer     NOT NULL CHECK (rating BETWEEN 1 AND 5),
    comment    text,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, message_id),
    FOREIGN KEY (tenant_id, message_id) REFERENCES messages (tenant_id, id) ON DELETE CASCADE
);
ALTER TABLE feedback ENABLE ROW LEVEL SECURITY;
ALTER TABLE feedback FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON feedback
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE ON feedback TO {service};
