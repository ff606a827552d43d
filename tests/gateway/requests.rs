//! Requests and their answers: `req`, `res`, `reply`, reply rights and inboxes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Harness, Peer, Setup, wait_until};
use crate::messaging::{open, publication, subscribe};

/// The answerer has a topic of its own; the asker may ask there and nothing else.
const ASKING: &str = r#"
[[grant]]
name = "answers"
services = ["bank", "deputy"]
subscribe = ["bank.>"]

[[grant]]
name = "asks"
services = ["asker"]
publish = ["bank.>"]

[[grant]]
name = "privileged"
services = ["bank"]
publish = ["vault.>"]

[[grant]]
name = "own-space"
services = ["*"]
publish = ["services.{service}.>"]
subscribe = ["services.{service}.>"]
"#;

const INBOX: &str = "_INBOX.0123456789abcdef";

async fn asking(more_policy: &str) -> Harness {
    Harness::with(Setup { policy: Some(format!("{ASKING}{more_policy}")), ..Setup::default() }).await
}

fn request(id: u64, topic: &str, timeout_ms: u64) -> String {
    json!({"op": "req", "id": id, "topic": topic, "data": id, "timeout_ms": timeout_ms}).to_string()
}

/// Answers with an id of its own, so that the answerer hears what became of it.
fn answer(id: u64, asked: &Value, data: impl Into<Value>) -> String {
    json!({"op": "res", "id": id, "reply": asked["reply"], "data": data.into()}).to_string()
}

/// Publishes a message that asks for an answer at `reply`.
fn asking_for(id: u64, topic: &str, reply: &str) -> String {
    json!({"op": "pub", "id": id, "topic": topic, "reply": reply}).to_string()
}

/// Waits until so much time has passed from here on: what lasts no longer, and began before, is over then.
async fn over(lasting: Duration) {
    let since = Instant::now();
    wait_until(|| since.elapsed() > lasting).await;
}

async fn code(peer: &mut Peer, text: String) -> Value {
    let answer = peer.ask(text).await;
    assert_eq!(answer["op"], "err", "{answer}");
    answer["code"].clone()
}

#[tokio::test]
async fn a_request_gets_exactly_one_answer() {
    let harness = asking("").await;
    let mut bank = harness.connect("bank", &[]).await;
    let mut asker = harness.connect("asker", &[]).await;
    subscribe(&mut bank, "s", "bank.*").await;
    let request = json!({"op": "req", "id": 41, "topic": "bank.quote", "data": [1], "headers": {"a": "b"}});
    asker.send(request.to_string()).await;
    let asked = bank.expect("msg").await;
    assert_eq!(
        (&asked["data"], &asked["headers"], &asked["from"]),
        (&json!([1]), &json!({"a": "b"}), &json!("asker"))
    );
    assert_ne!(asked["reply"], Value::Null);
    let text =
        json!({"op": "res", "id": 1, "reply": asked["reply"], "data": 7, "headers": {"c": ["d", "e"]}});
    bank.ok(text.to_string()).await;
    assert_eq!(
        asker.next_text().await,
        r#"{"op":"res","id":41,"from":"bank","headers":{"c":["d","e"]},"data":7}"#
    );
    // The right was for one message, by `res` or by `pub`.
    assert_eq!(code(&mut bank, answer(2, &asked, 8)).await, "forbidden");
    let by_pub = json!({"op": "pub", "id": 3, "topic": asked["reply"], "data": 9});
    assert_eq!(code(&mut bank, by_pub.to_string()).await, "forbidden");
    asker.nothing_came().await;
    // The same id may be used again, and an answer may come by `pub`.
    asker.send(r#"{"op":"req","id":41,"topic":"bank.quote"}"#).await;
    let asked = bank.expect("msg").await;
    bank.ok(json!({"op": "pub", "id": 4, "topic": asked["reply"], "data": null}).to_string()).await;
    assert_eq!(asker.next_text().await, r#"{"op":"res","id":41,"from":"bank","data":null}"#);
}

#[tokio::test]
async fn many_requests_are_answered_in_whatever_order_the_answers_come() {
    let harness = asking("").await;
    let mut bank = harness.connect("bank", &[]).await;
    let mut asker = harness.connect("asker", &[]).await;
    subscribe(&mut bank, "s", "bank.q").await;
    asker.send_all((0..100).map(|id| request(id, "bank.q", 10_000))).await;
    let mut asked = Vec::new();
    for _ in 0..100 {
        asked.push(bank.expect("msg").await);
    }
    for message in asked.iter().rev() {
        let text = json!({"op": "res", "reply": message["reply"], "data": message["data"]});
        bank.send(text.to_string()).await;
    }
    for id in (0..100).rev() {
        let answer = asker.expect("res").await;
        assert_eq!((&answer["id"], &answer["data"]), (&json!(id), &json!(id)));
    }
}

#[tokio::test]
async fn nobody_there_is_told_at_once_and_silence_at_the_timeout() {
    let harness = asking("").await;
    let mut bank = harness.connect("bank", &[]).await;
    let mut asker = harness.connect("asker", &[]).await;
    let refused = asker.ask(request(5, "bank.q", 10_000)).await;
    assert_eq!((&refused["code"], &refused["id"]), (&json!("no_responders"), &json!(5)));
    subscribe(&mut bank, "s", "bank.q").await;
    asker.send_all([request(6, "bank.q", 500), request(7, "bank.q", 30)]).await;
    for id in [7, 6] {
        let timed_out = asker.next().await;
        assert_eq!((&timed_out["code"], &timed_out["id"]), (&json!("timeout"), &json!(id)));
        assert_eq!(timed_out["failed_op"], "req");
    }
    // Too late: the right lasts as long as the request, from the delivery on, which was before this.
    let (first, second) = (bank.expect("msg").await, bank.expect("msg").await);
    over(Duration::from_millis(500)).await;
    assert_eq!(code(&mut bank, answer(1, &first, 1)).await, "forbidden");
    assert_eq!(code(&mut bank, answer(2, &second, 2)).await, "forbidden");
    asker.nothing_came().await;
    assert_eq!(code(&mut asker, request(8, "vault.q", 10)).await, "forbidden");
    assert_eq!(code(&mut asker, request(9, "bank.*", 10)).await, "bad_message");
}

#[tokio::test]
async fn too_many_requests_in_flight_are_refused_until_one_is_answered() {
    let harness = Harness::with(Setup {
        policy: Some(ASKING.into()),
        limits: "max_requests = 3".into(),
        ..Setup::default()
    })
    .await;
    let mut bank = harness.connect("bank", &[]).await;
    let mut asker = harness.connect("asker", &[]).await;
    assert_eq!(asker.hello["limits"]["max_in_flight_requests"], 3);
    subscribe(&mut bank, "s", "bank.q").await;
    asker.send_all((0..3).map(|id| request(id, "bank.q", 10_000))).await;
    let refused = asker.ask(request(3, "bank.q", 10_000)).await;
    assert_eq!((&refused["code"], &refused["id"]), (&json!("limit_exceeded"), &json!(3)));
    let asked = [bank.expect("msg").await, bank.expect("msg").await, bank.expect("msg").await];
    bank.ok(answer(1, &asked[0], 0)).await;
    assert_eq!(asker.expect("res").await["id"], 0);
    asker.send(request(4, "bank.q", 10_000)).await;
    asker.nothing_came().await;
}

#[tokio::test]
async fn of_two_answers_the_first_wins_and_the_second_is_nobodys() {
    let harness = asking("").await;
    let (mut one, mut two) = (harness.connect("bank", &[]).await, harness.connect("deputy", &[]).await);
    let mut asker = harness.connect("asker", &[]).await;
    subscribe(&mut one, "s", "bank.q").await;
    subscribe(&mut two, "s", "bank.>").await;
    asker.send(request(1, "bank.q", 10_000)).await;
    let (first, second) = (one.expect("msg").await, two.expect("msg").await);
    two.ok(answer(1, &second, "two")).await;
    one.ok(answer(1, &first, "one")).await;
    let answer = asker.expect("res").await;
    assert_eq!((&answer["from"], &answer["data"]), (&json!("deputy"), &json!("two")));
    asker.nothing_came().await;
}

#[tokio::test]
async fn a_reply_right_is_the_receiving_sessions_alone() {
    let harness = asking("").await;
    let mut asker = harness.connect("asker", &[]).await;
    let (mut member, mut idle) = (harness.connect("bank", &[]).await, harness.connect("bank", &[]).await);
    subscribe(&mut member, "s", "bank.q").await;
    asker.send(request(1, "bank.q", 10_000)).await;
    let asked = member.expect("msg").await;
    // Another session of the same service, another service, and the asker itself know the topic in vain.
    let mut stranger = harness.connect("stranger", &[]).await;
    for other in [&mut idle, &mut stranger, &mut asker] {
        assert_eq!(code(other, answer(9, &asked, "forged")).await, "forbidden");
        let by_pub = json!({"op": "pub", "id": 9, "topic": asked["reply"], "data": "forged"});
        assert_eq!(code(other, by_pub.to_string()).await, "forbidden");
    }
    // Nor does the right reach beside its one topic.
    let reply = asked["reply"].as_str().expect("a topic").to_owned();
    for beside in [format!("{reply}0"), format!("{reply}.x"), reply.replace(".0", ".1")] {
        let text = json!({"op": "res", "id": 9, "reply": beside});
        assert_eq!(code(&mut member, text.to_string()).await, "forbidden");
    }
    member.ok(answer(1, &asked, "true")).await;
    assert_eq!(asker.expect("res").await["data"], "true");
}

#[tokio::test]
async fn allow_responses_widens_or_narrows_the_right() {
    let stream = asking(
        r#"
        [[grant]]
        name = "streams"
        services = ["bank"]
        allow_responses = { max = 3, within_ms = 60000 }
        "#,
    )
    .await;
    let mut bank = stream.connect("bank", &[]).await;
    let mut asker = stream.connect("asker", &[]).await;
    subscribe(&mut bank, "s", "bank.q").await;
    subscribe(&mut asker, "i", &format!("{INBOX}.>")).await;
    asker.ok(asking_for(1, "bank.q", &format!("{INBOX}.a"))).await;
    let asked = bank.expect("msg").await;
    for n in 0..3 {
        bank.ok(answer(n, &asked, n)).await;
        let message = asker.expect("msg").await;
        assert_eq!((&message["topic"], &message["data"]), (&json!(format!("{INBOX}.a")), &json!(n)));
    }
    assert_eq!(code(&mut bank, answer(4, &asked, 4)).await, "forbidden");
    // A request has one answer, whatever the right allows.
    asker.send(request(2, "bank.q", 10_000)).await;
    let asked = bank.expect("msg").await;
    bank.ok(answer(5, &asked, 5)).await;
    bank.ok(answer(6, &asked, 6)).await;
    assert_eq!(asker.expect("res").await["data"], 5);
    asker.nothing_came().await;
}

#[tokio::test]
async fn allow_responses_ends_after_its_time() {
    let harness = asking(
        r#"
        [[grant]]
        name = "hurries"
        services = ["bank"]
        allow_responses = { max = 1, within_ms = 1 }
        "#,
    )
    .await;
    let mut bank = harness.connect("bank", &[]).await;
    let mut asker = harness.connect("asker", &[]).await;
    subscribe(&mut bank, "s", "bank.q").await;
    asker.send(request(1, "bank.q", 10_000)).await;
    let asked = bank.expect("msg").await;
    // The request waits on when the right is over.
    over(Duration::from_millis(1)).await;
    assert_eq!(code(&mut bank, answer(1, &asked, 1)).await, "forbidden");
    asker.nothing_came().await;
}

#[tokio::test]
async fn who_may_not_respond_gets_the_message_and_no_right() {
    let harness = asking(
        r#"
        [[grant]]
        name = "mute"
        services = ["bank"]
        allow_responses = false
        "#,
    )
    .await;
    let mut bank = harness.connect("bank", &[]).await;
    let mut asker = harness.connect("asker", &[]).await;
    subscribe(&mut bank, "s", "bank.q").await;
    asker.send(request(1, "bank.q", 200)).await;
    let asked = bank.expect("msg").await;
    assert_eq!(code(&mut bank, answer(1, &asked, 1)).await, "forbidden");
    assert_eq!(asker.expect("err").await["code"], "timeout");
}

#[tokio::test]
async fn a_policy_that_forbids_responses_takes_rights_that_were_given() {
    let harness = asking("").await;
    let mut bank = harness.connect("bank", &[]).await;
    let mut asker = harness.connect("asker", &[]).await;
    subscribe(&mut bank, "s", "bank.q").await;
    asker.send(request(1, "bank.q", 10_000)).await;
    let asked = bank.expect("msg").await;
    let mute =
        format!("{ASKING}\n[[grant]]\nname = \"mute\"\nservices = [\"bank\"]\nallow_responses = false\n");
    harness.set_policy(&mute).await;
    harness.generation_at_least(2).await;
    assert_eq!(code(&mut bank, answer(1, &asked, 1)).await, "forbidden");
}

#[tokio::test]
async fn a_reply_goes_to_an_inbox_of_the_senders_service() {
    let harness = asking("").await;
    let mut bank = harness.connect("bank", &[]).await;
    let mut asker = harness.connect("asker", &[]).await;
    let mut sibling = harness.connect("asker", &[]).await;
    subscribe(&mut bank, "s", "bank.q").await;
    let reply = format!("{INBOX}.1");
    // Nobody owns it yet.
    assert_eq!(code(&mut asker, asking_for(1, "bank.q", &reply)).await, "forbidden");
    subscribe(&mut asker, "i", &format!("{INBOX}.*")).await;
    // The inbox is the service's: a sibling may name it too.
    sibling.ok(asking_for(2, "bank.q", &reply)).await;
    let asked = bank.expect("msg").await;
    assert_eq!(asked["reply"], reply);
    bank.ok(answer(1, &asked, "x")).await;
    assert_eq!(asker.expect("msg").await["data"], "x");
    // Another service may not, nor may anyone publish there without having been asked.
    let mut stranger = harness.connect("stranger", &[]).await;
    let own = asking_for(3, "services.stranger.x", &reply);
    assert_eq!(code(&mut stranger, own).await, "forbidden");
    for peer in [&mut stranger, &mut bank, &mut asker] {
        assert_eq!(code(peer, publication(&reply, "forged")).await, "forbidden");
    }
    asker.nothing_came().await;
    bank.nothing_came().await;
}

#[tokio::test]
async fn a_reply_in_a_privileged_topic_lends_nobody_the_answerers_rights() {
    let harness = asking(
        r#"
        [[grant]]
        name = "vault-reader"
        services = ["auditor"]
        subscribe = ["vault.>"]
        "#,
    )
    .await;
    let mut bank = harness.connect("bank", &[]).await;
    let mut asker = harness.connect("asker", &[]).await;
    let mut auditor = harness.connect("auditor", &[]).await;
    subscribe(&mut auditor, "s", "vault.>").await;
    subscribe(&mut bank, "s", "bank.q").await;
    // The asker may not publish there itself: the message does not even leave.
    for reply in ["vault.open", "$SYS.x", "_INBOX.short", "services.bank.x"] {
        let refused = asker.ask(asking_for(1, "bank.q", reply)).await;
        assert_eq!((&refused["code"], &refused["reply"]), (&json!("forbidden"), &json!(reply)), "{refused}");
    }
    for malformed in ["", "a..b", "services.asker.*", ">"] {
        assert_eq!(code(&mut asker, asking_for(1, "bank.q", malformed)).await, "bad_message", "{malformed}");
    }
    bank.nothing_came().await;
    // Where the asker may publish, the message goes out, but the answerer gets no right by it.
    asker.ok(asking_for(2, "bank.q", "services.asker.answers")).await;
    let asked = bank.expect("msg").await;
    assert_eq!(asked["reply"], "services.asker.answers");
    assert_eq!(code(&mut bank, answer(1, &asked, 1)).await, "forbidden");
    auditor.nothing_came().await;
}

#[tokio::test]
async fn an_inbox_outlives_the_session_and_stays_its_services() {
    let harness = asking("").await;
    let mut stranger = harness.connect("stranger", &[]).await;
    let mut asker = harness.connect("asker", &[]).await;
    subscribe(&mut asker, "i", &format!("{INBOX}.>")).await;
    let guess = |pattern: &str| json!({"op": "sub", "id": 1, "sid": "g", "topic": pattern}).to_string();
    for guessed in [format!("{INBOX}.>"), format!("{INBOX}.*"), format!("{INBOX}.1"), INBOX.to_owned()] {
        assert_eq!(code(&mut stranger, guess(&guessed)).await, "forbidden", "{guessed}");
    }
    drop(asker);
    harness.sessions(1).await;
    assert_eq!(
        code(&mut stranger, guess(&format!("{INBOX}.>"))).await,
        "forbidden",
        "while its owner is away"
    );
    let mut again = harness.connect("asker", &[]).await;
    subscribe(&mut again, "i", &format!("{INBOX}.>")).await;
    // The second token must be literal and long.
    for bad in ["_INBOX", "_INBOX.>", "_INBOX.*", "_INBOX.*.x", "_INBOX.short.>", "_INBOX.0123456789abcde.>"]
    {
        assert_eq!(code(&mut stranger, guess(bad)).await, "forbidden", "{bad}");
    }
}

#[tokio::test]
async fn an_answerer_cannot_take_over_the_inbox_it_was_shown() {
    let harness = asking("").await;
    let mut deputy = harness.connect("deputy", &[]).await;
    let mut bank = harness.connect("bank", &[]).await;
    let mut asker = harness.connect("asker", &[]).await;
    subscribe(&mut deputy, "s", "bank.small").await;
    subscribe(&mut deputy, "own", "services.deputy.>").await;
    subscribe(&mut bank, "s", "bank.big").await;
    asker.send_all([request(1, "bank.small", 10_000), request(2, "bank.big", 10_000)]).await;
    let seen = deputy.expect("msg").await["reply"].as_str().expect("a topic").to_owned();
    let asked = bank.expect("msg").await;
    let (inbox, _) = seen.rsplit_once('.').expect("a number at the end");
    let claim = json!({"op": "sub", "id": 3, "sid": "mine", "topic": format!("{inbox}.>")}).to_string();
    assert_eq!(code(&mut deputy, claim).await, "forbidden");
    // With the inbox as its own it could give itself the right to answer what the bank was asked.
    let next = asked["reply"].as_str().expect("a topic");
    let itself = asking_for(4, "services.deputy.x", next);
    assert_eq!(code(&mut deputy, itself).await, "forbidden");
    bank.ok(answer(1, &asked, "true")).await;
    assert_eq!(asker.expect("res").await["from"], "bank");
}

#[tokio::test]
async fn wildcards_see_no_inbox_and_no_reserved_topic() {
    let harness = open("").await;
    let mut spy = harness.connect("spy", &[]).await;
    for (sid, pattern) in [("tail", ">"), ("star", "*.*"), ("deep", "*.>"), ("three", "*.*.*")] {
        subscribe(&mut spy, sid, pattern).await;
    }
    let (mut bank, mut asker) = (harness.connect("bank", &[]).await, harness.connect("asker", &[]).await);
    bank.ok(r#"{"op":"sub","id":1,"sid":"s","topic":"q","group":"g"}"#).await;
    subscribe(&mut asker, "i", &format!("{INBOX}.>")).await;
    asker.ok(asking_for(1, "q", &format!("{INBOX}.1"))).await;
    assert_eq!(spy.expect("msg").await["sid"], "tail");
    let asked = bank.expect("msg").await;
    bank.ok(answer(1, &asked, "secret")).await;
    asker.expect("msg").await;
    // A grant of `>` is none for reserved topics either.
    for reserved in ["_x.y", "$JS.API.x", "$KV.x", "$SYS.x", "_INBOX.x"] {
        assert_eq!(code(&mut bank, publication(reserved, 1)).await, "forbidden", "{reserved}");
        let sub = json!({"op": "sub", "id": 2, "sid": "r", "topic": reserved}).to_string();
        assert_eq!(code(&mut spy, sub).await, "forbidden", "{reserved}");
    }
    spy.nothing_came().await;
}

#[tokio::test]
async fn a_reserved_topic_that_a_grant_spells_is_an_ordinary_one() {
    let policy = "[[grant]]\nname = \"g\"\nservices = [\"*\"]\npublish = [\"_private.>\"]\n\
                  subscribe = [\"_private.>\", \">\"]\n";
    let harness = Harness::with(Setup { policy: Some(policy.into()), ..Setup::default() }).await;
    let mut peer = harness.connect("a", &[]).await;
    subscribe(&mut peer, "wild", ">").await;
    subscribe(&mut peer, "spelled", "_private.*").await;
    peer.send(publication("_private.x", 1)).await;
    assert_eq!(peer.expect("msg").await["sid"], "spelled");
    peer.nothing_came().await;
}
