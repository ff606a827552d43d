//! The answer to every fault, and the bounds of what a session remembers.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::identity::certificate::CertificateId;
use crate::identity::peer::EndedBy;
use crate::limits::Limits;
use crate::policy::DenialReason;
use crate::protocol::{ErrorCode, Event, Form, Op, OpId, Sid};
use crate::routing::{Lane, Router};
use crate::session::credential::{Credential, Moment, PathEnd};
use crate::session::fault::{Fault, Faults, Operation};
use crate::session::lanes::Lanes;
use crate::session::{CloseReason, FailedProof, Outbox, ReauthError, SessionId};
use crate::testing::policy;
use crate::topic::{Pattern, Topic, TopicError};

const DENYING: &str = r#"
    [[grant]]
    name = "base-rule"
    services = ["*"]
    publish = [">"]
    subscribe = [">"]
    [[grant]]
    name = "secret-rule"
    services = ["*"]
    deny_publish = ["a.secret"]
"#;

fn denial() -> Fault {
    let grants = policy(DENYING).grants(&crate::identity::ServiceName::parse("orders").unwrap(), &[]);
    let denial = grants.publish(&Topic::parse("a.secret").unwrap()).unwrap_err();
    assert_eq!(denial.why, DenialReason::DeniedBy);
    assert_eq!(denial.rule.as_ref().map(|rule| rule.as_str()), Some("secret-rule"));
    denial.into()
}

fn failed_proof(error: ReauthError) -> Fault {
    let certificate = CertificateId::of(b"no certificate");
    Fault::Reauth(Box::new(FailedProof { certificate, error, retry_after: None }))
}

/// Every fault with the code of its answer. The match makes a new fault a compile error here.
fn every_fault() -> Vec<(Fault, ErrorCode)> {
    let listed = |fault: &Fault| match fault {
        Fault::Topic(_)
        | Fault::Group(_)
        | Fault::SidInUse
        | Fault::UnknownSid
        | Fault::Forbidden(_)
        | Fault::TooManyInboxes(_)
        | Fault::TooManySubscriptions(_)
        | Fault::TooManyRequests(_)
        | Fault::NoResponders
        | Fault::RateLimited(_)
        | Fault::Reauth(_)
        | Fault::Unsupported => {}
    };
    let faults = vec![
        (TopicError::EmptyToken.into(), ErrorCode::BadMessage),
        (Fault::Group(TopicError::Empty), ErrorCode::BadMessage),
        (Fault::SidInUse, ErrorCode::BadMessage),
        (Fault::UnknownSid, ErrorCode::BadMessage),
        (denial(), ErrorCode::Forbidden),
        (Fault::TooManyInboxes(3), ErrorCode::LimitExceeded),
        (Fault::TooManySubscriptions(3), ErrorCode::LimitExceeded),
        (Fault::TooManyRequests(3), ErrorCode::LimitExceeded),
        (Fault::NoResponders, ErrorCode::NoResponders),
        (Fault::RateLimited(Duration::from_millis(5)), ErrorCode::RateLimited),
        (failed_proof(ReauthError::NotLater), ErrorCode::ReauthFailed),
        (Fault::Unsupported, ErrorCode::Unsupported),
    ];
    faults.iter().for_each(|(fault, _)| listed(fault));
    faults
}

fn operation() -> Operation<'static> {
    Operation {
        id: OpId::new(7),
        op: Op::Publish,
        topic: Some("a.secret".into()),
        sid: Sid::from_number(3),
        group: None,
    }
}

#[test]
fn every_fault_has_its_answer_and_names_no_rule() {
    for (fault, code) in every_fault() {
        let (name, waits) = (format!("{fault:?}"), matches!(fault, Fault::RateLimited(_)));
        let Event::Error(event) = operation().failed(&fault, None) else { panic!("an error event") };
        assert_eq!(event.code, code, "{name}");
        assert_eq!((event.id, event.op), (OpId::new(7), Some(Op::Publish)));
        assert_eq!((event.topic.as_deref(), &event.sid), (Some("a.secret"), &Sid::from_number(3)));
        assert_eq!(event.retry_after, waits.then_some(Duration::from_millis(5)), "{name}");
        assert!(!event.reason.is_empty() && !event.reason.contains("-rule"), "{name}: {}", event.reason);
    }
}

#[test]
fn only_a_session_that_keeps_sending_above_its_rate_or_failing_its_proofs_ends_over_a_fault() {
    let limits = Limits { messages_per_second: Some(1), ..Limits::default() };
    for (fault, code) in every_fault() {
        let (mut faults, mut credential) = (Faults::default(), credential(&limits));
        let now = Instant::now();
        let end =
            (0..10_001).find_map(|_| fault.ends_session(&mut faults, &mut credential, &limits, now).err());
        let expected = match code {
            ErrorCode::RateLimited => Some(CloseReason::RateLimited),
            ErrorCode::ReauthFailed => Some(CloseReason::ReauthFailed),
            _ => None,
        };
        assert_eq!(end, expected, "{fault:?}");
    }
}

#[test]
fn a_session_ends_that_goes_on_far_above_its_rate_and_none_that_is_somewhat_above_it() {
    let limits = Limits { messages_per_second: Some(1), ..Limits::default() };
    let end = |refused_each_time: u32| {
        let mut faults = Faults::default();
        (0..10_000).find_map(|_| {
            faults.within_rate();
            (0..refused_each_time).find_map(|_| faults.over_rate(&limits).err())
        })
    };
    assert_eq!(end(10), None);
    assert_eq!(end(12), Some(CloseReason::RateLimited));
    assert_eq!(end(1_000), Some(CloseReason::RateLimited));
}

fn credential(limits: &Limits) -> Credential {
    let path = PathEnd { second: 1_000, by: EndedBy::Certificate };
    Credential::taken(path, limits, 0.0, Moment { steady: Instant::now(), unix_ms: 0 })
}

fn lane(router: &Router, topic: &str) -> Lane {
    let rights = policy(DENYING).grants(&crate::identity::ServiceName::parse("orders").unwrap(), &[]);
    router.lane(rights.publish(&Topic::parse(topic).unwrap()).unwrap())
}

#[test]
fn lanes_are_bounded() {
    let router = Router::default();
    let mut lanes = Lanes::default();
    let mut most = 0;
    for number in 0..5_000 {
        let topic = Topic::parse(&format!("a.{number}")).unwrap();
        lanes.insert(lane(&router, topic.as_str()));
        assert!(lanes.get(topic.as_str()).is_some());
        most = most.max(lanes.len());
    }
    assert_eq!(most, 2_048);
    lanes.clear();
    assert!(lanes.get("a.4999").is_none() && lanes.len() == 0);
}

/// Subscribers that come after the lanes count too.
#[test]
fn the_receivers_behind_lanes_are_bounded() {
    const SUBSCRIBERS: u64 = 1_000;
    let router = Router::default();
    let rights = policy(DENYING).grants(&crate::identity::ServiceName::parse("orders").unwrap(), &[]);
    let mut lanes = Lanes::default();
    let topics: Vec<_> = (0..200).map(|number| format!("a.{number}")).collect();
    for topic in &topics {
        lanes.insert(lane(&router, topic));
    }
    let outbox = Arc::new(Outbox::new(8, 1_024, Form::Json));
    for sid in 0..SUBSCRIBERS {
        let permit = rights.subscribe(&Pattern::parse("a.>").unwrap(), None).unwrap();
        let sid = Sid::from_number(sid).unwrap();
        router.subscribe(permit, SessionId::random(), sid, true, outbox.clone(), 8).unwrap();
    }
    for topic in &topics {
        if let Some(lane) = lanes.get(topic) {
            router.refresh(lane);
            lanes.recount();
        }
        assert!(lanes.receivers() <= 65_536 + SUBSCRIBERS as usize, "{}", lanes.receivers());
    }
}
