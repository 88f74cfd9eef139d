//! Column references, whole rows and fields of rows.

use super::ResolveError;
use super::scope::{Item, Level};
use super::value::{Field, Named, Places, Read, Ty, Value};
use super::walk::{R, Walk};
use crate::tree::Tree;
use std::sync::Arc;

/// What a ColumnRef turned out to be.
pub(crate) enum Found<'i, 'p> {
    /// A column.
    Column(Box<Value>),
    /// A whole row.
    Row(&'i Item<'p>),
    /// `t.f` that is a call `f(t)`.
    Call(String, &'i Item<'p>),
}

impl Walk<'_> {
    /// Makes out what a ColumnRef means.
    pub(crate) fn reference<'i, 'p>(&mut self, node: &Tree, level: &'i Level<'p>) -> R<Found<'i, 'p>>
    where
        'p: 'i,
    {
        let fields = node.get("fields").items();
        let names = node.get("fields").names();
        if names.len() < fields.len() {
            // `t.*` outside of a target list is the whole row.
            return match names.as_slice() {
                [] => Err(ResolveError::new(
                    "42601",
                    "row expansion via \"*\" is not supported here".to_owned(),
                )),
                names => self.item_named(names, level).map(Found::Row),
            };
        }
        match names.as_slice() {
            [name] => {
                if let Some(value) = self.find_column(name, level)? {
                    return Ok(Found::Column(Box::new(value)));
                }
                let item = self.find_item(name, level)?;
                item.map(Found::Row)
                    .ok_or_else(|| ResolveError::no_column(&format!("\"{name}\"")))
            }
            [qualifiers @ .., name] if !qualifiers.is_empty() => {
                let item = self.item_named(qualifiers, level)?;
                self.charge(item.width())?;
                if let Some(value) = item.column(name, self.via)? {
                    return Ok(Found::Column(Box::new(value)));
                }
                if self.functions(&[name], 1)?.is_empty() {
                    return Err(ResolveError::no_column(&names.join(".")));
                }
                Ok(Found::Call((*name).to_owned(), item))
            }
            _ => Err(ResolveError::no_column("")),
        }
    }

    /// The entry of FROM that `t`, `schema.t` or `database.schema.t` means.
    pub(crate) fn item_named<'i, 'p>(&mut self, names: &[&str], level: &'i Level<'p>) -> R<&'i Item<'p>>
    where
        'p: 'i,
    {
        let found = match names {
            [name] => self.find_item(name, level)?,
            [schema, name] => self.find_relation_item(schema, name, level)?,
            [database, schema, name] if *database == self.names.catalog.database() => {
                self.find_relation_item(schema, name, level)?
            }
            _ => {
                return Err(ResolveError::new(
                    "0A000",
                    "cross-database references are not implemented".to_owned(),
                ));
            }
        };
        found.ok_or_else(|| ResolveError::no_from_entry(names.last().copied().unwrap_or_default()))
    }

    /// The value of a ColumnRef.
    pub(crate) fn column_value(&mut self, node: &Tree, level: &Level<'_>, at: Places) -> R<Value> {
        let value = match self.reference(node, level)? {
            Found::Column(value) => *value,
            Found::Row(item) => self.whole_row(item)?,
            Found::Call(name, item) => {
                let row = self.whole_row(item)?;
                self.note(&row, super::Place::Argument.into())?;
                let ty = self.call(&[&name], std::slice::from_ref(&row.ty), false)?;
                Value {
                    ty,
                    described: None,
                    ..row
                }
            }
        };
        self.note(&value, at)?;
        Ok(value)
    }

    /// All of a row, as one value.
    fn whole_row(&mut self, item: &Item<'_>) -> R<Value> {
        let columns = item.all(self.via);
        self.note_whole(item);
        let mut reads: Vec<Read> = Vec::new();
        for column in &columns {
            reads.extend_from_slice(column.value.reads.as_slice());
        }
        self.charge(reads.len().saturating_add(columns.len()))?;
        Ok(Value {
            described: item.rows_of.map(|relation| (relation.oid, 0)),
            ..Value::derived(item.row_type(), reads)
        })
    }

    /// `(expression).field`, `(expression)[1]` and chains of these.
    pub(crate) fn indirection(
        &mut self,
        node: &Tree,
        level: &Level<'_>,
        at: Places,
        reads: &mut Vec<Read>,
    ) -> R<Ty> {
        let argument = node.get("arg");
        let mut steps = node.get("indirection").items();
        // `(t).column` is a column, not all of the row.
        let mut ty = match (argument.kind(), steps) {
            ("ColumnRef", [first, rest @ ..]) if first.kind() == "String" => {
                let name = first.text("sval");
                let field = match self.reference(argument, level)? {
                    Found::Row(item) => item.column(name, self.via)?,
                    Found::Column(_) | Found::Call(..) => None,
                };
                match field {
                    Some(value) => {
                        self.note(&value, at)?;
                        reads.extend_from_slice(value.reads.as_slice());
                        steps = rest;
                        value.ty
                    }
                    None => self.expression(argument, level, at, reads)?,
                }
            }
            _ => self.expression(argument, level, at, reads)?,
        };
        for step in steps {
            self.charge(1)?;
            ty = match step.kind() {
                "String" => self.field(&ty, step.text("sval"))?,
                "AIndices" => {
                    self.parts(step.get("lidx"), level, at, reads)?;
                    self.parts(step.get("uidx"), level, at, reads)?;
                    if step.flag("is_slice") {
                        ty
                    } else {
                        self.element(&ty)
                    }
                }
                _ => return Err(ResolveError::unsupported("`.*` of an expression here")),
            };
        }
        Ok(ty)
    }

    /// The type of a field of a row; or of a function called in the form `x.f`.
    fn field(&mut self, ty: &Ty, name: &str) -> R<Ty> {
        if let Some(fields) = self.fields_of(ty)? {
            if let Some(field) = fields.iter().find(|field| &*field.name == name) {
                return Ok(field.ty.clone());
            }
            if self.functions(&[name], 1)?.is_empty() {
                return Err(ResolveError::no_column(&format!("\"{name}\"")));
            }
        }
        if self.functions(&[name], 1)?.is_empty() {
            return match ty {
                // It may have such a field.
                Ty::Unknown | Ty::Oid(RECORD) => Ok(Ty::Unknown),
                _ => Err(ResolveError::new(
                    "42809",
                    format!("column notation .{name} applied to a type that is not a composite type"),
                )),
            };
        }
        let called = self.call(&[name], std::slice::from_ref(ty), false)?;
        Ok(if matches!(ty, Ty::Unknown) {
            Ty::Unknown
        } else {
            called
        })
    }

    /// The fields of a row type, where they are known.
    pub(crate) fn fields_of(&mut self, ty: &Ty) -> R<Option<Arc<Vec<Field>>>> {
        match ty {
            Ty::Row(fields) => Ok(Some(Arc::clone(fields))),
            Ty::Oid(oid) => {
                let Some(relation) = self.names.catalog.relation_of_type(*oid) else {
                    return Ok(None);
                };
                self.charge(relation.columns.len())?;
                let fields = relation.columns.iter().map(|column| Field {
                    name: column.name.as_str().into(),
                    ty: Ty::Oid(column.type_oid),
                });
                Ok(Some(Arc::new(fields.collect())))
            }
            Ty::Unknown | Ty::Untyped => Ok(None),
        }
    }

    /// The type of an element of an array.
    fn element(&self, ty: &Ty) -> Ty {
        let base = ty.oid().map(|oid| self.names.catalog.base_type(oid));
        let element = base.and_then(|oid| self.names.catalog.type_by_oid(oid)?.element);
        element.map_or(Ty::Unknown, Ty::Oid)
    }

    /// `t.*` and `*` in a target list; `None` when the node is neither.
    pub(crate) fn star(&mut self, node: &Tree, level: &Level<'_>) -> R<Option<Vec<Named>>> {
        let columns = match node.kind() {
            "ColumnRef" => {
                let fields = node.get("fields").items();
                if fields.last().is_none_or(|last| last.kind() != "AStar") {
                    return Ok(None);
                }
                let names = node.get("fields").names();
                if names.is_empty() {
                    self.every_column(level)?
                } else {
                    let item = self.item_named(&names, level)?;
                    self.charge(item.width().saturating_mul(COLUMN_STEPS))?;
                    self.note_whole(item);
                    item.all(self.via)
                }
            }
            "AIndirection" => {
                let steps = node.get("indirection").items();
                let Some((last, before)) = steps.split_last().filter(|(last, _)| last.kind() == "AStar")
                else {
                    return Ok(None);
                };
                let _ = last;
                self.fields_of_expression(node.get("arg"), before, level)?
            }
            _ => return Ok(None),
        };
        for column in &columns {
            self.note(&column.value, Places::NOWHERE)?;
        }
        Ok(Some(columns))
    }

    fn every_column(&mut self, level: &Level<'_>) -> R<Vec<Named>> {
        let mut all = Vec::new();
        let mut any = false;
        for item in level.items.iter().filter(|item| item.columns_visible) {
            any = true;
            self.charge(item.width().saturating_mul(COLUMN_STEPS))?;
            self.note_whole(item);
            all.extend(item.all(self.via));
        }
        if !any {
            return Err(ResolveError::new(
                "42601",
                "SELECT * with no tables specified is not valid".to_owned(),
            ));
        }
        Ok(all)
    }

    fn fields_of_expression(&mut self, argument: &Tree, steps: &[Tree], level: &Level<'_>) -> R<Vec<Named>> {
        if steps.is_empty()
            && argument.kind() == "ColumnRef"
            && let Found::Row(item) = self.reference(argument, level)?
        {
            self.charge(item.width().saturating_mul(COLUMN_STEPS))?;
            self.note_whole(item);
            return Ok(item.all(self.via));
        }
        let mut reads = Vec::new();
        let mut ty = self.expression(argument, level, Places::NOWHERE, &mut reads)?;
        for step in steps {
            ty = match step.kind() {
                "String" => self.field(&ty, step.text("sval"))?,
                "AIndices" => {
                    self.parts(step.get("lidx"), level, Places::NOWHERE, &mut reads)?;
                    self.element(&ty)
                }
                _ => Ty::Unknown,
            };
        }
        let fields = self.fields_of(&ty)?;
        let fields = fields.ok_or_else(|| ResolveError::unsupported("`.*` of this expression"))?;
        self.charge(reads.len().saturating_mul(fields.len()))?;
        Ok(fields
            .iter()
            .map(|field| Named {
                name: Arc::clone(&field.name),
                value: Value::derived(field.ty.clone(), reads.clone()),
            })
            .collect())
    }

    /// A target list of SELECT or RETURNING.
    pub(crate) fn targets(&mut self, targets: &[Tree], level: &Level<'_>) -> R<Vec<Named>> {
        let mut columns = Vec::new();
        for target in targets {
            let node = target.get("val");
            if let Some(all) = self.star(node, level)? {
                columns.extend(all);
                continue;
            }
            let value = self.target_value(node, level)?;
            let name = match target.text("name") {
                "" => super::figure::figure_name(node).unwrap_or("?column?"),
                name => name,
            };
            columns.push(Named::new(name, value));
        }
        Ok(columns)
    }

    /// The value of a result column. What a view uses to compute one of its columns is kept with the column,
    /// for a statement that leaves it out does not use it.
    fn target_value(&mut self, node: &Tree, level: &Level<'_>) -> R<Value> {
        if self.via == 0 || !level.outermost {
            return self.value(node, level, Places::NOWHERE);
        }
        let others = std::mem::take(&mut self.uses);
        let value = self.value(node, level, Places::NOWHERE);
        let own = std::mem::replace(&mut self.uses, others);
        let value = value?;
        let inner: Vec<_> = own.into_iter().filter(|(_, at)| *at != Places::NOWHERE).collect();
        Ok(Value {
            inner: (!inner.is_empty()).then(|| inner.into()),
            ..value
        })
    }

    /// A row of VALUES or ROW(…): like a target list, without names.
    pub(crate) fn row(&mut self, items: &[Tree], level: &Level<'_>, at: Places) -> R<Vec<Value>> {
        let mut values = Vec::new();
        for item in items {
            match self.star(item, level)? {
                Some(all) => {
                    for column in all {
                        self.note(&column.value, at)?;
                        values.push(column.value);
                    }
                }
                None => values.push(self.value(item, level, at)?),
            }
        }
        Ok(values)
    }
}

const RECORD: u32 = 2249;
/// What it costs to list a column of an entry of FROM.
const COLUMN_STEPS: usize = 8;
