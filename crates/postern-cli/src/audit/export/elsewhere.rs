//! Records in the words of others: the table "Field names elsewhere" of docs/audit/README.md.
//!
//! Nothing is lost on the way: what has no place of its own, and what is not as a record's field is, goes below `postern` or
//! `unmapped` as it is.

use crate::audit::filter::trace_of;
use jiff::Timestamp;
use postern_types::TraceId;
use serde_json::{Map, Value, json};
use std::net::IpAddr;

/// The version of the Elastic Common Schema whose fields are used.
const ECS_VERSION: &str = "8.11.0";
/// ... and of the Open Cybersecurity Schema Framework.
const OCSF_VERSION: &str = "1.2.0";
/// Datastore Activity, of the category Application Activity.
const CLASS: u64 = 6005;
const CATEGORY: u64 = 6;
/// The datastore is a database.
const DATABASE: u64 = 1;

/// A field of a record, and its names elsewhere: a row of the table.
pub(super) struct Row {
    /// With `details.` before it where it is one of those.
    pub(super) field: &'static str,
    ecs: &'static str,
    ocsf: &'static str,
}

const fn row(field: &'static str, ecs: &'static str, ocsf: &'static str) -> Row {
    Row { field, ecs, ocsf }
}

/// The table.
pub(super) const ROWS: [Row; 29] = [
    row("time", "@timestamp", "time"),
    row("number", "event.sequence", "metadata.sequence"),
    row("stage", "service.name", "metadata.product.feature.name"),
    row("level", "log.level", "severity_id"),
    row("event", "event.action", "unmapped.event"),
    row("result", "event.outcome", "status_id"),
    row("session", "transaction.id", "actor.session.uid"),
    row("exchange", "postern.exchange", "unmapped.exchange"),
    row("trace", "trace.id", "metadata.correlation_uid"),
    row("parent", "parent.id", "unmapped.parent"),
    row("named", "postern.named", "query_info.name"),
    row("actor", "user.name", "actor.user.name"),
    row("roles", "user.roles", "actor.user.groups"),
    row("tenant", "organization.id", "actor.user.org.uid"),
    row("service", "postern.service", "actor.app_name"),
    row("action", "postern.action", "activity_name"),
    row("resource", "related.hash", "query_info.uid"),
    row("values", "postern.values", "unmapped.values"),
    row("pattern", "postern.pattern", "query_info.query_string"),
    row("objects", "postern.objects", "unmapped.objects"),
    row("rule", "rule.name", "unmapped.rule"),
    row("details.policy", "rule.version", "unmapped.policy"),
    row("details.client", "client.ip", "src_endpoint.ip"),
    row("details.sqlstate", "error.code", "status_code"),
    row("details.reason", "event.reason", "status_detail"),
    row("details.reference", "event.id", "metadata.uid"),
    row("details.bytes", "postern.bytes", "query_info.bytes"),
    row("details.duration_us", "event.duration", "duration"),
    row("hash", "event.hash", "unmapped.hash"),
];

/// An object of the Elastic Common Schema.
pub(super) fn ecs(record: &Value) -> Value {
    let mut out = Map::new();
    put(&mut out, ["ecs", "version"], json!(ECS_VERSION));
    put(&mut out, ["event", "category"], json!(["database"]));
    put(&mut out, ["event", "dataset"], json!("postern.audit"));
    let is_alert = text(record, "level") == Some("alert");
    let kind = if is_alert { "alert" } else { "event" };
    put(&mut out, ["event", "kind"], json!(kind));
    if let Some(trace) = trace_of(record) {
        put(&mut out, ["trace", "id"], json!(trace.to_string()));
    }
    for field in fields(record) {
        match field.row().and_then(|row| row.in_ecs(field.value)) {
            Some((path, value)) => put(&mut out, path.split('.'), value),
            None => put(&mut out, ["postern", field.key], field.value.clone()),
        }
        // `event.outcome` does not tell `refused` from `failed`.
        if !field.in_details && field.key == "result" {
            put(&mut out, ["postern", "result"], field.value.clone());
        }
    }
    Value::Object(out)
}

/// An object of OCSF's Datastore Activity.
pub(super) fn ocsf(record: &Value) -> Value {
    let activity = activity(text(record, "event"), text(record, "action"));
    let mut out = Map::new();
    put(&mut out, ["class_uid"], json!(CLASS));
    put(&mut out, ["category_uid"], json!(CATEGORY));
    put(&mut out, ["activity_id"], json!(activity));
    put(&mut out, ["type_uid"], json!(CLASS * 100 + activity));
    put(&mut out, ["type_id"], json!(DATABASE));
    put(&mut out, ["metadata", "version"], json!(OCSF_VERSION));
    put(&mut out, ["metadata", "product", "name"], json!("Postern"));
    put(&mut out, ["metadata", "product", "vendor_name"], json!("Postern"));
    if let Some(trace) = trace_of(record) {
        put(
            &mut out,
            ["metadata", "correlation_uid"],
            json!(trace.to_string()),
        );
    }
    for field in fields(record) {
        match field.row().and_then(|row| row.in_ocsf(field.value)) {
            Some((path, value)) => put(&mut out, path.split('.'), value),
            None => put(&mut out, ["unmapped", field.key], field.value.clone()),
        }
        let value = field.value;
        match (field.in_details, field.key) {
            (false, "time") => put(&mut out, ["metadata", "original_time"], value.clone()),
            // The names there tell less than these.
            (false, "result") | (true, "duration_us") => {
                put(&mut out, ["unmapped", field.key], value.clone());
            }
            (false, "resource") if value.as_array().is_some_and(|all| all.len() > 1) => {
                put(&mut out, ["unmapped", "resource"], value.clone());
            }
            _ => {}
        }
    }
    // It has to be there: unknown.
    put(&mut out, ["severity_id"], json!(0));
    Value::Object(out)
}

/// What OCSF calls what was done.
fn activity(event: Option<&str>, action: Option<&str>) -> u64 {
    const UNKNOWN: u64 = 0;
    const READ: u64 = 1;
    const UPDATE: u64 = 2;
    const CONNECT: u64 = 3;
    const QUERY: u64 = 4;
    const WRITE: u64 = 5;
    const DELETE: u64 = 7;
    const OTHER: u64 = 99;
    match (event, action) {
        (Some("signin" | "session.open"), _) => CONNECT,
        (_, None) => UNKNOWN,
        (_, Some("select")) => QUERY,
        (_, Some("copy out" | "fetch")) => READ,
        (_, Some("insert" | "copy in")) => WRITE,
        (_, Some("update")) => UPDATE,
        (_, Some("delete" | "truncate")) => DELETE,
        (_, Some(_)) => OTHER,
    }
}

impl Row {
    /// Its names in ECS and in OCSF.
    #[cfg(test)]
    pub(super) fn names(&self) -> (&'static str, &'static str) {
        (self.ecs, self.ocsf)
    }

    /// Where it is in ECS, and how; `None` when it is not what a record's field is.
    fn in_ecs(&self, value: &Value) -> Option<(&'static str, Value)> {
        let value = match self.field {
            "result" => match value.as_str()? {
                "allowed" => json!("success"),
                "refused" | "failed" => json!("failure"),
                _ => return None,
            },
            "details.duration_us" => json!(value.as_u64()?.checked_mul(1000)?),
            _ => self.usual(value)?,
        };
        Some((self.ecs, value))
    }

    /// Where it is in OCSF, and how; `None` when it is not what a record's field is.
    fn in_ocsf(&self, value: &Value) -> Option<(&'static str, Value)> {
        let value = match self.field {
            "time" => json!(value.as_str()?.parse::<Timestamp>().ok()?.as_millisecond()),
            "level" => match value.as_str()? {
                "info" => json!(1),
                "warn" => json!(3),
                "alert" => json!(5),
                _ => return None,
            },
            "result" => match value.as_str()? {
                "allowed" => json!(1),
                "refused" | "failed" => json!(2),
                _ => return None,
            },
            "roles" => {
                let names = self.usual(value)?;
                let group = |name: &Value| json!({ "name": name });
                json!(names.as_array()?.iter().map(group).collect::<Vec<_>>())
            }
            "resource" => self.usual(value)?.as_array()?.first()?.clone(),
            "details.duration_us" => json!(value.as_u64()? / 1000),
            _ => self.usual(value)?,
        };
        Some((self.ocsf, value))
    }

    /// The value where it is of the kind that the field has.
    fn usual(&self, value: &Value) -> Option<Value> {
        let is_usual = match self.field {
            "number" | "exchange" | "details.bytes" => value.is_u64(),
            "roles" | "resource" | "objects" => value
                .as_array()
                .is_some_and(|list| list.iter().all(Value::is_string)),
            "values" => value.is_array(),
            "time" => value.as_str()?.parse::<Timestamp>().is_ok(),
            "details.client" => value.as_str()?.parse::<IpAddr>().is_ok(),
            // A malformed one is not that by which the record is found.
            "trace" => TraceId::parse(value.as_str()?).is_some(),
            _ => value.is_string(),
        };
        is_usual.then(|| value.clone())
    }
}

/// A field of a record as it is.
struct Field<'a> {
    in_details: bool,
    key: &'a str,
    value: &'a Value,
}

impl Field<'_> {
    /// Its row of the table.
    fn row(&self) -> Option<&'static Row> {
        ROWS.iter().find(|row| match row.field.strip_prefix("details.") {
            Some(key) => self.in_details && key == self.key,
            None => !self.in_details && row.field == self.key,
        })
    }
}

/// Those of a record, each of `details` by itself.
fn fields(record: &Value) -> impl Iterator<Item = Field<'_>> {
    let details = record.get("details").and_then(Value::as_object);
    let own = record.as_object().into_iter().flatten();
    let own = own.filter(move |(key, _)| details.is_none() || *key != "details");
    let of_details = details.into_iter().flatten();
    let own = own.map(|(key, value)| (false, key, value));
    let of_details = of_details.map(|(key, value)| (true, key, value));
    own.chain(of_details).map(|(in_details, key, value)| Field {
        in_details,
        key,
        value,
    })
}

fn text<'a>(record: &'a Value, key: &str) -> Option<&'a str> {
    record.get(key).and_then(Value::as_str)
}

/// Puts a value into the objects of a path, unless there is one already.
fn put<'a>(out: &mut Map<String, Value>, path: impl IntoIterator<Item = &'a str>, value: Value) {
    let mut path = path.into_iter().peekable();
    let mut within = out;
    while let Some(key) = path.next() {
        if path.peek().is_none() {
            within.entry(key).or_insert(value);
            return;
        }
        let inner = within.entry(key).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(inner) = inner else { return };
        within = inner;
    }
}
