-- extension: fuzzystrmatch

-- The search engine (Shared/Decisions/0020-search-engine.md): words by language, the vocabulary for beginnings and typing errors, what
-- ranking knows of an organization's texts, who may see a document, and the function through which the index is reached.

-- Words are reduced to their stems, and accents do not count. No word is left out here: what is frequent weighs little by itself.
CREATE TEXT SEARCH CONFIGURATION simple_words (COPY = pg_catalog.simple);
ALTER TEXT SEARCH CONFIGURATION simple_words
    ALTER MAPPING FOR asciiword, asciihword, hword_asciipart, word, hword, hword_part WITH public.unaccent, pg_catalog.simple;
DO $languages$
DECLARE
    language text;
BEGIN
    FOREACH language IN ARRAY ARRAY['danish', 'dutch', 'english', 'finnish', 'french', 'german', 'italian', 'norwegian', 'portuguese',
                                    'russian', 'spanish', 'swedish'] LOOP
        EXECUTE format('CREATE TEXT SEARCH DICTIONARY %I (TEMPLATE = pg_catalog.snowball, LANGUAGE = %I)', language || '_stem', language);
        EXECUTE format('CREATE TEXT SEARCH CONFIGURATION %I (COPY = pg_catalog.simple)', language || '_words');
        EXECUTE format(
            'ALTER TEXT SEARCH CONFIGURATION %I
                ALTER MAPPING FOR asciiword, asciihword, hword_asciipart, word, hword, hword_part WITH public.unaccent, search.%I',
            language || '_words', language || '_stem');
    END LOOP;
END
$languages$;

-- The stem of one word, as the index has it. Words of letters alone are reduced.
CREATE FUNCTION stem(language text, word text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN language = 'simple' OR word ~ '[^[:alpha:]]' THEN word
        ELSE coalesce((ts_lexize(('search.' || language || '_stem')::regdictionary, word))[1], word) END
$$;

-- The words of a title that is, or has in it, a file's name, an address or the like: these are one word to the parser. NULL for others.
CREATE FUNCTION title_parts(title text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT regexp_replace(title, '[^[:alnum:]]+', ' ', 'g') WHERE title ~ '[[:alnum:]][./@_-]+[[:alnum:]]'
$$;

-- A title weighs most, then what a document is filed under, then its excerpt, then the text.
CREATE FUNCTION document_words(language text, title text, keywords text, excerpt text, category text, tags text[], body text)
RETURNS tsvector LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT setweight(to_tsvector(configuration, concat_ws(' ', title, search.title_parts(title))), 'A')
        || setweight(to_tsvector(configuration, concat_ws(' ', keywords, category, array_to_string(tags, ' '))), 'B')
        || setweight(to_tsvector(configuration, coalesce(excerpt, '')), 'C')
        || setweight(to_tsvector(configuration, body), 'D')
    FROM (SELECT ('search.' || language || '_words')::regconfig AS configuration) AS chosen
$$;

-- How many words it has: stems count as often as they stand, as far as their places are kept (at most 255 of each).
CREATE FUNCTION words_in(words tsvector) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT coalesce(sum(cardinality(positions)), 0)::integer FROM unnest(words) $$;

-- The release before this one calls it while both run.
CREATE OR REPLACE FUNCTION document_words(title text, excerpt text, category text, tags text[], body text) RETURNS tsvector
LANGUAGE sql STABLE PARALLEL SAFE AS $$ SELECT search.document_words('english', title, NULL, excerpt, category, tags, body) $$;

-- Four characters before each key of the index: an organization's postings are lists of its own, and a search reads no other's. Two
-- organizations with the same mark share lists, no more: the organization's id is compared besides.
CREATE FUNCTION tenant_mark(tenant uuid) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT encode(substring(uuid_send(tenant) FROM 14 FOR 3), 'base64') $$;

-- What a document is found by: its words, and as keys of their own what searches are narrowed by. No word begins with `#`.
CREATE FUNCTION document_keys(
    tenant uuid, words tsvector, type text, needs text, tags text[], category text, author uuid
) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 100000 AS $$
    SELECT array_to_tsvector(array_agg(search.tenant_mark(tenant) || key)) FROM (
        SELECT unnest(tsvector_to_array(words)) AS key
        UNION ALL SELECT '#type:' || type
        UNION ALL SELECT '#needs:' || needs
        UNION ALL SELECT '#tag:' || tag FROM unnest(tags) AS tag
        UNION ALL SELECT '#category:' || category
        UNION ALL SELECT '#author:' || author
    ) AS keys WHERE key IS NOT NULL
$$;

ALTER TABLE documents
    -- The stemming of its words: a configuration `<language>_words`.
    ADD COLUMN language text NOT NULL DEFAULT 'english',
    -- The permission that a caller must have to find it.
    ADD COLUMN needs    text NOT NULL DEFAULT 'content:read',
    -- The only person who may find it; NULL: everybody with the permission.
    ADD COLUMN only_for uuid,
    -- Further words it is found by, such as the parts of a file's name.
    ADD COLUMN keywords text,
    -- Words it has, for ranking: the same word says more of a short text.
    ADD COLUMN length   integer,
    -- For search by meaning: a vector of the text, and which model made it. Emptied when the text changes.
    ADD COLUMN embedding       real[],
    ADD COLUMN embedding_model text,
    -- Files and people have no slug.
    -- When its event came again in a rebuild of the index from the events.
    ADD COLUMN confirmed_at   timestamptz,
    -- When the end of a rebuild hid it, since no event had told of it. Its text is kept for a while: an event brings it back.
    ADD COLUMN unconfirmed_at timestamptz,
    DROP CONSTRAINT documents_hidden_are_empty,
    ADD CONSTRAINT documents_hidden_are_empty CHECK (
        searchable OR unconfirmed_at IS NOT NULL
        OR num_nonnulls(title, slug, excerpt, category, body, author_id, published_at, title_key, words) = 0),
    DROP CONSTRAINT documents_searchable_are_whole,
    ADD CONSTRAINT documents_searchable_are_whole CHECK (
        NOT searchable OR num_nulls(title, body, published_at, title_key, words) = 0),
    -- Not `length`, which the release before this one does not empty.
    ADD CONSTRAINT documents_hidden_have_no_meaning CHECK (
        searchable OR unconfirmed_at IS NOT NULL OR num_nonnulls(keywords, embedding, only_for) = 0),
    ADD CONSTRAINT documents_embeddings_are_named CHECK ((embedding IS NULL) = (embedding_model IS NULL));
-- Ranking reads the words of every match: they lie in the row as they are, neither compressed nor elsewhere, unless it is a long one.
ALTER TABLE documents ALTER COLUMN words SET STORAGE EXTERNAL;
ALTER TABLE documents SET (toast_tuple_target = 8160);
-- Without a list of pending entries, which every search would have to read through, whoever's they are.
CREATE INDEX documents_by_key ON documents
    USING gin (document_keys(tenant_id, words, type, needs, tags, category, author_id)) WITH (fastupdate = off) WHERE searchable;
DROP INDEX documents_by_word;
CREATE INDEX documents_unconfirmed ON documents (tenant_id, unconfirmed_at) WHERE unconfirmed_at IS NOT NULL;

-- What the functions below read it as: the owner, which cannot log in. Services stay bound by the policy `tenant`.
CREATE POLICY owner ON documents FOR SELECT TO {service}_owner USING (true);

-- The words of an organization's documents as people write them, with their stems: what beginnings and typing errors are matched with.
-- Kept by permission, so that nobody learns a word of documents that they may not see. Words of a single person's documents are not kept.
CREATE TABLE terms (
    tenant_id uuid   NOT NULL,
    needs     text   NOT NULL,
    language  text   NOT NULL,
    term      text   NOT NULL COLLATE "C",
    stem      text   NOT NULL COLLATE "C",
    -- With this stem, when they were last counted.
    documents bigint NOT NULL,
    backwards text   COLLATE "C" GENERATED ALWAYS AS (reverse(term)) STORED,
    PRIMARY KEY (tenant_id, term, needs, language)
);
CREATE INDEX terms_by_stem ON terms (tenant_id, stem);
CREATE INDEX terms_by_end ON terms (tenant_id, backwards);
ALTER TABLE terms ENABLE ROW LEVEL SECURITY;
ALTER TABLE terms FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON terms
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY owner ON terms FOR SELECT TO {service}_owner USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON terms TO {service};

-- Documents whose words the vocabulary does not have yet: when two transactions of one organization are at it, one learns and the other
-- leaves it to the worker, so that neither waits for words that the other has just written.
CREATE TABLE unread (
    tenant_id uuid NOT NULL,
    id        uuid NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
ALTER TABLE unread ENABLE ROW LEVEL SECURITY;
ALTER TABLE unread FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON unread
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
-- The worker finds whose there are; it then works as that organization.
CREATE POLICY platform ON unread TO {service}_platform USING (true);
GRANT SELECT, INSERT, DELETE ON unread TO {service};
GRANT SELECT ON unread TO {service}_platform;

-- What ranking knows of all documents of an organization.
CREATE TABLE statistics (
    tenant_id   uuid        NOT NULL PRIMARY KEY,
    documents   bigint      NOT NULL DEFAULT 0,
    -- Words of an average document.
    length      float8      NOT NULL DEFAULT 0,
    languages   text[]      NOT NULL DEFAULT '{}',
    -- Documents have changed since it was counted.
    stale       boolean     NOT NULL DEFAULT true,
    -- A count has begun and not ended. One that still has not at `count_after` never will.
    counting    boolean     NOT NULL DEFAULT false,
    counted_at  timestamptz NOT NULL,
    -- No sooner than this is it counted again.
    count_after timestamptz NOT NULL
);
CREATE INDEX statistics_to_count ON statistics (count_after) WHERE stale OR counting;
ALTER TABLE statistics ENABLE ROW LEVEL SECURITY;
ALTER TABLE statistics FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON statistics
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
-- The worker finds whose have to be counted; it then works as that organization.
CREATE POLICY platform ON statistics TO {service}_platform USING (true);
GRANT SELECT, INSERT, UPDATE ON statistics TO {service};
GRANT SELECT ON statistics TO {service}_platform;

-- What an organization says about its own searches.
CREATE TABLE settings (
    tenant_id  uuid        NOT NULL PRIMARY KEY,
    version    bigint      NOT NULL,
    -- Of documents whose language cannot be told.
    language   text,
    -- Groups of words and phrases that mean the same.
    synonyms   jsonb       NOT NULL,
    stop_words text[]      NOT NULL,
    updated_at timestamptz NOT NULL
);
ALTER TABLE settings ENABLE ROW LEVEL SECURITY;
ALTER TABLE settings FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON settings
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE ON settings TO {service};

-- What each word of a query stands for in the index: its stems in the organization's languages (`exact`), those of words that begin with
-- it (`prefix`, for the word numbered `last`), those of words that differ by a typing error (`near`), and whether it is a word without
-- sense of its own (`stop`). `documents` says how many documents have the stem. `correctable` names the words in which typing errors may be
-- looked for: in those that nobody uses, or, `even_known`, in all of them; in eight at most, as many as are ranked.
--
-- The caller never gives more than 100 words (`Question.maximumWords`).
--
-- Under row-level security PostgreSQL may not use an index for a comparison that is not marked leakproof, so the vocabulary is read
-- as its owner. The organization is that of the transaction, whoever calls.
CREATE FUNCTION understand(query_words text[], last integer, correctable integer[], even_known boolean, allowed text[])
RETURNS TABLE (word integer, kind text, stem text, documents bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 50
SET search_path = search, public, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    tenant   constant uuid := NULLIF(current_setting('app.tenant_id', true), '')::uuid;
    known    text[];
    folded   text;
    language text;
    found_documents bigint;
    beginnings      bigint;
    corrected       integer := 0;
BEGIN
    IF tenant IS NULL THEN RETURN; END IF;
    SELECT s.languages INTO known FROM statistics s WHERE s.tenant_id = tenant;
    known := coalesce(known, '{}') || 'simple'::text;
    FOR number IN 1 .. least(coalesce(array_length(query_words, 1), 0), 100) LOOP
        folded := lower(unaccent(query_words[number]));
        found_documents := 0;
        -- Frequent words without sense of their own: they need not be found.
        IF EXISTS (SELECT FROM unnest(known) AS l
                   WHERE l <> 'simple' AND ts_lexize(('pg_catalog.' || l || '_stem')::regdictionary, folded) = '{}') THEN
            word := number; kind := 'stop'; stem := folded; documents := 0;
            RETURN NEXT;
        END IF;
        FOR stem IN
            SELECT DISTINCT unnest(tsvector_to_array(to_tsvector(('search.' || l || '_words')::regconfig, query_words[number])))
            FROM unnest(known) AS l
        LOOP
            SELECT coalesce(sum(most), 0) INTO documents
            FROM (SELECT max(t.documents) AS most FROM terms t
                  WHERE t.tenant_id = tenant AND t.stem = understand.stem AND t.needs = ANY (allowed) GROUP BY t.needs) AS by_permission;
            found_documents := found_documents + documents;
            word := number; kind := 'exact';
            RETURN NEXT;
        END LOOP;
        beginnings := 0;
        IF number = last THEN
            FOR stem, documents IN
                SELECT t.stem, max(t.documents) FROM terms t
                WHERE t.tenant_id = tenant AND t.term >= folded AND t.term < folded || chr(1114111) AND t.documents > 0 AND t.needs = ANY (allowed)
                GROUP BY t.stem ORDER BY max(t.documents) DESC, t.stem LIMIT 40
            LOOP
                beginnings := beginnings + 1;
                word := number; kind := 'prefix';
                RETURN NEXT;
            END LOOP;
        END IF;
        IF corrected < 8 AND number = ANY (correctable) AND (even_known OR found_documents = 0 AND beginnings = 0)
            AND length(folded) BETWEEN 3 AND 40 THEN
            corrected := corrected + 1;
            FOR stem, documents IN
                SELECT n.stem, n.documents FROM near_terms(tenant, folded, number = last, allowed) n
            LOOP
                word := number; kind := 'near';
                RETURN NEXT;
            END LOOP;
        END IF;
    END LOOP;
END
$$;

-- Known words that differ from one by a typing error: one letter of a word of four or more, two of eight or more, or two neighbours that
-- changed places. An error leaves either the beginning or the end of a word as it is, so only words with one of these are compared.
CREATE FUNCTION near_terms(tenant uuid, folded text, is_beginning boolean, allowed text[]) RETURNS TABLE (stem text, documents bigint)
LANGUAGE sql STABLE ROWS 10 SET search_path = search, public, pg_temp SET plan_cache_mode = force_custom_plan AS $$
    WITH kept AS (
        SELECT left(folded, greatest(1, length(folded) / 2 - 1)) AS beginning,
            left(reverse(folded), greatest(2, length(folded) / 2 - 1)) AS ending,
            CASE WHEN length(folded) >= 8 THEN 2 WHEN length(folded) >= 4 THEN 1 ELSE 0 END AS errors
    ), candidates AS (
        (SELECT t.term, t.stem, t.documents FROM kept, terms t
         WHERE t.tenant_id = tenant AND t.term >= beginning AND t.term < beginning || chr(1114111) AND t.documents > 0 AND t.needs = ANY (allowed)
             AND length(t.term) BETWEEN length(folded) - 2 AND CASE WHEN is_beginning THEN 40 ELSE length(folded) + 2 END
         LIMIT 5000)
        UNION
        (SELECT t.term, t.stem, t.documents FROM kept, terms t
         WHERE t.tenant_id = tenant AND t.backwards >= ending AND t.backwards < ending || chr(1114111) AND t.documents > 0 AND t.needs = ANY (allowed)
             AND length(t.term) BETWEEN length(folded) - 2 AND length(folded) + 2
         LIMIT 5000)
    ), measured AS (
        SELECT c.*, levenshtein_less_equal(c.term, folded, 2) AS whole,
            CASE WHEN is_beginning THEN levenshtein_less_equal(left(c.term, length(folded)), folded, 1) ELSE 9 END AS begun,
            length(c.term) = length(folded)
                AND ARRAY(SELECT unnest(string_to_array(c.term, NULL)) ORDER BY 1)
                    = ARRAY(SELECT unnest(string_to_array(folded, NULL)) ORDER BY 1) AS exchanged
        FROM candidates c
    )
    SELECT m.stem, max(m.documents) FROM measured m, kept
    WHERE m.whole <= errors OR m.whole = 2 AND m.exchanged OR m.begun <= errors AND m.begun <= 1
    GROUP BY m.stem
    ORDER BY min(CASE WHEN m.whole <= errors OR m.exchanged THEN least(m.whole, 1 + 0.5 * m.whole) ELSE 1.5 + m.begun END),
        max(similarity(m.term, folded)) DESC, max(m.documents) DESC, m.stem
    LIMIT 8
$$;

-- The documents of the transaction's organization that a query means and the caller may see, with their scores: at most `most`, the best
-- first. Ids and scores are all it tells; whoever wants more joins `documents`, under row-level security.
--
-- `groups` holds lists of keys: a document has one of each list. Every one of `phrases` must match and `excluded` must not. A document's score is the
-- sum over the query's words of the word's weight times how much the document is about it: `exact[i]` counts whole, `loose[i]` less.
-- `adjacent` adds something where words of the query stand side by side; `typed` where the title is what was typed.
CREATE FUNCTION ranked(
    groups jsonb, phrases tsquery[], excluded tsquery, allowed text[], person uuid, since timestamptz, until timestamptz,
    exact tsquery[], loose tsquery[], weights float8[], adjacent tsquery, typed text, average float8, moment timestamptz,
    partly boolean, most integer
) RETURNS TABLE (id uuid, score float8)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 200
SET search_path = search, public, pg_temp SET plan_cache_mode = force_custom_plan SET jit = off AS $$
DECLARE
    tenant constant uuid := NULLIF(current_setting('app.tenant_id', true), '')::uuid;
    mark   constant text := tenant_mark(tenant);
    total  constant float8 := greatest(0.001, (SELECT sum(w) FROM unnest(weights) AS w));
    -- Of D (the text), C (the excerpt), B (what it is filed under) and A (the title).
    field_weights constant real[] := '{0.25, 0.35, 0.55, 1.0}';
    wanted tsquery;
BEGIN
    IF tenant IS NULL THEN RETURN; END IF;
    SELECT string_agg('(' || alternatives || ')', ' & ')::tsquery INTO wanted FROM (
        SELECT string_agg('''' || replace(replace(mark || key, '\', '\\'), '''', '''''') || '''', ' | ') AS alternatives
        FROM jsonb_array_elements(groups) WITH ORDINALITY AS g (keys, number), jsonb_array_elements_text(g.keys) AS key GROUP BY number
    ) AS lists;
    RETURN QUERY
    SELECT rated.id,
        -- Brought between 0 and 1, with `raw` written once: it is computed as often as it is written.
        (1 - total / (raw + total))::float8 AS value
    FROM (
        SELECT parts.id,
            greatest(0.0001, r1 * coalesce(weights[1], 0) + r2 * coalesce(weights[2], 0) + r3 * coalesce(weights[3], 0)
                + r4 * coalesce(weights[4], 0) + r5 * coalesce(weights[5], 0) + r6 * coalesce(weights[6], 0)
                + r7 * coalesce(weights[7], 0) + r8 * coalesce(weights[8], 0))
            * CASE WHEN partly THEN (CASE WHEN r1 > 0 THEN coalesce(weights[1], 0) ELSE 0 END
                + CASE WHEN r2 > 0 THEN coalesce(weights[2], 0) ELSE 0 END
                + CASE WHEN r3 > 0 THEN coalesce(weights[3], 0) ELSE 0 END
                + CASE WHEN r4 > 0 THEN coalesce(weights[4], 0) ELSE 0 END
                + CASE WHEN r5 > 0 THEN coalesce(weights[5], 0) ELSE 0 END
                + CASE WHEN r6 > 0 THEN coalesce(weights[6], 0) ELSE 0 END
                + CASE WHEN r7 > 0 THEN coalesce(weights[7], 0) ELSE 0 END
                + CASE WHEN r8 > 0 THEN coalesce(weights[8], 0) ELSE 0 END) / total ELSE 1 END
            / (0.6 + 0.4 * coalesce(parts.length, average) / greatest(average, 1))
            * (1 + 0.1 * exp(-greatest(0, extract(epoch FROM moment - parts.published_at)) / 15552000))
            * (1 + CASE WHEN adjacent IS NOT NULL AND parts.words @@ adjacent THEN 0.3 ELSE 0 END
                + CASE WHEN parts.title_key = typed THEN 1 WHEN starts_with(parts.title_key, typed) THEN 0.3 ELSE 0 END) AS raw
        FROM (
            SELECT d.id, d.words, d.length, d.published_at, d.title_key,
                greatest(least(1, coalesce(ts_rank(field_weights, d.words, exact[1]) * ((numnode(exact[1]) + 1) / 2), 0)),
                    0.4 * least(1, coalesce(ts_rank(field_weights, d.words, loose[1]) * ((numnode(loose[1]) + 1) / 2), 0)))::float8 AS r1,
                greatest(least(1, coalesce(ts_rank(field_weights, d.words, exact[2]) * ((numnode(exact[2]) + 1) / 2), 0)),
                    0.4 * least(1, coalesce(ts_rank(field_weights, d.words, loose[2]) * ((numnode(loose[2]) + 1) / 2), 0)))::float8 AS r2,
                greatest(least(1, coalesce(ts_rank(field_weights, d.words, exact[3]) * ((numnode(exact[3]) + 1) / 2), 0)),
                    0.4 * least(1, coalesce(ts_rank(field_weights, d.words, loose[3]) * ((numnode(loose[3]) + 1) / 2), 0)))::float8 AS r3,
                greatest(least(1, coalesce(ts_rank(field_weights, d.words, exact[4]) * ((numnode(exact[4]) + 1) / 2), 0)),
                    0.4 * least(1, coalesce(ts_rank(field_weights, d.words, loose[4]) * ((numnode(loose[4]) + 1) / 2), 0)))::float8 AS r4,
                greatest(least(1, coalesce(ts_rank(field_weights, d.words, exact[5]) * ((numnode(exact[5]) + 1) / 2), 0)),
                    0.4 * least(1, coalesce(ts_rank(field_weights, d.words, loose[5]) * ((numnode(loose[5]) + 1) / 2), 0)))::float8 AS r5,
                greatest(least(1, coalesce(ts_rank(field_weights, d.words, exact[6]) * ((numnode(exact[6]) + 1) / 2), 0)),
                    0.4 * least(1, coalesce(ts_rank(field_weights, d.words, loose[6]) * ((numnode(loose[6]) + 1) / 2), 0)))::float8 AS r6,
                greatest(least(1, coalesce(ts_rank(field_weights, d.words, exact[7]) * ((numnode(exact[7]) + 1) / 2), 0)),
                    0.4 * least(1, coalesce(ts_rank(field_weights, d.words, loose[7]) * ((numnode(loose[7]) + 1) / 2), 0)))::float8 AS r7,
                greatest(least(1, coalesce(ts_rank(field_weights, d.words, exact[8]) * ((numnode(exact[8]) + 1) / 2), 0)),
                    0.4 * least(1, coalesce(ts_rank(field_weights, d.words, loose[8]) * ((numnode(loose[8]) + 1) / 2), 0)))::float8 AS r8
            FROM search.documents d
            WHERE search.document_keys(d.tenant_id, d.words, d.type, d.needs, d.tags, d.category, d.author_id) @@ wanted
                AND d.searchable AND d.tenant_id = tenant
                AND d.needs = ANY (allowed) AND (d.only_for IS NULL OR d.only_for = person)
                AND d.words @@ ALL (phrases) AND (excluded IS NULL OR NOT d.words @@ excluded)
                AND (since IS NULL OR d.published_at >= since) AND (until IS NULL OR d.published_at < until)
            LIMIT 50000
        ) AS parts
    ) AS rated
    ORDER BY value DESC, rated.id DESC LIMIT most;
END
$$;

-- Phrases, their words side by side in any of the organization's languages, or one of `stems`. NULL: there is nothing to find.
CREATE FUNCTION phrase_query(phrases text[], stems tsquery) RETURNS tsquery
LANGUAGE sql STABLE AS $$
    SELECT string_agg('(' || query::text || ')', ' | ')::tsquery FROM (
        SELECT DISTINCT phraseto_tsquery(('search.' || language || '_words')::regconfig, phrase) AS query
        FROM unnest(phrases) AS phrase,
            unnest(coalesce((SELECT languages FROM search.statistics), '{}') || 'simple'::text) AS language
        UNION SELECT stems
    ) AS queries WHERE numnode(query) > 0
$$;

-- The part of a text that a snippet is made from: around the first word that was found.
CREATE FUNCTION passage(excerpt text, body text, stems text[], length integer) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN place <= 200 THEN left(source, 1500)
        ELSE '… ' || regexp_replace(substr(source, place - 120, 1500), '^\S*\s', '') END
    FROM (
        SELECT source, coalesce(min(nullif(strpos(lowered, stem), 0)), 0) AS place FROM (
            SELECT source, lower(source) AS lowered FROM (SELECT left(concat_ws(' … ', nullif(excerpt, ''), body), length)) AS s (source)
        ) AS t LEFT JOIN unnest(stems) AS stem ON length(stem) > 2 GROUP BY source
    ) AS found
$$;

-- What was found stands between the control characters 2 and 3, which no stored text has, until the rest is escaped.
CREATE FUNCTION marked(language text, source text, found tsquery, whole boolean) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN found IS NULL THEN CASE WHEN whole THEN source ELSE left(source, 200) END ELSE ts_headline(
        ('search.' || language || '_words')::regconfig, source, found,
        CASE WHEN whole THEN 'HighlightAll=true' ELSE 'MaxFragments=2, MinWords=8, MaxWords=25, FragmentDelimiter=" … "' END
            || ', StartSel=' || chr(2) || ', StopSel=' || chr(3)) END
$$;

-- A run derives the index from the texts that are kept, or awaits the events that its owners publish again: what no event has told of since
-- its start is hidden at its end, and emptied some time later.
ALTER TABLE reindex_runs
    ADD COLUMN source text NOT NULL DEFAULT 'texts' CHECK (source IN ('texts', 'events')),
    -- Documents that its end hid, and when their texts were forgotten.
    ADD COLUMN hidden     bigint NOT NULL DEFAULT 0,
    ADD COLUMN emptied_at timestamptz;
CREATE INDEX reindex_runs_to_empty ON reindex_runs (finished_at) WHERE hidden > 0 AND emptied_at IS NULL;

REVOKE ALL ON FUNCTION understand(text[], integer, integer[], boolean, text[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION near_terms(uuid, text, boolean, text[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION ranked(
    jsonb, tsquery[], tsquery, text[], uuid, timestamptz, timestamptz, tsquery[], tsquery[], float8[], tsquery, text, float8, timestamptz,
    boolean, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION understand(text[], integer, integer[], boolean, text[]) TO {service};
GRANT EXECUTE ON FUNCTION ranked(
    jsonb, tsquery[], tsquery, text[], uuid, timestamptz, timestamptz, tsquery[], tsquery[], float8[], tsquery, text, float8, timestamptz,
    boolean, integer) TO {service};

-- Documents that are there are derived anew by the new recipe: a run for each organization, which the worker takes up.
ALTER TABLE reindex_runs NO FORCE ROW LEVEL SECURITY;
INSERT INTO reindex_runs (tenant_id, id, total, done, position, started_at, touched_at, finished_at)
SELECT tenant_id, gen_random_uuid(), count(*), 0, NULL, now(), now(), NULL FROM documents WHERE searchable GROUP BY tenant_id
ON CONFLICT (tenant_id) WHERE finished_at IS NULL DO UPDATE SET done = 0, position = NULL;
ALTER TABLE reindex_runs FORCE ROW LEVEL SECURITY;
