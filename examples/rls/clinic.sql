-- Patient records of several clinics in one table. Which clinic a session belongs to is said by Postern, and
-- PostgreSQL itself keeps the others' rows away: row-level security that no statement of a client can talk to.
--
-- Run by the tables' owner, after
--   CREATE ROLE clinic_app;
--   CREATE ROLE postern LOGIN NOINHERIT PASSWORD '…';
--   GRANT clinic_app TO postern;

CREATE SCHEMA clinic;

CREATE TABLE clinic.patients (
  id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  clinic_id int    NOT NULL,
  name      text   NOT NULL,
  UNIQUE (clinic_id, id)
);

CREATE TABLE clinic.findings (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  clinic_id  int    NOT NULL,
  patient_id bigint NOT NULL,
  finding    text   NOT NULL,
  -- With the clinic in the key, a finding can't be hung on another clinic's patient. PostgreSQL checks foreign keys
  -- past row-level security, so a key without it would tell whether such a patient exists.
  FOREIGN KEY (clinic_id, patient_id) REFERENCES clinic.patients (clinic_id, id)
);

-- The clinic of this session; none without a tenant, and then there are no rows at all.
CREATE FUNCTION clinic.own() RETURNS int STABLE LANGUAGE sql
  RETURN nullif(current_setting('postern.tenant', true), '')::int;

ALTER TABLE clinic.patients ENABLE ROW LEVEL SECURITY;
ALTER TABLE clinic.findings ENABLE ROW LEVEL SECURITY;
-- For the owner as well: a role that owns a table is not held by its policies otherwise.
ALTER TABLE clinic.patients FORCE ROW LEVEL SECURITY;
ALTER TABLE clinic.findings FORCE ROW LEVEL SECURITY;

-- One policy for reading and writing: nobody can put a row where he could not read it.
CREATE POLICY own ON clinic.patients USING (clinic_id = clinic.own()) WITH CHECK (clinic_id = clinic.own());
CREATE POLICY own ON clinic.findings USING (clinic_id = clinic.own()) WITH CHECK (clinic_id = clinic.own());

GRANT USAGE ON SCHEMA clinic TO clinic_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON clinic.patients, clinic.findings TO clinic_app;
