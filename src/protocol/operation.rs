//! How operations and subscriptions are named: [`Op`], [`OpId`] and [`Sid`].

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Largest integer of the protocol, 2^53 − 1: what a double holds exactly (RFC 7493, section 2.2).
pub const MAX_INTEGER: u64 = (1 << 53) - 1;
/// Most characters of a [`Sid`].
pub const MAX_SID_CHARS: usize = 64;

/// The operations a service may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    Subscribe,
    Unsubscribe,
    Publish,
    Request,
    Respond,
    WhoAmI,
    Reauthenticate,
}

impl Op {
    /// Every operation, in the order of the protocol's table.
    pub const ALL: [Self; 7] = [
        Self::Subscribe,
        Self::Unsubscribe,
        Self::Publish,
        Self::Request,
        Self::Respond,
        Self::WhoAmI,
        Self::Reauthenticate,
    ];

    /// The operation's name: `op` on the wire, and the metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Subscribe => "sub",
            Self::Unsubscribe => "unsub",
            Self::Publish => "pub",
            Self::Request => "req",
            Self::Respond => "res",
            Self::WhoAmI => "whoami",
            Self::Reauthenticate => "reauth",
        }
    }

    /// The operation of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.as_str() == name)
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Op {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The id a peer gave an operation: an integer of its choice, at most [`MAX_INTEGER`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct OpId(u64);

impl OpId {
    /// That of operations whose dialect has no ids.
    pub const ZERO: Self = Self(0);

    /// Takes an integer if it is at most [`MAX_INTEGER`].
    pub fn new(id: u64) -> Option<Self> {
        (id <= MAX_INTEGER).then_some(Self(id))
    }

    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The id a peer gave a subscription: an integer or a short text, given back in the same form. Two are the same if they
/// read alike, so `7` and `"7"` name one subscription. Cheap to clone.
#[derive(Clone)]
pub struct Sid {
    /// As JSON, so a text stands between quotes.
    json: Arc<str>,
    is_number: bool,
}

impl Sid {
    /// Takes an integer if it is at most [`MAX_INTEGER`].
    pub fn from_number(number: u64) -> Option<Self> {
        (number <= MAX_INTEGER).then(|| Self { json: number.to_string().into(), is_number: true })
    }

    /// Takes 1 to [`MAX_SID_CHARS`] characters of `[A-Za-z0-9_.:-]`.
    pub fn from_text(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':' | b'-');
        let fits = (1..=MAX_SID_CHARS).contains(&text.len()) && text.bytes().all(allowed);
        fits.then(|| Self { json: format!("\"{text}\"").into(), is_number: false })
    }

    pub fn as_str(&self) -> &str {
        if self.is_number {
            return &self.json;
        }
        self.json.get(1..self.json.len() - 1).unwrap_or_default()
    }

    /// The form in which the peer gave it, and gets it back in JSON: an integer, or a text between quotes.
    pub fn as_json(&self) -> &str {
        &self.json
    }
}

impl PartialEq for Sid {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Sid {}

impl Hash for Sid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Borrow<str> for Sid {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sid({self})")
    }
}

impl Serialize for Sid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.as_str().parse::<u64>() {
            Ok(number) if self.is_number => serializer.serialize_u64(number),
            _ => serializer.serialize_str(self.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_stay_below_two_to_the_53() {
        assert_eq!(OpId::new(MAX_INTEGER).map(OpId::get), Some(9_007_199_254_740_991));
        assert_eq!(OpId::new(MAX_INTEGER + 1), None);
        assert_eq!(Sid::from_number(MAX_INTEGER + 1), None);
    }

    #[test]
    fn a_sid_is_compared_by_text_and_keeps_its_form() {
        let number = Sid::from_number(7).expect("small");
        let text = Sid::from_text("7").expect("valid");
        assert_eq!(number, text);
        assert_eq!(serde_json::to_string(&number).expect("plain"), "7");
        assert_eq!(serde_json::to_string(&text).expect("plain"), "\"7\"");
    }

    #[test]
    fn a_sid_text_is_short_and_plain() {
        for good in ["a", "orders:1.x-Y_z", &"a".repeat(64)] {
            assert_eq!(Sid::from_text(good).as_ref().map(Sid::as_str), Some(good));
        }
        for bad in ["", " ", "a b", "ä", "a\"", "a\n", &"a".repeat(65)] {
            assert_eq!(Sid::from_text(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn every_op_is_found_by_its_name() {
        for op in Op::ALL {
            assert_eq!(Op::named(op.as_str()), Some(op));
        }
        assert_eq!(Op::named("PUB"), None);
    }
}
