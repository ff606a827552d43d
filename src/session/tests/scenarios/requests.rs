//! Requests, as each dialect makes them, and who may answer.

use tokio::time::{advance, sleep};

use super::{DONE, forbidden, too_long, two};
use crate::limits::Limits;
use crate::protocol::Dialect;
use crate::session::tests::speaker::{Speaker, pairs};
use crate::session::tests::world::{OPEN, World};

#[tokio::test(start_paused = true)]
async fn a_request_is_answered_once_and_by_the_session_that_received_it() {
    for pair in pairs() {
        let world = World::new();
        let (mut asker, mut answerer) = two(&world, pair).await;
        let mut sibling = Speaker::open(&world, pair.1, "billing").await;
        assert_eq!(answerer.subscribe("q", "quote").await, DONE);
        let number = asker.ask("quote", 21).await;
        let asked = answerer.message().await;
        assert_eq!((asked.from.as_str(), asked.data.as_str()), ("checkout", "21"));
        let reply = asked.reply.expect("a reply");
        assert_eq!(sibling.answer(&reply, 1).await, forbidden(), "it was not asked");
        assert_eq!(asker.answer(&reply, 1).await, forbidden(), "nor was who asks");
        assert_eq!(answerer.answer(&format!("{reply}0"), 1).await, forbidden(), "the right is for one topic");
        assert_eq!(answerer.answer(&reply, 42).await, DONE);
        assert_eq!(answerer.answer(&reply, 43).await, forbidden(), "once");
        assert_eq!(asker.answered(number).await, Ok(("billing".into(), "42".into())));
        asker.nothing_came().await;
    }
}

#[tokio::test(start_paused = true)]
async fn requests_are_answered_in_whatever_order_the_answers_come() {
    for pair in pairs() {
        let world = World::new();
        let (mut asker, mut answerer) = two(&world, pair).await;
        assert_eq!(answerer.subscribe("q", "quote").await, DONE);
        let mut waiting = Vec::new();
        for data in 0..10 {
            let number = asker.ask("quote", data).await;
            let asked = answerer.message().await;
            waiting.push((number, data, asked.reply.expect("a reply")));
        }
        for (number, data, reply) in waiting.into_iter().rev() {
            assert_eq!(answerer.answer(&reply, 2 * data).await, DONE);
            assert_eq!(asker.answered(number).await, Ok(("billing".into(), (2 * data).to_string())));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_nobody_or_may_not_ask_is_told_at_once() {
    for dialect in Dialect::ALL {
        let world = World::new();
        let mut asker = Speaker::open(&world, dialect, "checkout").await;
        let number = asker.ask("quote", 1).await;
        assert_eq!(asker.answered(number).await, Err("nobody is subscribed to this topic".into()));
        let deny = "[[grant]]\nname = \"d\"\nservices = [\"*\"]\ndeny_publish = [\"quote\"]\n";
        world.change_policy(&format!("{OPEN}{deny}"));
        let number = asker.ask("quote", 1).await;
        assert_eq!(asker.answered(number).await, Err("forbidden".into()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_right_to_answer_ends_with_its_time_and_with_the_policy() {
    for pair in pairs() {
        let world = World::new();
        let (mut asker, mut answerer) = two(&world, pair).await;
        assert_eq!(answerer.subscribe("q", "quote").await, DONE);
        asker.ask("quote", 1).await;
        let reply = answerer.message().await.reply.expect("a reply");
        advance(too_long()).await;
        assert_eq!(answerer.answer(&reply, 1).await, forbidden(), "too late");

        asker.ask("quote", 2).await;
        let reply = answerer.message().await.reply.expect("a reply");
        let mute = "[[grant]]\nname = \"m\"\nservices = [\"billing\"]\nallow_responses = false\n";
        world.change_policy(&format!("{OPEN}{mute}"));
        assert_eq!(answerer.answer(&reply, 2).await, forbidden());
        asker.ask("quote", 3).await;
        let reply = answerer.message().await.reply.expect("a reply, and no right");
        assert_eq!(answerer.answer(&reply, 3).await, forbidden());
        // Whatever else the asker heard, it was no answer.
        sleep(too_long()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_inbox_is_its_first_services_and_nobody_publishes_there_unasked() {
    for pair in pairs() {
        let world = World::new();
        let (mut owner, mut thief) = two(&world, pair).await;
        const INBOX: &str = "_INBOX.0123456789abcdef";
        let (all, one) = (format!("{INBOX}.>"), format!("{INBOX}.1"));
        assert_eq!(thief.publish_for("t", &one).await, forbidden(), "nobody's yet");
        assert_eq!(owner.subscribe("i", &all).await, DONE);
        for pattern in [all.as_str(), &one, INBOX, "_INBOX.>", "_INBOX.*", "_INBOX.*.1", "_INBOX.short.>"] {
            assert_eq!(thief.subscribe("s", pattern).await, forbidden(), "{pattern}");
        }
        assert_eq!(thief.publish(&one, 1).await, forbidden());
        assert_eq!(owner.publish(&one, 1).await, forbidden());
        assert_eq!(thief.publish_for("t", &one).await, forbidden(), "another's inbox");
        // A sibling may name it, and who is asked may answer there.
        let mut sibling = Speaker::open(&world, pair.0, "checkout").await;
        assert_eq!(thief.subscribe("t", "t").await, DONE);
        assert_eq!(sibling.publish_for("t", &one).await, DONE);
        assert_eq!(thief.message().await.reply.as_deref(), Some(one.as_str()));
        assert_eq!(thief.answer(&one, 7).await, DONE);
        assert_eq!(owner.message().await.data, "7");
        for speaker in [&mut owner, &mut thief, &mut sibling] {
            speaker.nothing_came().await;
        }
        // It stays its service's while that is away.
        let (before, _) = owner.peer.gone().await;
        assert_eq!(before, crate::session::CloseReason::PeerGone);
        assert_eq!(thief.subscribe("s", &all).await, forbidden());
    }
}

/// A session that has had answers sent to its inbox again and again is asked for its right as soon as that is another's.
#[tokio::test(start_paused = true)]
async fn an_inbox_that_was_lost_gets_no_more_answers() {
    for pair in pairs() {
        let world = World::with(Limits { max_inboxes_per_service: 1, ..Limits::default() });
        let (mut asker, mut answerer) = two(&world, pair).await;
        let inbox = |token: &str, number: u64| format!("_INBOX.{token}-0123456789abcdef.{number}");
        assert_eq!(answerer.subscribe("q", "quote").await, DONE);
        assert_eq!(asker.subscribe("i", "_INBOX.first-0123456789abcdef.*").await, DONE);
        for number in 0..3 {
            assert_eq!(asker.publish_for("quote", &inbox("first", number)).await, DONE);
            assert_eq!(answerer.message().await.reply, Some(inbox("first", number)));
        }
        assert_eq!(asker.publish_for("quote", &inbox("second", 1)).await, forbidden(), "nobody's");
        // It is idle, and makes room.
        assert_eq!(asker.unsubscribe("i").await, DONE);
        assert_eq!(
            asker.publish_for("quote", &inbox("first", 3)).await,
            DONE,
            "it is remembered whose it is"
        );
        assert_eq!(answerer.message().await.reply, Some(inbox("first", 3)));
        assert_eq!(asker.subscribe("j", "_INBOX.second-0123456789abcdef.*").await, DONE);
        assert_eq!(answerer.subscribe("i", "_INBOX.first-0123456789abcdef.*").await, DONE);
        assert_eq!(asker.publish_for("quote", &inbox("first", 4)).await, forbidden(), "another's");
        assert_eq!(asker.publish_for("quote", &inbox("second", 2)).await, DONE);
        assert_eq!(answerer.message().await.reply, Some(inbox("second", 2)));
        for speaker in [&mut asker, &mut answerer] {
            speaker.nothing_came().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_lends_nobody_the_rights_of_who_answers() {
    const POLICY: &str = r#"
        [[grant]]
        name = "asks"
        services = ["checkout"]
        publish = ["quote", "mine", "nobody.>"]
        [[grant]]
        name = "answers"
        services = ["billing"]
        publish = ["vault", "nobody.>"]
        subscribe = ["quote"]
    "#;
    for pair in pairs() {
        let world = World::new();
        world.change_policy(POLICY);
        let (mut asker, mut answerer) = two(&world, pair).await;
        assert_eq!(answerer.subscribe("q", "quote").await, DONE);
        for reply in ["vault", "$SYS.x", "_INBOX.short", "_INBOX.0123456789abcdef.1"] {
            assert_eq!(asker.publish_for("quote", reply).await, forbidden(), "{reply}");
        }
        answerer.nothing_came().await;
        // Where the asker may publish, the message goes out, and gives no right.
        assert_eq!(asker.publish_for("quote", "mine").await, DONE);
        assert_eq!(answerer.message().await.reply.as_deref(), Some("mine"));
        assert_eq!(answerer.answer("mine", 1).await, forbidden());
    }
}
