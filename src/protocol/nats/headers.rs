//! The header block of `HPUB`: a version line, then `Name: value` lines, then an empty one.

use crate::protocol::{HeaderError, Headers};

/// Why a header block is refused; the message is not published then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    #[error("a header block begins with the line `NATS/1.0` alone; only the gateway tells a status")]
    Version,
    #[error("a header is a line `Name: value` in UTF-8, and an empty line ends them")]
    Line,
    #[error(transparent)]
    Header(#[from] HeaderError),
}

/// What becomes of headers that only the gateway may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reserved {
    Refused,
    /// Official clients send the headers of a request back with its answer.
    Dropped,
}

/// Reads a block. White space around a value does not count (RFC 9110, section 5.5).
pub(super) fn parse(block: &[u8], reserved: Reserved) -> Result<Headers, HeaderFault> {
    let text = std::str::from_utf8(block).map_err(|_| HeaderFault::Line)?;
    let lines = text.strip_prefix("NATS/1.0\r\n").ok_or(HeaderFault::Version)?;
    let mut lines = lines.strip_suffix("\r\n").ok_or(HeaderFault::Line)?;
    let mut headers = Headers::builder_for(lines.len());
    while !lines.is_empty() {
        let (line, behind) = line(lines).ok_or(HeaderFault::Line)?;
        let colon = memchr::memchr(b':', line.as_bytes()).ok_or(HeaderFault::Line)?;
        let (name, value) = line.get(..colon).zip(line.get(colon + 1..)).ok_or(HeaderFault::Line)?;
        match headers.push(name, value.trim_matches([' ', '\t'])) {
            Err(HeaderError::Reserved) if reserved == Reserved::Dropped => {}
            pushed => pushed?,
        }
        lines = behind;
    }
    Ok(headers.build())
}

/// The first line, and what follows its end.
fn line(text: &str) -> Option<(&str, &str)> {
    let ends = memchr::memchr_iter(b'\n', text.as_bytes());
    let mut lines = ends.filter_map(|end| Some((text.get(..end)?.strip_suffix('\r')?, text.get(end + 1..)?)));
    lines.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(block: &str) -> Result<Vec<(String, String)>, HeaderFault> {
        let headers = parse(block.as_bytes(), Reserved::Refused)?;
        Ok(headers.iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    #[test]
    fn lines_are_headers_in_their_order() {
        let block = "NATS/1.0\r\na: 1\r\nB:2\r\na:  größe \r\nempty:\r\nc: x: y\r\n\r\n";
        let expected = [("a", "1"), ("B", "2"), ("a", "größe"), ("empty", ""), ("c", "x: y")];
        assert_eq!(list(block), Ok(expected.map(|(name, value)| (name.into(), value.into())).to_vec()));
        assert_eq!(list("NATS/1.0\r\n\r\n"), Ok(Vec::new()));
    }

    #[test]
    fn what_the_gateway_stamped_may_come_back_and_counts_for_nothing() {
        let block = b"NATS/1.0\r\nPortcullis-From: admin\r\na: b\r\n\r\n";
        let headers = parse(block, Reserved::Dropped).expect("good");
        assert!(headers.iter().eq([("a", "b")]));
        assert!(
            parse(b"NATS/1.0\r\nPortcullis-From: x\r\n\r\n", Reserved::Dropped).expect("good").is_empty()
        );
    }

    #[test]
    fn what_could_forge_or_inject_is_refused() {
        let cases = [
            ("", HeaderFault::Version),
            ("NATS/1.0 503\r\n\r\n", HeaderFault::Version),
            ("NATS/1.0 100 Idle\r\na: b\r\n\r\n", HeaderFault::Version),
            ("HTTP/1.1\r\n\r\n", HeaderFault::Version),
            ("NATS/1.0\r\n", HeaderFault::Line),
            ("NATS/1.0\r\na: b\r\n", HeaderFault::Line),
            ("NATS/1.0\r\nno colon\r\n\r\n", HeaderFault::Line),
            ("NATS/1.0\r\n\r\na: b\r\n\r\n", HeaderFault::Line),
            ("NATS/1.0\r\na: b\nc: d\r\n\r\n", HeaderError::Value.into()),
            ("NATS/1.0\r\na: b\rc\r\n\r\n", HeaderError::Value.into()),
            ("NATS/1.0\r\na : b\r\n\r\n", HeaderError::Name.into()),
            ("NATS/1.0\r\n a: b\r\n\r\n", HeaderError::Name.into()),
            ("NATS/1.0\r\n: b\r\n\r\n", HeaderError::Name.into()),
            ("NATS/1.0\r\nPortcullis-From: admin\r\n\r\n", HeaderError::Reserved.into()),
            ("NATS/1.0\r\npOrTcUlLiS-x: y\r\n\r\n", HeaderError::Reserved.into()),
        ];
        for (block, fault) in cases {
            assert_eq!(list(block), Err(fault), "{block:?}");
        }
        assert_eq!(
            parse(b"NATS/1.0\r\na: \xff\r\n\r\n", Reserved::Refused).map(|_| ()),
            Err(HeaderFault::Line)
        );
    }
}
