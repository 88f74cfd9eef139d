//! What the kernel says of the ring's processes: resident memory and CPU time.

use crate::places::Places;
use postern_testkit::{Part, Ring};
use std::collections::BTreeMap;
use std::fs;

/// Memory of one process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    /// The most since it was started.
    pub(crate) peak: u64,
    /// Now.
    pub(crate) now: u64,
}

/// Memory of every part of the ring.
pub(crate) fn of_ring(ring: &Ring) -> BTreeMap<String, Memory> {
    Part::ALL
        .into_iter()
        .filter_map(|part| {
            let memory = Memory {
                peak: ring.peak_rss(part)?,
                now: ring.rss(part)?,
            };
            Some((part.name(), memory))
        })
        .collect()
}

/// CPU time of every part of the ring and of PgBouncer, in nanoseconds since each was started.
#[derive(Clone, Debug)]
pub(crate) struct CpuTime(BTreeMap<String, u64>);

impl CpuTime {
    /// Reads the clocks. A process that can't be read is left out.
    pub(crate) fn read(places: &Places) -> CpuTime {
        let ring = &places.ring;
        let parts = Part::ALL
            .into_iter()
            .filter_map(|part| Some((part.name(), ring.pid(part)?)));
        let pooler = places
            .pooler
            .as_ref()
            .map(|pooler| ("pgbouncer".to_owned(), pooler.pid()));
        CpuTime(
            parts
                .chain(pooler)
                .filter_map(|(name, pid)| Some((name, of_process(pid)?)))
                .collect(),
        )
    }

    /// Nanoseconds from `earlier` to this, by process.
    pub(crate) fn since(&self, earlier: &CpuTime) -> BTreeMap<String, u64> {
        self.0
            .iter()
            .filter_map(|(name, now)| Some((name.clone(), now.saturating_sub(*earlier.0.get(name)?))))
            .collect()
    }
}

/// The sum over the living threads; none of these processes ends threads under load.
fn of_process(pid: u32) -> Option<u64> {
    let mut sum: u64 = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        let nanoseconds: u64 = text.split_whitespace().next()?.parse().ok()?;
        sum = sum.saturating_add(nanoseconds);
    }
    Some(sum)
}
