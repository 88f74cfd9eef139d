//! The rows of a part, statement by statement.

use crate::Violation;
use crate::cap::{Caps, Count, fewer};
use crate::copy;
use crate::inspector::Inspector;
use crate::kind::Kind;
use crate::lens::{Column, Lens, Optician};
use crate::look::{Looker, RowHints, Shown};
use crate::mask::Form;
use crate::scrub::Scrubbed;
use postern_types::{AnswerState, ColumnRules, Contract, Expect, SqlState, StatementRules};
use postern_wire::{
    BackendMessage, CopyFormat, DataRow, Frame, Severity, backend_tag, decode_backend, put_command_complete,
    put_data_row, put_notice,
};

/// What holds where a contract says nothing.
static NO_RULES: StatementRules = StatementRules {
    columns: ColumnRules::Unknown,
    copy: None,
    max_rows: None,
    max_bytes: None,
};

/// A line of a COPY of which the columns are not known.
const WHOLE_LINE: Column<'static> = Column {
    form: Form {
        kind: Kind::Other,
        type_oid: 0,
        binary: false,
    },
    masks: Vec::new(),
    tenant: false,
    tenant_field: None,
    searched: true,
    kept: None,
};

/// Where in an answer a message is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    step: u32,
    statement: u32,
    count: Count,
}

impl Place {
    /// Of the message that comes next in this state.
    pub(crate) fn of(state: &AnswerState) -> Place {
        Place {
            step: state.step,
            statement: state.statement,
            count: Count::of(state),
        }
    }

    /// It answers a Describe that the client did not ask.
    pub(crate) fn is_hidden(self, steps: &[Expect]) -> bool {
        steps.get(index(self.step)) == Some(&Expect::HiddenDescribe)
    }
}

/// What is in force for the statement whose rows are coming.
#[derive(Debug)]
struct Current<'r> {
    caps: Caps,
    /// `None` when no rule is about values.
    lens: Option<Lens<'r>>,
    /// What occurs in the rest of the part.
    hints: RowHints,
    /// Rows of it that were left out of this part.
    left_out: u64,
}

/// Looks at the rows of one part.
#[derive(Debug)]
pub(crate) struct Rows<'r> {
    optician: Optician<'r>,
    needed: bool,
    current: Option<Current<'r>>,
    /// Executes before a step, so that they are counted once.
    executes: (u32, usize),
    pub(crate) looker: Looker<'r>,
    pub(crate) ignored: bool,
    pub(crate) cut: bool,
    /// Columns of the row that are shown otherwise.
    shown: Vec<(usize, Shown)>,
}

impl<'r> Rows<'r> {
    pub(crate) fn new(inspector: &'r Inspector, contract: &'r Contract) -> Self {
        let optician = Optician { inspector, contract };
        Rows {
            needed: optician.is_needed(),
            optician,
            current: None,
            executes: (0, 0),
            looker: Looker::new(inspector),
            ignored: false,
            cut: false,
            shown: Vec::new(),
        }
    }

    /// What comes next belongs to another statement, or has another description.
    pub(crate) fn next_statement(&mut self) {
        self.current = None;
    }

    /// The contract's rules for the statement at this place.
    fn rules(&mut self, place: Place) -> &'r StatementRules {
        let contract = self.optician.contract;
        if contract.statements.is_empty() {
            return &NO_RULES;
        }
        let number = match contract.steps.get(index(place.step)) {
            Some(Expect::Query(_)) => index(place.statement),
            _ => {
                let (from, count) = if self.executes.0 <= place.step {
                    self.executes
                } else {
                    (0, 0)
                };
                let steps = contract
                    .steps
                    .get(index(from)..index(place.step))
                    .unwrap_or_default();
                let more = steps
                    .iter()
                    .filter(|step| matches!(step, Expect::Execute { .. }))
                    .count();
                self.executes = (place.step, count.saturating_add(more));
                self.executes.1
            }
        };
        contract.statements.get(number).unwrap_or(&NO_RULES)
    }

    /// A COPY TO STDOUT begins.
    ///
    /// # Errors
    /// When its rows could not be judged.
    pub(crate) fn begin_copy(&mut self, place: Place, tag: u8, body: &[u8]) -> Result<(), Violation> {
        let frame = Frame { tag, body, raw: body };
        if let Ok(BackendMessage::CopyOutResponse(format)) = decode_backend(&frame) {
            let rules = self.rules(place);
            self.current = Some(self.begin(rules, Some(Bulk::Copy(Some(format))))?);
        }
        Ok(())
    }

    fn begin(&self, rules: &'r StatementRules, bulk: Option<Bulk<'_>>) -> Result<Current<'r>, Violation> {
        let lens = match bulk {
            _ if !self.needed => None,
            Some(Bulk::Copy(format)) => Some(self.optician.copy(rules, format)?),
            Some(Bulk::Rows(description)) => Some(self.optician.rows(rules, description)?),
            None => None,
        };
        let Optician { inspector, contract } = self.optician;
        Ok(Current {
            caps: Caps::new(&inspector.rules, contract, rules),
            lens,
            hints: RowHints::default(),
            left_out: 0,
        })
    }

    /// Judges a DataRow or CopyData with this body. `state` is that after it, `rest` the payload from it on.
    ///
    /// # Errors
    /// When it may not be shown.
    pub(crate) fn row(
        &mut self,
        place: Place,
        state: &AnswerState,
        tag: u8,
        body: &[u8],
        rest: &[u8],
    ) -> Result<Scrubbed, Violation> {
        if self.current.is_none() {
            let rules = self.rules(place);
            let bulk = if tag == backend_tag::COPY_DATA {
                Bulk::Copy(None)
            } else {
                Bulk::Rows(&state.description)
            };
            self.current = Some(self.begin(rules, Some(bulk))?);
            self.look_ahead(rest);
            self.ignored |= state.rows == 1 && self.optician.ignores_tenants();
        } else if state.step_rows == 1 {
            self.look_ahead(rest);
            self.ignored |= state.rows == 1 && self.optician.ignores_tenants();
        }
        let Some(mut current) = self.current.take() else {
            return Ok(Scrubbed::Keep);
        };
        let judged = self.judge(&mut current, state, tag, body);
        self.current = Some(current);
        judged
    }

    fn look_ahead(&mut self, rest: &[u8]) {
        if let Some(Current {
            lens: Some(lens),
            hints,
            ..
        }) = &mut self.current
        {
            *hints = self.looker.hints(lens, rest);
        }
    }

    fn judge(
        &mut self,
        current: &mut Current<'r>,
        state: &AnswerState,
        tag: u8,
        body: &[u8],
    ) -> Result<Scrubbed, Violation> {
        let count = Count::of(state);
        if current.caps.check(count)? {
            current.left_out = current.left_out.saturating_add(1);
            self.cut = true;
            let bytes = u64::try_from(body.len()).unwrap_or(u64::MAX).saturating_add(5);
            let first = state.step_rows == 1;
            return Ok(Scrubbed::Replace(left_out(
                tag,
                if tag == backend_tag::COPY_DATA {
                    copy::frame(first, body)
                } else {
                    &[]
                },
                current.caps.begins_to_cut(count, bytes),
            )));
        }
        let Some(lens) = &current.lens else {
            return Ok(Scrubbed::Keep);
        };
        let hints = if current.hints.any() {
            self.looker.hints(lens, body)
        } else {
            RowHints::default()
        };
        if !self.looker.must_open(lens, hints) {
            return Ok(Scrubbed::Keep);
        }
        if tag == backend_tag::DATA_ROW {
            self.data_row(lens, hints, body)
        } else {
            self.copy_data(lens, hints, state.step_rows == 1, body)
        }
    }

    fn data_row(&mut self, lens: &Lens<'r>, hints: RowHints, body: &[u8]) -> Result<Scrubbed, Violation> {
        let malformed = Violation::Malformed {
            tag: backend_tag::DATA_ROW,
        };
        let row = DataRow::decode(body).map_err(|_| malformed)?;
        if usize::from(row.len()) != lens.columns.len() {
            return Err(Violation::Undescribed);
        }
        self.shown.clear();
        for (place, (column, value)) in lens.columns.iter().zip(row.columns()).enumerate() {
            if value.is_some_and(|value| self.looker.is_harmless(column, hints, value)) {
                continue;
            }
            let shown = self.looker.value(lens, column, hints, value)?;
            if shown != Shown::Same {
                self.shown.push((place, shown));
            }
        }
        if self.shown.is_empty() {
            return Ok(Scrubbed::Keep);
        }
        let mut out = Vec::with_capacity(body.len().saturating_add(64));
        let mut changes = self.shown.iter().peekable();
        let values = row.columns().enumerate().map(|(place, value)| {
            match changes.next_if(|(changed, _)| *changed == place) {
                None | Some((_, Shown::Same)) => value,
                Some((_, Shown::Null)) => None,
                Some((_, Shown::Other(bytes))) => Some(bytes.as_slice()),
            }
        });
        put_data_row(&mut out, values).map_err(|_| malformed)?;
        Ok(Scrubbed::Replace(out))
    }

    fn copy_data(
        &mut self,
        lens: &Lens<'r>,
        hints: RowHints,
        first: bool,
        body: &[u8],
    ) -> Result<Scrubbed, Violation> {
        let Some(rules) = lens.copy else {
            return Ok(match self.looker.value(lens, &WHOLE_LINE, hints, Some(body))? {
                Shown::Same => Scrubbed::Keep,
                Shown::Null => Scrubbed::Replace(Vec::new()),
                Shown::Other(bytes) => Scrubbed::Replace(copy_message(&bytes)),
            });
        };
        let mut line = copy::take_apart(rules, first, body)?;
        if !line.is_row {
            return Ok(Scrubbed::Keep);
        }
        if line.fields.len() != lens.columns.len() {
            return Err(Violation::CopyForm);
        }
        let mut changed = false;
        for (column, field) in lens.columns.iter().zip(&mut line.fields) {
            let shown = self.looker.value(lens, column, hints, field.as_deref())?;
            changed |= shown != Shown::Same;
            match shown {
                Shown::Same => {}
                Shown::Null => *field = None,
                Shown::Other(bytes) => *field = Some(bytes),
            }
        }
        if !changed {
            return Ok(Scrubbed::Keep);
        }
        let body = line.put_together(rules).ok_or(Violation::CopyForm)?;
        Ok(Scrubbed::Replace(copy_message(&body)))
    }

    /// Corrects the count of a CommandComplete with this body where rows were left out.
    ///
    /// Rows that a cap on bytes left out of an earlier part are not known any more; the tag then counts more rows
    /// than came.
    pub(crate) fn complete(&mut self, place: Place, body: &[u8]) -> Scrubbed {
        let current = match self.current.take() {
            Some(current) => current,
            None => {
                let rules = self.rules(place);
                match self.begin(rules, None) {
                    Ok(current) => current,
                    Err(_) => return Scrubbed::Keep,
                }
            }
        };
        let left_out = current.caps.left_out(place.count).max(current.left_out);
        let tag = body
            .strip_suffix(b"\0")
            .and_then(|tag| std::str::from_utf8(tag).ok());
        match tag.filter(|_| left_out > 0).and_then(|tag| fewer(tag, left_out)) {
            Some(tag) => {
                let mut out = Vec::new();
                put_command_complete(&mut out, &tag);
                Scrubbed::Replace(out)
            }
            None => Scrubbed::Keep,
        }
    }
}

/// What brings rows.
enum Bulk<'a> {
    /// DataRows with this description.
    Rows(&'a [u8]),
    /// CopyData.
    Copy(Option<CopyFormat>),
}

/// What stands in the place of a row that is left out: nothing, but what a COPY can't be without, and a warning
/// once.
fn left_out(tag: u8, frame: &[u8], first: bool) -> Vec<u8> {
    let mut out = Vec::new();
    if first {
        let text = "the answer was cut: it has more rows or bytes than the policy allows";
        put_notice(&mut out, Severity::Warning, SqlState::WARNING, text);
    }
    if tag == backend_tag::COPY_DATA && !frame.is_empty() {
        out.extend_from_slice(&copy_message(frame));
    }
    out
}

fn copy_message(body: &[u8]) -> Vec<u8> {
    let mut out = vec![backend_tag::COPY_DATA];
    // It is no longer than the message it came from, but for masks; `Copy` bounds those.
    let length = i32::try_from(body.len().saturating_add(4)).unwrap_or(i32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(body);
    out
}

/// A step number as an index; one that does not fit is past the end of every list.
fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
