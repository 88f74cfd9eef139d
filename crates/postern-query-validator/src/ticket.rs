//! What the Query Validator seals to itself, so that it need not remember it: tickets and the state of a
//! sign-in that is half done.
//!
//! Both travel under one key, so a purpose byte in front tells them apart: a ticket is never taken for
//! sign-in state, nor the other way round. Which session they belong to is in the header of the seal.

use postern_envelope::{Header, OpenError, Opener, SealError, Sealer};
use postern_types::{SessionId, body};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a sealed blob is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Purpose {
    /// A [`postern_types::Ticket`].
    Ticket = 1,
    /// The state of a sign-in between two steps.
    SignIn = 2,
}

/// Why a blob is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotOurs {
    /// The seal does not hold, or is past its deadline.
    Seal(OpenError),
    /// It belongs to another session.
    Session,
    /// It was made for something else, or does not decode.
    Purpose,
}

/// Seals `value` to ourselves.
pub(crate) fn seal<T: Serialize>(
    sealer: &mut Sealer,
    purpose: Purpose,
    session: SessionId,
    deadline_ms: u64,
    value: &T,
) -> Result<Vec<u8>, SealError> {
    let header = Header {
        session,
        sequence: 0,
        exchange: 0,
        part: 0,
        deadline_ms,
    };
    let mut out = Vec::new();
    sealer.seal_body(&header, &(purpose as u8, value), &[], &mut out)?;
    Ok(out)
}

/// Opens a blob that must have been sealed for this purpose and session.
pub(crate) fn open<T: DeserializeOwned>(
    opener: &mut Opener,
    purpose: Purpose,
    session: SessionId,
    blob: &[u8],
    now_ms: u64,
) -> Result<T, NotOurs> {
    let mut copy = blob.to_vec();
    let opened = opener.open(&mut copy, now_ms).map_err(NotOurs::Seal)?;
    if opened.header.session != session {
        return Err(NotOurs::Session);
    }
    // The purpose alone first: the rest has another shape for another purpose.
    if opened.body.get(4) != Some(&(purpose as u8)) {
        return Err(NotOurs::Purpose);
    }
    let ((_, value), tail): ((u8, T), _) = body::decode(opened.body).map_err(|_| NotOurs::Purpose)?;
    if tail.is_empty() {
        Ok(value)
    } else {
        Err(NotOurs::Purpose)
    }
}
