//! A service in either dialect: what it does and what it hears, without how its dialect spells that.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::world::{Frame, Peer, World};
use crate::protocol::Dialect;

/// Every publisher with every receiver.
pub(super) fn pairs() -> impl Iterator<Item = (Dialect, Dialect)> {
    let all = Dialect::ALL.into_iter().flat_map(|one| Dialect::ALL.map(|other| (one, other)));
    // Told by a test that fails.
    all.inspect(|(one, other)| println!("{one:?} with {other:?}"))
}

/// One session, seen from the service's side.
pub(super) struct Speaker {
    dialect: Dialect,
    service: String,
    pub(super) peer: Peer,
    /// What of the NATS stream is not understood yet.
    stream: Vec<u8>,
    /// What was heard while something else was waited for.
    heard: VecDeque<Heard>,
    /// Operations so far; in the NATS dialect, requests.
    number: u64,
    has_inbox: bool,
}

/// What a service hears that is no answer to an operation.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Heard {
    Message(Received),
    /// The answer to the request of this number: who gave it and what, or why there is none.
    Answer(u64, Result<(String, String), String>),
    /// This subscription was taken away.
    Taken(String),
    /// The gateway is about to go away.
    Leaving,
    /// The session is over; in the NATS dialect with the error that stood before its close frame.
    Closed {
        code: u16,
        reason: String,
        error: Option<String>,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Received {
    pub(super) sid: String,
    pub(super) topic: String,
    pub(super) from: String,
    /// In the order of their names.
    pub(super) headers: Vec<(String, String)>,
    pub(super) reply: Option<String>,
    /// JSON without white space around it.
    pub(super) data: String,
}

/// How the gateway took an operation: done, or why not.
pub(super) type Taken = Result<(), String>;

/// One thing that the gateway said.
enum Said {
    Taken(u64, Taken),
    Heard(Heard),
}

impl Speaker {
    pub(super) async fn open(world: &World, dialect: Dialect, service: &str) -> Self {
        Self::open_for(world, dialect, service, 24 * 3600).await
    }

    /// One whose certificate ends in `seconds`. It has the length of the name as its serial.
    pub(super) async fn open_for(world: &World, dialect: Dialect, service: &str, seconds: u64) -> Self {
        let leaf = world.authority.client(service, service.len() as u64, seconds);
        let peer = world.open_in(dialect, &world.gateway.generation(), &leaf, || {});
        let (stream, heard) = (Vec::new(), VecDeque::new());
        let mut speaker =
            Self { dialect, service: service.into(), peer, stream, heard, number: 0, has_inbox: false };
        match dialect {
            Dialect::Json => speaker.peer.greeted().await,
            Dialect::Nats => {
                let Some(Frame::Binary(info)) = speaker.peer.next().await else { panic!("no INFO") };
                assert!(info.starts_with(b"INFO {") && info.ends_with(b"}\r\n"));
                let connect = r#"CONNECT {"verbose":true,"headers":true,"no_responders":true}"#;
                speaker.say(format!("{connect}\r\n")).await;
                assert_eq!(speaker.taken().await, Ok(()));
            }
        }
        speaker
    }

    pub(super) async fn subscribe(&mut self, sid: &str, pattern: &str) -> Taken {
        let said = format!("SUB {pattern} {sid}\r\n");
        self.operate(json!({"op": "sub", "sid": sid, "topic": pattern}), said).await
    }

    pub(super) async fn join(&mut self, sid: &str, pattern: &str, group: &str) -> Taken {
        let said = format!("SUB {pattern} {group} {sid}\r\n");
        self.operate(json!({"op": "sub", "sid": sid, "topic": pattern, "group": group}), said).await
    }

    pub(super) async fn unsubscribe(&mut self, sid: &str) -> Taken {
        self.operate(json!({"op": "unsub", "sid": sid}), format!("UNSUB {sid}\r\n")).await
    }

    pub(super) async fn unsubscribe_after(&mut self, sid: &str, max: u64) -> Taken {
        let said = format!("UNSUB {sid} {max}\r\n");
        self.operate(json!({"op": "unsub", "sid": sid, "max": max}), said).await
    }

    /// Publishes JSON.
    pub(super) async fn publish(&mut self, topic: &str, data: impl Into<Value>) -> Taken {
        let data = data.into();
        let (text, operation) = (data.to_string(), json!({"op": "pub", "topic": topic, "data": data}));
        self.operate(operation, format!("PUB {topic} {}\r\n{text}\r\n", text.len())).await
    }

    pub(super) async fn publish_with(&mut self, topic: &str, headers: &[(&str, &str)], data: u64) -> Taken {
        let object: Value = headers.iter().map(|(name, value)| (name.to_string(), json!(value))).collect();
        let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let (block, text) = (format!("NATS/1.0\r\n{lines}\r\n"), data.to_string());
        let said = format!("HPUB {topic} {} {}\r\n{block}{text}\r\n", block.len(), block.len() + text.len());
        self.operate(json!({"op": "pub", "topic": topic, "data": data, "headers": object}), said).await
    }

    /// Publishes what asks for an answer at `reply`.
    pub(super) async fn publish_for(&mut self, topic: &str, reply: &str) -> Taken {
        let operation = json!({"op": "pub", "topic": topic, "reply": reply});
        self.operate(operation, format!("PUB {topic} {reply} 0\r\n\r\n")).await
    }

    /// Answers what asked for it.
    pub(super) async fn answer(&mut self, reply: &str, data: u64) -> Taken {
        let (text, operation) = (data.to_string(), json!({"op": "res", "reply": reply, "data": data}));
        self.operate(operation, format!("PUB {reply} {}\r\n{text}\r\n", text.len())).await
    }

    /// Asks as the dialect has it, and tells the number of the request. What becomes of it is heard later.
    pub(super) async fn ask(&mut self, topic: &str, data: u64) -> u64 {
        self.number += 1;
        let number = self.number;
        match self.dialect {
            Dialect::Json => {
                self.peer.send(json!({"op": "req", "id": number, "topic": topic, "data": data})).await;
            }
            Dialect::Nats => {
                let inbox = format!("_INBOX.{:0<16}", self.service);
                if !std::mem::replace(&mut self.has_inbox, true) {
                    assert_eq!(self.subscribe("inbox", &format!("{inbox}.*")).await, Ok(()));
                }
                let text = data.to_string();
                let line = format!("PUB {topic} {inbox}.{number} {}", text.len());
                self.say(format!("{line}\r\n{text}\r\n")).await;
                if let Err(reason) = self.taken().await {
                    self.heard.push_back(Heard::Answer(number, Err(reason)));
                }
            }
        }
        number
    }

    /// Sends an operation and waits for how it was taken.
    async fn operate(&mut self, mut json: Value, nats: String) -> Taken {
        match self.dialect {
            Dialect::Json => {
                self.number += 1;
                json["id"] = json!(self.number);
                self.peer.send(json).await;
            }
            Dialect::Nats => self.say(nats).await,
        }
        self.taken().await
    }

    pub(super) async fn say(&mut self, stream: impl AsRef<[u8]>) {
        self.peer.frame(0x82, stream.as_ref()).await;
    }

    pub(super) async fn taken(&mut self) -> Taken {
        loop {
            match self.said().await {
                // Ids of this dialect are all the same.
                Said::Taken(number, taken) => {
                    assert!(self.dialect == Dialect::Nats || number == self.number);
                    let plain = |why: &String| why.starts_with("Permissions Violation");
                    return taken.map_err(|why| if plain(&why) { "forbidden".into() } else { why });
                }
                Said::Heard(Heard::Closed { code, reason, .. }) => return Err(format!("{code} {reason}")),
                Said::Heard(heard) => self.heard.push_back(heard),
            }
        }
    }

    /// What is heard next.
    pub(super) async fn hear(&mut self) -> Heard {
        if let Some(heard) = self.heard.pop_front() {
            return heard;
        }
        match self.said().await {
            Said::Heard(heard) => heard,
            // Nobody waits for an answer: this is what becomes of a subscription.
            Said::Taken(_, Err(text)) => {
                let pattern = text.strip_prefix("Permissions Violation for Subscription to \"");
                let pattern = pattern.and_then(|rest| rest.strip_suffix('"'));
                Heard::Taken(pattern.unwrap_or_else(|| panic!("{text}")).into())
            }
            Said::Taken(..) => panic!("an answer to nothing"),
        }
    }

    pub(super) async fn message(&mut self) -> Received {
        match self.hear().await {
            Heard::Message(message) => message,
            other => panic!("{:?}: a message was expected, not {other:?}", self.dialect),
        }
    }

    /// What becomes of the request of this number, which must be heard next.
    pub(super) async fn answered(&mut self, number: u64) -> Result<(String, String), String> {
        match self.hear().await {
            Heard::Answer(answered, answer) if answered == number => answer,
            other => panic!("{:?}: an answer was expected, not {other:?}", self.dialect),
        }
    }

    /// Reads on to the end of the session: code, reason and, in the NATS dialect, the error before.
    pub(super) async fn closed(&mut self) -> (u16, String, Option<String>) {
        loop {
            if let Heard::Closed { code, reason, error } = self.hear().await {
                return (code, reason, error);
            }
        }
    }

    /// Makes sure that all that was sent to this session before is heard already.
    pub(super) async fn nothing_came(&mut self) {
        // What was queued before the first is with the peer by the second.
        for _ in 0..2 {
            assert_eq!(self.publish("nobody.hears.this", 0).await, Ok(()));
        }
        assert_eq!(self.heard.make_contiguous(), [], "{:?}", self.dialect);
    }

    async fn said(&mut self) -> Said {
        loop {
            if let Some(said) = self.parse().await {
                return said;
            }
            match self.peer.frame_while_alive().await {
                Frame::Text(event) => return self.event(&event),
                Frame::Binary(bytes) => self.stream.extend(bytes),
                Frame::Close(code, reason) => {
                    return Said::Heard(Heard::Closed { code, reason, error: None });
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn event(&self, event: &Value) -> Said {
        let text = |field: &str| event[field].as_str().map(str::to_owned);
        let id = event["id"].as_u64().unwrap_or_default();
        let answer = |answer| Said::Heard(Heard::Answer(id, answer));
        match event["op"].as_str().expect("an operation") {
            "ok" => Said::Taken(id, Ok(())),
            "err" if event["failed_op"] == "req" => answer(Err(text("reason").expect("a reason"))),
            "err" => Said::Taken(id, Err(text("reason").expect("a reason"))),
            "res" => answer(Ok((text("from").expect("a sender"), event["data"].to_string()))),
            "msg" => Said::Heard(Heard::Message(Received {
                sid: text("sid").expect("a sid"),
                topic: text("topic").expect("a topic"),
                from: text("from").expect("a sender"),
                headers: headers(&event["headers"]),
                reply: text("reply"),
                data: event.get("data").map(Value::to_string).unwrap_or_default(),
            })),
            "revoked_sub" => Said::Heard(Heard::Taken(text("topic").expect("a pattern"))),
            "draining" => Said::Heard(Heard::Leaving),
            other => panic!("{other}"),
        }
    }

    /// The next thing in the NATS stream, if it is there whole.
    async fn parse(&mut self) -> Option<Said> {
        let end = self.stream.windows(2).position(|window| window == b"\r\n")?;
        let line = String::from_utf8(self.stream[..end].to_vec()).unwrap();
        let mut words: Vec<_> = line.split(' ').collect();
        let (said, used) = match words[0] {
            "+OK" => (Said::Taken(0, Ok(())), end + 2),
            "INFO" => {
                assert!(line.contains(r#""ldm":true"#), "{line}");
                (Said::Heard(Heard::Leaving), end + 2)
            }
            "-ERR" => {
                let text = line.strip_prefix("-ERR '").and_then(|text| text.strip_suffix('\'')).unwrap();
                if !text.starts_with("Permissions Violation") {
                    self.stream.clear();
                    let Frame::Close(code, reason) = self.peer.frame_while_alive().await else {
                        panic!("{line} is the end")
                    };
                    return Some(Said::Heard(Heard::Closed { code, reason, error: Some(text.into()) }));
                }
                (Said::Taken(0, Err(reason(text))), end + 2)
            }
            verb @ ("MSG" | "HMSG") => {
                let mut size = || words.pop().unwrap().parse::<usize>().unwrap();
                let total = size();
                let head = if verb == "HMSG" { size() } else { 0 };
                let bytes = self.stream.get(end + 2..end + 2 + total + 2)?.to_vec();
                assert!(bytes.ends_with(b"\r\n"), "{line}");
                let head = String::from_utf8(bytes[..head].to_vec()).unwrap();
                let data = String::from_utf8(bytes[head.len()..total].to_vec()).unwrap();
                (Said::Heard(heard(&words[1..], &head, data)), end + 2 + total + 2)
            }
            _ => panic!("{line}"),
        };
        self.stream.drain(..used);
        Some(said)
    }
}

/// Why something was refused, as the other dialect has it; of a subscription that may have been taken away, the whole text.
fn reason(text: &str) -> String {
    match text.split_once("\": ") {
        Some((_, why)) => why.into(),
        None if text.starts_with("Permissions Violation for Publish") => "forbidden".into(),
        None => text.into(),
    }
}

fn heard(words: &[&str], head: &str, data: String) -> Heard {
    let (topic, sid) = (words[0], words[1]);
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let mut headers: Vec<_> = lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let from = headers.iter().position(|(name, _)| name == "Portcullis-From");
    let from = from.map(|place| headers.remove(place).1).unwrap_or_default();
    headers.sort();
    if sid == "inbox" {
        let (_, number) = topic.rsplit_once('.').unwrap();
        let nobody = head.starts_with("NATS/1.0 503\r\n");
        let answer = if nobody { Err("nobody is subscribed to this topic".into()) } else { Ok((from, data)) };
        return Heard::Answer(number.parse().unwrap(), answer);
    }
    let (sid, topic, reply) = (sid.into(), topic.into(), words.get(2).map(|reply| reply.to_string()));
    Heard::Message(Received { sid, topic, from, headers, reply, data })
}

/// Headers of a JSON message.
fn headers(object: &Value) -> Vec<(String, String)> {
    let values = |value: &Value| match value {
        Value::Array(values) => values.clone(),
        value => vec![value.clone()],
    };
    let all = object.as_object().into_iter().flatten();
    let mut all: Vec<_> = all
        .flat_map(|(name, value)| {
            values(value).into_iter().map(|value| (name.clone(), value.as_str().unwrap().to_owned()))
        })
        .collect();
    all.sort();
    all
}
