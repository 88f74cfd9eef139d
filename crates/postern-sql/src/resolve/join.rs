//! Joins.

use super::bounds::{Atom, Side};
use super::scope::{Item, Level};
use super::value::{Named, Value};
use super::walk::{R, Walk};
use super::{Place, ResolveError};
use crate::tree::Tree;
use pg_query::protobuf::JoinType;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

impl<'a> Walk<'a> {
    /// `larg` JOIN `rarg`.
    pub(crate) fn join<'p>(&mut self, node: &Tree, level: &mut Level<'p>) -> R<Vec<Item<'p>>>
    where
        'a: 'p,
    {
        self.joins = self.joins.saturating_add(u32::from(self.via == 0));
        let kind = i32::try_from(node.number("jointype"));
        let kind = kind.ok().and_then(|kind| JoinType::try_from(kind).ok());
        let kind = kind.unwrap_or(JoinType::Undefined);
        let start = self.instances.len();
        let left = self.entry_of_from(node.get("larg"), level)?;
        let middle = self.instances.len();

        // The right side sees the left one by LATERAL, and may use it unless it is the nullable side.
        let mark = level.items.len();
        let lateral_ok = matches!(kind, JoinType::JoinInner | JoinType::JoinLeft);
        self.charge(left.len())?;
        level.items.extend(left.into_iter().map(|item| Item {
            lateral_only: true,
            lateral_ok,
            ..item
        }));
        let right = self.entry_of_from(node.get("rarg"), level);
        let mut left = level.items.split_off(mark);
        let right = right?;
        self.check_names(&left, &right)?;
        for item in &mut left {
            (item.lateral_only, item.lateral_ok) = (false, true);
        }
        let end = self.instances.len();

        // For whose rows the condition holds. A row that has no partner stays on the outer side.
        let held = match kind {
            JoinType::JoinInner => Some(start..end),
            JoinType::JoinLeft => Some(middle..end),
            JoinType::JoinRight => Some(start..middle),
            _ => None,
        };
        let allowed: &[Range<usize>] = held.as_slice();
        let using = self.using_columns(node, &left, &right)?;
        let mut merged = Vec::new();
        let mut atoms = Vec::new();
        for name in &using {
            let (one, other) = (self.side_column(&left, name)?, self.side_column(&right, name)?);
            self.note(&one, Place::Join.into())?;
            self.note(&other, Place::Join.into())?;
            self.operator(&["="], &one.ty, &other.ty)?;
            atoms.push(Atom(Side::of(&one), Side::of(&other)));
            let value = match kind {
                JoinType::JoinInner | JoinType::JoinLeft => one,
                JoinType::JoinRight => other,
                _ => Value {
                    ty: one.ty.clone(),
                    ..Value::derived(
                        one.ty.clone(),
                        [one.reads.as_slice(), other.reads.as_slice()].concat(),
                    )
                },
            };
            merged.push(Named {
                name: Arc::clone(name),
                value,
            });
        }
        self.bind(atoms, allowed)?;

        let condition = node.get("quals");
        let mut both = left;
        both.extend(right);
        if condition != &Tree::Nothing {
            // Only what is joined can be seen in ON, and what is around the query.
            let around = std::mem::replace(&mut level.items, both);
            let outcome = self
                .value(condition, level, Place::Join.into())
                .and_then(|_| self.bind_condition(condition, level, allowed));
            let both = std::mem::replace(&mut level.items, around);
            outcome?;
            return self.joined(node, both, merged, &using);
        }
        self.joined(node, both, merged, &using)
    }

    /// What the rest of the query sees of the join.
    fn joined<'p>(
        &mut self,
        node: &Tree,
        mut both: Vec<Item<'p>>,
        merged: Vec<Named>,
        using: &[Arc<str>],
    ) -> R<Vec<Item<'p>>> {
        let alias = node.get("alias");
        let has_alias = alias != &Tree::Nothing;
        let using_alias = node.get("join_using_alias").text("aliasname");
        if using.is_empty() && !has_alias {
            return Ok(both);
        }
        let hidden: HashSet<&str> = using.iter().map(|name| &**name).collect();
        let mut all = merged.clone();
        let mut whole = Vec::new();
        for item in both.iter().filter(|item| item.columns_visible) {
            self.charge(item.width().saturating_mul(2))?;
            whole.extend(item.whole());
            let columns = item.all(self.via).into_iter();
            all.extend(columns.filter(|column| !hidden.contains(&*column.name)));
        }
        let mut item = Item::list(None, all);
        item.joined = whole;
        if has_alias {
            super::from::rename(&mut item, alias)?;
            both.clear();
        } else {
            for item in &mut both {
                item.columns_visible = false;
            }
        }
        both.push(item);
        if !using_alias.is_empty() {
            let mut item = Item::list(Some(using_alias), merged);
            item.columns_visible = false;
            both.push(item);
        }
        Ok(both)
    }

    /// The names in USING, or those that both sides of a NATURAL join have.
    fn using_columns(&mut self, node: &Tree, left: &[Item<'_>], right: &[Item<'_>]) -> R<Vec<Arc<str>>> {
        if !node.flag("is_natural") {
            let names = node.get("using_clause").names();
            return Ok(names.into_iter().map(Into::into).collect());
        }
        let mut names = |items: &[Item<'_>]| -> R<Vec<Arc<str>>> {
            let mut all = Vec::new();
            for item in items.iter().filter(|item| item.columns_visible) {
                self.charge(item.width())?;
                self.note_whole(item);
                all.extend(item.all(self.via).into_iter().map(|column| column.name));
            }
            Ok(all)
        };
        let of_right: HashSet<Arc<str>> = names(right)?.into_iter().collect();
        let of_left = names(left)?;
        Ok(of_left
            .into_iter()
            .filter(|name| of_right.contains(name))
            .collect())
    }

    /// A column of one side of a join.
    fn side_column(&mut self, side: &[Item<'_>], name: &str) -> R<Value> {
        let mut found = None;
        for item in side.iter().filter(|item| item.columns_visible) {
            self.charge(item.width().saturating_div(4).saturating_add(1))?;
            if let Some(value) = item.column(name, self.via)? {
                if found.is_some() {
                    return Err(ResolveError::new(
                        "42702",
                        format!("common column name \"{name}\" appears more than once"),
                    ));
                }
                found = Some(value);
            }
        }
        found.ok_or_else(|| {
            ResolveError::new(
                "42703",
                format!("column \"{name}\" specified in USING clause does not exist"),
            )
        })
    }
}
