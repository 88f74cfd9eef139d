//! Views: what stands behind them.

use super::scope::{Hold, base_value};
use super::value::{Few, Named, Places, Read, Ty, Value};
use super::walk::{Instance, R, Walk};
use super::write::Target;
use super::{Action, ActionUse, ResolveError};
use crate::SqlLimits;
use postern_catalog::Relation;
use std::sync::Arc;

/// Views on views on views.
const MAX_VIEWS: usize = 50;

/// What a view's definition comes to. It is the same for every statement.
#[derive(Debug)]
pub(crate) struct View {
    /// Its result columns, in order.
    pub(crate) columns: Vec<Named>,
    /// Instances of base relations, numbered from 0.
    pub(crate) instances: Vec<Instance>,
    actions: Vec<ActionUse>,
    /// Uses in its conditions and the like; not what its columns are made of.
    uses: Vec<(Read, Places)>,
}

impl<'a> Walk<'a> {
    /// What a view comes to, from the catalogue's memory if it is there.
    pub(crate) fn view(&mut self, relation: &'a Relation) -> R<Arc<View>> {
        self.charge(10)?;
        if let Some(view) = relation.memo.get::<View>() {
            return Ok(view);
        }
        let Some(definition) = &relation.definition else {
            return Err(ResolveError::unsupported("a view without a definition"));
        };
        if self.views.contains(&relation.oid) || self.views.len() >= MAX_VIEWS {
            return Err(ResolveError::new(
                "42P17",
                format!(
                    "infinite recursion detected in rules for relation \"{}\"",
                    relation.name
                ),
            ));
        }
        // What people wrote into the database is longer than what clients may send.
        let limits = SqlLimits {
            max_bytes: 16 * 1024 * 1024,
            max_tokens: 1_000_000,
            ..SqlLimits::default()
        };
        let mut inner = self.inside(relation.oid);
        let view = super::deep::parsed(definition, &limits, true, |trees, _| {
            let [tree] = trees else {
                return Err(ResolveError::unsupported("the definition of a view"));
            };
            inner.definition(tree.get("stmt"), relation)
        })?;
        let view = Arc::new(view);
        relation.memo.keep(Arc::clone(&view));
        Ok(view)
    }

    fn definition(&mut self, node: &crate::tree::Tree, relation: &Relation) -> R<View> {
        let columns = self.query(node, None)?;
        if columns.len() != relation.columns.len() {
            return Err(ResolveError::unsupported(
                "a view that has other columns than its definition",
            ));
        }
        let renumbered = super::finish::alive(&self.instances);
        let place = |n: usize| renumbered.get(n).copied().flatten().unwrap_or(n);
        let mut instances: Vec<Instance> = self.instances.iter().filter(|i| !i.dead).cloned().collect();
        for instance in &mut instances {
            instance.renumber(&place);
        }
        let columns = columns.into_iter().map(|column| Named {
            value: column.value.moved(&place),
            name: column.name,
        });
        // What is only named may never be read.
        let uses = self.uses.iter().filter(|(_, at)| **at != Places::NOWHERE);
        Ok(View {
            columns: columns.collect(),
            instances,
            actions: self.actions.iter().cloned().collect(),
            uses: uses.map(|(read, at)| (*read, *at)).collect(),
        })
    }

    /// The columns of a view that stands in FROM, and all that comes with it.
    pub(crate) fn view_columns(&mut self, relation: &'a Relation) -> R<Vec<Named>> {
        let view = self.view(relation)?;
        let first = self.instances.len();
        let size = view
            .instances
            .len()
            .saturating_add(view.actions.len())
            .saturating_add(view.uses.len());
        self.charge(size.saturating_mul(4))?;
        let shift = |n: usize| n.saturating_add(first);
        for instance in &view.instances {
            let mut instance = instance.clone();
            instance.renumber(&shift);
            self.instances.push(instance);
        }
        self.actions.extend(view.actions.iter().cloned());
        for (read, at) in &view.uses {
            self.uses.entry(*read).or_default().add(*at);
        }
        let mut columns = Vec::new();
        for (column, behind) in relation.columns.iter().zip(&view.columns) {
            let own = Read {
                relation: relation.oid,
                column: column.number,
                via: self.via,
            };
            let mut reads = behind.value.reads.as_slice().to_vec();
            self.charge(reads.len().saturating_add(2))?;
            reads.push(own);
            let value = Value {
                ty: Ty::Oid(column.type_oid),
                described: Some((relation.oid, column.number)),
                reads: Few::of(reads),
                ..behind.value.moved(&shift)
            };
            columns.push(Named::new(&column.name, value));
        }
        Ok(columns)
    }

    /// A row of a view that was written to.
    pub(crate) fn view_row(&mut self, target: &Target<'a>, instance: usize, hold: Hold) -> Vec<Named> {
        let columns = target.named.columns.iter().map(|column| {
            let own = Read {
                relation: target.named.oid,
                column: column.number,
                via: self.via,
            };
            let base = target.columns.iter().find(|(named, _)| *named == column.number);
            let value = match base.and_then(|(_, base)| *base) {
                Some(number) => {
                    let via = target.named.oid;
                    let base = base_value(target.base.oid, number, column.type_oid, instance, via, hold);
                    let reads = [base.reads.as_slice(), &[own]].concat();
                    Value {
                        reads: Few::of(reads),
                        ..base
                    }
                }
                // Computed by the view: from anything the view reads.
                None => Value::derived(Ty::Oid(column.type_oid), self.behind(target, column.number, own)),
            };
            let value = Value {
                described: Some((target.named.oid, column.number)),
                ..value
            };
            Named::new(&column.name, value)
        });
        columns.collect()
    }

    fn behind(&self, target: &Target<'a>, number: i16, own: Read) -> Vec<Read> {
        let view = target.named.memo.get::<View>();
        let at = target
            .named
            .columns
            .iter()
            .position(|column| column.number == number);
        let column = view.as_ref().zip(at).and_then(|(view, at)| view.columns.get(at));
        let mut reads = column.map_or_else(Vec::new, |column| column.value.reads.as_slice().to_vec());
        reads.push(own);
        reads
    }

    /// Notes an action of a view on what it reads; used where a statement names the view alone.
    pub(crate) fn act_through(&mut self, action: Action, relation: &'a Relation) -> R<()> {
        let view = self.view(relation)?;
        let outer = std::mem::replace(&mut self.via, relation.oid);
        for instance in &view.instances {
            if let Some(base) = self.names.catalog.relation_by_oid(instance.relation) {
                self.act_on(action, base);
            }
        }
        self.via = outer;
        Ok(())
    }
}
