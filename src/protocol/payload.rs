//! The body of a message, and in which form JSON subscribers see it.

use std::borrow::Cow;
use std::fmt;

use super::json::lexical;

/// How deep arrays and objects nest in a payload that is passed on as JSON.
pub const MAX_JSON_DEPTH: usize = 64;

/// A message's body. The bytes are what the publisher sent, in whichever form, and mostly still where they were read.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Payload<'a> {
    bytes: Cow<'a, [u8]>,
    form: PayloadForm,
}

/// What is known of a payload's bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PayloadForm {
    /// Exactly one valid JSON text within [`MAX_JSON_DEPTH`], checked.
    Json,
    /// Bytes that the publisher declared to be binary.
    Binary,
    /// Bytes of a dialect that knows no forms; whether they are JSON is found out when a JSON subscriber needs to know.
    #[default]
    Opaque,
}

/// How a payload stands in a JSON message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WirePayload<'a> {
    /// Neither `data` nor `data_base64`.
    Empty,
    /// A JSON text, to be written as it is.
    Json(&'a [u8]),
    /// Anything else, to be written in base64.
    Base64(&'a [u8]),
}

impl<'a> Payload<'a> {
    /// Bytes declared to be binary.
    pub fn binary(bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { bytes: bytes.into(), form: PayloadForm::Binary }
    }

    /// Bytes of unknown form.
    pub fn opaque(bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { bytes: bytes.into(), form: PayloadForm::Opaque }
    }

    /// Bytes that were copied out of a payload, and of which as much is known.
    pub(crate) fn of(bytes: &'a [u8], form: PayloadForm) -> Self {
        Self { bytes: Cow::Borrowed(bytes), form }
    }

    /// A text already known to be valid JSON within the depth limit; only the JSON decoder can know.
    pub(in crate::protocol) fn checked_json(text: &'a str) -> Self {
        Self { bytes: Cow::Borrowed(text.as_bytes()), form: PayloadForm::Json }
    }

    /// The bytes as the publisher sent them.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn form(&self) -> PayloadForm {
        self.form
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How JSON subscribers get it. Opaque bytes are parsed here, so ask once per message.
    pub fn wire(&self) -> WirePayload<'_> {
        let bytes = &self.bytes;
        match self.form {
            _ if bytes.is_empty() => WirePayload::Empty,
            PayloadForm::Json => WirePayload::Json(bytes),
            PayloadForm::Opaque if lexical::is_json_text(bytes, MAX_JSON_DEPTH) => WirePayload::Json(bytes),
            PayloadForm::Opaque | PayloadForm::Binary => WirePayload::Base64(bytes),
        }
    }
}

/// Form and length: the bytes are nobody's business in a log.
impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({:?}, {} bytes)", self.form, self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_json(bytes: &[u8]) -> bool {
        matches!(Payload::opaque(bytes.to_vec()).wire(), WirePayload::Json(text) if text == bytes)
    }

    #[test]
    fn one_json_text_stays_json_byte_for_byte() {
        for text in [
            r#"{"a":[1,2.50e10,"x"]}"#,
            " 1\n",
            "null",
            "\"\\u00e9\\ud83d\\ude00\"",
            "12345678901234567890123456789",
            "[]",
        ] {
            assert!(is_json(text.as_bytes()), "{text}");
        }
        assert!(is_json(nested(MAX_JSON_DEPTH).as_bytes()));
    }

    #[test]
    fn what_is_almost_json_is_binary() {
        let almost: [&[u8]; 15] = [
            b"1,\"from\":\"x\"",
            b"1}",
            b"{\"a\":1}{}",
            b"1 2",
            b"{\"a\":1,}",
            b"[1",
            b"nul",
            b"'a'",
            b"\xef\xbb\xbf1",
            b"\"\xff\"",
            b"\"a\nb\"",
            b"01",
            b"NaN",
            b" ",
            b"\"\\ud800\"",
        ];
        for bytes in almost {
            assert_eq!(Payload::opaque(bytes).wire(), WirePayload::Base64(bytes), "{bytes:?}");
        }
    }

    #[test]
    fn a_deep_text_is_binary() {
        assert!(!is_json(nested(MAX_JSON_DEPTH + 1).as_bytes()));
        assert!(!is_json(nested(1_000_000).as_bytes()));
        assert!(!is_json("[".repeat(1_000_000).as_bytes()));
        assert!(!is_json("{\"a\":".repeat(100_000).as_bytes()));
    }

    #[test]
    fn an_empty_payload_has_no_field_in_any_form() {
        assert_eq!(Payload::default().wire(), WirePayload::Empty);
        assert_eq!(Payload::binary(&b""[..]).wire(), WirePayload::Empty);
        assert_eq!(Payload::opaque(&b""[..]).wire(), WirePayload::Empty);
    }

    #[test]
    fn declared_binary_stays_binary_even_if_it_reads_as_json() {
        assert_eq!(Payload::binary(&b"1"[..]).wire(), WirePayload::Base64(b"1"));
    }

    #[test]
    fn debug_shows_no_byte() {
        assert_eq!(format!("{:?}", Payload::binary(&b"secret"[..])), "Payload(Binary, 6 bytes)");
    }

    fn nested(depth: usize) -> String {
        "[".repeat(depth) + &"]".repeat(depth)
    }
}
