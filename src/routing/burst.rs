//! Messages of one session on one topic, one behind the other, that go their way together: their receivers are looked up and locked
//! once for all of them. They are encoded once for each form in which somebody reads them, and readdressed for each other `sid`.

use std::cell::Cell;

use super::Parcel;
use crate::identity::ServiceIdentity;
use crate::protocol::{Form, Headers, Message, Payload, PayloadForm, Sid};
use crate::session::{Block, Outlines, SHARED_FROM};
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
    /// All of it as the subscriptions with one `sid` read it, by form.
    blocks: [Block; Form::COUNT],
    /// Room for the next one.
    spare: Block,
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
        self.blocks.iter_mut().for_each(Block::clear);
    }

    pub(super) fn payloads(&self) -> impl Iterator<Item = Payload<'_>> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let bytes = self.payloads.get(start..*end).unwrap_or_default();
            start = *end;
            Payload::of(bytes, self.form)
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
        let written = &self.blocks[form.index()];
        if written.sid().is_none_or(|known| known.as_json() != sid.as_json()) {
            let mut block = std::mem::take(&mut self.spare);
            if written.sid().is_some() {
                outlines.readdress(written, form, sid, &mut block);
            } else {
                let (payload, headers, reply) = (Payload::default(), Headers::EMPTY, None);
                let message = Message { topic, from: from.service(), payload, headers, reply };
                outlines.write_run(message, self.payloads(), form, sid, &mut block);
            }
            self.spare = std::mem::replace(&mut self.blocks[form.index()], block);
        }
        self.blocks[form.index()].first(messages)
    }
}
