//! One connection to PostgreSQL after sign-in: buffers, status, what is prepared and set on it.
//!
//! Reading and writing happen together in [`Server::poll_io`], so that neither side can block the other
//! (PostgreSQL may stop reading while it waits for its answer to be taken).

use crate::pool::Place;
use crate::profile::Profile;
use crate::statements::ServerStatements;
use bytes::{Buf, BytesMut};
use postern_wire::TransactionStatus;
use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};

/// A byte stream to PostgreSQL: plain TCP or TLS.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// Bytes asked for in one read.
const READ_BYTES: usize = 64 * 1024;

/// What happened on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Io {
    /// Bytes arrived.
    Read,
    /// Everything buffered has been written.
    Written,
    /// PostgreSQL closed the connection.
    Closed,
}

/// What a CancelRequest needs to reach this connection's server process.
#[derive(Clone, Debug, Default)]
pub(crate) struct CancelKey {
    /// Process id.
    pub(crate) process_id: u32,
    /// Secret key.
    pub(crate) key: Vec<u8>,
}

/// A signed-in connection.
pub(crate) struct Server {
    stream: Box<dyn Stream>,
    /// Given back when the connection is dropped.
    _place: Place,
    /// Bytes from PostgreSQL not looked at yet.
    pub(crate) read: BytesMut,
    /// Bytes for PostgreSQL not written yet.
    pub(crate) write: Vec<u8>,
    written: usize,
    /// The stream may hold bytes back that it was given: a TLS stream does until it is flushed.
    unflushed: bool,
    /// Number of the connection in this process.
    pub(crate) id: u64,
    /// For cancelling.
    pub(crate) cancel_key: CancelKey,
    /// ParameterStatus values as last reported.
    pub(crate) parameters: BTreeMap<String, String>,
    /// Prepared statements.
    pub(crate) statements: ServerStatements,
    /// The session whose role and settings are in force; `None` when that is not certain.
    pub(crate) applied: Option<Rc<Profile>>,
    /// Transaction status as last reported.
    pub(crate) status: TransactionStatus,
    /// It may hold session state that a scrub between transactions does not remove.
    pub(crate) stained: bool,
}

impl Server {
    /// Wraps a stream on which sign-in is complete.
    pub(crate) fn new(
        stream: Box<dyn Stream>,
        place: Place,
        read: BytesMut,
        id: u64,
        cancel_key: CancelKey,
        parameters: BTreeMap<String, String>,
        statements: ServerStatements,
    ) -> Self {
        Server {
            stream,
            _place: place,
            read,
            write: Vec::with_capacity(8 * 1024),
            written: 0,
            unflushed: false,
            id,
            cancel_key,
            parameters,
            statements,
            applied: None,
            status: TransactionStatus::Idle,
            stained: false,
        }
    }

    /// Bytes waiting to be written.
    pub(crate) fn unwritten(&self) -> usize {
        self.write.len().saturating_sub(self.written)
    }

    /// Writes what is buffered and, if `want_read`, reads.
    ///
    /// # Errors
    /// When the connection breaks.
    pub(crate) fn poll_io(&mut self, cx: &mut Context<'_>, want_read: bool) -> Poll<io::Result<Io>> {
        let mut wrote_all = false;
        while let Some(rest) = self.write.get(self.written..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut self.stream).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => self.written = self.written.saturating_add(n),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => break,
            }
            wrote_all = self.unwritten() == 0;
        }
        if wrote_all {
            self.write.clear();
            self.written = 0;
            self.write.shrink_to(256 * 1024);
            self.unflushed = true;
        }
        if self.unflushed {
            // While it is pending it has to be asked again and again, whether there is more to write or not.
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
        }
        if want_read {
            match self.poll_read(cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(Io::Closed)),
                Poll::Ready(Ok(_)) => return Poll::Ready(Ok(Io::Read)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
        }
        if wrote_all {
            Poll::Ready(Ok(Io::Written))
        } else {
            Poll::Pending
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.read.reserve(READ_BYTES);
        let mut total = 0usize;
        // Take what is there, up to a bound, so that a burst becomes one part of an answer.
        while total < READ_BYTES {
            match tokio_util::io::poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.read) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(total)),
                Poll::Ready(Ok(n)) => total = total.saturating_add(n),
                Poll::Ready(Err(error)) if total == 0 => return Poll::Ready(Err(error)),
                Poll::Ready(Err(_)) => break,
                Poll::Pending if total == 0 => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(total))
    }

    /// One step of reading and writing.
    ///
    /// # Errors
    /// As [`Server::poll_io`].
    pub(crate) async fn io(&mut self, want_read: bool) -> io::Result<Io> {
        std::future::poll_fn(|cx| self.poll_io(cx, want_read)).await
    }

    /// Drops `n` bytes of the read buffer that have been dealt with.
    pub(crate) fn consume(&mut self, n: usize) {
        self.read.advance(n.min(self.read.len()));
    }

    /// Whether the connection is quiet: nothing unread, not closed. For connections in the pool.
    pub(crate) fn is_quiet(&mut self) -> bool {
        if !self.read.is_empty() || self.unwritten() > 0 || self.unflushed {
            return false;
        }
        let mut cx = Context::from_waker(std::task::Waker::noop());
        self.poll_read(&mut cx).is_pending()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};
    use std::pin::pin;
    use tokio::io::ReadBuf;

    /// What a peer behind TLS sees: bytes get to it by a flush only, and not while the way is full.
    #[derive(Default)]
    struct Peer {
        way_is_full: Cell<bool>,
        arrived: RefCell<Vec<u8>>,
    }

    struct HoldsBack {
        peer: Rc<Peer>,
        held: Vec<u8>,
    }

    impl AsyncRead for HoldsBack {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for HoldsBack {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.held.extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            if self.peer.way_is_full.get() {
                return Poll::Pending;
            }
            let held = std::mem::take(&mut self.held);
            self.peer.arrived.borrow_mut().extend_from_slice(&held);
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn what_a_full_way_held_back_is_flushed_although_nothing_more_is_written() {
        let peer = Rc::new(Peer::default());
        let stream = HoldsBack {
            peer: Rc::clone(&peer),
            held: Vec::new(),
        };
        let mut server = Server::new(
            Box::new(stream),
            Place::apart(),
            BytesMut::new(),
            1,
            CancelKey::default(),
            BTreeMap::new(),
            ServerStatements::new("tag".to_owned()),
        );
        let poll = |server: &mut Server| {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            pin!(server.io(true)).poll(&mut cx).map(Result::unwrap)
        };
        server.write.extend_from_slice(b"the last of it");
        peer.way_is_full.set(true);
        assert_eq!(poll(&mut server), Poll::Ready(Io::Written));
        assert_eq!(poll(&mut server), Poll::Pending);
        assert!(!server.is_quiet(), "it is not to go back to the pool like this");
        peer.way_is_full.set(false);
        assert_eq!(poll(&mut server), Poll::Pending, "it waits for the answer");
        assert_eq!(*peer.arrived.borrow(), b"the last of it");
        assert!(server.is_quiet());
    }
}
