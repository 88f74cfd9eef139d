//! What names can be seen from a place in a statement (PostgreSQL's `p_namespace`).

use super::ResolveError;
use super::cte::Cte;
use super::value::{Few, Field, Named, Read, Ty, Value};
use super::walk::{R, Walk};
use postern_catalog::Relation;
use std::cell::Cell;
use std::sync::Arc;

/// The columns of an entry of FROM.
#[derive(Clone, Debug)]
pub(crate) enum Columns<'p> {
    /// Those of a base relation, made when they are asked for.
    Relation {
        relation: &'p Relation,
        instance: usize,
        /// New names for the first ones.
        names: Vec<Arc<str>>,
        /// What is certain of its values.
        hold: Hold,
    },
    /// Any others.
    List(Arc<Vec<Named>>),
}

/// What is certain of the values of a base relation's columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// They are those of the instance, and a condition on them holds for its rows.
    Firm,
    /// They are those of the instance: EXCLUDED, and RETURNING of INSERT and DELETE.
    Value,
    /// Nothing: RETURNING of UPDATE and MERGE, OLD and NEW.
    Nothing,
}

/// An entry of FROM.
#[derive(Clone, Debug)]
pub(crate) struct Item<'p> {
    /// What it is called; `None` for a join without an alias.
    pub(crate) name: Option<Arc<str>>,
    /// The relation whose rows these are, whatever they are called here.
    pub(crate) rows_of: Option<&'p Relation>,
    /// For a join that is an entry of its own, the relations whose rows are in it.
    pub(crate) joined: Vec<u32>,
    /// The relation, if it can be named with its schema.
    pub(crate) relation: Option<&'p Relation>,
    pub(crate) columns: Columns<'p>,
    /// Its columns can be named alone.
    pub(crate) columns_visible: bool,
    /// It can be named itself.
    pub(crate) name_visible: bool,
    /// Only LATERAL sees it.
    pub(crate) lateral_only: bool,
    /// LATERAL may use it; not from the other side of a RIGHT or FULL join.
    pub(crate) lateral_ok: bool,
}

impl<'p> Item<'p> {
    pub(crate) fn new(name: Option<&str>, columns: Columns<'p>) -> Item<'p> {
        Item {
            name: name.map(Into::into),
            rows_of: None,
            joined: Vec::new(),
            relation: None,
            columns,
            columns_visible: true,
            name_visible: name.is_some(),
            lateral_only: false,
            lateral_ok: true,
        }
    }

    pub(crate) fn list(name: Option<&str>, columns: Vec<Named>) -> Item<'p> {
        Item::new(name, Columns::List(Arc::new(columns)))
    }

    /// The relations of which it has every column, whichever those are when the statement runs.
    pub(crate) fn whole(&self) -> impl Iterator<Item = u32> {
        let own = self.rows_of.map(|relation| relation.oid);
        own.into_iter().chain(self.joined.iter().copied())
    }

    /// How many columns it has.
    pub(crate) fn width(&self) -> usize {
        match &self.columns {
            Columns::Relation { relation, .. } => relation.columns.len(),
            Columns::List(list) => list.len(),
        }
    }

    /// Gives its first columns other names.
    ///
    /// # Errors
    /// When there are more names than columns.
    pub(crate) fn rename(&mut self, new: &[&str]) -> R<()> {
        if new.len() > self.width() {
            return Err(ResolveError::new(
                "42P10",
                "there are more column aliases than columns".to_owned(),
            ));
        }
        match &mut self.columns {
            Columns::Relation { names, .. } => *names = new.iter().map(|name| (*name).into()).collect(),
            Columns::List(list) => {
                let list = Arc::make_mut(list);
                for (column, name) in list.iter_mut().zip(new) {
                    column.name = (*name).into();
                }
            }
        }
        Ok(())
    }

    /// The type of the whole row.
    pub(crate) fn row_type(&self) -> Ty {
        if let Some(relation) = self.rows_of.filter(|relation| relation.row_type != 0) {
            return Ty::Oid(relation.row_type);
        }
        match &self.columns {
            Columns::Relation { .. } => Ty::Unknown,
            Columns::List(list) => Ty::Row(Arc::new(
                list.iter()
                    .map(|column| Field {
                        name: Arc::clone(&column.name),
                        ty: column.value.ty.clone(),
                    })
                    .collect(),
            )),
        }
    }

    /// All columns in order.
    pub(crate) fn all(&self, via: u32) -> Vec<Named> {
        match &self.columns {
            Columns::List(list) => list.as_ref().clone(),
            Columns::Relation {
                relation,
                instance,
                names,
                hold,
            } => relation
                .columns
                .iter()
                .enumerate()
                .map(|(at, column)| Named {
                    name: names
                        .get(at)
                        .map_or_else(|| column.name.as_str().into(), Arc::clone),
                    value: base_value(
                        relation.oid,
                        column.number,
                        column.type_oid,
                        *instance,
                        via,
                        *hold,
                    ),
                })
                .collect(),
        }
    }

    /// The column of this name.
    ///
    /// # Errors
    /// When there are two.
    pub(crate) fn column(&self, name: &str, via: u32) -> R<Option<Value>> {
        match &self.columns {
            Columns::List(list) => {
                let mut found = list.iter().filter(|column| &*column.name == name);
                let first = found.next().map(|column| column.value.clone());
                if found.next().is_some() {
                    return Err(ResolveError::ambiguous_column(name));
                }
                Ok(first)
            }
            Columns::Relation {
                relation,
                instance,
                names,
                hold,
            } => {
                let mut found =
                    relation.columns.iter().enumerate().filter(|(at, column)| {
                        names.get(*at).map_or(column.name == name, |new| &**new == name)
                    });
                let first = found.next().map(|(_, column)| (column.number, column.type_oid));
                if found.next().is_some() {
                    return Err(ResolveError::ambiguous_column(name));
                }
                let value = first
                    .or_else(|| relation.system_column(name))
                    .map(|(number, ty)| base_value(relation.oid, number, ty, *instance, via, *hold));
                Ok(value)
            }
        }
    }
}

/// A column of a base relation.
pub(crate) fn base_value(
    relation: u32,
    column: i16,
    type_oid: u32,
    instance: usize,
    via: u32,
    hold: Hold,
) -> Value {
    Value {
        ty: Ty::Oid(type_oid),
        described: Some((relation, column)),
        direct: Some((relation, column)),
        reads: Few::One(Read {
            relation,
            column,
            via,
        }),
        carriers: if hold == Hold::Firm {
            Few::One((instance, column))
        } else {
            Few::None
        },
        source: (hold != Hold::Nothing).then_some((instance, column)),
        known: None,
        inner: None,
    }
}

/// A query and what can be seen in it.
pub(crate) struct Level<'p> {
    pub(crate) items: Vec<Item<'p>>,
    pub(crate) ctes: Vec<Cte<'p>>,
    pub(crate) parent: Option<&'p Level<'p>>,
    /// Entries that only LATERAL sees can be seen now.
    pub(crate) lateral: bool,
    /// The first instance that belongs to the query.
    pub(crate) start: usize,
    /// The query is the statement, or an arm of its UNION.
    pub(crate) outermost: bool,
    /// A window function was called: conditions from outside don't reach its rows.
    pub(crate) windowed: Cell<bool>,
}

impl<'p> Level<'p> {
    pub(crate) fn new(parent: Option<&'p Level<'p>>, start: usize) -> Level<'p> {
        Level {
            items: Vec::new(),
            ctes: Vec::new(),
            parent,
            lateral: false,
            start,
            outermost: parent.is_none(),
            windowed: Cell::new(false),
        }
    }

    fn sees(&self, item: &Item<'_>) -> bool {
        !item.lateral_only || self.lateral
    }
}

fn checked<'i, 'p>(item: &'i Item<'p>, name: &str) -> R<&'i Item<'p>> {
    if item.lateral_only && !item.lateral_ok {
        return Err(ResolveError::new(
            "42P10",
            format!("invalid reference to FROM-clause entry for table \"{name}\""),
        ));
    }
    Ok(item)
}

impl Walk<'_> {
    /// Two entries of one FROM clause may not have the same name, unless they are tables of different schemas
    /// under their own names.
    pub(crate) fn check_names(&mut self, before: &[Item<'_>], more: &[Item<'_>]) -> R<()> {
        for item in more.iter().filter(|item| item.name_visible) {
            self.charge(before.len().saturating_div(4).saturating_add(1))?;
            let same = before.iter().find(|other| {
                let tables = item.relation.zip(other.relation);
                other.name_visible && other.name == item.name && tables.is_none_or(|(a, b)| a.oid == b.oid)
            });
            if same.is_some() {
                let name = item.name.as_deref().unwrap_or_default();
                return Err(ResolveError::new(
                    "42712",
                    format!("table name \"{name}\" specified more than once"),
                ));
            }
        }
        Ok(())
    }

    /// A column that is named without a table, from the innermost query outwards.
    pub(crate) fn find_column(&mut self, name: &str, level: &Level<'_>) -> R<Option<Value>> {
        let mut at = Some(level);
        while let Some(level) = at {
            if let Some(value) = self.find_column_here(name, level)? {
                return Ok(Some(value));
            }
            at = level.parent;
        }
        Ok(None)
    }

    /// A column of the FROM clause of this very query.
    pub(crate) fn find_column_here(&mut self, name: &str, level: &Level<'_>) -> R<Option<Value>> {
        let mut found = None;
        for item in level
            .items
            .iter()
            .filter(|item| item.columns_visible && level.sees(item))
        {
            self.charge(item.width().saturating_div(4).saturating_add(1))?;
            if let Some(value) = item.column(name, self.via)? {
                if found.is_some() {
                    return Err(ResolveError::ambiguous_column(name));
                }
                checked(item, name)?;
                found = Some(value);
            }
        }
        Ok(found)
    }

    /// An entry of FROM by its name.
    pub(crate) fn find_item<'i, 'p>(&mut self, name: &str, level: &'i Level<'p>) -> R<Option<&'i Item<'p>>>
    where
        'p: 'i,
    {
        self.find_entry(name, level, |item| {
            item.name_visible && item.name.as_deref() == Some(name)
        })
    }

    /// An entry of FROM by the schema and name of its relation, which must have no alias.
    pub(crate) fn find_relation_item<'i, 'p>(
        &mut self,
        schema: &str,
        name: &str,
        level: &'i Level<'p>,
    ) -> R<Option<&'i Item<'p>>>
    where
        'p: 'i,
    {
        self.find_entry(name, level, |item| {
            let relation = item.relation.filter(|_| item.name_visible);
            relation.is_some_and(|relation| relation.schema == schema && relation.name == name)
        })
    }

    fn find_entry<'i, 'p>(
        &mut self,
        name: &str,
        level: &'i Level<'p>,
        is_meant: impl Fn(&Item<'_>) -> bool,
    ) -> R<Option<&'i Item<'p>>>
    where
        'p: 'i,
    {
        let mut at: Option<&'i Level<'p>> = Some(level);
        while let Some(level) = at {
            self.charge(level.items.len().saturating_add(1))?;
            let mut meant = level
                .items
                .iter()
                .filter(|item| level.sees(item) && is_meant(item));
            if let Some(item) = meant.next() {
                if meant.next().is_some() {
                    return Err(ResolveError::new(
                        "42P09",
                        format!("table reference \"{name}\" is ambiguous"),
                    ));
                }
                return checked(item, name).map(Some);
            }
            at = level.parent;
        }
        Ok(None)
    }
}
