-- From when a person waits to be taken out of the rows: since it was written down here, whatever the time of the event that said so, or since it
-- was last tried in vain, so that who failed comes behind the others.
ALTER TABLE objections ADD COLUMN waiting_since timestamptz NOT NULL DEFAULT now();
DROP INDEX objections_waiting;
CREATE INDEX objections_waiting ON objections (waiting_since) WHERE unnamed_at IS NULL;
GRANT SELECT (waiting_since) ON objections TO {service}_platform;

-- Raw rows of before may have been removed; null while all that was ever counted is there. Written before they go, and never earlier again: a plan
-- that keeps more brings nothing back.
ALTER TABLE organizations ADD COLUMN kept_from timestamptz;
-- Of what was removed until now it is noted at the next look, which is due at once.
ALTER TABLE organizations NO FORCE ROW LEVEL SECURITY;
UPDATE organizations SET pruned_at = NULL;
ALTER TABLE organizations FORCE ROW LEVEL SECURITY;
