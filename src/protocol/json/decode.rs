//! A frame becomes a [`Command`], or an error that names the operation it belongs to.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::fault::{About, DecodeError, DecodeFault, printable};
use super::fields::{Field, Fields, text};
use super::lexical::{self, LexicalFault};
use crate::protocol::{
    Command, Headers, HeadersBuilder, MAX_CHAIN_BYTES, MAX_CHAIN_CERTIFICATES, MAX_HOST_BYTES,
    MAX_JSON_DEPTH, MAX_SCHEME_BYTES, MAX_SIGNATURE_BYTES, MAX_TOKEN_BYTES, Op, OpId, Payload, Proof,
};

/// What a frame is measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Bytes of one payload, decoded.
    pub max_payload: usize,
}

/// Decodes the text of one WebSocket message. The command borrows from it wherever nothing had to be decoded.
pub fn decode<'a>(frame: &'a str, limits: &DecodeLimits) -> Result<Command<'a>, DecodeError> {
    let (fields, fault) = Fields::read(frame);
    let frame = Frame { fields, limits };
    let command = match fault {
        Some(fault) => Err(fault),
        None => frame.command(),
    };
    command.map_err(|fault| DecodeError::new(fault, frame.fields.about()))
}

/// Decodes the fields of `reauth` alone, where the operation and its id are known already.
pub fn decode_proof(id: OpId, text: &[u8]) -> Result<Command<'_>, DecodeError> {
    const PROOF: &[Field] = &[Field::Chain, Field::Host, Field::Scheme, Field::Signature, Field::Token];
    let text = std::str::from_utf8(text).unwrap_or_default();
    let (fields, fault) = Fields::read(text);
    let foreign =
        fields.beyond(PROOF).map(|field| DecodeFault::ForeignField { op: Op::Reauthenticate, field });
    let frame = Frame { fields, limits: &DecodeLimits { max_payload: 0 } };
    let proof = match fault.or(foreign) {
        Some(fault) => Err(fault),
        None => frame.proof(),
    };
    let about = About { id: Some(id), op: Some(Op::Reauthenticate), ..About::default() };
    proof
        .map(|proof| Command::Reauthenticate { id, proof: Box::new(proof) })
        .map_err(|fault| DecodeError::new(fault, about))
}

/// One frame on its way to a command.
struct Frame<'a, 'l> {
    fields: Fields<'a>,
    limits: &'l DecodeLimits,
}

impl<'a> Frame<'a, '_> {
    fn command(&self) -> Result<Command<'a>, DecodeFault> {
        let fields = &self.fields;
        let op = fields.op()?;
        if let Some(field) = fields.beyond(fields_of(op)) {
            return Err(DecodeFault::ForeignField { op, field });
        }
        let id = fields.id()?;
        Ok(match op {
            Op::Subscribe => Command::Subscribe {
                id,
                sid: fields.sid()?,
                topic: fields.required_text(Field::Topic)?,
                group: fields.text(Field::Group)?,
                echo: fields.flag(Field::Echo)?.unwrap_or(true),
            },
            Op::Unsubscribe => {
                Command::Unsubscribe { id, sid: fields.sid()?, max: fields.integer(Field::Max)? }
            }
            Op::Publish => Command::Publish {
                id,
                topic: fields.required_text(Field::Topic)?,
                payload: self.payload()?,
                headers: self.headers()?,
                reply: fields.text(Field::Reply)?,
            },
            Op::Request => Command::Request {
                id: required(id)?,
                topic: fields.required_text(Field::Topic)?,
                payload: self.payload()?,
                headers: self.headers()?,
                timeout: self.timeout()?,
            },
            Op::Respond => Command::Respond {
                id,
                reply: fields.required_text(Field::Reply)?,
                payload: self.payload()?,
                headers: self.headers()?,
            },
            Op::WhoAmI => Command::WhoAmI { id: required(id)? },
            Op::Reauthenticate => {
                Command::Reauthenticate { id: required(id)?, proof: Box::new(self.proof()?) }
            }
        })
    }

    fn timeout(&self) -> Result<Option<Duration>, DecodeFault> {
        match self.fields.integer(Field::TimeoutMs)? {
            Some(0) => Err(DecodeFault::BadField { field: Field::TimeoutMs, expected: "at least 1" }),
            milliseconds => Ok(milliseconds.map(Duration::from_millis)),
        }
    }

    fn payload(&self) -> Result<Payload<'a>, DecodeFault> {
        match (self.fields.raw(Field::Data), self.fields.raw(Field::DataBase64)) {
            (None, None) => Ok(Payload::default()),
            (Some(_), Some(_)) => Err(DecodeFault::BothPayloads),
            (Some(data), None) => self.json_payload(data),
            (None, Some(raw)) => {
                let fault = DecodeFault::PayloadTooLarge { limit: self.limits.max_payload };
                base64(Field::DataBase64, raw, self.limits.max_payload, fault).map(Payload::binary)
            }
        }
    }

    fn json_payload(&self, data: &'a str) -> Result<Payload<'a>, DecodeFault> {
        if data.len() > self.limits.max_payload {
            return Err(DecodeFault::PayloadTooLarge { limit: self.limits.max_payload });
        }
        lexical::check(data, MAX_JSON_DEPTH).map_err(|fault| match fault {
            LexicalFault::TooDeep => DecodeFault::TooDeep,
            LexicalFault::LoneSurrogate => DecodeFault::LoneSurrogate,
        })?;
        Ok(Payload::checked_json(data))
    }

    fn headers(&self) -> Result<Headers, DecodeFault> {
        let Some(raw) = self.fields.raw(Field::Headers) else { return Ok(Headers::EMPTY) };
        let mut reading = HeaderReading { builder: Headers::builder(), fault: None };
        let read = serde_json::Deserializer::from_str(raw).deserialize_map(&mut reading);
        match (reading.fault, read) {
            (Some(fault), _) => Err(fault),
            (None, Err(_)) => Err(bad_headers()),
            (None, Ok(())) => Ok(reading.builder.build()),
        }
    }

    fn proof(&self) -> Result<Proof, DecodeFault> {
        let signature = self.fields.raw(Field::Signature);
        let raw_signature = signature.ok_or(DecodeFault::MissingField(Field::Signature))?;
        let expected = "at most 2048 bytes in padded standard base64";
        let fault = DecodeFault::BadField { field: Field::Signature, expected };
        Ok(Proof {
            chain: self.chain()?,
            host: self.bounded(Field::Host, MAX_HOST_BYTES, "a host name")?,
            scheme: self.bounded(Field::Scheme, MAX_SCHEME_BYTES, "the name of a signature scheme")?,
            signature: base64(Field::Signature, raw_signature, MAX_SIGNATURE_BYTES, fault)?,
            token: match self.fields.raw(Field::Token) {
                None => None,
                Some(_) => Some(self.bounded(Field::Token, MAX_TOKEN_BYTES, "a token")?),
            },
        })
    }

    fn chain(&self) -> Result<Vec<Vec<u8>>, DecodeFault> {
        let raw = self.fields.raw(Field::Chain).ok_or(DecodeFault::MissingField(Field::Chain))?;
        let expected = "a non-empty array of DER certificates in padded standard base64, leaf first";
        let bad = DecodeFault::BadField { field: Field::Chain, expected };
        let items: Vec<&RawValue> = serde_json::from_str(raw).map_err(|_| bad.clone())?;
        if items.is_empty() {
            return Err(bad);
        }
        if items.len() > MAX_CHAIN_CERTIFICATES {
            return Err(DecodeFault::ChainTooLarge);
        }
        let mut room = MAX_CHAIN_BYTES;
        let mut chain = Vec::with_capacity(items.len());
        for item in items {
            let certificate = base64(Field::Chain, item.get(), room, DecodeFault::ChainTooLarge)?;
            if certificate.is_empty() {
                return Err(bad);
            }
            room = room.saturating_sub(certificate.len());
            chain.push(certificate);
        }
        Ok(chain)
    }

    /// A required text of 1 to `max` bytes.
    fn bounded(&self, field: Field, max: usize, expected: &'static str) -> Result<String, DecodeFault> {
        let text = self.fields.required_text(field)?;
        if text.is_empty() || text.len() > max {
            return Err(DecodeFault::BadField { field, expected });
        }
        Ok(text.into_owned())
    }
}

/// The fields each operation may carry.
fn fields_of(op: Op) -> &'static [Field] {
    use Field as F;
    match op {
        Op::Subscribe => &[F::Op, F::Id, F::Sid, F::Topic, F::Group, F::Echo],
        Op::Unsubscribe => &[F::Op, F::Id, F::Sid, F::Max],
        Op::Publish => &[F::Op, F::Id, F::Topic, F::Data, F::DataBase64, F::Headers, F::Reply],
        Op::Request => &[F::Op, F::Id, F::Topic, F::Data, F::DataBase64, F::Headers, F::TimeoutMs],
        Op::Respond => &[F::Op, F::Id, F::Reply, F::Data, F::DataBase64, F::Headers],
        Op::WhoAmI => &[F::Op, F::Id],
        Op::Reauthenticate => &[F::Op, F::Id, F::Chain, F::Host, F::Scheme, F::Signature, F::Token],
    }
}

fn required(id: Option<OpId>) -> Result<OpId, DecodeFault> {
    id.ok_or(DecodeFault::MissingField(Field::Id))
}

/// Decodes base64 of at most `max` bytes, measured before any memory is taken for them.
fn base64(field: Field, raw: &str, max: usize, too_large: DecodeFault) -> Result<Vec<u8>, DecodeFault> {
    let bad = DecodeFault::BadField { field, expected: "padded standard base64" };
    let Some(text) = text(raw) else { return Err(bad) };
    let padding = text.bytes().rev().take(2).filter(|byte| *byte == b'=').count();
    let decoded = (text.len() / 4).saturating_mul(3).saturating_sub(padding);
    if decoded > max {
        return Err(too_large);
    }
    BASE64_STANDARD.decode(text.as_bytes()).map_err(|_| bad)
}

fn bad_headers() -> DecodeFault {
    let expected = "an object whose values are strings or non-empty arrays of strings";
    DecodeFault::BadField { field: Field::Headers, expected }
}

/// Headers while their object is read; it stops at the first fault.
struct HeaderReading {
    builder: HeadersBuilder,
    fault: Option<DecodeFault>,
}

impl HeaderReading {
    fn add(&mut self, name: &str, raw: &RawValue) -> Result<(), DecodeFault> {
        if self.builder.contains(name) {
            return Err(DecodeFault::DuplicateHeader);
        }
        if let Some(value) = text(raw.get()) {
            return self.push(name, &value);
        }
        let values: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| bad_headers())?;
        if values.is_empty() {
            return Err(bad_headers());
        }
        values.into_iter().try_for_each(|raw| self.push(name, &text(raw.get()).ok_or_else(bad_headers)?))
    }

    fn push(&mut self, name: &str, value: &str) -> Result<(), DecodeFault> {
        self.builder.push(name, value).map_err(|fault| DecodeFault::Header { name: printable(name), fault })
    }
}

impl<'de> Visitor<'de> for &mut HeaderReading {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of headers")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some((name, raw)) = map.next_entry::<String, &RawValue>()? {
            if let Err(fault) = self.add(&name, raw) {
                self.fault = Some(fault);
                return Ok(());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
