-- A word that the parser splits, such as `t-shirt`, `state-of-the-art` or `l'histoire`, is its pieces beside each other, not any of them.

-- As before it (0002_engine.sql), with two columns more: of a word that is several stems beside each other, `piece` counts them within each
-- of its readings. Both are 0 for stems that are the whole word. The release before this one does not ask for the two, and takes any piece
-- for the word, as it always has.
--
-- A word is read as the parser takes it; what the index has as a whole beside its parts (words with hyphens, URLs) is that one stem. And with
-- the signs inside it taken for spaces, as titles are.
DROP FUNCTION understand(text[], integer, integer[], boolean, text[]);
CREATE FUNCTION understand(query_words text[], last integer, correctable integer[], even_known boolean, allowed text[])
RETURNS TABLE (word integer, reading integer, piece integer, kind text, stem text, documents bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 50
SET search_path = search, public, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    tenant constant uuid := NULLIF(current_setting('app.tenant_id', true), '')::uuid;
    known  text[];
    folded text;
    read   refcursor;
    stems  text[];
    -- The index has a stem for the word as it stands, beside those of its parts.
    is_whole boolean;
    -- How many stems each reading has that has several.
    sizes  integer[];
    -- The word as it was typed, or the pieces of it.
    pieces text[];
    begun  text;
    rarest bigint;
    found_documents bigint;
    beginnings      bigint;
    corrected       integer := 0;
BEGIN
    IF tenant IS NULL THEN RETURN; END IF;
    SELECT s.languages INTO known FROM statistics s WHERE s.tenant_id = tenant;
    known := coalesce(known, '{}') || 'simple'::text;
    FOR number IN 1 .. least(coalesce(array_length(query_words, 1), 0), 100) LOOP
        word := number; reading := 0; piece := 0;
        folded := lower(unaccent(query_words[number]));
        -- Frequent words without sense of their own: they need not be found.
        IF EXISTS (SELECT FROM unnest(known) AS l
                   WHERE l <> 'simple' AND ts_lexize(('pg_catalog.' || l || '_stem')::regdictionary, folded) = '{}') THEN
            kind := 'stop'; stem := folded; documents := 0;
            RETURN NEXT;
        END IF;
        found_documents := 0;
        sizes := '{}';
        kind := 'exact';
        IF query_words[number] ~ '[^[:alnum:]]' THEN
            -- Of the parser's kinds of tokens: 5 is a URL, 15 to 17 are words with hyphens.
            is_whole := EXISTS (
                SELECT FROM ts_parse('default', query_words[number])
                WHERE tokid IN (5, 15, 16, 17)
                    AND regexp_replace(replace(query_words[number], token, ''), '^[[:alpha:]]+://', '') !~ '[[:alnum:]]');
            OPEN read FOR
                SELECT DISTINCT CASE WHEN is_whole AND form = 1 THEN ordered.stems[1:1] ELSE ordered.stems END
                FROM unnest(ARRAY[query_words[number], title_parts(query_words[number])]) WITH ORDINALITY AS f (source, form),
                    unnest(known) AS l,
                    LATERAL (
                        SELECT array_agg(lexeme ORDER BY position) AS stems
                        FROM unnest(to_tsvector(('search.' || l || '_words')::regconfig, source)), unnest(positions) AS position) AS ordered
                WHERE source IS NOT NULL AND ordered.stems IS NOT NULL ORDER BY 1;
        ELSE
            OPEN read FOR
                SELECT DISTINCT ARRAY[unnest(tsvector_to_array(to_tsvector(('search.' || l || '_words')::regconfig, query_words[number])))]
                FROM unnest(known) AS l;
        END IF;
        LOOP
            FETCH read INTO stems;
            EXIT WHEN NOT FOUND;
            IF cardinality(stems) > 1 THEN sizes := sizes || cardinality(stems); END IF;
            reading := CASE WHEN cardinality(stems) > 1 THEN cardinality(sizes) ELSE 0 END;
            rarest := NULL;
            FOR place IN 1 .. cardinality(stems) LOOP
                piece := CASE WHEN reading > 0 THEN place ELSE 0 END;
                stem := stems[place];
                SELECT coalesce(sum(most), 0) INTO documents
                FROM (SELECT max(t.documents) AS most FROM terms t
                      WHERE t.tenant_id = tenant AND t.stem = understand.stem AND t.needs = ANY (allowed)
                      GROUP BY t.needs) AS by_permission;
                -- The vocabulary has neither single letters nor what has signs in it.
                IF piece = 0 OR length(stem) > 1 AND stem !~ '[-./@:_]' THEN rarest := least(rarest, documents); END IF;
                RETURN NEXT;
            END LOOP;
            found_documents := found_documents + coalesce(rarest, 0);
        END LOOP;
        CLOSE read;
        pieces := CASE WHEN sizes = '{}' THEN ARRAY[folded]
            ELSE regexp_split_to_array(regexp_replace(folded, '^[^[:alnum:]]+', ''), '[^[:alnum:]]+') END;
        begun := pieces[cardinality(pieces)];
        beginnings := 0;
        IF number = last THEN
            kind := 'prefix';
            FOR stem, documents IN
                SELECT t.stem, max(t.documents) FROM terms t
                WHERE t.tenant_id = tenant AND t.term >= begun AND t.term < begun || chr(1114111) AND begun <> ''
                    AND t.documents > 0 AND t.needs = ANY (allowed)
                GROUP BY t.stem ORDER BY max(t.documents) DESC, t.stem LIMIT 40
            LOOP
                beginnings := beginnings + 1;
                FOR r IN least(1, cardinality(sizes)) .. cardinality(sizes) LOOP
                    reading := r; piece := coalesce(sizes[r], 0);
                    RETURN NEXT;
                END LOOP;
            END LOOP;
            -- Of an address that is still being typed, the host.
            reading := 0; piece := 0; documents := 0;
            FOR stem IN
                SELECT lower(token) FROM ts_parse('default', query_words[number])
                WHERE tokid = 6 AND EXISTS (SELECT FROM ts_parse('default', query_words[number]) WHERE tokid = 5)
            LOOP
                RETURN NEXT;
            END LOOP;
        END IF;
        IF number = ANY (correctable) AND (even_known OR found_documents = 0 AND beginnings = 0) THEN
            kind := 'near';
            -- The word as a whole, then the pieces of it.
            FOR place IN 0 .. CASE WHEN sizes = '{}' THEN 0 ELSE cardinality(pieces) END LOOP
                DECLARE
                    typed constant text := CASE place WHEN 0 THEN folded ELSE pieces[place] END;
                BEGIN
                    CONTINUE WHEN corrected >= 8 OR length(typed) NOT BETWEEN 3 AND 40;
                    CONTINUE WHEN place > 0 AND NOT even_known AND EXISTS (
                        SELECT FROM terms t
                        WHERE t.tenant_id = tenant AND t.term = typed AND t.documents > 0 AND t.needs = ANY (allowed));
                    corrected := corrected + 1;
                    FOR stem, documents IN
                        SELECT n.stem, n.documents
                        FROM near_terms(tenant, typed, number = last AND place IN (0, cardinality(pieces)), allowed) n
                    LOOP
                        FOR r IN least(1, place) .. CASE WHEN place = 0 THEN 0 ELSE cardinality(sizes) END LOOP
                            CONTINUE WHEN r > 0 AND sizes[r] <> cardinality(pieces);
                            reading := r; piece := CASE WHEN r > 0 THEN place ELSE 0 END;
                            RETURN NEXT;
                        END LOOP;
                    END LOOP;
                END;
            END LOOP;
        END IF;
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION understand(text[], integer, integer[], boolean, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION understand(text[], integer, integer[], boolean, text[]) TO {service};
