//! Checks a whole part of an answer.

use crate::advance::{self, Progress, is_complete, settle};
use crate::inspector::Inspector;
use crate::look::Alerts;
use crate::rows::{Place, Rows};
use crate::scrub::{self, Scrubbed};
use crate::{Violation, check_setting};
use postern_types::{AnswerState, Contract, ErrorDetail, KeptValue, Phase, SqlState};
use postern_wire::{BackendMessage, backend_tag};

/// A part that may go on to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// State of the answer after this part.
    pub state_after: AnswerState,
    /// The messages to send are in the output buffer. Otherwise nothing had to be changed: the output buffer
    /// is untouched and the part's own payload is to be sent.
    pub rewritten: bool,
    /// Number of ParseComplete messages.
    pub parsed: u32,
    /// The database waits for CopyData from the client after this part.
    pub copy_in: bool,
    /// The answer is complete.
    pub last: bool,
    /// The database has ended the session.
    pub hang_up: bool,
    /// SQLSTATE of the first ErrorResponse of this part.
    pub error: Option<SqlState>,
    /// Rows in the answer so far, this part included. Also right where `state_after` starts anew.
    pub rows: u64,
    /// Bytes of rows in the answer so far, this part included.
    pub bytes: u64,
    /// What was found in this part that somebody should know of.
    pub alerts: Alerts,
    /// Rows were let through without a look at their tenant, for a role that is exempt; told with the first rows
    /// of an answer.
    pub tenants_ignored: bool,
    /// Rows over a cap were left out of this part.
    pub cut: bool,
    /// Values of this part that are to be recorded before it goes on.
    pub kept: Vec<KeptValue>,
}

/// Checks a part of an answer against its contract alone. See [`Inspector::check_part`].
///
/// # Errors
/// The first [`Violation`].
pub fn check_part(
    contract: &Contract,
    state: &AnswerState,
    payload: &[u8],
    out: &mut Vec<u8>,
) -> Result<Checked, Violation> {
    Inspector::default().check_part(contract, state, payload, out)
}

impl Inspector {
    /// Checks `payload`, whole PostgreSQL messages that continue an answer from `state`, against `contract` and
    /// against the own rules: the stricter of both holds.
    ///
    /// Messages that the client must not see in full are rewritten; then all messages of the part are appended to
    /// `out` and [`Checked::rewritten`] is set.
    ///
    /// An empty payload is legal: it is the whole answer to an exchange that the database answers with nothing.
    ///
    /// # Errors
    /// The first [`Violation`]. Nothing of the part may be sent then, whatever is in `out`.
    pub fn check_part(
        &self,
        contract: &Contract,
        state: &AnswerState,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Checked, Violation> {
        let steps = contract.steps.as_slice();
        let detail = contract.error_detail.max(self.rules.errors);
        let mut state = state.clone();
        let mut copy = Copy::new(payload);
        let mut rows_seen = Rows::new(self, contract);
        let mut parsed = 0u32;
        let mut hang_up = false;
        let mut error = None;
        let (mut rows, mut bytes) = (state.rows, state.bytes);
        settle(&mut state, steps);
        let mut rest = payload;
        while !rest.is_empty() {
            let (tag, body, after) = split_message(rest)?;
            let place = Place::of(&state);
            // After the last message `advance` takes no other, so this is never unset again.
            hang_up = advance::advance(&mut state, steps, tag, body)? == Progress::Ended;
            if state.phase != Phase::Skipping {
                (rows, bytes) = (state.rows, state.bytes);
            }
            match tag {
                backend_tag::DATA_ROW | backend_tag::COPY_DATA => {
                    let scrubbed = rows_seen.row(place, &state, tag, body, rest)?;
                    copy.pass(scrubbed, rest, after, out)?;
                }
                backend_tag::ROW_DESCRIPTION | backend_tag::NO_DATA if place.is_hidden(steps) => {
                    rows_seen.next_statement();
                    copy.pass(Scrubbed::Replace(Vec::new()), rest, after, out)?;
                }
                backend_tag::COPY_OUT_RESPONSE => {
                    rows_seen.next_statement();
                    rows_seen.begin_copy(place, tag, body)?;
                }
                backend_tag::COMMAND_COMPLETE => {
                    let scrubbed = rows_seen.complete(place, body);
                    rows_seen.next_statement();
                    copy.pass(scrubbed, rest, after, out)?;
                }
                backend_tag::PARSE_COMPLETE => parsed = parsed.saturating_add(1),
                backend_tag::ERROR_RESPONSE
                | backend_tag::NOTICE_RESPONSE
                | backend_tag::PARAMETER_STATUS
                | backend_tag::NOTIFICATION_RESPONSE => {
                    let message = advance::decode(tag, body)?;
                    if let BackendMessage::ErrorResponse(fields) = &message {
                        error = error.or(Some(scrub::code_of(fields)));
                        rows_seen.next_statement();
                    }
                    copy.pass(judge(contract, detail, &message)?, rest, after, out)?;
                }
                _ => rows_seen.next_statement(),
            }
            rest = after;
        }
        Ok(Checked {
            rewritten: copy.finish(out),
            parsed,
            copy_in: state.phase == Phase::CopyIn,
            last: is_complete(&state),
            hang_up,
            error,
            rows,
            bytes,
            alerts: rows_seen.looker.alerts,
            kept: rows_seen.looker.kept,
            tenants_ignored: rows_seen.ignored,
            cut: rows_seen.cut,
            state_after: state,
        })
    }

    /// Checks messages that came outside any exchange: NoticeResponse, ParameterStatus, and NotificationResponse
    /// where `contract` allows it. Gives whether they were rewritten into `out`, as in [`Inspector::check_part`].
    ///
    /// # Errors
    /// The first [`Violation`]. Nothing of the payload may be sent then.
    pub fn check_unsolicited(
        &self,
        contract: &Contract,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<bool, Violation> {
        let detail = contract.error_detail.max(self.rules.errors);
        let mut copy = Copy::new(payload);
        let mut rest = payload;
        while !rest.is_empty() {
            let (tag, body, after) = split_message(rest)?;
            match tag {
                backend_tag::NOTICE_RESPONSE
                | backend_tag::PARAMETER_STATUS
                | backend_tag::NOTIFICATION_RESPONSE => {
                    let message = advance::decode(tag, body)?;
                    copy.pass(judge(contract, detail, &message)?, rest, after, out)?;
                }
                _ => return Err(Violation::NeverAllowed { tag }),
            }
            rest = after;
        }
        Ok(copy.finish(out))
    }
}

/// As [`Inspector::check_unsolicited`], by the contract alone.
///
/// # Errors
/// The first [`Violation`].
pub fn check_unsolicited(contract: &Contract, payload: &[u8], out: &mut Vec<u8>) -> Result<bool, Violation> {
    Inspector::default().check_unsolicited(contract, payload, out)
}

/// Type byte and body of the first message of `payload`, and what follows it. The length field counts itself
/// (manual, "Message Formats").
fn split_message(payload: &[u8]) -> Result<(u8, &[u8], &[u8]), Violation> {
    let ([tag, length @ ..], rest) = payload.split_first_chunk::<5>().ok_or(Violation::Cut)?;
    let length = u32::from_be_bytes(*length).checked_sub(4);
    let length = length.ok_or(Violation::Malformed { tag: *tag })?;
    let length = usize::try_from(length).map_err(|_| Violation::Cut)?;
    let (body, rest) = rest.split_at_checked(length).ok_or(Violation::Cut)?;
    Ok((*tag, body, rest))
}

/// Judges an error, notice, setting or notification by what it says.
fn judge(
    contract: &Contract,
    detail: ErrorDetail,
    message: &BackendMessage<'_>,
) -> Result<Scrubbed, Violation> {
    match message {
        BackendMessage::NotificationResponse { .. } if !contract.notifications => {
            Err(Violation::Notification)
        }
        BackendMessage::ParameterStatus { name, value } if !check_setting(name, value)? => {
            Ok(Scrubbed::Replace(Vec::new()))
        }
        message => Ok(scrub::scrub(detail, message)),
    }
}

/// Copies a payload to the output only once something in it has to change.
struct Copy<'a> {
    payload: &'a [u8],
    /// Up to here the payload has been dealt with.
    done: usize,
    changed: bool,
    /// What may be added to the output.
    budget: usize,
}

/// Bytes by which a part may become larger. One error can grow, and so can masked values (a hash has 32
/// characters); a part full of tiny ones must not, or it would not fit into a message of the bus any more, which
/// has a megabyte more than the largest part.
const GROWTH_BYTES: usize = 512 * 1024;

impl<'a> Copy<'a> {
    fn new(payload: &'a [u8]) -> Self {
        Copy {
            payload,
            done: 0,
            changed: false,
            budget: payload.len().saturating_add(GROWTH_BYTES),
        }
    }

    /// Deals with the message that lies between the suffixes `from` and `after` of the payload.
    fn pass(
        &mut self,
        scrubbed: Scrubbed,
        from: &[u8],
        after: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Violation> {
        let Scrubbed::Replace(replacement) = scrubbed else {
            return Ok(());
        };
        let start = self.payload.len().saturating_sub(from.len());
        let kept = self.payload.get(self.done..start).unwrap_or_default();
        let added = kept.len().saturating_add(replacement.len());
        self.budget = self.budget.checked_sub(added).ok_or(Violation::Grown)?;
        out.extend_from_slice(kept);
        out.extend_from_slice(&replacement);
        self.done = self.payload.len().saturating_sub(after.len());
        self.changed = true;
        Ok(())
    }

    fn finish(self, out: &mut Vec<u8>) -> bool {
        if self.changed {
            out.extend_from_slice(self.payload.get(self.done..).unwrap_or_default());
        }
        self.changed
    }
}
