mod lists;
mod pairs;
mod property;
mod slots;
mod split;

use super::{Bound, Canonical, Literal, LiteralKind, Pattern, Value, whole_statements};
use crate::SqlLimits;

fn canonical(sql: &str) -> Canonical {
    let found = whole_statements(sql, &SqlLimits::default())
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
        .unwrap_or_else(|| panic!("too large: {sql}"));
    let [one] = found.as_slice() else {
        panic!("not one statement: {sql}")
    };
    one.canonical.clone()
}

fn pattern(sql: &str) -> Pattern {
    Pattern::new(sql, Vec::new(), &SqlLimits::default()).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn matched(policy: &str, client: &str) -> Option<Bound> {
    pattern(policy).matches(&canonical(client))
}

fn literal(kind: LiteralKind, text: &str) -> Value {
    let text = Some(text.to_owned());
    Value::Literal(Literal { kind, text })
}
