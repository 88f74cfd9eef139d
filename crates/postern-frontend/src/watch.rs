//! Notices when a request or an answer was lost on its way round the ring.
//!
//! While an exchange is open and nothing new arrives, the Backend is asked ([`Advice::Probe`]) how far it is. A
//! long statement is no reason to end a session: only an answer that shows a gap, or silence, is.

use postern_types::ring::Standing;
use std::time::{Duration, Instant};

/// How long nothing may arrive before the Backend is asked.
const FIRST_PROBE: Duration = Duration::from_secs(1);
/// While this many probes are not exceeded they go out every second.
const QUICK_PROBES: u32 = 8;
/// After that, this often.
const SLOW_PROBE: Duration = Duration::from_secs(4);
/// A request the Backend still misses after this long was lost. Longer than it takes until a message that a
/// killed validator had taken is delivered again.
const REQUEST_PATIENCE: Duration = Duration::from_secs(5);
/// An answer that was sent and has not arrived after this long was lost.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
/// So long may probes stay unanswered.
const SILENCE: Duration = Duration::from_secs(15);

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Nothing.
    Wait,
    /// Ask the Backend.
    Probe,
    /// The session is over.
    Lost(Loss),
}

/// What is known of the oldest open exchange when a session is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It never reached the database.
    NeverBegun,
    /// It may have run or not (P6).
    Unknown,
}

/// The Backend's answer to a probe, and where the session stood when it came.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// As the Backend says.
    pub standing: Standing,
    /// Highest number it has sent.
    pub sent: u64,
    /// Next number it expects.
    pub expected: u64,
    /// Next number this side expects from the Backend.
    pub awaited: u64,
    /// Next number this side will send.
    pub next: u64,
    /// Number of the request that opened the oldest open exchange.
    pub oldest: u64,
}

/// Since when a number has stood still.
#[derive(Clone, Copy, Debug)]
struct Still {
    number: u64,
    since: Instant,
}

/// Watches over one session's open exchanges.
#[derive(Debug)]
pub struct Watch {
    heard: Instant,
    probed: Option<Instant>,
    probes: u32,
    missing_request: Option<Still>,
    missing_answer: Option<Still>,
    oldest_missing: bool,
    gone: bool,
}

impl Watch {
    /// Starts now.
    pub fn new(now: Instant) -> Self {
        Watch {
            heard: now,
            probed: None,
            probes: 0,
            missing_request: None,
            missing_answer: None,
            oldest_missing: false,
            gone: false,
        }
    }

    /// Something of an answer arrived, or the first exchange was opened.
    pub fn progress(&mut self, now: Instant) {
        *self = Watch::new(now);
    }

    /// The Backend answered a probe.
    pub fn report(&mut self, now: Instant, report: Report) {
        self.heard = now;
        let stands = |old: Option<Still>, number, missing: bool| match old {
            _ if !missing => None,
            Some(still) if still.number == number => Some(still),
            _ => Some(Still { number, since: now }),
        };
        self.gone = report.standing == Standing::NoSession;
        self.missing_request = stands(
            self.missing_request,
            report.expected,
            report.expected < report.next,
        );
        self.missing_answer = stands(self.missing_answer, report.awaited, report.sent >= report.awaited);
        self.oldest_missing = report.expected <= report.oldest;
    }

    /// Called often while an exchange is open.
    pub fn tick(&mut self, now: Instant) -> Advice {
        if self.gone {
            return Advice::Lost(Loss::Unknown);
        }
        let older = |still: Option<Still>, patience| {
            still.is_some_and(|still| now.saturating_duration_since(still.since) >= patience)
        };
        if older(self.missing_request, REQUEST_PATIENCE) {
            let loss = if self.oldest_missing {
                Loss::NeverBegun
            } else {
                Loss::Unknown
            };
            return Advice::Lost(loss);
        }
        if older(self.missing_answer, ANSWER_PATIENCE) {
            return Advice::Lost(Loss::Unknown);
        }
        let quiet = now.saturating_duration_since(self.heard);
        if self.probed.is_some() && quiet >= SILENCE {
            return Advice::Lost(Loss::Unknown);
        }
        let pause = if self.probes < QUICK_PROBES {
            FIRST_PROBE
        } else {
            SLOW_PROBE
        };
        let last = self.probed.unwrap_or(self.heard);
        if now.saturating_duration_since(last) < pause {
            return Advice::Wait;
        }
        self.probed = Some(now);
        self.probes = self.probes.saturating_add(1);
        Advice::Probe
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Clock {
        start: Instant,
        watch: Watch,
    }

    impl Clock {
        fn new() -> Self {
            let start = Instant::now();
            let watch = Watch::new(start);
            Clock { start, watch }
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        /// Ticks twice a second from `from` to `to`, answering each probe, until the watch gives up.
        fn run(&mut self, from: u64, to: u64, answer: Option<Report>) -> Option<Loss> {
            for ms in (from..to).step_by(500) {
                let now = self.at(ms);
                match self.watch.tick(now) {
                    Advice::Lost(loss) => return Some(loss),
                    Advice::Probe => {
                        if let Some(report) = answer {
                            self.watch.report(now, report);
                        }
                    }
                    Advice::Wait => {}
                }
            }
            None
        }
    }

    const RUNNING: Report = Report {
        standing: Standing::Running,
        sent: 4,
        expected: 8,
        awaited: 5,
        next: 8,
        oldest: 7,
    };

    #[test]
    fn a_long_statement_is_left_alone() {
        assert_eq!(Clock::new().run(0, 3_600_000, Some(RUNNING)), None);
    }

    #[test]
    fn silence_ends_with_the_outcome_unknown() {
        let mut clock = Clock::new();
        assert_eq!(clock.run(0, 14_000, None), None);
        assert_eq!(clock.run(14_000, 20_000, None), Some(Loss::Unknown));
    }

    #[test]
    fn a_request_that_never_arrives_has_not_run() {
        let lost = Report {
            standing: Standing::NotSeen,
            expected: 7,
            ..RUNNING
        };
        assert_eq!(Clock::new().run(0, 10_000, Some(lost)), Some(Loss::NeverBegun));
        let later_one = Report { oldest: 6, ..lost };
        assert_eq!(Clock::new().run(0, 10_000, Some(later_one)), Some(Loss::Unknown));
    }

    #[test]
    fn an_answer_that_never_arrives_leaves_the_outcome_unknown() {
        let lost = Report {
            standing: Standing::Answered,
            sent: 5,
            ..RUNNING
        };
        let mut clock = Clock::new();
        assert_eq!(clock.run(0, 5_000, Some(lost)), None);
        assert_eq!(clock.run(5_000, 10_000, Some(lost)), Some(Loss::Unknown));
    }

    #[test]
    fn a_gap_that_closes_is_forgotten() {
        let late = Report {
            expected: 7,
            ..RUNNING
        };
        let mut clock = Clock::new();
        assert_eq!(clock.run(0, 3_000, Some(late)), None);
        assert_eq!(clock.run(3_000, 60_000, Some(RUNNING)), None);
    }

    #[test]
    fn a_backend_that_does_not_know_the_session_ends_it() {
        let gone = Report {
            standing: Standing::NoSession,
            ..RUNNING
        };
        assert_eq!(Clock::new().run(0, 3_000, Some(gone)), Some(Loss::Unknown));
    }
}
