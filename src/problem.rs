//! Problem documents (RFC 9457), as both HTTP sides of the gateway answer with: to services and to operators.

use hyper::StatusCode;
use serde::Serialize;

/// The media type of a document.
pub const MEDIA_TYPE: &str = "application/problem+json";

#[derive(Serialize)]
struct Document<'p> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'p str,
}

/// The document of a problem: `kind` is the last part of its stable `type`, `detail` is for whoever has to mend it.
pub fn document(kind: &str, status: StatusCode, detail: &str) -> String {
    let document = Document {
        r#type: format!("urn:portcullis:problem:{kind}"),
        title: status.canonical_reason().unwrap_or("Refused"),
        status: status.as_u16(),
        detail,
    };
    serde_json::to_string(&document).expect("a flat structure of texts serialises")
}
