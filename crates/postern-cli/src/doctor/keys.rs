//! Keys of the stages, and what they know of each other; and the sandbox.

use super::report::{Area, Report, Status};
use super::ring::Examined;
use crate::secret_file;
use postern_bus::Secret;
use postern_envelope::{PublicKey, SecretKey};
use postern_runtime::KeysConfig;
use postern_types::Stage;
use std::collections::BTreeMap;

pub(super) fn examine(ring: &Examined, report: &mut Report) {
    let unreadable: Vec<String> = ring
        .stages
        .iter()
        .filter_map(|(stage, table)| {
            let error = table.as_ref().err()?;
            Some(format!("{stage}.toml: {error}"))
        })
        .collect();
    report.about(Area::Compliance).each(
        "stage-files",
        Status::Fail,
        &unreadable,
        "mend the file; a stage with it does not start",
        "the configurations of all four stages can be read",
    );
    let configs: BTreeMap<Stage, KeysConfig> = Stage::ALL
        .into_iter()
        .filter_map(|stage| {
            let keys = ring.value(stage, &["keys"])?.clone();
            Some((stage, keys.try_into().ok()?))
        })
        .collect();
    let mut unusable = Vec::new();
    let mut own: BTreeMap<Stage, PublicKey> = BTreeMap::new();
    for stage in Stage::ALL {
        let public = configs.get(&stage).and_then(|config| {
            let secret = Secret::read(&ring.ring.join(&config.secret_file)).ok()?;
            Some(SecretKey::parse(secret.expose()).ok()?.public())
        });
        match public {
            Some(public) => _ = own.insert(stage, public),
            None => unusable.push(format!("{stage} has no usable secret key")),
        }
    }
    let mut section = report.about(Area::Encryption);
    section.each(
        "stage-keys",
        Status::Fail,
        &unusable,
        "put the key back from your backup, or make a new ring",
        "each stage has a secret key",
    );
    section.each(
        "same-key",
        Status::Fail,
        &same(&own),
        "give each stage a key of its own; whoever has one of these can seal as the other",
        "no two stages have the same key",
    );
    section.each(
        "peer-keys",
        Status::Fail,
        &strange(&configs, &own),
        "write the public keys of the stages' own secret keys into [keys.peers]",
        "the stages know each other by their keys",
    );
    epochs(&configs, report);
    sandbox(ring, report);
    secrets(ring, report);
}

/// Pairs of stages with the same key.
fn same(own: &BTreeMap<Stage, PublicKey>) -> Vec<String> {
    let mut found = Vec::new();
    for (stage, key) in own {
        for (other, other_key) in own.range(stage..).skip(1) {
            if key == other_key {
                found.push(format!("{stage} and {other} have the same key"));
            }
        }
    }
    found
}

/// Peers that a stage has another key for than their own.
fn strange(configs: &BTreeMap<Stage, KeysConfig>, own: &BTreeMap<Stage, PublicKey>) -> Vec<String> {
    let mut found = Vec::new();
    for (stage, config) in configs {
        for (peer, key) in &config.peers {
            if own.get(peer).is_some_and(|own| own != key) {
                found.push(format!("{stage} has another key for {peer} than {peer} has"));
            }
        }
    }
    found
}

fn epochs(configs: &BTreeMap<Stage, KeysConfig>, report: &mut Report) {
    let mut section = report.about(Area::Encryption);
    let told: Vec<String> = configs
        .iter()
        .map(|(stage, config)| format!("{stage} {}", config.epoch))
        .collect();
    let mut numbers: Vec<u32> = configs.values().map(|config| config.epoch).collect();
    numbers.dedup();
    if numbers.len() > 1 {
        section.fail(
            "epochs",
            format!("key epochs differ: {}", told.join(", ")),
            "set the same `epoch` in all four files and restart the stages",
        );
    } else {
        section.pass("epochs", "all stages are in the same key epoch");
    }
}

fn sandbox(ring: &Examined, report: &mut Report) {
    let loose: Vec<String> = Stage::ALL
        .into_iter()
        .filter(|stage| ring.text(*stage, &["sandbox"]) != Some("required"))
        .map(|stage| {
            let how = ring.text(stage, &["sandbox"]).unwrap_or("not set");
            format!("{stage}: sandbox is {how}")
        })
        .collect();
    report.about(Area::Compliance).each(
        "sandbox",
        Status::Fail,
        &loose,
        "set sandbox = \"required\", on a kernel with Landlock",
        "no stage starts outside its sandbox",
    );
}

/// Secrets that a person has written are shorter than those that `init` makes.
fn secrets(ring: &Examined, report: &mut Report) {
    let made = secret_file::random_password().map_or(32, |password| password.len());
    let mut weak = Vec::new();
    for (stage, path) in [
        (Stage::QueryValidator, ["mock_secret_file"].as_slice()),
        (Stage::ResponseValidator, &["answers", "hash_key_file"]),
    ] {
        let Some(file) = ring.file(stage, path) else {
            continue;
        };
        match Secret::read(&file) {
            Ok(secret) if secret.expose().len() >= made => {}
            Ok(_) => weak.push(format!("{} is short", file.display())),
            Err(error) => weak.push(error.to_string()),
        }
    }
    report.about(Area::Encryption).each(
        "secrets",
        Status::Warn,
        &weak,
        "make one with `openssl rand -base64 32`",
        "the secrets for salts and masks are there and long enough",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_the_same_or_another_ones_are_named() {
        let keys: Vec<PublicKey> = (0..4).map(|_| SecretKey::generate().unwrap().public()).collect();
        let mut own: BTreeMap<Stage, PublicKey> = Stage::ALL.into_iter().zip(keys.clone()).collect();
        let config = |peer: Stage, key: &PublicKey| KeysConfig {
            secret_file: "x".into(),
            epoch: 1,
            peers: BTreeMap::from([(peer, *key)]),
        };
        let first = *own.keys().next().unwrap();
        let last = *own.keys().last().unwrap();
        let right = BTreeMap::from([(first, config(last, &own[&last]))]);
        assert!(same(&own).is_empty() && strange(&right, &own).is_empty());
        let wrong = BTreeMap::from([(first, config(last, &own[&first]))]);
        assert_eq!(strange(&wrong, &own).len(), 1);
        let copied = own[&first];
        own.insert(last, copied);
        assert_eq!(same(&own), [format!("{first} and {last} have the same key")]);
    }
}
