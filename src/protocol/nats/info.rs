//! `INFO`: what the gateway tells a client of this dialect about itself, first of all and again when it drains.

use serde::Serialize;

/// The version of the protocol that is spoken, as clients look for it; of the gateway behind the plus.
const VERSION: &str = concat!("2.10.0+portcullis.", env!("CARGO_PKG_VERSION"));

/// What `INFO` tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Info<'a> {
    /// The session's own: a client that is told another knows that it is on another gateway or another session.
    pub server_id: &'a str,
    pub server_name: &'a str,
    pub version: &'static str,
    pub proto: u8,
    pub headers: bool,
    pub auth_required: bool,
    pub tls_required: bool,
    pub tls_verify: bool,
    /// Bytes of one message, headers included.
    pub max_payload: usize,
    /// The service that the certificate was mapped to.
    pub service: &'a str,
    /// The gateway goes away: clients are to move.
    #[serde(rename = "ldm", skip_serializing_if = "std::ops::Not::not")]
    pub is_draining: bool,
    /// Where else to go, as whole URLs: clients read a bare host and port as a socket without TLS.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub connect_urls: &'a [String],
}

impl<'a> Info<'a> {
    /// That of a session which is not draining.
    pub fn new(server_id: &'a str, server_name: &'a str, service: &'a str, max_payload: usize) -> Self {
        Self {
            server_id,
            server_name,
            version: VERSION,
            proto: 1,
            headers: true,
            auth_required: false,
            tls_required: true,
            tls_verify: true,
            max_payload,
            service,
            is_draining: false,
            connect_urls: &[],
        }
    }

    /// Appends the line.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"INFO ");
        serde_json::to_writer(&mut *out, self).expect("strings and numbers always serialize");
        out.extend_from_slice(b"\r\n");
    }
}
