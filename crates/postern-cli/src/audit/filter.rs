//! Which records are meant: the conditions of `postern audit query` and `export`, and a reader of those that fit.

use super::value::Sought;
use super::{Ledgers, Shown};
use clap::Args;
use jiff::Timestamp;
use memchr::memmem::Finder;
use postern_ledger::{TailReader, time_of};
use postern_types::{Author, SessionId, TraceId};
use serde_json::{Value, json};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A ledger is in the order of writing; its times follow a clock that may have been set back by this much.
const CLOCK_SLACK: Duration = Duration::from_secs(10);

/// What is asked of a record. Every condition must hold.
#[derive(Debug, Args)]
pub struct Filter {
    /// Not before this moment (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub since: Option<Timestamp>,
    /// Not after this moment (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub until: Option<Timestamp>,
    /// Of this user.
    #[arg(long, value_name = "USER")]
    pub actor: Option<String>,
    /// Of this tenant.
    #[arg(long)]
    pub tenant: Option<String>,
    /// Of this kind, such as `exchange` or `signin`.
    #[arg(long)]
    pub event: Option<String>,
    /// With this action, such as `select`.
    #[arg(long)]
    pub action: Option<String>,
    /// With this end: allowed, refused or failed.
    #[arg(long)]
    pub result: Option<String>,
    /// As serious as this: info, warn or alert.
    #[arg(long)]
    pub level: Option<String>,
    /// Of this session.
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// Of the exchange with this number of its session.
    #[arg(long, value_name = "N")]
    pub exchange: Option<u64>,
    /// With a statement of this SHA-256 (64 hex digits).
    #[arg(long, value_name = "SHA256")]
    pub statement: Option<String>,
    /// Of the trace with this id (32 hex digits): the client's own, or that of an exchange in a viewer of traces.
    #[arg(long, value_name = "ID", value_parser = trace)]
    pub trace: Option<TraceId>,
    /// With the reference that a client was told (up to 16 hex digits).
    #[arg(long, value_name = "HEX", value_parser = reference)]
    pub reference: Option<u64>,
    /// In which this value was recorded, in clear or as a keyed hash: a parameter or a column that the policy names.
    #[arg(long, value_name = "TEXT")]
    pub value: Option<String>,
    /// The key of hashes; default: keys/record.secret of the ring's directory.
    #[arg(long, value_name = "FILE", requires = "value")]
    pub value_key: Option<PathBuf>,
    /// Of this ledger only: that of a stage, or `operator`.
    #[arg(long, value_parser = super::stage)]
    pub stage: Option<Author>,
    /// No more than this many.
    #[arg(long, value_name = "N", default_value_t = usize::MAX, hide_default_value = true)]
    pub limit: usize,
}

/// [`Filter`] in the form in which it is looked for.
#[derive(Debug)]
struct Conditions {
    /// As the ledger writes times; they are of one length, so that they compare as text.
    since: String,
    until: String,
    /// After this no record of the range is expected any more.
    give_up: String,
    fields: Vec<Field>,
    trace: Option<Trace>,
    value: Option<Sought>,
}

/// A trace that the client named, or that of a session's exchange.
#[derive(Debug)]
struct Trace {
    id: TraceId,
    /// Both begin alike, the latter as its session does.
    needle: Finder<'static>,
}

impl Trace {
    fn new(id: TraceId) -> Trace {
        let text = id.to_string();
        let (half, _) = text.split_at(16);
        Trace {
            id,
            needle: Finder::new(half).into_owned(),
        }
    }

    fn holds(&self, record: &Value) -> bool {
        trace_of(record) == Some(self.id)
    }
}

/// The trace that a record is of: the one that the client named, or that of its session and exchange.
pub(super) fn trace_of(record: &Value) -> Option<TraceId> {
    let id = |key: &str| record.get(key).and_then(Value::as_str).and_then(TraceId::parse);
    let of_exchange = || {
        let exchange = record.get("exchange").and_then(Value::as_u64)?;
        Some(TraceId::of_exchange(SessionId(id("session")?.bytes()), exchange))
    };
    id("trace").or_else(of_exchange)
}

fn trace(text: &str) -> Result<TraceId, String> {
    TraceId::parse(text).ok_or_else(|| "a trace has 32 lower-case hex digits".to_owned())
}

fn reference(text: &str) -> Result<u64, String> {
    u64::from_str_radix(text, 16).map_err(|_| "a reference has up to 16 hex digits".to_owned())
}

/// A field, and what it must be.
#[derive(Debug)]
struct Field {
    /// JSON pointer (RFC 6901).
    pointer: &'static str,
    value: Value,
    /// Its bytes in every line that fits, unless they may be escaped there in another way than here. They may also
    /// stand elsewhere in a line, so this only sorts out.
    needle: Option<Finder<'static>>,
}

impl Field {
    fn new(pointer: &'static str, value: Value) -> Field {
        let text = value.to_string();
        let is_plain = text
            .bytes()
            .all(|byte| matches!(byte, b' '..=b'~') && byte != b'\\');
        Field {
            pointer,
            needle: is_plain.then(|| Finder::new(text.as_bytes()).into_owned()),
            value,
        }
    }
}

impl Conditions {
    fn of(filter: &Filter, directory: &Path) -> io::Result<Conditions> {
        let until = filter.until.unwrap_or(Timestamp::MAX);
        let text = |value: &Option<String>| value.as_ref().map(|value| json!(value));
        let number = |value: Option<u64>| value.map(|value| json!(value));
        let digest = filter.statement.as_ref().map(|digest| {
            let digest = digest.strip_prefix("sha256:").unwrap_or(digest);
            json!(format!("sha256:{digest}"))
        });
        let fields = [
            ("/actor", text(&filter.actor)),
            ("/tenant", text(&filter.tenant)),
            ("/event", text(&filter.event)),
            ("/action", text(&filter.action)),
            ("/result", text(&filter.result)),
            ("/level", text(&filter.level)),
            ("/session", text(&filter.session)),
            ("/exchange", number(filter.exchange)),
            (
                "/details/reference",
                filter.reference.map(|told| json!(format!("{told:016x}"))),
            ),
            ("/resource", digest),
        ];
        let fields = fields
            .into_iter()
            .filter_map(|(pointer, value)| Some(Field::new(pointer, value?)));
        let value = filter.value.as_deref();
        let value = value.map(|text| Sought::new(text, filter.value_key.as_deref(), directory));
        Ok(Conditions {
            since: written(filter.since.unwrap_or(Timestamp::UNIX_EPOCH)),
            until: written(until),
            give_up: written(until.checked_add(CLOCK_SLACK).unwrap_or(Timestamp::MAX)),
            fields: fields.collect(),
            trace: filter.trace.map(Trace::new),
            value: value.transpose()?,
        })
    }

    fn may_hold(&self, line: &[u8]) -> bool {
        let needles = self.fields.iter().filter_map(|field| field.needle.as_ref());
        needles
            .chain(self.trace.iter().map(|trace| &trace.needle))
            .all(|needle| needle.find(line).is_some())
            && self.value.as_ref().is_none_or(|value| value.may_be_in(line))
    }

    fn hold(&self, record: &Value) -> bool {
        let of_trace = self.trace.as_ref().is_none_or(|trace| trace.holds(record));
        of_trace
            && self.value.as_ref().is_none_or(|value| value.is_in(record))
            && self
                .fields
                .iter()
                .all(|field| match record.pointer(field.pointer) {
                    // A record may be about several statements.
                    Some(Value::Array(values)) => values.contains(&field.value),
                    Some(value) => *value == field.value,
                    None => false,
                })
    }
}

/// As the ledger writes times.
fn written(time: Timestamp) -> String {
    format!("{time:.9}")
}

/// The ledgers, each at its next record that fits.
pub(super) struct Records {
    conditions: Conditions,
    sources: Vec<(TailReader, Option<Shown>)>,
    left_out: u64,
}

impl Records {
    pub(super) fn open(directory: &Path, filter: &Filter) -> io::Result<Records> {
        let conditions = Conditions::of(filter, directory)?;
        let directories: Vec<PathBuf> = match Ledgers::of(directory) {
            Ledgers::One(directory) => vec![directory],
            Ledgers::Ring(ring) => ring
                .into_iter()
                .filter(|(stage, _)| filter.stage.is_none_or(|wanted| wanted == *stage))
                .map(|(_, directory)| directory)
                .collect(),
        };
        let mut records = Records {
            conditions,
            sources: Vec::new(),
            left_out: 0,
        };
        for directory in directories {
            let mut reader = TailReader::open_since(&directory, &records.conditions.since)?;
            let next = advance(&mut reader, &records.conditions, &mut records.left_out)?;
            records.sources.push((reader, next));
        }
        Ok(records)
    }

    /// Lines that were looked at so far and are no records.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The next record of all ledgers by time; those of one moment come in the order of the ring.
    pub(super) fn next(&mut self) -> io::Result<Option<Shown>> {
        let waiting = self.sources.iter_mut().filter(|(_, next)| next.is_some());
        let first = waiting.min_by(|(_, a), (_, b)| {
            let (a, b) = (a.as_ref().map(Shown::time), b.as_ref().map(Shown::time));
            a.cmp(&b)
        });
        let Some((reader, next)) = first else {
            return Ok(None);
        };
        let record = next.take();
        *next = advance(reader, &self.conditions, &mut self.left_out)?;
        Ok(record)
    }
}

/// The next record of one ledger that fits.
fn advance(
    reader: &mut TailReader,
    conditions: &Conditions,
    left_out: &mut u64,
) -> io::Result<Option<Shown>> {
    while let Some(line) = reader.next_line()? {
        let Some(time) = time_of(line) else {
            *left_out = left_out.saturating_add(1);
            continue;
        };
        if time > conditions.give_up.as_str() {
            return Ok(None);
        }
        let in_range = time >= conditions.since.as_str() && time <= conditions.until.as_str();
        if !in_range || !conditions.may_hold(line) {
            continue;
        }
        match Shown::parse(line) {
            Some(record) if conditions.hold(&record.record) => return Ok(Some(record)),
            Some(_) => {}
            None => *left_out = left_out.saturating_add(1),
        }
    }
    Ok(None)
}
