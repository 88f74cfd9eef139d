//! Equalities that certainly hold for the rows of a relation instance.
//!
//! Only conditions that a row has to pass count: conjuncts of WHERE and of ON, where the join drops rows that
//! fail it. Only PostgreSQL's own `=` counts, on types whose equal values are the same value, between a column
//! and a parameter, a literal, a setting, or another column.

use super::scope::Level;
use super::value::{Few, Spot, Value};
use super::walk::{R, Walk};
use super::{Bound, Inserted};
use crate::tree::Tree;
use pg_query::protobuf::{AExprKind, BoolExprType};
use postern_catalog::TypeKind;
use std::collections::HashMap;
use std::ops::Range;

/// One side of an equality.
#[derive(Clone, Debug, Default)]
pub(crate) struct Side {
    carriers: Few<Spot>,
    source: Option<Spot>,
    known: Option<Bound>,
}

/// An equality.
#[derive(Clone, Debug)]
pub(crate) struct Atom(pub(crate) Side, pub(crate) Side);

impl Side {
    pub(crate) fn of(value: &Value) -> Side {
        Side {
            carriers: value.carriers.clone(),
            source: value.source,
            known: match &value.known {
                Some(Inserted::Known(bound)) => Some(bound.clone()),
                _ => None,
            },
        }
    }
}

/// Types that keep what a literal says, cast to them or compared with them: `smallint`, `integer`, `bigint`,
/// `numeric`, `text`, `varchar`, `uuid`, `oid`. `char(n)`, `name` and `"char"` cut or pad. In groups within
/// which values are equal only if they are the same.
const FAITHFUL: [(u32, u32); 8] = [
    (21, 23),
    (23, 23),
    (20, 23),
    (1700, 1700),
    (25, 25),
    (1043, 25),
    (2950, 2950),
    (26, 26),
];

/// More equalities of one instance are not kept, which only means that less is proved.
const MOST_BOUNDS: usize = 64;

impl Walk<'_> {
    /// Holds the rows of the query to its WHERE.
    pub(crate) fn bind_where(&mut self, condition: &Tree, level: &Level<'_>) -> R<()> {
        let range = level.start..self.instances.len();
        self.bind_condition(condition, level, std::slice::from_ref(&range))
    }

    /// Holds the instances in `allowed` to a condition.
    pub(crate) fn bind_condition(
        &mut self,
        condition: &Tree,
        level: &Level<'_>,
        allowed: &[Range<usize>],
    ) -> R<()> {
        if allowed.is_empty() || condition == &Tree::Nothing {
            return Ok(());
        }
        let mut atoms = Vec::new();
        let mut todo = vec![condition];
        while let Some(node) = todo.pop() {
            self.charge(1)?;
            match node.kind() {
                "BoolExpr" if node.number("boolop") == BoolExprType::AndExpr as i64 => {
                    todo.extend(node.get("args").items());
                }
                "AExpr" => atoms.extend(self.equality(node, level)?),
                _ => {}
            }
        }
        self.bind(atoms, allowed)
    }

    fn equality(&mut self, node: &Tree, level: &Level<'_>) -> R<Option<Atom>> {
        if !matches!(node.get("name").names().as_slice(), ["="] | ["pg_catalog", "="]) {
            return Ok(None);
        }
        let kind = node.number("kind");
        let right = node.get("rexpr");
        let right = match right.items() {
            [] if kind == AExprKind::AexprOp as i64 => right,
            // IN with one member is an equality.
            [only] if kind == AExprKind::AexprIn as i64 => only,
            _ => return Ok(None),
        };
        let (one, other) = (self.side(node.get("lexpr"), level)?, self.side(right, level)?);
        Ok(one.zip(other).map(|(one, other)| Atom(one, other)))
    }

    fn side(&mut self, node: &Tree, level: &Level<'_>) -> R<Option<Side>> {
        if node.kind() == "ColumnRef" {
            return Ok(match self.reference(node, level)? {
                super::column::Found::Column(value) => Some(Side::of(&value)),
                _ => None,
            });
        }
        Ok(match self.inserted(node)? {
            Some(Inserted::Known(bound)) => Some(Side {
                known: Some(bound),
                ..Side::default()
            }),
            _ => None,
        })
    }

    /// Draws what follows from equalities that hold together.
    pub(crate) fn bind(&mut self, atoms: Vec<Atom>, allowed: &[Range<usize>]) -> R<()> {
        if allowed.is_empty() || atoms.is_empty() {
            return Ok(());
        }
        let known = self.known_here(&atoms)?;
        for Atom(one, other) in &atoms {
            for (side, opposite) in [(one, other), (other, one)] {
                let mut bounds: Vec<Bound> = opposite.known.iter().cloned().collect();
                let sources = opposite.source.iter().chain(side.source.iter());
                for source in sources {
                    bounds.extend(known.get(source).into_iter().flatten().cloned());
                }
                for spot in side.carriers.as_slice() {
                    if !allowed.iter().any(|range| range.contains(&spot.0)) {
                        continue;
                    }
                    let Some(group) = self.equality_group(*spot) else {
                        continue;
                    };
                    for bound in &bounds {
                        self.hold(*spot, bound.clone())?;
                    }
                    if let Some(source) = opposite.source
                        && self.equality_group(source) == Some(group)
                    {
                        let (instance, column) = source;
                        self.hold(*spot, Bound::OtherColumn { instance, column })?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The parameters and literals that columns equal by these equalities, directly or by way of each other.
    fn known_here(&mut self, atoms: &[Atom]) -> R<HashMap<Spot, Vec<Bound>>> {
        let mut known: HashMap<Spot, Vec<Bound>> = HashMap::new();
        for Atom(one, other) in atoms {
            for (side, opposite) in [(one, other), (other, one)] {
                if let (Some(spot), Some(bound)) = (side.source, &opposite.known)
                    && self.equality_group(spot).is_some()
                {
                    let here = known.entry(spot).or_default();
                    if here.len() < MOST_BOUNDS {
                        here.push(bound.clone());
                    }
                }
            }
        }
        let mut grew = !known.is_empty();
        while grew {
            grew = false;
            for Atom(one, other) in atoms {
                let (Some(one), Some(other)) = (one.source, other.source) else {
                    continue;
                };
                if one == other || self.equality_group(one) != self.equality_group(other) {
                    continue;
                }
                for (from, to) in [(one, other), (other, one)] {
                    let there = known.get(&from).cloned().unwrap_or_default();
                    self.charge(there.len().saturating_add(4))?;
                    let here = known.entry(to).or_default();
                    for bound in there {
                        if here.len() < MOST_BOUNDS && !here.contains(&bound) {
                            here.push(bound);
                            grew = true;
                        }
                    }
                }
            }
        }
        Ok(known)
    }

    fn hold(&mut self, (instance, column): Spot, bound: Bound) -> R<()> {
        let held = self
            .instances
            .get(instance)
            .map_or(0, |instance| instance.bounds.len());
        self.charge(held.saturating_add(1))?;
        if let Some(instance) = self.instances.get_mut(instance) {
            let bound = (column, bound);
            if instance.bounds.len() < MOST_BOUNDS && !instance.bounds.contains(&bound) {
                instance.bounds.push(bound);
            }
        }
        Ok(())
    }

    /// A number that two columns have in common if `=` between them means that their values are the same;
    /// `None` for a column whose equality can mean less.
    fn equality_group(&self, (instance, column): Spot) -> Option<u32> {
        let catalog = self.names.catalog;
        let relation = catalog.relation_by_oid(self.instances.get(instance)?.relation)?;
        let column = relation.column_by_number(column)?;
        if column.loose_equality {
            return None;
        }
        let ty = catalog.base_type(column.type_oid);
        let is_users = |oid: u32| oid == ty || oid == column.type_oid;
        if catalog
            .foreign_operators("=")
            .any(|op| is_users(op.left) || is_users(op.right))
        {
            return None;
        }
        let faithful = FAITHFUL
            .iter()
            .find(|(oid, _)| *oid == ty)
            .map(|(_, group)| *group);
        let is_enum = || catalog.type_by_oid(ty).is_some_and(|t| t.kind == TypeKind::Enum);
        faithful.or_else(|| is_enum().then_some(ty))
    }

    /// What an expression is if it is a parameter, a literal, NULL, DEFAULT or a setting.
    pub(crate) fn inserted(&mut self, node: &Tree) -> R<Option<Inserted>> {
        let mut at = node;
        // Bounded by the depth of the tree.
        loop {
            self.charge(1)?;
            match at.kind() {
                "ParamRef" => {
                    let number = u16::try_from(at.number("number")).ok();
                    return Ok(number.map(|number| Inserted::Known(Bound::Parameter(number))));
                }
                "AConst" if at.flag("isnull") => return Ok(Some(Inserted::Null)),
                "AConst" if at.get("val").kind() == "BitString" => return Ok(None),
                "AConst" => return Ok(at.constant().map(|text| Inserted::Known(Bound::Literal(text)))),
                "SetToDefault" => return Ok(Some(Inserted::Default)),
                "FuncCall" => return Ok(self.setting(at).map(|name| Inserted::Known(Bound::Setting(name)))),
                "TypeCast" => {
                    let name = at.get("type_name");
                    // A length would cut the value.
                    if !name.get("typmods").items().is_empty() {
                        return Ok(None);
                    }
                    match self.type_of(name)?.oid() {
                        Some(oid) if FAITHFUL.iter().any(|(faithful, _)| *faithful == oid) => {}
                        _ => return Ok(None),
                    }
                    at = at.get("arg");
                }
                _ => return Ok(None),
            }
        }
    }

    /// The setting that `current_setting('name')` reads.
    fn setting(&self, call: &Tree) -> Option<String> {
        let names = call.get("funcname").names();
        let plain = match names.as_slice() {
            ["pg_catalog", "current_setting"] => true,
            ["current_setting"] => {
                let catalog = self.names.catalog;
                let mut others = self.path().filter(|schema| *schema != "pg_catalog");
                others.all(|schema| catalog.functions(schema, "current_setting").next().is_none())
            }
            _ => false,
        };
        let (name, rest) = call.get("args").items().split_first()?;
        let missing_ok = rest.iter().all(|argument| argument.constant().is_some());
        (plain && missing_ok && rest.len() < 2)
            .then(|| name.constant())
            .flatten()
            .map(|name| name.to_ascii_lowercase())
    }
}
