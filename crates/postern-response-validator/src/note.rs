//! What is written down about one envelope. No messages of the database, and of rows only what the rules ask for (P9).

use postern_envelope::Header;
use postern_inspect::Checked;
use postern_ledger::{Details, Event, Level, Outcome, Record, VALUES};
use postern_types::{Contract, KeptValue, SqlState, TraceParent};

/// A record to be, with names of its own.
#[derive(Clone, Debug)]
pub struct Note {
    header: Header,
    event: Event,
    level: Level,
    result: Outcome,
    actor: Option<String>,
    tenant: Option<String>,
    trace: Option<TraceParent>,
    details: Details,
    values: Vec<KeptValue>,
}

impl Note {
    /// A note of this event in the session and exchange of `header`.
    pub(crate) fn new(event: Event, header: &Header) -> Note {
        Note {
            header: *header,
            event,
            level: Level::Info,
            result: Outcome::Allowed,
            actor: None,
            tenant: None,
            trace: None,
            details: Details::default(),
            values: Vec::new(),
        }
    }

    /// What to write about a part that goes on: an `exchange` record for the first, an `exchange.end` record for
    /// the last of several, nothing for those in between.
    pub(crate) fn of_part(
        header: &Header,
        contract: &Contract,
        checked: &Checked,
        first: bool,
    ) -> Option<Note> {
        if !first && !checked.last {
            return None;
        }
        let mut note = Note::new(exchange_event(first), header).by(contract);
        if checked.last {
            note.details.rows = Some(checked.rows);
            note.details.bytes = Some(checked.bytes);
            note.details.parts = Some(u64::from(header.part).saturating_add(1));
        }
        Some(note.failed(checked.error))
    }

    /// What was found in a part that goes on, without a word of what it was.
    pub(crate) fn alerts(header: &Header, contract: &Contract, checked: &Checked) -> Vec<Note> {
        let alert = |level, reason, count| {
            let mut note = Note::new(Event::AnswerAlert, header).by(contract);
            note.level = level;
            note.details.reason = Some(reason);
            note.details.messages = count;
            note
        };
        let found = checked.alerts.iter();
        let mut notes: Vec<Note> = found
            .map(|(reason, count)| alert(Level::Alert, reason, Some(count)))
            .collect();
        if checked.tenants_ignored {
            notes.push(alert(Level::Warn, "tenant-check-ignored", None));
        }
        if checked.cut {
            notes.push(alert(Level::Warn, "answer-cut-at-cap", None));
        }
        notes
    }

    /// The values of a part that are to be recorded.
    pub(crate) fn values(header: &Header, contract: &Contract, checked: &Checked) -> Vec<Note> {
        let of = |values: &[KeptValue]| {
            let mut note = Note::new(Event::ExchangeValues, header).by(contract);
            note.values = values.to_vec();
            note
        };
        checked.kept.chunks(VALUES).map(of).collect()
    }

    /// A part that was stopped, for the reason with this fixed name. `reference` is what the client is told.
    pub(crate) fn stopped(
        header: &Header,
        first: bool,
        code: SqlState,
        reason: &'static str,
        reference: u64,
    ) -> Note {
        let mut note = Note::new(exchange_event(first), header);
        note.level = Level::Alert;
        note.result = Outcome::Refused;
        note.details.sqlstate = Some(code);
        note.details.reason = Some(reason);
        note.details.reference = Some(reference);
        note
    }

    /// Names the user, tenant and trace of the contract.
    pub(crate) fn by(mut self, contract: &Contract) -> Note {
        self.actor = Some(contract.user.clone());
        self.tenant.clone_from(&contract.tenant);
        self.trace = contract.trace;
        self
    }

    /// Says how long the Backend says it took until it sent the part.
    pub(crate) fn after(mut self, backend_us: u64) -> Note {
        self.details.backend_us = Some(backend_us);
        self
    }

    /// Notes that it failed with this code, if there is one.
    pub(crate) fn failed(mut self, code: Option<SqlState>) -> Note {
        if code.is_some() {
            self.result = Outcome::Failed;
            self.details.sqlstate = code;
        }
        self
    }

    /// The record.
    pub fn record(&self) -> Record<'_> {
        Record {
            level: self.level,
            session: Some(self.header.session),
            exchange: (self.header.exchange != 0).then_some(self.header.exchange),
            trace: self.trace,
            actor: self.actor.as_deref(),
            tenant: self.tenant.as_deref(),
            result: self.result,
            details: self.details,
            values: &self.values,
            ..Record::new(self.event)
        }
    }
}

fn exchange_event(first: bool) -> Event {
    if first {
        Event::Exchange
    } else {
        Event::ExchangeEnd
    }
}
