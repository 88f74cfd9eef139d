//! Modes, references of refusals, a policy that changes, and the tenant in values that are bound.

use super::kit::{Kit, M, Noted, payload};
use postern_ledger::{Event, Outcome};
use postern_policy::Policy;
use postern_types::ring::{DefinitionKind, Verdict};
use postern_wire::{put_bind, put_execute, put_parse, put_sync};

/// A policy in which the role of `ann`, whose tenant is `acme`, is in this mode.
fn listed(mode: &str) -> Policy {
    Policy::parse(&format!(
        "version: 1\nroles: {{app: {{mode: {mode}, database_role: app, search_path: shop, statements: [select], schemas: [shop]}}}}\n"
    ))
    .unwrap()
}

pub(super) const CATALOG: &str = r#"{"version":1,"server_version":150004,"database":"shop","schemas":["pg_catalog","shop"],
"relations":[{"oid":1000,"schema":"shop","name":"orders","kind":"table","row_type":1001,
"columns":[{"number":1,"name":"id","type":20},{"number":2,"name":"tenant_id","type":25}]}],
"functions":[{"oid":67,"schema":"pg_catalog","name":"texteq","language":"internal","arguments":[25,25],"result":16},
{"oid":467,"schema":"pg_catalog","name":"int8eq","language":"internal","arguments":[20,20],"result":16}],
"types":[{"oid":16,"schema":"pg_catalog","name":"bool"},{"oid":20,"schema":"pg_catalog","name":"int8"},
{"oid":25,"schema":"pg_catalog","name":"text"},
{"oid":1001,"schema":"shop","name":"orders","kind":"composite","relation":1000}],
"operators":[{"oid":98,"schema":"pg_catalog","name":"=","left":25,"right":25,"result":16,"function":67},
{"oid":410,"schema":"pg_catalog","name":"=","left":20,"right":20,"result":16,"function":467}],
"casts":[],"foreign_keys":[]}"#;

/// A policy under which `ann` must keep to the rows of `acme`.
fn tenants(mode: &str) -> Policy {
    let yaml = format!(
        "version: 1\ntenants: {{column: tenant_id}}\nroles: {{app: {{mode: {mode}, database_role: app, search_path: shop, statements: [select], schemas: [shop]}}}}\n"
    );
    Policy::load(&[("policy.yaml", yaml.as_str()), ("catalog.json", CATALOG)]).unwrap()
}

fn exchange(kit: &Kit) -> &Noted {
    kit.records
        .iter()
        .rev()
        .find(|record| record.event == Event::Exchange)
        .unwrap()
}

#[test]
fn a_refusal_quotes_the_reference_of_its_record() {
    let mut kit = Kit::new();
    let ticket = kit.ticket("ann");
    let refusal = kit.refused(&ticket, "delete from orders");
    let record = exchange(&kit);
    let reference = format!("(reference {:08x})", record.reference.unwrap());
    assert!(refusal.message.ends_with(&reference), "{refusal}");
    assert_eq!(record.rule.as_deref(), Some("lists of role app"));
    assert!(
        !refusal.message.contains("lists"),
        "the client is not told the rule"
    );
    let first = record.reference;
    kit.refused(&ticket, "delete from orders");
    assert_ne!(
        exchange(&kit).reference,
        first,
        "each exchange has one of its own"
    );
    // What is allowed, and what is no SQL, needs none.
    kit.query(&ticket, "select 1");
    assert_eq!(
        (exchange(&kit).reference, exchange(&kit).rule.as_deref()),
        (None, None)
    );
    assert!(!kit.refused(&ticket, "selec").message.contains("reference"));
}

#[test]
fn the_operator_can_have_the_rule_told() {
    let mut kit = Kit::new();
    let ticket = kit.ticket("ann");
    let yaml = "version: 1\ndenial_details: true\nroles: {app: {mode: enforce, database_role: app, search_path: shop, schemas: [shop]}}\n";
    kit.validator.set_policy(Policy::parse(yaml).unwrap());
    let refusal = kit.refused(&ticket, "select 1");
    assert!(refusal.message.contains("lists of role app"), "{refusal}");
}

#[test]
fn shadow_lets_through_and_records_what_enforcing_would_do() {
    for mode in ["shadow", "learn"] {
        let mut kit = Kit::new();
        let ticket = kit.ticket("ann");
        kit.validator.set_policy(listed(mode));
        assert!(matches!(
            kit.query(&ticket, "delete from orders where id = 17"),
            Verdict::Allow(_)
        ));
        let record = exchange(&kit);
        assert_eq!(
            (record.result, record.would),
            (Outcome::Allowed, Some(Outcome::Refused))
        );
        assert!(record.reference.is_some() && record.rule.is_some());
        let learned = kit
            .records
            .iter()
            .find(|record| record.event == Event::StatementLearned)
            .unwrap();
        assert_eq!(
            learned.pattern.as_deref(),
            Some("delete from orders where id = $1")
        );
        assert_eq!(learned.would, Some(Outcome::Refused));
        kit.query(&ticket, "select 'secret'");
        assert_eq!(exchange(&kit).would, Some(Outcome::Allowed));
        assert!(
            kit.records
                .iter()
                .all(|r| !r.pattern.as_ref().is_some_and(|p| p.contains("secret")))
        );
        // What nobody may do is refused in every mode.
        assert!(matches!(
            kit.query(&ticket, "set role postgres"),
            Verdict::Refuse(_)
        ));
    }
}

#[test]
fn an_enforced_role_has_nothing_recorded_for_learning() {
    let mut kit = Kit::new();
    let ticket = kit.ticket("ann");
    kit.query(&ticket, "select 1");
    assert_eq!(exchange(&kit).would, None);
    assert!(kit.records.iter().all(|record| record.pattern.is_none()));
}

#[test]
fn each_exchange_is_decided_by_the_policy_of_that_moment() {
    let mut kit = Kit::new();
    let ticket = kit.ticket("ann");
    let insert = "insert into orders values (1)";
    assert!(matches!(kit.query(&ticket, insert), Verdict::Allow(_)));
    let before = exchange(&kit).policy.unwrap();
    let policy = listed("enforce");
    kit.validator.set_policy(policy.clone());
    // The same text, remembered as allowed under the version before.
    assert!(matches!(kit.query(&ticket, insert), Verdict::Refuse(_)));
    assert_eq!(exchange(&kit).policy, Some(policy.hash().short()));
    assert_ne!(before, policy.hash().short());
    // Prepared before, and judged anew.
    let definition = super::kit::definition(DefinitionKind::Statement, "s", insert);
    let codes = kit.codes(
        &ticket,
        &[definition],
        &payload(&[M::Bind("", "s"), M::Execute(""), M::Sync]),
    );
    assert_eq!(codes[0].as_deref(), Some("42501"));
}

/// Parse, Bind with one value, Execute, Sync.
fn bound(declared: &[u32], binary: bool, value: Option<&[u8]>) -> Vec<u8> {
    let sql = "select id from orders where tenant_id = $1";
    let mut tail = vec![0, 1, 0, u8::from(binary), 0, 1];
    match value {
        None => tail.extend((-1i32).to_be_bytes()),
        Some(value) => {
            tail.extend(i32::try_from(value.len()).unwrap().to_be_bytes());
            tail.extend(value);
        }
    }
    tail.extend([0, 0]);
    let mut out = Vec::new();
    put_parse(&mut out, "", sql, declared.iter().copied()).unwrap();
    put_bind(&mut out, "", "", &tail).unwrap();
    put_execute(&mut out, "", 0).unwrap();
    put_sync(&mut out);
    out
}

#[test]
fn a_bound_value_must_be_the_tenant() {
    let mut kit = Kit::new();
    let ticket = kit.ticket("ann");
    kit.validator.set_policy(tenants("enforce"));
    for (declared, binary, value) in [(vec![], false, b"acme"), (vec![25], true, b"acme")] {
        let codes = kit.codes(&ticket, &[], &bound(&declared, binary, Some(value)));
        assert_eq!(codes, vec![None; 4]);
    }
    for (declared, value) in [
        (vec![], Some(&b"other"[..])),
        (vec![], None),
        (vec![], Some(b"acme ")),
        // As another type it could mean something else.
        (vec![17], Some(b"acme")),
    ] {
        let codes = kit.codes(&ticket, &[], &bound(&declared, false, value));
        assert_eq!(codes[1].as_deref(), Some("42501"), "{declared:?} {value:?}");
        assert!(codes[2].is_some(), "there is no portal to execute");
        assert_eq!(
            exchange(&kit).rule.as_deref(),
            Some("tenancy: a value is not the tenant of the session")
        );
    }
}

#[test]
fn a_literal_must_be_the_tenant_and_a_table_be_bound() {
    let mut kit = Kit::new();
    let ticket = kit.ticket("ann");
    kit.validator.set_policy(tenants("enforce"));
    let allowed = "select id from orders where tenant_id = 'acme'";
    assert!(matches!(kit.query(&ticket, allowed), Verdict::Allow(_)));
    for text in [
        "select id from orders where tenant_id = 'other'",
        "select id from orders",
        "select id from orders where tenant_id = 'acme' or true",
        "select id from orders where tenant_id = $1",
    ] {
        assert_eq!(kit.refused(&ticket, text).code.as_str(), "42501", "{text}");
    }
    // In shadow mode the same is let through, and recorded.
    kit.validator.set_policy(tenants("shadow"));
    let other = "select id from orders where tenant_id = 'other'";
    assert!(matches!(kit.query(&ticket, other), Verdict::Allow(_)));
    assert_eq!(exchange(&kit).would, Some(Outcome::Refused));
}

#[test]
fn the_database_is_told_the_tenant_of_a_session() {
    let mut kit = Kit::new();
    kit.validator.set_policy(tenants("enforce"));
    let (_, open) = kit.sign_in_with("ann", "pencil", postern_scram::client::Binding::None, |_| {});
    let settings = open.unwrap().settings;
    assert!(
        settings.contains(&("app.tenant_id".to_owned(), "acme".to_owned())),
        "{settings:?}"
    );
}
