//! Writing: records are collected in memory and committed with one write.

use crate::chain::Link;
use crate::files;
use crate::line;
use crate::record::{Details, Event, Level, Outcome, Record};
use crate::recover;
use crate::tally::Tally;
use postern_types::{Author, InstanceId, Stage};
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Size in bytes after which a new file begins.
pub const ROTATE_BYTES: u64 = 256 * 1024 * 1024;

/// Room kept for the next commit's records, in bytes, so that the buffer is not freed and grown every time
/// nor kept at the size of the largest burst.
const KEPT_BUFFER_BYTES: usize = 1024 * 1024;

/// A disk that stays full is told of again so often.
const REMIND_EVERY: Duration = Duration::from_secs(10);

/// What a committed record survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// The death of the process. A power cut can take the last seconds of records.
    #[default]
    Process,
    /// A power cut as well: each commit waits for the disk.
    Power,
}

/// What becomes of records, and so of the service, when the disk is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFull {
    /// Commits fail, and nothing is handed on.
    #[default]
    Stop,
    /// Records are dropped, and it goes on. The first one that is written again is an alert that says how many are missing.
    Serve,
}

/// Why a ledger can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file system refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// Of which file or directory.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
    /// Another process has it open for writing.
    #[error("{}: another process writes this ledger", path.display())]
    InUse {
        /// The ledger's directory.
        path: PathBuf,
    },
    /// It is not as a clean stop or a killed process leaves it. `postern audit verify` tells more.
    #[error("{}, line {line}: {reason}; the ledger is not continued", path.display())]
    Inconsistent {
        /// Of which file or directory.
        path: PathBuf,
        /// Line in the file, from 1; 0 for the whole.
        line: u64,
        /// What is wrong.
        reason: &'static str,
    },
}

impl LedgerError {
    pub(crate) fn io(path: &Path, source: io::Error) -> LedgerError {
        LedgerError::Io {
            path: path.to_owned(),
            source,
        }
    }
}

/// A ledger, open for writing by its author.
#[derive(Debug)]
pub struct Ledger {
    directory: PathBuf,
    author: Author,
    rotate_bytes: u64,
    /// The head, locked for as long as the ledger is open.
    head: File,
    /// The head on disk is behind `committed`.
    head_stale: bool,
    durability: Durability,
    on_full: OnFull,
    /// Records that were dropped since the last successful commit. The first pending one says how many.
    lost: u64,
    /// Records in `pending`, without that one.
    collected: u64,
    /// When it was told that records are dropped.
    told: Option<Instant>,
    /// The disk has refused to take what the file has. Nobody knows what it holds then, and it must not say otherwise
    /// the next time it is asked.
    sync_failed: bool,
    file: Option<File>,
    /// Bytes of committed lines in `file`. Writes go to this offset, so that a failed one is overwritten.
    length: u64,
    committed: Link,
    /// The last record in `pending`, or `committed`.
    last: Link,
    pending: Vec<u8>,
    tally: Arc<Tally>,
}

impl Ledger {
    /// Opens or creates the ledger in `directory` and records `stage.start` with this run's instance. A torn
    /// last line that a killed process left is cut off and recorded as `ledger.recovered`.
    ///
    /// # Errors
    /// When the directory can't be used, another process has it open, or it is in any other way not as it
    /// was left: then nothing is changed.
    pub fn open(
        directory: &Path,
        stage: Stage,
        instance: InstanceId,
        now_ms: u64,
    ) -> Result<Ledger, LedgerError> {
        Ledger::open_with(directory, stage, instance, now_ms, ROTATE_BYTES)
    }

    /// [`Ledger::open`] with another file size than [`ROTATE_BYTES`].
    ///
    /// # Errors
    /// See [`Ledger::open`].
    pub fn open_with(
        directory: &Path,
        stage: Stage,
        instance: InstanceId,
        now_ms: u64,
        rotate_bytes: u64,
    ) -> Result<Ledger, LedgerError> {
        let (mut ledger, torn) = Ledger::resume(directory, stage.into(), rotate_bytes)?;
        ledger.append_recovered(now_ms, torn);
        ledger.append_start(instance, now_ms);
        ledger
            .commit()
            .map_err(|error| LedgerError::io(directory, error))?;
        Ok(ledger)
    }

    /// Opens or creates the operator's ledger in `directory`, in which no run begins or ends: each command adds its
    /// records. A torn last line is cut off as by [`Ledger::open`].
    ///
    /// # Errors
    /// See [`Ledger::open`].
    pub fn open_operators(directory: &Path, now_ms: u64) -> Result<Ledger, LedgerError> {
        let (mut ledger, torn) = Ledger::resume(directory, Author::Operator, ROTATE_BYTES)?;
        ledger.append_recovered(now_ms, torn);
        ledger
            .commit()
            .map_err(|error| LedgerError::io(directory, error))?;
        Ok(ledger)
    }

    /// Finds the place to go on, and cuts off a torn last line; the ledger, and the bytes of that line.
    fn resume(directory: &Path, author: Author, rotate_bytes: u64) -> Result<(Ledger, u64), LedgerError> {
        let io = |error| LedgerError::io(directory, error);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(io)?;
        let head = lock_head(directory)?;
        let place = recover::find_place(directory)?;
        let file = match &place.file {
            Some(found) => Some(OpenOptions::new().write(true).open(&found.path).map_err(io)?),
            None => None,
        };
        if let (Some(file), 1..) = (&file, place.torn) {
            file.set_len(place.length).map_err(io)?;
        }
        let ledger = Ledger {
            directory: directory.to_owned(),
            author,
            rotate_bytes,
            head,
            head_stale: true,
            durability: Durability::Process,
            on_full: OnFull::default(),
            lost: 0,
            collected: 0,
            told: None,
            sync_failed: false,
            file,
            length: place.length,
            committed: place.link,
            last: place.link,
            pending: Vec::new(),
            tally: Arc::default(),
        };
        Ok((ledger, place.torn))
    }

    fn append_recovered(&mut self, now_ms: u64, torn: u64) {
        if torn > 0 {
            let details = Details {
                bytes: Some(torn),
                reason: Some("torn-line"),
                ..Details::default()
            };
            self.append(&Record {
                level: Level::Warn,
                details,
                ..Record::at(now_ms, Event::LedgerRecovered)
            });
        }
    }

    fn append_start(&mut self, instance: InstanceId, now_ms: u64) {
        let details = Details {
            instance: Some(instance),
            ..Details::default()
        };
        self.append(&Record {
            details,
            ..Record::at(now_ms, Event::StageStart)
        });
    }

    /// The same ledger, whose commits survive this from now on, and what is in it already does.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn surviving(mut self, durability: Durability) -> io::Result<Ledger> {
        self.durability = durability;
        if durability == Durability::Power {
            self.keep_name()?;
            self.sync()?;
        }
        Ok(self)
    }

    /// The same ledger, which does this from now on when the disk is full.
    #[must_use]
    pub fn on_full(mut self, on_full: OnFull) -> Ledger {
        self.on_full = on_full;
        self
    }

    /// Counts of what is written down.
    pub fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    /// Records that were dropped because the disk is full; 0 when all are written.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Waits for the disk, if a commit has to.
    fn sync(&mut self) -> io::Result<()> {
        let (Durability::Power, Some(file)) = (self.durability, &self.file) else {
            return Ok(());
        };
        file.sync_data().inspect_err(|_| self.sync_failed = true)
    }

    /// A file that has just been made is there after a power cut, if that matters.
    fn keep_name(&mut self) -> io::Result<()> {
        if self.durability == Durability::Process {
            return Ok(());
        }
        let synced = File::open(&self.directory).and_then(|directory| directory.sync_all());
        synced.inspect_err(|_| self.sync_failed = true)
    }

    /// Collects a record in memory. Nothing it stands for may be handed on before [`Ledger::commit`] has
    /// succeeded.
    pub fn append(&mut self, record: &Record<'_>) {
        self.collected = self.collected.saturating_add(1);
        self.tally.count(record);
        self.last = line::write(record, self.author, &self.last, &mut self.pending);
    }

    /// Bytes collected since the last commit.
    pub fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    /// Writes what was collected with one write, then the head with another. Does nothing when there is
    /// nothing to write. When it has returned, the records survive the death of the process, or a power cut, as
    /// [`Durability`] says.
    ///
    /// # Errors
    /// When the file system refuses, for instance because the disk is full. The records are kept, and a
    /// later commit writes them; until one succeeds the caller must hand nothing on. Once the disk has failed to keep
    /// what it was given, none does. With [`OnFull::Serve`] a full disk is no error; see [`Ledger::lost`].
    pub fn commit(&mut self) -> io::Result<()> {
        if self.sync_failed {
            return Err(io::Error::other("the disk has failed to keep records"));
        }
        match self.write_down() {
            Err(error) if self.on_full == OnFull::Serve && is_full(&error) && !self.sync_failed => {
                self.drop_pending();
                Ok(())
            }
            written => written.inspect_err(|_| self.tally.commit_failed()),
        }
    }

    fn write_down(&mut self) -> io::Result<()> {
        if !self.pending.is_empty() {
            self.write_pending()?;
            // Before the head: one that is ahead of the records would look like a cut.
            self.sync()?;
        }
        if self.head_stale {
            files::write_head(&self.head, &self.committed)?;
            self.head_stale = false;
        }
        Ok(())
    }

    fn write_pending(&mut self) -> io::Result<()> {
        let full =
            self.length > 0 && self.length.saturating_add(self.pending.len() as u64) > self.rotate_bytes;
        let file = match self.file.take() {
            Some(file) if !full => self.file.insert(file),
            old => {
                // On failure the old file is still the one to write to.
                let first = self.committed.number.saturating_add(1);
                let made = create_file(&self.directory, first);
                match made.and_then(|new| self.keep_name().map(|()| new)) {
                    Ok(new) => {
                        self.length = 0;
                        self.file.insert(new)
                    }
                    Err(error) => {
                        self.file = old;
                        return Err(error);
                    }
                }
            }
        };
        file.write_all_at(&self.pending, self.length)?;
        self.length = self.length.saturating_add(self.pending.len() as u64);
        self.committed = self.last;
        self.head_stale = true;
        if self.told.take().is_some() {
            tracing::warn!(
                lost = self.lost,
                "there is room again: records are written, and these are missing"
            );
        }
        (self.lost, self.collected) = (0, 0);
        self.tally.committed(self.pending.len() as u64, 0);
        self.pending.clear();
        self.pending.shrink_to(KEPT_BUFFER_BYTES);
        Ok(())
    }

    /// Leaves out what there is no room for, with one record in its place, which is written when there is.
    fn drop_pending(&mut self) {
        self.lost = self.lost.saturating_add(self.collected);
        if self.told.is_none_or(|told| told.elapsed() >= REMIND_EVERY) {
            tracing::error!(
                lost = self.lost,
                "the disk is full: records are DROPPED, as `on_full` says"
            );
            self.told = Some(Instant::now());
        }
        self.last = self.committed;
        self.pending.clear();
        if self.lost > 0 {
            let details = Details {
                reason: Some("disk-full"),
                messages: Some(self.lost),
                ..Details::default()
            };
            self.append(&Record {
                level: Level::Alert,
                result: Outcome::Failed,
                details,
                ..Record::new(Event::LedgerGap)
            });
        }
        self.collected = 0;
        self.tally.committed(0, self.lost);
    }

    /// Records `stage.stop`, commits, and forces everything to the disk.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn close(mut self, now_ms: u64) -> io::Result<()> {
        self.append(&Record::at(now_ms, Event::StageStop));
        self.commit()?;
        if let Some(file) = &self.file {
            file.sync_data()?;
        }
        self.head.sync_data()
    }
}

/// No room, on the disk or in a quota.
fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Opens the head, made if it is missing, and locks it against other writers.
fn lock_head(directory: &Path) -> Result<File, LedgerError> {
    let path = files::head_path(directory);
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    let head = options
        .open(&path)
        .map_err(|error| LedgerError::io(&path, error))?;
    match head.try_lock() {
        Ok(()) => Ok(head),
        Err(TryLockError::WouldBlock) => Err(LedgerError::InUse {
            path: directory.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(LedgerError::io(&path, error)),
    }
}

fn create_file(directory: &Path, first: u64) -> io::Result<File> {
    let path = directory.join(files::file_name(first));
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}
