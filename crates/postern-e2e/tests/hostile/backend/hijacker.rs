//! What is in the hands of whoever has the Backend.

use super::PART;
use crate::scene::{Scene, Tap, header, query, sealed};
use postern_e2e::raw::Raw;
use postern_envelope::{Header, Sealer};
use postern_inspect::steps_digest;
use postern_types::ring::{Clean, CleanBody, Dirty, DirtyBody};
use postern_types::{AnswerState, Expect};
use rustix::process::Signal;

/// What the Backend was told to run.
#[derive(Clone)]
pub(super) struct Order {
    pub(super) header: Header,
    pub(super) contract: Vec<u8>,
    pub(super) steps: Vec<Expect>,
    /// Number of the next answer to the session.
    pub(super) next: u64,
}

impl Order {
    pub(super) fn part(&self, payload: &[u8]) -> Made {
        let by_columns = self.steps.first() == Some(&Expect::Columns);
        Made {
            header: header(self.header.session, self.next, self.header.exchange),
            body: DirtyBody::Part {
                contract: self.contract.clone(),
                state: AnswerState::default(),
                unsolicited: false,
                since_us: 0,
                steps: by_columns.then(|| steps_digest(&self.steps)),
            },
            payload: payload.to_vec(),
        }
    }
}

/// What the hijacker answers.
pub(super) struct Made {
    pub(super) header: Header,
    pub(super) body: DirtyBody,
    pub(super) payload: Vec<u8>,
}

impl Made {
    pub(super) fn later(mut self, by: u64) -> Made {
        self.header.sequence += by;
        self
    }

    pub(super) fn in_state(mut self, claimed: AnswerState) -> Made {
        if let DirtyBody::Part { state, .. } = &mut self.body {
            *state = claimed;
        }
        self
    }

    pub(super) fn under(mut self, other: Vec<u8>) -> Made {
        if let DirtyBody::Part { contract, .. } = &mut self.body {
            *contract = other;
        }
        self
    }

    pub(super) fn unasked(mut self) -> Made {
        if let DirtyBody::Part { unsolicited, .. } = &mut self.body {
            *unsolicited = true;
        }
        self
    }

    pub(super) fn envelope(&self, sealer: &mut Sealer) -> Vec<u8> {
        let head = Dirty {
            frontend: "frontend-0".parse().unwrap(),
            body: self.body.clone(),
        };
        sealed(sealer, &self.header, &head, &self.payload)
    }
}

pub(super) struct Hijacker<'a> {
    pub(super) scene: &'a Scene,
    pub(super) orders: Tap,
    pub(super) out: Tap,
}

impl Hijacker<'_> {
    /// A client that has asked, and what the Backend, which is held still, was told of it.
    pub(super) async fn asked(&mut self, user: &str, sql: &str) -> (Raw, Order) {
        self.scene.ring.signal(PART, Signal::CONT);
        let mut client = self.scene.client(user).await;
        self.scene.ring.signal(PART, Signal::STOP);
        self.orders.forget().await;
        client.send(&query(sql)).await.unwrap();
        let order = self.ordered().await;
        (client, order)
    }

    pub(super) async fn ordered(&mut self) -> Order {
        self.orders
            .next(|heard| match heard.decode::<Clean>()? {
                (
                    Clean {
                        body: CleanBody::Run { contract, steps, .. },
                        ..
                    },
                    _,
                ) => Some(Order {
                    header: heard.header,
                    contract,
                    steps,
                    // Two answers while the session signed in.
                    next: 3,
                }),
                _ => None,
            })
            .await
    }
}
