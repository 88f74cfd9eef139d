//! Which tables belong to tenants, and whether a statement keeps to the rows of one.
//!
//! Trusts `postern-sql` to report every place at which a relation is read or written, with what certainly holds
//! there. Whether a parameter has the right value is not known here: it becomes a [`Demand`].

mod value;

pub use value::BoundValue;

use crate::document::{PolicyError, TenantTables, TenantsDocument};
use crate::role::check_name;
use postern_catalog::{Catalog, Column, Relation, RelationKind};
use postern_sql::resolve::{Access, Action, Bound, Inserted, Object, RelationInstance, Resolved};
use serde_saphyr::Spanned;
use std::collections::{BTreeSet, VecDeque};

/// The setting that row-level security reads, unless the policy names another.
const SETTING: &str = "app.tenant_id";

/// How values of a tenant column are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TenantType {
    /// smallint, integer, bigint.
    Integer,
    /// uuid.
    Uuid,
    /// text, varchar, char.
    Text,
}

/// Where a value comes from that must be the tenant of the session.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// The parameter `$n`, to be looked at when it is bound.
    Parameter(u16),
    /// A literal of the statement.
    Literal(String),
}

/// Something of a statement must be the tenant of the session.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Demand {
    /// How it is compared.
    pub kind: TenantType,
    /// What must be it.
    pub source: Source,
}

/// The tables of tenants.
#[derive(Clone, Debug)]
pub(crate) struct Tenants {
    column: String,
    setting: String,
    /// By schema and name; `None` for every table with the column.
    tables: Option<BTreeSet<(String, String)>>,
    /// Where they are listed.
    place: PolicyError,
}

impl Tenants {
    pub(crate) fn new(document: Spanned<TenantsDocument>, mistakes: &mut Vec<PolicyError>) -> Tenants {
        mistakes.extend(check_name(&document.value.column).err());
        let mut place = PolicyError::at(&document, "");
        let mut tables = None;
        if let Some(written) = &document.value.tables {
            place = PolicyError::at(written, "");
            match &written.value {
                TenantTables::Word(word) if word == "auto" => {}
                TenantTables::Word(_) => mistakes.push(PolicyError::at(
                    written,
                    "`tables` is `auto` or a list of SCHEMA.TABLE",
                )),
                TenantTables::Listed(names) => {
                    let mut listed = BTreeSet::new();
                    for name in names {
                        match name.split_once('.') {
                            Some((schema, table)) => _ = listed.insert((schema.to_owned(), table.to_owned())),
                            None => mistakes.push(PolicyError::at(
                                written,
                                format!("`{name}` must be written SCHEMA.TABLE"),
                            )),
                        }
                    }
                    tables = Some(listed);
                }
            }
        }
        let setting = document.value.setting.map(|setting| {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.');
            let fine = setting.value.contains('.') && setting.value.chars().all(plain);
            if !fine {
                mistakes.push(PolicyError::at(
                    &setting,
                    "`setting` is a lower-case name with a dot, such as `app.tenant_id`",
                ));
            }
            setting.value
        });
        Tenants {
            column: document.value.column.value,
            setting: setting.unwrap_or_else(|| SETTING.to_owned()),
            tables,
            place,
        }
    }

    /// Name of the column that says whose a row is.
    pub(crate) fn column(&self) -> &str {
        &self.column
    }

    /// Whether a table with these columns belongs to tenants.
    pub(crate) fn covers(&self, schema: &str, name: &str, columns: &[String]) -> bool {
        let listed =
            |tables: &BTreeSet<(String, String)>| tables.contains(&(schema.to_owned(), name.to_owned()));
        self.tables.as_ref().is_none_or(listed) && columns.contains(&self.column)
    }

    /// The setting that the database finds the tenant in.
    pub(crate) fn setting(&self) -> &str {
        &self.setting
    }

    /// What is wrong with it, now that the database is known.
    pub(crate) fn check(&self, catalog: &Catalog) -> Vec<PolicyError> {
        let mistake = |message: String| PolicyError {
            message,
            ..self.place.clone()
        };
        let mut mistakes = Vec::new();
        for (schema, table) in self.tables.iter().flatten() {
            match catalog.relation(schema, table) {
                None => mistakes.push(mistake(format!(
                    "catalog.json has no table `{schema}.{table}`; mend the name, or run `postern catalog`"
                ))),
                Some(relation) if relation.column(&self.column).is_none() => mistakes.push(mistake(format!(
                    "table `{schema}.{table}` has no column `{}`",
                    self.column
                ))),
                Some(_) => {}
            }
        }
        let mut any = false;
        for relation in catalog.relations() {
            if let Some(column) = self.column_of(relation) {
                any = true;
                if tenant_type(catalog, column).is_none() {
                    mistakes.push(mistake(format!(
                        "column `{}` of `{}.{}` has a type or a collation that can't be compared here; it must \
                         be an integer, uuid or text with an ordinary collation",
                        self.column, relation.schema, relation.name
                    )));
                }
            }
        }
        if !any {
            mistakes.push(mistake(format!(
                "catalog.json has no table with a column `{}`",
                self.column
            )));
        }
        mistakes
    }

    /// The tenant column of a relation that has one, views apart: what is behind them counts.
    fn column_of<'a>(&self, relation: &'a Relation) -> Option<&'a Column> {
        let stores = matches!(
            relation.kind,
            RelationKind::Table
                | RelationKind::Partitioned
                | RelationKind::Foreign
                | RelationKind::MaterializedView
        );
        let listed = self.tables.as_ref().is_none_or(|tables| {
            tables
                .iter()
                .any(|(schema, table)| *schema == relation.schema && *table == relation.name)
        });
        if !stores || !listed {
            return None;
        }
        relation.column(&self.column)
    }

    /// The tables of tenants that a statement touches in any way, and whether row-level security holds for
    /// each.
    pub(crate) fn touched<'a>(&self, resolved: &Resolved, catalog: &'a Catalog) -> Vec<&'a Relation> {
        let named = resolved.actions.iter().filter_map(|used| match used.object {
            Object::Relation(id) | Object::Column(id, _) => Some(id),
            _ => None,
        });
        let scanned = resolved.tenancy.iter().map(|instance| instance.relation);
        let ids: BTreeSet<_> = named.chain(scanned).collect();
        let relations = ids.into_iter().filter_map(|id| catalog.relation_by_oid(id.0));
        relations
            .filter(|relation| self.column_of(relation).is_some())
            .collect()
    }

    /// A table of tenants that a statement empties or changes as a whole.
    pub(crate) fn refuse_whole(&self, resolved: &Resolved, catalog: &Catalog) -> Option<String> {
        let mut uses = resolved.actions.iter();
        uses.find_map(|used| {
            let (Action::Truncate, Object::Relation(id)) = (used.action, &used.object) else {
                return None;
            };
            let relation = catalog.relation_by_oid(id.0)?;
            self.column_of(relation)?;
            Some(format!("truncate table {}.{}", relation.schema, relation.name))
        })
    }

    /// Shows that a statement touches rows of one tenant only, if the demands hold.
    ///
    /// # Errors
    /// What it does for which that can't be shown.
    pub(crate) fn prove(&self, resolved: &Resolved, catalog: &Catalog) -> Result<Vec<Demand>, Vec<String>> {
        let mut demands = BTreeSet::new();
        let mut unproved = BTreeSet::new();
        let mut scanned = BTreeSet::new();
        for (index, instance) in resolved.tenancy.iter().enumerate() {
            let Some(relation) = catalog.relation_by_oid(instance.relation.0) else {
                unproved.insert("a table that is not in the catalogue".to_owned());
                continue;
            };
            scanned.insert(instance.relation);
            let Some(column) = self.column_of(relation) else {
                continue;
            };
            let found = tenant_type(catalog, column)
                .and_then(|kind| self.instance(&resolved.tenancy, index, instance, column.number, kind));
            match found {
                Some(found) => demands.extend(found),
                None => {
                    let word = match instance.access {
                        Access::Read => "select",
                        Access::Insert => "insert",
                        Access::Update => "update",
                        Access::Delete => "delete",
                    };
                    unproved.insert(format!("{word} table {}.{}", relation.schema, relation.name));
                }
            }
        }
        // What touches a table of tenants in another way than row by row can't be shown to keep to one.
        for used in &resolved.actions {
            let (Object::Relation(id) | Object::Column(id, _)) = used.object else {
                continue;
            };
            let Some(relation) = catalog.relation_by_oid(id.0) else {
                continue;
            };
            let whole = matches!(used.action, Action::Truncate | Action::Ddl);
            if self.column_of(relation).is_some() && (whole || !scanned.contains(&id)) {
                unproved.insert(format!(
                    "{} table {}.{}",
                    if whole { "truncate or change" } else { "touch" },
                    relation.schema,
                    relation.name
                ));
            }
        }
        if unproved.is_empty() {
            Ok(demands.into_iter().collect())
        } else {
            Err(unproved.into_iter().collect())
        }
    }

    /// The demands under which an instance keeps to one tenant; `None` when there are none that suffice.
    fn instance(
        &self,
        all: &[RelationInstance],
        index: usize,
        instance: &RelationInstance,
        column: i16,
        kind: TenantType,
    ) -> Option<Vec<Demand>> {
        let mut demands = Vec::new();
        if instance.access != Access::Insert {
            demands.extend(self.bound(all, index, column, kind)?);
        }
        let written = instance.written.iter().find(|written| written.column == column);
        match (instance.access, written) {
            (Access::Insert, None) => return None,
            (_, None) => {}
            (_, Some(written)) => {
                for value in &written.values {
                    let Inserted::Known(bound) = value else {
                        return None;
                    };
                    demands.extend(self.value(all, bound, kind)?);
                }
                if written.values.is_empty() && instance.access == Access::Insert {
                    return None;
                }
            }
        }
        Some(demands)
    }

    /// What bounds a column of an instance to the tenant: directly, or by equality with columns of others.
    fn bound(
        &self,
        all: &[RelationInstance],
        index: usize,
        column: i16,
        kind: TenantType,
    ) -> Option<Option<Demand>> {
        let mut seen = BTreeSet::from([(index, column)]);
        let mut open = VecDeque::from([(index, column)]);
        while let Some((index, column)) = open.pop_front() {
            let instance = all.get(index)?;
            let mut bounds: Vec<&Bound> = Vec::new();
            if instance.access == Access::Insert {
                // The value of an inserted row is known if there is only one.
                let written = instance.written.iter().find(|written| written.column == column);
                if let Some([Inserted::Known(bound)]) = written.map(|written| written.values.as_slice()) {
                    bounds.push(bound);
                }
            }
            let of_column = instance.bounds.iter().filter(|(number, _)| *number == column);
            bounds.extend(of_column.map(|(_, bound)| bound));
            for bound in bounds {
                match bound {
                    Bound::OtherColumn { instance, column } => {
                        if seen.insert((*instance, *column)) {
                            open.push_back((*instance, *column));
                        }
                    }
                    bound => {
                        if let Some(found) = self.direct(bound, kind) {
                            return Some(found);
                        }
                    }
                }
            }
        }
        None
    }

    /// The demand under which a written value is the tenant.
    fn value(&self, all: &[RelationInstance], bound: &Bound, kind: TenantType) -> Option<Option<Demand>> {
        match bound {
            Bound::OtherColumn { instance, column } => self.bound(all, *instance, *column, kind),
            bound => self.direct(bound, kind),
        }
    }

    /// `None` when it has nothing to do with the tenant; no demand when it is the tenant by itself.
    fn direct(&self, bound: &Bound, kind: TenantType) -> Option<Option<Demand>> {
        let source = match bound {
            Bound::Parameter(number) => Source::Parameter(*number),
            Bound::Literal(text) => Source::Literal(text.clone()),
            // The Backend sets it, and no session may change it.
            Bound::Setting(name) if *name == self.setting => return Some(None),
            Bound::Setting(_) | Bound::OtherColumn { .. } => return None,
        };
        Some(Some(Demand { kind, source }))
    }
}

/// How values of a column are compared; `None` when equal ones need not look equal.
fn tenant_type(catalog: &Catalog, column: &Column) -> Option<TenantType> {
    if column.loose_equality {
        return None;
    }
    match catalog.base_type(column.type_oid) {
        20 | 21 | 23 => Some(TenantType::Integer),
        2950 => Some(TenantType::Uuid),
        25 | 1042 | 1043 => Some(TenantType::Text),
        _ => None,
    }
}
