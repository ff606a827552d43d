//! Everything that can be rotated is, over and over, while sessions stream and others come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::harness::{Ca, Closed, Harness, Issued, Peer, Profile};
use crate::messaging::{open, publication, subscribe};
use crate::reload::{faults, shown, tried, trust};

const STREAMS: usize = 50;
/// Four kinds of rotation, each so often.
const ROUNDS: u64 = 26;

/// One session of a ring: publishes its own numbers and checks those of the session before it. At the end it says how
/// many there were, and hears the same. Returns how many it received.
async fn stream(mut peer: Peer, place: usize, stop: Arc<AtomicBool>) -> u64 {
    let own = format!("ring.{place}");
    let (mut sent, mut received) = (0, 0);
    let mut pace = interval(Duration::from_millis(15));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut has_ended, mut has_heard_the_end) = (false, false);
    while !(has_ended && has_heard_the_end) {
        tokio::select! {
            _ = pace.tick(), if !has_ended => {
                has_ended = stop.load(Ordering::SeqCst);
                let data = if has_ended { json!({"end": sent}) } else { json!(sent) };
                peer.send(publication(&own, data)).await;
                sent += 1;
            }
            message = peer.next(), if !has_heard_the_end => {
                assert_eq!(message["op"], "msg", "{message}");
                has_heard_the_end = message["data"].is_object();
                let number = if has_heard_the_end { &message["data"]["end"] } else { &message["data"] };
                assert_eq!(number, received, "of {}", message["topic"]);
                received += u64::from(!has_heard_the_end);
            }
        }
    }
    // Its own end must be out before it closes.
    peer.nothing_came().await;
    received
}

/// Connects, asks who it is and goes, again and again. How often it did; any failure is a panic.
fn visits(harness: &Arc<Harness>, stop: &Arc<AtomicBool>, count: &Arc<AtomicU64>) -> JoinHandle<()> {
    let (harness, stop, count) = (harness.clone(), stop.clone(), count.clone());
    tokio::spawn(async move {
        let issued = harness.pki.issue(&Profile::service("visitor", &[]));
        while !stop.load(Ordering::SeqCst) {
            let mut visitor = harness.connect_as(&issued).await;
            let answer = visitor.ok(r#"{"op":"whoami","id":1}"#).await;
            assert_eq!(answer["service"], "visitor");
            visitor.close().await;
            count.fetch_add(1, Ordering::SeqCst);
        }
    })
}

/// Waits for the generation that the files' change brings, and for the rest of it if it came in parts.
async fn installed(harness: &Harness, before: u64) {
    harness.generation_at_least(before + 1).await;
    tried(harness).await;
    assert_eq!(faults(harness), Vec::<String>::new());
}

/// One rotation of each kind. Each shows in what a client sees, and in the generation's number.
async fn rotate(harness: &Harness, client: &Issued, second: &Ca) {
    let number = || harness.gateway().generation_number();

    let before = number();
    let pair = harness.pki.rotate_gateway();
    installed(harness, before).await;
    assert_eq!(shown(harness, client).await, pair.chain[0]);

    let before = number();
    trust(harness, &[&harness.pki.ca, second]);
    installed(harness, before).await;
    let mut guest = harness.connect_as(&second.issue(&Profile::service("guest", &[]))).await;

    let before = number();
    let stolen = harness.pki.issue(&Profile::service("stolen", &[]));
    let mut thief = harness.connect_as(&stolen).await;
    harness.pki.ca.revoke(&stolen);
    harness.pki.write("crl.pem", &(harness.pki.ca.crl(86_400) + &second.crl(86_400)));
    assert_eq!(thief.closed().await, Closed::Frame(4403, "revoked".into()));
    installed(harness, before).await;
    guest.nothing_came().await;

    let before = number();
    trust(harness, &[&harness.pki.ca]);
    installed(harness, before).await;
    assert_eq!(guest.closed().await.paced(), Closed::Frame(4403, "untrusted".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_rotations_lose_no_message_and_no_handshake() {
    let harness = Arc::new(open("").await);
    let (stop, visited) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut sessions = Vec::new();
    for place in 0..STREAMS {
        let mut peer = harness.connect(&format!("stream-{place}"), &[]).await;
        let previous = (place + STREAMS - 1) % STREAMS;
        subscribe(&mut peer, "previous", &format!("ring.{previous}")).await;
        sessions.push(peer);
    }
    let streams: Vec<_> = sessions
        .into_iter()
        .enumerate()
        .map(|(place, peer)| tokio::spawn(stream(peer, place, stop.clone())))
        .collect();
    let visitor = visits(&harness, &stop, &visited);
    let client = harness.pki.issue(&Profile::service("client", &[]));
    let second = Ca::root("second root");
    for _ in 0..ROUNDS {
        rotate(&harness, &client, &second).await;
    }
    stop.store(true, Ordering::SeqCst);
    let generations = harness.gateway().generation_number();
    assert!(generations > 4 * ROUNDS, "{generations}");
    for stream in streams {
        assert!(stream.await.expect("every message, once, in order") > ROUNDS);
    }
    visitor.await.expect("no failed handshake");
    assert!(visited.load(Ordering::SeqCst) > ROUNDS);
}
