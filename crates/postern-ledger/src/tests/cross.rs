//! What [`cross_check`] finds in the ledgers of a small ring.

use super::*;
use Event::{Exchange, ExchangeAnswered, ExchangeLost, SessionClose};
use Stage::{Backend, Frontend, QueryValidator, ResponseValidator};
use std::collections::BTreeMap;

struct Ring {
    dir: TempDir,
    ledgers: BTreeMap<Stage, Ledger>,
    now_ms: u64,
}

impl Ring {
    fn new() -> Ring {
        let mut ring = Ring {
            dir: TempDir::new().unwrap(),
            ledgers: BTreeMap::new(),
            now_ms: NOW,
        };
        Stage::ALL.into_iter().for_each(|stage| ring.start(stage));
        ring
    }

    fn directories(&self) -> BTreeMap<Stage, PathBuf> {
        Stage::ALL
            .map(|stage| (stage, self.dir.path().join(stage.name())))
            .into()
    }

    /// Starts a stage; one that runs is killed.
    fn start(&mut self, stage: Stage) {
        self.now_ms += 1000;
        drop(self.ledgers.remove(&stage));
        let directory = self.dir.path().join(stage.name());
        let ledger = Ledger::open(&directory, stage, RUN, self.now_ms).unwrap();
        self.ledgers.insert(stage, ledger);
    }

    fn stop(&mut self, stage: Stage) {
        self.ledgers.remove(&stage).unwrap().close(self.now_ms).unwrap();
    }

    fn record(&mut self, stage: Stage, event: Event, exchange: u64) {
        self.record_as(stage, event, exchange, Outcome::Allowed);
    }

    fn record_as(&mut self, stage: Stage, event: Event, exchange: u64, result: Outcome) {
        self.now_ms += 1;
        let ledger = self.ledgers.get_mut(&stage).unwrap();
        ledger.append(&Record {
            session: Some(SessionId([1; 16])),
            exchange: Some(exchange),
            result,
            ..Record::at(self.now_ms, event)
        });
        ledger.commit().unwrap();
    }

    /// The whole life of an exchange, but for the records of `without`.
    fn run(&mut self, exchange: u64, without: &[Stage]) {
        for stage in Stage::ALL.into_iter().filter(|stage| !without.contains(stage)) {
            self.record(stage, Exchange, exchange);
        }
        self.record(Frontend, ExchangeAnswered, exchange);
    }

    fn check(&self) -> CrossReport {
        cross_check(&self.directories()).unwrap()
    }

    fn kinds(&self) -> Vec<Disagreement> {
        let kind = |finding: CrossFinding| match finding {
            CrossFinding::Exchange { kind, .. } => kind,
            CrossFinding::Unreadable { .. } => panic!("{finding}"),
        };
        self.check().findings.into_iter().map(kind).collect()
    }
}

#[test]
fn a_ring_in_which_all_went_well_agrees() {
    let mut ring = Ring::new();
    (1..=5).for_each(|n| ring.run(n, &[]));
    let report = ring.check();
    assert_eq!(report.findings, []);
    assert_eq!((report.exchanges, report.complete, report.open), (5, 5, 0));
    assert_eq!(report.records[&Frontend], 11);
    assert_eq!(report.records[&Backend], 6);
}

#[test]
fn what_an_earlier_stage_never_saw_is_a_finding() {
    let pairs = [
        (Frontend, QueryValidator),
        (QueryValidator, Backend),
        (Backend, ResponseValidator),
    ];
    for (earlier, later) in pairs {
        let mut ring = Ring::new();
        ring.run(1, &[]);
        for stage in Stage::ALL.into_iter().filter(|stage| *stage != earlier) {
            ring.record(stage, Exchange, 2);
        }
        assert_eq!(ring.kinds(), [Disagreement::Unasked { later, earlier }]);
    }
}

#[test]
fn a_statement_run_by_the_backend_alone_is_a_finding() {
    let mut ring = Ring::new();
    ring.record(Backend, Exchange, 1);
    let expected = Disagreement::Unasked {
        later: Backend,
        earlier: QueryValidator,
    };
    assert_eq!(ring.kinds(), [expected]);
}

#[test]
fn an_answer_that_a_stage_knows_nothing_of_is_a_finding_even_after_a_restart() {
    let mut ring = Ring::new();
    ring.run(1, &[ResponseValidator]);
    assert_eq!(ring.kinds(), [Disagreement::AnsweredWithout(ResponseValidator)]);
    Stage::ALL.into_iter().for_each(|stage| ring.start(stage));
    assert_eq!(ring.kinds(), [Disagreement::AnsweredWithout(ResponseValidator)]);
}

#[test]
fn the_backend_running_twice_is_a_finding_and_validators_repeating_is_not() {
    let mut ring = Ring::new();
    ring.run(1, &[]);
    ring.record(QueryValidator, Exchange, 1);
    ring.record(ResponseValidator, Exchange, 1);
    assert_eq!(ring.kinds(), []);
    ring.start(Backend);
    ring.record(Backend, Exchange, 1);
    assert_eq!(ring.kinds(), [Disagreement::RanTwice]);
}

#[test]
fn an_exchange_on_its_way_is_open_and_a_lost_one_is_accounted_for() {
    let mut ring = Ring::new();
    ring.record(Frontend, Exchange, 1);
    ring.record(QueryValidator, Exchange, 1);
    let report = ring.check();
    assert_eq!((report.open, report.accounted, report.total_findings), (1, 0, 0));
    ring.record(Frontend, ExchangeLost, 1);
    let report = ring.check();
    assert_eq!((report.open, report.accounted, report.total_findings), (0, 1, 0));
}

#[test]
fn a_restart_after_it_accounts_for_an_exchange_and_one_before_it_does_not() {
    for stage in Stage::ALL {
        let mut ring = Ring::new();
        ring.start(stage);
        ring.record(Frontend, Exchange, 1);
        assert_eq!(ring.check().open, 1);
        ring.start(stage);
        assert_eq!(ring.check().accounted, 1, "{stage}");
        assert_eq!(ring.kinds(), []);
    }
}

#[test]
fn an_exchange_without_end_in_a_session_that_has_one_is_a_finding() {
    let mut ring = Ring::new();
    ring.record(Frontend, Exchange, 1);
    ring.record(Frontend, SessionClose, 1);
    assert_eq!(ring.kinds(), [Disagreement::Unaccounted]);
    let mut ring = Ring::new();
    ring.record(Frontend, Exchange, 1);
    ring.stop(Frontend);
    assert_eq!(ring.kinds(), [Disagreement::Unaccounted]);
    // Killed and started again before the clean stop.
    let mut ring = Ring::new();
    ring.record(Frontend, Exchange, 1);
    ring.start(Frontend);
    ring.stop(Frontend);
    assert_eq!(ring.kinds(), []);
}

#[test]
fn an_exchange_that_the_frontend_refused_need_not_go_round() {
    let mut ring = Ring::new();
    ring.record_as(Frontend, Exchange, 1, Outcome::Refused);
    ring.record(Frontend, ExchangeAnswered, 1);
    let report = ring.check();
    assert_eq!((report.accounted, report.total_findings), (1, 0));
}

#[test]
fn an_end_without_a_beginning_is_a_finding() {
    let mut ring = Ring::new();
    ring.record(Frontend, ExchangeAnswered, 1);
    assert_eq!(ring.kinds(), [Disagreement::EndWithoutBeginning]);
}

#[test]
fn ledgers_in_each_others_place_are_a_finding() {
    let mut ring = Ring::new();
    ring.run(1, &[]);
    let mut directories = ring.directories();
    let backend = directories[&Backend].clone();
    let validator = directories.insert(ResponseValidator, backend).unwrap();
    directories.insert(Backend, validator);
    let report = cross_check(&directories).unwrap();
    assert!(
        report
            .findings
            .iter()
            .any(|f| matches!(f, CrossFinding::Unreadable { stage: Backend, .. }))
    );
}

#[test]
fn a_topology_with_fewer_ledgers_is_compared_as_far_as_it_goes() {
    let mut ring = Ring::new();
    ring.run(1, &[QueryValidator, ResponseValidator]);
    ring.record(Backend, Exchange, 2);
    let mut directories = ring.directories();
    directories.remove(&QueryValidator);
    directories.remove(&ResponseValidator);
    let report = cross_check(&directories).unwrap();
    assert_eq!((report.complete, report.total_findings), (1, 1));
}

#[test]
fn a_ledger_that_is_not_there_is_an_error() {
    let mut directories = Ring::new().directories();
    directories.insert(Backend, PathBuf::from("/nonexistent"));
    assert!(cross_check(&directories).is_err());
}
