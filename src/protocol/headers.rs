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

    /// Begins a list of so many bytes of names and values.
    pub fn builder_for(bytes: usize) -> HeadersBuilder {
        let text = String::with_capacity(bytes.min(MAX_HEADER_BYTES));
        HeadersBuilder(List { text, ends: Vec::new() })
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.0.iter().flat_map(|list| list.iter())
    }

    /// The first value of a name, compared without case (RFC 9110, section 5.1).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |list| list.ends.len())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Bytes of all names and values.
    pub fn size(&self) -> usize {
        self.0.as_ref().map_or(0, |list| list.text.len())
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
    /// Names and values, one behind the other.
    text: String,
    /// Where each name ends, and its value.
    ends: Vec<(u16, u16)>,
}

impl List {
    fn iter(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        let mut start = 0;
        self.ends.iter().map(move |(name_end, value_end)| {
            let (name_end, value_end) = (usize::from(*name_end), usize::from(*value_end));
            let name = self.text.get(start..name_end).unwrap_or_default();
            start = value_end;
            (name, self.text.get(name_end..value_end).unwrap_or_default())
        })
    }
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
        if name.is_empty() || !name.bytes().all(|byte| IS_TOKEN_BYTE[usize::from(byte)]) {
            return Err(HeaderError::Name);
        }
        // Most values are of visible ASCII, which costs less to see.
        if !value.bytes().all(|byte| matches!(byte, b' '..=b'~')) && value.chars().any(char::is_control) {
            return Err(HeaderError::Value);
        }
        let List { text, ends } = &mut self.0;
        if ends.len() >= MAX_HEADERS {
            return Err(HeaderError::TooMany);
        }
        let name_end = text.len().saturating_add(name.len());
        let value_end = name_end.saturating_add(value.len());
        let (Ok(name_end), Ok(value_end)) = (u16::try_from(name_end), u16::try_from(value_end)) else {
            return Err(HeaderError::TooLarge);
        };
        if usize::from(value_end) > MAX_HEADER_BYTES {
            return Err(HeaderError::TooLarge);
        }
        text.push_str(name);
        text.push_str(value);
        ends.push((name_end, value_end));
        Ok(())
    }

    /// Whether a header of exactly this spelling was added.
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|(other, _)| other == name)
    }

    /// The finished list.
    pub fn build(self) -> Headers {
        Headers((!self.0.ends.is_empty()).then(|| Arc::new(self.0)))
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

/// Which bytes are a `tchar` of RFC 9110, section 5.6.2.
static IS_TOKEN_BYTE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut marks: &[u8] = b"-_.!#$%&'*+^`|~";
    while let [mark, rest @ ..] = marks {
        table[*mark as usize] = true;
        marks = rest;
    }
    table
};

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
    fn names_are_of_the_characters_of_tokens() {
        for byte in 0..=u8::MAX {
            let is_one = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            assert_eq!(IS_TOKEN_BYTE[usize::from(byte)], is_one, "{:?}", char::from(byte));
        }
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
