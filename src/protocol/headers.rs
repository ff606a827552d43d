//! Headers of a message: an ordered list of names and values, bounded, and safe to write in either dialect.

use std::fmt;
use std::sync::Arc;

/// Most headers of a message, several values of one name counted each.
pub const MAX_HEADERS: usize = 64;
/// Most bytes of names and values of a message together.
pub const MAX_HEADER_BYTES: usize = 8 * 1024;
/// What the names begin with that only the gateway may set, in any case.
const RESERVED_PREFIX: &[u8] = b"portcullis-";

/// Headers in the order they were given. Cheap to clone; empty ones take no memory.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Option<Arc<List>>);

impl Headers {
    /// No headers.
    pub const EMPTY: Self = Self(None);

    /// Begins a list.
    pub fn builder() -> HeadersBuilder {
        HeadersBuilder::default()
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.entries().iter().map(|(name, value)| (&**name, &**value))
    }

    /// The first value of a name, compared without case (RFC 9110, section 5.1).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Bytes of all names and values.
    pub fn size(&self) -> usize {
        self.0.as_ref().map_or(0, |list| list.bytes)
    }

    fn entries(&self) -> &[(Box<str>, Box<str>)] {
        self.0.as_ref().map_or(&[], |list| &list.entries)
    }
}

/// Names only: a value may be a credential.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

#[derive(Default, PartialEq, Eq)]
struct List {
    entries: Vec<(Box<str>, Box<str>)>,
    bytes: usize,
}

/// Headers being put together.
#[derive(Default)]
pub struct HeadersBuilder(List);

impl HeadersBuilder {
    /// Adds a header that a client gave.
    pub fn push(&mut self, name: &str, value: &str) -> Result<(), HeaderError> {
        if is_reserved(name) {
            return Err(HeaderError::Reserved);
        }
        self.stamp(name, value)
    }

    /// Adds a header of the gateway's own, for which the reserved names are open.
    pub fn stamp(&mut self, name: &str, value: &str) -> Result<(), HeaderError> {
        if name.is_empty() || !name.bytes().all(is_token_byte) {
            return Err(HeaderError::Name);
        }
        if value.chars().any(char::is_control) {
            return Err(HeaderError::Value);
        }
        let list = &mut self.0;
        let bytes = list.bytes.saturating_add(name.len()).saturating_add(value.len());
        if list.entries.len() >= MAX_HEADERS {
            return Err(HeaderError::TooMany);
        }
        if bytes > MAX_HEADER_BYTES {
            return Err(HeaderError::TooLarge);
        }
        list.bytes = bytes;
        list.entries.push((name.into(), value.into()));
        Ok(())
    }

    /// Whether a header of exactly this spelling was added.
    pub fn contains(&self, name: &str) -> bool {
        self.0.entries.iter().any(|(other, _)| &**other == name)
    }

    /// The finished list.
    pub fn build(self) -> Headers {
        Headers((!self.0.entries.is_empty()).then(|| Arc::new(self.0)))
    }
}

/// Why a header is refused. Every variant is the fault of whoever sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("a header name is a token of RFC 9110: letters, digits and !#$%&'*+-.^_`|~")]
    Name,
    #[error("a header value has no control characters")]
    Value,
    #[error("headers that begin with `Portcullis-` are the gateway's alone")]
    Reserved,
    #[error("a message has at most {MAX_HEADERS} headers")]
    TooMany,
    #[error("the headers of a message have at most {MAX_HEADER_BYTES} bytes")]
    TooLarge,
}

/// `tchar` of RFC 9110, section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_reserved(name: &str) -> bool {
    name.as_bytes()
        .get(..RESERVED_PREFIX.len())
        .is_some_and(|prefix| prefix.eq_ignore_ascii_case(RESERVED_PREFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(name: &str, value: &str) -> Result<Headers, HeaderError> {
        let mut builder = Headers::builder();
        builder.push(name, value)?;
        Ok(builder.build())
    }

    #[test]
    fn plain_headers_are_kept_in_order() {
        let mut builder = Headers::builder();
        for (name, value) in [("Trace-Id", "1"), ("x", "größe und mehr"), ("Trace-Id", "2"), ("e", "")] {
            builder.push(name, value).expect("valid");
        }
        let headers = builder.build();
        let all: Vec<_> = headers.iter().collect();
        assert_eq!(all, [("Trace-Id", "1"), ("x", "größe und mehr"), ("Trace-Id", "2"), ("e", "")]);
        assert_eq!(headers.get("TRACE-ID"), Some("1"));
        assert_eq!(headers.size(), 8 + 1 + 1 + 16 + 8 + 1 + 1);
    }

    #[test]
    fn what_could_break_a_header_line_is_refused() {
        for name in ["", "a b", "a:", "a\r\nb", "ä", "a\0", "NATS/1.0 503"] {
            assert_eq!(push(name, "x"), Err(HeaderError::Name), "{name:?}");
        }
        for value in ["a\r\nb: c", "a\n", "\r", "\0", "\t", "\u{7f}", "\u{85}"] {
            assert_eq!(push("a", value), Err(HeaderError::Value), "{value:?}");
        }
    }

    #[test]
    fn reserved_names_are_the_gateways_alone() {
        for name in ["Portcullis-From", "PORTCULLIS-X", "portcullis-"] {
            assert_eq!(push(name, "x"), Err(HeaderError::Reserved), "{name}");
        }
        assert!(push("Portcullis", "x").is_ok());
        let mut builder = Headers::builder();
        assert_eq!(builder.stamp("Portcullis-From", "orders"), Ok(()));
        assert_eq!(builder.stamp("Portcullis-From", "a\r\nb"), Err(HeaderError::Value));
    }

    #[test]
    fn count_and_bytes_are_bounded() {
        let mut builder = Headers::builder();
        for _ in 0..MAX_HEADERS {
            builder.push("a", "").expect("within the bound");
        }
        assert_eq!(builder.push("a", ""), Err(HeaderError::TooMany));
        assert!(push("a", &"x".repeat(MAX_HEADER_BYTES - 1)).is_ok());
        assert_eq!(push("a", &"x".repeat(MAX_HEADER_BYTES)), Err(HeaderError::TooLarge));
    }

    #[test]
    fn debug_shows_no_value() {
        let headers = push("Authorization", "secret").expect("valid");
        assert_eq!(format!("{headers:?}"), "[\"Authorization\"]");
        assert!(Headers::builder().build().is_empty());
    }
}
