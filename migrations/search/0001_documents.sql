-- extension: pg_trgm
-- extension: unaccent
-- extension: btree_gin
-- include: _shared/messaging.sql
-- include: _shared/idempotency.sql

-- English stemming, and the same word with or without its accents.
CREATE TEXT SEARCH CONFIGURATION documents (COPY = pg_catalog.english);
ALTER TEXT SEARCH CONFIGURATION documents ALTER MAPPING FOR hword, hword_part, word WITH public.unaccent, english_stem;

-- How a document's words are weighted. A later migration that replaces this is followed by POST /api/v1/search/reindex.
CREATE FUNCTION document_words(title text, excerpt text, category text, tags text[], body text) RETURNS tsvector
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT setweight(to_tsvector('documents', title), 'A')
        || setweight(to_tsvector('documents', coalesce(excerpt, '')), 'B')
        || setweight(to_tsvector('documents', concat_ws(' ', category, array_to_string(tags, ' '))), 'B')
        || setweight(to_tsvector('documents', body), 'C')
$$;

-- What titles are compared by: neither case nor accents count.
CREATE FUNCTION title_key(title text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE AS $$ SELECT lower(public.unaccent(title)) $$;

-- Source text and what is derived from it. A document that is not searchable keeps its version alone, so that an older event
-- that comes late does not bring it back.
CREATE TABLE documents (
    tenant_id    uuid        NOT NULL,
    id           uuid        NOT NULL,
    type         text        NOT NULL,
    version      bigint      NOT NULL,
    searchable   boolean     NOT NULL,
    title        text,
    slug         text,
    excerpt      text,
    category     text,
    tags         text[]      NOT NULL DEFAULT '{}',
    body         text,
    author_id    uuid,
    published_at timestamptz,
    title_key    text,
    words        tsvector,
    indexed_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT documents_searchable_are_whole CHECK (
        NOT searchable OR num_nulls(title, slug, body, published_at, title_key, words) = 0),
    CONSTRAINT documents_hidden_are_empty CHECK (
        searchable OR num_nonnulls(title, slug, excerpt, category, body, author_id, published_at, title_key, words) = 0)
);
CREATE INDEX documents_by_word ON documents USING gin (tenant_id, words) WHERE searchable;
ALTER TABLE documents ENABLE ROW LEVEL SECURITY;
ALTER TABLE documents FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON documents
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON documents TO {service};

CREATE TABLE reindex_runs (
    tenant_id   uuid        NOT NULL,
    id          uuid        NOT NULL,
    total       bigint      NOT NULL,
    done        bigint      NOT NULL,
    position    uuid,
    started_at  timestamptz NOT NULL,
    touched_at  timestamptz NOT NULL,
    finished_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX reindex_runs_under_way ON reindex_runs (tenant_id) WHERE finished_at IS NULL;
ALTER TABLE reindex_runs ENABLE ROW LEVEL SECURITY;
ALTER TABLE reindex_runs FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON reindex_runs
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
-- The worker finds whose index to derive; it then works as that organization.
CREATE POLICY platform ON reindex_runs TO {service}_platform USING (true);
GRANT SELECT, INSERT, UPDATE ON reindex_runs TO {service};
GRANT SELECT ON reindex_runs TO {service}_platform;
