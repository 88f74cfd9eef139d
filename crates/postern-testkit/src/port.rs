//! Ports that no other test on this machine takes at the same time.

use anyhow::{Context as _, bail};
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

/// Below the range from which the kernel takes the local ports of outgoing connections.
const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;

/// A port on 127.0.0.1 that is ours until this is dropped.
#[derive(Debug)]
pub struct Port {
    /// Its number.
    pub number: u16,
    _lock: File,
}

/// Reserves a free port.
///
/// # Errors
/// When all are taken, or the lock files can't be written.
pub fn reserve() -> anyhow::Result<Port> {
    let folder = std::env::temp_dir().join("postern-testkit-ports");
    fs::create_dir_all(&folder).with_context(|| format!("can't make {}", folder.display()))?;
    // Tests of different users share the ports of the machine.
    let _ = fs::set_permissions(&folder, fs::Permissions::from_mode(0o1777));
    let span = LAST.saturating_sub(FIRST);
    let start = u16::try_from(std::process::id().wrapping_mul(37) % u32::from(span))?;
    for step in 0..span {
        let number = FIRST.saturating_add(start.wrapping_add(step) % span);
        let Ok(lock) = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join(number.to_string()))
        else {
            continue;
        };
        let locked = rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive);
        if locked.is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok() {
            return Ok(Port { number, _lock: lock });
        }
    }
    bail!("no free port from {FIRST} to {LAST}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_port_is_not_given_twice() {
        let ports: Vec<_> = (0..20).map(|_| reserve().unwrap()).collect();
        let numbers: std::collections::BTreeSet<_> = ports.iter().map(|port| port.number).collect();
        assert_eq!(numbers.len(), ports.len());
    }
}
