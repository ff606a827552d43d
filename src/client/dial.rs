//! From nothing to a greeted session: files, TCP, TLS, upgrade, `hello`, under one deadline.

use std::io;

use futures_util::StreamExt;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Message as Frame;

use super::error::ConnectError;
use super::options::Options;
use super::refusal::CloseReason;
use super::tls;
use super::upgrade::{broken, upgrade};
use super::wire::{Hello, Incoming};

/// A connection of any kind, so that tests need no network.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

pub(super) type Socket = WebSocketStream<TlsStream<Box<dyn Io>>>;

/// Where connections go.
#[derive(Debug, Clone)]
pub(super) enum Network {
    Tcp,
    #[cfg(test)]
    Memory(tokio::sync::mpsc::Sender<tokio::io::DuplexStream>),
}

impl Network {
    async fn connect(&self, host: &str, port: u16) -> io::Result<Box<dyn Io>> {
        match self {
            Self::Tcp => {
                let stream = TcpStream::connect((host, port)).await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            #[cfg(test)]
            Self::Memory(listener) => {
                let (ours, theirs) = tokio::io::duplex(64 << 10);
                listener.send(theirs).await.map_err(|_| io::ErrorKind::ConnectionRefused)?;
                Ok(Box::new(ours))
            }
        }
    }
}

/// A session that the gateway has greeted and that nothing was sent on yet.
pub(super) struct Greeted {
    pub(super) socket: Socket,
    pub(super) hello: Box<Hello>,
    /// The certificate it was made with.
    pub(super) leaf: Option<CertificateDer<'static>>,
}

/// One attempt to connect.
pub(super) async fn dial(options: &Options) -> Result<Greeted, ConnectError> {
    let after = options.connect_timeout;
    timeout(after, attempt(options)).await.unwrap_or(Err(ConnectError::TimedOut { after }))
}

async fn attempt(options: &Options) -> Result<Greeted, ConnectError> {
    let (config, leaf) = tls::load_config(options).await?;
    let (host, port) = (options.host(), options.port);
    let stream = options.network.connect(host, port).await.map_err(|source| ConnectError::Unreachable {
        host: host.to_owned(),
        port,
        source,
    })?;
    let connector = TlsConnector::from(config);
    let stream = connector.connect(options.server_name.clone(), stream).await.map_err(broken)?;
    let mut socket = upgrade(stream, options).await?;
    let hello = read_hello(&mut socket).await?;
    Ok(Greeted { socket, hello, leaf })
}

async fn read_hello(socket: &mut Socket) -> Result<Box<Hello>, ConnectError> {
    loop {
        let frame = match socket.next().await {
            Some(Ok(frame)) => frame,
            Some(Err(source)) => return Err(ConnectError::WebSocket { source: source.into() }),
            None => return Err(broken(io::ErrorKind::UnexpectedEof.into())),
        };
        match frame {
            Frame::Text(text) => {
                return match Incoming::decode(text.as_str()) {
                    Ok(Incoming::Hello(hello)) => Ok(hello),
                    Ok(_) => Err(ConnectError::NoHello),
                    Err(source) => Err(ConnectError::Hello { source }),
                };
            }
            Frame::Close(frame) => return Err(ConnectError::Closed(CloseReason::parse(frame.as_ref()))),
            Frame::Ping(_) | Frame::Pong(_) => {}
            Frame::Binary(_) | Frame::Frame(_) => return Err(ConnectError::NoHello),
        }
    }
}
