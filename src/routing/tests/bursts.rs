//! A burst is a way to send messages, not another meaning of them: it is held against the same messages one by one.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::protocol::nats;

/// A session with some subscriptions to what is published.
#[derive(Debug, Clone)]
struct Hearer {
    form: Form,
    /// Of each, its group, after how many messages it ends, and whether it hears the session's own.
    subscriptions: Vec<(Option<&'static str>, u64, bool)>,
    is_sender: bool,
    most_messages: usize,
}

fn any_hearer() -> impl Strategy<Value = Hearer> {
    let subscription = (select(vec![None, None, Some("workers"), Some("others")]), 1_u64..12, any::<bool>());
    let subscriptions = prop::collection::vec(subscription, 0..4);
    let most = prop_oneof![1 => 1_usize..20, 3 => Just(usize::MAX)];
    (select(&Form::ALL[..]), subscriptions, prop::bool::weighted(0.2), most).prop_map(
        |(form, subscriptions, is_sender, most_messages)| Hearer {
            form,
            subscriptions,
            is_sender,
            most_messages,
        },
    )
}

/// What each hearer has in its queue for each of its subscriptions, and who overflowed.
type Heard = Vec<(Vec<(String, Vec<u8>)>, bool)>;

fn heard(hearers: &[Hearer], send: impl FnOnce(&Router, &Peer, &mut Lane, &mut Turn)) -> Heard {
    let (router, sender) = (Router::default(), Peer::new("orders"));
    let peers: Vec<Peer> = hearers
        .iter()
        .map(|hearer| {
            let outbox = Outbox::new(hearer.most_messages, usize::MAX, hearer.form);
            let id = if hearer.is_sender { sender.id } else { SessionId::random() };
            let peer = Peer { id, outbox: Arc::new(outbox), ..Peer::new("orders") };
            for (place, (group, most, echo)) in (0..).zip(&hearer.subscriptions) {
                let sid = 10_u64.pow(place);
                let permit = peer.permit("a.b", *group);
                peer.subscribe_as(&router, sid, permit, *echo).unwrap().end_after(*most);
            }
            peer
        })
        .collect();
    let mut lane = sender.lane(&router, "a.b");
    send(&router, &sender, &mut lane, &mut Turn::default());
    peers
        .iter()
        .map(|peer| {
            let (mut batch, mut all) = (Batch::default(), std::collections::BTreeMap::new());
            while peer.outbox.take(&mut batch) {
                let Some(Item::Run(run)) = batch.front() else { panic!("only messages were published") };
                let of: &mut Vec<u8> = all.entry(run.subscription.sid().to_string()).or_default();
                of.extend_from_slice(batch.cut(usize::MAX, usize::MAX).bytes());
            }
            (all.into_iter().collect(), peer.outbox.has_overflowed())
        })
        .collect()
}

proptest! {
    #[test]
    fn a_burst_reaches_whom_its_messages_would_one_by_one(
        hearers in prop::collection::vec(any_hearer(), 1..6),
        payloads in prop::collection::vec("[0-9]{1,4}|\\PC{0,30}", 1..10),
        form in select(&[PayloadForm::Opaque, PayloadForm::Binary][..]),
    ) {
        let one_by_one = heard(&hearers, |router, sender, lane, turn| {
            for text in &payloads {
                let payload = Payload::of(text.as_bytes(), form);
                router.publish(lane, Parcel { payload, ..sender.parcel() }, turn);
            }
        });
        let in_a_burst = heard(&hearers, |router, sender, lane, turn| {
            let mut burst = Burst::default();
            for text in &payloads {
                let payload = Payload::of(text.as_bytes(), form);
                if burst.takes_more(&payload) {
                    burst.add(&payload);
                } else {
                    assert!(burst.is_empty());
                    burst.begin(&payload, lane.receivers());
                }
            }
            router.publish_burst(lane, &mut burst, &sender.identity, sender.id, turn);
            assert!(burst.is_empty());
        });
        for ((one, alone), (other, together)) in one_by_one.iter().zip(&in_a_burst) {
            prop_assert_eq!(alone, together);
            // Of who overflows nothing more is written.
            if !alone {
                prop_assert_eq!(one, other);
            }
        }
    }
}

#[test]
fn a_burst_takes_payloads_of_one_form_until_it_is_due() {
    let (opaque, binary) = (Payload::opaque(&b"x"[..]), Payload::binary(&b"x"[..]));
    let filled = |receivers: usize, payload: &Payload<'_>| {
        let (mut burst, mut count) = (Burst::default(), 1);
        burst.begin(payload, receivers);
        while burst.takes_more(payload) {
            burst.add(payload);
            count += 1;
        }
        assert!(!burst.takes_more(&Payload::of(payload.bytes(), PayloadForm::Json)));
        count
    };
    assert_eq!(filled(1, &opaque), 512);
    assert_eq!(filled(100, &binary), 40, "offers are bounded");
    assert_eq!(filled(1_000_000, &opaque), 1);
    assert_eq!(filled(1, &Payload::opaque(vec![0; 4000])), 9, "bytes are bounded");
    let mut burst = Burst::default();
    assert!(!burst.takes_more(&opaque), "it has not begun");
    burst.begin(&opaque, 1);
    assert!(burst.takes_more(&opaque));
    assert!(!burst.takes_more(&binary));
    assert!(!burst.takes_more(&Payload::opaque(vec![0; 5000])), "what is shared goes alone");
}

#[test]
fn each_receiver_reads_its_own_sid_in_its_own_form() {
    let stamped = Form::Nats(nats::Form::Stamped);
    let hearer = |form, subscriptions| Hearer { form, subscriptions, is_sender: false, most_messages: 9 };
    let two = vec![(None, 9, true), (None, 9, true)];
    let hearers = [hearer(stamped, two.clone()), hearer(Form::Json, two.clone()), hearer(stamped, two)];
    let all = heard(&hearers, |router, sender, lane, turn| {
        let mut burst = Burst::default();
        burst.begin(&Payload::default(), lane.receivers());
        router.publish_burst(lane, &mut burst, &sender.identity, sender.id, turn);
    });
    assert_eq!(all[0], all[2]);
    let first = |place: usize| String::from_utf8_lossy(&all[place].0[0].1).into_owned();
    let block = "NATS/1.0\r\nPortcullis-From: orders\r\n\r\n";
    assert_eq!(first(0), format!("HMSG a.b 1 {0} {0}\r\n{block}\r\n", block.len()));
    assert!(first(1).contains(r#""sid":1"#), "{}", first(1));
    assert!(all[0].0[1].1.starts_with(b"HMSG a.b 10 "));
}
