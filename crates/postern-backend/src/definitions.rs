//! Notices that definitions in the database have changed, so that statements prepared before are stale.
//!
//! What goes through this Backend is counted by the Query Validator's word. What is changed past it, or inside
//! a function, shows when PostgreSQL refuses to run an old statement: then it counts too, so that a client that
//! prepares the statement again gets a new one.

use crate::session::Session;
use postern_wire::{BackendMessage, Frame, TransactionStatus, decode_backend};

/// Counts a change of definitions, and the end of a transaction that made one: what others prepared
/// before that end may still be made from the old definitions.
pub(crate) fn note_changes(session: &mut Session, changes_now: bool) {
    let in_transaction = session
        .server
        .as_ref()
        .is_some_and(|s| s.status != TransactionStatus::Idle);
    if changes_now || (session.changes_schema && !in_transaction) {
        session.shared.definitions_changed();
    }
    session.changes_schema = in_transaction && (changes_now || session.changes_schema);
}

/// PostgreSQL found that a prepared statement is older than a change of its result type: made past this
/// Backend, or inside a function.
pub(crate) fn tells_of_change(frame: &Frame<'_>) -> bool {
    match decode_backend(frame) {
        Ok(BackendMessage::ErrorResponse(fields)) => {
            fields.get(b'C') == Some("0A000") && fields.get(b'R') == Some("RevalidateCachedQuery")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_wire::backend_frame;

    fn error(fields: &[u8]) -> Vec<u8> {
        let mut message = vec![b'E'];
        message.extend(u32::try_from(fields.len() + 4).unwrap().to_be_bytes());
        message.extend(fields);
        message
    }

    #[test]
    fn only_the_refusal_of_a_stale_statement_tells_of_a_change() {
        for (fields, tells) in [
            (
                &b"SERROR\0C0A000\0Mcached plan must not change result type\0RRevalidateCachedQuery\0\0"[..],
                true,
            ),
            (&b"SERROR\0C0A000\0Mnot supported\0Rtransform\0\0"[..], false),
            (
                &b"SERROR\0C42601\0Msyntax error\0RRevalidateCachedQuery\0\0"[..],
                false,
            ),
        ] {
            let message = error(fields);
            let frame = backend_frame(&message, 1024).unwrap().unwrap();
            assert_eq!(
                tells_of_change(&frame),
                tells,
                "{}",
                String::from_utf8_lossy(fields)
            );
        }
    }
}
