//! What a process can do to itself so that a fault gives less away.

use std::any::Any;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_made_while_running_are_not_shown() {
        assert_eq!(reason(&"plain"), "plain");
        assert_eq!(reason(&String::from("row 4711")), "not shown");
    }
}
