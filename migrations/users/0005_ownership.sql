-- Whether an object that was not found is another organization's: the platform's role may see whose an id is, and nothing else of it.
-- Asked in the background after a 404, for the security event; the answer to the caller is given by then: see AccessWatch.
CREATE INDEX roles_by_id ON roles (id);
CREATE POLICY ownership ON invitations FOR SELECT TO {service}_platform USING (true);
GRANT SELECT (tenant_id, id) ON invitations TO {service}_platform;
CREATE INDEX invitations_by_id ON invitations (id);
CREATE POLICY ownership ON audit_logs FOR SELECT TO {service}_platform USING (true);
GRANT SELECT (tenant_id, id) ON audit_logs TO {service}_platform;
CREATE INDEX audit_logs_by_id ON audit_logs (id);
