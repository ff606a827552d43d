//! What travels: bodies, headers, messages and replies. No `Debug` here shows a payload.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::identity::ServiceName;
use crate::topic::Topic;

/// A payload: nothing, one JSON text kept byte for byte, or bytes (base64 on the wire).
#[derive(Clone, Default)]
pub enum Body {
    #[default]
    Empty,
    Json(Box<RawValue>),
    Bytes(Bytes),
}

impl Body {
    /// Serialises `value` as the JSON payload.
    pub fn json(value: &(impl Serialize + ?Sized)) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(Self::Json)
    }

    /// The payload as bytes; of JSON its text.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Empty => &[],
            Self::Json(text) => text.get().as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    /// The payload as bytes of one's own; shared where it travelled as bytes.
    fn to_bytes(&self) -> Bytes {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Empty | Self::Json(_) => Bytes::copy_from_slice(self.as_bytes()),
        }
    }

    /// Parses the payload as JSON, however it travelled. An empty payload is no JSON.
    pub fn to_json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(self.as_bytes())
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Empty => "Empty",
            Self::Json(_) => "Json",
            Self::Bytes(_) => "Bytes",
        };
        write!(f, "{kind}({} bytes)", self.as_bytes().len())
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::Empty
    }
}

impl From<Box<RawValue>> for Body {
    fn from(text: Box<RawValue>) -> Self {
        Self::Json(text)
    }
}

impl From<serde_json::Value> for Body {
    fn from(value: serde_json::Value) -> Self {
        match RawValue::from_string(value.to_string()) {
            Ok(text) => Self::Json(text),
            Err(_) => unreachable!("a JSON value prints as JSON"),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<&[u8]> for Body {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(Bytes::copy_from_slice(bytes))
    }
}

/// Headers of a message, in the order they were added. Names compare without case.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, Vec<String>)>);

impl Headers {
    /// No headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value; a name may have several. The gateway refuses names that are no RFC 9110 token, values with
    /// control characters, and `Portcullis-…`.
    pub fn add(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(&name)) {
            Some((_, values)) => values.push(value),
            None => self.0.push((name, vec![value])),
        }
    }

    /// The first value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.get_all(name).next()
    }

    /// Every value of `name`.
    pub fn get_all(&self, name: &str) -> impl Iterator<Item = &str> {
        let values = self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        values.into_iter().flat_map(|(_, values)| values.iter().map(String::as_str))
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|(name, values)| values.iter().map(|value| (name.as_str(), value.as_str())))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.iter().map(|(name, value)| name.len().saturating_add(value.len())).sum()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(entries: I) -> Self {
        let mut headers = Self::new();
        entries.into_iter().for_each(|(name, value)| headers.add(name, value));
        headers
    }
}

/// On the wire a header has one value, or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum HeaderValue<'a> {
    #[serde(borrow)]
    One(Cow<'a, str>),
    Many(Vec<String>),
}

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, values)| {
            let value = match values.as_slice() {
                [one] => serde_json::Value::from(one.as_str()),
                many => serde_json::Value::from(many),
            };
            (name, value)
        }))
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Headers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of headers")
            }

            fn visit_unit<E>(self) -> Result<Headers, E> {
                Ok(Headers::new())
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
                let mut headers = Headers::new();
                while let Some((name, value)) = map.next_entry::<String, HeaderValue<'_>>()? {
                    match value {
                        HeaderValue::One(value) => headers.add(name, value),
                        HeaderValue::Many(values) => {
                            values.into_iter().for_each(|value| headers.add(name.clone(), value));
                        }
                    }
                }
                Ok(headers)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// What a subscription delivers.
#[derive(Debug, Clone)]
pub struct Message {
    /// The topic it was published on.
    pub topic: Topic,
    /// The publisher as the gateway verified it; absent when it came from beyond the gateways.
    pub from: Option<ServiceName>,
    /// The payload.
    pub body: Body,
    /// What the publisher added.
    pub headers: Headers,
    /// Where the publisher waits for an answer; see [`Client::respond`](super::Client::respond).
    pub reply: Option<Topic>,
}

impl Message {
    /// Parses the payload as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        self.body.to_json()
    }

    /// The payload as bytes; of JSON its text.
    pub fn bytes(&self) -> Bytes {
        self.body.to_bytes()
    }

    /// What the message weighs in a bounded buffer.
    pub(super) fn weight(&self) -> usize {
        self.topic
            .as_str()
            .len()
            .saturating_add(self.body.as_bytes().len())
            .saturating_add(self.headers.bytes())
    }
}

/// The answer to a request.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Who answered, as the gateway verified it; absent when it came from beyond the gateways.
    pub from: Option<ServiceName>,
    /// The payload.
    pub body: Body,
    /// What the answering service added.
    pub headers: Headers,
}

impl Reply {
    /// Parses the payload as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        self.body.to_json()
    }

    /// The payload as bytes; of JSON its text.
    pub fn bytes(&self) -> Bytes {
        self.body.to_bytes()
    }
}
