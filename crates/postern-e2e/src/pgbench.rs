//! pgbench as a load whose books must balance: its TPC-B-like script moves the same amount on an account, a
//! teller and a branch and writes it down, all in one transaction.

use anyhow::{Context as _, ensure};
use postern_testkit::Ring;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Branches, and so at most as many transactions that don't wait for each other.
const SCALE: u32 = 4;

/// Makes pgbench's tables past the ring, and runs its SELECTs through it with eight clients for so many seconds. Gives
/// back how many transactions there were.
///
/// # Errors
/// When one failed, a client was lost, or there was none.
pub async fn flawless(ring: &Ring, seconds: u32) -> anyhow::Result<u64> {
    let program = make_tables(ring, &["-s", "1"])?;
    let seconds = seconds.to_string();
    whole_run(
        ring,
        &program,
        &["-S", "-M", "extended", "-c", "8", "-T", &seconds],
    )
    .await
}

/// The same in every mode of pgbench, with its SELECTs and with its TPC-B-like script, with one client and with 64.
///
/// # Errors
/// As for [`flawless`].
pub async fn flawless_in_every_mode(ring: &Ring) -> anyhow::Result<u64> {
    let program = make_tables(ring, &["-s", "1"])?;
    let mut processed = 0_u64;
    for mode in ["simple", "extended", "prepared"] {
        for (script, clients, each) in [
            ("select-only", "1", "200"),
            ("select-only", "64", "30"),
            ("tpcb-like", "1", "20"),
            ("tpcb-like", "64", "3"),
        ] {
            // A thread for each client: pgbench prepares without looking after the thread's other clients, which may
            // hold all connections of the pool in their transactions meanwhile.
            let arguments = ["-b", script, "-M", mode, "-c", clients, "-j", clients, "-t", each];
            let done = whole_run(ring, &program, &arguments).await;
            processed += done.with_context(|| format!("{script}, {mode}, {clients} clients"))?;
        }
    }
    Ok(processed)
}

async fn whole_run(ring: &Ring, program: &Path, arguments: &[&str]) -> anyhow::Result<u64> {
    let mut command = Command::new(program);
    command.arg("-n").args(arguments).arg(ring.url("owner"));
    let output = tokio::task::spawn_blocking(move || command.output())
        .await?
        .context("can't run pgbench")?;
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    ensure!(output.status.success() && !said.contains("aborted"), "{said}");
    let failed = number_after(&said, "number of failed transactions: ");
    let processed = number_after(&said, "number of transactions actually processed: ");
    ensure!(failed == Some(0) && processed > Some(0), "{said}");
    Ok(processed.unwrap_or_default())
}

fn number_after(said: &str, words: &str) -> Option<u64> {
    let rest = said.lines().find_map(|line| line.strip_prefix(words))?;
    rest.split([' ', '/']).next()?.parse().ok()
}

/// Makes pgbench's tables as `owner`, past the ring; gives back where pgbench is.
fn make_tables(ring: &Ring, more: &[&str]) -> anyhow::Result<PathBuf> {
    let program = ring.installation().binaries.join("pgbench");
    let made = Command::new(&program)
        .args(["-i", "-q"])
        .args(more)
        .arg(ring.direct_url("owner"))
        .output()
        .context("can't run pgbench")?;
    ensure!(made.status.success(), "pgbench -i: {}", text(&made.stderr));
    Ok(program)
}

/// What pgbench said of all its runs together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Runs that began, each of all clients anew.
    pub runs: u64,
    /// Transactions that were confirmed.
    pub processed: u64,
    /// Clients that lost their connection; each may have had one COMMIT under way.
    pub aborted: u64,
    /// Runs that could not connect, or lost their connection before the first transaction.
    pub refused: u64,
}

/// pgbench at work, a second at a time, until it is told to stop.
pub struct Load {
    stop: Arc<AtomicBool>,
    worker: JoinHandle<anyhow::Result<Told>>,
}

impl Load {
    /// Makes pgbench's tables as `owner`, past the ring, and starts `clients` clients through it.
    ///
    /// # Errors
    /// When the tables can't be made.
    pub fn start(ring: &Ring, clients: u32) -> anyhow::Result<Load> {
        let program = make_tables(ring, &["--foreign-keys", "-s", &SCALE.to_string()])?;
        let stop = Arc::new(AtomicBool::new(false));
        let url = ring.url("owner");
        let worker = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || work(&program, &url, clients, &stop)
        });
        Ok(Load { stop, worker })
    }

    /// Ends the load and compares what pgbench was told with what the database holds.
    ///
    /// # Errors
    /// When a sum is wrong, a confirmed transaction is missing, or one ran that nobody asked for.
    pub async fn audit(self, ring: &Ring) -> anyhow::Result<Told> {
        self.stop.store(true, Ordering::Relaxed);
        // The run under way may need the ring, so this task must not be blocked by waiting for it.
        while !self.worker.is_finished() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let told = self
            .worker
            .join()
            .map_err(|_| anyhow::anyhow!("the thread of pgbench panicked"))??;
        let sums = ring.database_sql(
            "SELECT (SELECT sum(delta) FROM pgbench_history), (SELECT sum(abalance) FROM pgbench_accounts),
                    (SELECT sum(tbalance) FROM pgbench_tellers), (SELECT sum(bbalance) FROM pgbench_branches)",
        )?;
        let mut parts = sums.split('|');
        let first = parts.next();
        ensure!(
            parts.clone().count() == 3 && parts.all(|sum| Some(sum) == first),
            "the sums differ: {sums}"
        );
        let written: u64 = ring
            .database_sql("SELECT count(*) FROM pgbench_history")?
            .parse()?;
        ensure!(
            (told.processed..=told.processed + told.aborted).contains(&written),
            "pgbench was told of {} transactions, {} clients lost their connection, {written} are written down",
            told.processed,
            told.aborted
        );
        Ok(told)
    }
}

fn work(program: &Path, url: &str, clients: u32, stop: &AtomicBool) -> anyhow::Result<Told> {
    let mut told = Told::default();
    while !stop.load(Ordering::Relaxed) {
        let output = run(program, url, clients)?;
        let (said, complained) = (text(&output.stdout), text(&output.stderr));
        told.runs += 1;
        told.aborted += u64::try_from(complained.matches(" aborted in ").count())?;
        match processed(&said) {
            Some(count) => told.processed += count,
            // It asks for the size of its tables and connects all of its clients before the first begins.
            None => {
                ensure!(
                    tells_of_a_lost_connection(&complained),
                    "pgbench says neither how much it did nor that it could not connect:\n{said}{complained}"
                );
                told.refused += 1;
            }
        }
    }
    Ok(told)
}

fn run(program: &Path, url: &str, clients: u32) -> anyhow::Result<Output> {
    let program: PathBuf = program.to_owned();
    Command::new(program)
        .args(["-n", "-M", "prepared", "-T", "1", "-c", &clients.to_string()])
        .arg(url)
        .output()
        .context("can't run pgbench")
}

fn processed(said: &str) -> Option<u64> {
    let line = said
        .lines()
        .find_map(|line| line.strip_prefix("number of transactions actually processed: "))?;
    line.split('/').next()?.trim().parse().ok()
}

/// libpq says in three ways that the other side is gone: in words of its own, and in those of the system call in which
/// it noticed, of which one is of TLS.
fn tells_of_a_lost_connection(complained: &str) -> bool {
    ["connection", "SSL SYSCALL error: ", "Broken pipe"]
        .iter()
        .any(|words| complained.contains(words))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_connection_is_told_from_a_refused_statement() {
        for lost in [
            "connection to server at \"127.0.0.1\", port 30490 failed: Connection refused",
            "could not count number of branches: SSL SYSCALL error: EOF detected",
            "could not count number of branches: server closed the connection unexpectedly",
            "could not send data to server: Broken pipe",
        ] {
            assert!(
                tells_of_a_lost_connection(&format!("pgbench: error: {lost}\n")),
                "{lost}"
            );
        }
        for refused in [
            "could not count number of branches: ERROR:  permission denied for table pgbench_branches",
            "could not count number of branches: ERROR:  the statement was refused",
        ] {
            assert!(
                !tells_of_a_lost_connection(&format!("pgbench: error: {refused}\n")),
                "{refused}"
            );
        }
    }
}
