//! A message on its way to its subscribers: made once, shared by all.

use std::sync::OnceLock;

use super::json::MessageTail;
use super::{Headers, Payload, PayloadForm};
use crate::identity::ServiceName;
use crate::topic::Topic;

/// What each form of a message takes beside its own bytes: the handle, the frame header, field names.
const OVERHEAD_BYTES: usize = 96;

/// One message as it was published. Subscribers share it behind an `Arc`, and with it the encoded form.
#[derive(Debug)]
pub struct Message {
    topic: Topic,
    from: ServiceName,
    payload: Payload,
    headers: Headers,
    reply: Option<Topic>,
    json: OnceLock<MessageTail>,
}

impl Message {
    /// A message of the verified service `from`.
    pub fn new(
        topic: Topic,
        from: ServiceName,
        payload: Payload,
        headers: Headers,
        reply: Option<Topic>,
    ) -> Self {
        Self { topic, from, payload, headers, reply, json: OnceLock::new() }
    }

    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// The verified service of the publisher.
    pub fn from(&self) -> &ServiceName {
        &self.from
    }

    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Where an answer goes, if one is wanted.
    pub fn reply(&self) -> Option<&Topic> {
        self.reply.as_ref()
    }

    /// About how many bytes the message takes in a queue: what was published, and its encoded form beside it, which is
    /// counted from the start although it is made at the first delivery. So JSON counts twice its length, and other
    /// payloads, encoded in base64, seven thirds of theirs.
    pub fn size(&self) -> usize {
        self.published_size() + self.encoded_size()
    }

    /// Room for the encoded form, enough in all but odd cases.
    pub(super) fn encoded_size(&self) -> usize {
        let base64 = match self.payload.form() {
            PayloadForm::Json => 0,
            PayloadForm::Binary | PayloadForm::Opaque => self.payload.len() / 3 + 4,
        };
        self.published_size() + base64
    }

    fn published_size(&self) -> usize {
        let reply = self.reply.as_ref().map_or(0, |reply| reply.as_str().len());
        OVERHEAD_BYTES
            + self.topic.as_str().len()
            + self.from.as_str().len()
            + self.payload.len()
            + self.headers.size()
            + reply
    }

    /// The part of the JSON frame that all subscribers share, encoded at the first call.
    pub fn json(&self) -> &MessageTail {
        self.json.get_or_init(|| MessageTail::encode(self))
    }
}

/// Compares what was published, not whether it has been encoded yet.
impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.topic == other.topic
            && self.from == other.from
            && self.payload == other.payload
            && self.headers == other.headers
            && self.reply == other.reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(payload: Payload) -> Message {
        let topic = Topic::parse("orders.created").expect("valid");
        Message::new(topic, ServiceName::parse("billing").expect("valid"), payload, Headers::EMPTY, None)
    }

    #[test]
    fn the_size_covers_the_payload_and_its_encoded_form() {
        let json = || format!("\"{}\"", "x".repeat(10_000)).into_bytes();
        for payload in
            [Payload::checked_json(json().into()), Payload::opaque(json()), Payload::binary(vec![0; 10_000])]
        {
            let message = message(payload);
            let (size, held) = (message.size(), message.payload().len() + message.json().of_message().len());
            assert!(held <= size, "{size} counted, {held} held: {message:?}");
        }
        let counted = message(Payload::checked_json(json().into())).size();
        assert!(counted < 2 * json().len() + 512, "{counted}");
    }
}
