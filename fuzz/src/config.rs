//! Configuration files: those of the four stages, their keys, the users and the policy.

use postern_backend::config::BackendConfig;
use postern_frontend::config::FrontendConfig;
use postern_policy::Policy;
use postern_query_validator::{QueryValidatorConfig, Users};
use postern_response_validator::Config as ResponseValidatorConfig;
use postern_runtime::{KeyFile, parse_config};
use serde::de::DeserializeOwned;
use std::path::Path;

/// The first byte chooses the file, the rest is its text.
pub fn config(data: &[u8]) {
    let Some((kind, text)) = data.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    match kind % 11 {
        0 => {
            if let Some(config) = stage::<FrontendConfig>(text) {
                let _ = config.limits.checked();
            }
        }
        1 => drop(stage::<QueryValidatorConfig>(text)),
        2 => drop(stage::<BackendConfig>(text)),
        3 => drop(stage::<ResponseValidatorConfig>(text)),
        4 => users(text),
        5 => policy(text),
        6 => directory("queries/fuzzed.sql", text),
        7 => directory("access.cedar", text),
        8 => directory("responses.yaml", text),
        9 => directory("catalog.json", text),
        _ => keys(text),
    }
}

fn file() -> &'static Path {
    Path::new("file")
}

/// An error points into the text.
fn stage<C: DeserializeOwned>(text: &str) -> Option<C> {
    match parse_config::<C>(file(), text) {
        Ok(config) => Some(config),
        Err(error) => {
            if let Some((line, column)) = error.position {
                assert!(line >= 1 && column >= 1 && line <= text.split('\n').count());
            }
            assert!(!error.to_string().is_empty());
            None
        }
    }
}

/// What was read says the same when it is written and read again.
fn keys(text: &str) {
    match KeyFile::parse(file(), text) {
        Ok(keys) => {
            let again = toml::to_string(&keys).map(|text| KeyFile::parse(file(), &text));
            assert!(matches!(again, Ok(Ok(again)) if again == keys));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A verifier is a secret, whether it is one or not: it is in no error and in no debug output.
fn users(text: &str) {
    match Users::parse(file(), text) {
        Ok(users) => assert!(!format!("{users:?}").contains("SCRAM-SHA-256$")),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A user with no role, or with one the policy does not have, has no rights.
fn policy(text: &str) {
    match Policy::parse(text) {
        Ok(policy) => {
            assert!(policy.rights(&[]).is_none());
            let roles: Vec<String> = policy.roles().map(str::to_owned).collect();
            assert_eq!(policy.rights(&roles).is_some(), !roles.is_empty());
            let nobody = format!("{} ", roles.concat());
            assert!(policy.rights(&[nobody]).is_none());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A file of a policy directory, beside a policy.yaml that asks for it. It is taken or there are mistakes to tell, and
/// the same files have the same hash.
fn directory(name: &str, text: &str) {
    const POLICY: &str = "version: 1\nroles:\n  app: {mode: enforce, database_role: app, search_path: shop, named: true, statements: [select], schemas: [shop]}\n";
    let files = [("policy.yaml", POLICY), (name, text)];
    match Policy::load(&files) {
        Ok(policy) => assert_eq!(policy.hash(), postern_policy::hash_of(&files)),
        Err(mistakes) => {
            assert!(!mistakes.is_empty());
            assert!(mistakes.iter().all(|mistake| !mistake.to_string().is_empty()));
        }
    }
}
