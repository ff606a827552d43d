//! Sockets in: admission before any crypto is done, each connection in a task that the listener owns.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::gateway::Gateway;
use crate::generation::{Generation, ListenerState};

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: u32 = 1024;
/// Pause after an error of the whole process, such as no file descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// What the connections that came in by one address share.
pub struct Listener {
    pub gateway: Arc<Gateway>,
    /// Its place in the configuration, and so among a generation's listeners.
    pub index: usize,
}

/// One bound address. Connections do not hold it: with the end of accepting its socket is closed, so that who comes then is refused and
/// goes elsewhere.
pub struct BoundListener {
    listener: Arc<Listener>,
    socket: TcpListener,
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("listener[{index}].address: cannot listen on {address}")]
pub struct AcceptError {
    /// Which listener of the configuration, counted from zero as its faults are.
    pub index: usize,
    pub address: SocketAddr,
    pub source: io::Error,
}

impl Listener {
    /// What its connections meet in `generation`.
    pub fn state<'g>(&self, generation: &'g Generation) -> &'g ListenerState {
        // A generation is only installed if it has one for each listener that was bound.
        &generation.listeners[self.index]
    }
}

impl BoundListener {
    /// Binds `address`; an IPv6 address takes IPv6 alone, so that both families can be named.
    pub fn bind(address: SocketAddr, index: usize, gateway: Arc<Gateway>) -> Result<Self, AcceptError> {
        let bind = || -> io::Result<TcpListener> {
            let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)
        };
        let socket = bind().map_err(|source| AcceptError { index, address, source })?;
        Ok(Self { listener: Arc::new(Listener { gateway, index }), socket })
    }

    /// The address that was bound, with the port that the system chose for 0.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts until `stop` is cancelled. Connections run in `tasks`.
    pub async fn run(self, tasks: TaskTracker, stop: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((socket, peer)) => self.take(socket, peer, &tasks),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "cannot accept connections; trying again");
                    tokio::select! { () = stop.cancelled() => return, () = tokio::time::sleep(PAUSE) => {} }
                }
            }
        }
    }

    fn take(&self, socket: TcpStream, peer: SocketAddr, tasks: &TaskTracker) {
        let gateway = &self.listener.gateway;
        gateway.metrics.accepted();
        let limits = gateway.generation().limits.clone();
        match gateway.admissions.admit(peer.ip(), &limits) {
            Ok(admission) => {
                // Messages are small and already gathered: waiting for more only adds latency.
                let _ = socket.set_nodelay(true);
                tasks.spawn(super::serve(socket, peer, admission, self.listener.clone()));
            }
            Err(refused) => {
                gateway.metrics.dropped(refused);
                tracing::debug!(%peer, %refused, "connection dropped before TLS");
            }
        }
    }
}

/// Whether the error is about the connection that was to be accepted, not about accepting (accept(2), *Error handling*).
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
