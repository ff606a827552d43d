//! Messages of one session on one topic, one behind the other, that go their way together: their receivers are looked up and locked
//! once for all of them, and receivers that read them alike, which have one form and one `sid`, copy one encoding.

use std::cell::Cell;

use super::Parcel;
use crate::identity::ServiceIdentity;
use crate::protocol::{Form, Headers, Message, Payload, PayloadForm, Sid};
use crate::session::{Outlines, SHARED_FROM};
use crate::topic::Topic;

/// Bytes of payloads after which a burst takes no more.
const MOST_BYTES: usize = 32 * 1024;
/// Offers to receivers after which it goes, so that its turn ends in time.
const MOST_OFFERS: usize = 4 * 1024;
/// Messages after which it goes.
const MOST_MESSAGES: usize = 512;

thread_local! {
    /// Empty, with room. One for each thread, because a burst goes before its session waits for anything.
    static SPARE: Cell<Option<Box<Burst>>> = const { Cell::new(None) };
}

/// Payloads that wait for the end of a session's turn, or for a message that goes elsewhere.
#[derive(Default)]
pub struct Burst {
    /// Of all its payloads.
    form: PayloadForm,
    /// How many messages it takes.
    most: usize,
    payloads: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
    /// What each was found to be for receivers of JSON, where its publisher did not say.
    found: Vec<PayloadForm>,
    block: Block,
}

/// The whole burst as the subscriptions with one `sid` read it.
#[derive(Default)]
struct Block {
    reader: Option<(Form, Sid)>,
    bytes: Vec<u8>,
    lengths: Vec<u32>,
}

impl Burst {
    /// Whether a parcel is of the kind that goes in bursts: small, without headers, and with nobody who waits for an answer.
    pub fn takes(parcel: &Parcel<'_>) -> bool {
        parcel.payload.len() < SHARED_FROM
            && parcel.headers.is_empty()
            && parcel.reply.is_none()
            && parcel.answer_within.is_none()
    }

    /// Room for a turn, as another one left it.
    pub fn borrowed() -> Box<Self> {
        SPARE.take().unwrap_or_default()
    }

    /// Leaves its room to the next turn, of whichever session.
    pub fn give_back(mut self: Box<Self>) {
        self.clear();
        SPARE.set(Some(self));
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Begins an empty one with its first payload, for so many receivers.
    pub fn begin(&mut self, payload: &Payload<'_>, receivers: usize) {
        self.form = payload.form();
        self.most = (MOST_OFFERS / receivers.max(1)).clamp(1, MOST_MESSAGES);
        self.add(payload);
    }

    /// Whether one that has begun takes this payload too, before it has to go.
    pub fn takes_more(&self, payload: &Payload<'_>) -> bool {
        payload.form() == self.form
            && payload.len() < SHARED_FROM
            && (1..self.most).contains(&self.len())
            && self.payloads.len() < MOST_BYTES
    }

    /// Adds a payload that it takes.
    pub fn add(&mut self, payload: &Payload<'_>) {
        self.payloads.extend_from_slice(payload.bytes());
        self.ends.push(self.payloads.len());
    }

    pub fn clear(&mut self) {
        self.payloads.clear();
        self.ends.clear();
        self.found.clear();
        self.block.reader = None;
    }

    pub(super) fn payloads(&self) -> impl Iterator<Item = Payload<'_>> {
        let mut start = 0;
        let found = self.found.iter().copied().chain(std::iter::repeat(self.form));
        self.ends.iter().zip(found).map(move |(end, form)| {
            let bytes = self.payloads.get(start..*end).unwrap_or_default();
            start = *end;
            Payload::of(bytes, form)
        })
    }

    /// The first `messages` as the subscription `sid` reads them in this form, and how long each is in it.
    pub(super) fn encoded(
        &mut self,
        messages: usize,
        form: Form,
        sid: &Sid,
        topic: &Topic,
        from: &ServiceIdentity,
        outlines: &mut Outlines,
    ) -> (&[u8], &[u32]) {
        let is_known = |(of, known): &(Form, Sid)| *of == form && known.as_json() == sid.as_json();
        if !self.block.reader.as_ref().is_some_and(is_known) {
            if form == Form::Json && self.form == PayloadForm::Opaque && self.found.is_empty() {
                self.found = self.payloads().map(|payload| payload.found()).collect();
            }
            let mut block = std::mem::take(&mut self.block);
            block.bytes.clear();
            block.lengths.clear();
            let (payload, headers, reply) = (Payload::default(), Headers::EMPTY, None);
            let message = Message { topic, from: from.service(), payload, headers, reply };
            let out = (&mut block.bytes, &mut block.lengths);
            outlines.write_run(message, self.payloads(), form, sid, out);
            block.reader = Some((form, sid.clone()));
            self.block = block;
        }
        let Block { bytes, lengths, .. } = &self.block;
        if messages >= lengths.len() {
            return (bytes, lengths);
        }
        let lengths = lengths.get(..messages).unwrap_or_default();
        let end = lengths.iter().map(|length| *length as usize).sum();
        (bytes.get(..end).unwrap_or_default(), lengths)
    }
}
