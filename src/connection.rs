//! THE CONNECTION PATH: accept → handshake → identify → upgrade → session.
//!
//! Each stage takes what the stage before made by value, and one deadline covers all of them up to the 101. Invariant:
//! the verdict on the certificate has fallen before a byte of the WebSocket handshake is answered.

mod accept;
mod handshake;
mod identify;
mod record;
mod upgrade;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::server::TlsStream;

pub use accept::{AcceptError, Listener};
pub use handshake::HandshakeError;
pub use upgrade::{Denied, Dialect, OriginRule, Problem, RenewDenied, UpgradeRules};

use crate::gateway::Gateway;
use crate::limits::Admission;
use crate::session::{Origin, Session};
use record::Record;
use upgrade::{Answered, Upgraded};

/// Serves one accepted socket to its end.
pub async fn serve(socket: TcpStream, peer: SocketAddr, admission: Admission, listener: Arc<Listener>) {
    let gateway = listener.gateway.clone();
    let mut record = Record::new(peer, &gateway);
    let deadline = Instant::now() + gateway.generation().limits.open_deadline;
    // Boxed, so that a session does not keep the room that only its opening needs.
    let opening = Box::pin(open(socket, &admission, &listener, &mut record));
    let Ok(opened) = timeout_at(deadline, opening).await else {
        record.timed_out();
        return;
    };
    let Some(Opened { session, stream, early }) = opened else { return };
    let _admission = admission.opened();
    let (reason, counts) = session.run(stream, early).await;
    record.closed(reason, counts);
}

/// A connection whose 101 is out.
struct Opened {
    session: Session,
    stream: TlsStream<TcpStream>,
    /// What the peer sent behind its upgrade request.
    early: BytesMut,
}

/// From the socket to the 101, or to an end that the record holds.
async fn open(
    socket: TcpStream,
    admission: &Admission,
    listener: &Listener,
    record: &mut Record,
) -> Option<Opened> {
    let gateway: &Arc<Gateway> = &listener.gateway;
    let generation = gateway.generation();
    let state = listener.state(&generation);

    let (stream, peer) = match handshake::accept(socket, state).await {
        Ok(verified) => verified,
        Err(error) => return record.handshake_failed(&error),
    };
    record.verified(&peer);

    let verdict = identify::identify(peer, &generation, admission, gateway);
    record.judged(&verdict);

    let upgraded = match upgrade::answer(stream, verdict, state, gateway, record.peer()).await {
        Ok(Answered::Upgraded(upgraded)) => upgraded,
        Ok(Answered::Renewed) => return record.renewed(),
        Err(refusal) => return record.refused(&refusal),
    };

    let Upgraded { stream, early, entrant } = *upgraded;
    let origin = Origin { address: record.peer(), listener: listener.index };
    let session = Session::open(gateway.clone(), origin, entrant.peer, entrant.standing, entrant.place);
    record.opened(&session);
    Some(Opened { session, stream, early })
}
