//! The state of resolving one statement: what was found so far, and what it has cost.

use super::scope::Item;
use super::value::{Places, Read, Value};
use super::{Access, Action, ActionUse, Bound, Names, Object, ResolveError, Written};
use postern_catalog::{Relation, RelationId};
use std::collections::{HashMap, HashSet};

/// The `attnum` that stands for all columns, in PostgreSQL as well.
pub(crate) const WHOLE_ROW: i16 = 0;

pub(crate) type R<T> = Result<T, ResolveError>;

/// Steps that one statement may take: comparisons, look-ups, members of sets. A million take some 20 ms.
pub(crate) const MAX_STEPS: usize = 1_000_000;
/// Steps for the definition of a view, which are taken once for each catalogue.
const MAX_VIEW_STEPS: usize = 10_000_000;
/// Expressions and queries inside each other.
const MAX_DEPTH: usize = 2_500;

/// A relation instance while the statement is being resolved.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) relation: u32,
    pub(crate) access: Access,
    /// ONLY: what inherits is not scanned.
    pub(crate) only: bool,
    pub(crate) bounds: Vec<(i16, Bound)>,
    pub(crate) written: Vec<Written>,
    /// Copies of it stand for it.
    pub(crate) dead: bool,
}

/// Resolves one statement, or the definition of one view.
pub(crate) struct Walk<'a> {
    pub(crate) names: Names<'a>,
    /// The view that is being resolved; 0 for the statement itself.
    pub(crate) via: u32,
    /// Views around it, itself included.
    pub(crate) views: Vec<u32>,
    /// Lists of constants were cut short: rows of VALUES may be missing.
    pub(crate) folded: bool,
    pub(crate) actions: HashSet<ActionUse>,
    pub(crate) uses: HashMap<Read, Places>,
    pub(crate) instances: Vec<Instance>,
    pub(crate) opaque: bool,
    pub(crate) has_where: bool,
    /// The FROM that is being resolved names a table or a view itself.
    pub(crate) reads_relation: bool,
    pub(crate) parameters: bool,
    pub(crate) literals: bool,
    pub(crate) joins: u32,
    /// Times that a recursive query has named itself.
    pub(crate) self_references: u32,
    steps: usize,
    depth: usize,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(names: Names<'a>, folded: bool) -> Walk<'a> {
        Walk {
            names,
            via: 0,
            views: Vec::new(),
            folded,
            actions: HashSet::new(),
            uses: HashMap::new(),
            instances: Vec::new(),
            opaque: false,
            has_where: true,
            reads_relation: false,
            parameters: false,
            literals: false,
            joins: 0,
            self_references: 0,
            steps: MAX_STEPS,
            depth: 0,
        }
    }

    /// For the definition of a view that this one came upon.
    pub(crate) fn inside(&self, view: u32) -> Walk<'a> {
        let mut walk = Walk::new(self.names, false);
        walk.via = view;
        walk.views = self.views.clone();
        walk.views.push(view);
        walk.steps = MAX_VIEW_STEPS;
        walk.depth = self.depth;
        walk
    }

    /// Has only so many steps.
    pub(crate) fn go_on(&mut self, steps: usize) {
        self.steps = steps;
    }

    /// How many steps it has left.
    pub(crate) fn steps_left(&self) -> usize {
        self.steps
    }

    /// Takes steps.
    pub(crate) fn charge(&mut self, steps: usize) -> R<()> {
        self.steps = self
            .steps
            .checked_sub(steps)
            .ok_or_else(ResolveError::too_complex)?;
        Ok(())
    }

    /// One level deeper, where the text is nested.
    pub(crate) fn deeper<T>(&mut self, work: impl FnOnce(&mut Self) -> R<T>) -> R<T> {
        if self.depth >= MAX_DEPTH {
            return Err(crate::guard::too_deep().into());
        }
        self.charge(1)?;
        self.depth = self.depth.saturating_add(1);
        let outcome = work(self);
        self.depth = self.depth.saturating_sub(1);
        outcome
    }

    /// Notes an action.
    pub(crate) fn act(&mut self, action: Action, object: Object) {
        let via = (self.via != 0).then_some(RelationId(self.via));
        self.actions.insert(ActionUse { action, object, via });
    }

    /// Notes an action on a relation.
    pub(crate) fn act_on(&mut self, action: Action, relation: &Relation) {
        self.act(action, Object::Relation(RelationId(relation.oid)));
    }

    /// Notes that every column of an entry of FROM is meant, whichever those are when the statement runs.
    pub(crate) fn note_whole(&mut self, item: &Item<'_>) {
        for relation in item.whole() {
            self.act(Action::Select, Object::Column(RelationId(relation), WHOLE_ROW));
        }
    }

    /// Notes where a value goes.
    pub(crate) fn note(&mut self, value: &Value, at: Places) -> R<()> {
        for (read, places) in value.inner.iter().flat_map(|inner| inner.iter()) {
            self.note_reads(std::slice::from_ref(read), *places)?;
        }
        self.note_reads(value.reads.as_slice(), at)
    }

    /// Notes where columns go.
    pub(crate) fn note_reads(&mut self, reads: &[Read], at: Places) -> R<()> {
        self.charge(reads.len())?;
        for read in reads {
            self.uses.entry(*read).or_default().add(at);
        }
        Ok(())
    }

    /// A new instance of a base relation.
    pub(crate) fn instance(&mut self, relation: &Relation, access: Access, only: bool) -> usize {
        self.instances.push(Instance {
            relation: relation.oid,
            access,
            only,
            bounds: Vec::new(),
            written: Vec::new(),
            dead: false,
        });
        self.instances.len().saturating_sub(1)
    }

    /// Copies the instances `from..to` to the end; gives back where the first copy is.
    pub(crate) fn copy_instances(&mut self, from: usize, to: usize) -> R<usize> {
        let first = self.instances.len();
        let range = from..to;
        self.charge(range.len().saturating_mul(4))?;
        let mut copies = self.instances.get(range.clone()).unwrap_or_default().to_vec();
        for copy in &mut copies {
            copy.renumber(&|n| {
                if range.contains(&n) {
                    n.saturating_sub(from).saturating_add(first)
                } else {
                    n
                }
            });
        }
        self.instances.extend(copies);
        Ok(first)
    }
}

impl Instance {
    /// Gives the instances it refers to other numbers.
    pub(crate) fn renumber(&mut self, shift: &impl Fn(usize) -> usize) {
        use super::Inserted;
        let written = self.written.iter_mut().flat_map(|written| &mut written.values);
        let values = written.filter_map(|value| match value {
            Inserted::Known(bound) => Some(bound),
            Inserted::Null | Inserted::Default | Inserted::Unknown => None,
        });
        for bound in self.bounds.iter_mut().map(|(_, bound)| bound).chain(values) {
            if let Bound::OtherColumn { instance, .. } = bound {
                *instance = shift(*instance);
            }
        }
    }
}
