use super::*;
use postern_inspect::{SKIPPING, digest};
use postern_types::ring::{Opened, SignInAnswer, Standing};
use postern_wire::{
    Target, put_bind, put_close_complete, put_command_complete, put_copy_data, put_copy_done,
    put_copy_in_response, put_execute, put_flush, put_parse, put_parse_complete, put_query, put_sync,
    put_terminate,
};
use std::time::Duration;

const TICKET: &[u8] = b"ticket";

fn limits() -> SessionLimits {
    SessionLimits {
        trace_comments: true,
        wire: Limits::default(),
        statements: StatementLimits {
            count: 10,
            bytes: 10_000,
        },
        exchanges: 4,
        exchange_bytes: 100_000,
        answer_window: 1000,
    }
}

/// A signed-in session and the ring's side of it.
struct Ring {
    session: Session,
    now: Instant,
    sequence: u64,
    at: StateDigest,
}

fn state(rows: u64) -> StateDigest {
    digest(&AnswerState {
        rows,
        ..AnswerState::default()
    })
}

impl Ring {
    fn notes(&self) -> Vec<Note> {
        self.session.notes.iter().map(|noted| noted.note).collect()
    }

    fn new() -> Self {
        let now = Instant::now();
        let backend = "b0".parse().unwrap();
        let mut session = Session::new(SessionId([7; 16]), backend, InstanceId([1; 16]), limits(), now);
        session.open(TICKET.to_vec(), now);
        Ring {
            session,
            now,
            sequence: 1,
            at: state(0),
        }
    }

    fn says(&mut self, put: impl FnOnce(&mut Vec<u8>)) -> Vec<Outgoing> {
        let mut bytes = Vec::new();
        put(&mut bytes);
        self.session.input.extend_from_slice(&bytes);
        self.goes_on()
    }

    fn goes_on(&mut self) -> Vec<Outgoing> {
        self.session.go_on(true, self.now);
        std::mem::take(&mut self.session.requests)
    }

    fn arrives(&mut self, arrived: Arrived) {
        self.session.arrive(self.sequence, arrived, self.now);
        self.sequence += 1;
    }

    /// A part that goes from the state before to `after`.
    fn part(&mut self, exchange: u64, after: StateDigest, last: bool, payload: &[u8]) {
        self.full_part(exchange, after, last, 0, false, payload);
    }

    fn full_part(
        &mut self,
        exchange: u64,
        after: StateDigest,
        last: bool,
        parsed: u32,
        copy_in: bool,
        payload: &[u8],
    ) {
        let before = self.at;
        self.at = if last && after != digest(&SKIPPING) {
            state(0)
        } else {
            after
        };
        self.arrives(Arrived::Part {
            exchange,
            before: Some(before),
            after,
            parsed,
            sent_bytes: payload.len() as u64,
            copy_in,
            last,
            hang_up: false,
            payload: Bytes::copy_from_slice(payload),
        });
    }

    /// Everything that waits for the client, as tags of messages.
    fn told(&mut self) -> String {
        let mut bytes = Vec::new();
        while !self.session.output.is_empty() {
            let mut slices = [std::io::IoSlice::new(&[])];
            self.session.output.slices(&mut slices);
            let piece = slices[0].to_vec();
            bytes.extend_from_slice(&piece);
            self.session.written(piece.len());
        }
        let frames = postern_wire::backend_frames(&bytes, 1 << 20);
        frames.map(|frame| char::from(frame.unwrap().tag)).collect()
    }
}

fn ready(status: TransactionStatus) -> Vec<u8> {
    let mut out = Vec::new();
    put_command_complete(&mut out, "SELECT 1");
    put_ready(&mut out, status);
    out
}

fn kinds(requests: &[Outgoing]) -> Vec<(u64, u64, &'static str)> {
    requests
        .iter()
        .map(|request| {
            let kind = match &request.body {
                RequestBody::Heartbeat => "heartbeat",
                RequestBody::SignIn(_) => "sign-in",
                RequestBody::Exchange { .. } => "exchange",
                RequestBody::CopyData { .. } => "copy",
                RequestBody::Grant { .. } => "grant",
                RequestBody::Cancel { .. } => "cancel",
                RequestBody::Probe { .. } => "probe",
                RequestBody::Close { .. } => "close",
            };
            (request.sequence, request.exchange, kind)
        })
        .collect()
}

fn query(out: &mut Vec<u8>) {
    put_query(out, "SELECT 1").unwrap();
}

#[test]
fn a_query_goes_out_and_its_answer_comes_back() {
    let mut ring = Ring::new();
    let requests = ring.says(query);
    assert_eq!(kinds(&requests), [(1, 1, "exchange")]);
    assert!(matches!(&requests[0].body, RequestBody::Exchange { ticket, .. } if ticket == TICKET));
    ring.part(1, state(9), true, &ready(TransactionStatus::Idle));
    assert_eq!(ring.told(), "CZ");
    assert_eq!(ring.notes(), [Note::Answered(1)]);
    assert!(!ring.session.is_waiting());
}

#[test]
fn answers_are_put_in_order_and_repeats_are_dropped() {
    let mut ring = Ring::new();
    ring.says(query);
    let part = |before, after, last, payload: &[u8]| Arrived::Part {
        exchange: 1,
        before: Some(state(before)),
        after: state(after),
        parsed: 0,
        sent_bytes: payload.len() as u64,
        copy_in: false,
        last,
        hang_up: false,
        payload: Bytes::copy_from_slice(payload),
    };
    let now = ring.now;
    ring.session
        .arrive(2, part(1, 2, true, &ready(TransactionStatus::Idle)), now);
    assert!(ring.session.output.is_empty());
    for _ in 0..2 {
        ring.session.arrive(1, part(0, 1, false, b"D\0\0\0\x06\0\0"), now);
    }
    assert_eq!(ring.told(), "DCZ");
    assert!(!ring.session.ended());
}

#[test]
fn an_answer_that_breaks_the_chain_ends_the_session() {
    let cases: [fn(&mut Ring); 6] = [
        // Another state than the one before.
        |ring| {
            ring.at = state(5);
            ring.part(1, state(6), true, b"");
        },
        // A gap between two parts.
        |ring| {
            ring.part(1, state(1), false, b"");
            ring.at = state(0);
            ring.part(1, state(2), true, b"");
        },
        // Another exchange.
        |ring| ring.part(2, state(1), true, b""),
        // A second answer.
        |ring| {
            ring.part(1, state(1), true, b"");
            ring.part(1, state(1), true, b"");
        },
        // A skipped exchange where nothing failed before.
        |ring| {
            ring.at = digest(&SKIPPING);
            ring.part(1, digest(&SKIPPING), true, b"");
        },
        // More than was granted.
        |ring| {
            let mut row = b"D\0\0\x03\xe8".to_vec();
            row.resize(1001, 0);
            ring.part(1, state(1), false, &row);
            ring.part(1, state(2), false, b"D\0\0\0\x06\0\0");
        },
    ];
    for case in cases {
        let mut ring = Ring::new();
        ring.says(query);
        case(&mut ring);
        assert!(ring.session.ended());
        assert!(ring.told().ends_with('E'));
        assert_eq!(kinds(&ring.session.requests).last().unwrap().2, "close");
    }
}

#[test]
fn after_a_failure_without_sync_the_next_answer_begins_skipping() {
    let mut ring = Ring::new();
    ring.says(|out| {
        put_execute(out, "x", 0).unwrap();
        put_flush(out);
        put_sync(out);
    });
    let mut error = Vec::new();
    put_refusal(&mut error, &Refusal::error(SqlState::INVALID_CURSOR_NAME, "no"));
    ring.part(1, digest(&SKIPPING), true, &error);
    ring.part(2, state(3), true, &ready(TransactionStatus::Idle)[..]);
    assert!(!ring.session.ended());
    assert_eq!(ring.told(), "ECZ");
}

#[test]
fn pipelining_is_bounded_and_goes_on_when_answers_come() {
    let mut ring = Ring::new();
    let requests = ring.says(|out| (0..6).for_each(|_| query(out)));
    assert_eq!(requests.len(), 4);
    ring.part(1, state(1), true, &ready(TransactionStatus::Idle));
    assert_eq!(kinds(&ring.goes_on()), [(5, 5, "exchange")]);
}

#[test]
fn the_window_is_opened_again_as_the_client_reads() {
    let mut ring = Ring::new();
    ring.says(query);
    let mut row = b"D\0\0\x01\xf4".to_vec();
    row.resize(501, 0);
    ring.part(1, state(1), false, &row);
    assert!(ring.session.requests.is_empty());
    assert_eq!(ring.told(), "D");
    let requests = std::mem::take(&mut ring.session.requests);
    assert!(matches!(requests[0].body, RequestBody::Grant { bytes: 1501, .. }));
    assert_eq!(requests[0].sequence, 2);
}

#[test]
fn a_statement_counts_when_its_parse_complete_came() {
    let mut ring = Ring::new();
    ring.says(|out| {
        put_parse(out, "a", "SELECT 1", [23]).unwrap();
        put_sync(out);
    });
    let mut answer = Vec::new();
    put_parse_complete(&mut answer);
    put_ready(&mut answer, TransactionStatus::Idle);
    ring.full_part(1, state(1), true, 1, false, &answer);
    let requests = ring.says(|out| {
        put_bind(out, "", "a", &[0; 6]).unwrap();
        put_execute(out, "", 0).unwrap();
        put_sync(out);
    });
    let RequestBody::Exchange { definitions, .. } = &requests[0].body else {
        panic!()
    };
    assert_eq!(definitions.len(), 1);
    assert_eq!(
        (
            definitions[0].sql.as_str(),
            definitions[0].parameter_types.as_slice()
        ),
        ("SELECT 1", &[23][..])
    );
}

#[test]
fn a_closed_statement_is_forgotten() {
    let mut ring = Ring::new();
    ring.says(|out| {
        put_parse(out, "a", "SELECT 1", []).unwrap();
        put_sync(out);
    });
    ring.full_part(1, state(1), true, 1, false, &ready(TransactionStatus::Idle));
    ring.says(|out| {
        postern_wire::put_close(out, Target::Statement, "a").unwrap();
        put_sync(out);
    });
    let mut answer = Vec::new();
    put_close_complete(&mut answer);
    put_ready(&mut answer, TransactionStatus::Idle);
    ring.part(2, state(1), true, &answer);
    assert!(ring.session.statements.is_empty());
}

fn copy_in() -> Vec<u8> {
    let mut out = Vec::new();
    put_copy_in_response(&mut out, false, 1);
    out
}

#[test]
fn copy_data_waits_for_copy_in_and_belongs_to_its_exchange() {
    let mut ring = Ring::new();
    let requests = ring.says(|out| {
        put_query(out, "COPY t FROM STDIN").unwrap();
        put_copy_data(out, b"1\n").unwrap();
        put_copy_done(out);
        query(out);
    });
    assert_eq!(kinds(&requests), [(1, 1, "exchange")]);
    ring.full_part(1, state(1), false, 0, true, &copy_in());
    let requests = ring.goes_on();
    assert_eq!(kinds(&requests), [(2, 1, "copy"), (3, 2, "exchange")]);
    assert_eq!(requests[0].part, 1);
    // A notice while the database still reads opens nothing again.
    ring.full_part(1, state(1), false, 0, true, b"N\0\0\0\x05\0");
    ring.part(1, state(2), true, &ready(TransactionStatus::Idle));
    assert!(!ring.session.ended());
    assert_eq!(ring.told(), "GNCZ");
}

#[test]
fn in_the_extended_protocol_the_sync_after_copy_done_belongs_to_the_copy() {
    let mut ring = Ring::new();
    ring.says(|out| {
        put_execute(out, "", 0).unwrap();
        put_sync(out);
    });
    ring.full_part(1, state(1), false, 0, true, &copy_in());
    let requests = ring.says(|out| {
        put_copy_data(out, b"1\n").unwrap();
        put_copy_done(out);
        put_sync(out);
        put_sync(out);
    });
    assert_eq!(kinds(&requests), [(2, 1, "copy"), (3, 2, "exchange")]);
}

#[test]
fn copy_data_for_a_copy_that_failed_is_ignored() {
    let mut ring = Ring::new();
    ring.says(|out| {
        put_query(out, "COPY nothing FROM STDIN").unwrap();
        put_copy_data(out, b"1\n").unwrap();
        put_copy_done(out);
    });
    ring.part(1, state(1), true, &ready(TransactionStatus::Idle));
    assert_eq!(kinds(&ring.says(query)), [(2, 2, "exchange")]);
}

#[test]
fn the_rest_of_a_large_copy_data_is_ignored_when_the_copy_failed_in_the_middle() {
    let mut ring = Ring::new();
    ring.says(|out| put_query(out, "COPY t FROM STDIN").unwrap());
    ring.full_part(1, state(1), false, 0, true, &copy_in());
    let mut bytes = Vec::new();
    put_copy_data(&mut bytes, &vec![b'x'; 200_000]).unwrap();
    put_copy_done(&mut bytes);
    query(&mut bytes);
    let (first, rest) = bytes.split_at(150_000);
    assert!(!ring.says(|out| out.extend_from_slice(first)).is_empty());
    ring.part(1, state(2), true, &ready(TransactionStatus::Idle));
    let requests = ring.says(|out| out.extend_from_slice(rest));
    assert_eq!(kinds(&requests).last().unwrap().2, "exchange");
    assert!(!ring.session.ended());
}

#[test]
fn a_query_in_the_middle_of_a_copy_ends_the_session() {
    let mut ring = Ring::new();
    ring.says(|out| {
        put_query(out, "COPY t FROM STDIN").unwrap();
        query(out);
    });
    ring.full_part(1, state(1), false, 0, true, &copy_in());
    assert!(ring.session.ended());
    assert_eq!(ring.told(), "GE");
}

#[test]
fn a_function_call_is_answered_in_its_turn() {
    let mut ring = Ring::new();
    ring.says(|out| out.extend_from_slice(b"F\0\0\0\x04"));
    assert_eq!(ring.told(), "EZ");
    ring.says(|out| {
        query(out);
        out.extend_from_slice(b"F\0\0\0\x04");
    });
    assert_eq!(ring.told(), "");
    ring.part(1, state(1), true, &ready(TransactionStatus::InTransaction));
    assert_eq!(ring.told(), "CZEZ");
    assert_eq!(ring.session.status, TransactionStatus::InTransaction);
}

#[test]
fn a_client_that_says_good_bye_gets_what_it_asked_for() {
    let mut ring = Ring::new();
    ring.says(|out| {
        query(out);
        put_terminate(out);
    });
    assert!(!ring.session.ended());
    ring.part(1, state(1), true, &ready(TransactionStatus::Idle));
    assert!(ring.session.ended());
    assert_eq!(ring.told(), "CZ");
    assert_eq!(kinds(&ring.session.requests), [(2, 0, "close")]);
}

#[test]
fn cancel_means_the_oldest_open_exchange_and_nothing_when_there_is_none() {
    let mut ring = Ring::new();
    ring.session.cancel();
    assert!(ring.session.requests.is_empty());
    ring.says(|out| (0..2).for_each(|_| query(out)));
    ring.session.cancel();
    assert_eq!(kinds(&ring.session.requests), [(3, 1, "cancel")]);
    assert_eq!(ring.notes(), [Note::Cancel(1)]);
}

#[test]
fn a_lost_backend_is_told_truthfully() {
    let mut idle = Ring::new();
    idle.session.backend_gone();
    assert!(idle.session.ended() && idle.session.notes.is_empty());
    let mut busy = Ring::new();
    busy.says(query);
    busy.session.backend_gone();
    assert_eq!(
        busy.notes(),
        [Note::Lost(1, SqlState::TRANSACTION_RESOLUTION_UNKNOWN)]
    );
    assert_eq!(busy.told(), "E");
}

#[test]
fn an_exchange_that_never_arrived_is_told_from_one_with_unknown_outcome() {
    for (expected, code) in [
        (1, SqlState::CONNECTION_FAILURE),
        (2, SqlState::TRANSACTION_RESOLUTION_UNKNOWN),
    ] {
        let mut ring = Ring::new();
        ring.says(|out| (0..2).for_each(|_| query(out)));
        for half_seconds in 1..40 {
            let now = ring.now + Duration::from_millis(500) * half_seconds;
            ring.session.tick(now);
            if ring
                .session
                .requests
                .iter()
                .any(|r| matches!(r.body, RequestBody::Probe { .. }))
            {
                ring.session.requests.clear();
                ring.session.probed(Standing::NotSeen, 0, expected, now);
            }
        }
        assert_eq!(ring.notes().first(), Some(&Note::Lost(1, code)));
    }
}

#[test]
fn stopping_waits_for_what_is_under_way() {
    let mut ring = Ring::new();
    ring.says(query);
    ring.session.stop(false);
    assert!(!ring.session.ended());
    assert!(ring.says(query).is_empty());
    ring.part(1, state(1), true, &ready(TransactionStatus::Idle));
    assert_eq!(ring.told(), "CZE");
    assert!(ring.session.ended());
}

#[test]
fn what_follows_the_sign_in_waits_until_it_is_used() {
    let now = Instant::now();
    let mut session = Session::new(
        SessionId([7; 16]),
        "b0".parse().unwrap(),
        InstanceId([1; 16]),
        limits(),
        now,
    );
    session.send(RequestBody::Heartbeat);
    let accepted = SignInAnswer::Accepted {
        message: Vec::new(),
        ticket: TICKET.to_vec(),
    };
    let reply = SignInReply::Answer(accepted, Some(Opened::Ready(Vec::new())));
    let notice = Arrived::Part {
        exchange: 0,
        before: None,
        after: state(0),
        parsed: 0,
        sent_bytes: 6,
        copy_in: false,
        last: false,
        hang_up: false,
        payload: Bytes::from_static(b"N\0\0\0\x05\0"),
    };
    session.arrive(2, notice, now);
    session.arrive(1, Arrived::SignIn(reply), now);
    assert!(session.output.is_empty());
    assert!(matches!(session.take_reply(now), Some(SignInReply::Answer(..))));
    assert!(session.output.is_empty());
    session.open(TICKET.to_vec(), now);
    assert!(!session.output.is_empty());
}
