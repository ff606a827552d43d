//! The bounds of a queue, and what it keeps of the order and the ends of its messages.

use bytes::Bytes;
use tokio::time::timeout;

use super::batch::RETAINED;
use super::*;
use crate::config::parse_policy;
use crate::identity::{ServiceIdentity, ServiceName};
use crate::policy::Policy;
use crate::protocol::{Headers, Payload, Sid};
use crate::routing::Router;
use crate::session::{Outlines, SessionId};
use crate::topic::{Pattern, Topic};

const OPEN_POLICY: &str = "[[grant]]\nname = \"all\"\nservices = [\"*\"]\nsubscribe = [\">\"]\n";

struct World {
    outbox: Arc<Outbox>,
    first: Arc<Subscription>,
    second: Arc<Subscription>,
    topic: Topic,
    from: ServiceName,
}

impl World {
    fn new(most_messages: usize, most_bytes: usize, form: Form) -> Self {
        let router = Router::default();
        let outbox = Arc::new(Outbox::new(most_messages, most_bytes, form));
        let grants = Policy::new(parse_policy(OPEN_POLICY).unwrap()).unwrap();
        let identity = ServiceIdentity::for_test("orders", "test", &[]);
        let subscribe = |sid: u64| {
            let permit =
                grants.grants(identity.service(), &[]).subscribe(&Pattern::parse("a").unwrap(), None);
            let sid = Sid::from_number(sid).unwrap();
            router.subscribe(permit.unwrap(), SessionId::random(), sid, true, outbox.clone(), 8).unwrap()
        };
        Self {
            first: subscribe(1),
            second: subscribe(2),
            outbox: outbox.clone(),
            topic: Topic::parse("a").unwrap(),
            from: ServiceName::parse("billing").unwrap(),
        }
    }

    fn deliver(&self, subscription: &Arc<Subscription>, payload: &[u8]) -> Queued {
        self.deliver_all(&[subscription], payload).remove(0)
    }

    fn deliver_all(&self, subscriptions: &[&Arc<Subscription>], payload: &[u8]) -> Vec<Queued> {
        let message = Message {
            topic: &self.topic,
            from: &self.from,
            payload: Payload::opaque(payload),
            headers: Headers::EMPTY,
            reply: None,
        };
        let (mut outlines, mut scratch) = (Outlines::default(), Vec::new());
        let mut encodings = Encodings::new(&message, Some(&mut outlines), &mut scratch);
        subscriptions.iter().map(|to| self.outbox.deliver(to, &mut encodings, None)).collect()
    }
}

const PLAIN: Form = Form::Nats(crate::protocol::nats::Form::Headerless);

#[test]
fn the_bound_holds_in_messages_and_a_session_that_overflowed_takes_nothing_more() {
    let world = World::new(2, usize::MAX, PLAIN);
    assert_eq!(world.deliver(&world.first, b"1"), Queued::First);
    assert_eq!(world.deliver(&world.first, b"2"), Queued::Behind);
    assert_eq!(world.deliver(&world.first, b"3"), Queued::Refused);
    let mut batch = Batch::default();
    assert!(world.outbox.has_overflowed() && world.outbox.take(&mut batch));
    batch.cut(usize::MAX, usize::MAX);
    world.outbox.take(&mut batch);
    assert_eq!(world.deliver(&world.first, b"4"), Queued::Refused);
}

#[test]
fn what_was_taken_counts_until_it_is_written() {
    let bytes = "MSG a 1 1\r\n1\r\n".len();
    let world = World::new(usize::MAX, 2 * Batch::load(1, bytes).bytes, PLAIN);
    world.deliver(&world.first, b"1");
    world.deliver(&world.first, b"2");
    let mut batch = Batch::default();
    world.outbox.take(&mut batch);
    assert_eq!(batch.cut(1, usize::MAX).bytes(), b"MSG a 1 1\r\n1\r\n");
    world.outbox.take(&mut batch);
    assert_eq!(world.deliver(&world.first, b"3"), Queued::First, "one is written");
    assert_eq!(world.deliver(&world.first, b"4"), Queued::Refused, "one is not");
}

#[test]
fn messages_keep_their_order_and_their_ends() {
    let world = World::new(usize::MAX, usize::MAX, PLAIN);
    for (to, payload) in
        [(&world.first, "1"), (&world.first, "22"), (&world.second, "3"), (&world.first, "4")]
    {
        world.deliver(to, payload.as_bytes());
    }
    let mut batch = Batch::default();
    world.outbox.take(&mut batch);
    let piece = batch.cut(1, usize::MAX);
    assert_eq!((piece.messages, piece.bytes()), (1, &b"MSG a 1 1\r\n1\r\n"[..]));
    let piece = batch.cut(usize::MAX, 1);
    assert_eq!((piece.messages, piece.bytes()), (1, &b"MSG a 1 2\r\n22\r\n"[..]));
    let Some(Item::Run(run)) = batch.front() else { panic!("a run") };
    assert!(Arc::ptr_eq(&run.subscription, &world.second));
    assert_eq!(batch.cut(usize::MAX, usize::MAX).bytes(), b"MSG a 2 1\r\n3\r\n");
    assert_eq!(batch.cut(usize::MAX, usize::MAX).bytes(), b"MSG a 1 1\r\n4\r\n");
    assert!(batch.is_empty() && batch.front().is_none());
}

/// The writer and a batch exchange their rooms where all of it goes at once; that must not be seen.
#[test]
fn what_is_cut_off_a_batch_reads_the_same_whatever_stood_before_and_stands_behind() {
    let message = |payload: &str| format!("MSG a 1 {}\r\n{payload}\r\n", payload.len());
    for (before, pong_behind, run_behind) in
        [("", false, false), ("", true, false), ("+OK\r\n", true, false), ("", true, true), ("", false, true)]
    {
        let world = World::new(usize::MAX, usize::MAX, PLAIN);
        let mut batch = Batch::default();
        for round in ["one", "another", ""] {
            let (mut out, mut expected) = (before.as_bytes().to_vec(), before.to_owned());
            for payload in [round, "x"] {
                world.deliver(&world.first, payload.as_bytes());
                expected += &message(payload);
            }
            if pong_behind {
                world.outbox.pong();
            }
            if run_behind {
                world.deliver(&world.second, b"behind");
                expected += "MSG a 2 6\r\nbehind\r\n";
            }
            assert!(world.outbox.take(&mut batch));
            while !batch.is_empty() {
                if !batch.take_pong() {
                    assert!(batch.cut(usize::MAX, usize::MAX).append_to(&mut out).is_none());
                }
            }
            assert_eq!(String::from_utf8(out), Ok(expected), "{before:?} {pong_behind} {run_behind}");
            assert!(!world.outbox.take(&mut batch));
            assert_eq!(world.outbox.lock().waiting, Load::default());
        }
    }
}

#[test]
fn the_room_of_a_batch_shrinks_by_and_by_and_not_below_what_small_ones_need() {
    let world = World::new(usize::MAX, usize::MAX, PLAIN);
    let mut batch = Batch::default();
    let mut pass = |messages: usize, bytes: usize| {
        (0..messages)
            .for_each(|_| assert_ne!(world.deliver(&world.first, &vec![b'x'; bytes]), Queued::Refused));
        assert!(world.outbox.take(&mut batch));
        batch.cut(usize::MAX, usize::MAX);
        // Once each for the batch that is filled and the one that is written.
        batch.reuse();
        batch.room()
    };
    let large = pass(30, 1000);
    assert!(large >= 30_000);
    assert_eq!((pass(30, 1000), pass(30, 1000)), (large, large), "what is used stays");
    assert!(pass(1, 10) < large);
    let small: Vec<_> = (0..12).map(|_| pass(1, 10)).collect();
    assert!(small[10..].iter().all(|room| (1..=RETAINED).contains(room)), "{small:?}");
    assert_eq!(pass(100, 1000), 0, "what is beyond all bounds is given back");
}

#[test]
fn messages_of_one_subscription_are_taken_together_up_to_what_is_enough() {
    let world = World::new(usize::MAX, usize::MAX, PLAIN);
    (0..10).for_each(|_| assert_ne!(world.deliver(&world.first, b"x"), Queued::Refused));
    let mut batch = Batch::default();
    world.outbox.take(&mut batch);
    assert_eq!(batch.cut(usize::MAX, 15).messages, 2);
    assert_eq!(batch.cut(usize::MAX, usize::MAX).messages, 8);
}

#[test]
fn the_end_of_a_large_message_is_shared_by_all_who_receive_it() {
    let world = World::new(usize::MAX, usize::MAX, Form::Json);
    world.deliver_all(&[&world.first, &world.second], &[b'1'; 10_000]);
    let mut batch = Batch::default();
    world.outbox.take(&mut batch);
    let shared: Vec<Bytes> = (0..2)
        .map(|_| {
            let piece = batch.cut(usize::MAX, usize::MAX);
            assert!(piece.messages == 1 && piece.bytes().len() < 100);
            piece.shared().expect("shared").clone()
        })
        .collect();
    assert_eq!(shared[0].as_ptr(), shared[1].as_ptr());
    assert!(shared[0].starts_with(br#","topic":"a","from":"billing","data":111"#));
}

#[test]
fn a_closed_outbox_takes_nothing_and_keeps_nothing() {
    let world = World::new(usize::MAX, usize::MAX, PLAIN);
    world.deliver(&world.first, b"1");
    world.outbox.close();
    assert_eq!(world.deliver(&world.first, b"2"), Queued::Refused);
    let mut batch = Batch::default();
    assert!(!world.outbox.take(&mut batch));
}

#[test]
fn rest_gives_the_room_of_a_burst_back() {
    let world = World::new(usize::MAX, usize::MAX, PLAIN);
    (0..1_000).for_each(|_| assert_ne!(world.deliver(&world.first, &[b'x'; 40]), Queued::Refused));
    let mut batch = Batch::default();
    world.outbox.take(&mut batch);
    while batch.front().is_some() {
        batch.cut(usize::MAX, usize::MAX);
    }
    world.outbox.rest(&mut batch);
    assert_eq!(batch.room(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_signal_is_not_lost_and_serves_one_wait() {
    let outbox = Outbox::new(1, 1, PLAIN);
    let is_signalled = || async { timeout(Duration::from_secs(1), outbox.signalled()).await.is_ok() };
    outbox.signal();
    outbox.signal();
    assert!(is_signalled().await, "before the wait");
    assert!(!is_signalled().await, "two before one wait are one");
    let (signalled, ()) = tokio::join!(is_signalled(), async { outbox.signal() });
    assert!(signalled, "during the wait");
}

/// What is counted in is what is counted out, in every form, with shared ends and without.
#[test]
fn nothing_counts_as_waiting_once_it_is_written() {
    for form in Form::ALL {
        let world = World::new(usize::MAX, usize::MAX, form);
        for bytes in [0, 100, 125, 126, 200, 5_000, 70_000] {
            world.deliver_all(&[&world.first, &world.second], &vec![b'1'; bytes]);
            world.outbox.pong();
        }
        let mut batch = Batch::default();
        world.outbox.take(&mut batch);
        assert_ne!(world.outbox.lock().waiting, Load::default());
        while batch.front().is_some() {
            if !batch.take_pong() {
                batch.cut(usize::MAX, usize::MAX);
            }
        }
        world.outbox.take(&mut batch);
        assert_eq!(world.outbox.lock().waiting, Load::default(), "{form:?}");
    }
}
