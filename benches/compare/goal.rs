//! What is to be reached, and whether it is.

use super::contender::Kind;
use super::medians::Medians;

/// One figure that Portcullis is to reach.
#[derive(Clone, Copy)]
pub enum Goal {
    /// So many times the messages per CPU second of the better nats-server.
    TimesNats(f64),
    /// So many times those of the floor.
    TimesFloor(f64),
    /// Latency at most so many times the better nats-server's, at a half and at 99 %.
    LatencyTimesNats(f64),
    /// Microseconds at most, at a half and at 99 %.
    LatencyAtMost(f64, f64),
    /// KiB at most for one idle session.
    SessionAtMost(f64),
}

/// How a goal stands.
pub struct Verdict {
    pub wanted: String,
    pub measured: String,
    pub is_reached: bool,
}

/// One contender's medians in one scenario.
pub struct Entry<'a> {
    pub kind: &'a Kind,
    pub medians: &'a Medians,
}

impl Entry<'_> {
    /// How it stands to the floor: the ratio of messages per second of CPU, of the latencies p50 and p99, or of an idle session.
    pub fn of_the_floor(&self, others: &[Entry<'_>]) -> Option<String> {
        let floor = floor(others)?;
        if let (Some(session), Some(least)) = (self.medians.session, floor.session) {
            return Some(format!("{:.2}", session / least));
        }
        Some(match (self.medians.latency, floor.latency) {
            (Some([mine50, mine99, _]), Some([p50, p99, _])) => {
                format!("{:.2} / {:.2}", mine50 / p50, mine99 / p99)
            }
            _ => format!("{:.2}", self.medians.per_cpu / floor.per_cpu),
        })
    }
}

impl Goal {
    /// `None` where those it compares with were not measured.
    pub fn judge(self, mine: &Medians, others: &[Entry<'_>]) -> Option<Verdict> {
        match self {
            Self::TimesNats(times) => {
                let ratio = mine.per_cpu / best_nats(others)?;
                Some(Verdict {
                    wanted: format!("≥ {times} × nats"),
                    measured: format!("{ratio:.2}"),
                    is_reached: ratio >= times,
                })
            }
            Self::TimesFloor(times) => {
                let ratio = mine.per_cpu / floor(others)?.per_cpu;
                Some(Verdict {
                    wanted: format!("≥ {times} × floor"),
                    measured: format!("{ratio:.2}"),
                    is_reached: ratio >= times,
                })
            }
            Self::LatencyTimesNats(times) => {
                let [p50, p99] = least_latency_of_nats(others)?;
                let [mine50, mine99, _] = mine.latency?;
                let ratios = (mine50 / p50, mine99 / p99);
                Some(Verdict {
                    wanted: format!("≤ {times} × nats"),
                    measured: format!("{:.2} / {:.2}", ratios.0, ratios.1),
                    is_reached: ratios.0 <= times && ratios.1 <= times,
                })
            }
            Self::LatencyAtMost(p50, p99) => {
                let [mine50, mine99, _] = mine.latency?;
                Some(Verdict {
                    wanted: format!("≤ {p50} / {p99} µs"),
                    measured: format!("{mine50:.0} / {mine99:.0}"),
                    is_reached: mine50 <= p50 && mine99 <= p99,
                })
            }
            Self::SessionAtMost(kib) => {
                let session = mine.session?;
                Some(Verdict {
                    wanted: format!("≤ {kib} KiB"),
                    measured: format!("{session:.1}"),
                    is_reached: session <= kib,
                })
            }
        }
    }
}

fn nats<'a>(others: &'a [Entry<'a>]) -> impl Iterator<Item = &'a Medians> {
    others.iter().filter(|other| matches!(other.kind, Kind::Nats { .. })).map(|other| other.medians)
}

fn floor<'a>(others: &'a [Entry<'a>]) -> Option<&'a Medians> {
    others.iter().find(|other| matches!(other.kind, Kind::Floor)).map(|floor| floor.medians)
}

/// The most messages per CPU second of any nats-server.
pub fn best_nats(others: &[Entry<'_>]) -> Option<f64> {
    nats(others).map(|nats| nats.per_cpu).reduce(f64::max)
}

/// The least at a half and the least at 99 %, whichever nats-server has them.
fn least_latency_of_nats(others: &[Entry<'_>]) -> Option<[f64; 2]> {
    let latencies = nats(others).filter_map(|nats| nats.latency).map(|[p50, p99, _]| [p50, p99]);
    latencies.reduce(|one, other| [one[0].min(other[0]), one[1].min(other[1])])
}
