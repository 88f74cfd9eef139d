//! From what was found on the way to what policy reads.

use super::value::{Named, Places, Ty};
use super::walk::{Instance, Walk};
use super::{
    Access, Action, ActionUse, ColumnUse, Inserted, Object, Origin, Output, Place, RelationInstance,
    Resolved, Written,
};
use postern_catalog::{Catalog, RelationId};
use std::collections::{HashMap, HashSet};

/// New numbers for the instances that are not dead.
pub(crate) fn alive(instances: &[Instance]) -> Vec<Option<usize>> {
    let mut next = 0usize;
    instances
        .iter()
        .map(|instance| {
            (!instance.dead).then(|| {
                let number = next;
                next = next.saturating_add(1);
                number
            })
        })
        .collect()
}

impl Walk<'_> {
    /// The facts about the whole statement.
    pub(crate) fn finish(mut self, outputs: Option<Vec<Named>>) -> Resolved {
        let catalog = self.names.catalog;
        let outputs = outputs.map(|columns| columns.iter().map(|column| output(catalog, column)).collect());
        self.actions_of_uses();
        let scanned = self.scanned();
        let mut uses = HashSet::new();
        for (read, places) in &self.uses {
            let mut columns = vec![(read.relation, read.column)];
            if scanned.contains(&read.relation) {
                columns.extend(inheriting(catalog, read.relation, read.column));
            }
            for (relation, column) in columns {
                uses.extend(places.iter().map(|place| ColumnUse {
                    relation: RelationId(relation),
                    column,
                    place,
                }));
            }
        }
        let inherited = self.inherited_actions(&scanned);
        self.actions.extend(inherited);
        let mut actions: Vec<ActionUse> = self.actions.drain().collect();
        actions.sort();
        let mut uses: Vec<ColumnUse> = uses.into_iter().collect();
        uses.sort();
        Resolved {
            actions,
            uses,
            outputs,
            tenancy: self.tenancy(),
            opaque: self.opaque,
            has_where: self.has_where,
            parameters: self.parameters,
            literals: self.literals,
            joins: self.joins,
        }
    }

    /// Whoever uses a column reads it and its relation.
    fn actions_of_uses(&mut self) {
        let reads = self.uses.keys().flat_map(|read| {
            let via = (read.via != 0).then_some(RelationId(read.via));
            let relation = RelationId(read.relation);
            [Object::Relation(relation), Object::Column(relation, read.column)].map(|object| ActionUse {
                action: Action::Select,
                object,
                via,
            })
        });
        self.actions.extend(reads);
    }

    /// Relations that are not scanned with ONLY everywhere.
    fn scanned(&self) -> HashSet<u32> {
        let all = self.instances.iter().filter(|instance| !instance.only);
        all.map(|instance| instance.relation).collect()
    }

    /// What is done to a relation is done to those that inherit from it.
    fn inherited_actions(&self, scanned: &HashSet<u32>) -> Vec<ActionUse> {
        let catalog = self.names.catalog;
        let mut more = Vec::new();
        for ActionUse { action, object, .. } in &self.actions {
            let (relation, column) = match object {
                Object::Relation(relation) => (relation, None),
                Object::Column(relation, column) => (relation, Some(*column)),
                _ => continue,
            };
            let to_all = matches!(
                action,
                Action::Select | Action::Update | Action::Delete | Action::Lock
            );
            // Rows put into a partitioned table go to its partitions; children of a plain one get none.
            let partitioned = catalog
                .relation_by_oid(relation.0)
                .is_some_and(|r| r.kind == postern_catalog::RelationKind::Partitioned);
            if !(to_all && scanned.contains(&relation.0) || *action == Action::Insert && partitioned) {
                continue;
            }
            let via = Some(*relation);
            match column {
                None => more.extend(catalog.descendants(relation.0).iter().map(|child| ActionUse {
                    action: *action,
                    object: Object::Relation(RelationId(*child)),
                    via,
                })),
                Some(column) => more.extend(inheriting(catalog, relation.0, column).into_iter().map(
                    |(child, column)| ActionUse {
                        action: *action,
                        object: Object::Column(RelationId(child), column),
                        via,
                    },
                )),
            }
        }
        more
    }

    /// The instances with their final numbers, followed by those of what inherits.
    fn tenancy(&mut self) -> Vec<RelationInstance> {
        let catalog = self.names.catalog;
        let numbers = alive(&self.instances);
        let place = |n: usize| numbers.get(n).copied().flatten().unwrap_or(n);
        let mut all = Vec::new();
        let mut children = Vec::new();
        for instance in self.instances.iter_mut().filter(|instance| !instance.dead) {
            instance.renumber(&place);
            let number = all.len();
            all.push(RelationInstance {
                relation: RelationId(instance.relation),
                access: instance.access,
                bounds: std::mem::take(&mut instance.bounds),
                written: std::mem::take(&mut instance.written),
                inherited: None,
            });
            if !instance.only && instance.access != Access::Insert {
                children.extend(
                    catalog
                        .descendants(instance.relation)
                        .iter()
                        .map(|child| (*child, number)),
                );
            }
        }
        let mut maps: HashMap<(u32, u32), HashMap<i16, i16>> = HashMap::new();
        for (child, number) in children {
            let Some(parent) = all.get(number).cloned() else {
                continue;
            };
            let map = maps
                .entry((parent.relation.0, child))
                .or_insert_with(|| same_columns(catalog, parent.relation.0, child));
            let bounds = parent
                .bounds
                .iter()
                .filter_map(|(column, bound)| Some((*map.get(column)?, bound.clone())));
            let written = parent.written.iter().filter_map(|written| {
                Some(Written {
                    column: *map.get(&written.column)?,
                    values: written.values.clone(),
                })
            });
            all.push(RelationInstance {
                relation: RelationId(child),
                access: parent.access,
                bounds: bounds.collect(),
                written: written.collect(),
                inherited: Some(number),
            });
        }
        for instance in &mut all {
            for written in &mut instance.written {
                dedup::<Inserted>(&mut written.values);
            }
        }
        all
    }
}

fn dedup<T: Ord>(items: &mut Vec<T>) {
    items.sort();
    items.dedup();
}

/// The numbers that columns of `parent` have in `child`: they share their names.
fn same_columns(catalog: &Catalog, parent: u32, child: u32) -> HashMap<i16, i16> {
    let (Some(parent), Some(child)) = (catalog.relation_by_oid(parent), catalog.relation_by_oid(child))
    else {
        return HashMap::new();
    };
    let numbers: HashMap<&str, i16> = child
        .columns
        .iter()
        .map(|c| (c.name.as_str(), c.number))
        .collect();
    let of_parent = parent.columns.iter();
    of_parent
        .filter_map(|column| Some((column.number, *numbers.get(column.name.as_str())?)))
        .collect()
}

/// The columns of other relations that are read when this one is.
fn inheriting(catalog: &Catalog, relation: u32, column: i16) -> Vec<(u32, i16)> {
    let children = catalog.descendants(relation);
    if children.is_empty() {
        return Vec::new();
    }
    let name = catalog
        .relation_by_oid(relation)
        .and_then(|r| r.column_name(column));
    let Some(name) = name else { return Vec::new() };
    children
        .iter()
        .filter_map(|child| {
            let relation = catalog.relation_by_oid(*child)?;
            let number = if column < 0 {
                column
            } else {
                relation.column(name)?.number
            };
            Some((*child, number))
        })
        .collect()
}

fn output(catalog: &Catalog, column: &Named) -> Output {
    let value = &column.value;
    let is_base = |relation: u32| {
        catalog
            .relation_by_oid(relation)
            .is_some_and(|r| !r.kind.is_view())
    };
    let mut bases: Vec<(RelationId, i16)> = value
        .reads
        .as_slice()
        .iter()
        .filter(|read| is_base(read.relation))
        .map(|read| (RelationId(read.relation), read.column))
        .collect();
    bases.sort_unstable();
    bases.dedup();
    let origin = match value.direct {
        Some((relation, column)) => Origin::Direct {
            relation: RelationId(relation),
            column,
        },
        None if bases.is_empty() => Origin::Constant,
        None => Origin::Derived(bases),
    };
    Output {
        name: column.name.to_string(),
        type_oid: match value.ty {
            // RowDescription tells what a domain is over.
            Ty::Oid(oid) => Some(catalog.base_type(oid)),
            _ => None,
        },
        origin,
        described: value
            .described
            .map(|(relation, column)| (RelationId(relation), column)),
    }
}

impl Walk<'_> {
    /// Notes that result columns go to the client.
    pub(crate) fn answer(&mut self, columns: &[Named]) -> super::walk::R<()> {
        for column in columns {
            self.note(&column.value, Places::from(Place::Output))?;
        }
        Ok(())
    }
}
