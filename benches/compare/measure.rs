//! One run of one scenario: a warm-up, then a fixed time in which the server's work is counted.

use std::time::{Duration, Instant};

use super::process::Process;

/// Load before the measurement begins.
const WARM_UP: Duration = Duration::from_millis(500);

/// Without a single receipt for so long, messages were lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// What one run showed.
#[derive(Default)]
pub struct Sample {
    /// Receipts, answers or handshakes a second.
    pub rate: f64,
    /// The same for a second of the server's CPU time.
    pub per_cpu: f64,
    /// Microseconds from the time at which a message was due, at these shares of all receipts: a half, 99 % and 99.9 %.
    pub latency: Option<[f64; 3]>,
    /// Of the whole server, at the end, in KiB.
    pub resident: f64,
    /// Of one idle session, in KiB.
    pub session: Option<f64>,
}

/// Which part of the run it is.
enum Phase {
    WarmUp { until: Instant },
    Measured { since: Instant, done: u64, cpu: Duration },
}

/// Counts what a server does in a while.
pub struct Measure<'a> {
    server: &'a Process,
    length: Duration,
    phase: Phase,
    progress: (u64, Instant),
    sample: Sample,
}

impl<'a> Measure<'a> {
    pub fn new(server: &'a Process, length: Duration) -> Self {
        let now = Instant::now();
        Self {
            server,
            length,
            phase: Phase::WarmUp { until: now + WARM_UP },
            progress: (0, now),
            sample: Sample::default(),
        }
    }

    /// Whether what comes now counts.
    pub fn counts(&self) -> bool {
        matches!(self.phase, Phase::Measured { .. })
    }

    /// Told between turns how much is done in all; false when the time is over.
    pub fn goes_on(&mut self, done: u64) -> bool {
        let now = Instant::now();
        if done > self.progress.0 {
            self.progress = (done, now);
        }
        assert!(now - self.progress.1 < PATIENCE, "nothing comes any more, after {done}");
        match self.phase {
            Phase::WarmUp { until } if now >= until => {
                self.phase = Phase::Measured { since: now, done, cpu: self.server.cpu() };
                true
            }
            Phase::Measured { since, done: before, cpu } if now >= since + self.length => {
                let done = (done - before) as f64;
                self.sample.rate = done / (now - since).as_secs_f64();
                self.sample.per_cpu = done / (self.server.cpu() - cpu).as_secs_f64();
                self.sample.resident = self.server.resident_kib() as f64;
                false
            }
            Phase::WarmUp { .. } | Phase::Measured { .. } => true,
        }
    }

    pub fn sample(self) -> Sample {
        self.sample
    }

    /// With what was measured of single messages, in nanoseconds.
    pub fn sample_with(self, mut latencies: Vec<u64>) -> Sample {
        latencies.sort_unstable();
        let at = |share: f64| {
            let place = (latencies.len() as f64 * share) as usize;
            latencies.get(place).map_or(f64::NAN, |nanoseconds| *nanoseconds as f64 / 1e3)
        };
        let latency = Some([at(0.5), at(0.99), at(0.999)]);
        Sample { latency, ..self.sample }
    }
}
