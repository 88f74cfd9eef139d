//! pgbench: one run, and what its output and its log of single transactions say.

use crate::places::{DATABASE, USER};
use anyhow::{Context as _, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How pgbench sends its statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    /// As text with the values in it.
    Simple,
    /// Parsed and bound anew each time.
    Extended,
    /// Parsed once by name.
    Prepared,
}

impl Mode {
    /// Name on pgbench's command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::Simple => "simple",
            Mode::Extended => "extended",
            Mode::Prepared => "prepared",
        }
    }
}

/// Which of pgbench's own scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Script {
    /// One SELECT by primary key.
    SelectOnly,
    /// Three UPDATEs, a SELECT and an INSERT in a transaction.
    TpcB,
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) mode: Mode,
    pub(crate) script: Script,
    pub(crate) clients: u32,
    pub(crate) seconds: u32,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    /// Transactions a second, without the time to connect.
    pub(crate) tps: f64,
    /// Transactions that ended well.
    pub(crate) processed: u64,
    /// Transactions that pgbench counts as failed.
    pub(crate) failed: u64,
    /// Clients that gave up because of an error.
    pub(crate) aborted: u64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

impl Run {
    /// Runs `program` against a port on 127.0.0.1, keeping its log in `scratch`.
    ///
    /// # Errors
    /// When pgbench can't be run, or did not get a single transaction through.
    pub(crate) fn go(&self, program: &Path, port: u16, scratch: &Path) -> anyhow::Result<Outcome> {
        let logs = tempfile::Builder::new().prefix("pgbench-").tempdir_in(scratch)?;
        let mut command = Command::new(program);
        command
            .args(["-n", "-h", "127.0.0.1", "-p", &port.to_string(), "-U", USER])
            .args(["-M", self.mode.name(), "-c", &self.clients.to_string()])
            .args([
                "-j",
                &self.clients.min(2).to_string(),
                "-T",
                &self.seconds.to_string(),
            ])
            .arg("-l")
            .arg("--log-prefix")
            .arg(logs.path().join("log"));
        if self.script == Script::SelectOnly {
            command.arg("-S");
        }
        // No TLS anywhere: PostgreSQL has none here, and the ring would otherwise be measured with it.
        let output = command
            .arg(DATABASE)
            .envs([
                ("PGPASSWORD", USER),
                ("PGSSLMODE", "disable"),
                ("PGGSSENCMODE", "disable"),
            ])
            .output()
            .with_context(|| format!("can't run {}", program.display()))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        let mut latencies = Vec::new();
        for file in log_files(logs.path())? {
            latencies.extend(latencies_of(&fs::read_to_string(file)?));
        }
        latencies.sort_unstable();
        let Some((tps, processed, failed)) = counts_of(&said).filter(|_| !latencies.is_empty()) else {
            bail!(
                "pgbench measured nothing:\n{}\n{}",
                last_lines(&said),
                last_lines(&complained)
            );
        };
        Ok(Outcome {
            tps,
            processed,
            failed,
            aborted: count_lines(&complained, " aborted in "),
            p50_us: percentile(&latencies, 50),
            p99_us: percentile(&latencies, 99),
        })
    }
}

fn log_files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    Ok(entries.into_iter().map(|entry| entry.path()).collect())
}

/// Microseconds of every transaction in a log: client, number, **time**, script, and when it ended. A failed one
/// has a word in the place of the time.
fn latencies_of(log: &str) -> impl Iterator<Item = u64> {
    log.lines()
        .filter_map(|line| line.split(' ').nth(2)?.parse().ok())
}

/// Transactions a second, processed and failed. pgbench before 15 counts no failed ones: it gives up instead.
fn counts_of(said: &str) -> Option<(f64, u64, u64)> {
    let after = |label: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(label))?;
        line.split(|c: char| c != '.' && !c.is_ascii_digit())
            .find(|word| !word.is_empty())
    };
    let tps = after("tps = ")?.parse().ok()?;
    let processed = after("number of transactions actually processed: ")?
        .parse()
        .ok()?;
    let failed = after("number of failed transactions: ").map_or(Some(0), |word| word.parse().ok())?;
    Some((tps, processed, failed))
}

fn count_lines(text: &str, part: &str) -> u64 {
    let count = text.lines().filter(|line| line.contains(part)).count();
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

/// The value below which so many in a hundred lie.
fn percentile(sorted: &[u64], percent: usize) -> f64 {
    let rank = sorted.len().saturating_mul(percent) / 100;
    sorted
        .get(rank)
        .or(sorted.last())
        .map_or(f64::NAN, |microseconds| *microseconds as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
transaction type: <builtin: select only>
number of transactions actually processed: 14962
number of failed transactions: 3 (0.020%)
latency average = 0.133 ms
initial connection time = 2.471 ms
tps = 7484.151287 (without initial connection time)
";

    #[test]
    fn counts_are_read_from_what_pgbench_prints() {
        assert_eq!(counts_of(SAID), Some((7484.151287, 14962, 3)));
        let older = SAID.replace("number of failed transactions: 3 (0.020%)\n", "");
        assert_eq!(counts_of(&older), Some((7484.151287, 14962, 0)));
        let fixed = SAID.replace("processed: 14962", "processed: 14962/20000");
        assert_eq!(counts_of(&fixed), Some((7484.151287, 14962, 3)));
        assert_eq!(counts_of("pgbench: error"), None);
    }

    #[test]
    fn latencies_are_the_third_word_and_failed_transactions_have_none() {
        let log = "0 1 133 0 1700000000 5\n0 2 failed 0 1700000000 9\n1 1 140 0 1700000001 7\n";
        assert_eq!(latencies_of(log).collect::<Vec<_>>(), [133, 140]);
    }

    #[test]
    fn percentiles_are_taken_from_the_values_themselves() {
        let values: Vec<u64> = (1..=100).collect();
        assert_eq!(percentile(&values, 50), 51.0);
        assert_eq!(percentile(&values, 99), 100.0);
        assert_eq!(percentile(&[7], 99), 7.0);
        assert!(percentile(&[], 50).is_nan());
    }
}
