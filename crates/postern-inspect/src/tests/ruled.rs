//! Whole parts under rules: rows, COPY, caps.

use super::message::{COPY_OUT, ROWS, contract, framed};
use crate::Keys;
use crate::rules::Rules;
use crate::{Checked, Inspector, OriginColumn, OriginRelation, Origins, OriginsDocument, Violation, digest};
use postern_types::{
    AnswerState, ColumnId, ColumnRule, ColumnRules, Contract, CopyKind, CopyRules, Expect, Mask, OverCap,
    StatementRules,
};

const TABLE: u32 = 20_000;

fn inspector(yaml: &str) -> Inspector {
    let column = |number, name: &str| OriginColumn {
        number,
        name: name.into(),
        ..OriginColumn::default()
    };
    let origins = Origins::new(OriginsDocument {
        version: 1,
        relations: vec![OriginRelation {
            oid: TABLE,
            schema: "public".into(),
            name: "t".into(),
            row_type: 20_002,
            columns: vec![column(1, "id"), column(2, "tenant_id"), column(3, "card")],
        }],
        arrays: vec![(20_003, 20_002)],
        ..OriginsDocument::default()
    });
    let rules = Rules::from_yaml(&format!("version: 1\n{yaml}")).unwrap();
    Inspector::new(rules, &origins.unwrap(), Keys::default()).unwrap()
}

const MASKS: &str = "masks: [{column: public.t.card, mask: last4}]\n";
const TENANTS: &str = "tenants: {columns: [tenant_id]}\n";

fn by_columns(step: Expect) -> Contract {
    Contract {
        tenant: Some("7".into()),
        ..contract(vec![Expect::Columns, step])
    }
}

/// (name, table, attribute, type, binary)
type Described<'a> = (&'a str, u32, i16, u32, bool);

fn describe(out: &mut Vec<u8>, columns: &[Described<'_>]) {
    let mut body = (columns.len() as u16).to_be_bytes().to_vec();
    for (name, table, attribute, type_oid, binary) in columns {
        body.extend_from_slice(name.as_bytes());
        body.push(0);
        body.extend_from_slice(&table.to_be_bytes());
        body.extend_from_slice(&attribute.to_be_bytes());
        body.extend_from_slice(&type_oid.to_be_bytes());
        body.extend_from_slice(b"\xff\xff\xff\xff\xff\xff");
        body.extend_from_slice(&u16::from(*binary).to_be_bytes());
    }
    framed(out, b'T', &body);
}

fn row(out: &mut Vec<u8>, values: &[Option<&[u8]>]) {
    postern_wire::put_data_row(out, values.iter().copied()).unwrap();
}

fn done(out: &mut Vec<u8>, tag: &str) {
    postern_wire::put_command_complete(out, tag);
    framed(out, b'Z', b"I");
}

fn check(
    inspector: &Inspector,
    contract: &Contract,
    payload: &[u8],
) -> Result<(Checked, Vec<u8>), Violation> {
    let mut out = Vec::new();
    let checked = inspector.check_part(contract, &AnswerState::default(), payload, &mut out)?;
    let sent = if checked.rewritten { out } else { payload.to_vec() };
    Ok((checked, sent))
}

/// An answer of one row of one column.
fn one(column: Described<'_>, value: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    describe(&mut payload, &[column]);
    row(&mut payload, &[Some(value)]);
    done(&mut payload, "SELECT 1");
    payload
}

fn plain() -> Contract {
    let mut contract = by_columns(Expect::Query(vec![ROWS]));
    contract.statements = vec![StatementRules {
        columns: ColumnRules::Plain,
        ..StatementRules::default()
    }];
    contract
}

#[test]
fn rows_are_judged_the_same_wherever_the_answer_is_cut() {
    let rules = inspector(&format!("{MASKS}{TENANTS}"));
    let contract = by_columns(Expect::Query(vec![ROWS]));
    let mut messages = vec![Vec::new()];
    describe(
        &mut messages[0],
        &[("a", TABLE, 2, 23, true), ("b", TABLE, 3, 25, false)],
    );
    for _ in 0..3 {
        let mut message = Vec::new();
        row(
            &mut message,
            &[Some(&7i32.to_be_bytes()), Some(b"4111111111111111")],
        );
        messages.push(message);
    }
    let mut end = Vec::new();
    done(&mut end, "SELECT 3");
    messages.push(end);
    let (_, whole) = check(&rules, &contract, &messages.concat()).unwrap();
    assert!(!String::from_utf8_lossy(&whole).contains("4111"));
    for cut in 1..messages.len() {
        let (first, second) = messages.split_at(cut);
        let mut sent = Vec::new();
        let mut out = Vec::new();
        let first = first.concat();
        let checked = rules
            .check_part(&contract, &AnswerState::default(), &first, &mut out)
            .unwrap();
        sent.extend_from_slice(if checked.rewritten { &out } else { &first });
        // Whoever runs by the same steps comes to the same state.
        let mut state = AnswerState::default();
        for frame in postern_wire::backend_frames(&first, u32::MAX) {
            let frame = frame.unwrap();
            crate::advance(&mut state, &contract.steps, frame.tag, frame.body).unwrap();
        }
        assert_eq!(digest(&state), digest(&checked.state_after));
        assert!(!state.description.is_empty());
        out.clear();
        let second = second.concat();
        let checked = rules.check_part(&contract, &state, &second, &mut out).unwrap();
        sent.extend_from_slice(if checked.rewritten { &out } else { &second });
        assert_eq!(sent, whole, "cut at {cut}");
        assert!(
            checked.state_after.description.is_empty(),
            "nothing is kept after the end"
        );
    }
}

#[test]
fn a_hidden_description_is_used_and_not_passed_on() {
    let steps = vec![
        Expect::Columns,
        Expect::HiddenDescribe,
        Expect::Execute {
            shape: ROWS,
            max_rows: 0,
            described: true,
        },
        Expect::Sync,
    ];
    let contract = Contract {
        steps,
        ..by_columns(Expect::Sync)
    };
    let mut payload = Vec::new();
    describe(&mut payload, &[("b", TABLE, 3, 25, false)]);
    row(&mut payload, &[Some(b"4111111111111111")]);
    done(&mut payload, "SELECT 1");
    let (_, sent) = check(&inspector(MASKS), &contract, &payload).unwrap();
    assert_eq!(sent[0], b'D');
    assert!(String::from_utf8_lossy(&sent).contains("************1111"));
    // Also where nothing is ruled: the client did not ask.
    let (_, sent) = check(&Inspector::default(), &contract, &payload).unwrap();
    assert_eq!(sent[0], b'D');
    let mut nothing = Vec::new();
    framed(&mut nothing, b'n', b"");
    done(&mut nothing, "INSERT 0 1");
    let (_, sent) = check(&Inspector::default(), &contract, &nothing).unwrap();
    assert_eq!(sent[0], b'C');
}

#[test]
fn the_description_of_a_statement_is_none_of_its_rows() {
    let steps = vec![
        Expect::Columns,
        Expect::DescribeStatement,
        Expect::Execute {
            shape: ROWS,
            max_rows: 0,
            described: false,
        },
        Expect::Sync,
    ];
    let contract = Contract {
        steps,
        ..by_columns(Expect::Sync)
    };
    let mut payload = Vec::new();
    framed(&mut payload, b't', b"\0\0");
    describe(&mut payload, &[("a", TABLE, 1, 25, false)]);
    row(&mut payload, &[Some(b"4111111111111111")]);
    done(&mut payload, "SELECT 1");
    assert_eq!(
        check(&inspector(MASKS), &contract, &payload),
        Err(Violation::Undescribed)
    );
}

#[test]
fn whole_rows_are_looked_into() {
    let own = b"(1,7,4111111111111111)";
    let foreign = b"(1,8,4111111111111111)";
    let tenants = inspector(TENANTS);
    assert!(check(&tenants, &plain(), &one(("t", 0, 0, 20_002, false), own)).is_ok());
    let answer = one(("t", 0, 0, 20_002, false), foreign);
    assert_eq!(check(&tenants, &plain(), &answer), Err(Violation::ForeignTenant));
    let array = one(("t", 0, 0, 20_003, false), b"{\"(1,7,4)\"}");
    assert_eq!(
        check(&tenants, &plain(), &array),
        Err(Violation::ForeignTenant),
        "not looked into"
    );
    for type_oid in [20_002, 20_003] {
        let (_, sent) = check(
            &inspector(MASKS),
            &plain(),
            &one(("t", 0, 0, type_oid, false), own),
        )
        .unwrap();
        assert!(!String::from_utf8_lossy(&sent).contains("4111"));
    }
    let refusing = inspector("masks: [{column: public.t.card, mask: last4, derived: refuse}]\n");
    let answer = one(("t", 0, 0, 20_002, false), own);
    assert_eq!(check(&refusing, &plain(), &answer), Err(Violation::Derived));
}

#[test]
fn what_is_found_is_covered_and_json_stays_json() {
    let rules = inspector(
        "detectors: {card: mask, email: mask, custom: [{name: n, pattern: 'x.{3}', action: mask}]}\n",
    );
    let shown = |type_oid, value: &str| {
        let (checked, sent) = check(
            &rules,
            &plain(),
            &one(("a", 0, 0, type_oid, false), value.as_bytes()),
        )
        .unwrap();
        let row = postern_wire::backend_frames(&sent, u32::MAX)
            .nth(1)
            .unwrap()
            .unwrap();
        let row = postern_wire::DataRow::decode(row.body).unwrap();
        let value = row
            .columns()
            .next()
            .unwrap()
            .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
        (checked.rewritten, value)
    };
    let covered = |type_oid, value: &str| shown(type_oid, value).1;
    assert_eq!(
        covered(25, "card 4111111111111111!").unwrap(),
        "card ************1111!"
    );
    assert_eq!(
        covered(114, r#"{"c":4111111111111111}"#).unwrap(),
        r#"{"c":1000000000000000}"#
    );
    assert_eq!(
        covered(114, r#"{"c":"4111111111111111"}"#).unwrap(),
        r#"{"c":"************1111"}"#
    );
    assert_eq!(
        covered(114, r#"{"c":"ann@example.com"}"#).unwrap(),
        r#"{"c":"***************"}"#
    );
    let text = covered(114, r#"{"c":"\nx\"y"}"#).unwrap();
    assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
    assert_eq!(
        covered(1700, "4111111111111111"),
        None,
        "a number that is none becomes NULL"
    );
    assert_eq!(shown(25, "nothing"), (false, Some("nothing".into())));
    assert_eq!(
        shown(1114, "4111111111111111"),
        (false, Some("4111111111111111".into())),
        "no text"
    );
    let mut binary = Vec::new();
    describe(&mut binary, &[("a", 0, 0, 20, true)]);
    row(&mut binary, &[Some(&4_111_111_111_111_111i64.to_be_bytes())]);
    done(&mut binary, "SELECT 1");
    let (_, sent) = check(&rules, &plain(), &binary).unwrap();
    assert!(
        !sent
            .windows(8)
            .any(|w| w == 4_111_111_111_111_111i64.to_be_bytes())
    );
    // Written as escapes there is no place to cover.
    let hidden = one(("a", 0, 0, 114, false), br#"{"c":"ann\u0040example.com"}"#);
    let found = check(&rules, &plain(), &hidden);
    assert_eq!(
        found,
        Err(Violation::Found {
            what: "detector-email"
        })
    );
}

#[test]
fn alerts_count_and_refusals_stop() {
    let rules = inspector(
        "detectors: {email: alert}\nhoney: [{name: a, value: DECOY-1}, {name: b, value: DECOY-2, action: refuse}]\n",
    );
    let (checked, _) = check(
        &rules,
        &plain(),
        &one(("a", 0, 0, 25, false), b"a@b.co DECOY-1 c@d.co"),
    )
    .unwrap();
    let alerts: Vec<_> = checked.alerts.iter().collect();
    assert_eq!(alerts, [("honey-token", 1), ("detector-email", 2)]);
    let found = check(&rules, &plain(), &one(("a", 0, 0, 25, false), b"xDECOY-2"));
    assert_eq!(found, Err(Violation::Found { what: "honey-token" }));
}

fn cut(rows: Option<u64>, bytes: Option<u64>, over: OverCap) -> Contract {
    Contract {
        max_rows: rows,
        max_bytes: bytes,
        over,
        ..contract(vec![Expect::Query(vec![ROWS, ROWS])])
    }
}

fn two_statements(counts: [usize; 2]) -> Vec<u8> {
    let mut payload = Vec::new();
    for count in counts {
        describe(&mut payload, &[("a", 0, 0, 25, false)]);
        for _ in 0..count {
            row(&mut payload, &[Some(b"x")]);
        }
        postern_wire::put_command_complete(&mut payload, &format!("SELECT {count}"));
    }
    framed(&mut payload, b'Z', b"I");
    payload
}

fn tags(payload: &[u8]) -> String {
    let frames = postern_wire::backend_frames(payload, u32::MAX).map(Result::unwrap);
    let shown = frames.map(|frame| match frame.tag {
        b'C' => format!(
            "C({})",
            String::from_utf8_lossy(&frame.body[7..frame.body.len() - 1])
        ),
        tag => char::from(tag).to_string(),
    });
    shown.collect()
}

#[test]
fn rows_over_a_cap_are_left_out_and_the_count_is_right() {
    let none = Inspector::default();
    // A row has 12 bytes.
    for (contract, expected) in [
        (cut(Some(3), None, OverCap::Truncate), "TDDC(2)TDNC(1)Z"),
        (cut(Some(1), None, OverCap::Truncate), "TDNC(1)TNC(0)Z"),
        (cut(Some(4), None, OverCap::Truncate), "TDDC(2)TDDC(2)Z"),
        (cut(None, Some(36), OverCap::Truncate), "TDDC(2)TDNC(1)Z"),
        (cut(None, Some(35), OverCap::Truncate), "TDDC(2)TNC(0)Z"),
    ] {
        let (checked, sent) = check(&none, &contract, &two_statements([2, 2])).unwrap();
        assert_eq!(tags(&sent), expected);
        assert_eq!(checked.cut, expected.contains('N'));
        assert_eq!(checked.rows, 4);
    }
    let refused = check(
        &none,
        &cut(Some(3), None, OverCap::Refuse),
        &two_statements([2, 2]),
    );
    assert_eq!(refused, Err(Violation::Rows { limit: 3 }));
    let refused = check(
        &none,
        &cut(None, Some(35), OverCap::Refuse),
        &two_statements([2, 2]),
    );
    assert_eq!(refused, Err(Violation::Bytes { limit: 35 }));
}

#[test]
fn statements_have_caps_of_their_own_and_the_lower_one_holds() {
    let mut contract = cut(Some(100), None, OverCap::Truncate);
    let capped = |max_rows| StatementRules {
        max_rows,
        ..StatementRules::default()
    };
    contract.statements = vec![capped(None), capped(Some(1))];
    let (_, sent) = check(&Inspector::default(), &contract, &two_statements([2, 2])).unwrap();
    assert_eq!(tags(&sent), "TDDC(2)TDNC(1)Z");
    contract.over = OverCap::Refuse;
    let refused = check(&Inspector::default(), &contract, &two_statements([2, 2]));
    assert_eq!(refused, Err(Violation::Rows { limit: 1 }));
    let own = inspector("limits: {max_rows: 1, over: truncate}\n");
    let (_, sent) = check(
        &own,
        &cut(Some(100), None, OverCap::Refuse),
        &two_statements([2, 2]),
    )
    .unwrap();
    assert_eq!(tags(&sent), "TDNC(1)TNC(0)Z");
    let own = inspector("limits: {max_rows: 3}\n");
    let refused = check(&own, &cut(None, None, OverCap::Truncate), &two_statements([2, 2]));
    assert_eq!(refused, Err(Violation::Rows { limit: 3 }));
}

#[test]
fn an_answer_is_cut_at_the_same_row_in_any_part() {
    let contract = cut(Some(3), None, OverCap::Truncate);
    let payload = two_statements([2, 3]);
    let frames: Vec<&[u8]> = postern_wire::backend_frames(&payload, u32::MAX)
        .map(|f| f.unwrap().raw)
        .collect();
    let mut state = AnswerState::default();
    let mut sent = Vec::new();
    for frame in frames {
        let mut out = Vec::new();
        let checked = Inspector::default()
            .check_part(&contract, &state, frame, &mut out)
            .unwrap();
        sent.extend_from_slice(if checked.rewritten { &out } else { frame });
        state = checked.state_after;
    }
    assert_eq!(tags(&sent), "TDDC(2)TDNC(1)Z");
}

fn copy_contract(columns: ColumnRules, copy: Option<CopyRules>) -> Contract {
    let mut contract = by_columns(Expect::Query(vec![COPY_OUT]));
    contract.statements = vec![StatementRules {
        columns,
        copy,
        ..StatementRules::default()
    }];
    contract
}

fn copied(format: u8, columns: u16, lines: &[&[u8]]) -> Vec<u8> {
    let mut payload = Vec::new();
    let mut body = vec![format];
    body.extend_from_slice(&columns.to_be_bytes());
    for _ in 0..columns {
        body.extend_from_slice(&[0, format]);
    }
    framed(&mut payload, b'H', &body);
    for line in lines {
        framed(&mut payload, b'd', line);
    }
    framed(&mut payload, b'c', b"");
    done(&mut payload, &format!("COPY {}", lines.len()));
    payload
}

fn listed() -> ColumnRules {
    let rule = |attribute, type_oid| ColumnRule {
        origin: Some(ColumnId {
            relation: TABLE,
            attribute,
        }),
        type_oid,
        ..ColumnRule::default()
    };
    ColumnRules::Listed(vec![rule(2, 23), rule(3, 25)])
}

#[test]
fn copy_is_masked_and_checked_in_every_format() {
    let rules = inspector(&format!("{MASKS}{TENANTS}"));
    let binary_row = |tenant: i32| {
        let mut out = b"\0\x02\0\0\0\x04".to_vec();
        out.extend_from_slice(&tenant.to_be_bytes());
        out.extend_from_slice(b"\0\0\0\x104111111111111111");
        out
    };
    let head = [&b"PGCOPY\n\xff\r\n\0"[..], &[0; 8]].concat();
    for (kind, own, foreign) in [
        (
            CopyKind::Text,
            b"7\t4111111111111111\n".to_vec(),
            b"8\tx\n".to_vec(),
        ),
        (CopyKind::Csv, b"7,4111111111111111\n".to_vec(), b"8,x\n".to_vec()),
        (CopyKind::Binary, binary_row(7), binary_row(8)),
    ] {
        let contract = copy_contract(listed(), Some(CopyRules::new(kind)));
        let format = u8::from(kind == CopyKind::Binary);
        let first = if format == 1 {
            [head.clone(), own.clone()].concat()
        } else {
            own.clone()
        };
        let answer = copied(format, 2, &[&first, &own]);
        let (_, sent) = check(&rules, &contract, &answer).unwrap();
        let text = String::from_utf8_lossy(&sent).into_owned();
        assert_eq!(text.matches("************1111").count(), 2, "{kind:?}: {text}");
        assert!(!text.contains("4111"), "{kind:?}: {text}");
        let first = if format == 1 {
            [head.clone(), foreign].concat()
        } else {
            foreign
        };
        assert_eq!(
            check(&rules, &contract, &copied(format, 2, &[&first])),
            Err(Violation::ForeignTenant)
        );
        // A line in two messages, two lines in one, another number of columns.
        let (left, right) = own.split_at(4);
        let broken: [&[&[u8]]; 2] = [&[left, right], &[&[own.clone(), own.clone()].concat()]];
        for lines in broken {
            assert!(
                check(&rules, &contract, &copied(format, 2, lines)).is_err(),
                "{kind:?}"
            );
        }
        assert!(check(&rules, &contract, &copied(format, 3, &[&own])).is_err());
        assert!(
            check(&rules, &contract, &copied(1 - format, 2, &[&own])).is_err(),
            "another format"
        );
    }
}

#[test]
fn a_copy_of_which_nothing_is_known_is_stopped_unless_nothing_depends_on_it() {
    let answer = copied(0, 2, &[b"7\ta@b.co\n"]);
    let unknown = || copy_contract(ColumnRules::Unknown, None);
    for rules in [MASKS, TENANTS] {
        assert_eq!(
            check(&inspector(rules), &unknown(), &answer),
            Err(Violation::Undescribed)
        );
    }
    let without_form = copy_contract(listed(), None);
    assert_eq!(
        check(&inspector(MASKS), &without_form, &answer),
        Err(Violation::Undescribed)
    );
    let suspicious = inspector(&format!("{MASKS}without_origin: refuse\n"));
    let known = copy_contract(listed(), Some(CopyRules::new(CopyKind::Text)));
    assert_eq!(check(&suspicious, &known, &answer), Err(Violation::Origin));
    let (_, sent) = check(&inspector("detectors: {email: mask}\n"), &unknown(), &answer).unwrap();
    assert!(String::from_utf8_lossy(&sent).contains("7\t******\n"));
}

#[test]
fn a_binary_copy_that_is_cut_keeps_its_frame() {
    let head = [&b"PGCOPY\n\xff\r\n\0"[..], &[0; 8]].concat();
    let row = b"\0\x01\0\0\0\x01x";
    let mut contract = contract(vec![Expect::Query(vec![COPY_OUT])]);
    (contract.max_rows, contract.over) = (Some(0), OverCap::Truncate);
    let first = [head.clone(), row.to_vec()].concat();
    let answer = copied(1, 1, &[&first, row, b"\xff\xff"]);
    let (_, sent) = check(&Inspector::default(), &contract, &answer).unwrap();
    let data: Vec<Vec<u8>> = postern_wire::backend_frames(&sent, u32::MAX)
        .map(Result::unwrap)
        .filter(|frame| frame.tag == b'd')
        .map(|frame| frame.body.to_vec())
        .collect();
    assert_eq!(data, [head, b"\xff\xff".to_vec()]);
}

#[test]
fn positions_that_are_not_there_are_refused() {
    let mut contract = by_columns(Expect::Query(vec![ROWS]));
    contract.statements = vec![StatementRules {
        columns: ColumnRules::Listed(vec![ColumnRule {
            mask: Some(Mask::Null),
            ..ColumnRule::default()
        }]),
        ..StatementRules::default()
    }];
    let mut payload = Vec::new();
    describe(&mut payload, &[("a", 0, 0, 25, false), ("b", 0, 0, 25, false)]);
    row(&mut payload, &[Some(b"x"), Some(b"y")]);
    done(&mut payload, "SELECT 1");
    let found = check(&Inspector::default(), &contract, &payload);
    assert_eq!(
        found,
        Err(Violation::Columns {
            expected: 1,
            found: 2
        })
    );
}
