//! What several runs of one contender in one scenario come to, and how its figures are written.

use super::measure::Sample;

/// The median of each figure by itself.
pub struct Medians {
    pub rate: f64,
    pub per_cpu: f64,
    /// Least and most of the rounds.
    pub spread: (f64, f64),
    pub latency: Option<[f64; 3]>,
    pub resident: f64,
    pub session: Option<f64>,
}

impl Medians {
    pub fn of(samples: &[Sample]) -> Self {
        let latency = |place: usize| median(samples.iter().filter_map(|sample| Some(sample.latency?[place])));
        let per_cpu = samples.iter().map(|sample| sample.per_cpu);
        Self {
            rate: median(samples.iter().map(|sample| sample.rate)).unwrap_or(f64::NAN),
            per_cpu: median(per_cpu.clone()).unwrap_or(f64::NAN),
            spread: (per_cpu.clone().fold(f64::NAN, f64::min), per_cpu.fold(f64::NAN, f64::max)),
            latency: latency(0).zip(latency(1)).zip(latency(2)).map(|((p50, p99), p999)| [p50, p99, p999]),
            resident: median(samples.iter().map(|sample| sample.resident)).unwrap_or(f64::NAN),
            session: median(samples.iter().filter_map(|sample| sample.session)),
        }
    }

    /// The figure that the scenario is about.
    pub fn headline(&self) -> String {
        match (self.session, self.latency) {
            (Some(session), _) => format!("{session:.1} KiB"),
            (None, Some([p50, p99, p999])) => format!("{p50:.0} / {p99:.0} / {p999:.0} µs"),
            (None, None) => count(self.per_cpu),
        }
    }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Three digits are more than a run is good for.
pub fn count(count: f64) -> String {
    match count {
        million @ 1e6.. => format!("{:.2} M", million / 1e6),
        thousand @ 1e4.. => format!("{:.0} k", thousand / 1e3),
        few => format!("{few:.0}"),
    }
}
