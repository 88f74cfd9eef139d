//! Who may sign in.

use super::report::{Area, Report, Status};
use super::ring::Examined;
use postern_scram::Verifier;
use postern_types::Stage;

/// Fewer rounds are quicker to guess against than PostgreSQL's own.
const ROUNDS: u32 = 4096;
/// Passwords that are tried on every user, besides its own name.
const OBVIOUS: [&str; 14] = [
    "password",
    "Password1",
    "postgres",
    "postern",
    "secret",
    "changeme",
    "admin",
    "root",
    "test",
    "123456",
    "12345678",
    "qwerty",
    "letmein",
    "welcome",
];
/// Users on whom they are tried; each try costs as much as a sign-in.
const TRIED: usize = 500;
/// Longest life of a session before a new sign-in, in seconds.
const LONG_TICKET_S: i64 = 24 * 3600;

pub(super) fn examine(ring: &Examined, report: &mut Report) {
    let mut section = report.about(Area::Authentication);
    let users = match crate::users::read(&ring.ring.users_file()) {
        Ok(users) => users.users,
        Err(error) => {
            return section.fail(
                "users",
                format!("{error:#}"),
                "mend the file; the stage does not start",
            );
        }
    };
    if users.is_empty() {
        section.warn(
            "users",
            "nobody may sign in",
            "postern user add NAME --roles ROLE --dir DIR",
        );
    } else {
        section.pass("users", format!("{} may sign in", users.len()));
    }
    let (mut broken, mut quick, mut guessed, mut useless) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (index, (name, user)) in users.iter().enumerate() {
        match Verifier::parse(&user.verifier) {
            Err(_) => broken.push(format!("{name} has no usable verifier")),
            Ok(verifier) => {
                if verifier.iterations() < ROUNDS {
                    quick.push(format!("{name} has {} rounds", verifier.iterations()));
                }
                if index < TRIED && is_obvious(name, &verifier) {
                    guessed.push(format!("the password of {name} is obvious"));
                }
            }
        }
        if let Ok(policy) = &ring.policy
            && policy.rights(&user.roles).is_none()
        {
            useless.push(format!(
                "{name} has a role that the policy has not, and can't sign in"
            ));
        }
    }
    section.each(
        "verifiers",
        Status::Fail,
        &broken,
        "postern user add --replace",
        "all verifiers are SCRAM-SHA-256",
    );
    section.each(
        "verifier-rounds",
        Status::Fail,
        &quick,
        "postern user add --replace",
        "all verifiers have 4096 rounds or more",
    );
    section.each(
        "obvious-passwords",
        Status::Fail,
        &guessed,
        "postern user add --replace, with a password that nobody guesses",
        "no password is the user's name or among the most usual",
    );
    section.each(
        "users-roles",
        Status::Warn,
        &useless,
        "remove the user, or mend its roles",
        "each user has roles that the policy knows",
    );
    let life = ring.value(Stage::QueryValidator, &["ticket_lifetime_s"]);
    match life.and_then(toml::Value::as_integer) {
        Some(life) if life > LONG_TICKET_S => section.warn(
            "session-life",
            format!("a session may last {life} seconds without a new sign-in"),
            "lower ticket_lifetime_s in query-validator.toml",
        ),
        _ => section.pass("session-life", "a session ends after a day at most"),
    }
    let failures = ring.value(Stage::QueryValidator, &["sign_in", "failures"]);
    match failures.and_then(toml::Value::as_integer) {
        Some(failures) if failures > 10 => section.warn(
            "lock-out",
            format!("{failures} wrong passwords until a user is locked out"),
            "set sign_in.failures to 5 in query-validator.toml",
        ),
        _ => section.pass("lock-out", "who guesses passwords is locked out"),
    }
}

fn is_obvious(name: &str, verifier: &Verifier) -> bool {
    let own = [
        name.to_owned(),
        format!("{name}1"),
        format!("{name}123"),
        name.chars().rev().collect(),
    ];
    let own = own.iter().map(String::as_str);
    own.chain(OBVIOUS).any(|password| verifier.is_of(password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn obvious_passwords_are_found_by_their_verifiers() {
        let of = |password: &str| Verifier::from_password(password, b"0123456789abcdef", 4096).unwrap();
        assert!(is_obvious("app", &of("app")));
        assert!(is_obvious("app", &of("changeme")));
        assert!(!is_obvious("app", &of("correct horse battery staple")));
    }
}
