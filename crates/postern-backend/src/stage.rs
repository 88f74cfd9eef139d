//! Puts the parts of the Backend together.

use crate::config::BackendConfig;
use crate::connect::Connector;
use crate::intake::Intake;
use crate::outbox::{self, Outbox, Outgoing};
use crate::pool::{Pool, PoolCounts};
use crate::session::Shared;
use anyhow::Context;
use postern_bus::{Inlet, Outlet};
use postern_runtime::{LinkKeys, StageContext, Status};
use postern_types::ring::DirtyBody;
use postern_types::{InstanceId, Link, SessionId, Slot, Stage};
use std::rc::Rc;
use std::time::Duration;
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

/// How often Frontends are told that this Backend is there.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// How long the last answers may take to leave at shutdown.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Runs a Backend until it is told to stop.
///
/// # Errors
/// When it can't start, or can't write its ledger.
pub async fn run(mut config: BackendConfig, cx: StageContext) -> anyhow::Result<()> {
    LocalSet::new().run_until(serve(&mut config, cx)).await
}

async fn serve(config: &mut BackendConfig, cx: StageContext) -> anyhow::Result<()> {
    let link_keys = LinkKeys::begin(&config.keys, &cx)?;
    let keyring = link_keys.keyring();
    let ledger = config
        .ledger
        .open(Stage::Backend, cx.instance, postern_runtime::unix_ms());
    let ledger = ledger.context("cannot open the ledger")?;
    let connector = Connector::new(&config.database).context("cannot prepare the database connection")?;
    let pool = Pool::new(
        connector,
        config.database.pool_size,
        Duration::from_millis(config.database.acquire_timeout_ms),
    );
    let outlet = Rc::new(Outlet::connect(&config.outlet).await.context("NATS-3 (outlet)")?);
    let inlet = Inlet::connect(&config.inlet).await.context("NATS-2 (inlet)")?;
    let watched = outlet.watch();

    let (outbox, queue) = Outbox::new();
    let last_words = CancellationToken::new();
    let sealer = keyring.sealer(Link::BackendToResponseValidator)?;
    let writer = tokio::task::spawn_local(outbox::run(queue, sealer, outlet, last_words.clone()));
    tokio::task::spawn_local(announce(
        outbox.clone(),
        config.slot.clone(),
        cx.instance,
        config.frontends.clone(),
    ));
    let status = Status::new(&config.ledger.directory, cx.stage, cx.instance, ledger.tally());
    let status = status.on_bus(inlet.watch(), watched);
    let shared = Rc::new(Shared {
        pool,
        outbox,
        pool_mode: config.database.pool_mode,
        database: config.database.name.clone(),
        part_bytes: config.limits.part_bytes,
        message_bytes: config.limits.message_bytes,
    });
    let opener = keyring.opener(Link::QueryValidatorToBackend)?;
    let pool = Rc::clone(&shared);
    let connections = move |of: fn(&PoolCounts) -> usize| {
        let pool = Rc::clone(&pool);
        move || u64::try_from(of(&pool.pool.counts())).unwrap_or(u64::MAX)
    };
    let status = status
        .gauge(
            "postern_database_connections",
            "Connections to PostgreSQL that are open or being opened.",
            connections(|counts| counts.taken),
        )
        .gauge(
            "postern_database_connections_idle",
            "Connections to PostgreSQL that nobody uses.",
            connections(|counts| counts.idle),
        )
        .gauge(
            "postern_database_sessions_waiting",
            "Sessions that wait for a connection to PostgreSQL.",
            connections(|counts| counts.waiting),
        );
    let intake = Intake::new(
        cx.instance,
        opener,
        ledger,
        shared,
        config.limits.sessions,
        config.limits.waiting_bytes,
    );
    let sessions = intake.sessions();
    let status = status.gauge("postern_sessions", "Sessions that are open.", move || {
        u64::try_from(sessions()).unwrap_or(u64::MAX)
    });
    tokio::task::spawn_local(status.keep());
    cx.ready.announce()?;
    let result = intake.run(inlet, link_keys, cx.shutdown.clone()).await;
    tokio::time::sleep(LAST_WORDS).await;
    last_words.cancel();
    let _ = writer.await;
    result.context("cannot write the ledger")
}

/// Tells every Frontend, again and again, that this run of the Backend takes sessions.
async fn announce(outbox: Outbox, slot: Slot, instance: InstanceId, frontends: Vec<Slot>) {
    let mut tick = tokio::time::interval(HEARTBEAT);
    loop {
        tick.tick().await;
        for frontend in &frontends {
            let body = DirtyBody::Heartbeat {
                backend: slot.clone(),
                instance,
            };
            outbox.send(Outgoing::control(SessionId::NONE, 0, frontend.clone(), body));
        }
    }
}
