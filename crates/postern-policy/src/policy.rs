//! The policy in memory, and the rights of one user under it.

use crate::access::Rules;
use crate::document::{Mode, PolicyError, Tenancy};
use crate::load;
use crate::named::{Match, NamedIndex, NamedStatement};
use crate::role::{Limits, Role};
use crate::tenancy::Tenants;
use crate::word::StatementWord;
use postern_catalog::Catalog;
use postern_inspect::plan::Planner;
use postern_sql::canonical::Canonical;
use postern_types::{ErrorDetail, Keep};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// Identity of one version of a policy: SHA-256 over all of its files.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyHash(pub [u8; 32]);

impl PolicyHash {
    /// Its first eight bytes, as they are in records.
    pub fn short(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Display for PolicyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PolicyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// One version of a policy, read and checked. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(crate) hash: PolicyHash,
    pub(crate) parts: Arc<Parts>,
}

/// What the files of a policy say.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) roles: BTreeMap<String, Role>,
    pub(crate) tenants: Option<Tenants>,
    pub(crate) denial_details: bool,
    pub(crate) catalog: Option<Catalog>,
    pub(crate) rules: Option<Rules>,
    pub(crate) named: NamedIndex,
    /// The rules about answers, as far as they are the Query Validator's business.
    pub(crate) answers: Planner,
}

/// What one user may do: each of the user's roles allows what it allows. The database role, the
/// search_path, the limits and the tenancy are those of the first role.
#[derive(Clone, Debug)]
pub struct Rights<'a> {
    pub(crate) parts: &'a Parts,
    pub(crate) first: &'a Role,
    pub(crate) roles: Vec<(&'a str, &'a Role)>,
}

impl Policy {
    /// Reads a `policy.yaml` that stands alone.
    ///
    /// # Errors
    /// The first mistake: when it is not YAML, has an unknown field, contradicts itself, or needs other
    /// files.
    pub fn parse(yaml: &str) -> Result<Policy, PolicyError> {
        Policy::load(&[(load::POLICY_FILE, yaml.as_bytes())]).map_err(|mistakes| {
            let first = mistakes.into_iter().next();
            let unknown = || PolicyError::of(load::POLICY_FILE, "it can't be read");
            PolicyError {
                file: None,
                ..first.unwrap_or_else(unknown)
            }
        })
    }

    /// Reads the files of a policy directory: paths relative to it, with their contents. Files that
    /// [`is_policy_file`](crate::is_policy_file) does not know are left out.
    ///
    /// # Errors
    /// Every mistake in them, by file and line.
    pub fn load(files: &[(impl AsRef<str>, impl AsRef<[u8]>)]) -> Result<Policy, Vec<PolicyError>> {
        load::load(files)
    }

    /// Which version it is.
    pub fn hash(&self) -> PolicyHash {
        self.hash
    }

    /// Some parameter is recorded as a keyed hash.
    pub fn needs_record_key(&self) -> bool {
        let hashed = |named: &NamedStatement| named.record.iter().any(|(_, keep)| *keep == Keep::Hash);
        self.parts.roles.values().any(|role| role.record_parameters) || self.parts.named.iter().any(hashed)
    }

    /// Names of its roles.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.parts.roles.keys().map(String::as_str)
    }

    /// The database as `catalog.json` has it.
    pub fn catalog(&self) -> Option<&Catalog> {
        self.parts.catalog.as_ref()
    }

    /// Name of the column that says whose a row is, where tenants share tables.
    pub fn tenant_column(&self) -> Option<&str> {
        self.parts.tenants.as_ref().map(Tenants::column)
    }

    /// Whether a table with these columns belongs to tenants.
    pub fn is_tenant_table(&self, schema: &str, name: &str, columns: &[String]) -> bool {
        let tenants = self.parts.tenants.as_ref();
        tenants.is_some_and(|tenants| tenants.covers(schema, name, columns))
    }

    /// The named statements.
    pub fn named(&self) -> &NamedIndex {
        &self.parts.named
    }

    /// The rights of a user with these roles. `None` when there is no role, or one that the policy does not
    /// have: a mistyped role must not leave the user with the rest of them.
    pub fn rights(&self, roles: &[String]) -> Option<Rights<'_>> {
        let roles: Vec<(&str, &Role)> = roles
            .iter()
            .map(|name| {
                let (name, role) = self.parts.roles.get_key_value(name)?;
                Some((name.as_str(), role))
            })
            .collect::<Option<_>>()?;
        let (_, first) = roles.first().copied()?;
        Some(Rights {
            parts: &self.parts,
            first,
            roles,
        })
    }
}

impl Rights<'_> {
    /// Role to take on in the database.
    pub fn database_role(&self) -> &str {
        &self.first.database_role
    }

    /// Schemas to search for unqualified names; empty when the policy leaves it to the database.
    pub fn search_path(&self) -> &[String] {
        &self.first.search_path
    }

    /// What the lists of the roles could ever need of tables: privileges, in lower case, and schemas. `None` where
    /// something else than lists decides.
    pub fn table_privileges(&self) -> Option<(BTreeSet<&'static str>, BTreeSet<&str>)> {
        let by_lists = |role: &Role| role.mode == Mode::Enforce && !role.cedar && !role.named;
        if !self.roles.iter().all(|(_, role)| by_lists(role)) {
            return None;
        }
        let words = self.roles.iter().flat_map(|(_, role)| &role.statements);
        let schemas = self.roles.iter().flat_map(|(_, role)| &role.schemas);
        Some((
            words.flat_map(|word| word.privileges()).copied().collect(),
            schemas.map(String::as_str).collect(),
        ))
    }

    /// Limits of what the user may do.
    pub fn limits(&self) -> Limits {
        self.first.limits
    }

    /// How much of an error the user may be told.
    pub fn error_detail(&self) -> ErrorDetail {
        self.first.errors
    }

    /// What becomes of a statement that no rule allows: the most lenient of the roles decides.
    pub fn mode(&self) -> Mode {
        let modes = self.roles.iter().map(|(_, role)| role.mode);
        modes.max().unwrap_or(Mode::Enforce)
    }

    /// May hear what others NOTIFY.
    pub fn may_listen(&self) -> bool {
        self.mode() != Mode::Enforce
            || self
                .roles
                .iter()
                .any(|(_, role)| role.cedar || role.statements.contains(&StatementWord::Listen))
    }

    /// Some of the user's roles run named statements.
    pub fn runs_named(&self) -> bool {
        self.roles.iter().any(|(_, role)| role.named)
    }

    /// The named statement that this one is, if one of those roles has it.
    pub fn find_named(&self, statement: &Canonical) -> Option<Match> {
        let named = self.roles.iter().filter(|(_, role)| role.named);
        let roles: Vec<&str> = named.map(|(name, _)| *name).collect();
        self.parts.named.find(statement, &roles)
    }

    /// Held to no rule.
    pub fn is_open(&self) -> bool {
        self.mode() == Mode::Open
    }

    /// Statements are recorded, without their literals.
    pub fn records_statements(&self) -> bool {
        let (mode, asked) = (
            self.mode(),
            self.roles.iter().any(|(_, role)| role.record_statements),
        );
        asked || matches!(mode, Mode::Learn | Mode::Shadow)
    }

    /// Values of all parameters are recorded, as hashes.
    pub fn records_parameters(&self) -> bool {
        self.roles.iter().any(|(_, role)| role.record_parameters)
    }

    /// A refusal tells the client the rule and the objects.
    pub fn tells_denials(&self) -> bool {
        self.parts.denial_details
    }

    /// How the rows of other tenants are kept away.
    pub fn tenancy(&self) -> Tenancy {
        self.first.tenancy(self.parts.tenants.is_some())
    }

    /// Decisions depend on the user's name or tenant, not on the roles alone: what is decided for one user
    /// does not hold for another.
    pub fn is_personal(&self) -> bool {
        self.roles.iter().any(|(_, role)| role.cedar)
            && self.parts.rules.as_ref().is_some_and(Rules::is_personal)
    }

    /// The rules about answers.
    pub fn answers(&self) -> &Planner {
        &self.parts.answers
    }

    /// The catalogue to find out what the columns of answers are made of, where rules go by columns.
    pub fn catalog_for_answers(&self) -> Option<&Catalog> {
        self.parts
            .catalog
            .as_ref()
            .filter(|_| self.answers().goes_by_columns())
    }

    /// The catalogue to resolve names against, where some rule of the user asks for it.
    pub fn catalog(&self) -> Option<&Catalog> {
        let wanted =
            self.roles.iter().any(|(_, role)| role.needs_catalog()) || self.tenancy() != Tenancy::None;
        self.parts.catalog.as_ref().filter(|_| wanted && !self.is_open())
    }
}
