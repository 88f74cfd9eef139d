//! FROM: tables, sub-selects, functions, samples.

use super::scope::{Columns, Hold, Item, Level};
use super::value::{Named, Places, Ty, Value};
use super::walk::{R, Walk};
use super::{Access, Action, Place, ResolveError};
use crate::tree::Tree;
use postern_catalog::{Relation, RelationKind};
use std::sync::Arc;

impl<'a> Walk<'a> {
    /// Puts a FROM clause into `level`; says whether there is anything in it.
    pub(crate) fn entries_of_from<'p>(&mut self, entries: &[Tree], level: &mut Level<'p>) -> R<()>
    where
        'a: 'p,
    {
        let before = level.items.len();
        for (number, entry) in entries.iter().enumerate() {
            if number > 0 || before > 0 {
                self.joins = self.joins.saturating_add(u32::from(self.via == 0));
            }
            let items = self.entry_of_from(entry, level)?;
            self.check_names(&level.items, &items)?;
            // Those that follow see these only by LATERAL.
            level.items.extend(items.into_iter().map(|item| Item {
                lateral_only: true,
                lateral_ok: true,
                ..item
            }));
        }
        for item in &mut level.items {
            item.lateral_only = false;
        }
        Ok(())
    }

    /// One entry of FROM. `level` holds what stands before it.
    pub(crate) fn entry_of_from<'p>(&mut self, node: &Tree, level: &mut Level<'p>) -> R<Vec<Item<'p>>>
    where
        'a: 'p,
    {
        self.deeper(|walk| {
            let mut item = match node.kind() {
                "RangeVar" => walk.range_var(node, level, Action::Select)?,
                "RangeSubselect" => {
                    level.lateral = node.flag("lateral");
                    let columns = walk.query(node.get("subquery"), Some(&*level));
                    level.lateral = false;
                    let mut item = Item::list(None, columns?);
                    // Without an alias (PostgreSQL 16) its columns can be named, and it can't.
                    item.name_visible = false;
                    item
                }
                "RangeFunction" => {
                    level.lateral = true;
                    let item = walk.range_function(node, level);
                    level.lateral = false;
                    item?
                }
                "RangeTableFunc" | "JsonTable" => {
                    level.lateral = true;
                    let columns = walk.table_expression(node, level);
                    level.lateral = false;
                    let name = if node.kind() == "JsonTable" {
                        "json_table"
                    } else {
                        "xmltable"
                    };
                    Item::list(Some(name), columns?)
                }
                "RangeTableSample" => {
                    let items = walk.entry_of_from(node.get("relation"), level)?;
                    level.lateral = true;
                    let sampled = walk.sample(node, level);
                    level.lateral = false;
                    sampled?;
                    return Ok(items);
                }
                "JoinExpr" => return walk.join(node, level),
                _ => return Err(ResolveError::unsupported("this entry of FROM")),
            };
            rename(&mut item, node.get("alias"))?;
            Ok(vec![item])
        })
    }

    /// A table, view or CTE, without its alias. `action` is what is done with it.
    fn range_var<'p>(&mut self, node: &Tree, level: &Level<'p>, action: Action) -> R<Item<'p>>
    where
        'a: 'p,
    {
        let name = node.text("relname");
        if node.text("schemaname").is_empty()
            && node.text("catalogname").is_empty()
            && let Some(item) = self.find_cte(name, level)?
        {
            return Ok(item);
        }
        let relation = self.relation(node)?;
        self.act_on(action, relation);
        self.reads_relation |= self.via == 0;
        self.relation_item(relation, !node.flag("inh"), Access::Read)
    }

    /// A relation as an entry of FROM under its own name.
    pub(crate) fn relation_item<'p>(
        &mut self,
        relation: &'a Relation,
        only: bool,
        access: Access,
    ) -> R<Item<'p>>
    where
        'a: 'p,
    {
        self.charge(4)?;
        let mut item = match relation.kind {
            RelationKind::View | RelationKind::MaterializedView => {
                Item::list(Some(&relation.name), self.view_columns(relation)?)
            }
            RelationKind::Composite => {
                return Err(ResolveError::new(
                    "42809",
                    format!("cannot open relation \"{}\"", relation.name),
                ));
            }
            RelationKind::Table
            | RelationKind::Partitioned
            | RelationKind::Foreign
            | RelationKind::Sequence => {
                let instance = self.instance(relation, access, only);
                Item::new(
                    Some(&relation.name),
                    Columns::Relation {
                        relation,
                        instance,
                        names: Vec::new(),
                        hold: Hold::Firm,
                    },
                )
            }
        };
        item.relation = Some(relation);
        item.rows_of = Some(relation);
        Ok(item)
    }

    fn sample(&mut self, node: &Tree, level: &Level<'_>) -> R<()> {
        let method = node.get("method").names();
        let found = self.functions(&method, 1)?;
        if found.is_empty() {
            let method = method.join(".");
            return Err(ResolveError::new(
                "42704",
                format!("tablesample method {method} does not exist"),
            ));
        }
        for function in found {
            self.act_call(function.oid);
        }
        let at = Places::from(Place::Condition).with(Place::Argument);
        for argument in node.get("args").items() {
            self.value(argument, level, at)?;
        }
        self.value(node.get("repeatable"), level, at).map(|_| ())
    }

    /// Functions in FROM.
    fn range_function<'p>(&mut self, node: &Tree, level: &Level<'_>) -> R<Item<'p>> {
        let alias = node.get("alias").text("aliasname");
        let definitions = node.get("coldeflist").items();
        let functions = node.get("functions").items();
        let mut columns = Vec::new();
        let mut first_name = String::new();
        for function in functions {
            // Each is a list of the call and its own column definitions.
            let (call, own) = match function.items() {
                [call, own] => (call, own.items()),
                [call] => (call, &[][..]),
                _ => (function, &[][..]),
            };
            let definitions = if own.is_empty() { definitions } else { own };
            let name = super::figure::figure_name(call).unwrap_or("?column?");
            if first_name.is_empty() {
                name.clone_into(&mut first_name);
            }
            let scalar = if functions.len() == 1 && !alias.is_empty() {
                alias
            } else {
                name
            };
            // unnest(a, b) is unnest(a) and unnest(b) side by side.
            let arguments = call.get("args").items();
            let many = call.get("funcname").names().last() == Some(&"unnest") && arguments.len() > 1;
            if many && definitions.is_empty() {
                for argument in arguments {
                    let mut one = call.clone();
                    self.charge(arguments.len().saturating_mul(8))?;
                    if let Tree::Node(_, fields) = &mut one {
                        for (_, value) in fields.iter_mut().filter(|(field, _)| *field == "args") {
                            *value = Tree::List(vec![argument.clone()]);
                        }
                    }
                    columns.extend(self.function_columns(&one, scalar, &[], level)?);
                }
            } else {
                columns.extend(self.function_columns(call, scalar, definitions, level)?);
            }
        }
        if node.flag("ordinality") {
            columns.push(Named::new(
                "ordinality",
                Value::derived(Ty::Oid(INT8), Vec::new()),
            ));
        }
        Ok(Item::list(Some(&first_name), columns))
    }

    /// The columns of one function in FROM.
    fn function_columns(
        &mut self,
        call: &Tree,
        scalar: &str,
        definitions: &[Tree],
        level: &Level<'_>,
    ) -> R<Vec<Named>> {
        let mut reads = Vec::new();
        let (ty, output) = self.function_in_from(call, level, &mut reads)?;
        let value = |ty: Ty| Value::derived(ty, reads.clone());
        if !definitions.is_empty() {
            self.charge(reads.len().saturating_mul(definitions.len()))?;
            let mut columns = Vec::new();
            for definition in definitions {
                let ty = self.type_of(definition.get("type_name"))?;
                columns.push(Named::new(definition.text("colname"), value(ty)));
            }
            return Ok(columns);
        }
        let fields: Vec<(Arc<str>, Ty)> = match &ty {
            Ty::Row(fields) => fields
                .iter()
                .map(|f| (Arc::clone(&f.name), f.ty.clone()))
                .collect(),
            Ty::Oid(RECORD) => {
                return Err(ResolveError::new(
                    "42601",
                    "a column definition list is required for functions returning \"record\"".to_owned(),
                ));
            }
            Ty::Oid(oid) => match self.names.catalog.relation_of_type(*oid) {
                Some(relation) => relation
                    .columns
                    .iter()
                    .map(|c| (c.name.as_str().into(), Ty::Oid(c.type_oid)))
                    .collect(),
                None => vec![(output.as_deref().unwrap_or(scalar).into(), ty.clone())],
            },
            Ty::Unknown | Ty::Untyped => vec![(output.as_deref().unwrap_or(scalar).into(), ty.clone())],
        };
        self.charge(reads.len().saturating_mul(fields.len()))?;
        Ok(fields
            .into_iter()
            .map(|(name, ty)| Named {
                name,
                value: value(ty),
            })
            .collect())
    }

    /// XMLTABLE and JSON_TABLE: every column comes from the document.
    fn table_expression(&mut self, node: &Tree, level: &Level<'_>) -> R<Vec<Named>> {
        let mut reads = Vec::new();
        let at = Place::Argument.into();
        for (field, value) in node.fields() {
            if !matches!(*field, "columns" | "alias") {
                self.parts(value, level, at, &mut reads)?;
            }
        }
        let mut names = Vec::new();
        self.table_columns(node.get("columns").items(), level, &mut reads, &mut names)?;
        self.charge(reads.len().saturating_mul(names.len()))?;
        Ok(names
            .into_iter()
            .map(|(name, ty)| Named::new(&name, Value::derived(ty, reads.clone())))
            .collect())
    }

    fn table_columns(
        &mut self,
        columns: &[Tree],
        level: &Level<'_>,
        reads: &mut Vec<super::value::Read>,
        names: &mut Vec<(String, Ty)>,
    ) -> R<()> {
        for column in columns {
            let name = [column.text("name"), column.text("colname")].concat();
            let nested = column.get("columns").items();
            let type_name = column.get("type_name");
            for (field, value) in column.fields() {
                if !matches!(*field, "columns" | "type_name") {
                    self.parts(value, level, Place::Argument.into(), reads)?;
                }
            }
            if !nested.is_empty() {
                self.deeper(|walk| walk.table_columns(nested, level, reads, names))?;
                continue;
            }
            let ty = if type_name == &Tree::Nothing {
                Ty::Oid(INT4)
            } else {
                self.type_of(type_name)?
            };
            names.push((name, ty));
        }
        Ok(())
    }
}

const INT4: u32 = 23;
const INT8: u32 = 20;
const RECORD: u32 = 2249;

/// Gives an entry of FROM its alias.
pub(crate) fn rename(item: &mut Item<'_>, alias: &Tree) -> R<()> {
    let name = alias.text("aliasname");
    if name.is_empty() {
        return Ok(());
    }
    item.name = Some(name.into());
    item.name_visible = true;
    item.relation = None;
    item.rename(&alias.get("colnames").names())
}
