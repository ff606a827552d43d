//! Reply rights: their ends, their bound, and a list that is searched from end to end as the model.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn inbox(number: u8) -> Topic {
    Topic::parse(&format!("_INBOX.0123456789abcdef.{number}")).unwrap()
}

fn after(start: Instant, seconds: u64) -> Instant {
    start + Duration::from_secs(seconds)
}

#[test]
fn a_right_is_good_for_its_uses() {
    let now = Instant::now();
    let mut rights = ReplyRights::new(4);
    assert!(rights.take(inbox(1).as_str(), now).is_none());
    assert!(rights.grant(inbox(1), after(now, 5), 2, now));
    let permit = rights.take(inbox(1).as_str(), now).unwrap();
    assert_eq!(permit.topic(), &inbox(1));
    assert!(permit.is_reply() && permit.rule().is_none());
    assert!(rights.take(inbox(2).as_str(), now).is_none(), "for that one topic");
    assert!(rights.take(inbox(1).as_str(), now).is_some());
    assert!(rights.take(inbox(1).as_str(), now).is_none());
    assert!(rights.is_empty());
}

#[test]
fn rights_are_found_among_gaps_that_were_closed() {
    let now = Instant::now();
    let mut rights = ReplyRights::new(200);
    assert!(rights.grant(inbox(0), after(now, 5), 1, now));
    // Each is used up at once; their gaps are closed again and again behind the first, which stays.
    for number in 1..=100 {
        assert!(rights.grant(inbox(number), after(now, 5), 1, now));
        assert!(number % 10 == 0 || rights.take(inbox(number).as_str(), now).is_some());
    }
    assert!(rights.by_age.len() < 100, "{} places", rights.by_age.len());
    assert!(rights.grant(inbox(100), after(now, 9), 1, now), "twice");
    assert_eq!(rights.len(), 11);
    let taken = |rights: &mut ReplyRights| rights.take(inbox(100).as_str(), now).is_some();
    assert_eq!([taken(&mut rights), taken(&mut rights), taken(&mut rights)], [true, true, false]);
    assert!(rights.take(inbox(0).as_str(), now).is_some() && rights.take(inbox(50).as_str(), now).is_some());
    rights.expire(after(now, 5));
    assert!(rights.is_empty() && rights.by_age.is_empty());
}

#[test]
fn a_right_ends_with_its_time() {
    let now = Instant::now();
    let mut rights = ReplyRights::new(4);
    assert!(rights.grant(inbox(1), after(now, 5), 9, now));
    assert!(rights.take(inbox(1).as_str(), after(now, 4)).is_some());
    assert!(rights.take(inbox(1).as_str(), after(now, 5)).is_none());
    assert!(rights.is_empty());
    assert_eq!(rights.evicted(), 0, "an end is no eviction");
}

#[test]
fn only_inboxes_get_reply_rights() {
    let now = Instant::now();
    let mut rights = ReplyRights::new(4);
    for text in
        ["admin.shutdown", "_INBOX", "_INBOX.short", "$JS.ACK.x", "$SYS.x", "_INBOXES.0123456789abcdef"]
    {
        let topic = Topic::parse(text).unwrap();
        assert!(!rights.grant(topic.clone(), after(now, 5), 1, now), "{text}");
        assert!(rights.take(topic.as_str(), now).is_none(), "{text}");
    }
}

#[test]
fn nothing_is_granted_without_uses_time_or_room() {
    let now = Instant::now();
    let mut rights = ReplyRights::new(4);
    assert!(!rights.grant(inbox(1), after(now, 5), 0, now));
    assert!(!rights.grant(inbox(1), now, 1, now));
    assert!(rights.is_empty());
    assert!(!ReplyRights::new(0).grant(inbox(1), after(now, 5), 1, now));
}

#[test]
fn a_second_request_from_the_same_inbox_adds_its_answer() {
    let now = Instant::now();
    let mut rights = ReplyRights::new(1);
    assert!(rights.grant(inbox(1), after(now, 9), 1, now));
    assert!(rights.grant(inbox(1), after(now, 5), u32::MAX, now));
    assert_eq!((rights.len(), rights.evicted()), (1, 0));
    assert!(rights.take(inbox(1).as_str(), after(now, 8)).is_some());
    assert!(rights.take(inbox(1).as_str(), after(now, 8)).is_some());
    assert!(rights.take(inbox(1).as_str(), after(now, 9)).is_none());
}

#[test]
fn an_ended_right_is_not_revived_by_a_new_one() {
    let now = Instant::now();
    let mut rights = ReplyRights::new(1);
    assert!(rights.grant(inbox(1), after(now, 5), 7, now));
    assert!(rights.grant(inbox(1), after(now, 9), 1, after(now, 5)));
    assert!(rights.take(inbox(1).as_str(), after(now, 6)).is_some());
    assert!(rights.take(inbox(1).as_str(), after(now, 6)).is_none());
}

#[test]
fn a_full_table_drops_ended_rights_first_and_then_the_oldest() {
    let now = Instant::now();
    let mut rights = ReplyRights::new(2);
    assert!(rights.grant(inbox(1), after(now, 90), 1, now));
    assert!(rights.grant(inbox(2), after(now, 1), 1, now));
    assert!(rights.grant(inbox(3), after(now, 9), 1, after(now, 1)));
    assert_eq!((rights.len(), rights.evicted()), (2, 0));
    assert!(rights.grant(inbox(4), after(now, 9), 1, after(now, 1)));
    assert_eq!((rights.len(), rights.evicted()), (2, 1));
    assert!(rights.take(inbox(1).as_str(), after(now, 1)).is_none(), "long as it had to go");
    assert!(rights.take(inbox(3).as_str(), after(now, 1)).is_some());
    assert!(rights.take(inbox(4).as_str(), after(now, 1)).is_some());
}

#[test]
fn rights_can_be_taken_away_all_at_once() {
    let now = Instant::now();
    let mut rights = ReplyRights::new(4);
    assert!(rights.grant(inbox(1), after(now, 5), 1, now));
    rights.clear();
    assert!(rights.take(inbox(1).as_str(), now).is_none());
    assert!(rights.grant(inbox(1), after(now, 5), 1, now));
    assert_eq!(rights.len(), 1);
}

/// One right that nobody uses must not make the others' places pile up behind it.
#[test]
fn rights_that_are_used_up_take_no_room() {
    let now = Instant::now();
    let mut rights = ReplyRights::new(4);
    assert!(rights.grant(inbox(0), after(now, 5), 1, now));
    for _ in 0..10_000 {
        assert!(rights.grant(inbox(1), after(now, 5), 1, now));
        assert!(rights.take(inbox(1).as_str(), now).is_some());
        assert!(rights.by_age.len().max(rights.by_end.len()) <= 2 * 2 + SLACK);
    }
    assert!(rights.take(inbox(0).as_str(), now).is_some());
    rights.rest(now);
    assert_eq!(room(&rights), 0);
}

fn room(rights: &ReplyRights) -> usize {
    rights.rights.capacity() + rights.by_age.capacity() + rights.by_end.capacity()
}

#[test]
fn what_a_burst_of_requests_took_is_given_back_with_the_next_one() {
    let now = Instant::now();
    let mut rights = ReplyRights::new(4096);
    let reply = |number: usize| Topic::parse(&format!("_INBOX.0123456789abcdef.{number}")).unwrap();
    (0..4096).for_each(|number| assert!(rights.grant(reply(number), after(now, 5), 1, now)));
    (0..4096).for_each(|number| assert!(rights.take(reply(number).as_str(), now).is_some()));
    assert!(rights.grant(reply(0), after(now, 5), 1, now));
    assert!(room(&rights) <= 4 * 4 * (1 + SLACK), "{}", room(&rights));
}

#[derive(Debug, Clone)]
enum Step {
    Grant { inbox: u8, seconds: u64, uses: u32 },
    Take { inbox: u8 },
    Wait { seconds: u64 },
    Narrow { capacity: usize },
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0u8..6, 0u64..9, 0u32..4).prop_map(|(inbox, seconds, uses)| Step::Grant { inbox, seconds, uses }),
        (0u8..6).prop_map(|inbox| Step::Take { inbox }),
        (1u64..4).prop_map(|seconds| Step::Wait { seconds }),
        (1usize..4).prop_map(|capacity| Step::Narrow { capacity }),
    ]
}

/// Inbox, end and uses of each right, oldest first.
type Naive = Vec<(u8, u64, u32)>;

fn naive_grant(model: &mut Naive, capacity: usize, (inbox, until, uses): (u8, u64, u32)) {
    let mut merged = (inbox, until, uses);
    if let Some(place) = model.iter().position(|right| right.0 == inbox) {
        let (_, earlier_until, earlier_uses) = model.remove(place);
        merged = (inbox, until.max(earlier_until), uses + earlier_uses);
    }
    if model.len() == capacity {
        model.remove(0);
    }
    model.push(merged);
}

proptest! {
    #[test]
    fn rights_are_those_of_a_list(
        mut capacity in 1usize..4,
        steps in prop::collection::vec(any_step(), 0..80),
        rests in any::<bool>(),
    ) {
        let start = Instant::now();
        let (mut rights, mut model, mut clock) = (ReplyRights::new(capacity), Naive::new(), 0);
        for step in steps {
            model.retain(|right| right.1 > clock);
            let now = after(start, clock);
            match step {
                Step::Grant { inbox: number, seconds, uses } => {
                    let granted = rights.grant(inbox(number), after(now, seconds), uses, now);
                    prop_assert_eq!(granted, seconds > 0 && uses > 0);
                    if granted {
                        naive_grant(&mut model, capacity, (number, clock + seconds, uses));
                    }
                }
                Step::Take { inbox: number } => {
                    let right = model.iter_mut().find(|right| right.0 == number);
                    prop_assert_eq!(rights.take(inbox(number).as_str(), now).is_some(), right.is_some());
                    if let Some(right) = right {
                        right.2 -= 1;
                    }
                    model.retain(|right| right.2 > 0);
                }
                Step::Wait { seconds } => clock += seconds,
                Step::Narrow { capacity: most } => {
                    capacity = most;
                    rights.expire(now);
                    rights.set_capacity(most);
                    model.drain(..model.len().saturating_sub(most));
                }
            }
            rights.expire(now);
            prop_assert_eq!(rights.len(), model.len());
            prop_assert_eq!(rights.by_age.iter().filter(|(_, topic)| topic.is_some()).count(), model.len());
            if rests {
                rights.rest(now);
                prop_assert_eq!((rights.by_age.len(), rights.by_end.len()), (model.len(), model.len()));
            }
        }
    }
}
