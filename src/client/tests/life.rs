use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::AlertDescription;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::gateway::{Gateway, HOST};
use crate::client::{
    Client, ConnectError, CredentialError, CredentialFile, Ending, Event, Events, OperationError,
    RequestOptions, SubscribeOptions,
};

async fn disconnected(events: &mut Events) -> (Ending, Option<Duration>) {
    loop {
        if let Event::Disconnected { reason, retry_in, .. } = events.next().await.unwrap() {
            return (std::sync::Arc::into_inner(reason).unwrap(), retry_in);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_begins_with_its_standing() {
    let mut gateway = Gateway::new();
    let (client, _peer) = gateway.connect().await;
    let standing = client.standing().borrow().clone().unwrap();
    assert_eq!(standing.service.as_str(), "orders");
    assert_eq!(standing.roles.len(), 1);
    assert_eq!(standing.limits.max_payload, Some(65_536));
}

#[tokio::test(start_paused = true)]
async fn files_are_read_anew_for_every_connection() {
    let mut gateway = Gateway::new();
    let (_client, peer) = gateway.connect().await;
    let old = peer.leaf.clone();
    let new = gateway.files.rotate();
    drop(peer);
    let peer = gateway.accept().await;
    assert_ne!(peer.leaf, old);
    assert_eq!(peer.leaf, new);
}

#[tokio::test(start_paused = true)]
async fn no_session_is_ever_resumed() {
    let mut gateway = Gateway::new();
    let (_client, peer) = gateway.connect().await;
    drop(peer);
    let stream = gateway.handshake().await.unwrap();
    assert_eq!(stream.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full));
}

#[tokio::test(start_paused = true)]
async fn each_fault_of_a_file_names_the_file() {
    let gateway = Gateway::new();
    let connect = || Client::connect(gateway.options().build().unwrap());
    let good_key = std::fs::read(gateway.files.path("key.pem")).unwrap();

    gateway.files.rotate();
    std::fs::write(gateway.files.path("key.pem"), good_key).unwrap();
    let fault = connect().await.unwrap_err();
    assert!(matches!(fault, ConnectError::Credentials(CredentialError::Pair { .. })), "{fault:?}");

    std::fs::write(gateway.files.path("key.pem"), "").unwrap();
    let fault = connect().await.unwrap_err();
    let expected = CredentialFile::Key;
    assert!(
        matches!(fault, ConnectError::Credentials(CredentialError::Empty { file, .. }) if file == expected)
    );

    std::fs::write(gateway.files.path("cert.pem"), "-----BEGIN CERTIFICATE-----\n???").unwrap();
    let fault = connect().await.unwrap_err();
    let expected = CredentialFile::Chain;
    assert!(matches!(
        fault,
        ConnectError::Credentials(CredentialError::Pem { file, .. } | CredentialError::Empty { file, .. }) if file == expected
    ));

    std::fs::remove_file(gateway.files.path("ca.pem")).unwrap();
    let fault = connect().await.unwrap_err();
    let expected = CredentialFile::Anchors;
    assert!(
        matches!(fault, ConnectError::Credentials(CredentialError::Read { file, .. }) if file == expected)
    );
}

#[tokio::test(start_paused = true)]
async fn a_gateway_of_another_name_or_authority_is_not_trusted() {
    let mut gateway = Gateway::new();
    let options = gateway.options().server_name("other.test").build().unwrap();
    let (outcome, _) = tokio::join!(Client::connect(options), gateway.handshake());
    assert!(matches!(outcome, Err(ConnectError::GatewayNotTrusted { .. })));

    let other = Gateway::new();
    std::fs::copy(other.files.path("ca.pem"), gateway.files.path("ca.pem")).unwrap();
    let options = gateway.options().build().unwrap();
    let (outcome, _) = tokio::join!(Client::connect(options), gateway.handshake());
    assert!(matches!(outcome, Err(ConnectError::GatewayNotTrusted { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_refused_certificate_is_known_by_its_alert() {
    let mut gateway = Gateway::new();
    let other = Gateway::new();
    for file in ["cert.pem", "key.pem"] {
        std::fs::copy(other.files.path(file), gateway.files.path(file)).unwrap();
    }
    let options = gateway.options().build().unwrap();
    let (outcome, handshake) = tokio::join!(Client::connect(options), gateway.handshake());
    assert!(handshake.is_err());
    let Err(ConnectError::CertificateRefused { alert }) = outcome else { panic!("{outcome:?}") };
    assert!(matches!(alert, AlertDescription::UnknownCA | AlertDescription::DecryptError), "{alert:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_before_the_session_is_read_whole() {
    let mut gateway = Gateway::new();
    let body = r#"{"type":"urn:portcullis:draining","detail":"this gateway goes away"}"#;
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 9\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let ConnectError::Refused(refusal) = gateway.attempt_refused(&answer).await else {
        panic!("not refused")
    };
    assert_eq!((refusal.status, refusal.kind.as_deref()), (503, Some("urn:portcullis:draining")));
    assert_eq!(refusal.retry_after, Some(Duration::from_secs(9)));
    assert_eq!(refusal.detail.as_deref(), Some("this gateway goes away"));

    let bare = gateway.attempt_refused("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    assert!(
        matches!(bare, ConnectError::Refused(refusal) if refusal.status == 400 && refusal.kind.is_none())
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_no_upgrade_is_refused() {
    let mut gateway = Gateway::new();
    let fault = gateway.attempt_refused("SSH-2.0-OpenSSH\r\n\r\n").await;
    assert!(matches!(fault, ConnectError::Http { .. }), "{fault:?}");
    let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Accept: AAAA\r\nSec-WebSocket-Protocol: portcullis.json.v1\r\n\r\n";
    let fault = gateway.attempt_refused(answer).await;
    assert!(matches!(fault, ConnectError::Upgrade { .. }), "{fault:?}");
    let endless = format!("HTTP/1.1 101 Switching Protocols\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    let fault = gateway.attempt_refused(&endless).await;
    assert!(matches!(fault, ConnectError::Upgrade { .. }), "{fault:?}");
}

#[tokio::test(start_paused = true)]
async fn what_ends_before_the_greeting_is_a_connect_error() {
    let mut gateway = Gateway::new();
    let connect = |gateway: &Gateway| Client::connect(gateway.options().build().unwrap());
    let attempt = connect(&gateway);
    let (outcome, ()) = tokio::join!(attempt, async {
        gateway.accept_silently().await.close(4403, "denied").await;
    });
    assert!(matches!(outcome, Err(ConnectError::Closed(reason)) if reason.reason == "denied"));

    let attempt = connect(&gateway);
    let (outcome, ()) = tokio::join!(attempt, async {
        gateway.accept_silently().await.send(json!({"op": "draining", "deadline": 1})).await;
    });
    assert!(matches!(outcome, Err(ConnectError::NoHello)));

    let before = Instant::now();
    let attempt = connect(&gateway);
    let (outcome, _peer) = tokio::join!(attempt, gateway.accept_silently());
    assert!(matches!(outcome, Err(ConnectError::TimedOut { .. })));
    assert!(before.elapsed() >= Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn the_gateways_pace_is_kept() {
    let mut gateway = Gateway::new();
    let (client, peer) = gateway.connect().await;
    let mut events = client.events();
    let before = Instant::now();
    peer.close(1013, "overload retry_after_ms=45000").await;
    let (ending, retry_in) = disconnected(&mut events).await;
    assert!(matches!(ending, Ending::Closed(reason) if reason.reason == "overload"));
    assert!(retry_in.unwrap() >= Duration::from_secs(45));
    gateway.refuse("HTTP/1.1 503 Busy\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n").await;
    assert!(before.elapsed() >= Duration::from_secs(45));
    let Some(Event::ConnectFailed { error, retry_in }) = events.next().await else { panic!("no event") };
    assert!(matches!(&*error, ConnectError::Refused(_)));
    assert!(retry_in >= Duration::from_secs(120));
    let _peer = gateway.accept().await;
    assert!(before.elapsed() >= Duration::from_secs(165));
}

/// A gateway that sends thousands away spreads their return; the certificate on disk may be the next one already.
#[tokio::test(start_paused = true)]
async fn a_paced_end_is_followed_by_a_return_at_the_time_it_names() {
    let mut gateway = Gateway::new();
    let (client, peer) = gateway.connect().await;
    let mut events = client.events();
    peer.close(4403, "untrusted retry_after_ms=61500").await;
    let (_, retry_in) = disconnected(&mut events).await;
    let (least, most) = (Duration::from_millis(61_500), Duration::from_millis(61_500) * 5 / 4);
    assert!(retry_in.is_some_and(|wait| (least..=most).contains(&wait)), "{retry_in:?}");
    let _peer = gateway.accept().await;
}

#[tokio::test(start_paused = true)]
async fn a_verdict_is_asked_about_slowly_and_a_fault_soon() {
    let mut gateway = Gateway::new();
    let (client, peer) = gateway.connect().await;
    let mut events = client.events();
    drop(peer);
    let (_, retry_in) = disconnected(&mut events).await;
    assert!(retry_in.unwrap() <= Duration::from_secs(1));
    let peer = gateway.accept().await;
    peer.close(4403, "revoked").await;
    let (_, retry_in) = disconnected(&mut events).await;
    assert!(retry_in.unwrap() >= Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn sessions_that_die_at_once_do_not_reset_the_backoff() {
    let mut gateway = Gateway::new();
    let (client, peer) = gateway.connect().await;
    let mut events = client.events();
    drop(peer);
    for _ in 0..8 {
        drop(gateway.accept().await);
    }
    let mut last = None;
    for _ in 0..9 {
        last = disconnected(&mut events).await.1;
    }
    assert!(last.unwrap() >= Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn a_silent_gateway_is_given_up_after_two_pings() {
    let mut gateway = Gateway::new();
    let (client, peer) = gateway.connect().await;
    let mut events = client.events();
    let (ending, _) = disconnected(&mut events).await;
    assert!(matches!(ending, Ending::Silent { .. }));
    drop(peer);
}

#[tokio::test(start_paused = true)]
async fn a_draining_gateway_is_left_before_its_deadline() {
    let mut gateway = Gateway::new();
    let (client, mut old) = gateway.connect().await;
    let (subscription, sub) = tokio::join!(client.subscribe("a.b"), old.confirm("sub"));
    let mut subscription = subscription.unwrap();
    let message = |data| json!({"op": "msg", "sid": sub["sid"], "topic": "a.b", "from": "x", "data": data});

    let in_group = SubscribeOptions { group: Some("workers".into()), echo: true };
    let (shared, shared_sub) = tokio::join!(client.subscribe_with("c", in_group), old.confirm("sub"));
    let mut shared = shared.unwrap();

    let before = Instant::now();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let deadline = u64::try_from((now + Duration::from_secs(60)).as_millis()).unwrap();
    let slow = tokio::spawn({
        let client = client.clone();
        let options = RequestOptions { timeout: Some(Duration::from_secs(120)), ..RequestOptions::default() };
        async move { client.request_with("slow", (), &options).await }
    });
    let request = old.receive().await;
    old.send(json!({"op": "draining", "deadline": deadline, "alternatives": []})).await;
    let mut new = gateway.accept().await;
    assert!(before.elapsed() <= Duration::from_secs(31));
    assert_eq!(new.confirm("sub").await["sid"], sub["sid"]);
    assert_eq!(new.confirm("sub").await["sid"], shared_sub["sid"]);

    // What went to this one member of a group comes nowhere else, so the old session still delivers it.
    old.send(json!({"op": "msg", "sid": shared_sub["sid"], "topic": "c", "from": "x"})).await;
    assert!(shared.next().await.is_some());
    // It still owes an answer, and delivers nothing twice.
    old.send(message(1)).await;
    new.send(message(2)).await;
    assert_eq!(subscription.next().await.unwrap().json::<u8>().unwrap(), 2);
    old.send(json!({"op": "res", "id": request["id"], "from": "b"})).await;
    slow.await.unwrap().unwrap();
    assert_eq!(u16::from(old.closed().await.unwrap().code), 1000);
    client.publish("x", ()).await.unwrap();
    assert_eq!(new.receive().await["op"], "pub");
}

#[tokio::test(start_paused = true)]
async fn a_close_writes_what_is_queued_and_ends_in_good_order() {
    let mut gateway = Gateway::new();
    let (client, mut peer) = gateway.connect().await;
    let (subscription, _) = tokio::join!(client.subscribe("a.b"), peer.confirm("sub"));
    let mut subscription = subscription.unwrap();
    let mut events = client.events();
    for topic in ["one", "two"] {
        client.publish(topic, ()).await.unwrap();
    }
    let ((), ()) = tokio::join!(client.close(), async {
        assert_eq!(peer.receive().await["topic"], "one");
        assert_eq!(peer.receive().await["topic"], "two");
        assert_eq!(u16::from(peer.closed().await.unwrap().code), 1000);
    });
    assert!(subscription.next().await.is_none());
    assert!(matches!(client.publish("x", ()).await, Err(OperationError::NotConnected)));
    let (ending, retry_in) = disconnected(&mut events).await;
    assert!(matches!(ending, Ending::Asked));
    assert_eq!(retry_in, None);
    assert!(events.next().await.is_none());
    assert!(!gateway.is_called());
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_closes_the_session() {
    let mut gateway = Gateway::new();
    let (client, mut peer) = gateway.connect().await;
    let other = client.clone();
    drop(client);
    other.publish("x", ()).await.unwrap();
    assert_eq!(peer.receive().await["op"], "pub");
    drop(other);
    assert_eq!(u16::from(peer.closed().await.unwrap().code), 1000);
}

#[tokio::test(start_paused = true)]
async fn the_first_connection_can_be_waited_for() {
    let mut gateway = Gateway::new();
    let options = gateway.options().build().unwrap();
    let (client, _peer) = tokio::join!(Client::connect_with_retry(options), async {
        gateway.hang_up().await;
        gateway.hang_up().await;
        gateway.accept().await
    });
    assert!(client.standing().borrow().is_some());
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_request_says_what_the_protocol_wants() {
    let mut gateway = Gateway::new();
    let attempt = Client::connect(gateway.options().build().unwrap());
    let (_, request) = tokio::join!(attempt, async {
        let mut stream = gateway.handshake().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
        }
        String::from_utf8(request).unwrap()
    });
    assert!(request.starts_with("GET / HTTP/1.1\r\n"));
    for header in [format!("Host: {HOST}:8443"), "Sec-WebSocket-Protocol: portcullis.json.v1".to_owned()] {
        assert!(request.contains(&format!("\r\n{header}\r\n")), "{request}");
    }
}

#[tokio::test]
async fn a_session_runs_over_tcp() {
    let mut gateway = Gateway::new();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let options = gateway.options_over_tcp(listener.local_addr().unwrap());
    let mut tunnel = gateway.open_tunnel().await;
    let carry = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut tunnel).await;
    });
    let (client, mut peer) = gateway.connect_with(options).await;
    let (outcome, _) = tokio::join!(client.publish_confirmed("a.b", ()), peer.confirm("pub"));
    outcome.unwrap();
    tokio::join!(client.close(), peer.closed());
    drop(peer);
    carry.await.unwrap();
}
