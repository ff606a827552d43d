//! When a session is asked for a proof and when it ends, as tables over times.

use std::time::Duration;

use tokio::time::Instant;

use crate::identity::peer::EndedBy;
use crate::limits::Limits;
use crate::protocol::ReauthCause;
use crate::session::credential::{Credential, Moment, PathEnd, StaleList};
use crate::session::lot;

/// The Unix second in which all of it happens.
const START: u64 = 1_000_000;

/// A start, and moments so many seconds after it by both clocks.
struct Clock(Instant);

impl Clock {
    fn new() -> Self {
        Self(Instant::now())
    }

    fn at(&self, seconds: f64) -> Moment {
        self.by_each(seconds, seconds)
    }

    fn by_each(&self, steady: f64, wall: f64) -> Moment {
        let unix_ms = START * 1_000 + Duration::from_secs_f64(wall).as_millis() as u64;
        Moment { steady: self.0 + Duration::from_secs_f64(steady), unix_ms }
    }

    fn seconds(&self, then: Instant) -> f64 {
        then.duration_since(self.0).as_secs_f64()
    }
}

/// A path whose last second begins so many seconds after the start.
fn path(seconds: u64) -> PathEnd {
    PathEnd { second: START + seconds, by: EndedBy::Certificate }
}

fn limits(max_age: Option<u64>, lead: u64) -> Limits {
    Limits {
        max_session_age: max_age.map(Duration::from_secs),
        reauth_lead: Duration::from_secs(lead),
        ..Limits::default()
    }
}

#[test]
fn the_earliest_end_counts_and_names_its_cause() {
    let clock = Clock::new();
    let anchor = PathEnd { second: START + 100, by: EndedBy::RetiringAnchor };
    let cases = [
        (path(100), None, 100, ReauthCause::Expiring),
        (path(100), Some(200), 100, ReauthCause::Expiring),
        (path(100), Some(50), 50, ReauthCause::MaxAge),
        (anchor, None, 100, ReauthCause::AnchorRetiring),
        (anchor, Some(99), 99, ReauthCause::MaxAge),
    ];
    for (path, max_age, seconds, cause) in cases {
        let credential = Credential::taken(path, &limits(max_age, 10), 0.0, clock.at(0.0));
        let deadline = credential.deadline();
        assert_eq!((deadline.unix_ms, deadline.cause), ((START + seconds) * 1_000, cause));
    }
}

#[test]
fn a_certificate_is_good_for_the_whole_of_its_last_second_and_an_age_to_the_millisecond() {
    let clock = Clock::new();
    let certificate = Credential::taken(path(100), &limits(None, 10), 0.0, clock.at(0.0));
    assert!(
        certificate.is_over(clock.at(100.99)).is_none() && certificate.is_over(clock.at(101.0)).is_some()
    );
    let aged = Credential::taken(path(500), &limits(Some(100), 10), 0.0, clock.at(0.0));
    assert!(aged.is_over(clock.at(99.999)).is_none() && aged.is_over(clock.at(100.0)).is_some());
}

#[test]
fn either_clock_ends_a_session() {
    let clock = Clock::new();
    let credential = Credential::taken(path(100), &limits(None, 10), 0.0, clock.at(0.0));
    assert!(credential.is_over(clock.by_each(1.0, 101.0)).is_some(), "the machine slept");
    assert!(credential.is_over(clock.by_each(101.0, 1.0)).is_some(), "the clock on the wall was set back");
}

#[test]
fn a_clock_that_steps_between_proof_and_reload_hides_no_end() {
    let clock = Clock::new();
    let mut credential = Credential::taken(path(100), &limits(None, 80), 0.0, clock.at(0.0));
    // The wall jumps ahead by 50 seconds; what the reload brings is set by what it shows then.
    credential.review(path(100), &limits(Some(80), 80), clock.by_each(10.0, 60.0));
    assert_eq!(credential.deadline().cause, ReauthCause::MaxAge, "the first by the steady clock");
    let cause = |steady, wall| credential.is_over(clock.by_each(steady, wall)).map(|end| end.cause);
    assert_eq!(cause(50.9, 100.9), None);
    assert_eq!(cause(51.0, 101.0), Some(ReauthCause::Expiring), "the first by the wall");
    assert_eq!(cause(90.0, 90.0), Some(ReauthCause::MaxAge), "and when it was set back");
}

#[test]
fn the_far_future_is_bounded() {
    let clock = Clock::new();
    let forever = PathEnd { second: u64::MAX, by: EndedBy::Certificate };
    let credential = Credential::taken(forever, &limits(None, 300), 0.0, clock.at(0.0));
    assert!(clock.seconds(credential.next_look()) < 11.0 * 365.0 * 24.0 * 3_600.0);
}

#[test]
fn a_proof_is_asked_for_within_the_lead_and_at_the_latest_at_half_of_it() {
    let clock = Clock::new();
    // Lifetime, lead, and when the first and the last are asked. Half of a short life stays for the answer.
    let cases =
        [(3_599, 300, 3_300.0, 3_450.0), (59, 300, 30.0, 45.0), (1, 300, 1.0, 1.5), (59, 4, 56.0, 58.0)];
    for (life, lead, first, last) in cases {
        let ask = |lot| {
            let credential = Credential::taken(path(life), &limits(None, lead), lot, clock.at(0.0));
            clock.seconds(credential.next_look())
        };
        let (earliest, latest) = (ask(0.999_999_9), ask(0.0));
        assert!(
            (earliest - first).abs() < 0.01 && (latest - last).abs() < 0.01,
            "{life}: {earliest} {latest}"
        );
    }
}

#[test]
fn a_thousand_sessions_of_certificates_issued_together_are_not_asked_together() {
    let clock = Clock::new();
    let mut buckets = [0; 150];
    for _ in 0..1_000 {
        let credential = Credential::taken(path(3_599), &limits(None, 300), lot(), clock.at(0.0));
        buckets[(clock.seconds(credential.next_look()) - 3_300.0) as usize] += 1;
    }
    assert!(buckets.iter().all(|count| *count < 40), "{buckets:?}");
    assert!(buckets.iter().filter(|count| **count > 0).count() > 100, "{buckets:?}");
}

#[test]
fn a_deadline_is_announced_once_and_again_if_it_moves() {
    let clock = Clock::new();
    let limits = limits(None, 300);
    let mut credential = Credential::taken(path(3_599), &limits, 0.0, clock.at(0.0));
    assert_eq!(credential.announce(clock.at(3_449.0)), None);
    assert_eq!(
        credential.announce(clock.at(3_450.0)).map(|deadline| deadline.unix_ms),
        Some((START + 3_599) * 1_000)
    );
    assert_eq!(credential.announce(clock.at(3_451.0)), None);
    assert_eq!(clock.seconds(credential.next_look()), 3_600.0);
    credential.review(path(3_599), &limits, clock.at(3_452.0));
    assert_eq!(credential.announce(clock.at(3_453.0)), None, "nothing moved");
    let retiring = PathEnd { second: START + 3_559, by: EndedBy::RetiringAnchor };
    credential.review(retiring, &limits, clock.at(3_460.0));
    assert_eq!(credential.announce(clock.at(3_534.0)), None, "half of what was left then");
    assert_eq!(
        credential.announce(clock.at(3_535.0)).map(|deadline| deadline.cause),
        Some(ReauthCause::AnchorRetiring)
    );
}

#[test]
fn another_lead_counts_for_what_was_not_announced_yet() {
    let clock = Clock::new();
    let mut credential = Credential::taken(path(3_599), &limits(None, 300), 0.0, clock.at(0.0));
    credential.review(path(3_599), &limits(None, 100), clock.at(10.0));
    assert_eq!(clock.seconds(credential.next_look()), 3_550.0);
}

#[test]
fn a_new_maximum_age_ends_no_session_that_was_not_asked_first() {
    let clock = Clock::new();
    let mut old = Credential::taken(path(90_000), &limits(None, 300), 0.0, clock.at(0.0));
    old.review(path(90_000), &limits(Some(3_600), 300), clock.at(50_000.0));
    assert!(old.is_over(clock.at(50_000.0)).is_none());
    assert!(old.announce(clock.at(50_225.0)).is_some_and(|deadline| deadline.cause == ReauthCause::MaxAge));
    assert!(old.is_over(clock.at(50_300.0)).is_some());
    let mut young = Credential::taken(path(90_000), &limits(None, 300), 0.0, clock.at(0.0));
    young.review(path(90_000), &limits(Some(3_600), 300), clock.at(100.0));
    assert_eq!(young.deadline().unix_ms, (START + 3_600) * 1_000, "counted from its proof");
    young.review(path(90_000), &limits(None, 300), clock.at(200.0));
    assert_eq!(young.deadline().cause, ReauthCause::Expiring);
}

#[test]
fn only_a_proof_that_moves_the_deadline_by_a_second_counts() {
    let clock = Clock::new();
    // The life of both certificates, the maximum age, and after how long the second is proved.
    let cases = [
        (100, 100, None, 10.0, false),
        (100, 99, None, 10.0, false),
        (100, 101, None, 10.0, true),
        (100, 100, Some(50), 0.9, false),
        (100, 100, Some(50), 1.0, true),
        (100, 30, Some(50), 1.0, false),
        (100, 60, Some(50), 20.0, true),
        (40, 40, Some(50), 20.0, false),
    ];
    for (before, after, max_age, seconds, counts) in cases {
        let (limits, now) = (limits(max_age, 10), clock.at(seconds));
        let old = Credential::taken(path(before), &limits, 0.0, clock.at(0.0));
        let new = Credential::taken(path(after), &limits, 0.0, now);
        assert_eq!(new.outlasts(&old, now), counts, "{before} {after} {max_age:?} {seconds}");
    }
}

#[test]
fn the_third_failed_proof_is_one_too_many() {
    let clock = Clock::new();
    let mut credential = Credential::taken(path(100), &limits(None, 10), 0.0, clock.at(0.0));
    assert_eq!([(); 4].map(|()| credential.proof_failed()), [false, false, true, true]);
}

#[test]
fn the_sessions_of_a_stale_list_end_within_the_window_each_at_a_moment_of_its_own() {
    let (clock, window) = (Clock::new(), Duration::from_secs(1_000));
    for (lot, end) in [(0.0, 100.0), (0.25, 350.0), (0.999, 1_099.0)] {
        let mut list = StaleList::new(lot);
        list.review(Some(START + 100), window, clock.at(0.0));
        assert_eq!(list.next_look().map(|then| clock.seconds(then)), Some(end));
        assert_eq!(list.is_over(clock.at(end - 0.001)), None);
        assert_eq!(list.is_over(clock.at(end)), Some(START + 100));
        assert_eq!(list.is_over(clock.by_each(1.0, end)), Some(START + 100), "the machine slept");
    }
}

#[test]
fn a_fresh_list_calls_the_end_off_and_no_news_change_nothing() {
    let (clock, window) = (Clock::new(), Duration::from_secs(1_000));
    let mut list = StaleList::new(0.5);
    list.review(Some(START + 100), window, clock.at(0.0));
    list.review(Some(START + 100), window, clock.at(400.0));
    assert_eq!(list.next_look().map(|then| clock.seconds(then)), Some(600.0));
    list.review(Some(START + 5_000), window, clock.at(500.0));
    assert_eq!(list.is_over(clock.at(600.0)), None);
    list.review(Some(START + 100), Duration::ZERO, clock.at(700.0));
    assert_eq!(list.is_over(clock.at(700.0)), Some(START + 100), "it is past already");
    list.review(None, window, clock.at(700.0));
    assert_eq!((list.next_look(), list.is_over(clock.at(1e6))), (None, None));
}
