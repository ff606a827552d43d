//! Routing as a specification: who receives what, in tables; `model` compares random sequences with a naive model.

mod bursts;
mod model;
mod threads;

use std::sync::LazyLock;

use super::*;
use crate::config::parse_policy;
use crate::identity::ServiceIdentity;
use crate::policy::{GroupName, Policy, ReplyRights};
use crate::protocol::{Form, Headers, Payload, PayloadForm};
use crate::session::{Batch, Item};

const INBOX: &str = "_INBOX.0123456789abcdef";

/// `quiet` hears nothing secret; `workers` is one group for `orders` and `billing`.
const POLICY: &str = r#"
    [[grant]]
    name = "everything"
    services = ["*"]
    publish = [">", "$x.>"]
    subscribe = [">", "$x.>"]

    [[grant]]
    name = "shared"
    services = ["orders", "billing"]
    groups = ["workers"]

    [[grant]]
    name = "nothing-secret"
    services = ["quiet"]
    deny_subscribe = ["a.secret", "*.*.secret"]
"#;

static RIGHTS: LazyLock<Policy> = LazyLock::new(|| Policy::new(parse_policy(POLICY).unwrap()).unwrap());

fn topic(text: &str) -> Topic {
    Topic::parse(text).unwrap()
}

/// A session of a service, as the router sees it.
struct Peer {
    identity: ServiceIdentity,
    id: SessionId,
    outbox: Arc<Outbox>,
}

impl Peer {
    fn new(service: &str) -> Self {
        let identity = ServiceIdentity::for_test(service, "test", &[]);
        Self {
            identity,
            id: SessionId::random(),
            outbox: Arc::new(Outbox::new(usize::MAX, usize::MAX, Form::Json)),
        }
    }

    fn permit(&self, pattern: &str, group: Option<&str>) -> SubscribePermit {
        let group = group.map(|name| GroupName::parse(name).unwrap());
        let grants = RIGHTS.grants(self.identity.service(), &[]);
        grants.subscribe(&Pattern::parse(pattern).unwrap(), group.as_ref()).unwrap()
    }

    fn subscribe(&self, router: &Router, sid: u64, pattern: &str) -> Arc<Subscription> {
        self.subscribe_as(router, sid, self.permit(pattern, None), true).unwrap()
    }

    fn join(&self, router: &Router, sid: u64, pattern: &str, group: &str) -> Arc<Subscription> {
        self.subscribe_as(router, sid, self.permit(pattern, Some(group)), true).unwrap()
    }

    fn subscribe_as(
        &self,
        router: &Router,
        sid: u64,
        permit: SubscribePermit,
        echo: bool,
    ) -> Result<Arc<Subscription>, InboxError> {
        let sid = Sid::from_number(sid).unwrap();
        router.subscribe(permit, self.id, sid, echo, self.outbox.clone(), 8)
    }

    fn lane(&self, router: &Router, topic_text: &str) -> Lane {
        let grants = RIGHTS.grants(self.identity.service(), &[]);
        router.lane(grants.publish(&topic(topic_text)).unwrap())
    }

    fn parcel(&self) -> Parcel<'_> {
        let (payload, headers) = (Payload::binary(&b"x"[..]), Headers::default());
        let (from, session) = (&self.identity, self.id);
        Parcel { from, session, payload, headers, reply: None, answer_within: None }
    }

    fn publish_on(&self, router: &Router, lane: &mut Lane) -> usize {
        router.publish(lane, self.parcel(), &mut Turn::default())
    }

    /// Publishes under a lane of its own.
    fn publish(&self, router: &Router, topic: &str) -> usize {
        self.publish_on(router, &mut self.lane(router, topic))
    }

    /// The sids of the messages that came since the last call, in order.
    fn heard(&self) -> Vec<u64> {
        let (mut batch, mut heard) = (Batch::default(), Vec::new());
        while self.outbox.take(&mut batch) {
            let Some(Item::Run(run)) = batch.front() else { panic!("only messages were published") };
            let sid: u64 = run.subscription.sid().as_str().parse().unwrap();
            let messages = batch.cut(usize::MAX, usize::MAX).messages;
            heard.extend(std::iter::repeat_n(sid, messages));
        }
        heard
    }

    /// The answers to the session's requests that came since the last call, each with the number of its request.
    fn answers(&self) -> Vec<(u64, String)> {
        let (mut batch, mut answers) = (Batch::default(), Vec::new());
        while self.outbox.take(&mut batch) {
            let Some(Item::Response { request, .. }) = batch.front() else {
                panic!("only answers were sent")
            };
            let request = *request;
            answers.push((request, String::from_utf8(batch.take_response().unwrap()).unwrap()));
        }
        answers
    }
}

#[test]
fn every_matching_subscription_receives_each_message_once() {
    let router = Router::default();
    let (orders, billing) = (Peer::new("orders"), Peer::new("billing"));
    for (sid, pattern) in [(1, "a.b"), (2, "a.*"), (3, ">"), (4, "a.c"), (5, "*.b"), (6, "a.b")] {
        orders.subscribe(&router, sid, pattern);
    }
    billing.subscribe(&router, 1, "a.>");
    assert_eq!(billing.publish(&router, "a.b"), 6);
    let mut heard = orders.heard();
    heard.sort_unstable();
    assert_eq!((heard, billing.heard()), (vec![1, 2, 3, 5, 6], vec![1]));
    assert_eq!(router.subscriptions(), 7);
}

#[test]
fn a_wildcard_in_first_place_hears_no_reserved_topic() {
    let router = Router::default();
    let orders = Peer::new("orders");
    orders.subscribe(&router, 1, ">");
    orders.subscribe(&router, 2, "*.a");
    orders.subscribe(&router, 3, "$x.*");
    assert_eq!(orders.publish(&router, "$x.a"), 1);
    assert_eq!(orders.heard(), [3]);
}

#[test]
fn without_echo_a_session_does_not_hear_itself_but_its_sibling_does() {
    let router = Router::default();
    let (first, second) = (Peer::new("orders"), Peer::new("orders"));
    for peer in [&first, &second] {
        peer.subscribe_as(&router, 1, peer.permit("a", None), false).unwrap();
    }
    assert_eq!(first.publish(&router, "a"), 1);
    assert_eq!((first.heard(), second.heard()), (vec![], vec![1]));
}

#[test]
fn each_group_gives_a_message_to_one_member_and_takes_turns() {
    let router = Router::default();
    let (orders, billing, quiet) = (Peer::new("orders"), Peer::new("billing"), Peer::new("quiet"));
    orders.join(&router, 1, "jobs.*", "workers");
    billing.join(&router, 1, "jobs.>", "workers");
    // The group of this name belongs to `quiet` alone: it steals nothing from the shared one.
    quiet.join(&router, 1, "jobs.*", "workers");
    // A second group of one of them.
    orders.join(&router, 2, "jobs.a", "others");
    let mut lane = orders.lane(&router, "jobs.a");
    for _ in 0..10 {
        assert_eq!(orders.publish_on(&router, &mut lane), 3);
    }
    let by_orders = orders.heard();
    let count = |sid| by_orders.iter().filter(|heard| **heard == sid).count();
    assert_eq!((count(1), count(2), billing.heard().len(), quiet.heard().len()), (5, 10, 5, 10));
}

#[test]
fn a_group_passes_over_members_that_cannot_take_the_message() {
    let router = Router::default();
    let (sender, gone, ended, able) =
        (Peer::new("orders"), Peer::new("orders"), Peer::new("orders"), Peer::new("orders"));
    sender.subscribe_as(&router, 1, sender.permit("a", Some("g")), false).unwrap();
    gone.join(&router, 1, "a", "g");
    gone.outbox.close();
    assert!(!ended.join(&router, 1, "a", "g").end_after(1));
    able.join(&router, 1, "a", "g");
    for _ in 0..20 {
        assert_eq!(sender.publish(&router, "a"), 1);
    }
    assert_eq!((sender.heard().len(), ended.heard().len(), able.heard().len()), (0, 1, 19));
}

#[test]
fn each_of_many_groups_has_the_message_once() {
    let (router, sender) = (Router::default(), Peer::new("orders"));
    let members: Vec<_> = (0..3).map(|_| Peer::new("orders")).collect();
    for (sid, member) in members.iter().enumerate() {
        for group in 0..40 {
            member.join(&router, sid as u64, "a", &format!("g{group}"));
        }
    }
    let mut lane = sender.lane(&router, "a");
    for _ in 0..3 {
        assert_eq!(sender.publish_on(&router, &mut lane), 40);
    }
    let heard: Vec<_> = members.iter().map(|member| member.heard().len()).collect();
    assert_eq!(heard, [40, 40, 40], "in turns");
}

#[test]
fn what_a_deny_takes_out_of_a_subscription_is_not_delivered_and_not_counted() {
    let router = Router::default();
    let (orders, quiet) = (Peer::new("orders"), Peer::new("quiet"));
    quiet.subscribe(&router, 1, "a.>");
    assert_eq!(orders.publish(&router, "a.secret"), 0);
    assert_eq!(orders.publish(&router, "a.b.secret"), 0);
    assert_eq!(orders.publish(&router, "a.b"), 1);
    assert_eq!(quiet.heard(), [1]);
}

#[test]
fn a_lane_follows_every_change_of_its_receivers() {
    let router = Router::default();
    let (orders, billing) = (Peer::new("orders"), Peer::new("billing"));
    let mut lane = orders.lane(&router, "a.secret");
    assert_eq!(orders.publish_on(&router, &mut lane), 0);
    let literal = billing.subscribe(&router, 1, "a.secret");
    assert_eq!(orders.publish_on(&router, &mut lane), 1);
    let wild = billing.subscribe(&router, 2, "*.secret");
    assert_eq!(orders.publish_on(&router, &mut lane), 2);
    // A permit of the same pattern that filters the topic out, as after a change of the policy.
    router.repermit(&wild, Peer::new("quiet").permit("*.secret", None));
    assert_eq!(orders.publish_on(&router, &mut lane), 1);
    router.repermit(&wild, billing.permit("*.secret", None));
    assert_eq!(orders.publish_on(&router, &mut lane), 2);
    router.unsubscribe(&literal);
    router.unsubscribe(&wild);
    assert_eq!((orders.publish_on(&router, &mut lane), router.subscriptions()), (0, 0));
}

#[test]
fn a_new_permit_moves_a_subscription_to_another_group() {
    let router = Router::default();
    let (orders, billing) = (Peer::new("orders"), Peer::new("billing"));
    let moving = orders.join(&router, 1, "a", "workers");
    billing.join(&router, 1, "a", "workers");
    let mut lane = orders.lane(&router, "a");
    assert_eq!(orders.publish_on(&router, &mut lane), 1);
    router.repermit(&moving, orders.permit("a", Some("others")));
    assert_eq!(orders.publish_on(&router, &mut lane), 2);
}

#[test]
fn an_ended_subscription_receives_nothing_even_from_a_lane_that_is_stale() {
    let router = Router::default();
    let orders = Peer::new("orders");
    let subscription = orders.subscribe(&router, 1, "a");
    let mut lane = orders.lane(&router, "a");
    router.unsubscribe(&subscription);
    assert!(subscription.admit(1) == 0);
    assert_eq!(lane.send(orders.parcel(), &mut Turn::default()), 0);
}

#[test]
fn a_closed_outbox_takes_nothing() {
    let router = Router::default();
    let (orders, billing) = (Peer::new("orders"), Peer::new("billing"));
    orders.subscribe(&router, 1, "a");
    billing.subscribe(&router, 1, "a");
    billing.outbox.close();
    assert_eq!((orders.publish(&router, "a"), billing.heard()), (1, vec![]));
}

#[test]
fn an_inbox_belongs_to_the_first_service_that_subscribes() {
    let router = Router::default();
    let (first, sibling, other) = (Peer::new("orders"), Peer::new("orders"), Peer::new("billing"));
    let inbox = format!("{INBOX}.>");
    let subscription = first.subscribe(&router, 1, &inbox);
    assert!(sibling.subscribe_as(&router, 1, sibling.permit(&inbox, None), true).is_ok());
    router.unsubscribe(&subscription);
    for pattern in [INBOX, &inbox, &format!("{INBOX}.1")] {
        let taken = other.subscribe_as(&router, 1, other.permit(pattern, None), true);
        assert_eq!(taken.err(), Some(InboxError::Taken), "{pattern}");
    }
    assert!(router.inboxes().is_owned_by("0123456789abcdef", first.identity.service()));
    for number in 0..8 {
        other.subscribe(&router, number, &format!("_INBOX.other-inbox-of-its-own-{number}"));
    }
    let one_more = other.subscribe_as(&router, 9, other.permit("_INBOX.one-inbox-too-many", None), true);
    assert_eq!(one_more.err(), Some(InboxError::TooMany { most: 8 }));
}

/// The permit that a reply right to `reply` gives.
fn reply_permit(reply: &Topic) -> PublishPermit {
    let now = std::time::Instant::now();
    let mut rights = ReplyRights::new(1);
    assert!(rights.grant(reply.clone(), now + Duration::from_secs(1), 1, now));
    rights.take(reply.as_str(), now).unwrap()
}

fn respond(router: &Router, from: &Peer, reply: &Topic) -> usize {
    router.respond(reply_permit(reply), from.parcel(), &mut Turn::default())
}

#[test]
fn an_answer_reaches_the_session_that_asked_with_the_number_of_its_request() {
    let router = Router::default();
    let (asker, answerer) = (Peer::new("orders"), Peer::new("billing"));
    let token = requester_token([7; 16]);
    router.register_requester(&token, asker.outbox.clone());
    let reply = requester_topic(&token, 42).unwrap();
    assert_eq!(respond(&router, &answerer, &reply), 1);
    assert_eq!(asker.answers(), [(42, r#","from":"billing","data_base64":"eA=="}"#.into())]);

    router.forget_requester(&token);
    assert_eq!(respond(&router, &answerer, &reply), 0);
    assert!(asker.answers().is_empty());
}

/// Whoever answers a request learns where its answer goes. It must neither hear the answers of others there nor name
/// that place in a request of its own.
#[test]
fn nobody_subscribes_to_an_inbox_of_the_gateway() {
    let router = Router::default();
    let (asker, nosy) = (Peer::new("orders"), Peer::new("billing"));
    let token = requester_token([7; 16]);
    router.register_requester(&token, asker.outbox.clone());
    let pattern = format!("{INBOX_PREFIX}.{token}.>");
    for peer in [&nosy, &asker] {
        let taken = peer.subscribe_as(&router, 1, peer.permit(&pattern, None), true);
        assert_eq!(taken.err(), Some(InboxError::Taken));
        assert!(!router.inboxes().is_owned_by(&token, peer.identity.service()));
    }
    router.forget_requester(&token);
    assert!(nosy.subscribe_as(&router, 1, nosy.permit(&pattern, None), true).is_err());
}

#[test]
fn an_answer_to_an_inbox_reaches_whoever_subscribed_there() {
    let router = Router::default();
    let (asker, answerer) = (Peer::new("orders"), Peer::new("billing"));
    let reply = topic(&format!("{INBOX}.1"));
    assert_eq!(respond(&router, &answerer, &reply), 0);
    asker.subscribe(&router, 3, &format!("{INBOX}.*"));
    assert_eq!(respond(&router, &answerer, &reply), 1);
    assert_eq!(asker.heard(), [3]);
}

/// Answers go to one inbox after another; whoever listens there when one comes hears it, and nobody else does.
#[test]
fn answers_follow_every_change_of_their_hearers() {
    let router = Router::default();
    let (asker, other, answerer) = (Peer::new("orders"), Peer::new("orders"), Peer::new("billing"));
    let mut turn = Turn::default();
    let mut answer = |reply: &str| router.respond(reply_permit(&topic(reply)), answerer.parcel(), &mut turn);
    let reply = |number: u64| format!("{INBOX}.{number}");
    asker.subscribe(&router, 1, &format!("{INBOX}.*"));
    assert_eq!((answer(&reply(1)), answer(&reply(2))), (1, 1));
    assert_eq!(asker.heard(), [1, 1]);

    let literal = other.subscribe(&router, 2, &reply(3));
    assert_eq!([1, 2, 3, 4].map(|number| answer(&reply(number))), [1, 1, 2, 1]);
    assert_eq!((asker.heard().len(), other.heard()), (4, vec![2]));
    router.unsubscribe(&literal);
    assert_eq!((answer(&reply(3)), answer(&reply(4))), (1, 1));
    assert_eq!((asker.heard().len(), other.heard()), (2, vec![]));

    // Another inbox, from where nobody hears what goes to the first.
    let elsewhere = "_INBOX.another-inbox-than-that";
    assert_eq!(answer(&format!("{elsewhere}.1")), 0);
    other.subscribe(&router, 3, &format!("{elsewhere}.>"));
    assert_eq!((answer(&format!("{elsewhere}.1")), answer(&reply(1)), answer(elsewhere)), (1, 1, 0));
    assert_eq!((asker.heard(), other.heard()), (vec![1], vec![3]));
}

/// Inboxes that end in their own token have their siblings elsewhere.
#[test]
fn an_answer_to_an_inbox_itself_says_nothing_of_others() {
    let router = Router::default();
    let (asker, answerer) = (Peer::new("orders"), Peer::new("billing"));
    let mut turn = Turn::default();
    let inboxes: Vec<_> = (0..64).map(|number| format!("_INBOX.0123456789abcdef{number}")).collect();
    for (sid, inbox) in inboxes.iter().enumerate().skip(1).take(7) {
        asker.subscribe(&router, sid as u64, inbox);
    }
    let heard =
        inboxes.iter().map(|inbox| router.respond(reply_permit(&topic(inbox)), answerer.parcel(), &mut turn));
    assert_eq!(heard.sum::<usize>(), 7);
    assert_eq!(asker.heard(), [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn members_of_a_group_take_turns_with_answers_too_and_follow_their_permits() {
    let router = Router::default();
    let (one, other, answerer) = (Peer::new("orders"), Peer::new("orders"), Peer::new("billing"));
    let wild = Pattern::parse(&format!("{INBOX}.*")).unwrap();
    let mut turn = Turn::default();
    let mut answer = |number: u64| {
        let reply = topic(&format!("{INBOX}.{number}"));
        router.respond(reply_permit(&reply), answerer.parcel(), &mut turn)
    };
    let moving = one.join(&router, 1, wild.as_str(), "g");
    other.join(&router, 2, wild.as_str(), "g");
    assert!((0..6).all(|number| answer(number) == 1));
    assert_eq!((one.heard().len(), other.heard().len()), (3, 3));
    router.repermit(&moving, one.permit(wild.as_str(), Some("h")));
    assert!((0..6).all(|number| answer(number) == 2));
    assert_eq!((one.heard().len(), other.heard().len()), (6, 6));
}

#[test]
fn the_room_of_many_hearers_is_given_back_at_the_end_of_the_turn() {
    let router = Router::default();
    let (asker, answerer) = (Peer::new("orders"), Peer::new("billing"));
    for sid in 0..2_000 {
        asker.subscribe(&router, sid, &format!("{INBOX}.*"));
    }
    asker.subscribe(&router, 2_000, "_INBOX.another-inbox-than-that.*");
    let mut turn = Turn::default();
    let mut answer = |reply: &str| router.respond(reply_permit(&topic(reply)), answerer.parcel(), &mut turn);
    assert_eq!((answer(&format!("{INBOX}.1")), answer("_INBOX.another-inbox-than-that.1")), (2_000, 1));
    assert!(turn.hearers.matched.room() >= 2_000);
    turn.end();
    assert_eq!(turn.hearers.matched.room(), 0);
}
