//! Slows down who guesses passwords. Free of I/O; time is given. Memory has a bound.
//!
//! Failures are counted for each name, whether there is such a user or not, and for each address. After some, every
//! proof is refused for a while, right or wrong, and each failure after that doubles the while. A success takes nothing
//! back: else whoever has an account of his own, or waits for the user to sign in, could guess on.
//!
//! So that nobody can lock out an application by failing in its name, a pair of name and address that has signed in
//! before is counted by itself, and only that success makes it forget.

use lru::LruCache;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::net::IpAddr;
use std::num::NonZeroUsize;

/// Names, addresses and pairs that are remembered, each; beyond, the one that was not heard of for longest is forgotten.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(16_383);

/// An IPv6 host has a whole network of this size to choose its address from.
const V6_HOST_PREFIX: u8 = 64;

/// When who is locked out, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LockoutConfig {
    /// Failures of one name after which it is locked out; of a name and an address it has signed in from before, apart.
    pub failures: u32,
    /// Failures of one address, whatever the names.
    pub failures_of_address: u32,
    /// How long, the first time, in seconds. It doubles with each failure after that.
    pub lock_s: u32,
    /// How long at most, in seconds.
    pub longest_lock_s: u32,
    /// Failures are forgotten when there was none for so long after the lock has ended, in seconds.
    pub forget_s: u32,
}

impl Default for LockoutConfig {
    fn default() -> Self {
        LockoutConfig {
            failures: 5,
            failures_of_address: 20,
            lock_s: 30,
            longest_lock_s: 900,
            forget_s: 3600,
        }
    }
}

/// A configuration that can't work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`sign_in.{0}`: the values must be above 0, and `longest_lock_s` not below `lock_s`")]
pub struct InvalidLockout(&'static str);

impl LockoutConfig {
    /// # Errors
    /// When a value is 0, or the longest lock is shorter than the first.
    pub fn checked(self) -> Result<LockoutConfig, InvalidLockout> {
        for (name, value) in [
            ("failures", self.failures),
            ("failures_of_address", self.failures_of_address),
            ("lock_s", self.lock_s),
            ("forget_s", self.forget_s),
        ] {
            if value == 0 {
                return Err(InvalidLockout(name));
            }
        }
        if self.longest_lock_s < self.lock_s {
            return Err(InvalidLockout("longest_lock_s"));
        }
        Ok(self)
    }

    /// How long so many failures lock out, where `allowed` do not yet.
    fn lock_ms(&self, failures: u32, allowed: u32) -> u64 {
        let Some(beyond) = failures.checked_sub(allowed) else {
            return 0;
        };
        let doubled = 1u64.checked_shl(beyond.min(32)).unwrap_or(u64::MAX);
        u64::from(self.lock_s)
            .saturating_mul(doubled)
            .min(self.longest_lock_s.into())
            .saturating_mul(1000)
    }
}

/// Failures that are remembered.
#[derive(Clone, Copy, Debug, Default)]
struct Failures {
    count: u32,
    last_ms: u64,
}

impl Failures {
    fn lock_ms(self, config: &LockoutConfig, allowed: u32) -> u64 {
        config.lock_ms(self.count, allowed)
    }

    /// A clock that goes back is followed, so that no lock lasts longer than it says from now on.
    fn age(&mut self, now_ms: u64) -> u64 {
        self.last_ms = self.last_ms.min(now_ms);
        now_ms.saturating_sub(self.last_ms)
    }

    fn locks(&mut self, config: &LockoutConfig, allowed: u32, now_ms: u64) -> bool {
        self.age(now_ms) < self.lock_ms(config, allowed)
    }

    fn add(&mut self, config: &LockoutConfig, allowed: u32, now_ms: u64) {
        let forget_ms = u64::from(config.forget_s).saturating_mul(1000);
        if self.age(now_ms) >= self.lock_ms(config, allowed).saturating_add(forget_ms) {
            self.count = 0;
        }
        self.count = self.count.saturating_add(1);
        self.last_ms = now_ms;
    }
}

/// A digest, so that a name takes the same room whatever its length.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key([u8; 32]);

impl Key {
    fn of(name: &str, address: Option<IpAddr>) -> Key {
        let mut hash = Sha256::new();
        hash.update(address.map(|address| address.to_string()).unwrap_or_default());
        hash.update([0]);
        hash.update(name);
        Key(hash.finalize().into())
    }
}

/// See the module's documentation.
pub(crate) struct Lockout {
    config: LockoutConfig,
    names: LruCache<Key, Failures>,
    addresses: LruCache<IpAddr, Failures>,
    /// Names with addresses they have signed in from.
    familiar: LruCache<Key, Failures>,
}

/// What counts as one address.
fn host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        v4 @ IpAddr::V4(_) => v4,
        v6 @ IpAddr::V6(_) => postern_types::Network::around(v6, V6_HOST_PREFIX).address(),
    }
}

impl Lockout {
    /// Nobody has failed yet.
    pub(crate) fn new(config: LockoutConfig) -> Lockout {
        Lockout {
            config,
            names: LruCache::new(REMEMBERED),
            addresses: LruCache::new(REMEMBERED),
            familiar: LruCache::new(REMEMBERED),
        }
    }

    /// Whether no proof is to be accepted now. `address` is `None` when the Frontend told none that is one.
    pub(crate) fn is_locked(&mut self, name: &str, address: Option<IpAddr>, now_ms: u64) -> bool {
        let address = address.map(host);
        let config = self.config;
        if let Some(own) = self.familiar.get_mut(&Key::of(name, address)) {
            return own.locks(&config, config.failures, now_ms);
        }
        let name = self.names.get_mut(&Key::of(name, None));
        let of_name = name.is_some_and(|failures| failures.locks(&config, config.failures, now_ms));
        let of_address = address
            .and_then(|address| self.addresses.get_mut(&address))
            .is_some_and(|failures| failures.locks(&config, config.failures_of_address, now_ms));
        of_name || of_address
    }

    /// A proof was wrong. One that was refused because of a lock must not be counted: it was not a guess.
    pub(crate) fn failed(&mut self, name: &str, address: Option<IpAddr>, now_ms: u64) {
        let address = address.map(host);
        let config = self.config;
        if let Some(own) = self.familiar.get_mut(&Key::of(name, address)) {
            return own.add(&config, config.failures, now_ms);
        }
        self.names
            .get_or_insert_mut(Key::of(name, None), Failures::default)
            .add(&config, config.failures, now_ms);
        if let Some(address) = address {
            self.addresses.get_or_insert_mut(address, Failures::default).add(
                &config,
                config.failures_of_address,
                now_ms,
            );
        }
    }

    /// A proof was right.
    pub(crate) fn succeeded(&mut self, name: &str, address: Option<IpAddr>) {
        self.familiar
            .put(Key::of(name, address.map(host)), Failures::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: u64 = 1000;
    const START: u64 = 1_700_000_000_000;

    fn at(n: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, n]))
    }

    /// Guesses until the lock holds; how many there were.
    fn guess(lockout: &mut Lockout, name: &str, address: Option<IpAddr>, now: u64) -> u32 {
        let mut guesses = 0;
        while !lockout.is_locked(name, address, now) {
            lockout.failed(name, address, now);
            guesses += 1;
            assert!(guesses < 1000, "never locked");
        }
        guesses
    }

    #[test]
    fn five_failures_lock_for_a_while_that_doubles() {
        let mut lockout = Lockout::new(LockoutConfig::default());
        assert_eq!(guess(&mut lockout, "ann", at(1), START), 5);
        let mut now = START;
        for lock in [30, 60, 120, 240, 480, 900, 900] {
            assert!(lockout.is_locked("ann", at(2), now + lock * S - 1), "{lock}");
            now += lock * S;
            assert_eq!(guess(&mut lockout, "ann", at(2), now), 1, "after {lock}");
        }
        assert!(!lockout.is_locked("bob", at(1), now));
    }

    #[test]
    fn an_address_is_locked_whatever_the_names() {
        let mut lockout = Lockout::new(LockoutConfig::default());
        for n in 0..20 {
            assert!(!lockout.is_locked(&format!("user{n}"), at(1), START));
            lockout.failed(&format!("user{n}"), at(1), START);
        }
        assert!(lockout.is_locked("somebody", at(1), START));
        assert!(!lockout.is_locked("somebody", at(2), START));
        let v6 = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        for n in 0..20 {
            lockout.failed(&format!("user{n}"), v6(&format!("2001:db8::{n}")), START);
        }
        assert!(lockout.is_locked("somebody", v6("2001:db8::ffff:1"), START));
        assert!(!lockout.is_locked("somebody", v6("2001:db8:0:1::1"), START));
    }

    #[test]
    fn nobody_locks_out_an_application_where_it_signs_in_from() {
        let mut lockout = Lockout::new(LockoutConfig::default());
        lockout.succeeded("app", at(1));
        for n in 2..60 {
            guess(&mut lockout, "app", at(n), START);
        }
        for n in 0..30 {
            lockout.failed(&format!("user{n}"), at(1), START);
        }
        assert!(lockout.is_locked("app", at(9), START));
        assert!(!lockout.is_locked("app", at(1), START));
        // There it has five of its own, until it gets one right.
        assert_eq!(guess(&mut lockout, "app", at(1), START), 5);
        lockout.succeeded("app", at(1));
        assert_eq!(guess(&mut lockout, "app", at(1), START), 5);
    }

    #[test]
    fn a_success_buys_no_more_guesses() {
        let mut lockout = Lockout::new(LockoutConfig::default());
        for n in 0..19 {
            lockout.failed(&format!("user{n}"), at(1), START);
            lockout.succeeded("own", at(1));
        }
        lockout.failed("user", at(1), START);
        assert!(lockout.is_locked("other", at(1), START));
        assert_eq!(guess(&mut lockout, "app", at(2), START), 5);
        lockout.succeeded("app", at(3));
        assert!(lockout.is_locked("app", at(2), START));
    }

    #[test]
    fn failures_are_forgotten_after_a_while() {
        let mut lockout = Lockout::new(LockoutConfig::default());
        for _ in 0..4 {
            lockout.failed("ann", at(1), START);
        }
        assert_eq!(guess(&mut lockout, "ann", at(1), START + 3599 * S), 1);
        assert_eq!(
            guess(&mut lockout, "ann", at(1), START + (3599 + 30 + 3600) * S),
            5
        );
    }

    #[test]
    fn memory_has_a_bound_however_many_come() {
        let mut lockout = Lockout::new(LockoutConfig::default());
        for n in 0..40_000u32 {
            let name = format!("{n}{}", "x".repeat(100));
            let address = Some(IpAddr::from(n.to_be_bytes()));
            lockout.failed(&name, address, START);
            lockout.succeeded(&name, address);
        }
        for held in [
            lockout.names.len(),
            lockout.addresses.len(),
            lockout.familiar.len(),
        ] {
            assert_eq!(held, REMEMBERED.get());
        }
    }

    #[test]
    fn a_configuration_that_never_locks_is_refused() {
        let config = LockoutConfig::default();
        assert!(config.checked().is_ok());
        assert!(LockoutConfig { lock_s: 0, ..config }.checked().is_err());
        assert!(
            LockoutConfig {
                failures: 0,
                ..config
            }
            .checked()
            .is_err()
        );
        assert!(
            LockoutConfig {
                longest_lock_s: 29,
                ..config
            }
            .checked()
            .is_err()
        );
    }

    proptest! {
        /// Over any stretch of time a name gets no more guesses from strange addresses than the locks leave, and
        /// whether there is such a user plays no part: the code does not know.
        #[test]
        fn guesses_are_few(pauses in prop::collection::vec((0u64..2_000, 0u8..8), 1..300)) {
            let config = LockoutConfig::default();
            let mut lockout = Lockout::new(config);
            let (mut now, mut guesses) = (START, 0u64);
            for (pause, address) in pauses {
                now += pause * S;
                if !lockout.is_locked("ann", at(address), now) {
                    lockout.failed("ann", at(address), now);
                    guesses += 1;
                }
            }
            // Five at once, then one for each lock; and, when all is forgotten, the same again.
            let hours = (now - START) / (u64::from(config.forget_s) * S);
            prop_assert!(guesses <= 10 + (now - START) / (30 * S));
            prop_assert!(guesses <= 10 + 14 * (hours + 1), "{guesses} in {hours} hours");
        }

        /// Neither a clock that jumps nor any order of events makes it panic or locks for ever.
        #[test]
        fn a_lock_ends(steps in prop::collection::vec((any::<u32>(), 0u8..3, any::<bool>()), 0..100)) {
            let mut lockout = Lockout::new(LockoutConfig::default());
            let mut latest = 0;
            for (now, address, right) in steps {
                latest = latest.max(u64::from(now));
                if right {
                    lockout.succeeded("ann", at(address));
                } else {
                    lockout.failed("ann", at(address), u64::from(now));
                }
            }
            prop_assert!(!lockout.is_locked("ann", at(0), latest + 900 * S));
            // Also when the clock is set back to the beginning.
            lockout.is_locked("ann", at(0), 0);
            prop_assert!(!lockout.is_locked("ann", at(0), 900 * S));
        }
    }
}
