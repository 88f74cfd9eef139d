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

#[test]
fn a_previous_password_is_good_until_its_time_is_over() {
    let old = user("pencil", &[]).verifier;
    let new = old.again("eraser").unwrap();
    let text = |previous: &str| {
        format!(
            "[users.ann]\nverifier = \"{new}\"\nroles = [\"app\"]\n\
             previous = {{ verifier = \"{previous}\", until = \"1970-01-01T00:00:10Z\" }}\n"
        )
    };
    let users = Users::parse(Path::new("users.toml"), &text(&old.to_string())).unwrap();
    let ann = users.get("ann").unwrap();
    assert!(std::ptr::eq(ann.verifier_at(10_000), &ann.verifier));
    assert!(std::ptr::eq(
        ann.verifier_at(9_999),
        &ann.graced.as_ref().unwrap().0
    ));
    let other = postern_scram::Verifier::from_password("pencil", b"another salt", 4096).unwrap();
    let wrong = Users::parse(Path::new("users.toml"), &text(&other.to_string())).unwrap_err();
    let wrong = wrong.to_string();
    assert!(
        wrong.contains("`ann`") && wrong.contains("another salt or"),
        "{wrong}"
    );
}
