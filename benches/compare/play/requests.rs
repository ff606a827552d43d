//! Questions and answers, each with a reply topic of its own, as clients do it.

use std::time::Duration;

use super::{Load, Measure, Packing, Sample};
use crate::dialect::{Dialect, Purpose};
use crate::frame::{BINARY, Frame};

const QUESTIONS: &str = "bench.questions";

/// An inbox as official clients make them, without its last token.
const INBOX: &str = "_INBOX.Vk3kJwq0pTnXc9Zr5LmYbA";

pub fn run(
    outstanding: usize,
    payload: usize,
    packing: Packing,
    mut load: Load<'_>,
    mut measure: Measure<'_>,
) -> Sample {
    let answers = Purpose::Request(format!("{INBOX}.*"));
    // The floor echoes; there is nobody to ask.
    let is_echo = load.dialect() == Dialect::Floor;
    let responder = (!is_echo).then(|| load.open([Purpose::Subscribe(QUESTIONS.into())]).start);
    let requester = load.open([answers]).start;

    let reply = format!("{INBOX}.{:08}", 0);
    let (mut question, _) = load.dialect().publication(QUESTIONS, Some(&reply), payload);
    let number_at = "PUB ".len() + QUESTIONS.len() + " ".len() + INBOX.len() + ".".len();
    let tail = format!(" {payload}\r\n{}\r\n", "x".repeat(payload));

    let (mut asked, mut answered) = (0_usize, 0_usize);
    let (mut questions, mut replies) = (Vec::new(), Vec::new());
    while measure.goes_on(answered as u64) {
        while asked < answered + outstanding {
            question.put(number_at, format!("{:08}", asked % 100_000_000).as_bytes());
            questions.push(question.bytes.clone());
            asked += 1;
        }
        send(&mut load, requester, &mut questions, packing);
        load.turn(Some(Duration::from_millis(100)), |place, message| {
            if Some(place) == responder {
                let to = message.reply().expect("a question has one");
                let answer = [b"PUB ", to, tail.as_bytes()].concat();
                replies.push(Frame::new(BINARY, &answer).bytes);
            } else {
                answered += 1;
            }
        });
        if let Some(responder) = responder {
            send(&mut load, responder, &mut replies, packing);
        }
    }
    measure.sample()
}

/// All there is, each by itself or together.
fn send(load: &mut Load<'_>, place: usize, frames: &mut Vec<Vec<u8>>, packing: Packing) {
    let at_once = packing.messages();
    frames.chunks(at_once).for_each(|frames| load.send(place, &frames.concat()));
    frames.clear();
}
