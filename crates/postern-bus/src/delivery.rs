//! One message from a hop.

use async_nats::{Client, Subject};
use bytes::Bytes;
use futures_util::FutureExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::task::unconstrained;

/// A message that was delivered and waits for its acknowledgement. Dropped without one it is delivered
/// again after the consumer's `ack_wait`.
pub struct Delivery {
    /// What it carries.
    pub payload: Bytes,
    pub(crate) reply: Subject,
    pub(crate) acks: Arc<Acks>,
}

/// The way acknowledgements of one inlet go.
///
/// The newest one is held back until the next is given, or until the inlet has been idle for a moment: a
/// server whose stream runs empty removes the file that it keeps messages in and makes a new one for the
/// next message, which costs it more than the message itself. An acknowledgement that is held when the process
/// dies means that one message comes once more.
pub(crate) struct Acks {
    client: Client,
    held: Mutex<Option<Subject>>,
}

impl Acks {
    pub(crate) fn new(client: Client) -> Self {
        Acks {
            client,
            held: Mutex::new(None),
        }
    }

    /// Whether an acknowledgement is held back.
    pub(crate) fn is_holding(&self) -> bool {
        self.held().is_some()
    }

    /// Sends the one that is held back.
    pub(crate) fn release(&self) {
        let held = self.held().take();
        if let Some(reply) = held {
            self.send(reply);
        }
    }

    fn give(&self, reply: Subject) {
        let before = self.held().replace(reply);
        if let Some(before) = before {
            self.send(before);
        }
    }

    fn held(&self) -> MutexGuard<'_, Option<Subject>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, reply: Subject) {
        // Unconstrained, because a spent scheduling budget would look like a full queue.
        let sent = unconstrained(self.client.publish(reply, Bytes::from_static(b"+ACK"))).now_or_never();
        if sent.is_none() {
            tracing::debug!("an acknowledgement was dropped, its message will come again");
        }
    }
}

/// Tells one message of a stream from all others, also after the stream was made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MessageId {
    sequence: u64,
    stored_at_ns: u64,
}

impl Delivery {
    /// Tells the server that the message is done with. Neither waits nor fails: an acknowledgement that is
    /// lost means that the message comes once more, which every receiver must bear anyway.
    pub fn ack(&self) {
        self.acks.give(self.reply.clone());
    }

    pub(crate) fn id(&self) -> Option<MessageId> {
        message_id(&self.reply)
    }
}

/// The identity of the message that an acknowledgement subject belongs to:
/// `$JS.ACK.stream.consumer.delivered.sequence.consumer-sequence.time.pending`, where newer servers put
/// domain and account before the stream and may append a token.
fn message_id(reply: &str) -> Option<MessageId> {
    let tokens = reply.split('.').count();
    let skipped = if tokens == 9 {
        5
    } else if tokens >= 11 {
        7
    } else {
        return None;
    };
    let mut rest = reply.split('.').skip(skipped);
    let sequence = rest.next()?.parse().ok()?;
    let stored_at_ns = rest.nth(1)?.parse().ok()?;
    Some(MessageId {
        sequence,
        stored_at_ns,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_acknowledgement_subjects_are_read() {
        let id = Some(MessageId {
            sequence: 7,
            stored_at_ns: 99,
        });
        assert_eq!(message_id("$JS.ACK.s.c.1.7.3.99.0"), id);
        assert_eq!(message_id("$JS.ACK._.acc.s.c.1.7.3.99.0"), id);
        assert_eq!(message_id("$JS.ACK._.acc.s.c.1.7.3.99.0.rnd"), id);
        assert_eq!(message_id("$JS.ACK.s.c"), None);
        assert_eq!(message_id("$JS.ACK.s.c.1.x.3.99.0"), None);
    }
}
