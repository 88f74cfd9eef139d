//! Reading `responses.yaml`.

use super::*;
use postern_types::Rounding;

#[test]
fn a_whole_file_is_read() {
    let rules = Rules::from_yaml(
        "version: 1
errors: code-only
limits: {max_rows: 10, max_bytes: 1000, over: truncate}
masks:
  - column: public.customers.card
    mask: last4
    except_roles: [billing]
    derived: refuse
    conditions: refuse
  - {column: public.customers.born, mask: 'round:year'}
  - {column: public.customers.note, mask: null}
tenants: {columns: [tenant_id, org], ignore_roles: [auditor], null_values: refuse}
detectors:
  card: mask
  private_key: refuse
  email: alert
  custom:
    - {name: badge, pattern: 'B-[0-9]{4}', action: mask}
honey:
  - {name: decoy, value: DECOY-4711, action: refuse}
  - {name: other, value: DECOY-4712}
without_origin: refuse
",
    )
    .unwrap();
    assert_eq!(rules.errors, ErrorDetail::CodeOnly);
    assert_eq!(
        (rules.max_rows, rules.max_bytes, rules.over),
        (Some(10), Some(1000), OverCap::Truncate)
    );
    let first = &rules.masks[0];
    assert_eq!(first.column.to_string(), "public.customers.card");
    assert_eq!(
        (first.derived, first.conditions),
        (Derived::Refuse, Conditions::Refuse)
    );
    assert!(!first.holds_for(&["app".into(), "billing".into()]) && first.holds_for(&["app".into()]));
    let masks: Vec<_> = rules.masks.iter().map(|rule| rule.mask.clone()).collect();
    assert_eq!(masks, [Mask::Last4, Mask::Round(Rounding::Year), Mask::Null]);
    let tenants = rules.tenants.as_ref().unwrap();
    assert_eq!(tenants.columns, ["tenant_id", "org"]);
    assert!(tenants.refuse_null && tenants.ignore_roles == ["auditor"]);
    assert_eq!(
        rules.detectors,
        [
            (Detector::Card, Action::Mask),
            (Detector::Email, Action::Alert),
            (Detector::PrivateKey, Action::Refuse)
        ]
    );
    assert_eq!(rules.custom.len(), 1);
    assert_eq!(
        rules.honey.iter().map(|honey| honey.refuse).collect::<Vec<_>>(),
        [true, false]
    );
    assert_eq!(rules.without_origin, WithoutOrigin::Refuse);
    assert!(rules.go_by_columns());
    assert!(!format!("{rules:?}").contains("DECOY-4711"));
}

#[test]
fn the_least_file_has_no_rules() {
    let rules = Rules::from_yaml("version: 1\n").unwrap();
    assert_ne!(
        rules.version,
        Rules::from_yaml("version: 1\n#\n").unwrap().version
    );
    assert_eq!(
        Rules {
            version: 0,
            ..rules.clone()
        },
        Rules::default()
    );
    assert!(!rules.go_by_columns());
}

#[test]
fn a_mistake_names_its_place_and_the_fix() {
    let table = [
        ("version: 2\n", 1, "version: 1"),
        ("version: 1\nmask: []\n", 2, "unknown field"),
        ("version: 1\nerrors: none\n", 2, "code-only"),
        ("version: 1\nlimits: {max_rows: -1}\n", 2, ""),
        ("version: 1\nlimits: {over: drop}\n", 2, "truncate"),
        (
            "version: 1\nmasks:\n  - {column: customers.card, mask: last4}\n",
            3,
            "schema.table.column",
        ),
        (
            "version: 1\nmasks:\n  - {column: a..b, mask: last4}\n",
            3,
            "schema.table.column",
        ),
        (
            "version: 1\nmasks:\n  - column: a.b.c\n    mask: last5\n",
            4,
            "last4",
        ),
        ("version: 1\nmasks:\n  - {column: a.b.c}\n", 3, "mask"),
        ("version: 1\ntenants: {columns: []}\n", 2, "tenant_id"),
        ("version: 1\ntenants: {columns: ['a\"b']}\n", 2, "letters"),
        ("version: 1\ndetectors: {card: hide}\n", 2, "mask"),
        (
            "version: 1\ndetectors:\n  custom:\n    - {name: x, pattern: '(', action: mask}\n",
            4,
            "regular expression",
        ),
        ("version: 1\nhoney:\n  - {name: x, value: ab}\n", 3, "six bytes"),
        (
            "version: 1\nhoney:\n  - {name: x, value: abcdef, action: mask}\n",
            3,
            "alert",
        ),
        ("version: [\n", 1, ""),
    ];
    for (yaml, line, fix) in table {
        let error = Rules::from_yaml(yaml).unwrap_err();
        assert_eq!(error.line, Some(line), "{yaml}: {error}");
        assert!(
            error.column.is_some() && error.to_string().contains(fix),
            "{yaml}: {error}"
        );
    }
}
