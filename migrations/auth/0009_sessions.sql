-- What a change of password ends is what was begun before it, whenever the rows were written: a session that waited for a second
-- factor, that was made from another session, or that a client has through a browser's, began with the first factor that was shown.
ALTER TABLE sessions ADD COLUMN begun_at timestamptz;
COMMENT ON COLUMN sessions.begun_at IS 'When the sign-in began; null for sessions of earlier programs: then when they were made';
ALTER TABLE pending_sign_ins
    ADD COLUMN begun_at timestamptz,
    -- Of a session that is made from another: the end of the life that they share.
    ADD COLUMN ends_at  timestamptz;

-- Kept for good, unlike sessions_end_at: a sign-in that began until then and is finished later finds it here.
ALTER TABLE accounts
    ADD COLUMN sign_ins_void_until timestamptz,
    -- API keys of this person that are still to be revoked after a reset of the password.
    ADD COLUMN keys_end_at         timestamptz;
CREATE INDEX accounts_ending_keys ON accounts (tenant_id, keys_end_at) WHERE keys_end_at IS NOT NULL;

-- In which organizations somebody has keys: the platform's role sees whose a key is, and nothing else of it.
GRANT SELECT (owner_id, revoked_at) ON api_keys TO {service}_platform;
CREATE INDEX api_keys_of_owner ON api_keys (owner_id) WHERE revoked_at IS NULL;
