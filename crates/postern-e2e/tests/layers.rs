//! What each binary links is evidence: a Frontend that contains no SQL parser and no database client can't
//! be turned into one. These tests read the dependency closure of every stage's binary from Cargo.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; helpers of tests are not seen as tests by the lints"
)]

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};
use std::collections::{BTreeMap, BTreeSet};

struct Graph {
    names: BTreeMap<PackageId, String>,
    edges: BTreeMap<PackageId, Vec<PackageId>>,
    ours: BTreeSet<String>,
}

impl Graph {
    fn load() -> Graph {
        let metadata: Metadata = MetadataCommand::new().exec().unwrap();
        let names = metadata
            .packages
            .iter()
            .map(|p| (p.id.clone(), p.name.to_string()))
            .collect();
        let members: BTreeSet<_> = metadata.workspace_members.iter().collect();
        let ours = metadata
            .packages
            .iter()
            .filter(|p| members.contains(&p.id))
            .map(|p| p.name.to_string())
            .collect();
        // Only what is linked: no dev-dependencies, no build scripts.
        let edges = metadata
            .resolve
            .unwrap()
            .nodes
            .into_iter()
            .map(|node| {
                let linked = node
                    .deps
                    .into_iter()
                    .filter(|dep| dep.dep_kinds.iter().any(|k| k.kind == DependencyKind::Normal))
                    .map(|dep| dep.pkg)
                    .collect();
                (node.id, linked)
            })
            .collect();
        Graph { names, edges, ours }
    }

    fn id(&self, name: &str) -> &PackageId {
        self.names
            .iter()
            .find(|(_, n)| *n == name)
            .unwrap_or_else(|| panic!("no package {name}"))
            .0
    }

    fn direct(&self, name: &str) -> BTreeSet<&str> {
        self.edges[self.id(name)]
            .iter()
            .map(|id| self.names[id].as_str())
            .collect()
    }

    fn closure(&self, name: &str) -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        let mut todo = vec![self.id(name)];
        while let Some(id) = todo.pop() {
            if seen.insert(id) {
                todo.extend(&self.edges[id]);
            }
        }
        seen.into_iter().map(|id| self.names[id].as_str()).collect()
    }

    /// The workspace crates that name this dependency themselves.
    fn who_names(&self, dependency: &str) -> BTreeSet<&str> {
        self.ours
            .iter()
            .filter(|ours| self.direct(ours).contains(dependency))
            .map(String::as_str)
            .collect()
    }
}

const STAGES: [&str; 4] = [
    "postern-frontend",
    "postern-query-validator",
    "postern-backend",
    "postern-response-validator",
];

/// Crates that exist to speak to PostgreSQL as a client.
const DATABASE_CLIENTS: &[&str] = &[
    "postgres",
    "tokio-postgres",
    "postgres-protocol",
    "sqlx",
    "pgwire",
    "diesel",
];

#[test]
fn no_stage_links_another_stage() {
    let graph = Graph::load();
    for stage in STAGES {
        for other in STAGES.iter().filter(|other| **other != stage) {
            assert!(!graph.closure(stage).contains(other), "{stage} links {other}");
        }
    }
}

#[test]
fn the_frontend_links_no_database_client_no_parser_no_policy_and_no_verifier() {
    let closure = Graph::load();
    let closure = closure.closure("postern-frontend");
    for absent in ["postern-sql", "postern-policy", "postern-scram", "pg_query"] {
        assert!(!closure.contains(absent), "the Frontend links {absent}");
    }
    for client in DATABASE_CLIENTS {
        assert!(!closure.contains(client), "the Frontend links {client}");
    }
}

#[test]
fn the_validators_link_no_socket_to_client_or_database() {
    let graph = Graph::load();
    for validator in ["postern-query-validator", "postern-response-validator"] {
        let closure = graph.closure(validator);
        for client in DATABASE_CLIENTS {
            assert!(!closure.contains(client), "{validator} links {client}");
        }
    }
    let rv = graph.closure("postern-response-validator");
    for absent in ["postern-sql", "postern-policy", "postern-scram", "pg_query"] {
        assert!(!rv.contains(absent), "the Response Validator links {absent}");
    }
}

#[test]
fn the_backend_links_no_parser_and_no_policy() {
    let graph = Graph::load();
    let closure = graph.closure("postern-backend");
    for absent in ["postern-sql", "postern-policy", "pg_query"] {
        assert!(!closure.contains(absent), "the Backend links {absent}");
    }
}

#[test]
fn what_carries_records_away_links_no_parser_no_policy_and_no_database_client() {
    let graph = Graph::load();
    let closure = graph.closure("postern-sink");
    for absent in ["postern-sql", "postern-policy", "postern-scram", "pg_query"] {
        assert!(!closure.contains(absent), "the sink links {absent}");
    }
    for client in DATABASE_CLIENTS {
        assert!(!closure.contains(client), "the sink links {client}");
    }
    for stage in STAGES {
        assert!(!closure.contains(stage), "the sink links {stage}");
        for collector in ["tonic", "hyper", "opentelemetry-proto"] {
            assert!(
                !graph.closure(stage).contains(collector),
                "{stage} links {collector}"
            );
        }
    }
}

#[test]
fn each_outside_thing_is_named_by_one_crate() {
    let graph = Graph::load();
    assert_eq!(
        graph.who_names("opentelemetry-proto"),
        BTreeSet::from(["postern-sink", "postern-testkit"])
    );
    assert_eq!(graph.who_names("async-nats"), BTreeSet::from(["postern-bus"]));
    assert_eq!(graph.who_names("pg_query"), BTreeSet::from(["postern-sql"]));
    assert_eq!(
        graph.who_names("cedar-policy"),
        BTreeSet::from(["postern-policy"])
    );
    assert_eq!(graph.who_names("landlock"), BTreeSet::from(["postern-runtime"]));
    assert_eq!(
        graph.who_names("x25519-dalek"),
        BTreeSet::from(["postern-envelope"])
    );
    // The envelopes' ciphers, and the signatures of the ledger's checkpoints.
    assert_eq!(
        graph.who_names("ring"),
        BTreeSet::from(["postern-envelope", "postern-ledger"])
    );
    for cipher in ["aes-gcm", "chacha20poly1305", "aws-lc-rs"] {
        let named = graph.who_names(cipher);
        assert!(
            named.is_subset(&BTreeSet::from(["postern-envelope"])),
            "{cipher} is named by {named:?}"
        );
    }
}

#[test]
fn pure_crates_have_no_runtime() {
    let graph = Graph::load();
    for pure in [
        "postern-types",
        "postern-wire",
        "postern-scram",
        "postern-catalog",
        "postern-sql",
        "postern-policy",
        "postern-inspect",
        "postern-envelope",
    ] {
        let closure = graph.closure(pure);
        for runtime in ["tokio", "async-nats", "mio", "socket2"] {
            assert!(!closure.contains(runtime), "{pure} links {runtime}");
        }
    }
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    for package in metadata.packages {
        let manifest = std::fs::read_to_string(&package.manifest_path).unwrap();
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{} sets its own lints",
            package.name
        );
    }
}

#[test]
fn nothing_allows_unsafe_code() {
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    let root = std::fs::read_to_string(metadata.workspace_root.join("Cargo.toml")).unwrap();
    assert!(root.contains("unsafe_code = \"forbid\""));
}
