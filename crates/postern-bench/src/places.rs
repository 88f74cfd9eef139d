//! The places that are measured, all up at the same time: PostgreSQL itself, PgBouncer and the ring in front
//! of it, and the four empty NATS servers of the echo.

use crate::echo::Echo;
use crate::plan::Plan;
use crate::pooler::Pooler;
use crate::say;
use anyhow::{Context as _, bail};
use postern_testkit::{Options, Ring, Stage, Storage};
use std::path::PathBuf;
use std::process::Command;

/// Who runs the statements: a role that is held to a list of statements, as an application is.
pub(crate) const USER: &str = "app";
/// Name of the database.
pub(crate) const DATABASE: &str = postern_testkit::shop::DATABASE;
/// Scale of pgbench's tables: a million accounts.
const SCALE: u32 = 10;

/// The first policy's `app`, with COPY.
const POLICY: &str = "
version: 1
roles:
  app:
    mode: enforce
    database_role: app
    search_path: shop
    statements: [select, insert, update, delete, transaction, copy_in, copy_out]
    schemas: [shop]
    catalog: read
";

/// One way to the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// PostgreSQL itself.
    Direct,
    /// PgBouncer in front of it.
    PgBouncer,
    /// The ring in front of it.
    Postern,
}

impl Place {
    /// Name in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Place::Direct => "direct",
            Place::PgBouncer => "pgbouncer",
            Place::Postern => "postern",
        }
    }
}

/// Everything that runs.
pub(crate) struct Places {
    // Dropped in this order: what stands in front of the database, then the ring with it.
    pub(crate) pooler: Option<Pooler>,
    pub(crate) echo: Echo,
    pub(crate) ring: Ring,
}

impl Places {
    /// Starts all, and fills the tables.
    ///
    /// # Errors
    /// When a part does not come up, or PostgreSQL refuses a statement.
    pub(crate) async fn start(plan: &Plan) -> anyhow::Result<Places> {
        let options = Options {
            storage: Storage::File,
            policy: Some(POLICY.to_owned()),
            config: vec![(
                Stage::Backend,
                format!("[database]\npool_size = {}", plan.pool_size),
            )],
            database_settings: ["shared_buffers=1GB", "max_wal_size=8GB", "checkpoint_timeout=1h"]
                .map(str::to_owned)
                .to_vec(),
            ..Options::default()
        };
        let ring = Ring::start(options).await?;
        make_tables(&ring, plan)?;
        let pooler = Pooler::start(&ring, plan.pool_size)?;
        if pooler.is_none() {
            say("PgBouncer is skipped: it is not installed (apt-get install pgbouncer)");
        }
        let echo = Echo::start(&ring.files().join("echo"))?;
        Ok(Places { pooler, echo, ring })
    }

    /// The places that are there.
    pub(crate) fn all(&self) -> Vec<Place> {
        match self.pooler {
            Some(_) => vec![Place::Direct, Place::PgBouncer, Place::Postern],
            None => vec![Place::Direct, Place::Postern],
        }
    }

    /// TCP port of a place on 127.0.0.1.
    ///
    /// # Errors
    /// When PgBouncer is not there.
    pub(crate) fn port(&self, place: Place) -> anyhow::Result<u16> {
        match place {
            Place::Direct => Ok(self.ring.database_port()),
            Place::PgBouncer => {
                let pooler = self.pooler.as_ref().context("PgBouncer is not installed")?;
                Ok(pooler.port())
            }
            Place::Postern => Ok(self.ring.port()),
        }
    }

    /// The pgbench that belongs to the server.
    pub(crate) fn pgbench(&self) -> PathBuf {
        self.ring.installation().binaries.join("pgbench")
    }
}

/// pgbench's tables and those of the bulk transfers, in the schema that `app` uses.
fn make_tables(ring: &Ring, plan: &Plan) -> anyhow::Result<()> {
    let output = Command::new(ring.installation().binaries.join("pgbench"))
        .args(["-i", "-q", "-s", &SCALE.to_string(), "-I", "dtGvp"])
        .arg(ring.superuser_url())
        .env("PGOPTIONS", "-c search_path=shop")
        .output()
        .context("can't run pgbench")?;
    if !output.status.success() {
        bail!("pgbench -i failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    let rows = u64::from(plan.bulk_mb).saturating_mul(1_000_000) / crate::bulk::ROW_BYTES;
    // The tables hold nothing that matters after a crash, so no log is written: the gate is measured, not the disk.
    ring.database_sql(&format!(
        "CREATE UNLOGGED TABLE shop.big AS
            SELECT n AS id, n % 1000 AS customer, timestamptz '2024-01-01 00:00+00' + n * interval '1 second' AS at,
                   (n % 100000)::numeric / 100 AS amount, repeat(md5(n::text), 2) AS note
            FROM generate_series(1000000::bigint, 1000000 + {rows}) AS n;
         CREATE UNLOGGED TABLE shop.big_in (LIKE shop.big);
         GRANT ALL ON ALL TABLES IN SCHEMA shop TO {USER};
         VACUUM ANALYZE;
         CHECKPOINT;"
    ))?;
    Ok(())
}
