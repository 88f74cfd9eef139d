//! A record's line: how it is written, and how its seal is read back.

use crate::chain::Link;
use crate::record::{Details, LISTED, NAME_BYTES, PATTERN_BYTES, RESOURCES, Record, VALUE_BYTES, VALUES};
use jiff::Timestamp;
use postern_types::{Author, KeptForm, KeptValue};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// Longest line, its end included, in bytes. What the writer makes is far shorter.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// A SHA-256 in lower-case hex.
pub(crate) type HexHash = [u8; 64];

const NUMBER: &[u8] = b"{\"number\":";
const PREV: &[u8] = b",\"prev\":\"";
const HASH: &[u8] = b",\"hash\":\"";
const QUOTE: &[u8] = b"\"";
const END: &[u8] = b"\"}";

/// Appends the line of `record`, which follows `before`, and tells its own link.
pub(crate) fn write(record: &Record<'_>, author: Author, before: &Link, out: &mut Vec<u8>) -> Link {
    let start = out.len();
    let number = before.number.saturating_add(1);
    out.extend_from_slice(NUMBER);
    put_number(number, out);
    out.extend_from_slice(b",\"time\":\"");
    put_time_ns(record.time_ns.unwrap_or_else(unix_ns), out);
    out.push(b'"');
    put_text("stage", author.name(), out);
    put_text("level", record.level.name(), out);
    put_text("event", record.event.name(), out);
    if let Some(session) = record.session {
        put_hex("session", &session.0, out);
    }
    if let Some(exchange) = record.exchange {
        put_key("exchange", out);
        put_number(exchange, out);
    }
    if let Some(trace) = record.trace {
        // Writing to a Vec can't fail.
        let _ = write!(out, ",\"trace\":\"{}\"", trace.trace);
        put_hex("parent", &trace.parent, out);
        if !trace.sampled {
            put_key("sampled", out);
            out.extend_from_slice(b"false");
        }
    }
    put_name("actor", record.actor, out);
    put_name("tenant", record.tenant, out);
    if let Some(action) = record.action {
        put_text("action", action, out);
    }
    put_resource(record, out);
    put_text("result", record.result.name(), out);
    put_name("named", record.named, out);
    put_name("rule", record.rule, out);
    put_names("objects", record.objects, out);
    put_name("service", record.service, out);
    put_names("roles", record.roles, out);
    // Escaping at most doubles what has no control characters, so the line stays short enough.
    let fits = |pattern: &&str| pattern.len() <= PATTERN_BYTES && !pattern.contains(char::is_control);
    if let Some(pattern) = record.pattern.filter(fits) {
        put_text("pattern", pattern, out);
    }
    put_values(record.values, out);
    put_details(&record.details, out);
    out.extend_from_slice(PREV);
    out.extend_from_slice(&before.hash);
    out.push(b'"');
    let hash = hex_digest(out.get(start..).unwrap_or_default());
    out.extend_from_slice(HASH);
    out.extend_from_slice(&hash);
    out.extend_from_slice(END);
    out.push(b'\n');
    Link { number, hash }
}

fn put_resource(record: &Record<'_>, out: &mut Vec<u8>) {
    if record.resource.is_empty() {
        return;
    }
    put_key("resource", out);
    let mut separator = b'[';
    for digest in record.resource.iter().take(RESOURCES) {
        out.push(separator);
        out.extend_from_slice(b"\"sha256:");
        hex(&digest.0, out);
        out.push(b'"');
        separator = b',';
    }
    out.push(b']');
}

/// Names and values are cut, so that [`VALUES`] of them fit into a line, were each character an escape.
fn put_values(values: &[KeptValue], out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    put_key("values", out);
    let mut separator = b'[';
    for KeptValue { of, form } in values.iter().take(VALUES) {
        out.push(separator);
        out.extend_from_slice(b"{\"of\":\"");
        escape(cut(of), out);
        out.push(b'"');
        match form {
            KeptForm::Null => out.extend_from_slice(b",\"null\":true"),
            KeptForm::Hash(hash) => put_hex("hash", hash, out),
            KeptForm::Clear(value) => {
                let end = value.floor_char_boundary(VALUE_BYTES);
                put_text("clear", value.get(..end).unwrap_or_default(), out);
                if end < value.len() {
                    out.extend_from_slice(b",\"cut\":true");
                }
            }
        }
        out.push(b'}');
        separator = b',';
    }
    out.push(b']');
}

fn put_details(details: &Details, out: &mut Vec<u8>) {
    if *details == Details::default() {
        return;
    }
    put_key("details", out);
    out.push(b'{');
    let inside = out.len();
    if let Some(code) = &details.sqlstate {
        put_text("sqlstate", code.as_str(), out);
    }
    if let Some(reason) = details.reason {
        put_text("reason", reason, out);
    }
    if let Some(reference) = details.reference {
        put_hex("reference", &reference.to_be_bytes(), out);
    }
    let counts = [
        ("rows", details.rows),
        ("bytes", details.bytes),
        ("messages", details.messages),
        ("statements", details.statements),
        ("parts", details.parts),
        ("duration_us", details.duration_us),
        ("backend_us", details.backend_us),
    ];
    for (key, count) in counts {
        if let Some(count) = count {
            put_key(key, out);
            put_number(count, out);
        }
    }
    if let Some(instance) = &details.instance {
        put_hex("instance", &instance.0, out);
    }
    if let Some(client) = details.client {
        put_key("client", out);
        // Writing to a Vec can't fail.
        let _ = write!(out, "\"{client}\"");
    }
    if let Some(policy) = details.policy {
        put_hex("policy", &policy.to_be_bytes(), out);
    }
    if let Some(epoch) = details.epoch {
        put_key("epoch", out);
        put_number(epoch.into(), out);
    }
    if let Some(would) = details.would {
        put_text("would", would.name(), out);
    }
    // Every key brought a comma before itself; the first one's goes.
    if out.len() > inside {
        out.remove(inside);
    }
    out.push(b'}');
}

fn put_key(key: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
}

fn put_text(key: &str, text: &str, out: &mut Vec<u8>) {
    put_key(key, out);
    out.push(b'"');
    escape(text, out);
    out.push(b'"');
}

fn put_name(key: &str, name: Option<&str>, out: &mut Vec<u8>) {
    if let Some(name) = name {
        put_text(key, cut(name), out);
    }
}

fn put_names(key: &str, names: &[String], out: &mut Vec<u8>) {
    if names.is_empty() {
        return;
    }
    put_key(key, out);
    let mut separator = b'[';
    for name in names.iter().take(LISTED) {
        out.push(separator);
        out.push(b'"');
        escape(cut(name), out);
        out.push(b'"');
        separator = b',';
    }
    out.push(b']');
}

fn put_hex(key: &str, bytes: &[u8], out: &mut Vec<u8>) {
    put_key(key, out);
    out.push(b'"');
    hex(bytes, out);
    out.push(b'"');
}

fn put_number(number: u64, out: &mut Vec<u8>) {
    // Writing to a Vec can't fail.
    let _ = write!(out, "{number}");
}

/// Nanoseconds since the Unix epoch; 0 while the host's clock stands before it.
fn unix_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |elapsed| u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
}

/// RFC 3339 in UTC with nanoseconds.
fn put_time_ns(time_ns: u64, out: &mut Vec<u8>) {
    let time = Timestamp::from_nanosecond(time_ns.into()).unwrap_or(Timestamp::MAX);
    // Writing to a Vec can't fail.
    let _ = write!(out, "{time:.9}");
}

/// RFC 3339 in UTC with milliseconds. A time beyond the year 9999 is written as the last one before it.
pub(crate) fn put_time(time_ms: u64, out: &mut Vec<u8>) {
    let time = i64::try_from(time_ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    // Writing to a Vec can't fail.
    let _ = write!(out, "{:.3}", time.unwrap_or(Timestamp::MAX));
}

/// The longest beginning of `name` that fits, whole characters only.
fn cut(name: &str) -> &str {
    let end = name.floor_char_boundary(NAME_BYTES);
    name.get(..end).unwrap_or_default()
}

/// JSON string escapes; control characters of both blocks too, so that a line can be shown on a terminal.
fn escape(text: &str, out: &mut Vec<u8>) {
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend_from_slice(&[b'\\', c as u8]),
            c if c.is_control() => {
                // Writing to a Vec can't fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 {
        b'0' + nibble
    } else {
        b'a' + (nibble - 10)
    }
}

pub(crate) fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        out.push(hex_digit(byte >> 4));
        out.push(hex_digit(byte & 15));
    }
}

fn hex_digest(bytes: &[u8]) -> HexHash {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    let mut text = [0; 64];
    for (pair, byte) in text.chunks_exact_mut(2).zip(digest) {
        if let [high, low] = pair {
            *high = hex_digit(byte >> 4);
            *low = hex_digit(byte & 15);
        }
    }
    text
}

/// What a line says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SealedLine {
    /// Its number and hash.
    pub(crate) link: Link,
    /// The hash it names as the one before.
    pub(crate) prev: HexHash,
    /// Its hash is the hash of its bytes.
    pub(crate) holds: bool,
}

/// Reads number, prev and hash of a line (without its end) and computes whether the hash holds. `None` when
/// it is not in the form of a record.
pub(crate) fn read(line: &[u8]) -> Option<SealedLine> {
    let mut sealed = claims(line)?;
    let end = line.len().checked_sub(HASH.len() + 64 + END.len())?;
    sealed.holds = hex_digest(line.get(..end)?) == sealed.link.hash;
    Some(sealed)
}

/// The hash before and the own one, at the end of a line in the form of a record.
pub(crate) fn hashes_of(line: &[u8]) -> Option<[&str; 2]> {
    let hash_end = line.len().checked_sub(END.len())?;
    let hash_start = hash_end.checked_sub(64)?;
    let prev_end = hash_start.checked_sub(HASH.len() + QUOTE.len())?;
    let prev_start = prev_end.checked_sub(64)?;
    let text = |start, end| std::str::from_utf8(line.get(start..end)?).ok();
    Some([text(prev_start, prev_end)?, text(hash_start, hash_end)?])
}

/// What a line says of itself, where it is in the form of a record.
pub(crate) fn claims(line: &[u8]) -> Option<SealedLine> {
    let rest = line.strip_suffix(END)?;
    let (rest, hash) = rest.split_last_chunk::<64>()?;
    let rest = rest.strip_suffix(HASH)?.strip_suffix(QUOTE)?;
    let (rest, prev) = rest.split_last_chunk::<64>()?;
    let rest = rest.strip_suffix(PREV)?.strip_prefix(NUMBER)?;
    let digits = rest.split(|b| *b == b',').next()?;
    let text = std::str::from_utf8(digits).ok()?;
    let canonical = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    let number = text.parse().ok().filter(|_| canonical)?;
    Some(SealedLine {
        link: Link { number, hash: *hash },
        prev: *prev,
        holds: false,
    })
}
