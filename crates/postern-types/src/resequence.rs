//! Puts the messages of one session back in order.
//!
//! Validators are at-least-once and may be many: after one dies, its messages come again, late and perhaps
//! twice. Each direction of a session numbers its messages 1, 2, 3, …; this takes each number once and in
//! order (P6), holds a bounded number that came early, and drops what came before.

use std::collections::BTreeMap;

/// What became of a message offered to a [`Resequencer`].
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It was next; call [`Resequencer::pop`] until it gives `None`.
    InOrder,
    /// It is early and is held.
    Held,
    /// Its number was taken before. It must not be acted on again.
    Duplicate,
    /// It is so early that holding it would exceed the limit. The session can't go on.
    TooFar,
}

/// Takes numbered messages in any order and gives them back in order, each number once.
#[derive(Debug)]
pub struct Resequencer<T> {
    next: u64,
    limit: usize,
    waiting: BTreeMap<u64, T>,
}

impl<T> Resequencer<T> {
    /// Expects `next` first and holds at most `limit` messages.
    pub fn new(next: u64, limit: usize) -> Self {
        Resequencer {
            next,
            limit,
            waiting: BTreeMap::new(),
        }
    }

    /// Takes a message in.
    pub fn offer(&mut self, number: u64, message: T) -> Arrival {
        if number < self.next || self.waiting.contains_key(&number) {
            return Arrival::Duplicate;
        }
        if number != self.next && self.waiting.len() >= self.limit {
            return Arrival::TooFar;
        }
        self.waiting.insert(number, message);
        if number == self.next {
            Arrival::InOrder
        } else {
            Arrival::Held
        }
    }

    /// The next message in order, if it is there.
    pub fn pop(&mut self) -> Option<T> {
        let message = self.waiting.remove(&self.next)?;
        self.next = self.next.saturating_add(1);
        Some(message)
    }

    /// The number that must come next.
    pub fn expected(&self) -> u64 {
        self.next
    }

    /// Whether a message is held because an earlier one is missing.
    pub fn has_gap(&self) -> bool {
        !self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_restored_and_nothing_comes_twice() {
        let mut r = Resequencer::new(1, 8);
        assert_eq!(r.offer(2, "b"), Arrival::Held);
        assert_eq!(r.pop(), None);
        assert_eq!(r.offer(2, "b again"), Arrival::Duplicate);
        assert_eq!(r.offer(1, "a"), Arrival::InOrder);
        assert_eq!((r.pop(), r.pop(), r.pop()), (Some("a"), Some("b"), None));
        assert_eq!(r.offer(1, "a replayed"), Arrival::Duplicate);
        assert_eq!(r.expected(), 3);
    }

    #[test]
    fn holding_is_bounded_but_the_next_always_fits() {
        let mut r = Resequencer::new(1, 1);
        assert_eq!(r.offer(3, ()), Arrival::Held);
        assert_eq!(r.offer(4, ()), Arrival::TooFar);
        assert_eq!(r.offer(1, ()), Arrival::InOrder);
    }
}
