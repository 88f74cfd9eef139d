//! Which Backends are alive, as far as their heartbeats tell.

use postern_types::{InstanceId, Slot};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How often heartbeats go out.
pub const HEARTBEAT: Duration = Duration::from_millis(500);
/// A Backend that is silent for so long is gone.
const SILENCE: Duration = Duration::from_secs(5);
/// Runs of a Backend that are remembered as over, so that a late heartbeat does not bring them back.
const REMEMBERED: usize = 64;

#[derive(Debug)]
struct Live {
    instance: InstanceId,
    heard: Instant,
}

/// The configured Backends.
#[derive(Debug)]
pub struct Backends {
    slots: Vec<(Slot, Option<Live>)>,
    over: VecDeque<InstanceId>,
    turn: usize,
}

impl Backends {
    /// None of them has been heard of.
    pub fn new(slots: Vec<Slot>) -> Self {
        Backends {
            slots: slots.into_iter().map(|slot| (slot, None)).collect(),
            over: VecDeque::new(),
            turn: 0,
        }
    }

    /// All configured names.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().map(|(slot, _)| slot)
    }

    /// A heartbeat came. Gives the run that it replaces, whose sessions are over.
    pub fn heard(&mut self, slot: &Slot, instance: InstanceId, now: Instant) -> Option<InstanceId> {
        if self.over.contains(&instance) {
            return None;
        }
        let (_, live) = self.slots.iter_mut().find(|(known, _)| known == slot)?;
        let before = live.replace(Live { instance, heard: now });
        let replaced = before.map(|live| live.instance).filter(|old| *old != instance)?;
        self.remember(replaced);
        Some(replaced)
    }

    /// The runs that have been silent for too long by now; they are forgotten and their sessions are over.
    pub fn silent(&mut self, now: Instant) -> Vec<InstanceId> {
        let mut gone = Vec::new();
        for (_, live) in &mut self.slots {
            if let Some(silent) = live.take_if(|live| now.saturating_duration_since(live.heard) >= SILENCE) {
                gone.push(silent.instance);
            }
        }
        gone
    }

    /// A live Backend for a new session, in turn.
    pub fn choose(&mut self) -> Option<(Slot, InstanceId)> {
        self.turn = self.turn.wrapping_add(1);
        let live: Vec<_> = self
            .slots
            .iter()
            .filter_map(|(slot, live)| live.as_ref().map(|live| (slot, live.instance)))
            .collect();
        let turn = self.turn.checked_rem(live.len())?;
        live.get(turn)
            .map(|(slot, instance)| ((*slot).clone(), *instance))
    }

    fn remember(&mut self, instance: InstanceId) {
        if self.over.len() >= REMEMBERED {
            self.over.pop_front();
        }
        self.over.push_back(instance);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: InstanceId = InstanceId([1; 16]);
    const B: InstanceId = InstanceId([2; 16]);

    fn slot(name: &str) -> Slot {
        name.parse().unwrap()
    }

    #[test]
    fn a_new_run_replaces_the_old_one_for_good() {
        let (now, zero) = (Instant::now(), slot("b0"));
        let mut backends = Backends::new(vec![zero.clone()]);
        assert_eq!(backends.choose(), None);
        assert_eq!(backends.heard(&zero, A, now), None);
        assert_eq!(backends.heard(&zero, A, now), None);
        assert_eq!(backends.heard(&zero, B, now), Some(A));
        assert_eq!(backends.heard(&zero, A, now), None);
        assert_eq!(backends.choose(), Some((zero, B)));
    }

    #[test]
    fn a_silent_backend_is_gone_until_it_is_heard_again() {
        let (now, zero) = (Instant::now(), slot("b0"));
        let mut backends = Backends::new(vec![zero.clone()]);
        backends.heard(&zero, A, now);
        assert_eq!(backends.silent(now + SILENCE / 2), []);
        assert_eq!(backends.silent(now + SILENCE), [A]);
        assert_eq!(backends.silent(now + SILENCE), []);
        assert_eq!(backends.choose(), None);
        backends.heard(&zero, A, now + SILENCE);
        assert_eq!(backends.choose(), Some((zero, A)));
    }

    #[test]
    fn sessions_are_spread_over_live_backends_and_strangers_are_ignored() {
        let now = Instant::now();
        let mut backends = Backends::new(vec![slot("b0"), slot("b1")]);
        backends.heard(&slot("b0"), A, now);
        backends.heard(&slot("b1"), B, now);
        backends.heard(&slot("b9"), InstanceId([9; 16]), now);
        let chosen: std::collections::BTreeSet<_> = (0..4).filter_map(|_| backends.choose()).collect();
        assert_eq!(chosen.len(), 2);
    }
}
