-- Roles of the example. Run once per cluster by a superuser:
--   psql -v password=SECRET -f roles.sql
--
-- postern   what the Backend signs in as: owns nothing, and has no right of its own
-- app       what an application's statements run as
-- owner     what migrations run as

CREATE ROLE app;
CREATE ROLE owner;
CREATE ROLE postern LOGIN NOINHERIT PASSWORD :'password';
GRANT app, owner TO postern;
