//! Accepts clients, not more than allowed.

use crate::client;
use crate::frontend::Frontend;
use socket2::{SockRef, TcpKeepalive};
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
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

/// Connections that have not signed in, in all and by address.
#[derive(Debug, Default)]
struct Waiting {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Waiting {
    /// Counts a connection, unless there are too many.
    fn enter(&mut self, address: IpAddr, limit: usize, limit_of_address: usize) -> bool {
        let of_address = self.by_address.get(&address).copied().unwrap_or(0);
        if self.all >= limit || of_address >= limit_of_address {
            return false;
        }
        self.all = self.all.saturating_add(1);
        self.by_address.insert(address, of_address.saturating_add(1));
        true
    }

    fn leave(&mut self, address: IpAddr) {
        self.all = self.all.saturating_sub(1);
        if let Some(count) = self.by_address.get_mut(&address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

/// Accepts clients until the Frontend stops. Their tasks run on the current `LocalSet`.
pub async fn run(listener: TcpListener, frontend: Rc<Frontend>) {
    let waiting = Rc::new(RefCell::new(Waiting::default()));
    loop {
        let accepted = tokio::select! {
            biased;
            () = frontend.shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => admit(stream, peer.ip().to_canonical(), &frontend, &waiting),
            Err(error) => {
                tracing::warn!(%error, "a connection can't be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn admit(stream: TcpStream, address: IpAddr, frontend: &Rc<Frontend>, waiting: &Rc<RefCell<Waiting>>) {
    let limits = &frontend.limits;
    let entered = waiting.borrow_mut().enter(
        address,
        limits.connections_before_sign_in,
        limits.connections_before_sign_in_per_address,
    );
    if !entered {
        // Closed without a word: to answer is what a flood wants.
        tracing::warn!(%address, "too many connections that have not signed in; one was closed");
        return;
    }
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
    let prepared = stream
        .set_nodelay(true)
        .and_then(|()| SockRef::from(&stream).set_tcp_keepalive(&keepalive));
    if let Err(error) = prepared {
        tracing::debug!(%error, "a socket option could not be set");
    }
    let counted = Rc::clone(waiting);
    let leave = Box::new(move || counted.borrow_mut().leave(address));
    tokio::task::spawn_local(client::serve(stream, address, Rc::clone(frontend), leave));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_can_not_take_all_places() {
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mut waiting = Waiting::default();
        assert!(waiting.enter(a, 3, 2));
        assert!(waiting.enter(a, 3, 2));
        assert!(!waiting.enter(a, 3, 2));
        assert!(waiting.enter(b, 3, 2));
        assert!(!waiting.enter(b, 3, 2));
        waiting.leave(a);
        assert!(waiting.enter(b, 3, 2));
        waiting.leave(a);
        waiting.leave(b);
        waiting.leave(b);
        assert!(waiting.by_address.is_empty() && waiting.all == 0);
    }
}
