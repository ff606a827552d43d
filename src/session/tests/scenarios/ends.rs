//! How sessions end: the same code and reason in both dialects, and in NATS an error only where coming back makes no sense.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::{DONE, two};
use crate::limits::Limits;
use crate::protocol::Dialect;
use crate::session::CloseReason;
use crate::session::tests::speaker::{Heard, Speaker, pairs};
use crate::session::tests::world::{OPEN, World};
use crate::testing::Authority;

/// What a session hears at its end.
fn end(code: u16, reason: &str, dialect: Dialect, error: Option<&str>) -> (u16, String, Option<String>) {
    (code, reason.into(), error.filter(|_| dialect == Dialect::Nats).map(Into::into))
}

/// The same for an end that is paced, without when to come back.
fn paced((code, text, error): (u16, String, Option<String>)) -> (u16, String, Option<String>) {
    let (reason, _) = text.split_once(" retry_after_ms=").expect("a hint");
    (code, reason.into(), error)
}

#[tokio::test(start_paused = true)]
async fn a_revoked_certificate_ends_its_session_in_either_dialect_and_no_other() {
    for pair in pairs() {
        let world = World::new();
        let (mut revoked, mut other) = two(&world, pair).await;
        world.revoke("checkout".len() as u64);
        let expected = end(4403, "revoked", pair.0, Some("User Authentication Revoked"));
        assert_eq!(revoked.closed().await, expected);
        other.nothing_came().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_revoked_service_sent_reaches_nobody() {
    for pair in pairs() {
        let world = World::new();
        let (mut revoked, mut hearer) = two(&world, pair).await;
        assert_eq!(hearer.subscribe("s", "a").await, DONE);
        match pair.0 {
            Dialect::Json => {
                revoked.peer.send(serde_json::json!({"op": "pub", "topic": "a", "data": "too late"})).await;
            }
            Dialect::Nats => revoked.say("PUB a 8\r\ntoo late\r\n").await,
        }
        // It is on its way; the session has not read it.
        world.revoke("checkout".len() as u64);
        assert_eq!(revoked.closed().await.1, "revoked");
        hearer.nothing_came().await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_no_longer_trusted_or_let_in_is_sent_away() {
    for dialect in Dialect::ALL {
        let world = World::new();
        let mut speaker = Speaker::open(&world, dialect, "checkout").await;
        let ban = "[[grant]]\nname = \"ban\"\nservices = [\"checkout\"]\nconnect = false\n";
        world.change_policy(&format!("{OPEN}\n{ban}"));
        let expected = end(1008, "connect_forbidden", dialect, Some("Authorization Violation"));
        assert_eq!(paced(speaker.closed().await), expected);

        let world = World::new();
        let mut speaker = Speaker::open(&world, dialect, "checkout").await;
        world.change(|next| next.trust = Authority::new("another").trust(1, &[]));
        let expected = end(4403, "untrusted", dialect, Some("User Authentication Revoked"));
        assert_eq!(paced(speaker.closed().await), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_with_its_certificate_in_either_dialect() {
    for dialect in Dialect::ALL {
        let world = World::new();
        let since = Instant::now();
        let mut speaker = Speaker::open_for(&world, dialect, "checkout", 40).await;
        if dialect == Dialect::Json {
            assert_eq!(speaker.peer.text_while_alive().await["op"], "reauth_required");
        }
        assert_eq!(speaker.closed().await, end(4401, "credential_deadline", dialect, None));
        assert!(since.elapsed().abs_diff(Duration::from_secs(40)) <= Duration::from_secs(1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_told_work_goes_on_and_the_end_is_no_error() {
    for pair in pairs() {
        let world = World::new();
        let (mut sender, mut hearer) = two(&world, pair).await;
        world.gateway.drain(Duration::from_secs(20));
        for speaker in [&mut sender, &mut hearer] {
            assert_eq!(speaker.hear().await, Heard::Leaving);
        }
        assert_eq!(hearer.subscribe("s", "a").await, DONE);
        assert_eq!(sender.publish("a", 1).await, DONE);
        assert_eq!(hearer.message().await.data, "1");
        for (speaker, dialect) in [(&mut sender, pair.0), (&mut hearer, pair.1)] {
            assert_eq!(speaker.closed().await, end(1001, "draining retry_after_ms=1000", dialect, None));
        }
        let world = World::new();
        let mut speaker = Speaker::open(&world, pair.0, "checkout").await;
        world.gateway.stop();
        assert_eq!(speaker.closed().await, end(1001, "stopping retry_after_ms=1000", pair.0, None));
    }
}

#[tokio::test(start_paused = true)]
async fn who_reads_too_slowly_is_ended_and_nobody_waits_for_it() {
    for pair in pairs() {
        let world = World::with(Limits { max_queue_messages: 10, ..Limits::default() });
        let (mut sender, mut slow) = two(&world, pair).await;
        let mut quick = Speaker::open(&world, pair.1, "warehouse").await;
        for hearer in [&mut slow, &mut quick] {
            assert_eq!(hearer.subscribe("s", "a").await, DONE);
        }
        for number in 0..40 {
            assert_eq!(sender.publish("a", format!("{number}{}", "x".repeat(10_000))).await, DONE);
            assert!(quick.message().await.data.starts_with(&format!("\"{number}x")));
        }
        let expected = end(1013, "slow_consumer retry_after_ms=1000", pair.1, None);
        assert_eq!(slow.closed().await, expected);
        quick.nothing_came().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_takes_all_that_the_session_had_in_either_dialect() {
    for dialect in Dialect::ALL {
        let world = World::new();
        let mut speaker = Speaker::open(&world, dialect, "checkout").await;
        for (sid, pattern) in [("1", "a"), ("2", "_INBOX.0123456789abcdef.>")] {
            assert_eq!(speaker.subscribe(sid, pattern).await, DONE);
        }
        assert_eq!((world.gateway.router.subscriptions(), world.gateway.admissions.sessions()), (2, 1));
        assert_eq!(speaker.peer.gone().await.0, CloseReason::PeerGone);
        assert_eq!((world.gateway.router.subscriptions(), world.gateway.admissions.sessions()), (0, 0));
        assert!(world.gateway.registry.is_empty());
    }
}

/// Official clients give up at some of these texts, and close at all of them.
#[test]
fn who_is_to_come_back_hears_no_error_of_the_nats_dialect() {
    const UNREADABLE: Option<&str> = Some("Unknown Protocol Operation");
    const UNWANTED: Option<&str> = Some("Authorization Violation");
    const REVOKED: Option<&str> = Some("User Authentication Revoked");
    let told = HashMap::from([
        (CloseReason::ProtocolError, UNREADABLE),
        (CloseReason::InvalidUtf8, UNREADABLE),
        (CloseReason::UnsupportedFrame, UNREADABLE),
        (CloseReason::TooLarge, Some("Maximum Payload Violation")),
        (CloseReason::ProtocolAbuse, Some("Protocol Abuse")),
        (CloseReason::IdentityChanged, UNWANTED),
        (CloseReason::ConnectForbidden, UNWANTED),
        (CloseReason::CredentialsRefused, UNWANTED),
        (CloseReason::ReauthFailed, UNWANTED),
        (CloseReason::Revoked, REVOKED),
        (CloseReason::Denied, REVOKED),
        (CloseReason::Untrusted, REVOKED),
    ]);
    for reason in CloseReason::ALL {
        assert_eq!(reason.nats_error(), told.get(&reason).copied().flatten(), "{reason:?}");
    }
}
