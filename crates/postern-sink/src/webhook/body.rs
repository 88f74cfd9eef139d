//! What a webhook is told.

use crate::feed::Oddity;
use crate::record::Fields;
use postern_types::Author;
use serde::Deserialize;
use serde_json::{Value, json};

/// For whom a body is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// One JSON object with everything in fields.
    #[default]
    Postern,
    /// Slack's incoming webhooks, and what understands the same.
    Slack,
    /// Prometheus Alertmanager, `/api/v2/alerts`.
    Alertmanager,
}

/// What happened.
#[derive(Clone, Debug, Default)]
pub(super) struct Alert {
    stage: Option<Author>,
    event: String,
    time: String,
    number: u64,
    hash: String,
    reason: Option<String>,
    reference: Option<String>,
    session: Option<String>,
    exchange: Option<u64>,
    actor: Option<String>,
    tenant: Option<String>,
}

impl Alert {
    pub(super) fn of_record(stage: Author, fields: &Fields<'_>) -> Alert {
        let owned = |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().map(str::to_owned);
        Alert {
            stage: Some(stage),
            event: fields.event.to_string(),
            time: fields.time.to_string(),
            number: fields.number,
            hash: fields.hash.to_string(),
            reason: owned(&fields.details.reason),
            reference: owned(&fields.details.reference),
            session: owned(&fields.session),
            exchange: fields.exchange,
            actor: owned(&fields.actor),
            tenant: owned(&fields.tenant),
        }
    }

    pub(super) fn of_oddity(oddity: &Oddity) -> Alert {
        let (stage, number, reason) = match oddity {
            Oddity::Changed { stage, number } => (*stage, *number, "ledger-changed"),
            Oddity::NoRecord { stage } => (*stage, 0, "ledger-unreadable"),
            Oddity::OtherCheckpoints { stage } => (*stage, 0, "checkpoints-changed"),
        };
        Alert {
            stage: Some(stage),
            event: "ledger.odd".to_owned(),
            time: jiff::Timestamp::now().to_string(),
            number,
            reason: Some(reason.to_owned()),
            ..Alert::default()
        }
    }

    fn stage(&self) -> &'static str {
        self.stage.map_or("unknown", Author::name)
    }

    /// Alerts of one kind are alike for who gets them.
    pub(super) fn kind(&self) -> String {
        let parts = [
            Some(self.stage()),
            Some(&self.event),
            self.reason.as_deref(),
            self.actor.as_deref(),
            self.tenant.as_deref(),
        ];
        parts.map(Option::unwrap_or_default).join("\n")
    }

    /// A sentence for a person.
    fn sentence(&self, repeated: u64) -> String {
        let mut text = format!("P1 {} at {}", self.event, self.stage());
        let named = [
            ("reason", &self.reason),
            ("user", &self.actor),
            ("tenant", &self.tenant),
            ("reference", &self.reference),
        ];
        for (name, value) in named {
            if let Some(value) = value {
                text.push_str(&format!(", {name} {}", plain(value)));
            }
        }
        text.push_str(&format!(", record {}", self.number));
        if repeated > 0 {
            text.push_str(&format!(", and {repeated} more like it before"));
        }
        text
    }
}

/// Without what Slack takes for markup, or a terminal for a command.
fn plain(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() && !matches!(c, '<' | '>' | '&' | '@' | '*' | '`'))
        .collect()
}

impl Format {
    /// The body.
    pub(super) fn body(self, alert: &Alert, repeated: u64) -> Vec<u8> {
        let value = match self {
            Format::Postern => postern(alert, repeated),
            Format::Slack => json!({ "text": alert.sentence(repeated) }),
            Format::Alertmanager => json!([alertmanager(alert, repeated)]),
        };
        value.to_string().into_bytes()
    }
}

fn postern(alert: &Alert, repeated: u64) -> Value {
    json!({
        "id": format!("{}/{}/{}", alert.stage(), alert.number, alert.hash),
        "severity": "P1",
        "summary": alert.sentence(repeated),
        "time": alert.time,
        "stage": alert.stage(),
        "event": alert.event,
        "reason": alert.reason,
        "actor": alert.actor,
        "tenant": alert.tenant,
        "session": alert.session,
        "exchange": alert.exchange,
        "reference": alert.reference,
        "record": { "number": alert.number, "hash": alert.hash },
        "repeated": repeated,
    })
}

fn alertmanager(alert: &Alert, repeated: u64) -> Value {
    let mut labels = json!({
        "alertname": "PosternViolation",
        "severity": "critical",
        "stage": alert.stage(),
        "event": alert.event,
    });
    let more = [
        ("reason", &alert.reason),
        ("user", &alert.actor),
        ("tenant", &alert.tenant),
    ];
    if let Some(labels) = labels.as_object_mut() {
        for (name, value) in more {
            if let Some(value) = value {
                labels.insert(name.to_owned(), json!(value));
            }
        }
    }
    json!({
        "labels": labels,
        "annotations": {
            "summary": alert.sentence(repeated),
            "record": format!("{} {} {}", alert.stage(), alert.number, alert.hash),
            "reference": alert.reference.as_deref().unwrap_or_default(),
        },
        "startsAt": alert.time,
    })
}
