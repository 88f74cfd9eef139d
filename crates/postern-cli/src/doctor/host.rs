//! The machine that this runs on.

use super::report::{Area, Report};
use super::ring::Examined;
use std::fs;

pub(super) fn examine(_: &Examined, report: &mut Report) {
    let mut section = report.about(Area::Compliance);
    match fs::read_to_string("/proc/swaps").map(|swaps| has_swap(&swaps)) {
        Ok(false) => section.pass("swap", "nothing is swapped to disk"),
        Ok(true) => section.warn(
            "swap",
            "memory with keys and rows may be written to disk",
            "swapoff -a, or encrypt the swap space",
        ),
        Err(error) => section.warn(
            "swap",
            format!("/proc/swaps: {error}"),
            "see whether there is swap space",
        ),
    }
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    let limit = rustix::process::getrlimit(rustix::process::Resource::Core).current;
    // The stages forbid core dumps themselves; NATS servers do not.
    if limit == Some(0) || pattern.trim().is_empty() {
        section.pass("core-dumps", "a part that dies leaves no core dump");
    } else {
        section.warn(
            "core-dumps",
            "a NATS server that dies may leave its memory in a core dump",
            "ulimit -c 0, or LimitCORE=0 in its unit",
        );
    }
    if rustix::process::geteuid().is_root() {
        section.warn(
            "root",
            "this runs as root; the ring needs no rights of root",
            "run it as a user of its own",
        );
    } else {
        section.pass("root", "the ring's user is not root");
    }
}

/// Whether `/proc/swaps` lists anything besides its heading.
fn has_swap(swaps: &str) -> bool {
    swaps.lines().skip(1).any(|line| !line.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swap_is_seen() {
        assert!(!has_swap("Filename\tType\tSize\n"));
        assert!(has_swap("Filename\tType\tSize\n/dev/sda2 partition 1 0 -2\n"));
    }
}
