//! Compares a statement with a pattern, tree by tree.

use super::list::{self, ListSlots};
use super::literal::{self, Literal};
use super::strip;
use crate::tree::Tree;

/// What stands in the place of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// The statement's own parameter of this number.
    Parameter(u16),
    /// A literal.
    Literal(Literal),
}

/// How a statement matches a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// What stands for each parameter of the pattern's text, in order, beginning with `$1`. With lists of
    /// several items that is the text that [`super::Pattern::expand`] gives.
    pub values: Vec<Value>,
    /// How many items each list of the pattern has here.
    pub counts: Vec<u32>,
}

impl Bound {
    /// How many parameters the statement has of its own. They are numbered from 1 without a gap, and each
    /// stands for one parameter of the pattern.
    pub fn own_parameters(&self) -> usize {
        let own = |value: &&Value| matches!(value, Value::Parameter(_));
        self.values.iter().filter(own).count()
    }
}

/// `None` when they differ anywhere outside a slot, or when the statement uses its parameters in a way that
/// the pattern's text does not.
pub(super) fn compare(pattern: &Tree, slots: u16, lists: &[ListSlots], statement: &Tree) -> Option<Bound> {
    let mut matcher = Matcher {
        lists,
        single: vec![None; usize::from(slots)],
        rows: vec![Vec::new(); lists.len()],
        row: None,
    };
    if !matcher.same(pattern, statement, None) {
        return None;
    }
    let bound = matcher.finish()?;
    has_own_parameters_once(&bound).then_some(bound)
}

/// A parameter that stands for two of the pattern's would have one type where those have two; one that stands
/// for none would still have to be bound.
fn has_own_parameters_once(bound: &Bound) -> bool {
    let mut own: Vec<u16> = bound
        .values
        .iter()
        .filter_map(|value| match value {
            Value::Parameter(number) => Some(*number),
            Value::Literal(_) => None,
        })
        .collect();
    own.sort_unstable();
    own.iter().copied().eq((1..=u16::MAX).take(own.len()))
}

struct Matcher<'a> {
    lists: &'a [ListSlots],
    /// What stands for each slot that does not repeat.
    single: Vec<Option<Value>>,
    /// For each list, for each item, what stands for its slots.
    rows: Vec<Vec<Vec<Option<Value>>>>,
    /// The list whose item is being compared.
    row: Option<usize>,
}

impl Matcher<'_> {
    /// `cast_to` is the type that the two are cast to, where they stand right under a cast.
    fn same(&mut self, pattern: &Tree, statement: &Tree, cast_to: Option<&Tree>) -> bool {
        match (pattern, statement) {
            (Tree::Node("ParamRef", _), _) => self.slot(strip::parameter(pattern), statement, cast_to),
            (Tree::Node(kind, fields), Tree::Node(other_kind, other_fields)) => {
                kind == other_kind
                    && fields.len() == other_fields.len()
                    && fields
                        .iter()
                        .zip(other_fields)
                        .all(|((name, value), (other_name, other_value))| {
                            name == other_name && self.field(pattern, name, value, statement, other_value)
                        })
            }
            (Tree::List(items), Tree::List(others)) => {
                items.len() == others.len()
                    && items
                        .iter()
                        .zip(others)
                        .all(|(item, other)| self.same(item, other, None))
            }
            (pattern, statement) => pattern == statement,
        }
    }

    fn field(
        &mut self,
        pattern: &Tree,
        name: &str,
        value: &Tree,
        statement: &Tree,
        other_value: &Tree,
    ) -> bool {
        if let Some([item]) = list::repeatable(pattern, name)
            && let Some(index) = self.declared(item)
        {
            return list::repeatable(statement, name).is_some_and(|items| self.list(index, item, items));
        }
        let cast_to = (pattern.kind() == "TypeCast" && name == "arg").then(|| pattern.get("type_name"));
        self.same(value, other_value, cast_to)
    }

    /// The list that has its slots in this item.
    fn declared(&self, item: &Tree) -> Option<usize> {
        let used = strip::parameters(item)?;
        let (first, last) = (*used.first()?, *used.last()?);
        self.lists
            .iter()
            .position(|list| list.first == first && list.last == last)
    }

    fn list(&mut self, index: usize, item: &Tree, items: &[Tree]) -> bool {
        let Some(list) = self.lists.get(index) else {
            return false;
        };
        let (most, width) = (list.max_items, list.width());
        let Ok(width) = usize::try_from(width) else {
            return false;
        };
        if items.is_empty() || u32::try_from(items.len()).map_or(true, |count| count > most) {
            return false;
        }
        self.row = Some(index);
        for other in items {
            match self.rows.get_mut(index) {
                Some(rows) => rows.push(vec![None; width]),
                None => return false,
            }
            if !self.same(item, other, None) {
                return false;
            }
        }
        self.row = None;
        true
    }

    fn slot(&mut self, slot: u16, statement: &Tree, cast_to: Option<&Tree>) -> bool {
        let value = match statement.kind() {
            "ParamRef" => Value::Parameter(strip::parameter(statement)),
            _ => match literal::of(statement) {
                Some(literal) if cast_to.is_none_or(|to| literal::allowed_under_cast(&literal, to)) => {
                    Value::Literal(literal)
                }
                _ => return false,
            },
        };
        match self.place(slot) {
            Some(Some(known)) => *known == value,
            Some(empty) => {
                *empty = Some(value);
                true
            }
            None => false,
        }
    }

    fn place(&mut self, slot: u16) -> Option<&mut Option<Value>> {
        if let Some(index) = self.row
            && let Some(list) = self.lists.get(index).filter(|list| list.has(slot))
        {
            let column = usize::from(slot.checked_sub(list.first)?);
            return self.rows.get_mut(index)?.last_mut()?.get_mut(column);
        }
        self.single.get_mut(usize::from(slot.checked_sub(1)?))
    }

    fn finish(mut self) -> Option<Bound> {
        let mut values = Vec::new();
        for (at, value) in self.single.iter_mut().enumerate() {
            let slot = u16::try_from(at).ok()?.checked_add(1)?;
            match self.lists.iter().position(|list| list.has(slot)) {
                None => values.push(value.take()?),
                Some(index) => {
                    // The whole list stands where its first slot would.
                    let begins = self.lists.get(index)?.first == slot;
                    if begins {
                        for row in self.rows.get(index)? {
                            for value in row {
                                values.push(value.clone()?);
                            }
                        }
                    }
                }
            }
        }
        let counts = self
            .rows
            .iter()
            .map(|rows| u32::try_from(rows.len()).ok())
            .collect::<Option<_>>()?;
        Some(Bound { values, counts })
    }
}
