//! The files of `tests/attacks`.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the files are.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/attacks")
}

/// One file: cases on one thing, with what they have in common.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// Name of the file; not in it.
    #[serde(skip)]
    pub(crate) name: String,
    heading: u32,
    why: String,
    pub(crate) policy: String,
    who: Option<String>,
    setup: Option<String>,
    undo: Option<String>,
    effect: Option<Effect>,
    expect: Option<Expect>,
    since: Option<u32>,
    until: Option<u32>,
    protocol: Option<Protocol>,
    pending: Option<String>,
    /// Cases that are no more than their statement.
    #[serde(default)]
    each: Vec<String>,
    #[serde(default)]
    cases: Vec<CaseDocument>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseDocument {
    name: String,
    who: Option<String>,
    sql: Option<String>,
    otherwise: Option<String>,
    steps: Option<Vec<Step>>,
    #[serde(default)]
    startup: BTreeMap<String, String>,
    setup: Option<String>,
    undo: Option<String>,
    effect: Option<Effect>,
    expect: Option<Expect>,
    #[serde(default)]
    may_receive: Vec<String>,
    #[serde(default)]
    changes: bool,
    not_directly: Option<String>,
    direct_prelude: Option<String>,
    since: Option<u32>,
    until: Option<u32>,
    protocol: Option<Protocol>,
    pending: Option<String>,
}

/// One attack.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) file: String,
    pub(crate) heading: u32,
    pub(crate) name: String,
    /// Who plays it through the ring; `None` is the policy's first.
    pub(crate) who: Option<String>,
    /// What is sent, by each protocol it is tried with.
    pub(crate) plays: Vec<(Protocol, Vec<Step>)>,
    /// The same with a wrong guess, for attacks that ask yes or no.
    pub(crate) otherwise: Option<String>,
    /// Start-up parameters besides user and database.
    pub(crate) startup: BTreeMap<String, String>,
    /// SQL that the superuser runs before.
    pub(crate) setup: Option<String>,
    /// SQL that the superuser runs afterwards to get rid of what is not part of one database, or of what an
    /// allowed statement did.
    pub(crate) undo: Option<String>,
    /// What the attacker is after.
    pub(crate) effect: Effect,
    /// What the client must see through the ring.
    pub(crate) expect: Expect,
    /// Planted secrets that this client may see after all.
    pub(crate) may_receive: Vec<String>,
    /// The ring lets something through that changes the database; only the effect counts.
    pub(crate) changes: bool,
    /// Why the effect can't be shown straight, where it can't.
    pub(crate) not_directly: Option<String>,
    /// SQL that stands in, straight, for what a ring sets in a session.
    pub(crate) direct_prelude: Option<String>,
    /// PostgreSQL before this major version can't show the effect.
    pub(crate) since: Option<u32>,
    /// PostgreSQL after this major version can't show the effect.
    pub(crate) until: Option<u32>,
    /// Why it does not hold yet.
    pub(crate) pending: Option<String>,
}

/// How statements are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    Simple,
    Extended,
    /// As the steps say.
    Steps,
}

/// What one step sends, before the answer is read.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Step {
    /// A Query message.
    Simple(String),
    /// Parse, Bind, Describe, Execute, Sync.
    Extended(Extended),
    /// A Parse message alone, as `name` and `sql`.
    Parse { name: String, sql: String },
    /// A Bind message alone, of the statement to the unnamed portal.
    Bind {
        statement: String,
        #[serde(default)]
        parameters: Vec<Option<String>>,
    },
    /// A Describe of a statement.
    Describe(String),
    /// Execute of the unnamed portal.
    Execute(u32),
    /// Close of a statement.
    Close(String),
    /// Sync, and the answers up to ReadyForQuery.
    Sync(Nothing),
    /// CopyData with this text and CopyDone.
    Copy(String),
    /// Bytes as they are, in hexadecimal, with spaces where one likes.
    Hex(String),
    /// From here on, as this user in a session of its own. What it receives does not count.
    Switch(String),
    /// Something that others do meanwhile, straight in the database.
    Meanwhile(String),
}

/// A placeholder: `sync: here`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Nothing {
    Here,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Extended {
    pub(crate) sql: String,
    #[serde(default)]
    pub(crate) parameters: Vec<Option<String>>,
    #[serde(default)]
    pub(crate) types: Vec<u32>,
    /// Results in binary.
    #[serde(default)]
    pub(crate) binary: bool,
}

/// What the attacker is after. All that is listed happens straight; nothing of it may happen through the
/// ring.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Effect {
    /// The client receives this.
    pub(crate) receives: Option<String>,
    /// This query has another answer than `stays`.
    pub(crate) database: Option<Database>,
    /// This file of the scratch directory exists.
    pub(crate) file: Option<String>,
    /// Who listens on this channel hears something.
    pub(crate) notifies: Option<String>,
    /// The answers to `sql` and to `otherwise` differ.
    #[serde(default)]
    pub(crate) tells_apart: bool,
    /// The last statement succeeds.
    #[serde(default)]
    pub(crate) succeeds: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Database {
    pub(crate) sql: String,
    pub(crate) stays: String,
}

/// What the client sees through the ring.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Expect {
    /// `ok`: no error; `any`: either; else the SQLSTATE.
    One(String),
    /// One of these SQLSTATEs.
    Either(Vec<String>),
}

/// A policy's ring.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyFile {
    #[serde(skip)]
    pub(crate) name: String,
    #[allow(dead_code, reason = "for whoever reads the file")]
    pub(crate) why: String,
    /// Who signs in to the ring, the password being the name. The first is the attacker.
    pub(crate) users: Vec<UserDocument>,
    /// Who plays the cases straight: the role that the ring's statements run as.
    pub(crate) direct: DirectDocument,
    /// What no client of this ring may ever receive.
    pub(crate) secrets: Vec<String>,
    /// SQL on top of the fixture.
    #[serde(default)]
    pub(crate) setup: String,
    /// Whether `postern catalog` is run before the ring starts.
    #[serde(default)]
    pub(crate) catalog: bool,
    /// What must work, lest the ring be safe because it refuses everything.
    pub(crate) works: Vec<Works>,
    /// Why this ring can't start yet.
    pub(crate) pending: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserDocument {
    pub(crate) name: String,
    pub(crate) roles: Vec<String>,
    #[serde(default)]
    pub(crate) tenant: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DirectDocument {
    pub(crate) user: String,
    pub(crate) prelude: String,
}

/// A statement that is allowed, and a text that its answer holds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Works {
    pub(crate) who: Option<String>,
    pub(crate) sql: String,
    pub(crate) receives: String,
    pub(crate) pending: Option<String>,
}

/// All files, by name.
pub(crate) fn files() -> Vec<File> {
    let mut files: Vec<File> = yaml_in(&folder())
        .into_iter()
        .map(|path| {
            let mut file: File = read(&path);
            file.name = stem(&path);
            assert!(!file.why.is_empty(), "{}: no reason is given", file.name);
            assert!(
                file.name.starts_with(&file.heading.to_string()),
                "{}: heading {} should begin the name",
                file.name,
                file.heading
            );
            file
        })
        .collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files
}

/// A policy by name.
pub(crate) fn policy(name: &str) -> PolicyFile {
    let path = folder().join("policies").join(format!("{name}.yaml"));
    let mut policy: PolicyFile = read(&path);
    policy.name = name.to_owned();
    policy
}

/// The names of all policies.
pub(crate) fn policy_names() -> Vec<String> {
    yaml_in(&folder().join("policies"))
        .iter()
        .map(|path| stem(path))
        .collect()
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> T {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

fn yaml_in(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect()
}

impl File {
    /// The cases, each complete.
    pub(crate) fn cases(&self) -> Vec<Case> {
        let bare = self.each.iter().map(|sql| CaseDocument {
            name: sql.split_whitespace().collect::<Vec<_>>().join(" "),
            sql: Some(sql.clone()),
            ..CaseDocument::default()
        });
        let written = self.cases.iter().cloned();
        let cases: Vec<Case> = bare.chain(written).map(|case| self.complete(case)).collect();
        assert!(!cases.is_empty(), "{}: no cases", self.name);
        cases
    }

    fn complete(&self, case: CaseDocument) -> Case {
        let place = format!("{}: {}", self.name, case.name);
        let plays = match (case.sql, case.steps) {
            (Some(sql), None) => plays(&sql, case.protocol.or(self.protocol)),
            (None, Some(steps)) => vec![(Protocol::Steps, steps)],
            _ => panic!("{place}: needs either `sql` or `steps`"),
        };
        let effect = case.effect.or_else(|| self.effect.clone());
        let effect = effect.unwrap_or_else(|| panic!("{place}: no effect"));
        assert!(!effect.is_empty(), "{place}: an effect that can't happen");
        assert_eq!(
            effect.tells_apart,
            case.otherwise.is_some(),
            "{place}: `tells_apart` and `otherwise` belong together"
        );
        Case {
            file: self.name.clone(),
            heading: self.heading,
            name: case.name,
            who: case.who.or_else(|| self.who.clone()),
            plays,
            otherwise: case.otherwise,
            startup: case.startup,
            setup: case.setup.or_else(|| self.setup.clone()),
            undo: case.undo.or_else(|| self.undo.clone()),
            effect,
            expect: case
                .expect
                .or_else(|| self.expect.clone())
                .unwrap_or_else(|| Expect::One("42501".to_owned())),
            may_receive: case.may_receive,
            changes: case.changes,
            not_directly: case.not_directly,
            direct_prelude: case.direct_prelude,
            since: case.since.or(self.since),
            until: case.until.or(self.until),
            pending: case.pending.or_else(|| self.pending.clone()),
        }
    }
}

impl Effect {
    fn is_empty(&self) -> bool {
        self.receives.is_none()
            && self.database.is_none()
            && self.file.is_none()
            && self.notifies.is_none()
            && !self.tells_apart
            && !self.succeeds
    }
}

/// One statement, by one protocol or by both.
pub(crate) fn plays(sql: &str, protocol: Option<Protocol>) -> Vec<(Protocol, Vec<Step>)> {
    let simple = (Protocol::Simple, vec![Step::Simple(sql.to_owned())]);
    let extended = (
        Protocol::Extended,
        vec![Step::Extended(Extended {
            sql: sql.to_owned(),
            parameters: Vec::new(),
            types: Vec::new(),
            binary: false,
        })],
    );
    match protocol {
        Some(Protocol::Simple) => vec![simple],
        Some(Protocol::Extended) => vec![extended],
        Some(Protocol::Steps) | None => vec![simple, extended],
    }
}
