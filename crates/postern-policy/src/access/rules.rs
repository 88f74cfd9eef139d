//! `access.cedar`: read, checked against the schema and the catalogue, and asked.
//!
//! A question is one action on one object by one user. Nothing depends on anything else, so an answer holds
//! as long as the policy does, and is remembered. What no rule permits is not permitted; a rule that fails
//! while it is evaluated counts as one that forbids.

use super::names;
use crate::document::PolicyError;
use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicyId,
    PolicySet, Request, ResourceConstraint, Schema, ValidationMode, Validator,
};
use miette::Diagnostic;
use postern_catalog::Catalog;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};

/// What rules can be about: the schema, in Cedar's own language, against which `access.cedar` is checked.
pub const SCHEMA: &str = include_str!("schema.cedar");
/// The file of the rules.
pub(crate) const FILE: &str = "access.cedar";
/// Answers that are kept. Forgetting all of them costs only time.
const MAX_KEPT: usize = 100_000;
/// The only Database there is.
const DATABASE: &str = "this";

/// What is done. Its name is that of the action in `access.cedar`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Verb {
    Select,
    Insert,
    Update,
    Delete,
    Truncate,
    Lock,
    Copy,
    Call,
    Ddl,
    Set,
    Listen,
    Notify,
    Explain,
}

impl Verb {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Verb::Select => "select",
            Verb::Insert => "insert",
            Verb::Update => "update",
            Verb::Delete => "delete",
            Verb::Truncate => "truncate",
            Verb::Lock => "lock",
            Verb::Copy => "copy",
            Verb::Call => "call",
            Verb::Ddl => "ddl",
            Verb::Set => "set",
            Verb::Listen => "listen",
            Verb::Notify => "notify",
            Verb::Explain => "explain",
        }
    }
}

/// What it is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Object<'a> {
    Database,
    Schema(&'a str),
    Table(&'a str, &'a str),
    Column(&'a str, &'a str, &'a str),
    Function(&'a str, &'a str),
    Setting(&'a str),
    Channel(&'a str),
}

impl<'a> Object<'a> {
    /// Type and identifier in `access.cedar`.
    fn entity(&self) -> (&'static str, String) {
        match self {
            Object::Database => ("Database", DATABASE.to_owned()),
            Object::Schema(schema) => ("Schema", names::join(&[schema])),
            Object::Table(schema, table) => ("Table", names::join(&[schema, table])),
            Object::Column(schema, table, column) => ("Column", names::join(&[schema, table, column])),
            Object::Function(schema, name) => ("Function", names::join(&[schema, name])),
            Object::Setting(name) => ("Setting", (*name).to_owned()),
            Object::Channel(name) => ("Channel", (*name).to_owned()),
        }
    }

    /// What it belongs to.
    fn parent(self) -> Option<Object<'a>> {
        match self {
            Object::Column(schema, table, _) => Some(Object::Table(schema, table)),
            Object::Table(schema, _) | Object::Function(schema, _) => Some(Object::Schema(schema)),
            Object::Schema(_) => Some(Object::Database),
            Object::Database | Object::Setting(_) | Object::Channel(_) => None,
        }
    }
}

impl fmt::Display for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, id) = self.entity();
        match self {
            Object::Database => f.write_str("database"),
            _ => write!(f, "{} {id}", kind.to_ascii_lowercase()),
        }
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Principal<'a> {
    pub(crate) user: &'a str,
    pub(crate) roles: &'a [&'a str],
    pub(crate) tenant: Option<&'a str>,
}

/// What the rules say to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// At least one permits, none forbids.
    Permitted {
        /// Those that permit, as file and line.
        rules: String,
        /// One of them names the very object, rather than something it belongs to.
        by_name: bool,
        /// One of them names the very object and has the annotation `@opens("view")`: it is meant for what is
        /// behind a view, too.
        opens: bool,
        /// One of them names the very object and has no condition, which could have been about a part of it.
        whole: bool,
    },
    /// These forbid it.
    Forbidden(String),
    /// None speaks of it.
    Silent,
}

struct Rule {
    /// File and line, and the rule's `@id` if it has one.
    label: String,
    /// Everything it names.
    names: HashSet<EntityUid>,
    /// The one object it is about: `resource == …` in its head. An object that is named in a condition could
    /// as well be an exception.
    about: Option<EntityUid>,
    /// It has the annotation `@opens("view")`.
    opens: bool,
    /// It has a condition.
    conditional: bool,
}

/// The rules of a policy.
pub(crate) struct Rules {
    policies: PolicySet,
    rules: HashMap<PolicyId, Rule>,
    /// Some rule tells users or tenants apart.
    personal: bool,
    kept: Mutex<HashMap<String, Arc<Answer>>>,
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rules({})", self.rules.len())
    }
}

impl Rules {
    /// Reads the file. `roles` are those of policy.yaml that are judged by it.
    ///
    /// # Errors
    /// Every mistake in it, with its line.
    pub(crate) fn read(
        text: &str,
        roles: &BTreeSet<&str>,
        catalog: &Catalog,
    ) -> Result<Rules, Vec<PolicyError>> {
        let policies = PolicySet::from_str(text).map_err(|errors| {
            errors
                .iter()
                .map(|error| mistake(text, error))
                .collect::<Vec<_>>()
        })?;
        let schema = schema()?;
        let validated = Validator::new(schema).validate(&policies, ValidationMode::Strict);
        let mut mistakes: Vec<PolicyError> = validated
            .validation_errors()
            .map(|error| mistake(text, error))
            .collect();
        // A rule that can never hold, or a name that only looks like another.
        mistakes.extend(
            validated
                .validation_warnings()
                .map(|warning| mistake(text, warning)),
        );
        if policies.templates().next().is_some() {
            mistakes.push(PolicyError::of(
                FILE,
                "templates (`?principal`, `?resource`) are not used here; write the rule out",
            ));
        }
        let rules = label(text, &policies);
        for rule in rules.values() {
            for name in &rule.names {
                if let Some(message) = unknown(name, roles, catalog) {
                    let line = line_of_literal(text, &rule.label, name);
                    mistakes.push(PolicyError {
                        file: Some(FILE.to_owned()),
                        line,
                        column: None,
                        message,
                    });
                }
            }
        }
        if !mistakes.is_empty() {
            mistakes.sort();
            mistakes.dedup();
            return Err(mistakes);
        }
        let personal = rules.values().flat_map(|rule| &rule.names).any(|name| {
            let kind = name.type_name().to_string();
            kind == "User" || kind == "Tenant"
        });
        Ok(Rules {
            policies,
            rules,
            personal,
            kept: Mutex::new(HashMap::new()),
        })
    }

    /// Whether answers depend on the user's name or tenant, rather than on the roles alone.
    pub(crate) fn is_personal(&self) -> bool {
        self.personal
    }

    /// What the rules say.
    pub(crate) fn ask(&self, who: &Principal<'_>, verb: Verb, object: &Object<'_>) -> Arc<Answer> {
        let key = self.key(who, verb, object);
        let kept = |answers: &mut HashMap<String, Arc<Answer>>| answers.get(&key).map(Arc::clone);
        if let Some(known) = kept(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner)) {
            return known;
        }
        // What can't even be asked is forbidden.
        let answer = self
            .evaluate(who, verb, object)
            .unwrap_or_else(|| Answer::Forbidden("a question that can't be asked".to_owned()));
        let answer = Arc::new(answer);
        let mut answers = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= MAX_KEPT {
            answers.clear();
        }
        answers.insert(key, Arc::clone(&answer));
        answer
    }

    fn key(&self, who: &Principal<'_>, verb: Verb, object: &Object<'_>) -> String {
        let (kind, id) = object.entity();
        let mut key = format!("{}\0{kind}\0{id}", verb.name());
        let personal = [who.user, who.tenant.unwrap_or("\u{1}")];
        let personal = if self.personal { &personal[..] } else { &[] };
        for part in personal.iter().chain(who.roles) {
            key.push('\0');
            key.push_str(part);
        }
        key
    }

    fn evaluate(&self, who: &Principal<'_>, verb: Verb, object: &Object<'_>) -> Option<Answer> {
        let mut entities = Vec::new();
        let mut groups = HashSet::new();
        for role in who.roles {
            groups.insert(uid("Role", role)?);
        }
        if let Some(tenant) = who.tenant {
            groups.insert(uid("Tenant", tenant)?);
        }
        let principal = uid("User", who.user)?;
        entities.extend(groups.iter().cloned().map(Entity::with_uid));
        entities.push(Entity::new_no_attrs(principal.clone(), groups));
        let (kind, id) = object.entity();
        let resource = uid(kind, &id)?;
        let mut next = Some(*object);
        while let Some(child) = next {
            let (kind, id) = child.entity();
            let parent = match child.parent() {
                Some(parent) => {
                    let (kind, id) = parent.entity();
                    HashSet::from([uid(kind, &id)?])
                }
                None => HashSet::new(),
            };
            entities.push(Entity::new_no_attrs(uid(kind, &id)?, parent));
            next = child.parent();
        }
        let entities = Entities::from_entities(entities, None).ok()?;
        let action = uid("Action", verb.name())?;
        let request = Request::new(principal, action, resource.clone(), Context::empty(), None).ok()?;
        let response = Authorizer::new().is_authorized(&request, &self.policies, &entities);
        if response.diagnostics().errors().next().is_some() {
            return None;
        }
        let mut reasons: Vec<&Rule> = response
            .diagnostics()
            .reason()
            .filter_map(|id| self.rules.get(id))
            .collect();
        reasons.sort_by(|a, b| a.label.cmp(&b.label));
        let labels: Vec<&str> = reasons.iter().map(|rule| rule.label.as_str()).collect();
        let rules = labels.join(", ");
        Some(match response.decision() {
            Decision::Allow => Answer::Permitted {
                rules,
                by_name: reasons.iter().any(|rule| rule.about.as_ref() == Some(&resource)),
                opens: reasons
                    .iter()
                    .any(|rule| rule.opens && rule.about.as_ref() == Some(&resource)),
                whole: reasons
                    .iter()
                    .any(|rule| !rule.conditional && rule.about.as_ref() == Some(&resource)),
            },
            Decision::Deny if reasons.is_empty() => Answer::Silent,
            Decision::Deny => Answer::Forbidden(rules),
        })
    }
}

fn uid(kind: &str, id: &str) -> Option<EntityUid> {
    let kind = EntityTypeName::from_str(kind).ok()?;
    Some(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

fn schema() -> Result<Schema, Vec<PolicyError>> {
    match Schema::from_cedarschema_str(SCHEMA) {
        Ok((schema, _)) => Ok(schema),
        Err(error) => Err(vec![PolicyError::of(
            FILE,
            format!("its schema is not understood: {error}"),
        )]),
    }
}

/// An error of Cedar as one of ours: its place becomes a line, and its help is the fix.
fn mistake(text: &str, error: &dyn Diagnostic) -> PolicyError {
    let at = error
        .labels()
        .and_then(|mut labels| labels.next())
        .map(|label| label.offset());
    let (line, column) = match at {
        Some(offset) => {
            let (line, column) = place(text, offset);
            (Some(line), Some(column))
        }
        None => (None, None),
    };
    let mut message = error.to_string();
    if let Some(help) = error.help() {
        message = format!("{message}; {help}");
    }
    // Rules are known by line, not by the number Cedar gives them.
    if let Some((number, rest)) = message
        .strip_prefix("for policy `policy")
        .and_then(|rest| rest.split_once("`, "))
        && number.bytes().all(|b| b.is_ascii_digit())
    {
        message = rest.to_owned();
    }
    PolicyError {
        file: Some(FILE.to_owned()),
        line,
        column,
        message,
    }
}

/// Line and column of a byte, from 1.
fn place(text: &str, offset: usize) -> (u64, u64) {
    let before = text.get(..text.floor_char_boundary(offset)).unwrap_or(text);
    let line = before.matches('\n').count();
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
    let from_one = |n: usize| u64::try_from(n).unwrap_or(u64::MAX).saturating_add(1);
    (from_one(line), from_one(column))
}

/// Where each rule is written, and what it names.
fn label(text: &str, policies: &PolicySet) -> HashMap<PolicyId, Rule> {
    let number = |id: &PolicyId| {
        let id: &str = id.as_ref();
        id.strip_prefix("policy").and_then(|n| n.parse::<usize>().ok())
    };
    let mut in_order: Vec<_> = policies.policies().collect();
    in_order.sort_by_key(|policy| number(policy.id()));
    let mut from = 0usize;
    let mut rules = HashMap::new();
    for policy in in_order {
        let written = policy.to_cedar().unwrap_or_default();
        let found = text.get(from..).and_then(|rest| rest.find(&written));
        let mut label = FILE.to_owned();
        if let Some(found) = found
            && !written.is_empty()
        {
            let start = from.saturating_add(found);
            from = start.saturating_add(written.len());
            label = format!("{FILE}:{}", place(text, start).0);
        }
        if let Some(id) = policy.annotation("id") {
            label = format!("{label} ({id})");
        }
        let names = policy.entity_literals().into_iter().collect();
        let opens = policy.annotation("opens") == Some("view");
        let about = match policy.resource_constraint() {
            ResourceConstraint::Eq(uid) => Some(uid),
            _ => None,
        };
        let rule = Rule {
            label,
            names,
            about,
            opens,
            conditional: policy.has_non_scope_constraint(),
        };
        rules.insert(policy.id().clone(), rule);
    }
    rules
}

/// The line on which a rule writes a name.
fn line_of_literal(text: &str, label: &str, name: &EntityUid) -> Option<u64> {
    let first: usize = label
        .strip_prefix(FILE)?
        .strip_prefix(':')?
        .split(' ')
        .next()?
        .parse()
        .ok()?;
    let written = name.to_string();
    let found = text
        .lines()
        .enumerate()
        .skip(first.saturating_sub(1))
        .find(|(_, line)| line.contains(&written))
        .map(|(index, _)| index.saturating_add(1));
    u64::try_from(found.unwrap_or(first)).ok()
}

/// What is wrong with a name in a rule: it stands for nothing.
fn unknown(name: &EntityUid, roles: &BTreeSet<&str>, catalog: &Catalog) -> Option<String> {
    let id: &str = name.id().as_ref();
    let kind = name.type_name().to_string();
    let parts = names::split(id);
    let parts: Option<Vec<&str>> = parts
        .as_ref()
        .map(|parts| parts.iter().map(String::as_str).collect());
    let missing = |what: &str| {
        Some(format!(
            "catalog.json has no {what} `{id}`; mend the name, or run `postern catalog` after a change of the database"
        ))
    };
    let form = |form: &str| {
        Some(format!(
            "`{kind}::\"{id}\"` must have the form `{kind}::\"{form}\"`"
        ))
    };
    match (kind.as_str(), parts.as_deref()) {
        ("Role", _) if !roles.contains(id) => Some(format!(
            "policy.yaml has no role `{id}` with `access: cedar`, so this rule would never be asked"
        )),
        ("Database", _) if id != DATABASE => form(DATABASE),
        ("Schema", Some([schema])) => (!catalog.has_schema(schema)).then(|| missing("schema")).flatten(),
        ("Schema", _) => form("schema"),
        ("Table", Some([schema, table])) => catalog
            .relation(schema, table)
            .is_none()
            .then(|| missing("table"))
            .flatten(),
        ("Table", _) => form("schema.table"),
        ("Column", Some([schema, table, column])) => {
            let found = catalog
                .relation(schema, table)
                .is_some_and(|relation| relation.columns.iter().any(|c| c.name == *column));
            (!found).then(|| missing("column")).flatten()
        }
        ("Column", _) => form("schema.table.column"),
        ("Function", Some([schema, function])) => catalog
            .functions(schema, function)
            .next()
            .is_none()
            .then(|| missing("function"))
            .flatten(),
        ("Function", _) => form("schema.function"),
        ("Setting", _) if id != id.to_ascii_lowercase() => Some(format!(
            "a setting is written in lower case: `{}`",
            id.to_ascii_lowercase()
        )),
        _ => None,
    }
}
