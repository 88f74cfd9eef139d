//! A ring with one policy in front of the fixture's database, and a copy of the database to play straight in.

use crate::client::Place;
use crate::format::{self, PolicyFile};
use crate::snapshot::Snapshot;
use postern_e2e::raw::Raw;
use postern_testkit::{Options, Part, Ring, Stage, TestUser};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};
use tokio_postgres::{Client, NoTls};

/// Makes a copy of the database as the fixture left it, which nobody connects to.
const KEEP_PRISTINE: &str = "\\c postgres\nCREATE DATABASE pristine TEMPLATE demo;\n";

/// Database of the cases that are played straight.
const DIRECT: &str = "direct";

pub(crate) struct Scene {
    pub(crate) ring: Ring,
    pub(crate) policy: PolicyFile,
    /// The superuser in `postgres`, which makes and drops databases.
    keeper: Client,
    /// The superuser in the ring's database.
    behind: Client,
    /// The superuser in the copy.
    beside: Client,
    pub(crate) pristine: Snapshot,
    pub(crate) pristine_direct: Snapshot,
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn url_of(ring: &Ring, database: &str) -> String {
    let url = ring.superuser_url();
    let (base, _) = url.rsplit_once('/').unwrap();
    format!("{base}/{database}")
}

impl Scene {
    /// Starts everything.
    ///
    /// # Errors
    /// When the ring does not come up with this policy.
    pub(crate) async fn start(policy: PolicyFile) -> Result<Scene, String> {
        let fixture = fs::read_to_string(format::folder().join("fixture.sql")).unwrap();
        let users = policy.users.iter().map(|user| TestUser {
            name: user.name.clone(),
            password: user.name.clone(),
            roles: user.roles.clone(),
            tenant: user.tenant.clone(),
        });
        let options = Options {
            sql: Some(format!("{fixture}\n{}\n{KEEP_PRISTINE}", policy.setup)),
            policy_directory: Some(format::folder().join("policies").join(&policy.name)),
            catalog: policy.catalog,
            users: users.collect(),
            ..Options::default()
        };
        let ring = Ring::start(options).await.map_err(|error| format!("{error:#}"))?;
        for folder in ["scratch-ring", "scratch-direct"] {
            let path = ring.files().join(folder);
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        }
        let keeper = connect(&url_of(&ring, "postgres")).await;
        make_direct(&keeper).await;
        let behind = connect(&url_of(&ring, "demo")).await;
        let beside = connect(&url_of(&ring, DIRECT)).await;
        let pristine = Snapshot::take(&behind).await;
        let pristine_direct = Snapshot::take(&beside).await;
        Ok(Scene {
            ring,
            policy,
            keeper,
            behind,
            beside,
            pristine,
            pristine_direct,
        })
    }

    /// Through the ring.
    pub(crate) fn through(&self) -> Place<'_> {
        Place {
            port: self.ring.port(),
            database: "demo",
            prelude: String::new(),
            scratch: self.ring.files().join("scratch-ring"),
            superuser: &self.behind,
        }
    }

    /// Straight.
    pub(crate) fn straight(&self) -> Place<'_> {
        Place {
            port: self.ring.database_port(),
            database: DIRECT,
            prelude: self.policy.direct.prelude.clone(),
            scratch: self.ring.files().join("scratch-direct"),
            superuser: &self.beside,
        }
    }

    /// Puts the copy back as it was, unless nothing was changed.
    ///
    /// # Errors
    /// Names what is changed outside the database, which only the case's `undo` could put right.
    pub(crate) async fn restore_straight(&mut self, undo: Option<&str>) -> Result<(), String> {
        empty(&self.straight());
        if let Some(undo) = undo {
            self.beside
                .batch_execute(undo)
                .await
                .map_err(|error| format!("undo: {error:?}"))?;
        }
        if self.pristine_direct == Snapshot::take(&self.beside).await {
            return Ok(());
        }
        make_direct(&self.keeper).await;
        self.beside = connect(&url_of(&self.ring, DIRECT)).await;
        let left = self.pristine_direct.changes(&Snapshot::take(&self.beside).await);
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("needs an `undo` for {}", left.join(", ")))
        }
    }

    /// What has changed in the ring's database.
    pub(crate) async fn changes(&self) -> Vec<String> {
        self.pristine.changes(&Snapshot::take(&self.behind).await)
    }

    /// Puts the ring's database back as it was.
    pub(crate) async fn restore_behind(&mut self, undo: Option<&str>) -> Result<(), String> {
        empty(&self.through());
        if let Some(undo) = undo {
            self.behind
                .batch_execute(undo)
                .await
                .map_err(|error| format!("undo: {error:?}"))?;
        }
        let changed = self.changes().await;
        if changed.is_empty() {
            return Ok(());
        }
        println!("made anew, because of {}", changed.join(", "));
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'demo'";
        self.keeper.batch_execute(sql).await.unwrap();
        self.keeper
            .batch_execute("DROP DATABASE demo WITH (FORCE)")
            .await
            .unwrap();
        self.keeper
            .batch_execute("CREATE DATABASE demo TEMPLATE pristine")
            .await
            .unwrap();
        // Went with the old database.
        self.keeper
            .batch_execute("ALTER ROLE app IN DATABASE demo SET search_path = shop")
            .await
            .unwrap();
        self.behind = connect(&url_of(&self.ring, "demo")).await;
        self.ring
            .restart(Part::Stage(Stage::Backend))
            .await
            .map_err(|error| format!("{error:#}"))?;
        self.serves().await?;
        let left = self.changes().await;
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("needs an `undo` for {}", left.join(", ")))
        }
    }

    /// Waits until the ring's first user can sign in.
    async fn serves(&self) -> Result<(), String> {
        let begun = Instant::now();
        let user = &self.policy.users[0].name;
        loop {
            match Raw::sign_in(self.ring.port(), user).await {
                Ok(_) => return Ok(()),
                Err(error) if begun.elapsed() > Duration::from_secs(60) => return Err(format!("{error:#}")),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// The stages' process ids, which must stay the same.
    pub(crate) fn pids(&self) -> Vec<Option<u32>> {
        Stage::ALL
            .iter()
            .map(|stage| self.ring.pid(Part::Stage(*stage)))
            .collect()
    }

    /// The PostgreSQL that this is run with.
    pub(crate) fn major(&self) -> u32 {
        self.ring.installation().major
    }
}

async fn make_direct(keeper: &Client) {
    for sql in [
        "DROP DATABASE IF EXISTS direct WITH (FORCE)",
        "CREATE DATABASE direct TEMPLATE pristine",
    ] {
        keeper.batch_execute(sql).await.unwrap();
    }
}

fn empty(place: &Place<'_>) {
    for entry in fs::read_dir(&place.scratch).unwrap() {
        let _ = fs::remove_file(entry.unwrap().path());
    }
}
