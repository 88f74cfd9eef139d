//! What the policy lets through.

use super::report::{Area, Report, Status};
use super::ring::Examined;
use postern_policy::{Mode, Policy};
use postern_types::{ErrorDetail, Stage};

pub(super) fn examine(ring: &Examined, report: &mut Report) {
    let mut section = report.about(Area::Authorisation);
    let policy = match &ring.policy {
        Ok(policy) => policy,
        Err(mistakes) => {
            let mistakes: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
            let mend = "postern policy check DIR, until it is sound";
            return section.each("policy", Status::Fail, &mistakes, mend, "");
        }
    };
    section.pass(
        "policy",
        format!("sound, {:016x} in records", policy.hash().short()),
    );
    modes(policy, report);
    let mut section = report.about(Area::Compliance);
    let mut telling = Vec::new();
    let mut endless = Vec::new();
    for (role, rights) in roles(policy).filter(|(_, rights)| rights.mode() == Mode::Enforce) {
        if rights.error_detail() == ErrorDetail::Full {
            telling.push(format!("{role} is told errors of the database in full"));
        }
        let limits = rights.limits();
        if limits.max_rows.is_none() && limits.max_bytes.is_none() {
            endless.push(format!("answers to {role} have no bound"));
        }
    }
    section.each(
        "errors",
        Status::Warn,
        &telling,
        "set errors: code-and-message, or code-only",
        "details of errors, which may hold rows, are not told",
    );
    section.each(
        "answer-limits",
        Status::Warn,
        &endless,
        "set limits: {max_rows: ..., max_bytes: ...}",
        "answers have a bound",
    );
    if roles(policy).any(|(_, rights)| rights.tells_denials()) {
        section.warn(
            "denial-details",
            "clients are told which rule refused",
            "remove denial_details from policy.yaml",
        );
    }
    masks(ring, policy, report);
}

/// Roles by name, each with the rights of a user who has only this one.
pub(super) fn roles(policy: &Policy) -> impl Iterator<Item = (String, postern_policy::Rights<'_>)> {
    policy.roles().filter_map(|role| {
        let rights = policy.rights(&[role.to_owned()])?;
        Some((role.to_owned(), rights))
    })
}

fn modes(policy: &Policy, report: &mut Report) {
    let mut section = report.about(Area::Authorisation);
    let in_mode = |mode: Mode, what: &str| -> Vec<String> {
        let found = roles(policy).filter(|(_, rights)| rights.mode() == mode);
        found.map(|(role, _)| format!("{role} {what}")).collect()
    };
    section.each(
        "learn-mode",
        Status::Fail,
        &in_mode(Mode::Learn, "is in mode learn: nothing is refused"),
        "postern policy learn and accept, then set mode: enforce",
        "no role is still learning",
    );
    section.each(
        "shadow-mode",
        Status::Fail,
        &in_mode(Mode::Shadow, "is in mode shadow: nothing is refused"),
        "postern policy diff, then set mode: enforce",
        "no role is only watched",
    );
    section.each(
        "open-roles",
        Status::Warn,
        &in_mode(Mode::Open, "is open: it may run what its database role may"),
        "keep open roles for migrations, and no user of an application in them",
        "every role is held to rules",
    );
}

fn masks(ring: &Examined, policy: &Policy, report: &mut Report) {
    let mut section = report.about(Area::Authorisation);
    let hashes = roles(policy).any(|(_, rights)| rights.answers().rules().needs_key());
    let key = ring.file(Stage::ResponseValidator, &["answers", "hash_key_file"]);
    match key {
        None if hashes => section.fail(
            "mask-key",
            "responses.yaml has a mask `hash` and there is no key for it",
            "set answers.hash_key_file in response-validator.toml",
        ),
        Some(file) if hashes && !file.is_file() => section.fail(
            "mask-key",
            format!("the key of the mask `hash` is missing: {}", file.display()),
            "put it back; another key makes other hashes",
        ),
        _ => section.pass("mask-key", "masks have the key that they need"),
    }
    if ring.ring.join("policy/responses.yaml").is_file() {
        section.pass("answer-rules", "there are rules about answers");
    } else {
        section.warn(
            "answer-rules",
            "no rules about answers: masks, tenants, detectors",
            "write policy/responses.yaml",
        );
    }
}
