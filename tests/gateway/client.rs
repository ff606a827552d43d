//! The client library against the real gateway: what it promises over reconnects, rotation and revocation.

use std::path::PathBuf;
use std::time::Duration;

use portcullis::client::{
    Body, Client, ConnectError, Ending, Event, Events, OperationError, Options, RequestOptions,
};
use portcullis::server::Server;
use serde_json::json;
use tokio::time::timeout;

use crate::harness::{Ca, Harness, Issued, PATIENCE, Profile, wait_until};

/// The files of one client.
pub struct Files {
    pub chain: PathBuf,
    pub key: PathBuf,
}

impl Files {
    pub fn write(harness: &Harness, name: &str, issued: &Issued) -> Self {
        let files = Self {
            chain: harness.pki.path(&format!("{name}.client.pem")),
            key: harness.pki.path(&format!("{name}.client.key")),
        };
        files.replace(issued);
        files
    }

    /// Puts another certificate in their place.
    pub fn replace(&self, issued: &Issued) {
        crate::harness::replace(&self.key, issued.key_pem.as_bytes());
        crate::harness::replace(&self.chain, issued.pem.as_bytes());
    }

    pub fn options(&self, harness: &Harness) -> Options {
        let url = format!("wss://localhost:{}/", harness.address.port());
        let roots = harness.pki.path("gateway-anchors.pem");
        std::fs::write(&roots, &harness.pki.ca.pem).expect("written");
        let builder = Options::builder(url, roots, &self.chain, &self.key)
            .backoff_min(Duration::from_millis(10))
            .backoff_max(Duration::from_millis(200));
        builder.build().expect("options")
    }
}

async fn connect(harness: &Harness, service: &str, roles: &[&str]) -> Client {
    let files = Files::write(harness, service, &harness.pki.issue(&Profile::service(service, roles)));
    Client::connect(files.options(harness)).await.expect("a session")
}

/// Reads events until one is wanted.
pub async fn event<T>(events: &mut Events, wanted: impl Fn(&Event) -> Option<T>) -> T {
    let reading = async {
        loop {
            let event = events.next().await.expect("an event before the end");
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    };
    timeout(PATIENCE, reading).await.expect("the event in time")
}

async fn connected(events: &mut Events) {
    event(events, |event| matches!(event, Event::Connected { .. }).then_some(())).await;
}

#[tokio::test]
async fn publishes_subscribes_and_knows_itself() {
    let harness = Harness::start().await;
    let reader = connect(&harness, "billing", &["reader"]).await;
    let writer = connect(&harness, "checkout", &["writer"]).await;
    let mut orders = reader.subscribe("orders.>").await.expect("granted");
    let mut events = writer.events();
    writer.publish_confirmed("orders.new", json!({"n": 1})).await.expect("confirmed");
    writer.publish("orders.bytes", vec![0, 255]).await.expect("queued");
    writer.publish("orders.empty", ()).await.expect("queued");
    let message = orders.next().await.expect("a message");
    assert_eq!(message.from.as_ref().map(|from| from.as_str()), Some("checkout"));
    assert_eq!(message.json::<serde_json::Value>().expect("JSON"), json!({"n": 1}));
    assert_eq!(orders.next().await.expect("a message").bytes().as_ref(), [0, 255]);
    assert!(matches!(orders.next().await.expect("a message").body, Body::Empty));

    let refused = writer.publish_confirmed("quotes.x", ()).await;
    assert!(matches!(refused, Err(OperationError::Forbidden { .. })), "{refused:?}");
    assert!(matches!(writer.subscribe("orders.>").await, Err(OperationError::Forbidden { .. })));
    writer.publish("quotes.y", ()).await.expect("queued");
    let rejection = event(&mut events, |event| match event {
        Event::Rejected { rejection } => Some(rejection.clone()),
        _ => None,
    })
    .await;
    assert_eq!(rejection.topic.as_deref(), Some("quotes.y"));

    let whoami = writer.whoami().await.expect("an answer");
    assert_eq!((whoami.service.as_str(), &whoami.details["roles"]), ("checkout", &json!(["writer"])));
    let standing = writer.standing().borrow().clone().expect("a session");
    assert_eq!(whoami.details["session"], standing.session);

    orders.unsubscribe().await.expect("confirmed");
    assert_eq!(harness.gateway().router.subscriptions(), 0);
    writer.close().await;
    reader.close().await;
    harness.sessions(0).await;
}

#[tokio::test]
async fn asks_and_answers() {
    let harness = Harness::start().await;
    let billing = connect(&harness, "billing", &[]).await;
    let checkout = connect(&harness, "checkout", &[]).await;
    let nobody = checkout.request("billing.quote", json!(1)).await;
    assert!(matches!(nobody, Err(OperationError::NoResponders)), "{nobody:?}");
    let mut quotes = billing.subscribe("billing.quote").await.expect("granted");
    let answering = tokio::spawn(async move {
        while let Some(message) = quotes.next().await {
            let number: u64 = message.json().expect("a number");
            if number > 0 {
                billing.respond(&message, json!(number * 2)).await.expect("queued");
            }
        }
    });
    for number in 1..20_u64 {
        let reply = checkout.request("billing.quote", json!(number)).await.expect("an answer");
        assert_eq!(reply.json::<u64>().expect("a number"), number * 2);
        assert_eq!(reply.from.expect("a service").as_str(), "billing");
    }
    let impatient = RequestOptions { timeout: Some(Duration::from_millis(30)), ..RequestOptions::default() };
    let silence = checkout.request_with("billing.quote", json!(0), &impatient).await;
    assert!(matches!(silence, Err(OperationError::Timeout { .. })), "{silence:?}");
    answering.abort();
}

#[tokio::test]
async fn comes_back_to_a_restarted_gateway_with_all_its_subscriptions() {
    let mut harness = Harness::start().await;
    let reader = connect(&harness, "billing", &["reader"]).await;
    let writer = connect(&harness, "checkout", &["writer"]).await;
    let mut all = reader.subscribe("orders.>").await.expect("granted");
    let mut own = reader.subscribe("services.billing.x").await.expect("granted");
    let (mut reads, mut writes) = (reader.events(), writer.events());
    harness.server.stop().await;
    event(&mut reads, |event| matches!(event, Event::Draining { .. }).then_some(())).await;
    event(&mut reads, |event| matches!(event, Event::Disconnected { .. }).then_some(())).await;
    let meanwhile = writer.publish("orders.lost", ()).await;
    assert!(matches!(meanwhile, Err(OperationError::NotConnected)), "{meanwhile:?}");
    let text = std::fs::read_to_string(&harness.config).expect("a configuration");
    let same_port = text.replace("127.0.0.1:0", &harness.address.to_string());
    std::fs::write(&harness.config, same_port).expect("written");
    harness.server = Server::start(&harness.config).await.expect("the same port again");
    connected(&mut reads).await;
    connected(&mut writes).await;
    wait_until(|| harness.gateway().router.subscriptions() == 2).await;
    writer.publish_confirmed("orders.again", ()).await.expect("confirmed");
    reader.publish_confirmed("services.billing.x", ()).await.expect("confirmed");
    assert_eq!(all.next().await.expect("a message").topic.as_str(), "orders.again");
    assert_eq!(own.next().await.expect("a message").topic.as_str(), "services.billing.x");
}

#[tokio::test]
async fn a_certificate_rotated_on_disk_is_used_at_the_next_attempt() {
    let harness = Harness::start().await;
    let old = harness.pki.issue(&Profile::service("billing", &["reader"]));
    let files = Files::write(&harness, "billing", &old);
    let client = Client::connect(files.options(&harness)).await.expect("a session");
    let mut orders = client.subscribe("orders.>").await.expect("granted");
    let mut events = client.events();
    let fingerprint = async || client.whoami().await.expect("an answer").details["fingerprint"].clone();
    let before = fingerprint().await;
    // One that lives no longer than the old one is refused on the live session, and good for the next.
    files
        .replace(&harness.pki.issue(&Profile { not_after: 600, ..Profile::service("billing", &["reader"]) }));
    event(&mut events, |event| matches!(event, Event::ReauthRejected { .. }).then_some(())).await;
    assert_eq!(fingerprint().await, before, "a live session keeps what it began with");
    harness.pki.revoke(&old);
    connected(&mut events).await;
    assert_ne!(fingerprint().await, before);
    let mut writer = harness.connect("checkout", &["writer"]).await;
    wait_until(|| harness.gateway().router.subscriptions() == 1).await;
    writer.ok(r#"{"op":"pub","id":1,"topic":"orders.x"}"#).await;
    assert_eq!(orders.next().await.expect("a message").topic.as_str(), "orders.x");
}

#[tokio::test]
async fn a_revoked_client_is_told_so_and_asks_only_slowly() {
    let harness = Harness::start().await;
    let issued = harness.pki.issue(&Profile::service("mallory", &[]));
    let files = Files::write(&harness, "mallory", &issued);
    let client = Client::connect(files.options(&harness)).await.expect("a session");
    let mut events = client.events();
    harness.pki.revoke(&issued);
    let (code, reason, retry_in) = event(&mut events, |event| match event {
        Event::Disconnected { reason, retry_in, .. } => match &**reason {
            Ending::Closed(close) => Some((close.code, close.reason.clone(), *retry_in)),
            other => panic!("a close was expected, not {other:?}"),
        },
        _ => None,
    })
    .await;
    assert_eq!((code, reason.as_str()), (4403, "revoked"));
    assert!(retry_in >= Some(Duration::from_millis(100)), "half of the slowest pace at least: {retry_in:?}");
    let refused = event(&mut events, |event| match event {
        Event::ConnectFailed { error, .. } => Some(error.clone()),
        _ => None,
    })
    .await;
    assert!(matches!(*refused, ConnectError::CertificateRefused { .. }), "{refused:?}");
    assert!(matches!(client.whoami().await, Err(OperationError::NotConnected)));
    let again = Client::connect(files.options(&harness)).await;
    assert!(matches!(again, Err(ConnectError::CertificateRefused { .. })), "{again:?}");
}

#[tokio::test]
async fn what_stands_in_the_way_of_a_connection_is_told_apart() {
    let harness = Harness::start().await;
    let out = "[[grant]]\nname = \"out\"\nservices = [\"out\"]\nconnect = false\n";
    harness.set_policy(&format!("{}{out}", crate::harness::POLICY)).await;
    let foreign = Ca::root("other root").issue(&Profile::service("billing", &[]));
    let attempt = async |name: &str, issued: &Issued| {
        let files = Files::write(&harness, name, issued);
        Client::connect(files.options(&harness)).await.expect_err("no session")
    };
    let error = attempt("foreign", &foreign).await;
    assert!(matches!(error, ConnectError::CertificateRefused { .. }), "{error:?}");
    match attempt("out", &harness.pki.issue(&Profile::service("out", &[]))).await {
        ConnectError::Refused(refusal) => {
            assert_eq!(refusal.status, 403);
            assert_eq!(refusal.kind.as_deref(), Some("urn:portcullis:problem:connect-forbidden"));
        }
        other => panic!("a refusal was expected, not {other:?}"),
    }
    let files = Files::write(&harness, "good", &harness.pki.issue(&Profile::service("billing", &[])));
    let options = files.options(&harness);
    std::fs::write(harness.pki.path("gateway-anchors.pem"), Ca::root("other root").pem).expect("written");
    let error = Client::connect(options).await.expect_err("no session");
    assert!(matches!(error, ConnectError::GatewayNotTrusted { .. }), "{error:?}");
}

#[tokio::test]
async fn a_subscription_taken_by_the_policy_ends_and_the_client_says_why() {
    let harness = Harness::start().await;
    let client = connect(&harness, "billing", &["reader"]).await;
    let mut orders = client.subscribe("orders.>").await.expect("granted");
    let mut own = client.subscribe("services.billing.>").await.expect("granted");
    let mut events = client.events();
    harness.set_policy(&crate::harness::POLICY.replace("subscribe = [\"orders.>\"]", "")).await;
    let lost = event(&mut events, |event| match event {
        Event::SubscriptionLost { pattern, .. } => Some(pattern.to_string()),
        _ => None,
    })
    .await;
    assert_eq!(lost, "orders.>");
    assert!(orders.next().await.is_none());
    client.publish("services.billing.x", ()).await.expect("queued");
    assert!(own.next().await.is_some());
}

#[tokio::test]
async fn a_draining_gateway_is_left_for_the_next_one_without_losing_a_request() {
    let harness = Harness::start().await;
    let text = std::fs::read_to_string(&harness.config).expect("a configuration");
    let patient = text.replace("drain_timeout_ms = 300", "drain_timeout_ms = 8000");
    crate::harness::replace(&harness.config, patient.as_bytes());
    harness.generation_at_least(2).await;
    let client = connect(&harness, "billing", &[]).await;
    let asker = connect(&harness, "checkout", &[]).await;
    let mut quotes = client.subscribe("billing.quote").await.expect("granted");
    let mut events = asker.events();
    let asking = tokio::spawn(async move { asker.request("billing.quote", json!(1)).await });
    let asked = quotes.next().await.expect("a request");
    let stopping = tokio::spawn(harness.server.stop());
    event(&mut events, |event| matches!(event, Event::Draining { .. }).then_some(())).await;
    // A session that drains still serves what was begun.
    client.respond(&asked, json!(2)).await.expect("queued");
    assert!(asking.await.expect("no panic").is_ok());
    client.close().await;
    timeout(PATIENCE, stopping).await.expect("when the last has left it stops").expect("no panic");
}
