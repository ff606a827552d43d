//! One policy for every ClientHello: whatever name it asks for and however it is cut, it takes a certificate.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{AlertDescription, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::raw::{End, Head, Raw};
use crate::harness::{Harness, Issued, Profile};

/// Dials by any name, and verifies the certificate for `localhost`.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let localhost = ServerName::try_from("localhost").expect("a name");
        self.0.verify_server_cert(end_entity, intermediates, &localhost, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

fn any_name(harness: &Harness, issued: Option<&Issued>) -> ClientConfig {
    let provider = portcullis::tls::provider();
    let verifier = WebPkiServerVerifier::builder_with_provider(harness.pki.roots().into(), provider);
    let mut config = harness.pki.client_config(issued);
    config.dangerous().set_certificate_verifier(Arc::new(AnyName(verifier.build().expect("a verifier"))));
    config
}

#[tokio::test]
async fn no_unknown_odd_or_foreign_server_name_changes_who_is_let_in() {
    let harness = Harness::start().await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    let names = [None, Some("localhost"), Some("LocalHOST"), Some("other.example"), Some("127.0.0.1")];
    for (name, host) in
        names.into_iter().flat_map(|name| ["localhost", "other.example"].map(|host| (name, host)))
    {
        let dial = async |issued| {
            let mut config = any_name(&harness, issued);
            config.enable_sni = name.is_some();
            let stream = harness.tls_with(config, name.unwrap_or("localhost")).await.expect("a handshake");
            Raw::over(stream)
        };
        let refused = dial(None).await.end().await;
        let alert = AlertDescription::CertificateRequired;
        assert_eq!(refused, End::Alert(alert), "server name {name:?}, host {host}");
        let mut session = dial(Some(&issued)).await;
        let answer = session.ask(&Head::upgrade().with("Host", &[host])).await;
        assert_eq!(answer.status, 101, "server name {name:?}, host {host}");
        assert_eq!(session.text().await["service"], "billing");
    }
}

#[derive(Debug, Clone, Copy)]
enum Cut {
    /// Every byte of the client in a TCP segment of its own.
    Segments,
    /// Every byte of the ClientHello in a TLS record of its own.
    Records,
}

/// A way to the gateway that cuts what the client says first.
async fn cutting(to: SocketAddr, cut: Cut) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a relay");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await?;
        let mut gateway = TcpStream::connect(to).await?;
        gateway.set_nodelay(true)?;
        let mut header = [0; 5];
        client.read_exact(&mut header).await?;
        let mut hello = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))];
        client.read_exact(&mut hello).await?;
        match cut {
            Cut::Segments => {
                for byte in header.iter().chain(&hello) {
                    gateway.write_all(&[*byte]).await?;
                    tokio::task::yield_now().await;
                }
            }
            Cut::Records => {
                let record = |byte: &u8| [header[0], header[1], header[2], 0, 1, *byte];
                gateway.write_all(&hello.iter().flat_map(record).collect::<Vec<_>>()).await?;
            }
        }
        tokio::io::copy_bidirectional(&mut client, &mut gateway).await
    });
    address
}

#[tokio::test]
async fn a_client_hello_in_pieces_changes_nothing() {
    let harness = Harness::start().await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    for cut in [Cut::Segments, Cut::Records] {
        let dial = async |issued| {
            let socket = TcpStream::connect(cutting(harness.address, cut).await).await.expect("connected");
            let config = harness.pki.client_config(issued);
            Raw::over(harness.tls_over(socket, config, "localhost").await.expect("a handshake"))
        };
        let alert = AlertDescription::CertificateRequired;
        assert_eq!(dial(None).await.end().await, End::Alert(alert), "{cut:?}");
        assert_eq!(dial(Some(&issued)).await.upgrade().await["service"], "billing", "{cut:?}");
    }
}
