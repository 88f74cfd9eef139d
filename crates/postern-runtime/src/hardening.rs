//! What a process can do to itself so that a fault gives less away.

use rustix::io::Errno;
use rustix::process::{parent_process_death_signal, set_parent_process_death_signal};
use rustix::thread::{
    CapabilitySet, CapabilitySets, Gid, Uid, set_capabilities, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};
use std::any::Any;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Ends the process at the first panic, with one line in the log. A thread that died half way through
/// something must not leave the others deciding on what it left behind.
pub(crate) fn abort_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, reason = reason(panic.payload()), "panic, aborting");
        std::process::abort();
    }));
}

/// The text of a panic if it is part of the program. A text that was put together while running may hold
/// a client's data, and logs must not (P9).
fn reason(payload: &(dyn Any + Send)) -> &'static str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .unwrap_or("not shown")
}

/// No core dumps: they would hold keys.
pub(crate) fn forbid_core_dumps() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "can't switch off core dumps");
    }
}

/// Why the rights of root could not be given up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RootError {
    /// The configuration can't be looked at.
    #[error("can't find out whom the configuration belongs to")]
    Owner(#[source] std::io::Error),
    /// The kernel refuses.
    #[error("the rights of root can't be given up")]
    Kernel(#[from] Errno),
}

/// Gives up what root may do and others may not. A process that was started as root takes on the user whom its
/// configuration belongs to; where that is root too, it keeps its files and loses every capability. Must be called
/// while there is no other thread: the kernel changes the calling one.
///
/// # Errors
/// When something of it stays. Then the process must not go on.
pub(crate) fn give_up_root(config: &Path) -> Result<(), RootError> {
    if rustix::process::geteuid().is_root() {
        let owner = std::fs::metadata(config).map_err(RootError::Owner)?;
        if owner.uid() != 0 {
            become_user(Uid::from_raw(owner.uid()), Gid::from_raw(owner.gid()))?;
        }
    }
    Ok(set_capabilities(
        None,
        CapabilitySets {
            effective: CapabilitySet::empty(),
            permitted: CapabilitySet::empty(),
            inheritable: CapabilitySet::empty(),
        },
    )?)
}

fn become_user(user: Uid, group: Gid) -> Result<(), Errno> {
    // The kernel forgets it together with the old user, and nobody would end this process with its parent.
    let signal = parent_process_death_signal()?;
    set_thread_groups(&[])?;
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)?;
    set_parent_process_death_signal(signal)?;
    tracing::info!(
        user = user.as_raw(),
        "was started as root, and goes on as the owner of its configuration"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_made_while_running_are_not_shown() {
        assert_eq!(reason(&"plain"), "plain");
        assert_eq!(reason(&String::from("row 4711")), "not shown");
    }
}
