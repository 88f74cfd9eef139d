//! The rules of `responses.yaml`, compiled: what they mean in this database.

use crate::find::Finder;
use crate::mask::MaskKey;
use crate::origins::Origins;
use crate::rules::{ColumnName, Derived, MaskRule, Rules};
use crate::tenant::TenantNames;
use postern_types::{ColumnId, Keep, Mask};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Holds answers to rules. The default has none, and leaves everything to the contract.
#[derive(Clone, Debug, Default)]
pub struct Inspector {
    pub(crate) rules: Rules,
    /// Rules about values are in force, so the columns of every answer must be known.
    pub(crate) by_columns: bool,
    /// Masks that hold for a column of a table or view.
    pub(crate) masked: HashMap<ColumnId, Vec<Floor>>,
    /// Masks of columns that are inside a value of this type: a row, or an array of rows.
    pub(crate) masked_types: HashMap<u32, Vec<usize>>,
    /// Columns that hold the tenant.
    pub(crate) tenant_columns: HashSet<ColumnId>,
    /// Types of rows that have the tenant in them.
    pub(crate) tenant_types: HashMap<u32, TenantField>,
    /// Tables and views of which the columns are known.
    pub(crate) known: HashSet<u32>,
    /// Columns of which is not known what they are made of.
    pub(crate) unknown: HashSet<ColumnId>,
    /// Types that users made of which any text is a value.
    pub(crate) text_types: Vec<u32>,
    pub(crate) names: Option<TenantNames>,
    pub(crate) finder: Option<Finder>,
    pub(crate) keys: Keys,
    /// Columns of which values are recorded.
    pub(crate) kept: HashMap<ColumnId, Kept>,
}

/// Keys for hashes.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// Of the mask `hash`.
    pub mask: Option<MaskKey>,
    /// Of values that are recorded.
    pub record: Option<MaskKey>,
}

/// A column of which values are recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Its name.
    pub(crate) name: Arc<str>,
    pub(crate) keep: Keep,
}

/// A mask that a column is under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Floor {
    /// Index into the rules' masks.
    pub(crate) rule: usize,
    /// The column is computed from the one that the rule names.
    pub(crate) derived: bool,
}

/// Where in a value of a type the tenant is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TenantField {
    /// At this place of a row, from 0, in a column of the type with this OID if it is known.
    Row(usize),
    /// In each row of an array, which is not looked into.
    Array,
}

/// Rules that can't be put in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InspectorError {
    /// A mask names a column that is not in the database.
    #[error("masks: there is no column `{0}` in origins.json; correct the name or run `postern catalog`")]
    NoSuchColumn(ColumnName),
    /// A column that is to be recorded is not in the database.
    #[error("record: there is no column `{0}` in origins.json; correct the name or run `postern catalog`")]
    NoSuchRecorded(ColumnName),
    /// Values are to be recorded as hashes, and there is no key.
    #[error(
        "record: `hash` needs a key; set `record_key_file` in the configuration of the Response Validator"
    )]
    NoRecordKey,
    /// A mask is `hash`, and there is no key.
    #[error("masks: `hash` needs a key; set `hash_key_file` in the configuration of the Response Validator")]
    NoKey,
    /// An expression or a list that can't be searched for.
    #[error("{0}")]
    Search(String),
}

impl Inspector {
    /// Puts rules in force.
    ///
    /// # Errors
    /// See [`InspectorError`].
    pub fn new(rules: Rules, origins: &Origins, keys: Keys) -> Result<Inspector, InspectorError> {
        if keys.record.is_none() && rules.needs_record_key() {
            return Err(InspectorError::NoRecordKey);
        }
        if keys.mask.is_none() && rules.masks.iter().any(|rule| rule.mask == Mask::Hash) {
            return Err(InspectorError::NoKey);
        }
        let mut inspector = Inspector {
            by_columns: rules.go_by_columns(),
            names: rules.tenants.as_ref().map(TenantNames::new),
            finder: Finder::new(&rules).map_err(InspectorError::Search)?,
            known: origins.columns.keys().map(|id| id.relation).collect(),
            unknown: unknown(origins),
            text_types: origins.text_types.clone(),
            keys,
            rules,
            ..Inspector::default()
        };
        inspector.place_masks(origins)?;
        inspector.place_tenants(origins);
        inspector.place_kept(origins)?;
        Ok(inspector)
    }

    /// Rules about values are in force: exchanges are to be built by columns
    /// ([`Expectations::by_columns`](crate::Expectations::by_columns)).
    pub fn goes_by_columns(&self) -> bool {
        self.by_columns
    }

    /// The rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    fn place_masks(&mut self, origins: &Origins) -> Result<(), InspectorError> {
        for (rule, masked) in self.rules.masks.iter().enumerate() {
            let named = origins.column(&masked.column);
            let named = named.ok_or_else(|| InspectorError::NoSuchColumn(masked.column.clone()))?;
            for (id, column) in &origins.columns {
                let shows = *id == named || column.shows.contains(&named);
                if shows || column.derived.contains(&named) {
                    let floor = Floor {
                        rule,
                        derived: !shows,
                    };
                    self.masked.entry(*id).or_default().push(floor);
                }
            }
        }
        for (row, columns) in &origins.rows {
            let within = columns.iter().filter_map(|id| self.masked.get(id)).flatten();
            let rules: Vec<usize> = within.map(|floor| floor.rule).collect();
            if !rules.is_empty() {
                self.masked_types.insert(*row, rules);
            }
        }
        for (array, element) in &origins.elements {
            if let Some(rules) = self.masked_types.get(element).cloned() {
                self.masked_types.insert(*array, rules);
            }
        }
        Ok(())
    }

    fn place_tenants(&mut self, origins: &Origins) {
        let Some(names) = &self.names else { return };
        let is_tenant = |id: &ColumnId| {
            origins
                .columns
                .get(id)
                .is_some_and(|known| names.contains(&known.name))
        };
        for (id, column) in &origins.columns {
            if is_tenant(id) || column.shows.iter().any(is_tenant) {
                self.tenant_columns.insert(*id);
            }
        }
        for (row, columns) in &origins.rows {
            if let Some(place) = columns.iter().position(|id| self.tenant_columns.contains(id)) {
                self.tenant_types.insert(*row, TenantField::Row(place));
            }
        }
        for (array, element) in &origins.elements {
            if self.tenant_types.contains_key(element) {
                self.tenant_types.insert(*array, TenantField::Array);
            }
        }
    }

    fn place_kept(&mut self, origins: &Origins) -> Result<(), InspectorError> {
        for rule in &self.rules.record {
            let named = origins.column(&rule.column);
            let named = named.ok_or_else(|| InspectorError::NoSuchRecorded(rule.column.clone()))?;
            let kept = Kept {
                name: rule.column.to_string().into(),
                keep: rule.keep,
            };
            for (id, column) in &origins.columns {
                if *id == named || column.shows.contains(&named) {
                    self.kept.entry(*id).or_insert_with(|| kept.clone());
                }
            }
        }
        Ok(())
    }

    /// The mask rules that hold for a user with these roles.
    pub(crate) fn rule_for(&self, rule: usize, roles: &[String]) -> Option<&MaskRule> {
        self.rules.masks.get(rule).filter(|rule| rule.holds_for(roles))
    }

    /// What becomes of a column made of the one that the rule names.
    pub(crate) fn is_refused(rule: &MaskRule) -> bool {
        rule.derived == Derived::Refuse
    }
}

fn unknown(origins: &Origins) -> HashSet<ColumnId> {
    let columns = origins.columns.iter();
    columns
        .filter(|(_, known)| known.unknown)
        .map(|(id, _)| *id)
        .collect()
}
