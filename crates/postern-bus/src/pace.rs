//! How soon after a message the next one may begin.
//!
//! A message costs a NATS server and the stages after it much the same whether one exchange is in it or twenty. When
//! several had to share a message there will soon be several more, and a moment's wait saves more time of the
//! processors than it costs any of them. A message of one or two is followed at once, so that a few clients never
//! wait; and large envelopes don't count, because a long answer gains nothing by waiting.

use std::time::Duration;
use tokio::time::Instant;

/// Payload in bytes up to which an envelope counts.
const SMALL: usize = 16 * 1024;
/// A message of this many small envelopes is taken as a sign of more to come.
const COMPANY: usize = 3;
/// How long the next message then gathers.
const GATHER: Duration = Duration::from_millis(1);

/// The pace of one writer.
#[derive(Debug, Default)]
pub struct Pace {
    not_before: Option<Instant>,
}

impl Pace {
    /// Whether an envelope with so many bytes of payload counts.
    pub fn is_small(payload_bytes: usize) -> bool {
        payload_bytes <= SMALL
    }

    /// Notes that a message with so many small envelopes has been sent.
    pub fn sent(&mut self, envelopes: usize) {
        self.not_before = (envelopes >= COMPANY).then(|| Instant::now() + GATHER);
    }

    /// Waits until the next message may begin. Cancel safe.
    pub async fn ready(&self) {
        if let Some(moment) = self.not_before {
            tokio::time::sleep_until(moment).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[tokio::test]
    async fn a_few_never_wait_and_many_gather() {
        let mut pace = Pace::default();
        assert!(pace.ready().now_or_never().is_some());
        for (envelopes, waits) in [(0, false), (2, false), (3, true), (100, true), (1, false)] {
            pace.sent(envelopes);
            assert_eq!(pace.ready().now_or_never().is_none(), waits, "{envelopes}");
        }
        pace.sent(3);
        pace.ready().await;
        assert!(pace.ready().now_or_never().is_some(), "it waits once");
    }
}
