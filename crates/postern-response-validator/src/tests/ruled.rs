//! Rules of the Response Validator's own, and a Query Validator that lies.

use super::*;
use postern_inspect::rules::Rules;
use postern_inspect::{Keys, MaskKey, OriginColumn, OriginRelation, Origins, OriginsDocument};
use postern_types::{ColumnRule, ColumnRules, KeptForm, KeptValue, Mask, StatementRules};

const CUSTOMERS: u32 = 20_000;

fn origins() -> Origins {
    let column = |number, name: &str| OriginColumn {
        number,
        name: name.into(),
        ..OriginColumn::default()
    };
    Origins::new(OriginsDocument {
        version: 1,
        relations: vec![OriginRelation {
            oid: CUSTOMERS,
            schema: "public".into(),
            name: "customers".into(),
            row_type: 20_002,
            columns: vec![column(1, "tenant_id"), column(2, "card")],
        }],
        ..OriginsDocument::default()
    })
    .unwrap()
}

fn strict() -> Inspector {
    let rules = "version: 1\nerrors: code-only\nlimits: {max_rows: 2}\nmasks:\n  - {column: \
                 public.customers.card, mask: last4}\ntenants: {columns: [tenant_id], ignore_roles: \
                 [auditor]}\ndetectors: {private_key: refuse, email: alert}\nhoney: [{name: decoy, value: \
                 DECOY-4711}]\n";
    Inspector::new(Rules::from_yaml(rules).unwrap(), &origins(), Keys::default()).unwrap()
}

/// A description of text columns as (name, table, attribute).
fn columns(columns: &[(&str, u32, i16)]) -> Vec<u8> {
    let mut body = u16::try_from(columns.len()).unwrap().to_be_bytes().to_vec();
    for (name, table, attribute) in columns {
        body.extend_from_slice(name.as_bytes());
        body.push(0);
        body.extend_from_slice(&table.to_be_bytes());
        body.extend_from_slice(&attribute.to_be_bytes());
        body.extend_from_slice(b"\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0");
    }
    message(b'T', &body)
}

fn values(values: &[&str]) -> Vec<u8> {
    let mut body = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
    for value in values {
        body.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
        body.extend_from_slice(value.as_bytes());
    }
    message(b'D', &body)
}

fn customers() -> Vec<u8> {
    columns(&[("tenant_id", CUSTOMERS, 1), ("card", CUSTOMERS, 2)])
}

/// A contract of a Query Validator that looks by columns and asks for nothing else.
fn lax() -> Contract {
    Contract {
        steps: vec![Expect::Columns, Expect::Query(vec![ROWS])],
        error_detail: ErrorDetail::Full,
        ..contract(ROWS)
    }
}

struct Judged {
    payload: String,
    alerts: Vec<(Level, &'static str)>,
}

fn judge(contract: &Contract, payload: &[u8]) -> Judged {
    let mut ring = ring_by(Limits::default(), strict());
    ring.steps = Some(steps_digest(&contract.steps));
    let header = header(9, 0);
    let sealed = ring.contract(&header, contract);
    let mut envelope = ring.part(&header, sealed, &AnswerState::default(), payload);
    let stepped = ring.validator.step(NOW, &mut envelope).unwrap();
    let found = ring.open(&stepped);
    let records = stepped.note.iter().chain(&stepped.more);
    let alerts = records.filter_map(|note| {
        let record = note.record();
        record.details.reason.map(|reason| (record.level, reason))
    });
    Judged {
        payload: found.payload.escape_ascii().to_string(),
        alerts: alerts.collect(),
    }
}

fn assert_stopped(contract: &Contract, payload: &[u8], reason: &'static str) {
    let judged = judge(contract, payload);
    assert!(judged.payload.contains("VFATAL"), "{reason}: {}", judged.payload);
    assert!(!judged.payload.contains("4111"), "{reason}: {}", judged.payload);
    assert_eq!(judged.alerts, [(Level::Alert, reason)]);
}

#[test]
fn values_are_recorded_as_the_rules_say_and_before_masks() {
    let rules = "version: 1\nrecord:\n  - {column: public.customers.card, as: hash}\n  - {column: \
                 public.customers.tenant_id, as: clear}\nmasks: [{column: public.customers.card, mask: last4}]\n";
    let rules = Rules::from_yaml(rules).unwrap();
    assert!(
        Inspector::new(rules.clone(), &origins(), Keys::default()).is_err(),
        "hashes without a key"
    );
    let key = MaskKey::new(&[7; 16]).unwrap();
    let keys = Keys {
        record: Some(key.clone()),
        ..Keys::default()
    };
    let mut ring = ring_by(
        Limits::default(),
        Inspector::new(rules, &origins(), keys).unwrap(),
    );
    let contract = lax();
    ring.steps = Some(steps_digest(&contract.steps));
    let header = header(9, 0);
    let sealed = ring.contract(&header, &contract);
    let rows = (0..40).flat_map(|_| values(&["acme", "4111111111111111"]));
    let payload = [customers(), rows.collect(), end()].concat();
    let mut envelope = ring.part(&header, sealed, &AnswerState::default(), &payload);
    let stepped = ring.validator.step(NOW, &mut envelope).unwrap();
    let kept: Vec<Vec<KeptValue>> = stepped
        .more
        .iter()
        .map(|note| {
            let record = note.record();
            assert_eq!(record.event, postern_ledger::Event::ExchangeValues);
            assert_eq!((record.session, record.exchange), (Some(header.session), Some(9)));
            assert!(record.actor.is_some());
            record.values.to_vec()
        })
        .collect();
    let sizes: Vec<usize> = kept.iter().map(Vec::len).collect();
    assert_eq!(sizes, [16; 5], "two of each row, in records of 16");
    let hash = postern_inspect::hashes(&key, "4111111111111111")[0];
    let of = |of: &str, form| KeptValue { of: of.into(), form };
    for pair in kept.concat().chunks(2) {
        assert_eq!(
            pair,
            [
                of("public.customers.tenant_id", KeptForm::Clear("acme".to_owned())),
                of("public.customers.card", KeptForm::Hash(hash)),
            ]
        );
    }
    assert!(
        !ring
            .open(&stepped)
            .payload
            .escape_ascii()
            .to_string()
            .contains("4111111111111111")
    );
}

#[test]
fn a_contract_without_masks_does_not_lift_the_own_ones() {
    let payload = [customers(), values(&["acme", "4111111111111111"]), end()].concat();
    let judged = judge(&lax(), &payload);
    assert!(judged.payload.contains("************1111"), "{}", judged.payload);
    assert!(!judged.payload.contains("4111111111111111"), "{}", judged.payload);

    // Nor does one with a weaker mask, or one that says the column is another.
    let mut weaker = lax();
    let mask = Some(Mask::Partial { first: 12, last: 0 });
    let rule = |mask| ColumnRule {
        mask,
        ..ColumnRule::default()
    };
    weaker.statements = vec![StatementRules {
        columns: ColumnRules::Listed(vec![rule(None), rule(mask)]),
        ..StatementRules::default()
    }];
    let judged = judge(&weaker, &payload);
    assert!(!judged.payload.contains("4111"), "{}", judged.payload);
}

#[test]
fn a_contract_can_mask_more() {
    let mut stricter = lax();
    stricter.statements = vec![StatementRules {
        columns: ColumnRules::Listed(vec![
            ColumnRule::default(),
            ColumnRule {
                mask: Some(Mask::Null),
                ..ColumnRule::default()
            },
        ]),
        ..StatementRules::default()
    }];
    let payload = [customers(), values(&["acme", "4111111111111111"]), end()].concat();
    let judged = judge(&stricter, &payload);
    assert!(
        judged.payload.contains("acme\\xff\\xff\\xff\\xff"),
        "{}",
        judged.payload
    );
}

#[test]
fn a_row_of_another_tenant_stops_the_answer_whatever_the_contract_says() {
    let foreign = [customers(), values(&["other", "4111111111111111"]), end()].concat();
    assert_stopped(&lax(), &foreign, "answer-foreign-tenant");
    // Under another name, and inside JSON.
    let renamed = [columns(&[("x", CUSTOMERS, 1)]), values(&["other"]), end()].concat();
    assert_stopped(&lax(), &renamed, "answer-foreign-tenant");
    let plain = Contract {
        statements: vec![StatementRules {
            columns: ColumnRules::Plain,
            ..StatementRules::default()
        }],
        ..lax()
    };
    let nested = [
        columns(&[("doc", 0, 0)]),
        values(&[r#"{"a":[{"tenant_id" : "other"}]}"#]),
        end(),
    ]
    .concat();
    assert_stopped(&plain, &nested, "answer-foreign-tenant");
    // A session without a tenant owns no row.
    let nobody = Contract {
        tenant: None,
        ..lax()
    };
    let own = [customers(), values(&["acme", "x"]), end()].concat();
    assert_stopped(&nobody, &own, "answer-foreign-tenant");
}

#[test]
fn only_a_listed_role_is_exempt_and_every_time_is_recorded() {
    let payload = [customers(), values(&["other", "x"]), end()].concat();
    let exempt = |role: &str| Contract {
        roles: vec![role.into()],
        ..lax()
    };
    let judged = judge(&exempt("auditor"), &payload);
    assert!(judged.payload.contains("other"));
    assert_eq!(judged.alerts, [(Level::Warn, "tenant-check-ignored")]);
    assert_stopped(&exempt("app"), &payload, "answer-foreign-tenant");
}

#[test]
fn own_caps_and_own_errors_hold() {
    let row = || values(&["acme", "x"]);
    let payload = [customers(), row(), row(), row(), end()].concat();
    let larger = Contract {
        max_rows: Some(1000),
        over: OverCap::Truncate,
        ..lax()
    };
    assert_stopped(&larger, &payload, "answer-row-cap");
    let error = message(
        b'E',
        b"SERROR\0VERROR\0C23505\0MKey (id)=(4111)\0DFailing row\0\0",
    );
    let judged = judge(&lax(), &[error, message(b'Z', b"I")].concat());
    assert!(
        !judged.payload.contains("4111") && !judged.payload.contains("Failing"),
        "{}",
        judged.payload
    );
}

#[test]
fn rows_that_nobody_described_are_stopped() {
    // The contract does not ask for descriptions at all.
    let silent = Contract {
        steps: vec![
            Expect::Execute {
                shape: ROWS,
                max_rows: 0,
                described: false,
            },
            Expect::Sync,
        ],
        ..lax()
    };
    let payload = [values(&["acme", "4111111111111111"]), end()].concat();
    assert_stopped(&silent, &payload, "answer-undescribed");
    // A computed column of which nothing is said, and one of an unknown table.
    for (table, attribute) in [(0, 0), (30_000, 1)] {
        let payload = [columns(&[("x", table, attribute)]), values(&["4111"]), end()].concat();
        assert_stopped(&lax(), &payload, "answer-unknown-origin");
    }
}

#[test]
fn steps_that_the_backend_did_not_run_by_are_not_believed() {
    let described = Contract {
        steps: vec![
            Expect::Columns,
            Expect::DescribePortal,
            Expect::Execute {
                shape: ROWS,
                max_rows: 0,
                described: true,
            },
            Expect::Sync,
        ],
        ..lax()
    };
    let payload = [columns(&[("x", CUSTOMERS, 1)]), values(&["acme"]), end()].concat();
    let mut ring = ring_by(Limits::default(), strict());
    let here = header(9, 0);
    for (steps, stopped) in [
        (Some(steps_digest(&described.steps)), false),
        (Some(steps_digest(&[Expect::Columns, Expect::Sync])), true),
        (None, true),
    ] {
        ring.steps = steps;
        let sealed = ring.contract(&here, &described);
        let envelope = ring.part(&here, sealed, &AnswerState::default(), &payload);
        if stopped {
            ring.assert_stopped(envelope, "XX000", "answer-other-steps");
        } else {
            let stepped = ring.validator.step(NOW, &mut envelope.clone()).unwrap();
            assert_eq!(ring.open(&stepped).payload, payload);
        }
    }
}

#[test]
fn detectors_and_honey_tokens_raise_alerts_that_say_nothing_of_the_value() {
    let payload = [
        customers(),
        values(&["acme", "DECOY-4711 ann@example.com"]),
        end(),
    ]
    .concat();
    let judged = judge(&lax(), &payload);
    assert_eq!(
        judged.alerts,
        [(Level::Alert, "honey-token")],
        "the address is masked already"
    );
    let plain = columns(&[("tenant_id", CUSTOMERS, 1)]);
    let payload = [plain, values(&["acme"]), end()].concat();
    assert_eq!(judge(&lax(), &payload).alerts, []);
    let key = "-----BEGIN RSA PRIVATE KEY-----\nMIIE 4111\n-----END RSA PRIVATE KEY-----";
    let open = Contract {
        statements: vec![StatementRules {
            columns: ColumnRules::Plain,
            ..StatementRules::default()
        }],
        ..lax()
    };
    let payload = [columns(&[("k", 0, 0)]), values(&[key]), end()].concat();
    assert_stopped(&open, &payload, "detector-private-key");
    let payload = [columns(&[("k", 0, 0)]), values(&["ann@example.com"]), end()].concat();
    let judged = judge(&open, &payload);
    assert!(judged.payload.contains("ann@example.com"));
    assert_eq!(judged.alerts, [(Level::Alert, "detector-email")]);
}

#[test]
fn rules_that_were_replaced_hold_for_a_while_for_what_was_planned_for_them() {
    let none = || {
        Inspector::new(
            Rules::from_yaml("version: 1\n").unwrap(),
            &origins(),
            Keys::default(),
        )
        .unwrap()
    };
    let (old, new) = (strict().rules().version, none().rules().version);
    assert_ne!(old, new);
    let mut ring = ring_by(Limits::default(), strict());
    let goes_by = |ring: &mut Ring, version, now| ring.validator.inspector_for(version, now).rules().version;
    for version in [0, old, new, 7] {
        assert_eq!(goes_by(&mut ring, version, NOW), old);
    }
    ring.validator.set_inspector(none(), NOW);
    let end = NOW + crate::validator::GRACE_MS;
    // Only who names them exactly gets the rules from before, and not for ever.
    for (version, now, holds) in [
        (old, NOW, old),
        (old, end - 1, old),
        (old, end, new),
        (new, NOW, new),
        (0, NOW, new),
        (7, NOW, new),
    ] {
        assert_eq!(goes_by(&mut ring, version, now), holds, "{version} at {now}");
    }
    // The same rules once more are no change that could be gone back on.
    ring.validator.set_inspector(none(), end);
    assert_eq!(goes_by(&mut ring, old, end), new);
}
