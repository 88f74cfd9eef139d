use super::*;
use crate::keys::tests::keep;
use postern_envelope::{PublicKey, SecretKey};
use postern_types::InstanceId;
use std::fs;
use std::path::Path;
use tokio_util::sync::CancellationToken;

fn context(ready: ReadyFile) -> StageContext {
    StageContext {
        stage: Stage::Frontend,
        instance: InstanceId([1; 16]),
        shutdown: CancellationToken::new(),
        ready,
    }
}

/// Writes the Frontend's keys of these epochs; the first is sealed with.
fn write(directory: &Path, epochs: &[u32]) -> PathBuf {
    let public = || -> PublicKey { SecretKey::generate().unwrap().public() };
    let mut text = String::new();
    for (number, epoch) in epochs.iter().enumerate() {
        let secret = SecretKey::generate().unwrap();
        keep(&directory.join(format!("{epoch}.key")), &secret.to_base64());
        let (head, table) = if number == 0 {
            ("", "")
        } else {
            ("[[accepted]]\n", "accepted.")
        };
        text.push_str(&format!(
            "{head}epoch = {epoch}\nsecret_file = \"{epoch}.key\"\n[{table}peers]\nquery-validator = \"{}\"\n\
             response-validator = \"{}\"\n",
            public(),
            public()
        ));
    }
    let file = directory.join("keys.toml");
    let new = directory.join("keys.toml.new");
    fs::write(&new, text).unwrap();
    fs::rename(new, &file).unwrap();
    file
}

async fn next(keys: &LinkKeys) -> KeyNews {
    for _ in 0..200 {
        if let Some(news) = keys.news().next() {
            return news;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no news");
}

#[tokio::test]
async fn keys_turn_when_their_file_does_and_stay_when_it_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let ready_file = directory.path().join("ready");
    let ready = ReadyFile::new(Some(ready_file.clone())).unwrap();
    let config = KeysConfig {
        file: write(directory.path(), &[1]),
    };
    let keys = LinkKeys::begin(&config, &context(ready.clone())).unwrap();
    ready.announce().unwrap();
    let epochs = || {
        fs::read_to_string(&ready_file)
            .unwrap()
            .lines()
            .nth(1)
            .unwrap()
            .to_owned()
    };
    assert_eq!((keys.keyring().epoch(), epochs().as_str()), (1, "epochs 1"));
    assert!(keys.news().next().is_none());

    write(directory.path(), &[2, 1]);
    assert_eq!(next(&keys).await, KeyNews::Turned { epoch: 2 });
    assert_eq!(epochs(), "epochs 2 1");

    fs::write(&config.file, "epoch = 3\n").unwrap();
    assert_eq!(next(&keys).await, KeyNews::Refused { epoch: 2 });
    assert_eq!((keys.keyring().epoch(), epochs().as_str()), (2, "epochs 2 1"));

    write(directory.path(), &[3]);
    assert_eq!(next(&keys).await, KeyNews::Turned { epoch: 3 });
    let record = KeyNews::Turned { epoch: 3 }.record();
    assert_eq!((record.event, record.details.epoch), (Event::KeysTurned, Some(3)));
}

#[tokio::test]
async fn keys_that_are_wrong_at_the_start_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let config = KeysConfig {
        file: write(directory.path(), &[1]),
    };
    keep(&directory.path().join("1.key"), "not a key");
    let error = LinkKeys::begin(&config, &context(ReadyFile::default())).unwrap_err();
    assert!(error.is::<KeysError>(), "{error:#}");
}
