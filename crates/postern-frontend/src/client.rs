//! The task of one client: from the accepted socket to its end.

use crate::door::Turned;
use crate::frontend::{Frontend, Seat};
use crate::signin::{self, Failure, Occupied};
use crate::startup::{self, Opening};
use crate::stream::ClientStream;
use bytes::BytesMut;
use postern_ledger::{Details, Event, Level, Outcome, Record};
use postern_types::{Refusal, SqlState};
use postern_wire::put_refusal;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Room made in the buffer before a read (bytes).
const READ_BYTES: usize = 8 * 1024;
/// ... after a read that filled all of it.
const LARGE_READ_BYTES: usize = 128 * 1024;
/// Pieces handed to the socket at once.
const SLICES: usize = 16;
/// How long a client may take to read an error and close.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long a client that is turned away may take to say what protocol it speaks.
const TURNED: Duration = Duration::from_secs(2);
/// What is still read from a client that has been told good-bye (bytes).
const FAREWELL_BYTES: usize = 256 * 1024;

/// A connection that has not signed in is counted by whoever made this; dropping it ends the count.
pub type Counted = Box<dyn FnOnce()>;

/// Serves one client. `counted` is called when it has signed in or is gone.
pub async fn serve(stream: TcpStream, client: IpAddr, frontend: Rc<Frontend>, counted: Counted) {
    let counted = CallOnDrop(Some(counted));
    let deadline = tokio::time::Instant::now() + frontend.limits.sign_in_timeout();
    let opening = tokio::select! {
        biased;
        opening = tokio::time::timeout_at(deadline, startup::open(stream, &frontend)) => opening,
        () = frontend.shutdown.cancelled() => return,
    };
    let (mut stream, startup) = match opening {
        Ok(Opening::Session(stream, startup)) => (stream, *startup),
        Ok(Opening::Cancel {
            mut stream,
            process_id,
            key,
        }) => {
            cancel(&frontend, process_id, &key);
            return farewell(&mut stream, None).await;
        }
        Ok(Opening::Refused(mut stream, refusal)) => return farewell(&mut stream, Some(&refusal)).await,
        Ok(Opening::Closed(reason)) => return tracing::debug!(%client, reason, "connection closed"),
        Err(_) => return tracing::debug!(%client, "connection closed: no start-up packet in time"),
    };
    if !frontend.admit() {
        let refusal = Refusal::fatal(
            SqlState::TOO_MANY_CONNECTIONS,
            "sorry, too many clients already; try again later",
        );
        return farewell(&mut stream, Some(&refusal)).await;
    }
    let admitted = Rc::clone(&frontend);
    let _admitted = CallOnDrop(Some(Box::new(move || admitted.release())));
    let signing_in = signin::sign_in(&mut stream, startup, client, &frontend);
    let signed_in = tokio::select! {
        biased;
        signed_in = tokio::time::timeout_at(deadline, signing_in) => signed_in.unwrap_or_else(|_| Err(too_slow())),
        () = frontend.shutdown.cancelled() => Err(Failure::Refused(stopping())),
    };
    match signed_in {
        Ok(place) => {
            drop(counted);
            converse(&mut stream, &frontend, &place).await;
            close(&frontend, &place);
            drop(place);
            farewell(&mut stream, None).await;
        }
        Err(Failure::Refused(refusal)) => farewell(&mut stream, Some(&refusal)).await,
        Err(Failure::Left) => {}
    }
}

/// Tells a client why it may not come in, in the protocol that it speaks, and nothing more: no place in the Frontend is
/// made, and nothing goes to the ring. `told` is called at the end.
pub async fn turn_away(
    stream: TcpStream,
    client: IpAddr,
    turned: Turned,
    frontend: Rc<Frontend>,
    told: Counted,
) {
    let _told = CallOnDrop(Some(told));
    let refusal = turned.refusal();
    frontend.record(&Record {
        level: Level::Warn,
        result: Outcome::Refused,
        details: Details {
            sqlstate: Some(refusal.code),
            reason: Some(turned.name()),
            client: Some(client),
            ..Details::default()
        },
        ..Record::new(Event::SignIn)
    });
    if frontend.commit().is_err() {
        return;
    }
    match tokio::time::timeout(TURNED, startup::open(stream, &frontend)).await {
        Ok(Opening::Session(mut stream, _) | Opening::Refused(mut stream, _)) => {
            farewell(&mut stream, Some(&refusal)).await;
        }
        // What a stranger asks to cancel goes on, and is not answered.
        Ok(Opening::Cancel { .. } | Opening::Closed(_)) | Err(_) => {}
    }
}

fn too_slow() -> Failure {
    Failure::Refused(Refusal::fatal(
        SqlState::QUERY_CANCELED,
        "canceling authentication due to timeout; the client or the database gate was too slow",
    ))
}

fn stopping() -> Refusal {
    Refusal::fatal(
        SqlState::CANNOT_CONNECT_NOW,
        "the server is shutting down; connect again later",
    )
}

/// A CancelRequest is never answered, so that nobody learns whether its key was right.
fn cancel(frontend: &Frontend, process_id: u32, key: &[u8]) {
    let session = frontend.cancel_keys.borrow().find(process_id, key);
    let Some(seat) = session.and_then(|session| frontend.find(session)) else {
        return;
    };
    let mut session = seat.session.borrow_mut();
    session.cancel();
    frontend.collect_and_commit(&mut session);
}

fn close(frontend: &Frontend, place: &Occupied) {
    let record = Record {
        session: Some(place.seat.session.borrow().id()),
        ..Record::new(Event::SessionClose)
    };
    frontend.record(&record);
}

/// Moves bytes between the client and its session until the session is over and all is written.
async fn converse(stream: &mut ClientStream, frontend: &Frontend, place: &Occupied) {
    let mut pump = Pump {
        stream,
        unflushed: false,
        room: READ_BYTES,
    };
    poll_fn(|cx| pump.poll(cx, frontend, &place.seat)).await;
}

struct Pump<'a> {
    stream: &'a mut ClientStream,
    unflushed: bool,
    room: usize,
}

impl Pump<'_> {
    fn poll(&mut self, cx: &mut Context<'_>, frontend: &Frontend, seat: &Seat) -> Poll<()> {
        if frontend.halted.is_cancelled() || seat.is_cut_off() {
            return Poll::Ready(());
        }
        seat.wake_me(cx);
        let session = &mut *seat.session.borrow_mut();
        loop {
            let mut moved = false;
            match self.poll_write(cx, session) {
                Poll::Ready(Ok(wrote)) => moved |= wrote,
                Poll::Ready(Err(_)) => session.leave(),
                Poll::Pending => {}
            }
            let wanted_input = session.wants_input();
            if wanted_input {
                match self.poll_read(cx, &mut session.input) {
                    Poll::Ready(Ok(0) | Err(_)) => {
                        session.leave();
                        moved = true;
                    }
                    Poll::Ready(Ok(_)) => moved = true,
                    Poll::Pending => {}
                }
            }
            session.go_on(frontend.queue.has_room(cx), Instant::now());
            frontend.collect_and_commit(session);
            // Not read above, so the socket would wake nobody: look at it now.
            moved |= !wanted_input && session.wants_input();
            if session.ended() && session.output.is_empty() && !self.unflushed {
                return Poll::Ready(());
            }
            if !moved && session.output.is_empty() {
                return Poll::Pending;
            }
            if !moved {
                // Either the socket is full, and wakes us, or there is something new to write.
                match self.poll_write(cx, session) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(_)) => session.leave(),
                }
            }
        }
    }

    /// Writes as much as the socket takes; `true` when it took something.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        session: &mut crate::session::Session,
    ) -> Poll<io::Result<bool>> {
        let mut wrote = false;
        while !session.output.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let filled = session.output.slices(&mut slices);
            let slices = slices.get(..filled).unwrap_or_default();
            match Pin::new(&mut *self.stream).poll_write_vectored(cx, slices) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(bytes)) => {
                    wrote = true;
                    self.unflushed = true;
                    session.written(bytes);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if wrote => return Poll::Ready(Ok(true)),
                Poll::Pending => return Poll::Pending,
            }
        }
        if self.unflushed {
            ready!(Pin::new(&mut *self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(wrote))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, input: &mut BytesMut) -> Poll<io::Result<usize>> {
        if input.is_empty() && input.capacity() > LARGE_READ_BYTES.max(self.room.saturating_mul(2)) {
            // What a burst has needed is given back.
            *input = BytesMut::new();
        }
        let free = input.capacity().saturating_sub(input.len());
        if free < self.room / 2 {
            input.reserve(self.room);
        }
        let before = input.capacity().saturating_sub(input.len());
        let read = pin!(self.stream.read_buf(input));
        let bytes = ready!(read.poll(cx))?;
        self.room = if bytes >= before {
            LARGE_READ_BYTES
        } else {
            READ_BYTES
        };
        Poll::Ready(Ok(bytes))
    }
}

/// Says a last word, and closes in a way that lets it arrive: a socket closed with unread bytes resets the
/// connection, and the client might never see the error.
async fn farewell(stream: &mut ClientStream, refusal: Option<&Refusal>) {
    let say = async {
        if let Some(refusal) = refusal {
            let mut message = Vec::new();
            put_refusal(&mut message, refusal);
            stream.write_all(&message).await?;
        }
        stream.shutdown().await?;
        let mut ignored = [0; 4096];
        let mut left = FAREWELL_BYTES;
        while left > 0 {
            match stream.read(&mut ignored).await? {
                0 => break,
                bytes => left = left.saturating_sub(bytes),
            }
        }
        io::Result::Ok(())
    };
    // Whether it worked or not, the connection is closed now.
    let _ = tokio::time::timeout(FAREWELL, say).await;
}

struct CallOnDrop(Option<Counted>);

impl Drop for CallOnDrop {
    fn drop(&mut self) {
        if let Some(call) = self.0.take() {
            call();
        }
    }
}

#[cfg(test)]
mod tests;
