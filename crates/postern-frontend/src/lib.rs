//! The Frontend: the only stage that clients reach (P1).
//!
//! It speaks PostgreSQL's protocol with clients, cuts what they send into exchanges, and sends those round the
//! ring; what comes back it writes to the client that asked (P5). It is not trusted with identities: the
//! Query Validator decides who signs in and gives a sealed ticket, without which nothing goes on.
//!
//! It trusts: its configuration, and envelopes that the Response Validator (and, for sign-in, the Query
//! Validator) sealed to it. It does not trust a byte from a client. Not in it: verifiers, policy, SQL, and any
//! route to the database; its dependencies show that.
//!
//! # How it runs
//! One thread. Each client has a task ([`client`]) that moves bytes between the socket and its
//! [`session::Session`], which is free of I/O. One task seals and publishes what the sessions have got ready
//! ([`outlet`]), one opens answers and gives them to the sessions ([`inlet`]). All share one [`frontend::Frontend`].

pub mod backends;
pub mod client;
pub mod config;
pub mod copy;
pub mod credit;
pub mod door;
pub mod exchange;
pub mod frontend;
pub mod inlet;
pub mod listener;
pub mod outlet;
pub mod output;
pub mod registry;
pub mod session;
pub mod signin;
pub mod startup;
pub mod statements;
pub mod stream;
pub mod tls;
mod trace;
pub mod watch;

use crate::backends::HEARTBEAT;
use crate::config::FrontendConfig;
use crate::frontend::{Frontend, Parts};
use crate::inlet::Openers;
use crate::session::SessionLimits;
use crate::tls::CertificateFiles;
use anyhow::Context as _;
use postern_bus::{Inlet, Outlet};
use postern_ledger::{Event, Level, Outcome, Record};
use postern_runtime::{LinkKeys, StageContext, Status, unix_ms};
use postern_types::Link;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long exchanges that are under way may take to finish when the Frontend stops.
const FINISH: Duration = Duration::from_secs(5);
/// How long last messages to clients and to the ring may take after that.
const LAST_MESSAGES: Duration = Duration::from_secs(2);

/// Runs a Frontend until it is asked to stop.
///
/// # Errors
/// When the configuration can't be used, the address is taken, or the ledger can't be written.
pub async fn run(config: FrontendConfig, context: StageContext) -> anyhow::Result<()> {
    tokio::task::LocalSet::new()
        .run_until(live(config, context))
        .await
}

async fn live(config: FrontendConfig, context: StageContext) -> anyhow::Result<()> {
    let session_limits = SessionLimits {
        trace_comments: config.trace_comments,
        ..config.limits.checked()?
    };
    let door = config.door()?;
    let mut certificate = CertificateFiles::of(&config)?;
    let tls = certificate.as_mut().map(CertificateFiles::take).transpose()?;
    let link_keys = LinkKeys::begin(&config.keys, &context)?;
    let keyring = link_keys.keyring();
    let sealer = keyring.sealer(Link::FrontendToQueryValidator)?;
    let openers = Openers {
        answers: keyring.opener(Link::ResponseValidatorToFrontend)?,
        sign_in: keyring.opener(Link::QueryValidatorToFrontend)?,
    };
    let directory = config.ledger.directory.clone();
    let ledger = config.ledger.open(context.stage, context.instance, unix_ms())?;
    let listener =
        listener::bind(config.listen).with_context(|| format!("can't listen on {}", config.listen))?;
    let subject = config.outlet.stream.clone();
    let connected =
        async { tokio::try_join!(Outlet::connect(&config.outlet), Inlet::connect(&config.inlet)) };
    let (outlet, inlet) = tokio::select! {
        connected = connected => connected?,
        () = context.shutdown.cancelled() => return Ok(()),
    };
    let status = Status::new(&directory, context.stage, context.instance, ledger.tally());
    let status = status.on_bus(inlet.watch(), outlet.watch());
    let frontend = Rc::new(Frontend::new(Parts {
        slot: config.slot,
        session_limits,
        limits: config.limits,
        tls_mode: config.tls_mode,
        tls: tls.map(|taken| taken.acceptor),
        backends: config.backends,
        ledger,
        shutdown: context.shutdown.clone(),
    }));
    tracing::info!(listen = %config.listen, "accepting clients");
    let counted = Rc::clone(&frontend);
    let status = status.gauge("postern_sessions", "Sessions that are signed in.", move || {
        u64::try_from(counted.sessions()).unwrap_or(u64::MAX)
    });
    tokio::task::spawn_local(status.keep());
    context.ready.announce()?;

    tokio::task::spawn_local(listener::run(listener, door, Rc::clone(&frontend)));
    tokio::select! {
        result = outlet::run(Rc::clone(&frontend), outlet, sealer, subject) => result,
        result = inlet::run(Rc::clone(&frontend), inlet, openers) => result,
        () = keep_time(&frontend, &link_keys, certificate) => Ok(()),
    }?;
    context.ready.withdraw()?;
    frontend.record(&Record::new(Event::StageStop));
    frontend.commit()?;
    Ok(())
}

/// Ticks until the Frontend is to stop, then lets the sessions finish.
async fn keep_time(frontend: &Frontend, link_keys: &LinkKeys, mut certificate: Option<CertificateFiles>) {
    let mut ticks = tokio::time::interval(HEARTBEAT);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut stopping: Option<Instant> = None;
    loop {
        tokio::select! {
            biased;
            _ = ticks.tick() => {}
            () = frontend.shutdown.cancelled(), if stopping.is_none() => {}
        }
        let now = Instant::now();
        frontend.tick(now);
        note(link_keys, frontend);
        if let Some(files) = &mut certificate {
            look_at_certificate(files, frontend, now);
        }
        if !frontend.shutdown.is_cancelled() {
            continue;
        }
        let since = *stopping.get_or_insert(now);
        let late = now.saturating_duration_since(since) >= FINISH;
        stop_sessions(frontend, late);
        let all_gone = frontend.seats().is_empty() && frontend.queue.is_idle();
        if all_gone || now.saturating_duration_since(since) >= FINISH + LAST_MESSAGES {
            return;
        }
        if stopping == Some(now) {
            ticks.reset_after(Duration::from_millis(20));
        }
    }
}

/// Writes down that the keys have turned.
fn note(link_keys: &LinkKeys, frontend: &Frontend) {
    let mut news = link_keys.news().peekable();
    if news.peek().is_none() {
        return;
    }
    for news in news {
        frontend.record(&news.record());
    }
    // A ledger that can't be written halts the Frontend.
    let _ = frontend.commit();
}

/// Shows another certificate to the clients that come from now on, if there is one. One that can't be used changes
/// nothing.
fn look_at_certificate(files: &mut CertificateFiles, frontend: &Frontend, now: Instant) {
    match files.look(now) {
        Ok(None) => return,
        Ok(Some(taken)) => {
            tracing::info!("clients see another certificate from now on");
            frontend.set_tls(taken.acceptor);
            frontend.record(&Record {
                resource: &[taken.digest],
                ..Record::new(Event::CertificateTaken)
            });
        }
        Err(error) => {
            tracing::error!("certificate not taken; clients go on to see the one from before: {error}");
            frontend.record(&Record {
                level: Level::Alert,
                result: Outcome::Refused,
                ..Record::new(Event::CertificateRefused)
            });
        }
    }
    // A ledger that can't be written halts the Frontend.
    let _ = frontend.commit();
}

fn stop_sessions(frontend: &Frontend, late: bool) {
    for seat in frontend.seats() {
        let mut session = seat.session.borrow_mut();
        session.stop(late);
        frontend.collect_and_commit(&mut session);
        seat.wake();
    }
}
