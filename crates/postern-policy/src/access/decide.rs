//! One statement under the rules: every action on every object, and what no rule can be about.

use super::class::{Class, class};
use super::rules::{Answer, Object, Principal, Rules, Verb};
use crate::judge::SECRET_CATALOG;
use crate::role::Role;
use crate::settings;
use crate::verdict::Finding;
use postern_catalog::{Catalog, Function, Relation, RelationId};
use postern_sql::resolve::{self, Action, ActionUse, Resolved};
use postern_sql::{FunctionUse, Statement, StatementKind, Transaction};
use std::collections::HashSet;

/// What no rule about an object says.
const NO_RULE: &str = "no rule permits it";
/// What is told of the catalogue needs `catalog: read`.
const NO_CATALOG: &str = "the role has not `catalog: read`";

/// The column number that stands for `*` and whole rows.
const EVERY_COLUMN: i16 = 0;
/// What a column is called of which the catalogue knows nothing yet; no column of PostgreSQL has this name. Where `*`
/// or a whole row is read, a rule must let it through, or a column that is added tomorrow would come out without one.
const ADDED_LATER: &str = "";

/// What a decision depends on.
pub(crate) struct Case<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) catalog: &'a Catalog,
    /// The user's roles with `access: cedar`; at least one.
    pub(crate) roles: &'a [(&'a str, &'a Role)],
    pub(crate) who: Principal<'a>,
    pub(crate) statement: &'a Statement,
    pub(crate) resolved: &'a Resolved,
}

/// Decides on a statement. Everything that was asked goes into `findings`, with what was found.
///
/// Whether it may run: nothing in `findings` speaks against it.
pub(crate) fn decide(case: &Case<'_>, findings: &mut Vec<Finding>) {
    let statement = case.statement;
    for kind in std::iter::once(statement.kind).chain(statement.parts.iter().copied()) {
        if let Some(why) = never(kind) {
            findings.push(Finding::refused(kind.name(), why));
        }
    }
    for change in &statement.settings {
        let name = change.name.as_deref().unwrap_or("*");
        let what = || format!("set {name}");
        if name == "search_path" {
            findings.push(Finding::refused(what(), "names would mean something else then"));
            continue;
        }
        let answer = case.rules.ask(&case.who, Verb::Set, &Object::Setting(name));
        findings.push(match &*answer {
            Answer::Permitted {
                by_name: true, rules, ..
            } => Finding::allowed(what(), rules),
            Answer::Permitted { rules, .. } if settings::is_harmless(name) => Finding::allowed(what(), rules),
            Answer::Permitted { .. } => Finding::refused(what(), "no rule names this very setting"),
            Answer::Forbidden(rules) => Finding::refused(what(), rules),
            Answer::Silent => Finding::refused(what(), NO_RULE),
        });
    }
    if !case.reads_catalog() {
        // What such a cast gives tells what there is in the database, whoever may read it.
        let looked_up = |used: &&FunctionUse| postern_sql::is_name_type(&used.name);
        let names = statement.functions.iter().filter(looked_up);
        findings.extend(names.map(|used| Finding::refused(format!("names by {}", used.name), NO_CATALOG)));
    }
    // The columns through which a relation is reached; each is judged by itself.
    let mut reached: HashSet<(Action, RelationId)> = HashSet::new();
    for used in &case.resolved.actions {
        if let resolve::Object::Column(relation, number) = used.object
            && number > 0
        {
            reached.insert((used.action, relation));
        }
    }
    for used in &case.resolved.actions {
        case.action(used, &reached, findings);
    }
}

/// Kinds of statement that no rule can allow, because nothing is known of what they do. Written as a full
/// list, so that a new kind has to be thought about.
fn never(kind: StatementKind) -> Option<&'static str> {
    use StatementKind as K;
    match kind {
        // Their objects decide.
        K::Select
        | K::Insert
        | K::Update
        | K::Delete
        | K::Merge
        | K::Set
        | K::SetLocal
        | K::Show
        | K::Reset
        | K::Copy { client: true, .. }
        | K::Explain
        | K::Listen
        | K::Notify
        | K::Lock
        | K::Truncate
        | K::Ddl
        | K::Call => None,
        // They only let go of something, or use what an allowed statement has made.
        K::ResetAll
        | K::Deallocate
        | K::DeclareCursor { .. }
        | K::Fetch
        | K::CloseCursor
        | K::Unlisten
        | K::Discard { all: true } => None,
        K::Transaction(Transaction::Prepare | Transaction::FinishPrepared) => {
            Some("two-phase commit is never allowed")
        }
        K::Transaction(_) => None,
        K::Copy { client: false, .. } => Some("COPY with a file or program of the server is never allowed"),
        K::Prepare | K::Execute => Some("PREPARE and EXECUTE as SQL are never allowed"),
        K::Do => Some("DO is never allowed"),
        K::Load => Some("LOAD is never allowed"),
        K::Discard { all: false } => Some("DISCARD of a part is never allowed"),
        K::Maintenance => Some("maintenance is never allowed"),
        K::Other => Some("this kind of statement is not known"),
    }
}

fn verb(action: Action) -> Verb {
    match action {
        Action::Select => Verb::Select,
        Action::Insert => Verb::Insert,
        Action::Update => Verb::Update,
        Action::Delete => Verb::Delete,
        Action::Truncate => Verb::Truncate,
        Action::Call => Verb::Call,
        Action::Copy => Verb::Copy,
        Action::Ddl => Verb::Ddl,
        Action::Set => Verb::Set,
        Action::Lock => Verb::Lock,
        Action::Listen => Verb::Listen,
        Action::Notify => Verb::Notify,
        Action::Explain => Verb::Explain,
    }
}

impl Case<'_> {
    fn action(&self, used: &ActionUse, reached: &HashSet<(Action, RelationId)>, findings: &mut Vec<Finding>) {
        use resolve::Object as O;
        let verb = verb(used.action);
        let finding = match &used.object {
            O::Relation(id) => {
                // SELECT, INSERT and UPDATE are about columns where any are named.
                if reached.contains(&(used.action, *id))
                    && matches!(verb, Verb::Select | Verb::Insert | Verb::Update)
                {
                    return;
                }
                match self.catalog.relation_by_oid(id.0) {
                    Some(relation) => self.relation(verb, relation, None, used.via),
                    None => Finding::refused("a table", "it is not in the catalogue"),
                }
            }
            O::Column(id, number) => match self.catalog.relation_by_oid(id.0) {
                Some(relation) => self.relation(verb, relation, Some(*number), used.via),
                None => Finding::refused("a column", "it is not in the catalogue"),
            },
            O::Function(id) => match self.catalog.function_by_oid(id.0) {
                // Judged by what they set, and whom they notify.
                Some(f)
                    if f.schema == "pg_catalog" && matches!(f.name.as_str(), "set_config" | "pg_notify") =>
                {
                    return;
                }
                Some(function) => self.function(verb, function),
                None => Finding::refused("a function", "it is not in the catalogue"),
            },
            // Settings that are changed are judged by the statement's own list of them.
            O::Setting(_) if verb == Verb::Set => return,
            O::Setting(name) => {
                let object = Object::Setting(name);
                if settings::may_show(name) {
                    Finding::allowed(format!("{} {object}", verb.name()), "harmless")
                } else {
                    self.ask(verb, &object)
                }
            }
            O::Schema(schema) => self.ask(verb, &Object::Schema(schema)),
            O::Channel(channel) => self.ask(verb, &Object::Channel(channel)),
            O::Database => self.ask(verb, &Object::Database),
        };
        findings.push(finding);
    }

    fn ask(&self, verb: Verb, object: &Object<'_>) -> Finding {
        let what = format!("{} {object}", verb.name());
        match &*self.rules.ask(&self.who, verb, object) {
            Answer::Permitted { rules, .. } => Finding::allowed(what, rules),
            Answer::Forbidden(rules) => Finding::refused(what, rules),
            Answer::Silent => Finding::refused(what, NO_RULE),
        }
    }

    fn relation(
        &self,
        verb: Verb,
        relation: &Relation,
        column: Option<i16>,
        via: Option<RelationId>,
    ) -> Finding {
        let (schema, name) = (relation.schema.as_str(), relation.name.as_str());
        let object = match column {
            Some(EVERY_COLUMN) => Object::Column(schema, name, ADDED_LATER),
            // System columns are the table's.
            Some(number) if number > 0 => match relation.column_name(number) {
                Some(column) => Object::Column(schema, name, column),
                None => return Finding::refused("a column", "it is not in the catalogue"),
            },
            _ => Object::Table(schema, name),
        };
        let what = match column {
            Some(EVERY_COLUMN) => format!(
                "{} every column of {}, those added later too",
                verb.name(),
                Object::Table(schema, name)
            ),
            _ => format!("{} {object}", verb.name()),
        };
        let catalog = matches!(schema, "pg_catalog" | "information_schema");
        let secret = catalog && SECRET_CATALOG.contains(&name);
        let own = self.rules.ask(&self.who, verb, &object);
        // A column is in its table, so rules for what is `in` the table have answered already. What is left are rules
        // with `==`: they hold for all columns, unless a condition may be meant to take one out.
        let table = self.rules.ask(&self.who, verb, &Object::Table(schema, name));
        let answer = match (&*own, &*table) {
            (Answer::Forbidden(_), _) => &own,
            (_, Answer::Forbidden(_)) => &table,
            (
                Answer::Silent | Answer::Permitted { by_name: false, .. },
                Answer::Permitted { whole: true, .. },
            ) => &table,
            _ => &own,
        };
        match &**answer {
            Answer::Forbidden(rules) => Finding::refused(what, rules),
            Answer::Permitted { by_name: false, .. } if secret => {
                Finding::refused(what, "no rule names this very table, which holds secrets")
            }
            Answer::Permitted { rules, .. } => Finding::allowed(what, rules),
            Answer::Silent if catalog && !secret && verb == Verb::Select && self.reads_catalog() => {
                Finding::allowed(what, "catalog: read")
            }
            Answer::Silent => match via.and_then(|via| self.through(verb, via)) {
                Some(rules) => Finding::allowed(what, rules),
                None => Finding::refused(what, NO_RULE),
            },
        }
    }

    /// What lets the statement reach something through this relation: a rule for an ancestor is one for what
    /// inherits from it, and a rule can open what is behind a view that it names.
    fn through(&self, verb: Verb, via: RelationId) -> Option<String> {
        let relation = self.catalog.relation_by_oid(via.0)?;
        let object = Object::Table(&relation.schema, &relation.name);
        match &*self.rules.ask(&self.who, verb, &object) {
            Answer::Permitted { rules, opens, .. } if !relation.kind.is_view() || *opens => {
                Some(format!("{rules}, through {object}"))
            }
            _ => None,
        }
    }

    fn reads_catalog(&self) -> bool {
        self.roles.iter().any(|(_, role)| role.catalog)
    }

    fn function(&self, verb: Verb, function: &Function) -> Finding {
        let (schema, name) = (function.schema.as_str(), function.name.as_str());
        let object = Object::Function(schema, name);
        let what = format!("{} {object}", verb.name());
        let answer = self.rules.ask(&self.who, verb, &object);
        if let Answer::Forbidden(rules) = &*answer {
            return Finding::refused(what, rules);
        }
        let named = (schema.to_owned(), name.to_owned());
        if verb == Verb::Call && self.roles.iter().any(|(_, role)| role.functions.contains(&named)) {
            return Finding::allowed(what, "functions");
        }
        let class = if verb == Verb::Call {
            class(function, self.reads_catalog())
        } else {
            Class::Ordinary
        };
        match (class, &*answer) {
            (Class::Harmless, _) => Finding::allowed(what, "harmless"),
            (Class::Ordinary, Answer::Permitted { rules, .. })
            | (
                Class::Dangerous,
                Answer::Permitted {
                    rules, by_name: true, ..
                },
            ) => Finding::allowed(what, rules),
            (Class::Dangerous, Answer::Permitted { .. }) => {
                Finding::refused(what, "no rule names this very function, which is not harmless")
            }
            (_, _) => Finding::refused(what, NO_RULE),
        }
    }
}
