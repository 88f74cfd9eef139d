//! `postern keys rotate`: other keys for the links of a ring that is up, and no statement lost.
//!
//! Three steps. First every stage is given the keys of a new epoch and opens with them; when all do, every stage is
//! told to seal with them, and the old ones open for a grace period only; when that is over they open nothing, and are
//! removed. At each moment whatever one stage seals the other can open. What was interrupted is begun again: the next
//! epoch is higher than any that is in a file.

use crate::console::say;
use crate::directory::RingDirectory;
use crate::operator;
use crate::secret_file;
use crate::status::{Status, is_running};
use anyhow::{Context as _, bail, ensure};
use clap::{Args, ValueEnum};
use postern_envelope::{PublicKey, SecretKey};
use postern_runtime::{AcceptedKeys, KeyFile, Time, beside, stages_linked_with, unix_ms};
use postern_types::Stage;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long stages that run may take to read their keys again.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most generations of keys that a stage holds at once.
const MOST: usize = 8;
/// What has run out is kept in the files for so long, for stages whose clocks are behind.
const LEEWAY_MS: u64 = 60_000;
/// The Query Validator's own default, in seconds.
const TICKET_LIFETIME_S: u64 = 43_200;

/// Give the stages new keys for what they send each other, while traffic flows.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  postern keys rotate ring
  postern keys rotate ring --grace 60 --end-sessions     a key may have been stolen
  postern keys rotate ring --step prepare                stages run on other machines

What was sealed with the old keys is opened until the grace period is over. Sessions that are open keep a ticket that
the Query Validator has sealed for itself, which is good for as long as tickets last, unless sessions are to end.

Where stages run on other machines, do it in two steps: after `--step prepare` copy keys/link/STAGE to each; when the
log of every stage says `link keys read again`, `--step switch`, and copy them once more.")]
pub struct Rotate {
    /// The ring's directory.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// How long the old keys open what was sealed with them, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(5..=86_400))]
    grace: u64,
    /// Sessions that were opened under the old keys end with the grace period.
    #[arg(long)]
    end_sessions: bool,
    /// Do one step only.
    #[arg(long, value_enum)]
    step: Option<Step>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A part of a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Step {
    /// The stages open with the new keys.
    Prepare,
    /// They seal with them, and the old ones run out.
    Switch,
}

/// How old keys come to their end.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    /// How long they open what other stages sealed.
    pub grace: Duration,
    /// How long they open tickets.
    pub tickets: Duration,
}

/// Runs the command.
///
/// # Errors
/// When files can't be read or written, or a stage that runs does not take the keys.
pub fn run(args: &Rotate) -> anyhow::Result<ExitCode> {
    let ring = RingDirectory::new(&args.directory);
    ring.ring_config()?;
    let grace = Duration::from_secs(args.grace);
    let ending = Ending {
        grace,
        tickets: if args.end_sessions {
            grace
        } else {
            grace.max(ticket_lifetime(&ring)?)
        },
    };
    let told = |step: &str, epoch: u32, up: bool| {
        if args.json {
            say!("{}", json!({ "step": step, "epoch": epoch, "ring_is_up": up }));
        } else if step == "prepare" {
            say!("The stages open with the keys of epoch {epoch}.");
        } else {
            say!(
                "They seal with them; older ones open for {} s more, and tickets for {} s.",
                args.grace,
                ending.tickets.as_secs()
            );
        }
        if !up && !args.json {
            say!("This ring is not up here: stages that run take the files within a second.");
        }
    };
    if args.step != Some(Step::Switch) {
        let epoch = operator::recorded(&ring, "keys.rotate", &["prepare".to_owned()], || prepare(&ring))?;
        told("prepare", epoch, wait_if_up(&ring)?);
    }
    if args.step != Some(Step::Prepare) {
        let what = [
            "switch".to_owned(),
            format!("grace {} s", args.grace),
            format!("tickets {} s", ending.tickets.as_secs()),
        ];
        let epoch = operator::recorded(&ring, "keys.rotate", &what, || switch(&ring, ending))?;
        told("switch", epoch, wait_if_up(&ring)?);
    }
    Ok(ExitCode::SUCCESS)
}

/// Turns the keys of a ring that runs; returns the new epoch.
///
/// # Errors
/// As for [`run`].
pub fn rotate(ring: &RingDirectory, ending: Ending) -> anyhow::Result<u32> {
    prepare(ring)?;
    wait_until_taken(ring)?;
    let epoch = switch(ring, ending)?;
    wait_until_taken(ring)?;
    Ok(epoch)
}

/// The keys of a new ring.
///
/// # Errors
/// When the files can't be written.
pub fn make(ring: &RingDirectory) -> anyhow::Result<()> {
    let public = write_secrets(ring, 1)?;
    for stage in Stage::ALL {
        let keys = KeyFile {
            epoch: 1,
            secret_file: secret_name(1).into(),
            peers: peers(stage, &public),
            accepted: Vec::new(),
        };
        write(ring, stage, &keys)?;
    }
    Ok(())
}

/// Lets every stage open with the keys of a new epoch, whose number is returned.
///
/// # Errors
/// When the files can't be read or written, or too many keys have not run out yet.
pub fn prepare(ring: &RingDirectory) -> anyhow::Result<u32> {
    let _lock = lock(ring)?;
    let mut files = read_all(ring)?;
    let newest = files.values().flat_map(KeyFile::epochs).max().unwrap_or_default();
    let next = newest
        .checked_add(1)
        .context("there are no more numbers for epochs")?;
    if let Some((stage, _)) = files.iter().find(|(_, keys)| keys.accepted.len() + 1 >= MOST) {
        bail!("{stage} has {MOST} generations of keys already; wait until old ones have run out");
    }
    let public = write_secrets(ring, next)?;
    for (stage, keys) in &mut files {
        keys.accepted.push(AcceptedKeys {
            epoch: next,
            secret_file: secret_name(next).into(),
            until: None,
            own_until: None,
            peers: peers(*stage, &public),
        });
        write(ring, *stage, keys)?;
    }
    Ok(next)
}

/// Lets every stage seal with the newest keys, and all others run out.
///
/// # Errors
/// When nothing is prepared, or the files can't be read or written.
pub fn switch(ring: &RingDirectory, ending: Ending) -> anyhow::Result<u32> {
    let _lock = lock(ring)?;
    let mut files = read_all(ring)?;
    let mut newest: Vec<u32> = files
        .values()
        .flat_map(|keys| keys.epochs().into_iter().max())
        .collect();
    newest.dedup();
    let [next] = newest.as_slice() else {
        bail!("the stages have different newest keys; `--step prepare` gives them new ones");
    };
    ensure!(
        files.values().any(|keys| keys.epoch != *next),
        "no keys are prepared that are newer than those of epoch {next}"
    );
    let now_ms = unix_ms();
    let after =
        |span: Duration| Time(now_ms.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)));
    let (until, own_until) = (after(ending.grace), after(ending.tickets));
    for (stage, keys) in &mut files {
        *keys = turned(keys, *next);
        for old in &mut keys.accepted {
            old.until = Some(old.until.map_or(until, |time| time.min(until)));
            old.own_until = Some(old.own_until.map_or(own_until, |time| time.min(own_until)));
        }
        write(ring, *stage, keys)?;
    }
    Ok(*next)
}

/// The same keys, with those of epoch `next` to seal with.
fn turned(keys: &KeyFile, next: u32) -> KeyFile {
    let own = AcceptedKeys {
        epoch: keys.epoch,
        secret_file: keys.secret_file.clone(),
        until: None,
        own_until: None,
        peers: keys.peers.clone(),
    };
    let all = std::iter::once(&own).chain(&keys.accepted);
    let (chosen, others): (Vec<_>, Vec<_>) = all.cloned().partition(|one| one.epoch == next);
    match chosen.into_iter().next() {
        None => keys.clone(),
        Some(chosen) => KeyFile {
            epoch: chosen.epoch,
            secret_file: chosen.secret_file,
            peers: chosen.peers,
            accepted: others,
        },
    }
}

/// Removes keys that have run out. Says whether there were any.
///
/// # Errors
/// When the files can't be read or written.
pub fn remove_old(ring: &RingDirectory) -> anyhow::Result<bool> {
    let _lock = lock(ring)?;
    let now_ms = unix_ms();
    let is_over = |keys: &AcceptedKeys| {
        keys.latest()
            .is_some_and(|until| until.0.saturating_add(LEEWAY_MS) <= now_ms)
    };
    let mut any = false;
    for (stage, mut keys) in read_all(ring)? {
        let (over, good): (Vec<_>, Vec<_>) = keys.accepted.into_iter().partition(is_over);
        if over.is_empty() {
            continue;
        }
        any = true;
        keys.accepted = good;
        write(ring, stage, &keys)?;
        for old in over {
            let secret = beside(&ring.join(RingDirectory::link_keys(stage)), &old.secret_file);
            let Some(file) = secret.path() else {
                continue;
            };
            fs::remove_file(file).with_context(|| format!("can't remove {}", file.display()))?;
        }
    }
    Ok(any)
}

/// Waits until every stage runs and has taken the keys in its file.
///
/// # Errors
/// When one does not within half a minute.
pub fn wait_until_taken(ring: &RingDirectory) -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE;
    for (stage, keys) in read_all(ring)? {
        while !has_taken(ring, stage, &keys.epochs()) {
            if Instant::now() >= end {
                bail!(
                    "the {stage} has not taken its keys within {} s; its log says why. Nothing is lost: what is sealed \
                     now, all stages that have taken theirs can open. Mend it and do this again",
                    PATIENCE.as_secs()
                );
            }
            sleep(Duration::from_millis(50));
        }
    }
    Ok(())
}

/// Whether a stage runs and says that it holds exactly these.
fn has_taken(ring: &RingDirectory, stage: Stage, epochs: &[u32]) -> bool {
    let text = fs::read_to_string(ring.stage_ready_file(stage)).unwrap_or_default();
    let mut lines = text.lines();
    let pid = lines.next().and_then(|line| line.strip_prefix("pid "));
    let numbers: Vec<String> = epochs.iter().map(u32::to_string).collect();
    pid.and_then(|pid| pid.parse().ok()).is_some_and(is_running)
        && lines.next() == Some(&format!("epochs {}", numbers.join(" ")))
}

/// As [`wait_until_taken`] if `postern up` runs the ring here; otherwise there is nobody to wait for. Says which.
fn wait_if_up(ring: &RingDirectory) -> anyhow::Result<bool> {
    let up = Status::read(ring)?.is_some();
    if up {
        wait_until_taken(ring)?;
    }
    Ok(up)
}

fn ticket_lifetime(ring: &RingDirectory) -> anyhow::Result<Duration> {
    let file = ring.stage_config_file(Stage::QueryValidator);
    let text = fs::read_to_string(&file).with_context(|| format!("can't read {}", file.display()))?;
    let table: toml::Table = text
        .parse()
        .with_context(|| format!("error in {}", file.display()))?;
    let seconds = match table.get("ticket_lifetime_s") {
        None => TICKET_LIFETIME_S,
        Some(value) => {
            let number = value.as_integer().and_then(|number| u64::try_from(number).ok());
            number
                .with_context(|| format!("{}: ticket_lifetime_s is no number of seconds", file.display()))?
        }
    };
    Ok(Duration::from_secs(seconds))
}

fn secret_name(epoch: u32) -> PathBuf {
    PathBuf::from(format!("{epoch}.key"))
}

/// Makes every stage a secret of this epoch; gives back the public halves.
fn write_secrets(ring: &RingDirectory, epoch: u32) -> anyhow::Result<BTreeMap<Stage, PublicKey>> {
    let mut public = BTreeMap::new();
    for stage in Stage::ALL {
        let secret = SecretKey::generate()?;
        let keys = ring.join(RingDirectory::link_keys(stage));
        let file = keys.with_file_name(secret_name(epoch));
        if let Some(directory) = file.parent() {
            secret_file::directory(directory)?;
        }
        secret_file::write(&file, &format!("{}\n", *secret.to_base64()))
            .with_context(|| format!("can't write {}", file.display()))?;
        public.insert(stage, secret.public());
    }
    Ok(public)
}

fn peers(stage: Stage, public: &BTreeMap<Stage, PublicKey>) -> BTreeMap<Stage, PublicKey> {
    let linked = stages_linked_with(stage).into_iter();
    linked
        .filter_map(|peer| Some((peer, *public.get(&peer)?)))
        .collect()
}

fn read_all(ring: &RingDirectory) -> anyhow::Result<BTreeMap<Stage, KeyFile>> {
    let read = |stage| Ok((stage, KeyFile::read(&ring.join(RingDirectory::link_keys(stage)))?));
    Stage::ALL.into_iter().map(read).collect()
}

fn write(ring: &RingDirectory, stage: Stage, keys: &KeyFile) -> anyhow::Result<()> {
    let file = ring.join(RingDirectory::link_keys(stage));
    let text = format!(
        "# Keys of the links of one stage: what it seals with, and what else it opens with. Written by
# `postern keys rotate`; the stage reads it again when it changes. The secrets are in files beside it.

{}",
        toml::to_string(keys)?
    );
    secret_file::write(&file, &text).with_context(|| format!("can't write {}", file.display()))
}

/// One at a time changes the keys of a ring; the lock goes with the file.
fn lock(ring: &RingDirectory) -> anyhow::Result<File> {
    let path = ring.join(RingDirectory::link_folder()).join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("can't open {}", path.display()))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
        .with_context(|| format!("can't lock {}", path.display()))?;
    Ok(file)
}

#[cfg(test)]
mod tests;
