//! The files of a policy directory, read together: every mistake in any of them is told at once.

use crate::access::{self, Rules};
use crate::document::{self, PolicyError};
use crate::named::NamedIndex;
use crate::policy::{Parts, Policy, PolicyHash};
use crate::role::Role;
use crate::tenancy::Tenants;
use postern_catalog::Catalog;
use postern_inspect::plan::Planner;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const POLICY_FILE: &str = "policy.yaml";
const CATALOG_FILE: &str = "catalog.json";
const RESPONSES_FILE: &str = "responses.yaml";
const QUERIES: &str = "queries/";

/// Whether a file of a policy directory, by its path relative to it, is part of the policy. Others, such as
/// its tests, may lie beside. `responses.yaml` is part of it, though it is the Response Validator that enforces it.
pub fn is_policy_file(path: &str) -> bool {
    matches!(path, POLICY_FILE | CATALOG_FILE | RESPONSES_FILE | access::FILE) || is_query(path)
}

fn is_query(path: &str) -> bool {
    path.strip_prefix(QUERIES)
        .is_some_and(|name| name.ends_with(".sql") && !name.contains('/') && !name.starts_with('.'))
}

pub(crate) fn load(files: &[(impl AsRef<str>, impl AsRef<[u8]>)]) -> Result<Policy, Vec<PolicyError>> {
    let files = ours(files);
    let mut loading = Loading {
        files: &files,
        mistakes: Vec::new(),
    };
    let (roles, tenants, denial_details) = loading.policy_yaml().unwrap_or_default();
    let catalog = loading.catalog();
    let rules = loading.rules(&roles, catalog.as_ref());
    let named = loading.named(&roles);
    let answers = loading.answers(catalog.as_ref());
    loading.needs(&roles, tenants.as_ref(), catalog.as_ref());
    let mut mistakes = loading.mistakes;
    if !mistakes.is_empty() {
        mistakes.sort();
        mistakes.dedup();
        return Err(mistakes);
    }
    Ok(Policy {
        hash: hash(&files),
        parts: std::sync::Arc::new(Parts {
            roles,
            tenants,
            denial_details,
            catalog,
            rules,
            named,
            answers,
        }),
    })
}

/// The hash of the policy that these files make, mistakes or not.
pub fn hash_of(files: &[(impl AsRef<str>, impl AsRef<[u8]>)]) -> PolicyHash {
    hash(&ours(files))
}

fn ours(files: &[(impl AsRef<str>, impl AsRef<[u8]>)]) -> BTreeMap<&str, &[u8]> {
    files
        .iter()
        .map(|(path, content)| (path.as_ref(), content.as_ref()))
        .filter(|(path, _)| is_policy_file(path))
        .collect()
}

/// SHA-256 over paths and contents, each with its length in front, in the order of the paths.
fn hash(files: &BTreeMap<&str, &[u8]>) -> PolicyHash {
    let mut digest = Sha256::new();
    let mut part = |bytes: &[u8]| {
        digest.update((bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
    };
    for (path, content) in files {
        part(path.as_bytes());
        part(content);
    }
    PolicyHash(digest.finalize().into())
}

type Yaml = (BTreeMap<String, Role>, Option<Tenants>, bool);

struct Loading<'a> {
    files: &'a BTreeMap<&'a str, &'a [u8]>,
    mistakes: Vec<PolicyError>,
}

impl<'a> Loading<'a> {
    /// A file's text, if there is such a file.
    fn text(&mut self, path: &str) -> Option<&'a str> {
        let bytes = self.files.get(path)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Some(text),
            Err(error) => {
                let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
                let line = valid.iter().filter(|byte| **byte == b'\n').count();
                self.mistakes.push(PolicyError {
                    line: u64::try_from(line).ok().map(|line| line.saturating_add(1)),
                    ..PolicyError::of(path, "it is not UTF-8; save it with that encoding")
                });
                None
            }
        }
    }

    fn policy_yaml(&mut self) -> Option<Yaml> {
        if !self.files.contains_key(POLICY_FILE) {
            self.mistakes.push(PolicyError::of(
                POLICY_FILE,
                "it is missing; `postern init` makes one to begin with",
            ));
        }
        let text = self.text(POLICY_FILE)?;
        let document = match document::read(text) {
            Ok(document) => document,
            Err(mistake) => {
                self.mistakes.push(mistake.within(POLICY_FILE));
                return None;
            }
        };
        let mut mistakes = Vec::new();
        if document.version.value != 1 {
            mistakes.push(PolicyError::at(
                &document.version,
                "this build reads policies of `version: 1` only",
            ));
        }
        let mut roles = BTreeMap::new();
        for (name, role) in document.roles {
            roles.insert(name, Role::new(role, document.limits, &mut mistakes));
        }
        let tenants = document
            .tenants
            .map(|tenants| Tenants::new(tenants, &mut mistakes));
        let mistakes = mistakes.into_iter().map(|mistake| mistake.within(POLICY_FILE));
        self.mistakes.extend(mistakes);
        Some((roles, tenants, document.denial_details))
    }

    fn catalog(&mut self) -> Option<Catalog> {
        match Catalog::from_json(self.files.get(CATALOG_FILE)?) {
            Ok(catalog) => Some(catalog),
            Err(error) => {
                self.mistakes.push(PolicyError::of(
                    CATALOG_FILE,
                    format!("{error}; make it anew with `postern catalog`"),
                ));
                None
            }
        }
    }

    fn rules(&mut self, roles: &BTreeMap<String, Role>, catalog: Option<&Catalog>) -> Option<Rules> {
        let judged: BTreeSet<&str> = roles
            .iter()
            .filter(|(_, role)| role.cedar)
            .map(|(name, _)| name.as_str())
            .collect();
        if !self.files.contains_key(access::FILE) {
            if let Some(role) = judged.first() {
                self.mistakes.push(PolicyError::of(
                    access::FILE,
                    format!("it is missing, and role `{role}` has `access: cedar`; write its rules there"),
                ));
            }
            return None;
        }
        let text = self.text(access::FILE)?;
        let Some(catalog) = catalog else {
            if !self.files.contains_key(CATALOG_FILE) {
                self.mistakes.push(PolicyError::of(
                    access::FILE,
                    "its rules are about objects of catalog.json, which is missing; make it with `postern catalog`",
                ));
            }
            return None;
        };
        match Rules::read(text, &judged, catalog) {
            Ok(rules) => Some(rules),
            Err(mistakes) => {
                self.mistakes.extend(mistakes);
                None
            }
        }
    }

    fn answers(&mut self, catalog: Option<&Catalog>) -> Planner {
        if !self.files.contains_key(RESPONSES_FILE) {
            return Planner::default();
        }
        let Some(text) = self.text(RESPONSES_FILE) else {
            return Planner::default();
        };
        let rules = match postern_inspect::rules::Rules::from_yaml(text) {
            Ok(rules) => rules,
            Err(error) => {
                self.mistakes.push(PolicyError {
                    line: error.line,
                    column: error.column,
                    ..PolicyError::of(RESPONSES_FILE, error.message)
                });
                return Planner::default();
            }
        };
        if !rules.masks.is_empty() && catalog.is_none() {
            if !self.files.contains_key(CATALOG_FILE) {
                self.mistakes.push(PolicyError::of(
                    RESPONSES_FILE,
                    "its masks are about columns of catalog.json, which is missing; make it with `postern catalog`",
                ));
            }
            return Planner::default();
        }
        let origins = catalog
            .map(crate::origins::origins)
            .map(postern_inspect::Origins::new);
        let planner = match origins.transpose() {
            Ok(origins) => {
                Planner::new(rules, &origins.unwrap_or_default()).map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        planner.unwrap_or_else(|error| {
            self.mistakes.push(PolicyError::of(RESPONSES_FILE, error));
            Planner::default()
        })
    }

    fn named(&mut self, roles: &BTreeMap<String, Role>) -> NamedIndex {
        let paths: Vec<&str> = self.files.keys().copied().filter(|path| is_query(path)).collect();
        let mut texts = Vec::new();
        for path in paths {
            if let Some(text) = self.text(path) {
                texts.push((path, text));
            }
        }
        let roles: Vec<&str> = roles.keys().map(String::as_str).collect();
        NamedIndex::from_files(&texts, &roles).unwrap_or_else(|mistakes| {
            self.mistakes.extend(mistakes);
            NamedIndex::default()
        })
    }

    /// What one file needs of another.
    fn needs(
        &mut self,
        roles: &BTreeMap<String, Role>,
        tenants: Option<&Tenants>,
        catalog: Option<&Catalog>,
    ) {
        let missing = !self.files.contains_key(CATALOG_FILE);
        let wanting = roles.iter().find(|(_, role)| {
            role.needs_catalog() || role.tenancy(tenants.is_some()) != document::Tenancy::None
        });
        if missing && let Some((name, _)) = wanting {
            self.mistakes.push(PolicyError::of(
                CATALOG_FILE,
                format!(
                    "it is missing, and the rules of role `{name}` need it; make it with `postern catalog`"
                ),
            ));
        }
        let no_path = roles.iter().find(|(_, role)| {
            let resolved = role.needs_catalog() || role.tenancy(tenants.is_some()) != document::Tenancy::None;
            resolved && role.search_path.is_empty()
        });
        if let Some((name, _)) = no_path {
            self.mistakes.push(PolicyError::of(
                POLICY_FILE,
                format!(
                    "role `{name}` needs a `search_path`: its rules are about what unqualified names mean"
                ),
            ));
        }
        let unused = roles
            .iter()
            .find(|(_, role)| role.tenancy.is_some_and(|t| t != document::Tenancy::None));
        if tenants.is_none()
            && let Some((name, _)) = unused
        {
            self.mistakes.push(PolicyError::of(
                POLICY_FILE,
                format!(
                    "role `{name}` has `tenancy`, but there is no `tenants:`; say there which column it is"
                ),
            ));
        }
        if let (Some(tenants), Some(catalog)) = (tenants, catalog) {
            let mistakes = tenants.check(catalog);
            self.mistakes
                .extend(mistakes.into_iter().map(|mistake| mistake.within(POLICY_FILE)));
        }
    }
}
