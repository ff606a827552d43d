//! TLS with a client certificate, from which a [`VerifiedPeer`] comes. Another comes only from a proof on a live session.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::HandshakeKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::generation::ListenerState;
use crate::identity::certificate::CertificateId;
use crate::identity::peer::VerifiedPeer;
use crate::trust::VerifyError;
use crate::trust::verifier::{CaptureError, capture};

/// How long a refused peer has to read the alert before the socket is closed under it.
const LINGER: Duration = Duration::from_millis(500);
/// Bytes of a refused peer that are read away, so that closing does not reset the connection.
const LINGER_BYTES: usize = 64 * 1024;

/// Why there is no TLS session.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    #[error("the client certificate was refused")]
    Certificate {
        certificate: CertificateId,
        #[source]
        why: Box<VerifyError>,
    },
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
    #[error("the TLS session was resumed, which skips the verifier")]
    Resumed,
    #[error("the TLS session was accepted without a verified certificate")]
    Unverified,
}

/// Completes the handshake, or sends the alert and lets the peer read it.
pub async fn accept(
    socket: TcpStream,
    listener: &ListenerState,
) -> Result<(TlsStream<TcpStream>, VerifiedPeer), HandshakeError> {
    let accepting = TlsAcceptor::from(Arc::clone(&listener.config)).accept(socket).into_fallible();
    let (stream, peer) = match capture(accepting).await {
        Ok(verified) => verified,
        Err(CaptureError::Unverified) => return Err(HandshakeError::Unverified),
        Err(CaptureError::Refused { verdict, certificate, error: (_, socket) }) => {
            linger(socket).await;
            return Err(HandshakeError::Certificate { certificate, why: Box::new(verdict) });
        }
        Err(CaptureError::Failed((error, socket))) => {
            linger(socket).await;
            return Err(HandshakeError::Tls(error));
        }
    };
    // Resuming is off in every configuration; should that ever fail, nobody comes in by it.
    if stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed) {
        return Err(HandshakeError::Resumed);
    }
    Ok((stream, peer))
}

/// Closes the sending half and reads a little on. A socket that is closed with unread bytes is reset, and the reset
/// swallows the alert that tells the peer what was wrong.
async fn linger(mut socket: TcpStream) {
    let read_away = async {
        socket.shutdown().await?;
        let (mut rest, mut left) = ([0; 1024], LINGER_BYTES);
        while left > 0 {
            match socket.read(&mut rest).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        io::Result::Ok(())
    };
    // Whatever happens to a peer that was refused, there is nothing more to tell it.
    let _ = timeout(LINGER, read_away).await;
}
