//! The one place of the client that reads PEM (RFC 7468), so that the parser can be exchanged here.

use std::io;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Every certificate of a PEM text, in the order of the file; other sections are passed over.
pub(super) fn certificates(mut text: &[u8]) -> io::Result<Vec<CertificateDer<'static>>> {
    rustls_pemfile::certs(&mut text).collect()
}

/// The first private key of a PEM text: PKCS #8, PKCS #1 or SEC1.
pub(super) fn private_key(mut text: &[u8]) -> io::Result<Option<PrivateKeyDer<'static>>> {
    rustls_pemfile::private_key(&mut text)
}
