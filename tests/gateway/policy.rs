//! What the policy denies: the client hears `forbidden` and no more, the audit log knows the rule.

use std::io;
use std::sync::{Arc, LazyLock, Mutex};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;
use tracing::Dispatch;
use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::harness::{Harness, Peer, Profile, Setup, wait_until};
use crate::messaging::{publication, subscribe};

const POLICY: &str = r#"
[[grant]]
name = "writers"
roles = ["writer"]
publish = ["orders.>"]
deny_publish = ["orders.internal.>"]

[[grant]]
name = "readers"
roles = ["reader"]
subscribe = ["orders.>"]
groups = ["pool"]

[[grant]]
name = "secrets-stay"
services = ["*"]
deny_subscribe = ["orders.secret.>", "*.secret.>"]

[[grant]]
name = "own-space"
services = ["*"]
publish = ["services.{service}.>"]
subscribe = ["services.{service}.>"]

[[grant]]
name = "locked-out"
services = ["mallory"]
connect = false
"#;

async fn start() -> Harness {
    Harness::with(Setup { policy: Some(POLICY.into()), ..Setup::default() }).await
}

/// The audit log of this thread, on which a test and its gateway run.
struct Audit {
    lines: Lines,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no writer panicked").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Lines {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

/// As long as there is one subscriber alone, `tracing` asks nobody but the thread that comes to a line first whether it is wanted, and
/// that may be another test's. Beside a second one it asks all.
static BYSTANDER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::new()));

impl Audit {
    fn begin() -> Self {
        LazyLock::force(&BYSTANDER);
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_env_filter(EnvFilter::new("off,portcullis::audit=info"))
            .with_writer(lines.clone())
            .finish();
        Self { lines, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// Every line of this event so far.
    fn of(&self, event: &str) -> Vec<Value> {
        let bytes = self.lines.0.lock().expect("no writer panicked").clone();
        let text = String::from_utf8(bytes).expect("UTF-8");
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        lines.filter(|line| line["event"] == event).collect()
    }

    /// Whether the newest denial names all of this.
    fn last_denial(&self) -> Value {
        self.of("denied").pop().expect("an audit line")
    }
}

fn sub(topic: &str) -> String {
    json!({"op": "sub", "id": 9, "sid": "x", "topic": topic}).to_string()
}

fn publish(topic: &str) -> String {
    json!({"op": "pub", "id": 9, "topic": topic, "data": "the payload"}).to_string()
}

fn subscription(sid: &str, topic: &str, group: &str) -> String {
    json!({"op": "sub", "id": 1, "sid": sid, "topic": topic, "group": group}).to_string()
}

/// Publishes `count` numbers and tells how many messages each reader got of them.
async fn spread(writer: &mut Peer, topic: &str, count: usize, readers: &mut [&mut Peer]) -> Vec<usize> {
    writer.send_all((0..count).map(|n| publication(topic, n))).await;
    writer.ok(r#"{"op":"pub","id":1,"topic":"orders.end"}"#).await;
    let mut got = Vec::new();
    for reader in readers {
        let mut messages = 0;
        while reader.expect("msg").await["topic"] != "orders.end" {
            messages += 1;
        }
        got.push(messages);
    }
    got
}

#[tokio::test]
async fn a_denial_tells_the_client_nothing_and_the_audit_log_its_rule() {
    let audit = Audit::begin();
    let harness = start().await;
    let mut writer = harness.connect("shop", &["writer"]).await;
    let mut stranger = harness.connect("stranger", &[]).await;
    let inbox = "_INBOX.0123456789abcdef.x";
    subscribe(&mut writer, "i", inbox).await;
    let cases = [
        (true, publish("orders.internal.x"), "orders.internal.x", "writers"),
        (true, sub("orders.secret.x"), "orders.secret.x", "secrets-stay"),
        (true, sub("orders.x"), "orders.x", "no grant"),
        (false, publish("orders.new"), "orders.new", "no grant"),
        (false, publish("services.shop.x"), "services.shop.x", "no grant"),
        (false, sub(">"), ">", "no grant"),
        (false, sub("$SYS.>"), "$SYS.>", "$SYS"),
        (false, sub("_INBOX.>"), "_INBOX.>", "inbox"),
        (false, sub(inbox), inbox, "another service"),
        (false, publish(inbox), inbox, "reply right"),
        (
            false,
            json!({"op": "pub", "id": 9, "topic": "services.stranger.x", "reply": "orders.new"}).to_string(),
            "services.stranger.x",
            "reply",
        ),
    ];
    for (is_writer, text, topic, rule) in cases {
        let peer = if is_writer { &mut writer } else { &mut stranger };
        let refused = peer.ask(text.clone()).await;
        assert_eq!(
            (&refused["op"], &refused["code"]),
            (&json!("err"), &json!("forbidden")),
            "{text}: {refused}"
        );
        assert_eq!((&refused["reason"], &refused["topic"]), (&json!("forbidden"), &json!(topic)), "{text}");
        let keys: Vec<_> = refused.as_object().expect("an object").keys().map(String::as_str).collect();
        let known = ["code", "failed_op", "id", "op", "reason", "reply", "sid", "topic"];
        assert!(keys.iter().all(|key| known.contains(key)), "{refused}");
        let line = audit.last_denial();
        let why = line["why"].as_str().expect("a reason");
        assert!(why.contains(rule), "{text}: {line}");
        assert_eq!(line["service"], if is_writer { "shop" } else { "stranger" });
        assert_eq!((&line["generation"], &line["target"]), (&json!(1), &json!("portcullis::audit")));
        assert!(line["topic"].as_str().expect("a topic").contains(topic), "{line}");
        assert!(!line.to_string().contains("the payload"), "{line}");
    }
}

#[tokio::test]
async fn a_client_in_a_loop_cannot_bury_the_audit_log() {
    let audit = Audit::begin();
    let harness = start().await;
    let mut stranger = harness.connect("stranger", &[]).await;
    stranger.send_all((0..1_000).map(|_| publish("orders.new"))).await;
    for _ in 0..1_000 {
        assert_eq!(stranger.expect("err").await["code"], "forbidden");
    }
    let times: Vec<_> = audit.of("denied").iter().map(|line| line["times"].clone()).collect();
    assert_eq!(times, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512].map(|times| json!(times)));
}

#[tokio::test]
async fn what_is_denied_within_a_subscription_is_filtered_out_of_it() {
    let harness = start().await;
    let mut reader = harness.connect("desk", &["reader"]).await;
    let mut writer = harness.connect("shop", &["writer"]).await;
    subscribe(&mut reader, "all", "orders.>").await;
    subscribe(&mut reader, "two", "orders.*.x").await;
    let topics = ["orders.secret.x", "orders.secret.y", "orders.open.x"];
    writer.send_all(topics.map(|topic| publication(topic, topic))).await;
    let mut sids = Vec::new();
    for _ in 0..2 {
        let message = reader.expect("msg").await;
        assert_eq!(message["topic"], "orders.open.x");
        sids.push(message["sid"].as_str().expect("a text").to_owned());
    }
    sids.sort();
    assert_eq!(sids, ["all", "two"]);
    reader.nothing_came().await;
}

#[tokio::test]
async fn a_group_shares_messages_within_its_service() {
    let harness = start().await;
    let mut writer = harness.connect("shop", &["writer"]).await;
    let (mut a1, mut a2) = (harness.connect("a", &["reader"]).await, harness.connect("a", &["reader"]).await);
    let mut b = harness.connect("b", &["reader"]).await;
    let mut alone = harness.connect("c", &["reader"]).await;
    for peer in [&mut a1, &mut a2, &mut b] {
        peer.ok(subscription("g", "orders.job", "workers")).await;
    }
    subscribe(&mut alone, "s", "orders.job").await;
    for peer in [&mut a1, &mut a2, &mut b, &mut alone] {
        subscribe(peer, "end", "orders.end").await;
    }
    let got = spread(&mut writer, "orders.job", 100, &mut [&mut a1, &mut a2, &mut b, &mut alone]).await;
    // A group of the same name in another service steals nothing.
    assert_eq!((got[0] + got[1], got[2], got[3]), (100, 100, 100), "{got:?}");
    assert!(got[0] >= 40 && got[1] >= 40, "each member has its share: {got:?}");
    // Who is left takes it all.
    drop(a1);
    harness.sessions(4).await;
    assert_eq!(spread(&mut writer, "orders.job", 10, &mut [&mut a2]).await, [10]);
}

#[tokio::test]
async fn a_group_that_a_grant_names_is_shared_between_services() {
    let harness = start().await;
    let mut writer = harness.connect("shop", &["writer"]).await;
    let mut a = harness.connect("a", &["reader"]).await;
    let mut b = harness.connect("b", &["reader"]).await;
    // No grant of its own names the group: this one is the service's.
    let mut outsider = harness.connect("outsider", &[]).await;
    for peer in [&mut a, &mut b] {
        peer.ok(subscription("g", "orders.job", "pool")).await;
        subscribe(peer, "end", "orders.end").await;
    }
    outsider.ok(subscription("g", "services.outsider.x", "pool")).await;
    let got = spread(&mut writer, "orders.job", 100, &mut [&mut a, &mut b]).await;
    assert_eq!(got[0] + got[1], 100, "{got:?}");
    assert!(got[0] >= 40 && got[1] >= 40, "{got:?}");
    outsider.nothing_came().await;
}

async fn refused_with(harness: &Harness, service: &str, roles: &[&str]) -> (u16, Value) {
    let issued = harness.pki.issue(&Profile::service(service, roles));
    match harness.try_connect(&issued).await.map(|_| ()) {
        Err(Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            (response.status().as_u16(), serde_json::from_slice(body).expect("a problem document"))
        }
        other => panic!("a refusal was expected, not {other:?}"),
    }
}

#[tokio::test]
async fn who_has_no_grant_or_may_not_connect_gets_403_before_the_101() {
    let audit = Audit::begin();
    let harness = start().await;
    let (status, problem) = refused_with(&harness, "mallory", &["writer"]).await;
    assert_eq!((status, &problem["type"]), (403, &json!("urn:portcullis:problem:connect-forbidden")));
    assert!(!problem.to_string().contains("locked-out"), "{problem}");
    // Its record is written when the connection has ended.
    wait_until(|| !audit.of("refused").is_empty()).await;
    let line = audit.of("refused").pop().expect("an audit line");
    assert!(line["why"].as_str().expect("a reason").contains("locked-out"), "{line}");

    let nobody =
        Harness::with(Setup { policy: Some("# nobody may do anything".into()), ..Setup::default() }).await;
    assert_eq!(refused_with(&nobody, "billing", &["reader", "writer"]).await.0, 403);

    let denies_alone = "[[grant]]\nname = \"d\"\nservices = [\"*\"]\ndeny_publish = [\"x\"]\n";
    let denying = Harness::with(Setup { policy: Some(denies_alone.into()), ..Setup::default() }).await;
    assert_eq!(refused_with(&denying, "billing", &[]).await.0, 403, "a deny alone gives no right to connect");
}

#[tokio::test]
async fn whoami_tells_a_service_its_own_grants_and_no_rule() {
    let harness = start().await;
    let mut peer = harness.connect("shop", &["writer"]).await;
    let answer = peer.ask(r#"{"op":"whoami","id":3}"#).await;
    assert_eq!((&answer["op"], &answer["id"], &answer["service"]), (&json!("ok"), &json!(3), &json!("shop")));
    assert_eq!(answer["roles"], json!(["writer"]));
    assert_eq!(
        answer["grants"],
        json!({"publish": ["orders.>", "services.shop.>"], "subscribe": ["services.shop.>"]})
    );
    assert_eq!(answer["session"], peer.hello["session"]);
    assert_eq!(answer["fingerprint"].as_str().map(str::len), Some(64));
    assert!(answer["expires"].as_u64() >= answer["deadline"].as_u64());
    assert!(!answer.to_string().contains("own-space"), "{answer}");
}
