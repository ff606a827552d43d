//! The fields of a frame as they stand in its text, before any operation gives them meaning.
//!
//! They are read flat and raw: `RawValue` does not survive tagged enums, and `Option<&RawValue>` would lose a `null`. A
//! faulty frame is read on to its end, so that the answer can carry an `id` that stands after the fault.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::fault::{About, DecodeFault, printable};
use crate::protocol::{MAX_INTEGER, Op, OpId, Sid};
use crate::topic::MAX_TOPIC_BYTES;

macro_rules! fields {
    ($($variant:ident = $name:literal),* $(,)?) => {
        /// A field that a client may send, in some operation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Field { $($variant),* }

        impl Field {
            const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The field's name on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            fn named(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

fields! {
    Op = "op", Id = "id", Sid = "sid", Topic = "topic", Group = "group", Echo = "echo", Max = "max", Data = "data",
    DataBase64 = "data_base64", Headers = "headers", Reply = "reply", TimeoutMs = "timeout_ms", Chain = "chain",
    Host = "host", Scheme = "scheme", Signature = "signature", Token = "token",
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The raw values of one frame, each JSON text checked by the parser.
#[derive(Default)]
pub(super) struct Fields<'a> {
    values: [Option<&'a RawValue>; Field::ALL.len()],
    fault: Option<DecodeFault>,
}

impl<'a> Fields<'a> {
    /// Reads a frame, and its first fault if it has one.
    pub(super) fn read(text: &'a str) -> (Self, Option<DecodeFault>) {
        let mut fields = Self::default();
        let mut parser = serde_json::Deserializer::from_str(text);
        let read = (&mut fields).deserialize(&mut parser).and_then(|()| parser.end());
        let fault = match read {
            Ok(()) => fields.fault.take(),
            Err(error) if error.classify() == Category::Data => Some(DecodeFault::NotAnObject),
            Err(error) => Some(DecodeFault::Syntax { line: error.line(), column: error.column() }),
        };
        (fields, fault)
    }

    /// The JSON text of a field; `null` is a text like any other.
    pub(super) fn raw(&self, field: Field) -> Option<&'a str> {
        self.values.get(field as usize).copied().flatten().map(RawValue::get)
    }

    /// The first field of the frame's set that is not among `allowed`.
    pub(super) fn beyond(&self, allowed: &[Field]) -> Option<Field> {
        let stands = |field: &Field| self.raw(*field).is_some() && !allowed.contains(field);
        Field::ALL.iter().copied().find(stands)
    }

    pub(super) fn text(&self, field: Field) -> Result<Option<Cow<'a, str>>, DecodeFault> {
        let expected = DecodeFault::BadField { field, expected: "a string" };
        self.raw(field).map(|raw| text(raw).ok_or(expected)).transpose()
    }

    pub(super) fn required_text(&self, field: Field) -> Result<Cow<'a, str>, DecodeFault> {
        self.text(field)?.ok_or(DecodeFault::MissingField(field))
    }

    /// An unsigned integer of the protocol.
    pub(super) fn integer(&self, field: Field) -> Result<Option<u64>, DecodeFault> {
        let expected = DecodeFault::BadField { field, expected: "an unsigned integer below 2^53" };
        self.raw(field).map(|raw| integer(raw).ok_or(expected)).transpose()
    }

    pub(super) fn flag(&self, field: Field) -> Result<Option<bool>, DecodeFault> {
        match self.raw(field) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(DecodeFault::BadField { field, expected: "true or false" }),
        }
    }

    pub(super) fn op(&self) -> Result<Op, DecodeFault> {
        Op::named(&self.required_text(Field::Op)?).ok_or(DecodeFault::UnknownOp)
    }

    pub(super) fn id(&self) -> Result<Option<OpId>, DecodeFault> {
        Ok(self.integer(Field::Id)?.and_then(OpId::new))
    }

    pub(super) fn sid(&self) -> Result<Sid, DecodeFault> {
        let raw = self.raw(Field::Sid).ok_or(DecodeFault::MissingField(Field::Sid))?;
        let sid = match integer(raw) {
            Some(number) => Sid::from_number(number),
            None => text(raw).and_then(|text| Sid::from_text(&text)),
        };
        sid.ok_or(DecodeFault::BadField {
            field: Field::Sid,
            expected: "an unsigned integer below 2^53, or a string of 1 to 64 characters of A-Z a-z 0-9 _ . : -",
        })
    }

    /// What the answer to a faulty frame can name.
    pub(super) fn about(&self) -> About {
        let topic = self.text(Field::Topic).ok().flatten().filter(|topic| topic.len() <= MAX_TOPIC_BYTES);
        About {
            id: self.id().ok().flatten(),
            op: self.op().ok(),
            sid: self.sid().ok(),
            topic: topic.map(|topic| topic.into_owned().into_boxed_str()),
        }
    }

    fn keep(&mut self, field: Field, value: &'a RawValue) {
        match self.values.get_mut(field as usize) {
            Some(place @ None) => *place = Some(value),
            _ => self.blame(DecodeFault::DuplicateField(field)),
        }
    }

    fn blame(&mut self, fault: DecodeFault) {
        self.fault.get_or_insert(fault);
    }
}

impl<'a> DeserializeSeed<'a> for &mut Fields<'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for &mut Fields<'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one JSON object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(key) = map.next_key()? {
            match key {
                Key::Known(field) => self.keep(field, map.next_value()?),
                Key::Unknown(name) => {
                    self.blame(DecodeFault::UnknownField { name });
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

enum Key {
    Known(Field),
    Unknown(Option<Box<str>>),
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KeyVisitor)
    }
}

struct KeyVisitor;

impl Visitor<'_> for KeyVisitor {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Key, E> {
        Ok(Field::named(name).map_or_else(|| Key::Unknown(printable(name)), Key::Known))
    }
}

/// The value of a JSON string, borrowed where no escape stands in it.
pub(super) fn text(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str(raw).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

fn integer(raw: &str) -> Option<u64> {
    serde_json::from_str(raw).ok().filter(|number| *number <= MAX_INTEGER)
}
