//! PEM text (RFC 7468) to DER, refusing what other readers pass over in silence: an empty file, a block that is cut
//! off, a block of another kind, a marker that shares its line with something else.
//!
//! The only file that uses `rustls-pemfile`, which is archived.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, CertificateSigningRequestDer, PrivateKeyDer,
};
use rustls_pemfile::Item;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";
/// openssl writes this block, which says nothing new, before an EC key.
const IGNORED_BEFORE_KEY: &str = "EC PARAMETERS";

/// Every certificate of a PEM file, at least one.
pub fn certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let labels = blocks(bytes, "x509")?;
    expect_only(&labels, &["CERTIFICATE"])?;
    let items = decode(bytes)?;
    Ok(items
        .into_iter()
        .filter_map(|item| match item {
            Item::X509Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .collect())
}

/// Every revocation list of a PEM file, at least one; or the one list of a DER file, the form in which CAs publish.
pub fn revocation_lists(bytes: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, PemError> {
    if looks_like_der(bytes) {
        return Ok(vec![CertificateRevocationListDer::from(bytes.to_vec())]);
    }
    let labels = blocks(bytes, "crl")?;
    expect_only(&labels, &["X509 CRL"])?;
    let items = decode(bytes)?;
    Ok(items
        .into_iter()
        .filter_map(|item| match item {
            Item::Crl(list) => Some(list),
            _ => None,
        })
        .collect())
}

/// The one private key of a PEM file: PKCS#8, SEC1 or PKCS#1, not encrypted.
pub fn private_key(bytes: &[u8]) -> Result<PrivateKeyDer<'static>, PemError> {
    let mut labels = blocks(bytes, "pkey")?;
    labels.retain(|label| label != IGNORED_BEFORE_KEY);
    expect_only(&labels, &["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"])?;
    if labels.len() > 1 {
        return Err(PemError::SeveralKeys { count: labels.len() });
    }
    let key = decode(bytes)?.into_iter().find_map(|item| match item {
        Item::Pkcs8Key(key) => Some(PrivateKeyDer::from(key)),
        Item::Sec1Key(key) => Some(PrivateKeyDer::from(key)),
        Item::Pkcs1Key(key) => Some(PrivateKeyDer::from(key)),
        _ => None,
    });
    key.ok_or(PemError::NoBlock)
}

/// These certificates as PEM, one block after the other.
pub fn of_certificates(certificates: &[CertificateDer<'_>]) -> String {
    const LINE: usize = 64;
    let mut text = String::new();
    for certificate in certificates {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let mut rest = BASE64_STANDARD.encode(certificate);
        while !rest.is_empty() {
            let next = rest.split_off(rest.len().min(LINE));
            text.push_str(&rest);
            text.push('\n');
            rest = next;
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}

/// The one certificate request of a PEM text, in DER.
pub fn certificate_request(bytes: &[u8]) -> Result<CertificateSigningRequestDer<'static>, PemError> {
    let labels = blocks(bytes, "req")?;
    expect_only(&labels, &["CERTIFICATE REQUEST"])?;
    if labels.len() > 1 {
        return Err(PemError::SeveralRequests { count: labels.len() });
    }
    let request = decode(bytes)?.into_iter().find_map(|item| match item {
        Item::Csr(request) => Some(request),
        _ => None,
    });
    request.ok_or(PemError::NoBlock)
}

/// Why a file is refused. The fault of whoever wrote it, or of a write that is not finished.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    #[error("the file is empty")]
    Empty,
    #[error("this looks like DER; convert it with `openssl {command} -inform DER -in FILE -out FILE.pem`")]
    LooksLikeDer { command: &'static str },
    #[error("the file is not text")]
    NotText,
    #[error("the file has no PEM block")]
    NoBlock,
    #[error("line {line} has a PEM marker that does not stand alone in its line")]
    Marker { line: usize },
    #[error("the PEM block {label:?} has no end; the file may be cut off")]
    Cut { label: String },
    #[error("line {line} ends a PEM block that was not begun")]
    StrayEnd { line: usize },
    #[error("the file has a PEM block {label:?}, which does not belong here")]
    Unexpected { label: String },
    #[error("the private key is encrypted; this gateway asks nobody for a passphrase")]
    EncryptedKey,
    #[error("the file has {count} private keys, only one may be there")]
    SeveralKeys { count: usize },
    #[error("there are {count} certificate requests, only one may be there")]
    SeveralRequests { count: usize },
    #[error("a PEM block is not base64")]
    Base64,
    #[error("a PEM block is empty")]
    EmptyBlock,
}

/// The labels of all blocks, once every marker is in its place. Text outside blocks may be anything else.
fn blocks(bytes: &[u8], openssl_command: &'static str) -> Result<Vec<String>, PemError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(PemError::Empty);
    }
    if looks_like_der(bytes) {
        return Err(PemError::LooksLikeDer { command: openssl_command });
    }
    let text = std::str::from_utf8(bytes).map_err(|_| PemError::NotText)?;
    let mut labels = Vec::new();
    let mut open: Option<&str> = None;
    for (line, text) in (1..).zip(text.lines()) {
        if !text.contains("-----BEGIN") && !text.contains("-----END") {
            continue;
        }
        let text = text.trim_end();
        let label =
            |marker| text.strip_prefix(marker)?.strip_suffix(DASHES).filter(|it| !it.contains(DASHES));
        match (open, label(BEGIN), label(END)) {
            (None, Some(begun), None) => open = Some(begun),
            (Some(begun), None, Some(ended)) if begun == ended => {
                labels.push(begun.to_owned());
                open = None;
            }
            (Some(begun), Some(_), None) | (Some(begun), None, Some(_)) => {
                return Err(PemError::Cut { label: begun.to_owned() });
            }
            (None, None, Some(_)) => return Err(PemError::StrayEnd { line }),
            _ => return Err(PemError::Marker { line }),
        }
    }
    match open {
        Some(label) => Err(PemError::Cut { label: label.to_owned() }),
        None if labels.is_empty() => Err(PemError::NoBlock),
        None => Ok(labels),
    }
}

/// A SEQUENCE of more than 127 bytes, as any certificate, list or key is. No UTF-8 text begins like that.
fn looks_like_der(bytes: &[u8]) -> bool {
    matches!(bytes, [0x30, 0x81..=0x84, ..])
}

fn expect_only(labels: &[String], wanted: &[&str]) -> Result<(), PemError> {
    match labels.iter().find(|label| !wanted.contains(&label.as_str())) {
        None if labels.is_empty() => Err(PemError::NoBlock),
        None => Ok(()),
        Some(label) if label == "ENCRYPTED PRIVATE KEY" => Err(PemError::EncryptedKey),
        Some(label) => Err(PemError::Unexpected { label: label.clone() }),
    }
}

fn decode(bytes: &[u8]) -> Result<Vec<Item>, PemError> {
    let mut items = Vec::new();
    let mut rest = bytes;
    while let Some((item, after)) = rustls_pemfile::read_one_from_slice(rest).map_err(|_| PemError::Base64)? {
        if is_empty(&item) {
            return Err(PemError::EmptyBlock);
        }
        items.push(item);
        rest = after;
    }
    Ok(items)
}

fn is_empty(item: &Item) -> bool {
    match item {
        Item::X509Certificate(der) => der.is_empty(),
        Item::Crl(der) => der.is_empty(),
        Item::Csr(der) => der.is_empty(),
        Item::Pkcs8Key(der) => der.secret_pkcs8_der().is_empty(),
        Item::Sec1Key(der) => der.secret_sec1_der().is_empty(),
        Item::Pkcs1Key(der) => der.secret_pkcs1_der().is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
