//! THE CONNECTION PATH: accept → handshake → identify → upgrade → session.
//!
//! Each stage takes what the stage before made by value, and one deadline covers all of them up to the session, whose first words
//! the 101 goes out with. Invariant: the verdict on the certificate has fallen before a byte of the WebSocket handshake is answered.

mod accept;
mod handshake;
mod identify;
mod record;
mod transport;
mod upgrade;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

pub use accept::{AcceptError, BoundListener, Listener};
pub use handshake::HandshakeError;
pub use upgrade::{Denied, OriginRule, Problem, RenewDenied, UpgradeRules};

use crate::gateway::Gateway;
use crate::limits::Admission;
use crate::session::{Origin, Session};
use record::Record;
use transport::TlsTransport;
use upgrade::{Answered, Upgraded};

/// Serves one accepted socket to its end.
pub async fn serve(socket: TcpStream, peer: SocketAddr, admission: Admission, listener: Arc<Listener>) {
    let gateway = listener.gateway.clone();
    let mut record = Record::new(peer, &gateway);
    let deadline = Instant::now() + gateway.generation().limits.open_deadline;
    // Boxed, so that a session does not keep the room that only its opening needs.
    let opening = Box::pin(open(socket, &admission, &listener, &mut record));
    // In one expression: a name for what was opened would keep its room beside the session that it becomes.
    let running = match timeout_at(deadline, opening).await {
        Ok(Some((session, stream, early))) => session.run(stream, early),
        Ok(None) => return,
        Err(_) => return record.timed_out(),
    };
    let _admission = admission.opened();
    let (reason, counts) = running.await;
    record.closed(reason, counts);
}

/// From the socket to a session, with its stream, in which the 101 waits, and what the peer sent behind its request; or to an end
/// that the record holds.
async fn open(
    socket: TcpStream,
    admission: &Admission,
    listener: &Listener,
    record: &mut Record,
) -> Option<(Session, TlsTransport, Vec<u8>)> {
    let gateway: &Arc<Gateway> = &listener.gateway;
    let generation = gateway.generation();
    let state = listener.state(&generation);

    let (stream, peer) = match handshake::accept(socket, state).await {
        Ok(verified) => verified,
        Err(error) => return record.handshake_failed(&error),
    };
    record.verified(&peer);

    let verdict = identify::identify(peer, &generation, admission.refused(), gateway);
    record.judged(&verdict);

    let answered = upgrade::answer(stream, verdict, admission, state, gateway, record.peer()).await;
    let Upgraded { stream, answer, early, dialect, admitted, place } = match answered {
        Ok(Answered::Upgraded(upgraded)) => *upgraded,
        Ok(Answered::Renewed) => return record.renewed(),
        Err(refusal) => return record.refused(&refusal),
    };

    let origin = Origin { address: record.peer(), listener: listener.index };
    let session = Session::open(gateway.clone(), origin, dialect, admitted.peer, admitted.standing, place);
    record.opened(&session);
    Some((session, TlsTransport::new(stream, &answer), early))
}
