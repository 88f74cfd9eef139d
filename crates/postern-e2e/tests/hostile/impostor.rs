//! What is tried on every link in the same way: changed bytes, others' keys, old and unknown epochs, late envelopes.

use crate::changed::{CHANGES, garbage};
use crate::scene::{Scene, Tap, now_ms};
use crate::table::{Fate, Table};
use postern_envelope::Sealer;
use postern_types::{InstanceId, Link, Stage};

/// How the genuine envelope is to be sealed.
pub(crate) struct Make {
    pub(crate) sealer: Sealer,
    pub(crate) deadline_ms: u64,
}

impl Make {
    pub(crate) fn new(sealer: Sealer) -> Make {
        Make {
            sealer,
            deadline_ms: now_ms() + 30_000,
        }
    }
}

/// Plays them all. `genuine` makes an envelope that would have an effect if nothing were wrong with it, and
/// `effect` says whether it had.
pub(crate) async fn try_all(
    scene: &Scene,
    table: &mut Table,
    tap: &mut Tap,
    link: Link,
    genuine: &mut impl AsyncFnMut(&mut Tap, &mut Make) -> Vec<u8>,
    effect: &mut impl AsyncFnMut(&mut Tap) -> bool,
) {
    let forged = Fate::Stopped("P3, P7");
    for (name, change) in CHANGES {
        let mut envelope = genuine(tap, &mut Make::new(scene.sealer(link))).await;
        change(&mut envelope);
        tap.send(&envelope).await;
        let worked = effect(tap).await;
        table.note(name, forged, worked, "");
    }
    for (name, message) in garbage() {
        genuine(tap, &mut Make::new(scene.sealer(link))).await;
        tap.publish(&message).await;
        let worked = effect(tap).await;
        table.note(name, Fate::Stopped("P7"), worked, "");
    }
    let run = || InstanceId::random().unwrap();
    for holder in Stage::ALL.into_iter().filter(|stage| *stage != link.sender()) {
        let sealer = scene.sealer_with(holder, link, 1, run());
        let envelope = genuine(tap, &mut Make::new(sealer)).await;
        tap.send(&envelope).await;
        let worked = effect(tap).await;
        table.note(format!("sealed with the key of the {holder}"), forged, worked, "");
    }
    for epoch in [0, 2] {
        let sealer = scene.sealer_with(link.sender(), link, epoch, run());
        let envelope = genuine(tap, &mut Make::new(sealer)).await;
        tap.send(&envelope).await;
        let worked = effect(tap).await;
        table.note(
            format!("sealed for key epoch {epoch}"),
            Fate::Stopped("P7"),
            worked,
            "",
        );
    }
    for other in Link::ALL {
        if other.sender() == link.sender() && other != link {
            let envelope = genuine(tap, &mut Make::new(scene.sealer(other))).await;
            tap.send(&envelope).await;
            let worked = effect(tap).await;
            table.note(
                format!("sealed for the link {}", other.name()),
                forged,
                worked,
                "",
            );
        }
    }
    for (name, deadline_ms) in [
        ("past its deadline", now_ms() - 1),
        (
            "good for an hour, to be handed on when all is forgotten",
            now_ms() + 3_600_000,
        ),
    ] {
        let mut made = Make::new(scene.sealer(link));
        made.deadline_ms = deadline_ms;
        let envelope = genuine(tap, &mut made).await;
        tap.send(&envelope).await;
        let worked = effect(tap).await;
        table.note(name, Fate::Stopped("P7"), worked, "");
    }
}
