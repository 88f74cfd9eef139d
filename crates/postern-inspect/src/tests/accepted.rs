//! The state machine accepts exactly the answers that the grammar accepts.

use super::message::Message::{self, Described, Error, Fatal, Notice, Plain, Row, Status};
use super::message::{ALL, COPY_IN, COPY_OUT, ROWS, SILENT, contract, encode, execute};
use super::oracle::{Ending, judge};
use crate::{SKIPPING, check_part, digest, next_start};
use postern_types::{AnswerState, CopyDirection, Expect, Phase, StatementShape, body};
use proptest::prelude::*;

/// Runs the complete answer through `check_part`, cut before the given messages; `None` when refused or
/// incomplete.
fn run(steps: &[Expect], skipping: bool, messages: &[Message], cuts: &[bool]) -> Option<Ending> {
    let contract = contract(steps.to_vec());
    let mut state = if skipping {
        SKIPPING
    } else {
        AnswerState::default()
    };
    let mut parts: Vec<Vec<Message>> = vec![Vec::new()];
    for (at, message) in messages.iter().enumerate() {
        if cuts.get(at).copied().unwrap_or(false) {
            parts.push(Vec::new());
        }
        parts.last_mut().unwrap().push(*message);
    }
    let mut ending = None;
    for part in parts {
        // The state travels between the parts.
        let mut encoded = Vec::new();
        body::encode(&state, &[], &mut encoded).unwrap();
        let (carried, _): (AnswerState, _) = body::decode(&encoded).unwrap();
        let payload = encode(&part);
        let mut out = Vec::new();
        let checked = check_part(&contract, &carried, &payload, &mut out).ok()?;
        assert!(
            !checked.rewritten && out.is_empty(),
            "nothing is to be changed under ErrorDetail::Full"
        );
        state = checked.state_after;
        ending = match (checked.last, checked.hang_up) {
            (true, true) => Some(Ending::Ended),
            (true, false) if next_start(&state) == SKIPPING => {
                assert_eq!(digest(&state), digest(&SKIPPING));
                Some(Ending::Skipping)
            }
            (true, false) => Some(Ending::Done),
            (false, _) => None,
        };
        assert_eq!(checked.copy_in, state.phase == Phase::CopyIn);
    }
    ending
}

fn shape() -> impl Strategy<Value = StatementShape> {
    prop_oneof![Just(SILENT), Just(ROWS), Just(COPY_IN), Just(COPY_OUT)]
}

fn extended_step() -> impl Strategy<Value = Expect> {
    prop_oneof![
        Just(Expect::Parse),
        Just(Expect::Bind),
        Just(Expect::DescribeStatement),
        Just(Expect::DescribePortal),
        Just(Expect::Close),
        (shape(), 0u32..3).prop_map(|(shape, max_rows)| execute(shape, max_rows, false)),
    ]
}

/// Exchanges as the Query Validator builds them: extended-query messages and one end.
fn exchange() -> impl Strategy<Value = Vec<Expect>> {
    let end = prop_oneof![
        3 => Just(Expect::Sync),
        1 => Just(Expect::Flush),
        2 => prop::collection::vec(shape(), 0..4).prop_map(Expect::Query),
    ];
    (prop::collection::vec(extended_step(), 0..7), end).prop_map(|(mut steps, end)| {
        mark_described(&mut steps);
        steps.push(end);
        steps
    })
}

/// Marks an Execute right after the Describe of a portal as one of the same portal.
fn mark_described(steps: &mut [Expect]) {
    for at in 1..steps.len() {
        if steps[at - 1] == Expect::DescribePortal
            && let Expect::Execute { described, .. } = &mut steps[at]
        {
            *described = true;
        }
    }
}

/// Makes the legal answer that `choices` describe. Every choice is a byte; a missing one is 0.
struct Author<'a> {
    choices: std::slice::Iter<'a, u8>,
    out: Vec<Message>,
    columns: u16,
}

struct Failed;

impl Author<'_> {
    fn choose(&mut self, of: u8) -> u8 {
        self.choices.next().map_or(0, |choice| choice % of)
    }

    fn put(&mut self, message: Message) -> Result<(), Failed> {
        match self.choose(16) {
            1 => self.out.push(Notice),
            2 => self.out.push(Status),
            3 => {
                self.out.push(Error);
                return Err(Failed);
            }
            _ => {}
        }
        self.out.push(message);
        Ok(())
    }

    fn end_of_error(&mut self) {
        if self.choose(4) == 1 {
            self.out.push(Notice);
        }
        self.out.push(Plain(b'Z'));
    }

    fn answer(&mut self, steps: &[Expect]) {
        for (at, step) in steps.iter().enumerate() {
            if self.step(step).is_ok() {
                continue;
            }
            if matches!(step, Expect::Query(_) | Expect::Sync) || steps[at..].contains(&Expect::Sync) {
                self.end_of_error();
            }
            return;
        }
    }

    fn step(&mut self, step: &Expect) -> Result<(), Failed> {
        match step {
            Expect::Query(statements) => {
                if statements.is_empty() {
                    self.put(Plain(b'I'))?;
                }
                for shape in statements {
                    self.statement(*shape)?;
                }
                self.put(Plain(b'Z'))
            }
            Expect::Parse => self.put(Plain(b'1')),
            Expect::Bind => self.put(Plain(b'2')),
            Expect::Close => self.put(Plain(b'3')),
            Expect::DescribeStatement => {
                self.put(Plain(b't'))?;
                self.describe()
            }
            Expect::DescribePortal | Expect::HiddenDescribe => self.describe(),
            Expect::Execute {
                shape,
                max_rows,
                described,
            } => self.execute(*shape, *max_rows, *described),
            Expect::Flush | Expect::Columns => Ok(()),
            Expect::Sync => self.put(Plain(b'Z')),
        }
    }

    fn describe(&mut self) -> Result<(), Failed> {
        self.columns = u16::from(self.choose(3));
        self.put(if self.columns == 0 {
            Plain(b'n')
        } else {
            Described(self.columns)
        })
    }

    fn copy(&mut self, direction: CopyDirection) -> Result<(), Failed> {
        if direction == CopyDirection::In {
            return self.put(Plain(b'G'));
        }
        self.put(Plain(b'H'))?;
        for _ in 0..self.choose(4) {
            self.put(Plain(b'd'))?;
        }
        self.put(Plain(b'c'))
    }

    fn statement(&mut self, shape: StatementShape) -> Result<(), Failed> {
        if let Some(direction) = shape.copy {
            self.copy(direction)?;
        } else if shape.rows && self.choose(4) != 1 {
            let columns = 1 + u16::from(self.choose(2));
            self.put(Described(columns))?;
            for _ in 0..self.choose(4) {
                self.put(Row(columns))?;
            }
        }
        self.put(Plain(b'C'))
    }

    fn execute(&mut self, shape: StatementShape, max_rows: u32, described: bool) -> Result<(), Failed> {
        if let Some(direction) = shape.copy {
            self.copy(direction)?;
        } else if shape.rows {
            let columns = if described {
                self.columns
            } else {
                1 + u16::from(self.choose(2))
            };
            let mut rows = u32::from(self.choose(4));
            if max_rows != 0 {
                rows = rows.min(max_rows);
            }
            for _ in 0..rows {
                self.put(Row(columns))?;
            }
            if max_rows != 0 && rows == max_rows {
                return self.put(Plain(b's'));
            }
        }
        self.put(Plain(b'C'))
    }
}

fn legal_answer(steps: &[Expect], choices: &[u8]) -> Vec<Message> {
    let mut author = Author {
        choices: choices.iter(),
        out: Vec::new(),
        columns: 0,
    };
    author.answer(steps);
    author.out
}

fn conversation() -> impl Strategy<Value = (Vec<Expect>, Vec<Message>)> {
    (exchange(), prop::collection::vec(any::<u8>(), 0..80)).prop_map(|(steps, choices)| {
        let messages = legal_answer(&steps, &choices);
        (steps, messages)
    })
}

fn any_message() -> impl Strategy<Value = Message> {
    prop::sample::select(ALL.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_legal_answer_is_accepted_in_any_split(
        (steps, messages) in conversation(),
        cuts in prop::collection::vec(any::<bool>(), 0..100),
    ) {
        let ending = run(&steps, false, &messages, &cuts);
        prop_assert!(ending.is_some());
        prop_assert_eq!(ending, judge(&steps, false, &messages));
    }

    #[test]
    fn one_change_is_refused_or_makes_another_legal_answer(
        (steps, messages) in conversation(),
        at in any::<prop::sample::Index>(),
        kind in 0..4,
        extra in any_message(),
        cuts in prop::collection::vec(any::<bool>(), 0..100),
    ) {
        let mut changed = messages.clone();
        let at = at.index(messages.len().max(1));
        match kind {
            0 => changed.insert(at, extra),
            1 if at < changed.len() => { changed.remove(at); }
            2 if at < changed.len() => changed.insert(at, messages[at]),
            3 if at + 1 < changed.len() => changed.swap(at, at + 1),
            _ => changed.push(extra),
        }
        prop_assert_eq!(run(&steps, false, &changed, &cuts), judge(&steps, false, &changed));
    }

    #[test]
    fn any_messages_are_judged_as_the_grammar_does(
        steps in exchange(),
        skipping in any::<bool>(),
        messages in prop::collection::vec(any_message(), 0..6),
    ) {
        prop_assert_eq!(run(&steps, skipping, &messages, &[]), judge(&steps, skipping, &messages));
    }

    #[test]
    fn random_bytes_and_states_never_panic(
        steps in exchange(),
        payload in prop::collection::vec(any::<u8>(), 0..200),
        messages in prop::collection::vec(any_message(), 0..6),
        flip in any::<prop::sample::Index>(),
        state in (any::<[u32; 2]>(), 0u8..9, any::<u16>(), any::<[u64; 3]>()),
    ) {
        let (phase, _): (Phase, _) = body::decode(&[0, 0, 0, 1, state.1]).unwrap();
        let state = AnswerState {
            step: state.0[0] % 8,
            statement: state.0[1],
            phase,
            columns: state.2,
            rows: state.3[0],
            step_rows: state.3[1],
            bytes: state.3[2],
            step_bytes: state.3[2],
            description: Vec::new(),
        };
        let contract = contract(steps);
        let mut out = Vec::new();
        let _ = check_part(&contract, &state, &payload, &mut out);
        let mut nearly = encode(&messages);
        if !nearly.is_empty() {
            let at = flip.index(nearly.len());
            nearly[at] ^= 0x81;
        }
        let _ = check_part(&contract, &state, &nearly, &mut out);
        let _ = check_part(&contract, &AnswerState::default(), &nearly, &mut out);
    }
}

#[test]
fn every_short_answer_is_judged_as_the_grammar_does() {
    let exchanges = [
        vec![Expect::Query(vec![])],
        vec![Expect::Query(vec![ROWS])],
        vec![Expect::Query(vec![COPY_OUT])],
        vec![Expect::Query(vec![COPY_IN, SILENT])],
        vec![Expect::Sync],
        vec![Expect::Flush],
        vec![Expect::Parse, Expect::Flush],
        vec![Expect::DescribeStatement, Expect::Sync],
        vec![Expect::DescribePortal, execute(ROWS, 1, true), Expect::Sync],
        vec![execute(ROWS, 2, false), Expect::Sync],
        vec![execute(SILENT, 0, false), Expect::Query(vec![SILENT])],
    ];
    // Messages that no answer may hold are all alike, so two of them do.
    let letters = &ALL[..24];
    let (mut judged, mut legal) = (0u32, 0u32);
    for steps in &exchanges {
        for skipping in [false, true] {
            each_word(letters, 3, &mut Vec::new(), &mut |word| {
                let verdict = judge(steps, skipping, word);
                assert_eq!(
                    run(steps, skipping, word, &[]),
                    verdict,
                    "{steps:?} {skipping} {word:?}"
                );
                judged += 1;
                legal += u32::from(verdict.is_some());
            });
        }
    }
    assert_eq!(judged, 22 * (1 + 24 + 24 * 24 + 24 * 24 * 24));
    assert!(legal > 100, "{legal} legal answers are too few to show anything");
}

fn each_word(
    letters: &[Message],
    length: usize,
    word: &mut Vec<Message>,
    visit: &mut impl FnMut(&[Message]),
) {
    visit(word);
    if length == 0 {
        return;
    }
    for letter in letters {
        word.push(*letter);
        each_word(letters, length - 1, word, visit);
        word.pop();
    }
}

#[test]
fn a_fatal_error_ends_the_session_anywhere() {
    let steps = vec![Expect::Parse, Expect::Bind, Expect::Sync];
    for before in [vec![], vec![Plain(b'1')], vec![Plain(b'1'), Error]] {
        let mut messages = before;
        messages.push(Fatal);
        assert_eq!(run(&steps, false, &messages, &[]), Some(Ending::Ended));
    }
}

#[test]
fn a_failure_in_flush_is_carried_to_the_next_sync() {
    let first = vec![Expect::Parse, Expect::Flush];
    assert_eq!(run(&first, false, &[Error], &[]), Some(Ending::Skipping));
    // What the database ignores has no answer: another Flush, and a simple Query.
    assert_eq!(run(&first, true, &[], &[]), Some(Ending::Skipping));
    assert_eq!(
        run(&[Expect::Query(vec![ROWS])], true, &[], &[]),
        Some(Ending::Skipping)
    );
    let sync = vec![Expect::Parse, Expect::Sync];
    assert_eq!(run(&sync, true, &[Plain(b'Z')], &[]), Some(Ending::Done));
    assert_eq!(run(&sync, true, &[Plain(b'1'), Plain(b'Z')], &[]), None);
    assert_eq!(run(&sync, false, &[Plain(b'Z')], &[]), None);
}
