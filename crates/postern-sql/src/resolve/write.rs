//! INSERT, UPDATE and DELETE.

use super::from::rename;
use super::scope::{Columns, Hold, Item, Level};
use super::value::{Named, Places, Value};
use super::walk::{R, Walk};
use super::{Access, Action, Bound, Inserted, Object, Place, ResolveError, Written};
use crate::tree::Tree;
use pg_query::protobuf::{OnConflictAction, ReturningOptionKind};
use postern_catalog::{Relation, RelationId, RelationKind, RuleEvent};

/// What a statement writes to. Behind a view that can be written to there is one base relation.
pub(crate) struct Target<'a> {
    /// The relation that is named.
    pub(crate) named: &'a Relation,
    /// Where the rows are.
    pub(crate) base: &'a Relation,
    /// The named relation's columns, and those of the base that they are.
    pub(crate) columns: Vec<(i16, Option<i16>)>,
}

impl<'a> Target<'a> {
    fn base_column(&self, number: i16) -> Option<i16> {
        self.columns
            .iter()
            .find(|(named, _)| *named == number)
            .and_then(|(_, base)| *base)
    }
}

impl<'a> Walk<'a> {
    /// Makes out what is written to, and notes it.
    ///
    /// # Errors
    /// When the relation does not take rows, or a rule or a trigger of a view decides what is written.
    pub(crate) fn target(&mut self, range: &Tree, events: &[(RuleEvent, Action)]) -> R<Target<'a>> {
        let named = self.relation(range)?;
        for (_, action) in events {
            self.act_on(*action, named);
        }
        if named
            .rules
            .iter()
            .any(|rule| events.iter().any(|(event, _)| *event == rule.event))
        {
            return Err(ResolveError::unsupported(
                "a table with rules that rewrite this statement",
            ));
        }
        let itself = |relation: &Relation| {
            relation
                .columns
                .iter()
                .map(|c| (c.number, Some(c.number)))
                .collect()
        };
        match named.kind {
            RelationKind::Table | RelationKind::Partitioned | RelationKind::Foreign => Ok(Target {
                named,
                base: named,
                columns: itself(named),
            }),
            RelationKind::View if !named.instead_of_triggers => self.view_target(named, events),
            RelationKind::View => Err(ResolveError::unsupported("a view with INSTEAD OF triggers")),
            RelationKind::MaterializedView | RelationKind::Sequence | RelationKind::Composite => Err(
                ResolveError::new("42809", format!("cannot change relation \"{}\"", named.name)),
            ),
        }
    }

    fn view_target(&mut self, named: &'a Relation, events: &[(RuleEvent, Action)]) -> R<Target<'a>> {
        let view = self.view(named)?;
        let [only] = view.instances.as_slice() else {
            return Err(ResolveError::new(
                "55000",
                format!("cannot change view \"{}\"", named.name),
            ));
        };
        let base = self.names.catalog.relation_by_oid(only.relation);
        let base = base.ok_or_else(|| ResolveError::no_relation(&named.name))?;
        let outer = std::mem::replace(&mut self.via, named.oid);
        for (_, action) in events {
            self.act_on(*action, base);
        }
        self.via = outer;
        let columns = named.columns.iter().zip(&view.columns).map(|(column, behind)| {
            let direct = behind.value.direct.filter(|(relation, _)| *relation == base.oid);
            (column.number, direct.map(|(_, number)| number))
        });
        Ok(Target {
            named,
            base,
            columns: columns.collect(),
        })
    }

    /// Notes that a column is written, and what goes there.
    pub(crate) fn writes(&mut self, target: &Target<'a>, action: Action, number: i16) -> Option<i16> {
        self.act(action, Object::Column(RelationId(target.named.oid), number));
        let base = target.base_column(number);
        if let Some(base) = base
            && target.base.oid != target.named.oid
        {
            let outer = std::mem::replace(&mut self.via, target.named.oid);
            self.act(action, Object::Column(RelationId(target.base.oid), base));
            self.via = outer;
        }
        base
    }

    /// The rows of the target as an entry of FROM, for UPDATE, DELETE and MERGE.
    pub(crate) fn target_item<'p>(
        &mut self,
        target: &Target<'a>,
        range: &Tree,
        access: Access,
    ) -> R<(usize, Item<'p>)>
    where
        'a: 'p,
    {
        let instance = self.instances.len();
        let mut item = self.relation_item(target.named, !range.flag("inh"), access)?;
        if let Some(instance) = self.instances.get_mut(instance) {
            instance.access = access;
        }
        rename(&mut item, range.get("alias"))?;
        Ok((instance, item))
    }

    pub(crate) fn insert(&mut self, node: &Tree, parent: Option<&Level<'_>>) -> R<Vec<Named>> {
        let mut level = Level::new(parent, self.instances.len());
        self.with(node.get("with_clause"), &mut level)?;
        let range = node.get("relation");
        let target = self.target(range, &[(RuleEvent::Insert, Action::Insert)])?;
        let instance = self.instance(target.base, Access::Insert, true);
        let columns = self.insert_columns(node.get("cols").items(), &target, &level)?;
        let rows = self.insert_rows(node.get("select_stmt"), &level)?;
        if rows.len() > columns.len() {
            return Err(ResolveError::new(
                "42601",
                "INSERT has more expressions than target columns".to_owned(),
            ));
        }
        let explicit = node.get("cols") != &Tree::Nothing;
        if explicit && rows.len() < columns.len() && node.get("select_stmt") != &Tree::Nothing {
            return Err(ResolveError::new(
                "42601",
                "INSERT has more target columns than expressions".to_owned(),
            ));
        }
        let mut written = Vec::new();
        for (number, (ty, values)) in columns.iter().zip(rows) {
            let base = self.writes(&target, Action::Insert, *number);
            let wanted = target
                .named
                .column_by_number(*number)
                .map(|column| column.type_oid);
            if let Some(wanted) = wanted {
                self.cast(&ty, &super::value::Ty::Oid(wanted))?;
            }
            written.extend(base.map(|column| Written { column, values }));
        }
        for column in &target.base.columns {
            if !written.iter().any(|w| w.column == column.number) {
                written.push(Written {
                    column: column.number,
                    values: vec![Inserted::Default],
                });
            }
        }
        self.charge(written.len().saturating_mul(written.len()))?;
        written.sort_by_key(|written| written.column);
        if let Some(instance) = self.instances.get_mut(instance) {
            instance.written = written;
        }
        self.on_conflict(
            node.get("on_conflict_clause"),
            range,
            &target,
            instance,
            &mut level,
        )?;
        self.returning(node, range, &target, instance, Hold::Value, level)
    }

    /// The columns that are named, or all.
    fn insert_columns(&mut self, named: &[Tree], target: &Target<'a>, level: &Level<'_>) -> R<Vec<i16>> {
        if named.is_empty() {
            return Ok(target.named.columns.iter().map(|column| column.number).collect());
        }
        let mut numbers = Vec::new();
        for column in named {
            numbers.push(self.target_column(column, target, level)?);
        }
        Ok(numbers)
    }

    /// The column that a ResTarget names on the left side.
    pub(crate) fn target_column(&mut self, node: &Tree, target: &Target<'a>, level: &Level<'_>) -> R<i16> {
        self.charge(target.named.columns.len().saturating_div(4).saturating_add(1))?;
        let name = node.text("name");
        let column = target.named.column(name).ok_or_else(|| {
            let relation = &target.named.name;
            ResolveError::new(
                "42703",
                format!("column \"{name}\" of relation \"{relation}\" does not exist"),
            )
        })?;
        for step in node
            .get("indirection")
            .items()
            .iter()
            .filter(|step| step.kind() == "AIndices")
        {
            let mut reads = Vec::new();
            self.parts(step.get("lidx"), level, Place::Value.into(), &mut reads)?;
            self.parts(step.get("uidx"), level, Place::Value.into(), &mut reads)?;
        }
        Ok(column.number)
    }

    /// What goes into each column.
    fn insert_rows(&mut self, source: &Tree, level: &Level<'_>) -> R<Vec<(super::value::Ty, Vec<Inserted>)>> {
        if source == &Tree::Nothing {
            return Ok(Vec::new());
        }
        let rows = source.get("values_lists").items();
        let plain = !rows.is_empty()
            && ["sort_clause", "limit_count", "limit_offset"]
                .iter()
                .all(|clause| source.get(clause) == &Tree::Nothing);
        if !plain {
            let columns = self.query(source, Some(level))?;
            let mut all = Vec::new();
            for column in columns {
                self.note(&column.value, Place::Value.into())?;
                let values = vec![written_value(&column.value)];
                all.push((column.value.ty, values));
            }
            return Ok(all);
        }
        let mut inner = Level::new(Some(level), self.instances.len());
        self.with(source.get("with_clause"), &mut inner)?;
        let mut all: Vec<(super::value::Ty, Vec<Inserted>)> = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            let row = self.row(row.items(), &inner, Place::Value.into())?;
            if at > 0 && row.len() != all.len() {
                return Err(ResolveError::new(
                    "42601",
                    "VALUES lists must all be the same length".to_owned(),
                ));
            }
            for (column, value) in row.into_iter().enumerate() {
                let written = written_value(&value);
                match all.get_mut(column) {
                    None => all.push((value.ty, vec![written])),
                    Some((_, values)) => {
                        self.charge(values.len())?;
                        if !values.contains(&written) {
                            values.push(written);
                        }
                    }
                }
            }
        }
        if self.folded && rows.len() > 1 {
            // Rows may have been left out.
            for (_, values) in &mut all {
                values.push(Inserted::Unknown);
            }
        }
        Ok(all)
    }

    fn on_conflict<'p>(
        &mut self,
        node: &Tree,
        range: &Tree,
        target: &Target<'a>,
        inserted: usize,
        level: &mut Level<'p>,
    ) -> R<()>
    where
        'a: 'p,
    {
        if node == &Tree::Nothing {
            return Ok(());
        }
        let updates = node.number("action") == OnConflictAction::OnconflictUpdate as i64;
        let (instance, item) = if updates {
            self.act_on(Action::Update, target.named);
            self.target_item(target, range, Access::Update)?
        } else {
            let mut item = self.row_item(target, inserted, Hold::Value);
            rename(&mut item, range.get("alias"))?;
            (inserted, item)
        };
        let mut excluded = self.row_item(target, inserted, Hold::Value);
        excluded.name = Some("excluded".into());
        excluded.columns_visible = false;
        level.items.push(item);

        let infer = node.get("infer");
        let mut arbiters = Vec::new();
        for element in infer.get("index_elems").items() {
            let name = element.text("name");
            if name.is_empty() {
                self.value(element.get("expr"), level, Place::Condition.into())?;
            } else {
                let value = self.find_column_here(name, level)?;
                let value = value.ok_or_else(|| ResolveError::no_column(&format!("\"{name}\"")))?;
                self.note(&value, Place::Condition.into())?;
                let plain =
                    element.get("collation") == &Tree::Nothing && element.get("opclass") == &Tree::Nothing;
                arbiters.extend(value.direct.filter(|_| plain).map(|(_, column)| column));
            }
        }
        self.condition(infer.get("where_clause"), level)?;
        let constraint = infer.text("conname");
        if !constraint.is_empty() {
            let key = target.base.keys.iter().find(|key| key.name == constraint);
            arbiters.extend(key.into_iter().flat_map(|key| key.columns.iter().copied()));
        }
        if updates {
            // The row that is in the way has the same values in the columns of the index.
            if let Some(instance) = self.instances.get_mut(instance) {
                for column in arbiters {
                    let bound = Bound::OtherColumn {
                        instance: inserted,
                        column,
                    };
                    instance.bounds.push((column, bound));
                }
            }
            level.items.push(excluded);
            let written = self.set(node.get("target_list").items(), target, level)?;
            if let Some(instance) = self.instances.get_mut(instance) {
                instance.written = written;
            }
            let condition = node.get("where_clause");
            self.condition(condition, level)?;
            let range = instance..self.instances.len();
            self.bind_condition(condition, level, std::slice::from_ref(&range))?;
        }
        level.items.clear();
        Ok(())
    }

    /// The SET list of an UPDATE.
    pub(crate) fn set(&mut self, list: &[Tree], target: &Target<'a>, level: &Level<'_>) -> R<Vec<Written>> {
        let mut all = Vec::new();
        for entry in list {
            let number = self.target_column(entry, target, level)?;
            let base = self.writes(target, Action::Update, number);
            let node = entry.get("val");
            let partly = entry.get("indirection") != &Tree::Nothing;
            let value = match node.kind() {
                "MultiAssignRef" => self.multiple(node, level)?,
                _ => self.value(node, level, Place::Value.into())?,
            };
            if let Some(column) = target.named.column_by_number(number) {
                self.cast(&value.ty, &super::value::Ty::Oid(column.type_oid))?;
            }
            let written = if partly {
                Inserted::Unknown
            } else {
                written_value(&value)
            };
            all.extend(base.map(|column| Written {
                column,
                values: vec![written],
            }));
        }
        Ok(all)
    }

    /// One column of `(a, b) = …`. The whole right side is in the tree once for each.
    fn multiple(&mut self, node: &Tree, level: &Level<'_>) -> R<Value> {
        let source = node.get("source");
        let number = usize::try_from(node.number("colno")).unwrap_or_default();
        let at = Places::from(Place::Value);
        if source.kind() == "RowExpr" {
            let argument = number
                .checked_sub(1)
                .and_then(|at| source.get("args").items().get(at));
            return match argument {
                Some(argument) => self.value(argument, level, at),
                None => Err(ResolveError::new(
                    "42601",
                    "number of columns does not match number of values".to_owned(),
                )),
            };
        }
        if number > 1 {
            return Ok(Value::default());
        }
        let value = self.value(source, level, at)?;
        Ok(Value {
            known: None,
            source: None,
            ..value
        })
    }

    pub(crate) fn update(&mut self, node: &Tree, parent: Option<&Level<'_>>) -> R<Vec<Named>> {
        let (level, target, instance) = self.changed(
            node,
            parent,
            (RuleEvent::Update, Action::Update, Access::Update),
            "from_clause",
        )?;
        let written = self.set(node.get("target_list").items(), &target, &level)?;
        if let Some(instance) = self.instances.get_mut(instance) {
            instance.written = written;
        }
        self.where_of_change(node, &level)?;
        self.returning(
            node,
            node.get("relation"),
            &target,
            instance,
            Hold::Nothing,
            level,
        )
    }

    pub(crate) fn delete(&mut self, node: &Tree, parent: Option<&Level<'_>>) -> R<Vec<Named>> {
        let (level, target, instance) = self.changed(
            node,
            parent,
            (RuleEvent::Delete, Action::Delete, Access::Delete),
            "using_clause",
        )?;
        self.where_of_change(node, &level)?;
        self.returning(node, node.get("relation"), &target, instance, Hold::Value, level)
    }

    /// WITH, target and FROM of UPDATE and DELETE.
    fn changed<'p>(
        &mut self,
        node: &'p Tree,
        parent: Option<&'p Level<'p>>,
        (event, action, access): (RuleEvent, Action, Access),
        from: &str,
    ) -> R<(Level<'p>, Target<'a>, usize)>
    where
        'a: 'p,
    {
        let mut level = Level::new(parent, self.instances.len());
        self.with(node.get("with_clause"), &mut level)?;
        let target = self.target(node.get("relation"), &[(event, action)])?;
        let (instance, mut item) = self.target_item(&target, node.get("relation"), access)?;
        // Sub-selects of FROM can't see it.
        (item.lateral_only, item.lateral_ok) = (true, false);
        level.items.push(item);
        self.entries_of_from(node.get(from).items(), &mut level)?;
        for item in &mut level.items {
            item.lateral_ok = true;
        }
        Ok((level, target, instance))
    }

    fn where_of_change(&mut self, node: &Tree, level: &Level<'_>) -> R<()> {
        let condition = node.get("where_clause");
        let looks_at_columns = self.condition(condition, level)? || condition.kind() == "CurrentOfExpr";
        if !looks_at_columns && self.via == 0 {
            self.has_where = false;
        }
        self.bind_where(condition, level)
    }

    /// The target's row as RETURNING and ON CONFLICT see it.
    fn row_item<'p>(&mut self, target: &Target<'a>, instance: usize, hold: Hold) -> Item<'p>
    where
        'a: 'p,
    {
        let relation = target.named;
        let mut item = if target.named.oid == target.base.oid {
            let columns = Columns::Relation {
                relation,
                instance,
                names: Vec::new(),
                hold,
            };
            Item::new(Some(&relation.name), columns)
        } else {
            Item::list(Some(&relation.name), self.view_row(target, instance, hold))
        };
        item.relation = Some(relation);
        item.rows_of = Some(relation);
        item
    }

    /// RETURNING.
    pub(crate) fn returning<'p>(
        &mut self,
        node: &Tree,
        range: &Tree,
        target: &Target<'a>,
        instance: usize,
        hold: Hold,
        mut level: Level<'p>,
    ) -> R<Vec<Named>>
    where
        'a: 'p,
    {
        let clause = node.get("returning_clause");
        if clause == &Tree::Nothing {
            return Ok(Vec::new());
        }
        let mut item = self.row_item(target, instance, hold);
        rename(&mut item, range.get("alias"))?;
        // The entry of the target is the one in which rows are found; here it is the row that was written.
        match level.items.iter_mut().find(|other| other.name == item.name) {
            Some(other) => *other = item,
            None => level.items.push(item),
        }
        let mut aliases = [("old", "old".to_owned()), ("new", "new".to_owned())];
        for option in clause.get("options").items() {
            let old = option.number("option") == ReturningOptionKind::ReturningOptionOld as i64;
            if let Some((_, alias)) = aliases.iter_mut().find(|(row, _)| (*row == "old") == old) {
                option.text("value").clone_into(alias);
            }
        }
        for (_, alias) in &aliases {
            if level.items.iter().any(|item| item.name.as_deref() == Some(alias)) {
                continue;
            }
            let mut item = self.row_item(target, instance, Hold::Nothing);
            item.name = Some(alias.as_str().into());
            item.relation = None;
            item.columns_visible = false;
            level.items.push(item);
        }
        self.targets(clause.get("exprs").items(), &level)
    }
}

/// What a value is, as something that is written.
pub(crate) fn written_value(value: &Value) -> Inserted {
    match (&value.known, value.source) {
        (Some(known), _) => known.clone(),
        (None, Some((instance, column))) => Inserted::Known(Bound::OtherColumn { instance, column }),
        (None, None) => Inserted::Unknown,
    }
}
