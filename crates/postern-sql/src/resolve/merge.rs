//! MERGE.

use super::scope::{Hold, Level};
use super::value::Named;
use super::walk::{R, Walk};
use super::write::{Target, written_value};
use super::{Access, Action, Inserted, Place, ResolveError, Written};
use crate::tree::Tree;
use pg_query::protobuf::{CmdType, MergeMatchKind};
use postern_catalog::RuleEvent;

impl<'a> Walk<'a> {
    pub(crate) fn merge(&mut self, node: &Tree, parent: Option<&Level<'_>>) -> R<Vec<Named>> {
        let mut level = Level::new(parent, self.instances.len());
        self.with(node.get("with_clause"), &mut level)?;
        let clauses = node.get("merge_when_clauses").items();
        let does = |command: CmdType| {
            clauses
                .iter()
                .any(|clause| clause.number("command_type") == command as i64)
        };
        let has = |kind: MergeMatchKind| {
            clauses
                .iter()
                .any(|clause| clause.number("match_kind") == kind as i64)
        };
        let mut events = Vec::new();
        let mut access = Access::Read;
        for (command, event, action, is) in [
            (
                CmdType::CmdInsert,
                RuleEvent::Insert,
                Action::Insert,
                Access::Read,
            ),
            (
                CmdType::CmdDelete,
                RuleEvent::Delete,
                Action::Delete,
                Access::Delete,
            ),
            (
                CmdType::CmdUpdate,
                RuleEvent::Update,
                Action::Update,
                Access::Update,
            ),
        ] {
            if does(command) {
                events.push((event, action));
                access = access.max(is);
                if is == Access::Update {
                    access = is;
                }
            }
        }
        let range = node.get("relation");
        let target = self.target(range, &events)?;
        let (instance, item) = self.target_item(&target, range, access)?;
        let after_target = self.instances.len();
        self.joins = self.joins.saturating_add(u32::from(self.via == 0));
        let source = self.entry_of_from(node.get("source_relation"), &mut level)?;
        let end = self.instances.len();
        level.items.push(item);
        level.items.extend(source);

        let condition = node.get("join_condition");
        self.value(condition, &level, Place::Join.into())?;
        // What has no partner is not dropped if there is a clause for it.
        let mut allowed = Vec::new();
        if !has(MergeMatchKind::MergeWhenNotMatchedBySource) {
            allowed.push(instance..after_target);
        }
        if !has(MergeMatchKind::MergeWhenNotMatchedByTarget) {
            allowed.push(after_target..end);
        }
        self.bind_condition(condition, &level, &allowed)?;

        let mut written = Vec::new();
        for clause in clauses {
            self.condition(clause.get("condition"), &level)?;
            let command = clause.number("command_type");
            let list = clause.get("target_list").items();
            if command == CmdType::CmdUpdate as i64 {
                written.extend(self.set(list, &target, &level)?);
            } else if command == CmdType::CmdInsert as i64 {
                self.merge_insert(clause, &target, &level)?;
            }
        }
        if let Some(instance) = self.instances.get_mut(instance) {
            instance.written = written;
        }
        self.returning(node, range, &target, instance, Hold::Nothing, level)
    }

    fn merge_insert(&mut self, clause: &Tree, target: &Target<'a>, level: &Level<'_>) -> R<()> {
        let inserted = self.instance(target.base, Access::Insert, true);
        let list = clause.get("target_list").items();
        let values = self.row(clause.get("values").items(), level, Place::Value.into())?;
        let mut numbers = Vec::new();
        for column in list {
            numbers.push(self.target_column(column, target, level)?);
        }
        if numbers.is_empty() {
            numbers.extend(target.named.columns.iter().map(|column| column.number));
        }
        if values.len() > numbers.len() {
            return Err(ResolveError::new(
                "42601",
                "INSERT has more expressions than target columns".to_owned(),
            ));
        }
        let mut written = Vec::new();
        for (number, value) in numbers.into_iter().zip(&values) {
            let base = self.writes(target, Action::Insert, number);
            written.extend(base.map(|column| Written {
                column,
                values: vec![written_value(value)],
            }));
        }
        for column in &target.base.columns {
            if !written.iter().any(|w| w.column == column.number) {
                written.push(Written {
                    column: column.number,
                    values: vec![Inserted::Default],
                });
            }
        }
        self.charge(written.len().saturating_mul(4))?;
        written.sort_by_key(|written| written.column);
        if let Some(instance) = self.instances.get_mut(inserted) {
            instance.written = written;
        }
        Ok(())
    }
}
