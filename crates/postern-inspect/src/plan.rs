//! The Query Validator's half of the rules: what the columns of a statement are made of, and what that means.
//!
//! The Response Validator knows where a column comes from only where PostgreSQL tells: not for computed columns, and
//! not in COPY. The Query Validator has resolved the statement, and tells the rest by position in the contract.

use crate::inspector::{Inspector, InspectorError, Keys};
use crate::mask::MaskKey;
use crate::origins::Origins;
use crate::rules::{Conditions, MaskRule, Rules};
use postern_types::{ColumnId, ColumnRule, ColumnRules, Mask};

/// What a column of a result is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// A column of a table, unchanged.
    Of(ColumnId),
    /// Computed from these columns of tables; none is a constant.
    From(Vec<ColumnId>),
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output<'a> {
    /// Its name.
    pub name: &'a str,
    /// OID of its type; 0 is unknown.
    pub type_oid: u32,
    /// What it is made of.
    pub made: Made,
}

/// A statement, as far as rules about answers are concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Planned<'a> {
    /// Columns of its result in order; `None` when they could not be found out.
    pub outputs: Option<Vec<Output<'a>>>,
    /// Every column of a table that it reads in any way.
    pub reads: Vec<ColumnId>,
    /// Of those, the ones that it compares, joins, sorts or groups by.
    pub conditions: Vec<ColumnId>,
    /// It is a COPY TO STDOUT, of which the protocol tells nothing.
    pub copy: bool,
}

/// Why the rules refuse a statement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanRefusal {
    /// A column of the result is computed from a masked one.
    #[error("a column of the result is computed from a column that is masked")]
    Derived,
    /// A masked column decides which rows come, or in what order.
    #[error("a masked column may not be compared, joined, sorted or grouped by")]
    Condition,
    /// The columns of a COPY could not be found out, and rules go by columns.
    #[error("the columns of this COPY are not known; name them")]
    Copy,
}

/// Plans the rules by position of contracts.
#[derive(Clone, Debug, Default)]
pub struct Planner(Inspector);

impl Planner {
    /// Puts rules in force.
    ///
    /// # Errors
    /// See [`InspectorError`].
    pub fn new(rules: Rules, origins: &Origins) -> Result<Planner, InspectorError> {
        // Nothing is hashed here, so any key will do.
        let key = MaskKey::new(&[0; 32]).map_err(|_| InspectorError::NoKey)?;
        let keys = Keys {
            mask: Some(key.clone()),
            record: Some(key),
        };
        Inspector::new(rules, origins, keys).map(Planner)
    }

    /// Whether answers are judged by their columns: exchanges are to be built with
    /// [`Expectations::by_columns`](crate::Expectations::by_columns).
    pub fn goes_by_columns(&self) -> bool {
        self.0.by_columns
    }

    /// The rules.
    pub fn rules(&self) -> &Rules {
        &self.0.rules
    }

    /// Masks by position for a statement, for a user with these roles. `named` are masks that a named statement asks
    /// for, by the names of output columns; they come on top.
    ///
    /// # Errors
    /// See [`PlanRefusal`].
    pub fn plan(
        &self,
        statement: &Planned<'_>,
        named: &[(String, Mask)],
        roles: &[String],
    ) -> Result<ColumnRules, PlanRefusal> {
        for id in &statement.conditions {
            if self
                .rules_of(*id, roles)
                .any(|(rule, _)| rule.conditions == Conditions::Refuse)
            {
                return Err(PlanRefusal::Condition);
            }
        }
        let Some(outputs) = &statement.outputs else {
            return self.unknown(statement, named, roles);
        };
        let mut rules = Vec::with_capacity(outputs.len());
        for output in outputs {
            let own = named.iter().find(|(name, _)| name == output.name);
            let mask = self
                .mask(output, roles)?
                .or_else(|| own.map(|(_, mask)| mask.clone()));
            let origin = match &output.made {
                Made::Of(id) => Some(*id),
                Made::From(_) => None,
            };
            let is_tenant = |names: &crate::tenant::TenantNames| names.contains(output.name);
            rules.push(ColumnRule {
                mask,
                tenant: origin.is_some_and(|id| self.0.tenant_columns.contains(&id))
                    || self.0.names.as_ref().is_some_and(is_tenant),
                origin,
                type_oid: output.type_oid,
            });
        }
        // What the Response Validator sees for itself need not be said.
        if !statement.copy && rules.iter().all(|rule| rule.mask.is_none()) {
            return Ok(ColumnRules::Plain);
        }
        Ok(ColumnRules::Listed(rules))
    }

    fn unknown(
        &self,
        statement: &Planned<'_>,
        named: &[(String, Mask)],
        roles: &[String],
    ) -> Result<ColumnRules, PlanRefusal> {
        let masked = statement
            .reads
            .iter()
            .any(|id| self.rules_of(*id, roles).next().is_some());
        if statement.copy && self.0.by_columns {
            return Err(PlanRefusal::Copy);
        }
        Ok(if masked || !named.is_empty() {
            ColumnRules::Unknown
        } else {
            ColumnRules::Plain
        })
    }

    /// The mask rules in force for a column, and whether it is computed from the one that the rule names.
    fn rules_of(&self, id: ColumnId, roles: &[String]) -> impl Iterator<Item = (&MaskRule, bool)> {
        let floors = self.0.masked.get(&id).into_iter().flatten();
        floors.filter_map(|floor| Some((self.0.rule_for(floor.rule, roles)?, floor.derived)))
    }

    fn mask(&self, output: &Output<'_>, roles: &[String]) -> Result<Option<Mask>, PlanRefusal> {
        let within = self.0.masked_types.get(&output.type_oid).into_iter().flatten();
        let within = within
            .filter_map(|rule| self.0.rule_for(*rule, roles))
            .map(|rule| (rule, true));
        let made: Vec<(&MaskRule, bool)> = match &output.made {
            Made::Of(id) => self.rules_of(*id, roles).chain(within).collect(),
            Made::From(ids) => {
                let from = ids.iter().flat_map(|id| self.rules_of(*id, roles));
                from.map(|(rule, _)| (rule, true)).chain(within).collect()
            }
        };
        let mut mask = None;
        for (rule, derived) in made {
            if derived && Inspector::is_refused(rule) {
                return Err(PlanRefusal::Derived);
            }
            // Where several rules meet there is no mask that is as strict as all of them, but one.
            mask = match mask {
                _ if derived => Some(Mask::Null),
                None => Some(rule.mask.clone()),
                Some(known) if known == rule.mask => Some(known),
                Some(_) => Some(Mask::Null),
            };
        }
        Ok(mask)
    }
}

#[cfg(test)]
#[path = "tests/planned.rs"]
mod tests;
