//! Rules by position, planned.

use super::*;
use crate::{OriginColumn, OriginRelation, OriginsDocument};

const TABLE: u32 = 20_000;
const VIEW: u32 = 20_010;

fn id(relation: u32, attribute: i16) -> ColumnId {
    ColumnId { relation, attribute }
}

fn planner(extra: &str) -> Planner {
    let column = |number, name: &str| OriginColumn {
        number,
        name: name.into(),
        ..OriginColumn::default()
    };
    let document = OriginsDocument {
        version: 1,
        relations: vec![
            OriginRelation {
                oid: TABLE,
                schema: "public".into(),
                name: "customers".into(),
                row_type: 20_002,
                columns: vec![column(1, "tenant_id"), column(2, "card"), column(3, "name")],
            },
            OriginRelation {
                oid: VIEW,
                schema: "public".into(),
                name: "v".into(),
                row_type: 0,
                columns: vec![
                    OriginColumn {
                        shows: vec![(TABLE, 2)],
                        ..column(1, "c")
                    },
                    OriginColumn {
                        derived: vec![(TABLE, 2)],
                        ..column(2, "upper")
                    },
                ],
            },
        ],
        arrays: vec![(20_003, 20_002)],
        ..OriginsDocument::default()
    };
    let yaml = format!(
        "version: 1\nmasks:\n  - column: public.customers.card\n    mask: last4\n    except_roles: [billing]\n{extra}"
    );
    Planner::new(Rules::from_yaml(&yaml).unwrap(), &Origins::new(document).unwrap()).unwrap()
}

fn output(made: Made) -> Output<'static> {
    Output {
        name: "x",
        type_oid: 25,
        made,
    }
}

fn masks(planner: &Planner, made: Vec<Made>, roles: &[&str]) -> Result<Vec<Option<Mask>>, PlanRefusal> {
    let count = made.len();
    let statement = Planned {
        outputs: Some(made.into_iter().map(output).collect()),
        ..Planned::default()
    };
    let roles: Vec<String> = roles.iter().map(|role| (*role).to_owned()).collect();
    Ok(match planner.plan(&statement, &[], &roles)? {
        ColumnRules::Listed(rules) => rules.into_iter().map(|rule| rule.mask).collect(),
        ColumnRules::Plain => vec![None; count],
        ColumnRules::Unknown => panic!("outputs are known"),
    })
}

#[test]
fn a_column_keeps_its_mask_and_what_is_made_of_it_becomes_null() {
    let planner = planner("");
    let made = || {
        vec![
            Made::Of(id(TABLE, 2)),
            Made::Of(id(TABLE, 3)),
            Made::From(vec![id(TABLE, 3), id(TABLE, 2)]),
            Made::From(vec![]),
            Made::Of(id(VIEW, 1)),
            Made::Of(id(VIEW, 2)),
        ]
    };
    let (last4, null) = (Some(Mask::Last4), Some(Mask::Null));
    let expected = vec![last4.clone(), None, null.clone(), None, last4, null];
    assert_eq!(masks(&planner, made(), &["app"]), Ok(expected));
    assert_eq!(
        masks(&planner, made(), &["app", "billing"]),
        Ok(vec![None; 6]),
        "an exempt role"
    );
}

#[test]
fn whole_rows_and_arrays_of_them_become_null() {
    let planner = planner("");
    for type_oid in [20_002, 20_003] {
        let statement = Planned {
            outputs: Some(vec![Output {
                name: "customers",
                type_oid,
                made: Made::From(vec![]),
            }]),
            ..Planned::default()
        };
        let ColumnRules::Listed(rules) = planner.plan(&statement, &[], &[]).unwrap() else {
            panic!()
        };
        assert_eq!(rules[0].mask, Some(Mask::Null));
    }
}

#[test]
fn derived_columns_and_conditions_can_be_refused() {
    let strict = planner("    derived: refuse\n    conditions: refuse\n");
    for made in [Made::From(vec![id(TABLE, 2)]), Made::Of(id(VIEW, 2))] {
        assert_eq!(
            masks(&strict, vec![made.clone()], &["app"]),
            Err(PlanRefusal::Derived)
        );
        assert!(masks(&strict, vec![made], &["billing"]).is_ok());
    }
    let condition = Planned {
        outputs: Some(vec![]),
        conditions: vec![id(TABLE, 2)],
        ..Planned::default()
    };
    assert_eq!(strict.plan(&condition, &[], &[]), Err(PlanRefusal::Condition));
    assert!(strict.plan(&condition, &[], &["billing".into()]).is_ok());
    assert!(planner("").plan(&condition, &[], &[]).is_ok());
    let harmless = Planned {
        conditions: vec![id(TABLE, 3)],
        ..condition
    };
    assert!(strict.plan(&harmless, &[], &[]).is_ok());
}

#[test]
fn masks_of_named_statements_come_on_top_and_never_in_place() {
    let planner = planner("");
    let statement = Planned {
        outputs: Some(vec![
            Output {
                name: "card",
                ..output(Made::Of(id(TABLE, 2)))
            },
            Output {
                name: "name",
                ..output(Made::Of(id(TABLE, 3)))
            },
        ]),
        ..Planned::default()
    };
    let named = [
        ("card".to_owned(), Mask::Partial { first: 12, last: 4 }),
        ("name".to_owned(), Mask::Hash),
    ];
    let ColumnRules::Listed(rules) = planner.plan(&statement, &named, &[]).unwrap() else {
        panic!()
    };
    assert_eq!(rules[0].mask, Some(Mask::Last4));
    assert_eq!(rules[1].mask, Some(Mask::Hash));
}

#[test]
fn what_is_not_known_is_said_to_be_unknown_only_where_it_matters() {
    let planner = planner("tenants: {columns: [tenant_id]}\n");
    let unknown = |reads: Vec<ColumnId>, copy| Planned {
        outputs: None,
        reads,
        copy,
        ..Planned::default()
    };
    let plan = |statement: &Planned<'_>| planner.plan(statement, &[], &[]);
    assert_eq!(plan(&unknown(vec![id(TABLE, 3)], false)), Ok(ColumnRules::Plain));
    assert_eq!(
        plan(&unknown(vec![id(TABLE, 2)], false)),
        Ok(ColumnRules::Unknown)
    );
    assert_eq!(plan(&unknown(vec![], true)), Err(PlanRefusal::Copy));
    let copy = Planned {
        outputs: Some(vec![output(Made::Of(id(TABLE, 1)))]),
        copy: true,
        ..Planned::default()
    };
    let Ok(ColumnRules::Listed(rules)) = plan(&copy) else {
        panic!("a COPY is always listed")
    };
    assert!(rules[0].tenant);
    assert_eq!(rules[0].origin, Some(id(TABLE, 1)));
}
