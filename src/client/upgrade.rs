//! The WebSocket upgrade (RFC 6455, section 4.1), so that a refusal keeps its whole body and a TLS alert its name.
//!
//! The request and the parser are tungstenite's; its own handshake would cut a refusal's body where the packet ends.

use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::{Response, generate_key, generate_request};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse;
use tokio_tungstenite::tungstenite::http::{HeaderMap, Request, StatusCode, Uri, header};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::error::ConnectError;
use super::options::Options;
use super::refusal::Refusal;
use super::wire::SUBPROTOCOL;

/// The answer's head, and a refusal's body, each.
const MAX_ANSWER_BYTES: usize = 16 << 10;
/// Small, because tungstenite keeps it for as long as the session lives.
const READ_BUFFER_BYTES: usize = 16 << 10;
const WRITE_BUFFER_BYTES: usize = 32 << 10;
/// For frame headers and control frames.
const SPARE_BYTES: usize = 16 << 10;

/// Asks for `portcullis.json.v1` and returns the WebSocket, or why not.
pub(super) async fn upgrade<S>(mut stream: S, options: &Options) -> Result<WebSocketStream<S>, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let key = generate_key();
    stream.write_all(&request(options, &key)?).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;

    let (response, mut rest) = read_head(&mut stream).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let body = read_body(&mut stream, response.headers(), rest).await;
        let refusal = Refusal::parse(response.status(), response.headers(), &body);
        return Err(ConnectError::Refused(Box::new(refusal)));
    }
    check(response.headers(), &key)?;
    let rest = rest.split().to_vec();
    Ok(WebSocketStream::from_partially_read(stream, rest, Role::Client, Some(limits(options))).await)
}

fn request(options: &Options, key: &str) -> Result<Vec<u8>, ConnectError> {
    let malformed = ConnectError::Upgrade { problem: "the request cannot be written for this address" };
    let uri = Uri::builder()
        .scheme("wss")
        .authority(options.authority.clone())
        .path_and_query(options.path.as_str())
        .build();
    let request = uri.and_then(|uri| {
        Request::get(uri)
            .header(header::HOST, options.authority.as_str())
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, key)
            .header(header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL)
            .body(())
    });
    let Ok(request) = request else { return Err(malformed) };
    generate_request(request).map(|(text, _)| text).map_err(|_| malformed)
}

async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> Result<(Response, BytesMut), ConnectError> {
    let mut buffer = BytesMut::with_capacity(2048);
    loop {
        if stream.read_buf(&mut buffer).await.map_err(broken)? == 0 {
            return Err(broken(io::ErrorKind::UnexpectedEof.into()));
        }
        let parsed = Response::try_parse(&buffer);
        if let Some((size, response)) =
            parsed.map_err(|source| ConnectError::Http { source: source.into() })?
        {
            buffer.advance(size);
            return Ok((response, buffer));
        }
        if buffer.len() > MAX_ANSWER_BYTES {
            return Err(ConnectError::Upgrade { problem: "the answer's head does not end" });
        }
    }
}

/// What there is of a refusal's body: it explains, so a cut one is better than none.
async fn read_body<S: AsyncRead + Unpin>(
    stream: &mut S,
    headers: &HeaderMap,
    mut body: BytesMut,
) -> BytesMut {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let wanted = declared.unwrap_or(MAX_ANSWER_BYTES).min(MAX_ANSWER_BYTES);
    while body.len() < wanted && matches!(stream.read_buf(&mut body).await, Ok(1..)) {}
    body.truncate(wanted);
    body
}

fn check(headers: &HeaderMap, key: &str) -> Result<(), ConnectError> {
    let value = |name: header::HeaderName| {
        headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    };
    let problem = if !value(header::UPGRADE).eq_ignore_ascii_case("websocket") {
        "it does not say `Upgrade: websocket`"
    } else if !value(header::CONNECTION).split(',').any(|word| word.trim().eq_ignore_ascii_case("upgrade")) {
        "it does not say `Connection: Upgrade`"
    } else if value(header::SEC_WEBSOCKET_ACCEPT) != derive_accept_key(key.as_bytes()) {
        "its `Sec-WebSocket-Accept` does not fit the key that was sent"
    } else if value(header::SEC_WEBSOCKET_PROTOCOL) != SUBPROTOCOL {
        "it does not choose the subprotocol portcullis.json.v1"
    } else if headers.contains_key(header::SEC_WEBSOCKET_EXTENSIONS) {
        "it names an extension that was not offered"
    } else {
        return Ok(());
    };
    Err(ConnectError::Upgrade { problem })
}

/// The writer flushes what is in the way before it hands on the next operation, so the write buffer holds what is
/// flushed at once, one operation, and the pongs that the codec adds by itself.
fn limits(options: &Options) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(options.max_operation_bytes().saturating_add(WRITE_BUFFER_BYTES + SPARE_BYTES))
        .max_message_size(Some(options.max_message_bytes))
        .max_frame_size(Some(options.max_message_bytes))
}

/// What a failed read or write before the session means. The gateway's verdict on our certificate comes here.
pub(super) fn broken(source: io::Error) -> ConnectError {
    let tls = source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).cloned();
    match tls {
        Some(rustls::Error::AlertReceived(alert)) => ConnectError::CertificateRefused { alert },
        Some(source @ rustls::Error::InvalidCertificate(_)) => ConnectError::GatewayNotTrusted { source },
        Some(source) => ConnectError::Tls { source },
        None => ConnectError::Io { source },
    }
}
