//! Accepts clients, not more than allowed.

use crate::client;
use crate::door::{Door, Rules, Turned};
use crate::frontend::Frontend;
use socket2::{SockRef, TcpKeepalive};
use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Connections the kernel holds until they are accepted.
const BACKLOG: u32 = 1024;
/// A quiet connection is tested after this time, so that clients that vanished are noticed.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Pause after a failure to accept, such as too many open files.
const PAUSE: Duration = Duration::from_millis(50);

/// Opens the listening socket.
///
/// # Errors
/// When the address can't be used.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts clients until the Frontend stops. Their tasks run on the current `LocalSet`.
pub async fn run(listener: TcpListener, rules: Rules, frontend: Rc<Frontend>) {
    let gate = Rc::new(Gate::new(rules));
    loop {
        let accepted = tokio::select! {
            biased;
            () = frontend.shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => gate.admit(stream, peer.ip().to_canonical(), &frontend),
            Err(error) => {
                tracing::warn!(%error, "a connection can't be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// The door, and a clock.
struct Gate {
    door: RefCell<Door>,
    begun: Instant,
    /// Connections closed without a word since one was last told.
    silent: Cell<u64>,
}

impl Gate {
    fn new(rules: Rules) -> Gate {
        Gate {
            door: RefCell::new(Door::new(rules, 0)),
            begun: Instant::now(),
            silent: Cell::new(0),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn admit(self: &Rc<Self>, stream: TcpStream, address: IpAddr, frontend: &Rc<Frontend>) {
        let entered = self.door.borrow_mut().enter(address, self.now_ms());
        if let Err(turned) = entered {
            return self.turn_away(stream, address, turned, frontend);
        }
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
        let prepared = stream
            .set_nodelay(true)
            .and_then(|()| SockRef::from(&stream).set_tcp_keepalive(&keepalive));
        if let Err(error) = prepared {
            tracing::debug!(%error, "a socket option could not be set");
        }
        let gate = Rc::clone(self);
        let leave = Box::new(move || gate.door.borrow_mut().leave(address));
        tokio::task::spawn_local(client::serve(stream, address, Rc::clone(frontend), leave));
    }

    /// Closes a connection. The client is told why, and it is recorded, if that does not happen too often: an answer,
    /// or a full disk, is what a flood wants.
    fn turn_away(
        self: &Rc<Self>,
        stream: TcpStream,
        address: IpAddr,
        turned: Turned,
        frontend: &Rc<Frontend>,
    ) {
        if !self.door.borrow_mut().may_tell(self.now_ms()) {
            return self.silent.set(self.silent.get().saturating_add(1));
        }
        let silent = self.silent.take();
        tracing::warn!(%address, reason = turned.name(), silent, "connection turned away; silent: so many more were");
        let gate = Rc::clone(self);
        let told = Box::new(move || gate.door.borrow_mut().told());
        let told = client::turn_away(stream, address, turned, Rc::clone(frontend), told);
        tokio::task::spawn_local(told);
    }
}
