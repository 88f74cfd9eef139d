//! The replay window.

use super::*;
use std::num::NonZeroUsize;

fn window(senders: usize) -> ReplayWindow {
    ReplayWindow::new(NonZeroUsize::new(senders).unwrap())
}

#[test]
fn a_replay_is_refused_and_reordering_inside_the_window_is_not() {
    let mut w = window(2);
    let sender = InstanceId([1; 16]);
    for counter in [5, 3, 4, REPLAY_WINDOW + 4, 6, 0x7fff_ffff] {
        assert_eq!(w.offer(sender, counter), Freshness::Fresh, "{counter}");
    }
    assert_eq!(w.offer(sender, 0x7fff_ffff), Freshness::Repeated);
    assert_eq!(w.offer(sender, 0x7fff_ffff - REPLAY_WINDOW), Freshness::TooOld);
    assert_eq!(w.offer(sender, 0x7fff_ffff - REPLAY_WINDOW + 1), Freshness::Fresh);
    assert_eq!(
        w.offer(sender, 0x7fff_ffff - REPLAY_WINDOW + 1),
        Freshness::Repeated
    );
    assert_eq!(w.offer(sender, u64::MAX), Freshness::Fresh);
    assert_eq!(w.offer(sender, u64::MAX), Freshness::Repeated);
}

#[test]
fn windows_of_two_senders_are_their_own_and_the_longest_unused_goes() {
    let mut w = window(2);
    let [a, b, c] = [1, 2, 3].map(|i| InstanceId([i; 16]));
    assert_eq!(w.offer(a, 1), Freshness::Fresh);
    assert_eq!(w.offer(b, 1), Freshness::Fresh);
    assert_eq!(w.offer(a, 1), Freshness::Repeated);
    // b is now the longest unused.
    assert_eq!(w.offer(c, 1), Freshness::Fresh);
    assert_eq!(w.offer(a, 1), Freshness::Repeated);
    assert_eq!(w.offer(c, 1), Freshness::Repeated);
}

proptest! {
    #[test]
    fn the_window_agrees_with_a_set(counters in prop::collection::vec(0u64..30_000, 1..400)) {
        let mut window = window(1);
        let mut seen = HashSet::new();
        let mut top = None;
        for counter in counters {
            let expected = match top {
                Some(top) if counter + REPLAY_WINDOW <= top => Freshness::TooOld,
                _ if !seen.insert(counter) => Freshness::Repeated,
                _ => Freshness::Fresh,
            };
            top = top.max(Some(counter));
            prop_assert_eq!(window.offer(InstanceId([1; 16]), counter), expected);
        }
    }
}
