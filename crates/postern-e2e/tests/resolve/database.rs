//! A PostgreSQL server with a database full of things that have names.

use postern_catalog::Catalog;
use postern_sql::SqlLimits;
use postern_sql::resolve::{Names, ResolveError, Resolved, resolve};
use postern_testkit::postgres::{Account, CARELESS, Installation, Server, ServerOptions, make_cluster};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

pub(crate) const SCHEMA: &str = include_str!("schema.sql");

pub(crate) struct Database {
    pub(crate) catalog: Catalog,
    pub(crate) server: Server,
    _folder: tempfile::TempDir,
}

impl Database {
    /// Starts a server of this version, or of the newest, and describes its database with `postern catalog`.
    pub(crate) fn start(major: Option<u32>) -> Database {
        let installation = Installation::find(major).unwrap();
        let account = Account::choose().unwrap();
        let folder = tempfile::Builder::new()
            .prefix("postern-test-")
            .tempdir()
            .unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        account.own(folder.path()).unwrap();
        let data = folder.path().join("data");
        make_cluster(&installation, account, &data).unwrap();
        let port = postern_testkit::port::reserve().unwrap();
        let options = ServerOptions {
            data,
            socket_directory: folder.path().to_owned(),
            port: port.number,
            log: folder.path().join("log"),
            settings: CARELESS.map(str::to_owned).to_vec(),
        };
        let server = Server::start(&installation, account, options).unwrap();
        let stop = ["-q", "-v", "ON_ERROR_STOP=1"];
        server
            .psql(
                "postgres",
                &stop,
                "CREATE ROLE backend LOGIN PASSWORD 'secret'; ALTER ROLE postgres PASSWORD 'secret';
                 CREATE DATABASE demo",
            )
            .unwrap();
        server.psql("demo", &stop, SCHEMA).unwrap();

        let ring = folder.path().join("ring");
        let url = format!(
            "postgres://backend:secret@127.0.0.1:{}/demo?sslmode=disable",
            port.number
        );
        let postern = |arguments: &[&str]| {
            let program = postern_testkit::binaries::directory().unwrap().join("postern");
            let output = Command::new(program).args(arguments).output().unwrap();
            let told = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(
                output.status.success(),
                "{told}{}",
                String::from_utf8_lossy(&output.stderr)
            );
            told
        };
        let directory = ring.to_str().unwrap();
        postern(&["init", directory, "--database", &url]);
        let told = postern(&["catalog", directory]);
        assert!(told.contains("There was none before."), "{told}");
        let told = postern(&["catalog", directory]);
        assert!(told.contains("Nothing has changed"), "{told}");
        server
            .psql("demo", &stop, "CREATE TABLE public.late (a int)")
            .unwrap();
        let told = postern(&["catalog", directory]);
        assert!(told.contains("new: table public.late."), "{told}");
        let text = std::fs::read(ring.join("policy/catalog.json")).unwrap();
        Database {
            catalog: Catalog::from_json(&text).unwrap(),
            server,
            _folder: folder,
        }
    }

    /// What the resolver makes of a text.
    pub(crate) fn resolve(&self, sql: &str) -> Result<Vec<Resolved>, ResolveError> {
        let path = ["app".to_owned(), "public".to_owned()];
        let names = Names {
            catalog: &self.catalog,
            search_path: &path,
        };
        resolve(sql, &names, &SqlLimits::default())
    }

    /// What it makes of a single right statement.
    pub(crate) fn one(&self, sql: &str) -> Resolved {
        let mut all = self.resolve(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(all.len(), 1, "{sql}");
        all.remove(0)
    }

    /// `schema.name` of a relation.
    pub(crate) fn name(&self, oid: u32) -> String {
        let relation = self.catalog.relation_by_oid(oid);
        relation.map_or_else(|| oid.to_string(), |r| format!("{}.{}", r.schema, r.name))
    }

    /// `name.column` of a column.
    pub(crate) fn column(&self, oid: u32, number: i16) -> String {
        let relation = self.catalog.relation_by_oid(oid).unwrap();
        format!(
            "{}.{}",
            relation.name,
            relation.column_name(number).unwrap_or("*")
        )
    }
}
