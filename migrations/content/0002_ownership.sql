-- Whether an object that was not found is another organization's: the platform's role may see whose an id is, and nothing else of it.
-- Asked in the background after a 404, for the security event; the answer to the caller is given by then: see AccessWatch.
CREATE POLICY ownership ON articles FOR SELECT TO {service}_platform USING (true);
GRANT SELECT (tenant_id, id) ON articles TO {service}_platform;
CREATE INDEX articles_by_id ON articles (id);
