//! TLS and WebSocket frames and nothing else: what any gateway of this make pays before it has done anything.
//!
//! A connection's path says what it is: it publishes to a topic, subscribes to one, or is echoed. What a publisher sent
//! until it is read empty is framed once and handed on as it is.

mod frames;
mod topics;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use frames::Incoming;
use topics::{Outbox, Topics};

/// The accept value is that of the load's one key, RFC 6455's own example.
const ACCEPTED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x82\x09INFO {}\r\n";

/// Serves until it is killed.
pub fn serve(certificate: &Path, key: &Path, anchors: &Path) {
    let acceptor = TlsAcceptor::from(Arc::new(configuration(certificate, key, anchors)));
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("bound");
        eprintln!("listening address={}", listener.local_addr().expect("bound"));
        let topics = Rc::new(Topics::default());
        loop {
            let (socket, _) = listener.accept().await.expect("accepted");
            let (acceptor, topics) = (acceptor.clone(), topics.clone());
            spawn_local(async move {
                // However it ends, it is the load that ended it, and the load knows.
                let _ = connection(socket, &acceptor, &topics).await;
            });
        }
    });
}

fn configuration(certificate: &Path, key: &Path, anchors: &Path) -> ServerConfig {
    let certificates = |path| -> Vec<CertificateDer<'static>> {
        let all = CertificateDer::pem_file_iter(path).expect("a file").collect::<Result<_, _>>();
        all.expect("certificates")
    };
    let provider = portcullis::tls::provider();
    let mut roots = RootCertStore::empty();
    certificates(anchors).into_iter().for_each(|anchor| roots.add(anchor).expect("an anchor"));
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_client_cert_verifier(verifier.expect("a verifier"))
        .with_single_cert(certificates(certificate), PrivateKeyDer::from_pem_file(key).expect("a key"))
        .expect("a certificate with its key");
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config
}

async fn connection(socket: TcpStream, acceptor: &TlsAcceptor, topics: &Rc<Topics>) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut stream = acceptor.accept(socket).await?;
    let path = request_path(&mut stream).await?;
    let subscription = path.strip_prefix("/subscribe/").map(|topic| topics.subscribe(topic));
    stream.write_all(ACCEPTED).await?;
    stream.flush().await?;
    match (subscription, path.strip_prefix("/publish/")) {
        (Some(outbox), _) => subscriber(stream, &outbox).await,
        (None, Some(topic)) => publisher(stream, topics, topic).await,
        (None, None) => echo(stream).await,
    }
}

/// Reads the head of the request; nothing follows it before the answer.
async fn request_path(stream: &mut TlsStream<TcpStream>) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let head = String::from_utf8_lossy(&head);
    Ok(head.split(' ').nth(1).unwrap_or_default().into())
}

async fn subscriber(mut stream: TlsStream<TcpStream>, outbox: &Outbox) -> io::Result<()> {
    let (mut frames, mut ignored) = (Vec::new(), [0; 64]);
    loop {
        tokio::select! {
            () = outbox.take(&mut frames) => {
                stream.write_all(&frames).await?;
                stream.flush().await?;
                frames.clear();
            }
            read = stream.read(&mut ignored) => if read? == 0 { return Ok(()) },
        }
    }
}

async fn publisher(mut stream: TlsStream<TcpStream>, topics: &Topics, topic: &str) -> io::Result<()> {
    let (mut incoming, mut frames) = (Incoming::new(), Vec::new());
    while incoming.read(&mut stream).await? > 0 {
        incoming.reframe(&mut frames);
        topics.publish(topic, &frames);
        frames.clear();
    }
    Ok(())
}

async fn echo(mut stream: TlsStream<TcpStream>) -> io::Result<()> {
    let (mut incoming, mut frames) = (Incoming::new(), Vec::new());
    while incoming.read(&mut stream).await? > 0 {
        incoming.reframe(&mut frames);
        stream.write_all(&frames).await?;
        stream.flush().await?;
        frames.clear();
    }
    Ok(())
}
