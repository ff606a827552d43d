//! A gateway without sockets, and peers that speak WebSocket over a stream in memory.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::clock::unix_now;
use crate::connection::{OriginRule, UpgradeRules};
use crate::gateway::Gateway;
use crate::generation::{Generation, ListenerNames, ListenerState};
use crate::identity::certificate::Fingerprint;
use crate::identity::peer::VerifiedPeer;
use crate::identity::{ServiceIdentity, ServiceName};
use crate::limits::Limits;
use crate::protocol::{Dialect, Headers, Payload};
use crate::routing::{Parcel, Turn};
use crate::session::transport::plain::Plain;
use crate::session::{CloseReason, Counts, Origin, Session, SessionId};
use crate::testing::{Authority, policy};
use crate::tls;
use crate::topic::Topic;
use crate::trust::TrustDomains;
use crate::trust::test_pki::TestLeaf;
use crate::trust::verifier::ClientVerifier;
use crate::verdict;

/// Everybody may do everything that is not reserved.
pub(super) const OPEN: &str = r#"
    [[grant]]
    name = "everything"
    services = ["*"]
    publish = [">"]
    subscribe = [">"]
"#;
/// The name that the gateway is dialled by.
pub(super) const HOST: &str = "gateway.test";
/// Longer than any timeout of a test and shorter than a credential: a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(600);
/// Bytes on the way between gateway and peer before a write waits.
pub(super) const PIPE: usize = 4 * 1024;

pub(super) struct World {
    pub(super) gateway: Arc<Gateway>,
    pub(super) authority: Authority,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(super) fn with(limits: Limits) -> Self {
        let authority = Authority::new("root");
        Self::of(authority, |_| {}, limits)
    }

    /// One whose first generation differs from the usual by what `change` does.
    pub(super) fn of(authority: Authority, change: impl FnOnce(&mut Generation), limits: Limits) -> Self {
        let trust = authority.trust(1, &[]);
        let listeners = vec![listener(&authority, trust.clone())];
        let (policy, limits) = (policy(OPEN), Arc::new(limits));
        let (deny, renewal) = (Arc::default(), Arc::default());
        let mut first = Generation {
            number: 1,
            listeners,
            trust,
            policy,
            deny,
            limits,
            dialects: Arc::default(),
            renewal,
        };
        change(&mut first);
        Self { gateway: Arc::new(Gateway::new("test", first)), authority }
    }

    /// A greeted session of `service`.
    pub(super) async fn connect(&self, service: &str) -> Peer {
        self.connect_for(service, 24 * 3600).await
    }

    /// One whose certificate ends in `seconds`.
    pub(super) async fn connect_for(&self, service: &str, seconds: u64) -> Peer {
        let mut peer = self.connect_ungreeted(service, seconds);
        peer.greeted().await;
        peer
    }

    /// One of this certificate.
    pub(super) async fn connect_as(&self, leaf: &TestLeaf) -> Peer {
        let mut peer = self.open_by(&self.gateway.generation(), leaf, || {});
        peer.greeted().await;
        peer
    }

    /// One that was sent nothing and read nothing yet. Certificates have the length of the name as their serial.
    pub(super) fn connect_ungreeted(&self, service: &str, seconds: u64) -> Peer {
        self.connect_after(service, seconds, || {})
    }

    /// One to which something happens between the verdict that lets it in and its registration.
    pub(super) fn connect_after(&self, service: &str, seconds: u64, between: impl FnOnce()) -> Peer {
        let leaf = self.authority.client(service, service.len() as u64, seconds);
        self.open_by(&self.gateway.generation(), &leaf, between)
    }

    /// One that this generation let in, with something that happens between its verdict and the registration.
    pub(super) fn open_by(&self, generation: &Generation, leaf: &TestLeaf, between: impl FnOnce()) -> Peer {
        self.open_in(Dialect::Json, generation, leaf, between)
    }

    /// The same in any dialect.
    pub(super) fn open_in(
        &self,
        dialect: Dialect,
        generation: &Generation,
        leaf: &TestLeaf,
        between: impl FnOnce(),
    ) -> Peer {
        let verified = VerifiedPeer::proven(generation.trust.verify(&leaf.der, &[], unix_now()).unwrap());
        let standing = verdict::judge(generation, &verified).unwrap();
        let address = IpAddr::from([127, 0, 0, 1]);
        let admission = self.gateway.admissions.admit(address, &generation.limits).unwrap();
        let place = admission.take_service(standing.identity.service(), &generation.limits).unwrap();
        between();
        let origin = Origin { address: (address, 1).into(), listener: 0 };
        let session =
            Session::open(self.gateway.clone(), origin, dialect, Arc::new(verified), standing, place);
        let (ours, theirs) = tokio::io::duplex(PIPE);

        let running = tokio::spawn(session.run(Plain::new(theirs), Vec::new()));
        Peer { stream: ours, buffer: BytesMut::new(), hello: Value::Null, running }
    }

    /// Installs a generation that differs from the current one by what `change` does.
    pub(super) fn change(&self, change: impl FnOnce(&mut Generation)) {
        let current = self.gateway.generation();
        let listener = |listener: &ListenerState| {
            let names = listener.names.clone();
            named_listener(&self.authority, current.trust.clone(), names)
        };
        let mut next = Generation {
            number: current.number + 1,
            listeners: current.listeners.iter().map(listener).collect(),
            trust: current.trust.clone(),
            policy: current.policy.clone(),
            deny: current.deny.clone(),
            renewal: current.renewal.clone(),
            limits: current.limits.clone(),
            dialects: current.dialects.clone(),
        };
        change(&mut next);
        self.gateway.install(Arc::new(next), tokio::time::Instant::now());
    }

    /// Publishes messages of so many bytes all at once, and tells how many were taken.
    pub(super) fn publish(&self, topic: &str, bytes: usize, count: usize) -> usize {
        let from = ServiceName::parse("publisher").unwrap();
        let grants = self.gateway.generation().policy.grants(&from, &[]);
        let topic = Topic::parse(topic).unwrap();
        let (mut lane, mut turn) =
            (self.gateway.router.lane(grants.publish(&topic).unwrap()), Turn::default());
        let identity = ServiceIdentity::for_test("publisher", "test", &[]);
        let parcel = || Parcel {
            from: &identity,
            session: SessionId::random(),
            payload: Payload::binary(vec![b'x'; bytes]),
            headers: Headers::default(),
            reply: None,
            answer_within: None,
        };
        (0..count).map(|_| self.gateway.router.publish(&mut lane, parcel(), &mut turn)).sum()
    }

    pub(super) fn change_policy(&self, text: &str) {
        self.change(|next| next.policy = policy(text));
    }

    pub(super) fn revoke(&self, serial: u64) {
        self.change(|next| next.trust = self.authority.trust(2, &[serial]));
    }
}

/// A listener that goes by one name.
pub(super) fn listener(authority: &Authority, trust: Arc<TrustDomains>) -> ListenerState {
    named_listener(authority, trust, Arc::new(ListenerNames::new([HOST.to_owned()])))
}

fn named_listener(
    authority: &Authority,
    trust: Arc<TrustDomains>,
    names: Arc<ListenerNames>,
) -> ListenerState {
    let leaf = authority.gateway(3_600);
    let certificate = tls::certified_key(vec![leaf.der.clone()], leaf.key_der()).unwrap();
    let rules = UpgradeRules {
        path: "/".into(),
        nats_path: "/nats".into(),
        default_dialect: None,
        origins: OriginRule::DenyPresent,
    };
    let verifier = Arc::new(ClientVerifier::new(trust));
    let facts = (Fingerprint::of(&leaf.der), u64::MAX);
    ListenerState::new(verifier, certificate, facts, names, false, Arc::new(rules)).unwrap()
}

/// A frame of the gateway.
#[derive(Debug, PartialEq)]
pub(super) enum Frame {
    Text(Value),
    Binary(Vec<u8>),
    Ping,
    Pong(Vec<u8>),
    Close(u16, String),
}

/// The far end of a session.
pub(super) struct Peer {
    pub(super) stream: DuplexStream,
    buffer: BytesMut,
    /// What it was greeted with; `null` before.
    pub(super) hello: Value,
    running: JoinHandle<(CloseReason, Counts)>,
}

impl Peer {
    pub(super) async fn greeted(&mut self) {
        self.hello = self.receive().await;
        assert_eq!(self.hello["op"], "hello");
    }

    pub(super) async fn send(&mut self, message: Value) {
        self.frame(0x81, message.to_string().as_bytes()).await;
    }

    /// A whole frame, masked with zeros: the first byte is FIN and opcode.
    pub(super) async fn frame(&mut self, first: u8, payload: &[u8]) {
        let mut frame = vec![first];
        match payload.len() {
            short @ 0..=125 => frame.push(0x80 | short as u8),
            middle @ 126..=0xffff => {
                frame.push(0x80 | 126);
                frame.extend((middle as u16).to_be_bytes());
            }
            long => {
                frame.push(0x80 | 127);
                frame.extend((long as u64).to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        self.stream.write_all(&frame).await.unwrap();
    }

    /// The next frame, or `None` at the end of the stream.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.parse() {
                return Some(frame);
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await;
            if read.expect("the gateway says nothing").unwrap() == 0 {
                return None;
            }
        }
    }

    /// All bytes as they come, frame headers among them, up to `end`.
    pub(super) async fn bytes_until(&mut self, end: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        while !bytes.ends_with(end) {
            let read = timeout(PATIENCE, self.stream.read_buf(&mut bytes)).await;
            assert_ne!(read.expect("the gateway says nothing").unwrap(), 0, "the session lives");
        }
        bytes
    }

    fn parse(&mut self) -> Option<Frame> {
        let (first, second) = (*self.buffer.first()?, *self.buffer.get(1)?);
        let (length, header) = match second {
            126 => (u16::from_be_bytes(self.buffer.get(2..4)?.try_into().unwrap()).into(), 4),
            127 => (u64::from_be_bytes(self.buffer.get(2..10)?.try_into().unwrap()) as usize, 10),
            short => (usize::from(short), 2),
        };
        let payload = self.buffer.get(header..header + length)?.to_vec();
        self.buffer.advance(header + length);
        Some(match first {
            0x81 => Frame::Text(serde_json::from_slice(&payload).unwrap()),
            0x82 => Frame::Binary(payload),
            0x88 => {
                let (code, reason) = payload.split_at(2);
                let code = u16::from_be_bytes(code.try_into().unwrap());
                Frame::Close(code, String::from_utf8(reason.to_vec()).unwrap())
            }
            0x89 => Frame::Ping,
            0x8a => Frame::Pong(payload),
            other => panic!("a frame of type {other:#x}"),
        })
    }

    /// The next message; pings are passed over.
    pub(super) async fn receive(&mut self) -> Value {
        loop {
            match self.next().await.expect("the session lives") {
                Frame::Text(message) => return message,
                Frame::Ping => {}
                other => panic!("expected a message, found {other:?}"),
            }
        }
    }

    /// The next frame that is no ping; pings are answered, however long it takes.
    pub(super) async fn frame_while_alive(&mut self) -> Frame {
        loop {
            match self.next().await.expect("a frame before the end") {
                Frame::Ping => self.frame(0x8a, b"").await,
                other => return other,
            }
        }
    }

    /// The same, for a message.
    pub(super) async fn text_while_alive(&mut self) -> Value {
        match self.frame_while_alive().await {
            Frame::Text(message) => message,
            other => panic!("expected a message, found {other:?}"),
        }
    }

    /// Sends an operation with this id and returns its answer, which must be the next message.
    pub(super) async fn ask(&mut self, id: u64, mut operation: Value) -> Value {
        operation["id"] = json!(id);
        self.send(operation).await;
        let answer = self.receive().await;
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    /// The same, for one that must succeed.
    pub(super) async fn done(&mut self, id: u64, operation: Value) {
        let answer = self.ask(id, operation).await;
        assert_eq!(answer["op"], "ok", "{answer}");
    }

    pub(super) async fn subscribe(&mut self, sid: u64, pattern: &str) {
        self.done(1_000 + sid, json!({"op": "sub", "sid": sid, "topic": pattern})).await;
    }

    /// Waits for the close frame, which must be the next frame but for pings.
    pub(super) async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.next().await {
                Some(Frame::Ping) => {}
                Some(Frame::Close(code, reason)) => return (code, reason),
                other => panic!("expected a close frame, found {other:?}"),
            }
        }
    }

    /// The same for an end that is paced, without what it says about coming back.
    pub(super) async fn closed_paced(&mut self) -> (u16, String) {
        let (code, text) = self.closed().await;
        let (reason, hint) = text.split_once(" retry_after_ms=").expect("a hint");
        assert!(hint.parse::<u64>().is_ok_and(|hint| hint >= 1_000), "{hint}");
        (code, reason.into())
    }

    /// Goes away, and tells how the session saw its end.
    pub(super) async fn gone(self) -> (CloseReason, Counts) {
        drop(self.stream);
        timeout(PATIENCE, self.running).await.expect("the session ends").unwrap()
    }

    /// How the session ends while the peer stays and reads nothing.
    pub(super) async fn watched(&mut self) -> CloseReason {
        timeout(PATIENCE, &mut self.running).await.expect("the session ends").unwrap().0
    }
}
