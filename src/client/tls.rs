//! The client's side of mutual TLS: three files in, one configuration out, read anew for every attempt.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};

use super::error::{CredentialError, CredentialFile};
use super::options::Options;
use super::pem;

/// More than any chain or bundle of an organisation needs, and little enough to read by mistake.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The certificate and key as they stand in the files now, checked against each other.
pub(super) async fn load_key(options: &Options) -> Result<Arc<CertifiedKey>, CredentialError> {
    let options = options.clone();
    off_the_runtime(move || read_key(&options, &aws_lc_rs::default_provider())).await
}

/// A configuration of what the three files hold now, and the leaf that it presents: TLS 1.3 only, no resumption, so
/// that every session is judged by a full handshake.
pub(super) async fn load_config(options: &Options) -> Result<Loaded, CredentialError> {
    let options = options.clone();
    off_the_runtime(move || build_config(&options)).await
}

type Loaded = (Arc<ClientConfig>, Option<CertificateDer<'static>>);

pub(super) async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CredentialError> + Send + 'static,
) -> Result<T, CredentialError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| CredentialError::Interrupted)?
}

fn build_config(options: &Options) -> Result<Loaded, CredentialError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let anchors = read_anchors(&options.anchors)?;
    let key = read_key(options, &provider)?;
    let leaf = key.cert.first().cloned();
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(CredentialError::Tls)?
        .with_root_certificates(anchors)
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((Arc::new(config), leaf))
}

fn read_anchors(path: &Path) -> Result<RootCertStore, CredentialError> {
    let text = read(CredentialFile::Anchors, path)?;
    let mut anchors = RootCertStore::empty();
    for certificate in certificates(CredentialFile::Anchors, path, &text)? {
        let refuse = |source| CredentialError::Anchor { path: path.to_owned(), source };
        anchors.add(certificate).map_err(refuse)?;
    }
    Ok(anchors)
}

fn read_key(options: &Options, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, CredentialError> {
    let chain_text = read(CredentialFile::Chain, &options.chain)?;
    let chain = certificates(CredentialFile::Chain, &options.chain, &chain_text)?;
    let key_text = read(CredentialFile::Key, &options.key)?;
    let (file, path) = (CredentialFile::Key, &options.key);
    let key = pem::private_key(&key_text)
        .map_err(|source| CredentialError::Pem { file, path: path.clone(), source })?
        .ok_or_else(|| CredentialError::Empty { file, path: path.clone() })?;
    let mismatch = |source| CredentialError::Pair { chain: options.chain.clone(), key: path.clone(), source };
    CertifiedKey::from_der(chain, key, provider).map(Arc::new).map_err(mismatch)
}

fn certificates(
    file: CredentialFile,
    path: &Path,
    text: &[u8],
) -> Result<Vec<CertificateDer<'static>>, CredentialError> {
    let found = pem::certificates(text).map_err(|source| CredentialError::Pem {
        file,
        path: path.to_owned(),
        source,
    })?;
    match found.is_empty() {
        true => Err(CredentialError::Empty { file, path: path.to_owned() }),
        false => Ok(found),
    }
}

fn read(file: CredentialFile, path: &Path) -> Result<Vec<u8>, CredentialError> {
    let fault = |source| CredentialError::Read { file, path: path.to_owned(), source };
    let mut text = Vec::new();
    let handle = File::open(path).map_err(fault)?;
    handle.take(MAX_FILE_BYTES + 1).read_to_end(&mut text).map_err(fault)?;
    match text.len() as u64 > MAX_FILE_BYTES {
        true => Err(CredentialError::TooLarge { file, path: path.to_owned(), most: MAX_FILE_BYTES }),
        false => Ok(text),
    }
}
