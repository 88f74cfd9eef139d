//! Bulk: a big table out by COPY and by SELECT, and its like in by COPY.

use crate::client::Client;
use crate::places::{Place, Places};
use anyhow::Context as _;
use postern_wire::put_copy_data;
use std::time::Instant;

/// Text of one row of `shop.big` in COPY's format.
pub(crate) const ROW_BYTES: u64 = 107;
/// Data in one CopyData message; psql's `\copy` sends as much.
const COPY_DATA_BYTES: usize = 8192;
/// Data between two writes to the socket.
const BLOCK_BYTES: usize = 8 * COPY_DATA_BYTES;

/// One transfer of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Bulk {
    /// `COPY big TO STDOUT`.
    CopyOut,
    /// `SELECT * FROM big`.
    SelectOut,
    /// `COPY big_in FROM STDIN`.
    CopyIn,
}

impl Bulk {
    /// All, in the order in which they are measured.
    pub(crate) const ALL: [Bulk; 3] = [Bulk::CopyOut, Bulk::SelectOut, Bulk::CopyIn];

    /// Name of the figure in the report, in megabytes (10^6 bytes) a second.
    pub(crate) fn figure(self) -> &'static str {
        match self {
            Bulk::CopyOut => "copy_out_mb_s",
            Bulk::SelectOut => "select_out_mb_s",
            Bulk::CopyIn => "copy_in_mb_s",
        }
    }

    /// Does it once; gives megabytes of data a second, without what the protocol adds to each message.
    ///
    /// # Errors
    /// When it fails.
    pub(crate) fn measure(self, places: &Places, place: Place, megabytes: u32) -> anyhow::Result<f64> {
        let mut client = Client::connect(places.port(place)?)?;
        let (bytes, seconds) = match self {
            Bulk::CopyOut => read(&mut client, "COPY big TO STDOUT"),
            Bulk::SelectOut => read(&mut client, "SELECT * FROM big"),
            Bulk::CopyIn => {
                places.ring.database_sql("TRUNCATE shop.big_in")?;
                write(&mut client, "COPY big_in FROM STDIN", megabytes)
            }
        }
        .with_context(|| format!("{self:?} at {}", place.name()))?;
        Ok(bytes as f64 / 1e6 / seconds)
    }
}

fn read(client: &mut Client, sql: &str) -> anyhow::Result<(u64, f64)> {
    let begun = Instant::now();
    let bytes = client.read_all(sql)?;
    Ok((bytes, begun.elapsed().as_secs_f64()))
}

fn write(client: &mut Client, sql: &str, megabytes: u32) -> anyhow::Result<(u64, f64)> {
    // The same rows again and again: `big_in` has no key.
    let rows = rows_of(BLOCK_BYTES.saturating_mul(16));
    let messages = copy_data(&rows)?;
    let repeats = u64::from(megabytes).saturating_mul(1_000_000) / rows.len() as u64;
    let repeats = usize::try_from(repeats.max(1))?;
    let begun = Instant::now();
    client.copy_in(
        sql,
        std::iter::repeat_n(&messages, repeats).flat_map(|messages| messages.chunks(BLOCK_BYTES)),
    )?;
    let bytes = (rows.len() as u64).saturating_mul(repeats as u64);
    Ok((bytes, begun.elapsed().as_secs_f64()))
}

/// Whole rows for `shop.big_in`, about so many bytes.
fn rows_of(bytes: usize) -> Vec<u8> {
    let mut rows = Vec::with_capacity(bytes.saturating_add(256));
    let mut id: u64 = 1_000_000;
    while rows.len() < bytes {
        id = id.saturating_add(1);
        let row = format!(
            "{id}\t{}\t2024-01-01 00:00:00+00\t{}.{:02}\t{id:064x}\n",
            id % 1000,
            100 + id % 900,
            id % 100
        );
        rows.extend_from_slice(row.as_bytes());
    }
    rows
}

/// The rows cut into CopyData messages, which need not end where rows end.
fn copy_data(rows: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut messages = Vec::with_capacity(rows.len().saturating_add(rows.len() / 1000));
    for piece in rows.chunks(COPY_DATA_BYTES) {
        put_copy_data(&mut messages, piece)?;
    }
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_wire::{Limits, frontend_frame};

    #[test]
    fn rows_are_as_long_as_those_of_the_table() {
        let rows = rows_of(100_000);
        let lines: Vec<&[u8]> = rows.split_inclusive(|byte| *byte == b'\n').collect();
        assert!(rows.ends_with(b"\n"));
        assert!(
            lines
                .iter()
                .all(|line| line.split(|byte| *byte == b'\t').count() == 5)
        );
        let average = rows.len() / lines.len();
        assert!(
            average.abs_diff(usize::try_from(ROW_BYTES).unwrap()) <= 3,
            "{average}"
        );
    }

    #[test]
    fn messages_carry_the_rows() {
        let rows = rows_of(50_000);
        let messages = copy_data(&rows).unwrap();
        let (mut rest, mut data) = (&messages[..], Vec::new());
        while let Some(frame) = frontend_frame(rest, &Limits::default()).unwrap() {
            assert_eq!(frame.tag, b'd');
            data.extend_from_slice(frame.body);
            rest = &rest[frame.raw.len()..];
        }
        assert!(rest.is_empty());
        assert_eq!(data, rows);
    }
}
