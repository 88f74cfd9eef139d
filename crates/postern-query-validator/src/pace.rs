//! How many statements a user may run in a second, where the policy says. Free of I/O; time is given. Memory has a
//! bound.

use lru::LruCache;
use postern_types::{Bucket, Rate, Refusal, SqlState};
use std::num::NonZeroUsize;

/// Users whose pace is remembered; beyond, the one not heard of for longest is forgotten.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(16_383);

/// The pace of every user, all sessions together.
pub(crate) struct Pace {
    users: LruCache<String, Bucket>,
}

impl Pace {
    pub(crate) fn new() -> Pace {
        Pace {
            users: LruCache::new(REMEMBERED),
        }
    }

    /// Why nothing of this user's may run now. Asked before a text is looked at, so that one who is too fast costs little.
    pub(crate) fn refusal(&mut self, user: &str, per_s: u32, now_ms: u64) -> Option<Refusal> {
        let rate = Rate::per_second(per_s);
        let has = self.bucket(user, rate, now_ms).has(rate, now_ms);
        (!has).then(|| {
            Refusal::error(
                SqlState::CONFIGURATION_LIMIT_EXCEEDED,
                "more statements than are allowed in a second; try again in a moment",
            )
        })
    }

    /// So many statements were let through, or refused by the policy.
    pub(crate) fn charge(&mut self, user: &str, per_s: u32, statements: u32, now_ms: u64) {
        let rate = Rate::per_second(per_s);
        self.bucket(user, rate, now_ms).charge(rate, now_ms, statements);
    }

    fn bucket(&mut self, user: &str, rate: Rate, now_ms: u64) -> &mut Bucket {
        self.users
            .get_or_insert_mut_ref(user, || Bucket::full(rate, now_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_user_has_a_pace_of_its_own() {
        let mut pace = Pace::new();
        for _ in 0..10 {
            assert_eq!(pace.refusal("ann", 10, 0), None);
            pace.charge("ann", 10, 1, 0);
        }
        let refusal = pace.refusal("ann", 10, 0).unwrap();
        assert!(refusal.code == SqlState::CONFIGURATION_LIMIT_EXCEEDED && !refusal.fatal);
        assert_eq!(pace.refusal("bob", 10, 0), None);
        assert_eq!(pace.refusal("ann", 10, 100), None);
        // Many at once are owed for.
        pace.charge("ann", 10, 10_000, 100);
        assert!(pace.refusal("ann", 10, 1_100).is_some());
        assert_eq!(pace.refusal("ann", 10, 1_200), None);
    }

    proptest! {
        #[test]
        fn no_more_than_the_rate_and_one_exchange(
            per_s in 1u32..100,
            steps in prop::collection::vec((0u64..100, 1u32..50), 1..300),
        ) {
            let mut pace = Pace::new();
            let (mut now, mut ran) = (0, 0u64);
            for (pause, statements) in steps {
                now += pause;
                if pace.refusal("ann", per_s, now).is_none() {
                    pace.charge("ann", per_s, statements, now);
                    // What is owed beyond a burst is let off.
                    ran += u64::from(statements.min(per_s));
                }
            }
            prop_assert!(ran <= u64::from(per_s) * 2 + now * u64::from(per_s) / 1000 + 1);
        }
    }
}
