//! What must hold while several threads route at once.

use std::sync::atomic::{AtomicU8, AtomicUsize};
use std::thread;

use super::*;

#[test]
fn a_maximum_is_exact_under_several_publishers() {
    const MOST: usize = 1_000;
    let (router, hearer) = (Router::default(), Peer::new("orders"));
    assert!(!hearer.subscribe(&router, 1, "a").end_after(MOST as u64));
    let publish_many = || {
        let sender = Peer::new("billing");
        let mut lane = sender.lane(&router, "a");
        (0..MOST).map(|_| sender.publish_on(&router, &mut lane)).sum::<usize>()
    };
    let taken: usize = thread::scope(|scope| {
        let senders: Vec<_> = (0..4).map(|_| scope.spawn(publish_many)).collect();
        senders.into_iter().map(|sender| sender.join().unwrap()).sum()
    });
    assert_eq!((taken, hearer.heard().len()), (MOST, MOST));
}

#[test]
fn a_group_loses_nothing_while_its_members_have_room() {
    let (router, first, second) = (Router::default(), Peer::new("orders"), Peer::new("orders"));
    first.join(&router, 1, "a", "g").end_after(300);
    second.join(&router, 1, "a", "g").end_after(500);
    let publish_many = || {
        let sender = Peer::new("billing");
        let mut lane = sender.lane(&router, "a");
        (0..400).map(|_| sender.publish_on(&router, &mut lane)).sum::<usize>()
    };
    let taken: usize = thread::scope(|scope| {
        let senders: Vec<_> = (0..4).map(|_| scope.spawn(publish_many)).collect();
        senders.into_iter().map(|sender| sender.join().unwrap()).sum()
    });
    assert_eq!((taken, first.heard().len(), second.heard().len()), (800, 300, 500));
}

/// Whether a publisher that comes in just as a subscription ends was counted in is known: what was taken is written.
#[test]
fn what_was_taken_before_a_subscription_retired_is_still_written() {
    for _ in 0..200 {
        let (router, hearer) = (Router::default(), Peer::new("orders"));
        let subscription = hearer.subscribe(&router, 1, "a");
        let published = AtomicUsize::new(0);
        let publish_many = || {
            let sender = Peer::new("billing");
            let mut lane = sender.lane(&router, "a");
            let publish = |_| {
                published.fetch_add(1, Ordering::SeqCst);
                sender.publish_on(&router, &mut lane)
            };
            (0..100).map(publish).sum::<usize>()
        };
        let taken: usize = thread::scope(|scope| {
            let senders = [scope.spawn(publish_many), scope.spawn(publish_many)];
            while published.load(Ordering::SeqCst) < 20 {
                thread::yield_now();
            }
            router.retire(&subscription);
            senders.into_iter().map(|sender| sender.join().unwrap()).sum()
        });
        assert_eq!(taken as u64, subscription.may_write());
        assert_eq!(taken, hearer.heard().len());
    }
}

const UNKNOWN: u8 = 0;
const LIVE: u8 = 1;
const GONE: u8 = 2;
const OVER: u8 = 3;

/// A publisher that keeps its lane hears of every change in time: what it publishes after `subscribe` returned is
/// delivered, what it publishes after `unsubscribe` returned is not.
#[test]
fn a_kept_lane_is_never_stale() {
    let (router, hearer) = (Router::default(), Peer::new("orders"));
    let (state, published) = (AtomicU8::new(UNKNOWN), AtomicUsize::new(0));
    let publisher = || {
        let sender = Peer::new("billing");
        let mut lane = sender.lane(&router, "a.b");
        loop {
            let before = state.load(Ordering::SeqCst);
            let taken = sender.publish_on(&router, &mut lane);
            let after = state.load(Ordering::SeqCst);
            published.fetch_add(1, Ordering::SeqCst);
            match (before, after) {
                (LIVE, LIVE) => assert_eq!(taken, 1),
                (GONE, GONE) => assert_eq!(taken, 0),
                (_, OVER) => return,
                _ => {}
            }
        }
    };
    thread::scope(|scope| {
        let publishing = scope.spawn(publisher);
        // Each state lasts for some messages, so that the publisher cannot mistake one period for the next.
        let hold = |value| {
            state.store(value, Ordering::SeqCst);
            let until = published.load(Ordering::SeqCst) + 4;
            while published.load(Ordering::SeqCst) < until && !publishing.is_finished() {
                thread::yield_now();
            }
        };
        for round in 0..100 {
            let subscription = hearer.subscribe(&router, 1, if round % 2 == 0 { "a.b" } else { "*.b" });
            hold(LIVE);
            hold(UNKNOWN);
            router.unsubscribe(&subscription);
            hold(GONE);
            hold(UNKNOWN);
        }
        state.store(OVER, Ordering::SeqCst);
        publishing.join().unwrap();
    });
}
