//! What the policy asks of the values of a statement: that some are the session's tenant, and that some are recorded.

use crate::binding::Values;
use crate::exchange::Asker;
use crate::named::{self, Run};
use crate::verdicts::Judged;
use postern_inspect::MaskKey;
use postern_policy::{BoundValue, Demand, Match};
use postern_sql::canonical::Value;
use postern_types::{Keep, KeptValue};

/// The tail of a Bind, and the types that were declared for its values.
pub(crate) type Bound<'a> = (&'a [u8], &'a [u32]);

/// Whether the literals of a statement, and the values bound to its parameters, are as its decision demands. A simple
/// Query has no values, so what it demands of parameters fails.
pub(crate) fn hold(asker: &Asker<'_>, judged: &Judged, bound: Option<Bound<'_>>) -> bool {
    if judged.demands.is_empty() {
        return true;
    }
    let values = bound.and_then(|(tail, types)| Some((Values::of(tail)?, types)));
    let Some(tenant) = asker.who.tenant else {
        return false;
    };
    judged
        .demands
        .iter()
        .all(|demand| meets(demand, values.as_ref(), tenant))
}

/// Whether one demand holds.
fn meets(demand: &Demand, values: Option<&(Values<'_>, &[u32])>, tenant: &str) -> bool {
    let Some(number) = demand.parameter() else {
        return demand.holds_for_literal(tenant);
    };
    let Some(((values, types), index)) = values.zip(usize::from(number).checked_sub(1)) else {
        return false;
    };
    values.get(index).is_some_and(|(bytes, binary)| {
        let value = BoundValue {
            bytes,
            binary,
            declared: types.get(index).copied().unwrap_or(0),
        };
        demand.holds_for(&value, tenant)
    })
}

/// The values of a simple Query, or of a Bind, that are to be recorded.
pub(crate) fn kept(asker: &Asker<'_>, judged: &Judged, bound: Option<Bound<'_>>) -> Vec<KeptValue> {
    let (all, key) = (asker.rights.records_parameters(), asker.record_key);
    let named = || judged.run.iter().flat_map(Run::named);
    let asks = |found: &Match| found.record.iter().any(|(_, keep)| keep.is_some());
    if !all && !named().any(asks) {
        return Vec::new();
    }
    let values = bound.and_then(|(tail, types)| Some((Values::of(tail)?, types)));
    let client = values.as_ref().map(|(values, types)| (values, *types));
    match client.filter(|_| judged.run.is_none()) {
        Some(client) => kept_of_bind(client, key),
        None => named()
            .flat_map(|found| kept_of_named(found, all, key, client))
            .collect(),
    }
}

/// The values of a named statement that are to be recorded, by the policy's own slots. `all`: those that it does not
/// name as well, as hashes. `client` are the values of a Bind and the types that were declared for them.
fn kept_of_named(
    found: &Match,
    all: bool,
    key: Option<&MaskKey>,
    client: Option<(&Values<'_>, &[u32])>,
) -> Vec<KeptValue> {
    let declared = client.map_or(&[][..], |(_, declared)| declared);
    let types = named::types(found, declared);
    let each = found.bound.values.iter().zip(&found.record).zip(types);
    each.filter_map(|((value, (slot, keep)), type_oid)| {
        let keep = keep.or(all.then_some(Keep::Hash))?;
        let (bytes, binary) = match value {
            Value::Literal(literal) => (literal.text.as_deref().map(str::as_bytes), false),
            Value::Parameter(number) => {
                let at = usize::from(*number).checked_sub(1)?;
                client.and_then(|(values, _)| values.get(at))?
            }
        };
        // Without a key no policy that asks for hashes is in force.
        let form = postern_inspect::kept(keep, key, type_oid, binary, bytes)?;
        let of = format!("${slot}").into();
        Some(KeptValue { of, form })
    })
    .collect()
}

/// The values of a Bind, with the types declared for them, as they are recorded where all are to be.
fn kept_of_bind((values, types): (&Values<'_>, &[u32]), key: Option<&MaskKey>) -> Vec<KeptValue> {
    let one = |at: usize| {
        let (bytes, binary) = values.get(at)?;
        let type_oid = types.get(at).copied().unwrap_or(0);
        // Without a key no policy that asks for hashes is in force.
        let form = postern_inspect::kept(Keep::Hash, key, type_oid, binary, bytes)?;
        let of = format!("${}", at.saturating_add(1)).into();
        Some(KeptValue { of, form })
    };
    (0..values.len()).filter_map(one).collect()
}
