use super::kit::*;
use crate::Users;
use crate::users::UsersFile;
use std::path::Path;

#[test]
fn a_users_file_is_read_again_when_it_changes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users.toml");
    let line = |name: &str| {
        format!(
            "[users.{name}]\nverifier = \"{}\"\nroles = [\"app\"]\n",
            user("x", &[]).verifier
        )
    };
    let mut file = UsersFile::new(path.clone());
    assert!(file.changed().is_err(), "there is none yet");
    std::fs::write(&path, line("ann")).unwrap();
    assert!(file.changed().unwrap().unwrap().get("ann").is_some());
    assert!(file.changed().unwrap().is_none());
    std::fs::write(&path, line("ann") + &line("olga")).unwrap();
    assert!(file.changed().unwrap().unwrap().get("olga").is_some());
    std::fs::write(&path, "broken").unwrap();
    assert!(file.changed().is_err());
    assert!(file.changed().unwrap().is_none(), "one complaint is enough");
}

#[test]
fn errors_name_the_line_and_never_the_verifier() {
    let error = |text: &str| {
        Users::parse(Path::new("users.toml"), text)
            .unwrap_err()
            .to_string()
    };
    assert!(error("[users.ann]\nverifier = \"x\"\nroles = []\nrolls = 1\n").starts_with("users.toml:4:1: "));
    let wrong = error("[users.ann]\nverifier = \"md5secret\"\nroles = []\n");
    assert!(wrong.contains("`ann`") && !wrong.contains("md5secret"), "{wrong}");
    let shown = format!("{:?}", users());
    assert!(
        !shown.contains("MDEyMzQ1Njc4OWFiY2RlZg"),
        "the salt is in no log: {shown}"
    );
}
