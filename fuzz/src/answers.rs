//! Answers of a database under the Response Validator's own rules.

use postern_inspect::rules::Rules;
use postern_inspect::{Checked, Inspector, Origins, Violation};
use postern_types::{
    AnswerState, ColumnRules, Contract, CopyDirection, CopyKind, CopyRules, ErrorDetail, Expect, OverCap,
    StatementRules, StatementShape,
};
use std::sync::LazyLock;

/// Everything at once, with low caps so that short inputs reach them.
const RULES: &str = "
version: 1
errors: code-and-message
limits: {max_rows: 6, max_bytes: 400, over: truncate}
tenants: {columns: [tenant_id]}
detectors:
  card: mask
  iban: mask
  email: mask
  phone: alert
  national_id: mask
  private_key: refuse
  jwt: mask
  cloud_token: refuse
  custom:
    - {name: ticket, pattern: 'T-[0-9]{4}', action: mask}
honey:
  - {name: bait, value: bait-4711}
";

static INSPECTOR: LazyLock<Inspector> = LazyLock::new(|| {
    let rules = Rules::from_yaml(RULES).expect("the rules are valid");
    Inspector::new(rules, &Origins::default(), postern_inspect::Keys::default()).expect("the rules can be put in force")
});

/// The first byte chooses what was asked, the rest is what the database says.
pub fn answers(data: &[u8]) {
    let Some((kind, payload)) = data.split_first() else {
        return;
    };
    let contract = contract(*kind);
    let whole = run(&contract, &AnswerState::default(), payload);
    let Some(cut) = second_message(payload) else {
        return;
    };
    // Where the Backend cuts an answer into parts must not matter.
    let apart = run(&contract, &AnswerState::default(), &payload[..cut]).and_then(|(mut out, first)| {
        let (rest, second) = run(&contract, &first.state_after, &payload[cut..])?;
        out.extend(rest);
        Ok((out, second))
    });
    match (whole, apart) {
        (Ok((whole, one)), Ok((parts, two))) => {
            assert_eq!(whole, parts, "a cut changed what is sent");
            assert_eq!(one.state_after, two.state_after, "a cut changed the state");
        }
        (Err(_), Err(_)) => {}
        (whole, apart) => panic!("a cut changed the verdict: {whole:?} and {apart:?}"),
    }
}

type Outcome = Result<(Vec<u8>, Checked), Violation>;

/// What is sent to the client.
fn run(contract: &Contract, state: &AnswerState, payload: &[u8]) -> Outcome {
    let mut out = Vec::new();
    let checked = INSPECTOR.check_part(contract, state, payload, &mut out)?;
    if !checked.rewritten {
        assert!(out.is_empty(), "nothing was to be changed");
        out.extend_from_slice(payload);
    }
    Ok((out, checked))
}

/// Where the second message of a payload begins.
fn second_message(payload: &[u8]) -> Option<usize> {
    let length = u32::from_be_bytes(*payload.get(1..)?.first_chunk()?);
    let cut = usize::try_from(length).ok()?.checked_add(1)?;
    (cut < payload.len()).then_some(cut)
}

fn contract(kind: u8) -> Contract {
    let rows = StatementShape {
        rows: true,
        copy: None,
    };
    let copy_out = StatementShape {
        rows: false,
        copy: Some(CopyDirection::Out),
    };
    let execute = |described| Expect::Execute {
        shape: rows,
        max_rows: 0,
        described,
    };
    let (steps, copy) = match kind % 6 {
        0 => (vec![Expect::Query(vec![rows, rows])], None),
        1 => (vec![Expect::Columns, Expect::Query(vec![rows])], None),
        2 => (
            vec![
                Expect::Columns,
                Expect::Parse,
                Expect::Bind,
                Expect::DescribePortal,
                execute(true),
                Expect::Sync,
            ],
            None,
        ),
        3 => (vec![Expect::Query(vec![copy_out])], Some(CopyKind::Text)),
        4 => (vec![Expect::Query(vec![copy_out])], Some(CopyKind::Csv)),
        _ => (vec![Expect::Query(vec![copy_out])], Some(CopyKind::Binary)),
    };
    let statement = StatementRules {
        columns: ColumnRules::Plain,
        copy: copy.map(CopyRules::new),
        max_rows: None,
        max_bytes: None,
    };
    Contract {
        user: "ann".to_owned(),
        tenant: Some("7".to_owned()),
        steps,
        max_rows: None,
        max_bytes: None,
        error_detail: ErrorDetail::Full,
        notifications: false,
        roles: vec!["app".to_owned()],
        over: OverCap::Truncate,
        statements: vec![statement.clone(), statement],
        rules: 0,
        trace: None,
    }
}
