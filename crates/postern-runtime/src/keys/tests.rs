use super::*;
use postern_envelope::Keyring;
use postern_types::InstanceId;
use std::fs;

const NOW: u64 = 1_800_000_000_000;

/// Writes a secret that nobody else may read.
pub(crate) fn keep(file: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A key file of the Frontend with fresh keys; gives back the text too.
fn sample(directory: &Path) -> (PathBuf, String) {
    let public = || SecretKey::generate().unwrap().public();
    let mut text = String::new();
    for (epoch, table) in [(2, ""), (1, "accepted.")] {
        let secret = SecretKey::generate().unwrap();
        keep(&directory.join(format!("{epoch}.key")), &secret.to_base64());
        if epoch == 1 {
            text.push_str(
                "[[accepted]]\nuntil = \"2027-01-15T08:05:00Z\"\nown_until = \"2027-01-15T20:00:00Z\"\n",
            );
        }
        text.push_str(&format!(
            "epoch = {epoch}\nsecret_file = \"{epoch}.key\"\n[{table}peers]\nquery-validator = \"{}\"\n\
             response-validator = \"{}\"\n",
            public(),
            public()
        ));
    }
    let file = directory.join("keys.toml");
    fs::write(&file, &text).unwrap();
    (file, text)
}

fn generations(file: &Path, now_ms: u64) -> Result<Generations, KeysError> {
    KeyFile::read(file)?.generations(Stage::Frontend, file, now_ms)
}

#[test]
fn a_keyring_is_made_from_a_key_file() {
    let directory = tempfile::tempdir().unwrap();
    let (file, _) = sample(directory.path());
    let keys = KeyFile::read(&file).unwrap();
    assert_eq!(keys.epochs(), [2, 1]);
    let generations = generations(&file, NOW).unwrap();
    assert_eq!(generations.others.len(), 1);
    assert_eq!(generations.others[0].until_ms, 1_800_000_300_000);
    assert_eq!(generations.others[0].own_until_ms, 1_800_043_200_000);
    let keyring = Keyring::new(Stage::Frontend, InstanceId([1; 16]), generations);
    assert_eq!(keyring.epoch(), 2);
    assert!(keyring.sealer(Link::FrontendToQueryValidator).is_ok());
    // Written and read it is the same.
    fs::write(&file, toml::to_string(&keys).unwrap()).unwrap();
    assert_eq!(KeyFile::read(&file).unwrap(), keys);
}

#[test]
fn what_has_run_out_is_not_even_read() {
    let directory = tempfile::tempdir().unwrap();
    let (file, _) = sample(directory.path());
    fs::remove_file(directory.path().join("1.key")).unwrap();
    assert!(matches!(generations(&file, NOW), Err(KeysError::Secret(_))));
    let later = generations(&file, NOW + 13 * 3_600_000).unwrap();
    assert!(later.others.is_empty());
}

#[test]
fn files_that_can_not_be_right_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (file, text) = sample(directory.path());
    let refused = |text: &str| {
        fs::write(&file, text).unwrap();
        generations(&file, NOW).unwrap_err().to_string()
    };
    let told = refused(&text.replacen("epoch = 1", "epoch = 2", 1));
    assert!(told.contains("two keys of epoch 2"), "{told}");
    for wrong in [
        text.replace("peers]", "pears]"),
        text.replace("2027-01-15T08:05:00Z", "tomorrow"),
        text.replace("query-validator", "nobody"),
        "x".repeat(70_000),
        String::new(),
    ] {
        let told = refused(&wrong);
        assert!(told.starts_with("error in `"), "{told}");
    }
    let told = refused(&text.replace("query-validator", "backend"));
    assert!(told.contains("no public key of query-validator"), "{told}");
    let keys: KeyFile = toml::from_str(&text).unwrap();
    let (one, other) = (
        keys.peers[&Stage::QueryValidator],
        keys.peers[&Stage::ResponseValidator],
    );
    let told = refused(&text.replace(&one.to_string(), &other.to_string()));
    assert!(
        told.contains("query-validator and response-validator have the same key"),
        "{told}"
    );
    keep(&directory.path().join("2.key"), "not a key");
    assert!(refused(&text).contains("2.key` does not hold a secret key"));
    fs::remove_file(&file).unwrap();
    assert!(matches!(KeyFile::read(&file), Err(KeysError::Unreadable { .. })));
}

#[test]
fn a_stage_knows_only_the_keys_of_its_links() {
    assert_eq!(
        stages_linked_with(Stage::Frontend),
        [Stage::QueryValidator, Stage::ResponseValidator]
    );
    assert_eq!(
        stages_linked_with(Stage::Backend),
        [Stage::QueryValidator, Stage::ResponseValidator]
    );
    assert!(!stages_linked_with(Stage::QueryValidator).contains(&Stage::QueryValidator));
}
