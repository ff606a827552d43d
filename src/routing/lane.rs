//! Who receives what is published on one topic, and how it gets there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::turn::Wakeups;
use super::{Burst, Parcel, Subscription, Turn};
use crate::identity::ServiceIdentity;
use crate::policy::{GroupScope, PublishPermit};
use crate::session::{Encodings, Outlines, SessionId};
use crate::topic::Topic;

/// One publisher's way to the receivers of one topic: its permit, who matched at which version, and what all of its messages
/// have in common.
pub struct Lane {
    pub(super) permit: PublishPermit,
    pub(super) outlines: Outlines,
    pub(super) matched: Matched,
    pub(super) shard: usize,
    pub(super) shard_version: u64,
    pub(super) wild_version: u64,
}

/// Groups that are looked through; more of them are found by their scope.
const FEW_GROUPS: usize = 8;

/// Where each group is among those found so far, once they are more than a few.
pub(super) type GroupPlaces = HashMap<GroupScope, usize>;

/// The subscriptions whose patterns match a topic.
#[derive(Default)]
pub(super) struct Matched {
    pub(super) direct: Vec<Arc<Subscription>>,
    pub(super) groups: Vec<(GroupScope, Vec<Arc<Subscription>>)>,
    /// Members of all groups together.
    members: usize,
    /// What it took to find them: nodes of the index and subscriptions, for whoever counts.
    pub(super) work: usize,
    /// Whether others may match a topic that has another last token.
    pub(super) depend_on_last_token: bool,
    /// Where in a group the next look for a member begins.
    pub(super) next_member: usize,
}

/// Who hears answers, as it was found for the one before: answers to one client go to topics that differ in their last token. No deny
/// of the policy tells those apart, because none reaches into inboxes.
#[derive(Default)]
pub(super) struct Hearers {
    /// Where that one went, if it was within an inbox.
    topic: Option<Topic>,
    pub(super) matched: Matched,
    pub(super) shard: usize,
    pub(super) versions: (u64, u64),
}

/// A parcel with its topic, as it goes to every receiver.
pub(super) struct Addressed<'m> {
    pub(super) encodings: Encodings<'m>,
    pub(super) session: SessionId,
    pub(super) answer_within: Option<Duration>,
    pub(super) wakeups: &'m mut Wakeups,
}

impl Lane {
    /// Subscriptions that it led to when it was last looked at.
    pub fn receivers(&self) -> usize {
        self.matched.len()
    }

    /// What it took since the last call to find them.
    pub(super) fn take_work(&mut self) -> usize {
        std::mem::take(&mut self.matched.work)
    }

    /// The permit that opened it.
    pub fn permit(&self) -> &PublishPermit {
        &self.permit
    }

    pub(super) fn send(&mut self, parcel: Parcel<'_>, turn: &mut Turn) -> usize {
        let (session, answer_within) = (parcel.session, parcel.answer_within);
        let message = parcel.message(self.permit.topic());
        let Turn { scratch, wakeups, .. } = turn;
        let encodings = Encodings::new(&message, Some(&mut self.outlines), scratch);
        self.matched.deliver(&mut Addressed { encodings, session, answer_within, wakeups })
    }

    pub(super) fn send_burst(
        &mut self,
        burst: &mut Burst,
        from: &ServiceIdentity,
        session: SessionId,
        wakeups: &mut Wakeups,
    ) {
        let Self { permit, outlines, matched, .. } = self;
        let messages = burst.len();
        for subscription in matched.direct.iter().filter(|subscription| subscription.wants_from(session)) {
            wakeups.count(messages);
            let taken = subscription.admit(messages);
            if taken == 0 {
                continue;
            }
            let (outbox, sid, topic) = (subscription.outbox(), subscription.sid(), permit.topic());
            let (bytes, lengths) = burst.encoded(taken, outbox.form(), sid, topic, from, outlines);
            wakeups.note(outbox.deliver_burst(subscription, topic, bytes, lengths), outbox);
        }
    }
}

impl Hearers {
    /// Whether they are those of `topic` too, unless subscriptions changed.
    pub(super) fn are_of(&self, topic: &Topic) -> bool {
        !self.matched.depend_on_last_token
            && self.topic.as_ref().is_some_and(|before| topic.is_sibling_of(before))
    }

    /// Forgets them if they cannot be those of another topic.
    pub(super) fn settle(&mut self) {
        if self.matched.depend_on_last_token || self.topic.is_none() {
            self.topic = None;
            self.matched.clear();
        }
    }

    /// Forgets them, and leaves their room to those of `topic`.
    pub(super) fn begin(&mut self, topic: &Topic, shard: usize, versions: (u64, u64)) {
        self.topic = topic.is_within_inbox().then(|| topic.clone());
        (self.shard, self.versions) = (shard, versions);
        self.matched.clear();
    }
}

impl Matched {
    pub(super) fn len(&self) -> usize {
        self.direct.len() + self.members
    }

    /// For so many subscriptions it holds room.
    pub(super) fn room(&self) -> usize {
        self.direct.capacity()
            + self.groups.iter().map(|(_, members)| members.capacity()).sum::<usize>()
            + self.groups.capacity()
    }

    /// Leaves its room to the next look-up.
    pub(super) fn clear(&mut self) {
        self.direct.clear();
        self.groups.clear();
        (self.members, self.work, self.depend_on_last_token) = (0, 0, false);
    }

    /// Adds one whose pattern matches. `places` are those of one look-up.
    pub(super) fn add(&mut self, topic: &Topic, subscription: &Arc<Subscription>, places: &mut GroupPlaces) {
        self.work += 1;
        if subscription.filters(topic) {
            return;
        }
        let Some(scope) = subscription.group() else {
            self.direct.push(subscription.clone());
            return;
        };
        self.members += 1;
        if self.groups.len() == FEW_GROUPS && places.is_empty() {
            places.extend(self.groups.iter().enumerate().map(|(place, (scope, _))| (scope.clone(), place)));
        }
        let place = match places.is_empty() {
            true => self.groups.iter().position(|(known, _)| *known == scope),
            false => places.get(&scope).copied(),
        };
        if let Some((_, members)) = place.and_then(|place| self.groups.get_mut(place)) {
            members.push(subscription.clone());
            return;
        }
        if !places.is_empty() {
            places.insert(scope.clone(), self.groups.len());
        }
        self.groups.push((scope, vec![subscription.clone()]));
    }

    pub(super) fn deliver(&mut self, parcel: &mut Addressed<'_>) -> usize {
        let to_all = self.direct.iter().filter(|subscription| parcel.offer(subscription)).count();
        if self.groups.is_empty() {
            return to_all;
        }
        self.next_member = self.next_member.wrapping_add(1);
        let to_one_each = self.groups.iter().filter(|(_, members)| {
            let start = self.next_member.checked_rem(members.len()).unwrap_or(0);
            let (before, from) = members.split_at(start);
            from.iter().chain(before).any(|member| parcel.offer(member))
        });
        to_all + to_one_each.count()
    }
}

impl Addressed<'_> {
    /// Offers the parcel to one subscription. Whether it was taken.
    fn offer(&mut self, subscription: &Arc<Subscription>) -> bool {
        self.wakeups.count(1);
        if !subscription.wants_from(self.session) || subscription.admit(1) == 0 {
            return false;
        }
        let outbox = subscription.outbox();
        let queued = outbox.deliver(subscription, &mut self.encodings, self.answer_within);
        self.wakeups.note(queued, outbox)
    }
}
