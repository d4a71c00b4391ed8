-- include: _shared/messaging.sql
-- include: _shared/idempotency.sql

CREATE TABLE articles (
    tenant_id        uuid        NOT NULL,
    id               uuid        NOT NULL,
    author_id        uuid,
    title            text        NOT NULL,
    slug             text        NOT NULL,
    content          text        NOT NULL,
    excerpt          text,
    category         text,
    tags             text[]      NOT NULL DEFAULT '{}',
    featured         boolean     NOT NULL DEFAULT false,
    meta_title       text,
    meta_description text,
    canonical_url    text,
    og_image         text,
    status           text        NOT NULL GENERATED ALWAYS AS (CASE WHEN published_at IS NULL THEN 'draft' ELSE 'published' END) STORED,
    published_at     timestamptz,
    view_count       integer     NOT NULL DEFAULT 0,
    like_count       integer     NOT NULL DEFAULT 0,
    comment_count    integer     NOT NULL DEFAULT 0,
    version          integer     NOT NULL,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT articles_slug_unique UNIQUE (tenant_id, slug)
);
CREATE INDEX articles_by_creation ON articles (tenant_id, created_at, id);
CREATE INDEX articles_by_update ON articles (tenant_id, updated_at, id);
CREATE INDEX articles_by_publication ON articles (tenant_id, coalesce(published_at, created_at), id);
CREATE INDEX articles_by_category ON articles (tenant_id, category, created_at, id);
CREATE INDEX articles_by_author ON articles (tenant_id, author_id, created_at, id);
ALTER TABLE articles ENABLE ROW LEVEL SECURITY;
ALTER TABLE articles FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON articles
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON articles TO {service};

-- What an article was before an edit, under the version it then had.
CREATE TABLE article_revisions (
    tenant_id        uuid        NOT NULL,
    article_id       uuid        NOT NULL,
    version          integer     NOT NULL,
    title            text        NOT NULL,
    slug             text        NOT NULL,
    content          text        NOT NULL,
    excerpt          text,
    category         text,
    tags             text[]      NOT NULL,
    featured         boolean     NOT NULL,
    meta_title       text,
    meta_description text,
    canonical_url    text,
    og_image         text,
    replaced_at      timestamptz NOT NULL,
    replaced_by      text        NOT NULL,
    PRIMARY KEY (tenant_id, article_id, version),
    FOREIGN KEY (tenant_id, article_id) REFERENCES articles ON DELETE CASCADE
);
ALTER TABLE article_revisions ENABLE ROW LEVEL SECURITY;
ALTER TABLE article_revisions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON article_revisions
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, DELETE ON article_revisions TO {service};
