//! A gateway that does what a test tells it: real TLS with client authentication, a real upgrade, hand-made answers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message as Frame};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

use crate::client::dial::Network;
use crate::client::{Client, ConnectError, Options, OptionsBuilder};

pub(super) const HOST: &str = "gateway.test";
pub(super) const SESSION: &str = "00112233445566778899aabbccddeeff";

/// The certificates of a test and the files that the client reads them from.
pub(super) struct Files {
    folder: TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Files {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let files = Self { folder: TempDir::new().unwrap(), ca };
        std::fs::write(files.path("ca.pem"), files.ca.pem()).unwrap();
        files.rotate();
        files
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a new certificate and key in place and returns the certificate.
    pub(super) fn rotate(&self) -> CertificateDer<'static> {
        let (certificate, key) = self.issue("orders.test", ExtendedKeyUsagePurpose::ClientAuth);
        self.replace("cert.pem", &certificate.pem());
        self.replace("key.pem", &key.serialize_pem());
        certificate.der().clone()
    }

    /// Never half-written for a client that looks meanwhile; and another file, where one that is written anew within a
    /// tick of the file system's clock, at the same length, looks like the one before.
    fn replace(&self, name: &str, text: &str) {
        let next = self.path("next");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(next, self.path(name)).unwrap();
    }

    fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.ca).unwrap(), key)
    }

    fn server_config(&self) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut anchors = RootCertStore::empty();
        anchors.add(self.ca.der().clone()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(anchors), provider.clone()).build().unwrap();
        let (certificate, key) = self.issue(HOST, ExtendedKeyUsagePurpose::ServerAuth);
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap()
    }
}

/// The listening side.
pub(super) struct Gateway {
    pub(super) files: Files,
    incoming: mpsc::Receiver<DuplexStream>,
    network: Network,
    acceptor: TlsAcceptor,
}

impl Gateway {
    pub(super) fn new() -> Self {
        let files = Files::new();
        let (sender, incoming) = mpsc::channel(4);
        let acceptor = TlsAcceptor::from(Arc::new(files.server_config()));
        Self { files, incoming, network: Network::Memory(sender), acceptor }
    }

    pub(super) fn options(&self) -> OptionsBuilder {
        let path = |name| self.files.path(name);
        Options::builder(format!("wss://{HOST}:8443/"), path("ca.pem"), path("cert.pem"), path("key.pem"))
            .network(self.network.clone())
            .backoff_min(Duration::from_secs(1))
            .backoff_max(Duration::from_secs(60))
    }

    /// Options that really dial `address`, for a connection that the test carries into [`Self::open_tunnel`].
    pub(super) fn options_over_tcp(&self, address: SocketAddr) -> OptionsBuilder {
        let path = |name| self.files.path(name);
        Options::builder(format!("wss://{address}/"), path("ca.pem"), path("cert.pem"), path("key.pem"))
            .server_name(HOST)
    }

    /// The other end of the next connection that is accepted.
    pub(super) async fn open_tunnel(&self) -> DuplexStream {
        let Network::Memory(sender) = &self.network else { unreachable!("the gateway's network is memory") };
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        sender.send(theirs).await.unwrap();
        ours
    }

    /// A client and the session it has.
    pub(super) async fn connect(&mut self) -> (Client, Peer) {
        self.connect_with(self.options()).await
    }

    pub(super) async fn connect_with(&mut self, options: OptionsBuilder) -> (Client, Peer) {
        let (client, peer) = tokio::join!(Client::connect(options.build().unwrap()), self.accept());
        (client.unwrap(), peer)
    }

    /// What one attempt to connect gives while the gateway answers it with `answer` in place of a session.
    pub(super) async fn attempt_refused(&mut self, answer: &str) -> ConnectError {
        let options = self.options().build().unwrap();
        let (client, ()) = tokio::join!(Client::connect(options), self.refuse(answer));
        client.unwrap_err()
    }

    /// The next session, greeted.
    pub(super) async fn accept(&mut self) -> Peer {
        let mut peer = self.accept_silently().await;
        peer.send(json!({
            "op": "hello", "service": "orders", "roles": ["writer"], "session": SESSION, "protocol": "portcullis.json.v1",
            "deadline": 1_900_000_000_000_u64, "limits": {"max_payload": 65536}, "challenge": "AAAA", "gateway": "test",
        }))
        .await;
        peer
    }

    /// The next session, upgraded and not greeted.
    pub(super) async fn accept_silently(&mut self) -> Peer {
        let stream = self.handshake().await.unwrap();
        let leaf = stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned();
        Peer { socket: accept_hdr_async(stream, choose_subprotocol).await.unwrap(), leaf }
    }

    /// Answers the next upgrade request with `answer` as it stands.
    pub(super) async fn refuse(&mut self, answer: &str) {
        let mut stream = self.handshake().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
        }
        // Head and body in records of their own: the client must wait for the rest.
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        stream.write_all(format!("{head}\r\n\r\n").as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        let _ = stream.shutdown().await;
    }

    pub(super) async fn handshake(&mut self) -> std::io::Result<TlsStream<DuplexStream>> {
        let stream = self.incoming.recv().await.unwrap();
        self.acceptor.accept(stream).await
    }

    /// Whether somebody has tried to connect since.
    pub(super) fn is_called(&self) -> bool {
        !self.incoming.is_empty()
    }

    /// Takes the next connection and drops it.
    pub(super) async fn hang_up(&mut self) {
        drop(self.incoming.recv().await.unwrap());
    }
}

#[allow(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
fn choose_subprotocol(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    assert_eq!(request.uri().path(), "/");
    let offered = request.headers()["sec-websocket-protocol"].clone();
    response.headers_mut().insert("sec-websocket-protocol", offered);
    Ok(response)
}

/// The gateway's end of one session.
pub(super) struct Peer {
    socket: WebSocketStream<TlsStream<DuplexStream>>,
    pub(super) leaf: CertificateDer<'static>,
}

impl Peer {
    pub(super) async fn send(&mut self, message: Value) {
        self.socket.send(Frame::text(message.to_string())).await.unwrap();
    }

    /// The next operation; pings are answered by the codec and passed over.
    pub(super) async fn receive(&mut self) -> Value {
        loop {
            match self.socket.next().await.unwrap().unwrap() {
                Frame::Text(text) => return serde_json::from_str(&text).unwrap(),
                Frame::Ping(_) | Frame::Pong(_) => {}
                other => panic!("expected an operation, found {other:?}"),
            }
        }
    }

    /// The next operation, which must be `op`, answered with `ok`.
    pub(super) async fn confirm(&mut self, op: &str) -> Value {
        let operation = self.receive().await;
        assert_eq!(operation["op"], op, "{operation}");
        self.send(json!({"op": "ok", "id": operation["id"]})).await;
        operation
    }

    /// The next operation, answered with `err`.
    pub(super) async fn reject(&mut self, code: &str) -> Value {
        let operation = self.receive().await;
        self.send(json!({"op": "err", "id": operation["id"], "code": code, "reason": "because"})).await;
        operation
    }

    /// Waits until the client closes, and returns the frame.
    pub(super) async fn closed(&mut self) -> Option<CloseFrame> {
        loop {
            match self.socket.next().await.unwrap().unwrap() {
                Frame::Close(frame) => {
                    let _ = self.socket.flush().await;
                    return frame;
                }
                Frame::Ping(_) | Frame::Pong(_) => {}
                other => panic!("expected a close frame, found {other:?}"),
            }
        }
    }

    pub(super) async fn close(mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code: code.into(), reason: reason.to_owned().into() };
        self.socket.close(Some(frame)).await.unwrap();
        while let Some(Ok(_)) = self.socket.next().await {}
    }
}
