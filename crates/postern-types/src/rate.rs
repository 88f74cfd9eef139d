//! A bound on how often something may happen: a token bucket. Time is given, in milliseconds of any clock.

use serde::Deserialize;

/// Thousandths of a token: so many come in each millisecond for each token a second.
const TOKEN: i64 = 1000;

/// How often something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// In the long run, each second.
    pub per_s: u32,
    /// At once, after a pause.
    pub burst: u32,
}

impl Rate {
    /// So often a second, and as often at once.
    pub fn per_second(per_s: u32) -> Rate {
        Rate { per_s, burst: per_s }
    }

    fn capacity(self) -> i64 {
        i64::from(self.burst).saturating_mul(TOKEN)
    }
}

/// What is left of a [`Rate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    level: i64,
    at_ms: u64,
}

impl Bucket {
    /// Nothing has happened yet.
    pub fn full(rate: Rate, now_ms: u64) -> Bucket {
        Bucket {
            level: rate.capacity(),
            at_ms: now_ms,
        }
    }

    /// Takes one, if there is one.
    pub fn take(&mut self, rate: Rate, now_ms: u64) -> bool {
        let may = self.has(rate, now_ms);
        if may {
            self.level = self.level.saturating_sub(TOKEN);
        }
        may
    }

    /// Whether there is one.
    pub fn has(&mut self, rate: Rate, now_ms: u64) -> bool {
        self.fill(rate, now_ms);
        self.level >= TOKEN
    }

    /// Takes `cost` for something that has been let through; what is missing is owed, up to as much as the burst.
    pub fn charge(&mut self, rate: Rate, now_ms: u64, cost: u32) {
        self.fill(rate, now_ms);
        let cost = i64::from(cost).saturating_mul(TOKEN);
        let most_owed = rate.capacity().saturating_neg();
        self.level = self.level.saturating_sub(cost).max(most_owed);
    }

    /// A clock that goes back gives nothing, and is followed: a step forward and back must not stop anybody for long.
    fn fill(&mut self, rate: Rate, now_ms: u64) {
        let elapsed = i64::try_from(now_ms.saturating_sub(self.at_ms)).unwrap_or(i64::MAX);
        let fresh = elapsed.saturating_mul(i64::from(rate.per_s));
        self.level = self.level.saturating_add(fresh).min(rate.capacity());
        self.at_ms = now_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let rate = Rate { per_s: 10, burst: 3 };
        let mut bucket = Bucket::full(rate, 5_000);
        let mut taken = |now| bucket.take(rate, now);
        assert_eq!([0; 4].map(|_| taken(5_000)), [true, true, true, false]);
        assert!(!taken(5_099));
        assert!(taken(5_100));
        assert!(!taken(5_100));
    }

    #[test]
    fn what_is_owed_is_waited_for_but_not_without_end() {
        let rate = Rate::per_second(10);
        let mut bucket = Bucket::full(rate, 0);
        bucket.charge(rate, 0, 15);
        assert!(!bucket.has(rate, 599));
        assert!(bucket.has(rate, 600));
        bucket.charge(rate, 600, u32::MAX);
        assert!(!bucket.has(rate, 600 + 1_099));
        assert!(bucket.has(rate, 600 + 1_100));
    }

    proptest! {
        /// Never more than the burst and what time has brought, whatever the clock does.
        #[test]
        fn no_more_than_the_rate(
            per_s in 0u32..2_000,
            burst in 0u32..200,
            steps in prop::collection::vec((any::<bool>(), 0u64..200), 1..400),
        ) {
            let rate = Rate { per_s, burst };
            let mut now: u64 = 1_000_000;
            let mut bucket = Bucket::full(rate, now);
            let (mut taken, mut brought) = (0u64, 0u64);
            for (forward, step) in steps {
                if forward {
                    now += step;
                    brought += step * u64::from(per_s);
                } else {
                    now -= step;
                }
                taken += u64::from(bucket.take(rate, now));
            }
            prop_assert!(taken * 1000 <= u64::from(burst) * 1000 + brought);
        }

        /// Who keeps to the rate is never stopped.
        #[test]
        fn who_keeps_to_the_rate_is_let_through(per_s in 1u32..2_000, count in 1u64..500) {
            let rate = Rate { per_s, burst: 1 };
            let pause = 1000u64.div_ceil(u64::from(per_s));
            let mut bucket = Bucket::full(rate, 0);
            for n in 0..count {
                prop_assert!(bucket.take(rate, n * pause));
            }
        }
    }
}
