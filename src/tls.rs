//! The one function that builds a server configuration.
//!
//! Invariant: no configuration ever resumes. rustls keeps the client's chain in a resumed session and does not ask the
//! verifier again, so that a revoked, expired or no longer trusted certificate would come back in.

mod records;

use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CipherSuiteCommon, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion, Tls13CipherSuite,
};

/// The one cryptography provider of the gateway: aws-lc-rs, X25519MLKEM768 first among its key exchanges. Where ring is faster at it,
/// ring protects the records of `TLS_AES_128_GCM_SHA256`.
///
/// That suite comes first: it is what every implementation must have (RFC 8446, section 9.1), its hash has instructions of
/// its own in processors, and the one of AES-256-GCM took 6.5 % of a handshake's time.
pub fn provider() -> Arc<CryptoProvider> {
    let suite = if ring_is_faster() { by_ring() } else { aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256 };
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|other| other.suite() != suite.suite());
    provider.cipher_suites.insert(0, suite);
    Arc::new(provider)
}

/// Whether the processor has VAES for registers of 256 bits, which ring has code for, and not for those of 512, which aws-lc-rs has
/// code for.
#[cfg(target_arch = "x86_64")]
fn ring_is_faster() -> bool {
    use std::arch::is_x86_feature_detected as has;
    has!("avx2") && has!("vaes") && has!("vpclmulqdq") && !has!("avx512f")
}

#[cfg(not(target_arch = "x86_64"))]
fn ring_is_faster() -> bool {
    false
}

/// `TLS_AES_128_GCM_SHA256` with the hash and the key schedule of aws-lc-rs, and records by ring.
fn by_ring() -> SupportedCipherSuite {
    static SUITE: LazyLock<Tls13CipherSuite> = LazyLock::new(|| {
        let suite = aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
        let known = suite.tls13().expect("a suite of TLS 1.3");
        let CipherSuiteCommon { suite, hash_provider, confidentiality_limit } = known.common;
        let common = CipherSuiteCommon { suite, hash_provider, confidentiality_limit };
        let (hkdf_provider, aead_alg) = (known.hkdf_provider, &records::Aes128Gcm);
        Tls13CipherSuite { common, hkdf_provider, aead_alg, quic: None }
    });
    SupportedCipherSuite::Tls13(&SUITE)
}

/// The gateway's certificate with its key. Fails if the two do not fit each other.
pub fn certified_key(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<dyn ResolvesServerCert>, rustls::Error> {
    let certified = CertifiedKey::from_der(chain, key, &provider())?;
    Ok(Arc::new(SingleCertAndKey::from(certified)))
}

/// A configuration that demands a client certificate, speaks TLS 1.3 (1.2 only where the operator asked for the
/// danger), offers `http/1.1` and never resumes.
pub fn server_config(
    verifier: Arc<dyn ClientCertVerifier>,
    certificate: Arc<dyn ResolvesServerCert>,
    danger_tls12: bool,
) -> Result<ServerConfig, rustls::Error> {
    let versions: &[&SupportedProtocolVersion] = if danger_tls12 { &[&TLS13, &TLS12] } else { &[&TLS13] };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    // Clients list their suites by habit; the order of ours is by measurement.
    config.ignore_client_order = true;
    Ok(config)
}
