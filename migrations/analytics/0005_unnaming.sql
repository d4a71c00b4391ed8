-- People are taken out of their rows by a worker, a batch at a time: somebody may have a million. Their row here is its queue, and stops what is new
-- from the moment it is committed.
ALTER TABLE objections
    -- 'objected' by themselves, or 'left' the organization for good.
    ADD COLUMN reason text NOT NULL DEFAULT 'objected',
    -- When all their rows were without their name; null until then.
    ADD COLUMN unnamed_at timestamptz,
    -- Who has left and come back is named again from then on; what was before stays without a name.
    ADD COLUMN returned_at timestamptz;
CREATE INDEX objections_waiting ON objections (objected_at) WHERE unnamed_at IS NULL;
CREATE POLICY platform ON objections FOR SELECT TO {service}_platform USING (true);
GRANT UPDATE ON objections TO {service};
-- Whose turn it is, and no more of it than that.
GRANT SELECT (tenant_id, user_id, objected_at, unnamed_at) ON objections TO {service}_platform;

-- An id is known for a while after it came, however old its event: or a backfill of what is past its retention would count at each repetition.
ALTER TABLE collected_ids ADD COLUMN received_at timestamptz NOT NULL DEFAULT now();
