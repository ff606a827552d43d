use super::*;

/// A worker and the load on it.
struct Run {
    moderation: Moderation,
    now: Instant,
    naps: u32,
}

impl Run {
    fn new() -> Self {
        Self { moderation: Moderation::new(), now: Instant::now(), naps: 0 }
    }

    /// So many wake-ups. `wait` goes by until one comes where the worker does not nap, `nap` where it does, and then
    /// `work(napped)` is what there is to do and how many bytes came.
    fn wakes(&mut self, count: u32, wait: Duration, work: impl Fn(bool) -> (Duration, usize)) -> &mut Self {
        for _ in 0..count {
            let naps = self.moderation.parks(self.now);
            self.naps += u32::from(naps);
            self.now += if naps { NAP } else { wait };
            self.moderation.unparks(self.now);
            let (worked, bytes) = work(naps);
            self.moderation.arrived(bytes);
            self.now += worked;
        }
        self
    }

    /// How many of the next thousand wake-ups are behind a nap.
    fn naps_in_a_thousand(&mut self, wait: Duration, work: impl Fn(bool) -> (Duration, usize)) -> u32 {
        self.naps = 0;
        self.wakes(1_000, wait, work).naps
    }
}

const MICRO: Duration = Duration::from_micros(1);

/// A wake-up costs 20 µs and each of its messages 1 µs; a nap gathers ten.
fn gathers(napped: bool) -> (Duration, usize) {
    let messages = if napped { 10 } else { 1 };
    (MICRO * (20 + messages), 200 * messages as usize)
}

/// Whoever speaks waits for the answer: a nap gathers nothing.
fn alone(_: bool) -> (Duration, usize) {
    (MICRO * 21, 200)
}

#[test]
fn a_worker_that_is_woken_for_little_again_and_again_naps() {
    let naps = Run::new().naps_in_a_thousand(5 * MICRO, gathers);
    assert!(naps > 900, "{naps} naps");
}

#[test]
fn a_worker_that_waits_for_long_does_not_nap() {
    assert_eq!(Run::new().naps_in_a_thousand(50 * MICRO, gathers), 0);
}

#[test]
fn naps_that_gather_nothing_are_given_up_and_tried_again_rarely() {
    let naps = Run::new().naps_in_a_thousand(5 * MICRO, alone);
    assert_eq!(naps, 2 * TRIED, "they are given a second chance");
    // 100 ms of pause are some 3,800 wake-ups, and enough to be sure.
    let naps = Run::new().wakes(12_000, 5 * MICRO, alone).naps;
    assert!((3 * TRIED..=5 * TRIED).contains(&naps), "{naps} naps");
}

#[test]
fn a_pause_that_hardly_saw_a_wake_says_nothing() {
    let mut run = Run::new();
    run.wakes(2 * (WATCHED + TRIED) + 1, 5 * MICRO, alone);
    assert!(matches!(run.moderation.stage, Stage::Pausing { .. }));
    // Long work behind short waits: naps may seem to help.
    run.naps = 0;
    run.wakes(WATCHED - 2, 5 * MICRO, |_| (Duration::from_millis(20), 200));
    assert_eq!(run.naps, 0);
}

#[test]
fn what_was_seen_before_naps_helped_is_not_held_against_another_load() {
    let now = Instant::now();
    let seen = |wakes, bytes| Seen { wakes, waited: MICRO * wakes, worked: MICRO * wakes, bytes };
    let judged = |without: u32, before: u32| {
        let without = seen(without, 1_000_000);
        let all = if before > 0 { seen(before, 1_000_000) } else { Seen::NOTHING };
        let stage = Stage::Napping { without, all, until: now + BELIEVED };
        // Each byte costs more than it did without naps.
        Moderation { stage, seen: seen(TRIED, 1), ..Moderation::new() }.judge(now)
    };
    let is_watching = |stage, wakes| matches!(stage, Some(Stage::Watching { known }) if known.wakes == wakes);
    assert!(is_watching(judged(WATCHED, 0), WATCHED), "the first look may have been chance");
    assert!(matches!(judged(SURE, 0), Some(Stage::Pausing { .. })));
    assert!(is_watching(judged(WATCHED, 64), 0) && is_watching(judged(SURE, 64), 0), "the load has changed");
}

#[test]
fn one_glance_at_a_lucky_moment_does_not_forbid_naps() {
    let mut run = Run::new();
    // Three times the usual pace.
    run.wakes(WATCHED, MICRO, |_| (7 * MICRO, 200));
    let naps = run.naps_in_a_thousand(5 * MICRO, gathers);
    assert!(naps > 800, "{naps} naps");
}

/// Three speak, and wait for their answers: a nap gathers what they say, and keeps them from saying more.
fn in_step(napped: bool) -> (Duration, usize) {
    let messages = if napped { 3 } else { 1 };
    (MICRO * (20 + messages), 200 * messages as usize)
}

#[test]
fn a_worker_whose_peers_wait_for_it_does_not_nap() {
    assert_eq!(Run::new().naps_in_a_thousand(5 * MICRO, in_step), 2 * TRIED);
}

#[test]
fn a_worker_that_no_session_has_bytes_for_does_not_nap() {
    assert_eq!(Run::new().naps_in_a_thousand(5 * MICRO, |_| (21 * MICRO, 0)), 0);
}

#[test]
fn naps_end_when_the_load_does() {
    let mut run = Run::new();
    run.wakes(1_000, 5 * MICRO, gathers);
    let naps = run.naps_in_a_thousand(200 * MICRO, alone);
    // The trial that was under way, and one that counts nothing of it.
    assert!(naps < 2 * TRIED, "{naps} naps");
}

#[test]
fn the_cost_without_naps_is_learnt_anew_from_time_to_time() {
    let mut run = Run::new();
    run.wakes(1_000, 5 * MICRO, gathers);
    // From now on a byte costs little in any case, and naps save nothing of it.
    let cheap = |_: bool| (MICRO, 2_000);
    run.wakes(5_000, 5 * MICRO, cheap);
    let naps = run.naps_in_a_thousand(5 * MICRO, cheap);
    assert!(naps <= TRIED, "{naps} naps");
}
