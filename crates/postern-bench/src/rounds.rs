//! The measurements, in rounds in which the places take turns.

use crate::bulk::Bulk;
use crate::figures::Figures;
use crate::memory::{self, CpuTime};
use crate::pgbench::{Mode, Outcome, Run, Script};
use crate::places::{Place, Places};
use crate::plan::Plan;
use crate::say;
use anyhow::Context as _;

/// Numbers of clients.
pub(crate) const CLIENTS: [u32; 2] = [1, 32];

/// Does all of the plan.
///
/// # Errors
/// When a measurement can't be made at all. Transactions that fail are counted instead.
pub(crate) fn measure(plan: &Plan, places: &Places) -> anyhow::Result<Figures> {
    let mut figures = Figures::default();
    // The first use of a table or of a connection costs more than any later one.
    select_only(places, &mut Figures::default(), Mode::Extended, 1, 0)?;
    for round in 0..plan.rounds {
        say(&format!(
            "round {} of {}: the empty ring, then one SELECT by key (extended) with 1 and 32 clients ...",
            round.saturating_add(1),
            plan.rounds
        ));
        figures.echo.push(places.echo.run(plan.echo_s)?);
        select_only(places, &mut figures, Mode::Extended, plan.round_s, round)?;
    }
    for round in 0..plan.more_modes_rounds {
        say("the same with pgbench's modes prepared and simple ...");
        for mode in [Mode::Prepared, Mode::Simple] {
            select_only(places, &mut figures, mode, plan.more_modes_s, round)?;
        }
    }
    for round in 0..plan.tpcb_rounds {
        say("TPC-B with 32 clients ...");
        tpc_b(places, &mut figures, plan.tpcb_s, round)?;
    }
    for round in 0..plan.bulk_rounds {
        say(&format!(
            "bulk: {} MB out by COPY, out by SELECT, in by COPY ...",
            plan.bulk_mb
        ));
        for bulk in Bulk::ALL {
            for place in in_turn(places, round) {
                let speed = bulk.measure(places, place, plan.bulk_mb)?;
                figures.bulk.entry((place, bulk)).or_default().push(speed);
            }
        }
    }
    figures.memory = memory::of_ring(&places.ring);
    Ok(figures)
}

/// The places, another first each time.
fn in_turn(places: &Places, round: u32) -> Vec<Place> {
    let mut all = places.all();
    let by = usize::try_from(round).unwrap_or(0) % all.len().max(1);
    all.rotate_left(by);
    all
}

fn select_only(
    places: &Places,
    figures: &mut Figures,
    mode: Mode,
    seconds: u32,
    round: u32,
) -> anyhow::Result<()> {
    for place in in_turn(places, round) {
        if mode == Mode::Prepared && !keeps_prepared_statements(places, place) {
            continue;
        }
        for clients in CLIENTS {
            let run = Run {
                mode,
                script: Script::SelectOnly,
                clients,
                seconds,
            };
            let before = CpuTime::read(places);
            let outcome = go(places, place, &run)?;
            figures.add_cpu(
                place,
                &run,
                &CpuTime::read(places).since(&before),
                outcome.processed,
            );
            figures.add(place, &run, outcome);
        }
    }
    Ok(())
}

fn keeps_prepared_statements(places: &Places, place: Place) -> bool {
    match (&places.pooler, place) {
        (Some(pooler), Place::PgBouncer) => pooler.version.keeps_prepared_statements(),
        _ => true,
    }
}

fn tpc_b(places: &Places, figures: &mut Figures, seconds: u32, round: u32) -> anyhow::Result<()> {
    for place in in_turn(places, round) {
        let run = Run {
            mode: Mode::Extended,
            script: Script::TpcB,
            clients: 32,
            seconds,
        };
        let outcome = go(places, place, &run)?;
        figures.add(place, &run, outcome);
    }
    Ok(())
}

/// pgbench counts the time to sign in as part of the run, so on a busy machine a short run may end before it has
/// begun; then longer ones are tried.
fn go(places: &Places, place: Place, run: &Run) -> anyhow::Result<Outcome> {
    let (pgbench, port) = (places.pgbench(), places.port(place)?);
    let longer = |times: u32| Run {
        seconds: run.seconds.saturating_mul(times),
        ..*run
    };
    let scratch = places.ring.files();
    run.go(&pgbench, port, scratch)
        .or_else(|_| longer(4).go(&pgbench, port, scratch))
        .or_else(|_| longer(12).go(&pgbench, port, scratch))
        .with_context(|| format!("{run:?} at {}", place.name()))
}
