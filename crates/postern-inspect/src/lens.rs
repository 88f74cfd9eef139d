//! What is to be done with each column of one statement's answer.

use crate::Violation;
use crate::inspector::{Inspector, Kept, TenantField};
use crate::kind::{FIRST_USER_OID, Kind};
use crate::mask::Form;
use crate::rules::WithoutOrigin;
use crate::tenant::Tenant;
use postern_types::{ColumnId, ColumnRule, ColumnRules, Contract, CopyKind, CopyRules, Mask, StatementRules};
use postern_wire::{CopyFormat, Field, RowDescription};

/// A column of which all values become NULL.
const HIDDEN: Mask = Mask::Null;

/// One column.
#[derive(Clone, Debug)]
pub(crate) struct Column<'r> {
    pub(crate) form: Form,
    /// Masks, applied one after the other: each can only take more away.
    pub(crate) masks: Vec<&'r Mask>,
    /// It holds the tenant.
    pub(crate) tenant: bool,
    /// It holds rows that hold the tenant.
    pub(crate) tenant_field: Option<TenantField>,
    /// Its values may contain anything.
    pub(crate) searched: bool,
    /// Its values are recorded.
    pub(crate) kept: Option<&'r Kept>,
}

/// All columns of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Lens<'r> {
    pub(crate) columns: Vec<Column<'r>>,
    /// Whose rows these must be; `None` when that is not checked.
    pub(crate) tenant: Option<Tenant<'r>>,
    /// Some column is masked, recorded or compared with the tenant: every row is walked through.
    pub(crate) each_row: bool,
    /// How a COPY is written; `None` for rows, and for a COPY of which nothing is known.
    pub(crate) copy: Option<&'r CopyRules>,
}

/// Makes lenses for the statements of one exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Optician<'r> {
    pub(crate) inspector: &'r Inspector,
    pub(crate) contract: &'r Contract,
}

impl<'r> Optician<'r> {
    /// Whether answers are looked at column by column at all.
    pub(crate) fn is_needed(&self) -> bool {
        let ruled = |rules: &StatementRules| matches!(rules.columns, ColumnRules::Listed(_));
        self.inspector.by_columns || self.contract.statements.iter().any(ruled)
    }

    /// Users with one of the roles that are not held to their tenant.
    pub(crate) fn ignores_tenants(&self) -> bool {
        let tenants = self.inspector.rules.tenants.as_ref();
        tenants.is_some_and(|rules| {
            rules
                .ignore_roles
                .iter()
                .any(|role| self.contract.roles.contains(role))
        })
    }

    fn tenant(&self) -> Option<Tenant<'r>> {
        let refuse_null = match &self.inspector.rules.tenants {
            Some(_) if self.ignores_tenants() => return None,
            Some(rules) => rules.refuse_null,
            // Only what the contract says of positions.
            None => false,
        };
        Some(Tenant::new(self.contract.tenant.as_deref(), refuse_null))
    }

    /// For rows with this description, the body of a RowDescription.
    ///
    /// # Errors
    /// When the columns are not known, or may not be shown at all.
    pub(crate) fn rows(&self, rules: &'r StatementRules, description: &[u8]) -> Result<Lens<'r>, Violation> {
        if description.is_empty() {
            return Err(Violation::Undescribed);
        }
        let description = RowDescription::from_body(description).map_err(|_| Violation::Undescribed)?;
        let listed = listed(&rules.columns, description.len())?;
        let mut lens = self.empty();
        for (place, field) in description.fields().enumerate() {
            let rule = listed.and_then(|rules| rules.get(place));
            lens.columns.push(self.column(rules, rule, &field)?);
        }
        lens.each_row = self.walks(&lens);
        Ok(lens)
    }

    /// For the rows of a COPY. `format` is what PostgreSQL says of it, where that is at hand.
    ///
    /// # Errors
    /// When rules about columns are in force and the contract does not say what the columns are, or how they are
    /// written.
    pub(crate) fn copy(
        &self,
        rules: &'r StatementRules,
        format: Option<CopyFormat>,
    ) -> Result<Lens<'r>, Violation> {
        let mut lens = self.empty();
        let listed = match (format, &rules.columns) {
            (Some(format), columns) => listed(columns, format.columns)?,
            (None, ColumnRules::Listed(list)) => Some(list.as_slice()),
            (None, _) => None,
        };
        let binary = |copy: &CopyRules| copy.format == CopyKind::Binary;
        if let (Some(format), Some(copy)) = (format, &rules.copy)
            && format.binary != binary(copy)
        {
            return Err(Violation::CopyForm);
        }
        let (copy, listed) = match (&rules.copy, listed, &rules.columns) {
            (Some(copy), Some(listed), _) => (copy, listed),
            (_, _, ColumnRules::Plain) if self.trusts_positions() => return Ok(lens),
            _ if self.inspector.names.is_none()
                && self.inspector.kept.is_empty()
                && !self.masks_hold()
                && listed.is_none() =>
            {
                return Ok(lens);
            }
            _ => return Err(Violation::Undescribed),
        };
        for rule in listed {
            let field = Field {
                name: "",
                table_oid: rule.origin.map_or(0, |id| id.relation),
                column: rule.origin.map_or(0, |id| id.attribute),
                type_oid: rule.type_oid,
                size: 0,
                modifier: 0,
                format: u16::from(binary(copy)),
            };
            lens.columns.push(self.column(rules, Some(rule), &field)?);
        }
        if self.masks_hold() && !self.trusts_positions() {
            return Err(Violation::Origin);
        }
        lens.copy = Some(copy);
        lens.each_row = self.walks(&lens);
        Ok(lens)
    }

    fn empty(&self) -> Lens<'r> {
        Lens {
            columns: Vec::new(),
            tenant: self.tenant(),
            each_row: false,
            copy: None,
        }
    }

    fn walks(&self, lens: &Lens<'_>) -> bool {
        let compared = |column: &Column<'_>| column.tenant || column.tenant_field.is_some();
        lens.columns.iter().any(|column| {
            column.kept.is_some() || !column.masks.is_empty() || (lens.tenant.is_some() && compared(column))
        })
    }

    fn trusts_positions(&self) -> bool {
        self.inspector.rules.without_origin == WithoutOrigin::Contract
    }

    /// Whether any mask of the rules is in force for this user.
    fn masks_hold(&self) -> bool {
        let mut masks = self.inspector.rules.masks.iter();
        masks.any(|rule| rule.holds_for(&self.contract.roles))
    }

    fn column(
        &self,
        rules: &'r StatementRules,
        rule: Option<&'r ColumnRule>,
        field: &Field<'_>,
    ) -> Result<Column<'r>, Violation> {
        let inspector = self.inspector;
        let id = ColumnId {
            relation: field.table_oid,
            attribute: field.column,
        };
        self.check_origin(rules, id)?;
        let kind = match Kind::of(field.type_oid) {
            Kind::Other if inspector.text_types.contains(&field.type_oid) => Kind::Text,
            kind => kind,
        };
        let mut masks: Vec<&'r Mask> = rule.and_then(|rule| rule.mask.as_ref()).into_iter().collect();
        for floor in inspector.masked.get(&id).into_iter().flatten() {
            let Some(rule) = inspector.rule_for(floor.rule, &self.contract.roles) else {
                continue;
            };
            if floor.derived && Inspector::is_refused(rule) {
                return Err(Violation::Derived);
            }
            let mask = if floor.derived { &HIDDEN } else { &rule.mask };
            // A hash of a hash would be another one than the policy means.
            if !masks.contains(&mask) {
                masks.push(mask);
            }
        }
        for rule in inspector.masked_types.get(&field.type_oid).into_iter().flatten() {
            let Some(rule) = inspector.rule_for(*rule, &self.contract.roles) else {
                continue;
            };
            if Inspector::is_refused(rule) {
                return Err(Violation::Derived);
            }
            masks.push(&HIDDEN);
        }
        let named = || {
            inspector
                .names
                .as_ref()
                .is_some_and(|names| names.contains(field.name))
        };
        Ok(Column {
            form: Form {
                kind,
                type_oid: field.type_oid,
                binary: field.format == 1,
            },
            masks,
            tenant: inspector.tenant_columns.contains(&id) || rule.is_some_and(|rule| rule.tenant) || named(),
            tenant_field: inspector.tenant_types.get(&field.type_oid).copied(),
            searched: kind.is_searched(),
            kept: inspector.kept.get(&id),
        })
    }

    /// A column of which nobody knows what it is made of may be made of a masked one.
    fn check_origin(&self, rules: &StatementRules, id: ColumnId) -> Result<(), Violation> {
        if !self.masks_hold() {
            return Ok(());
        }
        let known = match id.relation {
            0 => false,
            // A view of the system's own shows nothing of users' tables but statistics.
            1..FIRST_USER_OID => true,
            relation => self.inspector.known.contains(&relation) && !self.inspector.unknown.contains(&id),
        };
        if known || (self.trusts_positions() && rules.columns != ColumnRules::Unknown) {
            Ok(())
        } else {
            Err(Violation::Origin)
        }
    }
}

/// The rules by position, if there are any; they must be as many as the columns.
fn listed(rules: &ColumnRules, columns: u16) -> Result<Option<&[ColumnRule]>, Violation> {
    match rules {
        ColumnRules::Unknown | ColumnRules::Plain => Ok(None),
        ColumnRules::Listed(rules) if rules.len() == usize::from(columns) => Ok(Some(rules)),
        ColumnRules::Listed(rules) => Err(Violation::Columns {
            expected: u16::try_from(rules.len()).unwrap_or(u16::MAX),
            found: columns,
        }),
    }
}
