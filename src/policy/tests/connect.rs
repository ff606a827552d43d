//! Who may have a session at all.

use super::*;

#[test]
fn the_right_to_connect_comes_with_every_grant_that_allows_something() {
    let base = |name| grant(name, &["billing"]);
    let allowing = [
        admits("connects", &["billing"]),
        Grant { publish: templates(&["a"]), ..base("publishes") },
        Grant { subscribe: templates(&["a"]), ..base("subscribes") },
    ];
    for grant in allowing {
        let name = grant.name.clone();
        assert_eq!(billing(vec![base("says-nothing"), grant]).connect(), Ok(name), "the first that allows");
    }
    let stranger = policy(vec![admits("other", &["shipping"])]).grants(&service("billing"), &[]);
    assert_eq!(why(stranger.connect()), Some((DenialReason::NoGrant, None)));
}

#[test]
fn a_grant_that_only_denies_or_qualifies_lets_nobody_in() {
    let base = |name| grant(name, &["*"]);
    let responses = Responses::Allowed(ResponseRule { max: 2, within: std::time::Duration::from_secs(1) });
    let useless = vec![
        base("says-nothing"),
        Grant { deny_publish: templates(&["a"]), ..base("denies-publish") },
        Grant { deny_subscribe: templates(&["a"]), ..base("denies-subscribe") },
        Grant { groups: vec![group("workers")], ..base("shares-a-group") },
        Grant { responses: Some(responses), ..base("answers") },
    ];
    let no_grant = Some((DenialReason::NoGrant, None));
    for grant in useless.iter().cloned().map(|grant| vec![grant]).chain([useless.clone()]) {
        let grants = billing(grant);
        assert_eq!(why(grants.connect()), no_grant);
        assert_eq!(why(grants.publish(&topic("b"))), no_grant);
        assert_eq!(why(grants.subscribe(&pattern(INBOX), None)), no_grant);
    }
}

#[test]
fn to_forbid_the_connection_wins_over_every_grant() {
    let base = Grant {
        connect: Some(true),
        publish: templates(&["a"]),
        subscribe: templates(&["a"]),
        ..grant("base", &["billing"])
    };
    let banned = Grant { roles: vec![role("clerk")], connect: Some(false), ..Grant::new(rule("banned")) };
    let grants = billing(vec![base, banned]);
    let expected = Some((DenialReason::ConnectForbidden, Some("banned".to_owned())));
    assert_eq!(why(grants.connect()), expected);
    assert_eq!(why(grants.publish(&topic("a"))), expected);
    assert_eq!(why(grants.subscribe(&pattern("a"), None)), expected);
    assert_eq!(why(grants.subscribe(&pattern(INBOX), None)), expected);
    assert_eq!(why(grants.reply_topic(&topic(INBOX), |_| true)), expected);
    let now = std::time::Instant::now();
    assert_eq!(why(grants.response_right(now, now)), expected);
}
