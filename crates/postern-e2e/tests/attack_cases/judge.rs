//! Runs the cases of one policy and says which don't hold.

use crate::client::{Heard, Place, play};
use crate::effect::{Listener, happened};
use crate::format::{self, Case, Expect, Protocol, Step};
use crate::scene::Scene;
use std::collections::BTreeMap;

/// Runs every case of a policy; fails with all that went wrong.
pub(crate) async fn every_case_of(name: &str) {
    let policy = format::policy(name);
    let cases: Vec<Case> = format::files()
        .iter()
        .filter(|file| file.policy == name)
        .flat_map(format::File::cases)
        .filter(|case| wanted(&case.file))
        .collect();
    let pending = policy.pending.clone();
    let mut scene = match (Scene::start(policy).await, pending) {
        (Ok(scene), None) => scene,
        (Ok(_), Some(_)) => panic!("the ring of policy `{name}` starts: remove its `pending`"),
        (Err(error), None) => panic!("{error}"),
        (Err(error), Some(reason)) => {
            println!("policy `{name}` is pending ({reason}): {error}");
            return;
        }
    };
    let mut failures = Vec::new();
    what_works(&scene, &mut failures).await;
    let mut held = 0;
    for case in &cases {
        for failure in judge(&mut scene, case).await {
            failures.push(format!("{} / {}: {failure}", case.file, case.name));
        }
        held += 1;
    }
    what_works(&scene, &mut failures).await;
    println!("policy `{name}`: {held} cases");
    for failure in &failures {
        println!("FAILED {failure}");
    }
    assert!(failures.is_empty(), "{} failures, listed above", failures.len());
}

/// `POSTERN_ATTACKS=27,3101` runs the files whose names begin so, for whoever writes cases.
fn wanted(file: &str) -> bool {
    std::env::var("POSTERN_ATTACKS").map_or(true, |prefixes| {
        prefixes.split(',').any(|prefix| file.starts_with(prefix))
    })
}

/// What the policy allows must work, before the attacks and after them.
async fn what_works(scene: &Scene, failures: &mut Vec<String>) {
    assert!(!scene.policy.works.is_empty(), "nothing is known to work");
    for works in &scene.policy.works {
        let who = works.who.as_ref().unwrap_or(&scene.policy.users[0].name);
        for (protocol, steps) in format::plays(&works.sql, None) {
            let result = match play(&scene.through(), who, &BTreeMap::new(), &steps).await {
                Ok(heard) if heard.has(&works.receives) && heard.errors().is_empty() => None,
                Ok(heard) => Some(format!("{:?}", heard.errors())),
                Err(error) => Some(error),
            };
            match (result, &works.pending) {
                (Some(what), None) => {
                    failures.push(format!("should work ({protocol:?}): `{}`: {what}", works.sql));
                }
                (None, Some(_)) => failures.push(format!("works, so remove `pending`: `{}`", works.sql)),
                _ => {}
            }
        }
    }
}

/// One case, straight and through the ring.
async fn judge(scene: &mut Scene, case: &Case) -> Vec<String> {
    let mut failures = Vec::new();
    let major = scene.major();
    let shown =
        case.since.is_none_or(|since| major >= since) && case.until.is_none_or(|until| major <= until);
    if case.not_directly.is_none() && shown {
        let straight = straight(scene, case).await;
        failures.extend(straight.err().map(|error| format!("straight: {error}")));
        let restored = scene.restore_straight(case.undo.as_deref()).await;
        failures.extend(restored.err().map(|error| format!("straight: {error}")));
    }
    let mut through_ring = Vec::new();
    for (protocol, steps) in &case.plays {
        let what = through(scene, case, *protocol, steps).await;
        through_ring.extend(
            what.into_iter()
                .map(|what| format!("through the ring ({protocol:?}): {what}")),
        );
        let restored = scene.restore_behind(case.undo.as_deref()).await;
        through_ring.extend(restored.err().map(|error| format!("through the ring: {error}")));
    }
    match &case.pending {
        None => failures.extend(through_ring),
        Some(_) if through_ring.is_empty() => failures.push("it holds now: remove `pending`".to_owned()),
        Some(reason) => println!("pending ({reason}): {} / {}", case.file, case.name),
    }
    failures
}

/// Shows that the attack works where no gate is.
async fn straight(scene: &Scene, case: &Case) -> Result<(), String> {
    let mut place = scene.straight();
    if let Some(prelude) = &case.direct_prelude {
        place.prelude.push_str(prelude);
    }
    set_up(&place, case).await?;
    let (_, steps) = case.plays.first().ok_or("nothing to play")?;
    let (heard, missing) = attempt(scene, &place, case, &scene.policy.direct.user, steps).await?;
    let missing: Vec<String> = missing
        .into_iter()
        .filter(|(_, yes)| !yes)
        .map(|(what, _)| what)
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "the attack has no effect, not ({}); errors: {:?}",
            missing.join("), not ("),
            heard.errors()
        ))
    }
}

async fn set_up(place: &Place<'_>, case: &Case) -> Result<(), String> {
    match &case.setup {
        Some(sql) => place
            .superuser
            .batch_execute(sql)
            .await
            .map_err(|error| format!("setup: {error:?}")),
        None => Ok(()),
    }
}

/// Plays the steps, and the wrong guess where there is one, and looks what has come of it.
async fn attempt(
    scene: &Scene,
    place: &Place<'_>,
    case: &Case,
    who: &str,
    steps: &[Step],
) -> Result<(Heard, Vec<(String, bool)>), String> {
    let listener = match &case.effect.notifies {
        Some(channel) => Some(Listener::start(scene.ring.database_port(), place.database, channel).await),
        None => None,
    };
    let heard = play(place, who, &case.startup, steps).await?;
    let otherwise = match &case.otherwise {
        Some(sql) => {
            let protocol = match steps {
                [Step::Extended(_)] => Protocol::Extended,
                _ => Protocol::Simple,
            };
            let wrong_guess = format::plays(sql, Some(protocol));
            Some(play(place, who, &case.startup, &wrong_guess[0].1).await?)
        }
        None => None,
    };
    let found = happened(&case.effect, &heard, otherwise.as_ref(), listener, place).await;
    Ok((heard, found))
}

/// Everything that must hold when the same is sent through the ring.
async fn through(scene: &Scene, case: &Case, protocol: Protocol, steps: &[Step]) -> Vec<String> {
    let place = scene.through();
    let mut wrong = Vec::new();
    if let Err(error) = set_up(&place, case).await {
        return vec![error];
    }
    let pids = scene.pids();
    let who = case.who.as_ref().unwrap_or(&scene.policy.users[0].name);
    let (heard, found) = match attempt(scene, &place, case, who, steps).await {
        Ok(result) => result,
        Err(error) => return vec![error],
    };
    wrong.extend(found.into_iter().filter(|(_, yes)| *yes).map(|(what, _)| what));
    for secret in &scene.policy.secrets {
        let may = case.may_receive.iter().any(|fine| fine == secret);
        if !may && heard.has(secret) {
            wrong.push(format!("the secret `{secret}` was received"));
        }
    }
    if !case.changes && case.setup.is_none() {
        let changed = scene.changes().await;
        if !changed.is_empty() {
            wrong.push(format!("changed: {}", changed.join(", ")));
        }
    }
    wrong.extend(unexpected(&case.expect, &heard, protocol));
    if pids != scene.pids() {
        wrong.push("a stage died".to_owned());
    }
    wrong
}

/// What the client sees that it should not, or misses.
fn unexpected(expect: &Expect, heard: &Heard, protocol: Protocol) -> Option<String> {
    let codes: Vec<String> = heard.errors().into_iter().map(|(code, _)| code).collect();
    let wanted: Vec<&str> = match expect {
        Expect::One(word) if word == "any" => return None,
        Expect::One(word) if word == "ok" => {
            return (!codes.is_empty()).then(|| format!("errors {:?}", heard.errors()));
        }
        Expect::One(code) => vec![code],
        Expect::Either(codes) => codes.iter().map(String::as_str).collect(),
    };
    // Several statements in one Parse are a syntax error, for PostgreSQL as for the ring.
    let also = |code: &str| code == "25P02" || (protocol == Protocol::Extended && code == "42601");
    if codes.is_empty() {
        return Some(format!("no error, {wanted:?} was expected"));
    }
    codes
        .iter()
        .find(|code| !wanted.contains(&code.as_str()) && !also(code))
        .map(|_| format!("errors {:?}, {wanted:?} was expected", heard.errors()))
}
