//! The published schema and what is written.

use super::*;
use crate::record::Details;
use postern_types::{Author, KeptForm, KeptValue, SqlState, TraceId, TraceParent};
use std::collections::BTreeSet;
use std::net::IpAddr;

const SCHEMA: &str = include_str!("../../../../docs/audit/record.schema.json");

fn schema() -> (serde_json::Value, jsonschema::Validator) {
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    (schema, validator)
}

#[test]
fn the_schema_has_every_name_and_no_other() {
    let (schema, _) = schema();
    let listed = |name: &str| -> BTreeSet<String> {
        let values = schema["properties"][name]["enum"].as_array().unwrap();
        values
            .iter()
            .map(|value| value.as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        listed("event"),
        Event::ALL.map(|event| event.name().to_owned()).into()
    );
    assert_eq!(
        listed("stage"),
        Author::ALL.map(|author| author.name().to_owned()).into()
    );
    assert_eq!(
        listed("level"),
        [Level::Info, Level::Warn, Level::Alert]
            .map(|level| level.name().to_owned())
            .into()
    );
    let results = [Outcome::Allowed, Outcome::Refused, Outcome::Failed];
    assert_eq!(
        listed("result"),
        results.map(|result| result.name().to_owned()).into()
    );
}

#[test]
fn the_schema_refuses_what_no_stage_writes() {
    let (_, validator) = schema();
    let dir = TempDir::new().unwrap();
    let mut ledger = open(dir.path()).unwrap();
    ledger.append(&exchange(1));
    ledger.commit().unwrap();
    let good = lines(dir.path()).remove(1);
    assert!(validator.is_valid(&good), "{good}");
    for (key, value) in [
        ("event", "dance".into()),
        ("time", "yesterday".into()),
        ("hash", "00".into()),
        ("statement", "SELECT 1".into()),
        ("details", serde_json::json!({"row": "4711"})),
        ("number", 0.into()),
    ] {
        let mut bad = good.clone();
        bad[key] = value;
        assert!(!validator.is_valid(&bad), "{bad}");
    }
}

fn details() -> impl Strategy<Value = Details> {
    let counts = prop::array::uniform7(any::<Option<u64>>());
    let numbers = (any::<Option<u64>>(), any::<Option<u64>>(), any::<Option<u32>>());
    let rest = (
        any::<Option<[u8; 16]>>(),
        any::<Option<IpAddr>>(),
        prop::option::of(0..3_usize),
    );
    let words = (any::<bool>(), any::<bool>());
    (counts, numbers, rest, words).prop_map(|(counts, (reference, policy, epoch), rest, words)| {
        let [rows, bytes, messages, statements, parts, duration_us, backend_us] = counts;
        Details {
            sqlstate: words.0.then_some(SqlState::CANNOT_CONNECT),
            reason: words.1.then_some("a-reason"),
            reference,
            rows,
            bytes,
            messages,
            statements,
            parts,
            duration_us,
            backend_us,
            instance: rest.0.map(InstanceId),
            client: rest.1,
            policy,
            epoch,
            would: rest
                .2
                .map(|at| [Outcome::Allowed, Outcome::Refused, Outcome::Failed][at]),
        }
    })
}

fn value() -> impl Strategy<Value = KeptValue> {
    let form = prop_oneof![
        Just(KeptForm::Null),
        any::<[u8; 16]>().prop_map(KeptForm::Hash),
        "(.|\\n){0,300}".prop_map(KeptForm::Clear),
    ];
    (any::<String>(), form).prop_map(|(of, form)| KeptValue { of: of.into(), form })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_record_is_as_the_schema_says(
        time_ms: u64, event in 0..Event::ALL.len(), session: Option<[u8; 16]>, exchange: Option<u64>,
        names in (any::<Option<String>>(), any::<Option<String>>(), any::<Option<String>>(), any::<Option<String>>()),
        lists in (prop::collection::vec(any::<String>(), 0..20), prop::collection::vec(any::<String>(), 0..20)),
        values in prop::collection::vec(value(), 0..40), statements in prop::collection::vec(any::<[u8; 32]>(), 0..80), details in details(), action: bool,
    ) {
        let dir = TempDir::new().unwrap();
        let mut ledger = open(dir.path()).unwrap();
        let statements: Vec<_> = statements.into_iter().map(StatementDigest).collect();
        ledger.append(&Record {
            session: session.map(SessionId),
            exchange,
            trace: exchange.map(|exchange| TraceParent {
                trace: TraceId::of_exchange(SessionId([5; 16]), exchange),
                parent: exchange.to_be_bytes(),
                sampled: action,
            }),
            named: names.3.as_deref(),
            actor: names.0.as_deref(),
            tenant: names.1.as_deref(),
            action: action.then_some("select"),
            resource: &statements,
            details,
            service: names.2.as_deref(),
            rule: names.2.as_deref(),
            objects: &lists.0,
            roles: &lists.1,
            pattern: names.3.as_deref(),
            values: &values,
            ..Record::at(time_ms, Event::ALL[event])
        });
        ledger.close(NOW).unwrap();
        let (_, validator) = schema();
        for line in lines(dir.path()) {
            prop_assert!(validator.is_valid(&line), "{line}: {:?}", validator.iter_errors(&line).next());
        }
    }
}
