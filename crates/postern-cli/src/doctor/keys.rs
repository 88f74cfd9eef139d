//! Keys of the stages, and what they know of each other; and the sandbox.

use super::report::{Area, Report, Status};
use super::ring::Examined;
use crate::secret_file;
use anyhow::Context as _;
use postern_bus::Secret;
use postern_envelope::{PublicKey, SecretKey};
use postern_runtime::{KeyFile, beside};
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
    let mut unusable = Vec::new();
    let mut files: BTreeMap<Stage, KeyFile> = BTreeMap::new();
    let mut own = Own::new();
    for stage in Stage::ALL {
        match keys_of(ring, stage) {
            Ok((file, public)) => {
                files.insert(stage, file);
                own.insert(stage, public);
            }
            Err(error) => unusable.push(format!("{stage} has no usable keys: {error:#}")),
        }
    }
    let mut section = report.about(Area::Encryption);
    section.each(
        "stage-keys",
        Status::Fail,
        &unusable,
        "put the keys back from your backup, or give the stages new ones: postern keys rotate",
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
        &strange(&files, &own),
        "give the stages new keys: postern keys rotate",
        "the stages know each other by their keys",
    );
    epochs(&files, report);
    sandbox(ring, report);
    secrets(ring, report);
}

/// What is in a stage's key file, and the public halves of its secrets by epoch.
fn keys_of(ring: &Examined, stage: Stage) -> anyhow::Result<(KeyFile, BTreeMap<u32, PublicKey>)> {
    let file = ring.file(stage, &["keys", "file"]);
    let file = file.context("its configuration names no key file")?;
    let keys = KeyFile::read(&file)?;
    let others = keys.accepted.iter().map(|one| (one.epoch, &one.secret_file));
    let mut public = BTreeMap::new();
    for (epoch, secret_file) in std::iter::once((keys.epoch, &keys.secret_file)).chain(others) {
        let source = beside(&file, secret_file);
        let secret = SecretKey::parse(source.read()?.expose()).with_context(|| source.to_string())?;
        public.insert(epoch, secret.public());
    }
    Ok((keys, public))
}

/// Public keys by stage and epoch.
type Own = BTreeMap<Stage, BTreeMap<u32, PublicKey>>;

/// Pairs of stages with the same key.
fn same(own: &Own) -> Vec<String> {
    let mut found = Vec::new();
    for (stage, keys) in own {
        for (other, others_keys) in own.range(stage..).skip(1) {
            if keys
                .values()
                .any(|key| others_keys.values().any(|other| other == key))
            {
                found.push(format!("{stage} and {other} have the same key"));
            }
        }
    }
    found
}

/// Peers that a stage has another key for than their own.
fn strange(files: &BTreeMap<Stage, KeyFile>, own: &Own) -> Vec<String> {
    let mut found = Vec::new();
    for (stage, keys) in files {
        let others = keys.accepted.iter().map(|one| (one.epoch, &one.peers));
        for (epoch, peers) in std::iter::once((keys.epoch, &keys.peers)).chain(others) {
            for (peer, key) in peers {
                let theirs = own.get(peer).and_then(|keys| keys.get(&epoch));
                if theirs.is_some_and(|theirs| theirs != key) {
                    found.push(format!(
                        "{stage} has another key for {peer} in epoch {epoch} than {peer} has"
                    ));
                }
            }
        }
    }
    found
}

/// Whoever seals must be understood by all.
fn epochs(files: &BTreeMap<Stage, KeyFile>, report: &mut Report) {
    let mut section = report.about(Area::Encryption);
    let mut deaf = Vec::new();
    for (sender, keys) in files {
        for (receiver, others) in files {
            if !others.epochs().contains(&keys.epoch) {
                deaf.push(format!(
                    "{sender} seals with the keys of epoch {}, which {receiver} does not have",
                    keys.epoch
                ));
            }
        }
    }
    section.each(
        "epochs",
        Status::Fail,
        &deaf,
        "copy keys/link of the ring's directory to every machine, or give the stages new keys: postern keys rotate",
        "what any stage seals the others can open",
    );
}

fn sandbox(ring: &Examined, report: &mut Report) {
    let loose: Vec<String> = Stage::ALL
        .into_iter()
        .filter(|stage| !matches!(ring.text(*stage, &["sandbox"]), Some("required" | "strict")))
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
        (Stage::QueryValidator, &["record_key_file"]),
        (Stage::ResponseValidator, &["answers", "hash_key_file"]),
        (Stage::ResponseValidator, &["answers", "record_key_file"]),
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
        "the secrets for salts, masks and recorded values are there and long enough",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_the_same_or_another_ones_are_named() {
        let keys: Vec<PublicKey> = (0..4).map(|_| SecretKey::generate().unwrap().public()).collect();
        let of_epoch_1 = |key: PublicKey| BTreeMap::from([(1, key)]);
        let mut own: Own = Stage::ALL
            .into_iter()
            .zip(keys.into_iter().map(of_epoch_1))
            .collect();
        let file = |peer: Stage, key: &PublicKey| KeyFile {
            epoch: 1,
            secret_file: "x".into(),
            peers: BTreeMap::from([(peer, *key)]),
            accepted: Vec::new(),
        };
        let first = *own.keys().next().unwrap();
        let last = *own.keys().last().unwrap();
        let right = BTreeMap::from([(first, file(last, &own[&last][&1]))]);
        assert!(same(&own).is_empty() && strange(&right, &own).is_empty());
        let wrong = BTreeMap::from([(first, file(last, &own[&first][&1]))]);
        assert_eq!(strange(&wrong, &own).len(), 1);
        let copied = own[&first].clone();
        own.insert(last, copied);
        assert_eq!(same(&own), [format!("{first} and {last} have the same key")]);
    }
}
