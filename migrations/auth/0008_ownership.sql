-- Whether an object that was not found is another organization's: the platform's role may see whose an id is, and nothing else of it.
-- Asked in the background after a 404, for the security event; the answer to the caller is given by then: see AccessWatch.
CREATE POLICY ownership ON api_keys FOR SELECT TO {service}_platform USING (true);
GRANT SELECT (tenant_id, id) ON api_keys TO {service}_platform;
CREATE INDEX api_keys_by_id ON api_keys (id);
CREATE POLICY ownership ON oauth_clients FOR SELECT TO {service}_platform USING (true);
GRANT SELECT (tenant_id, id) ON oauth_clients TO {service}_platform;
CREATE INDEX oauth_clients_by_id ON oauth_clients (id);
