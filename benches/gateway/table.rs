//! One line for each scenario: medians of the rounds, and how far the rounds lie apart.

use std::fmt;
use std::time::Duration;

use super::scenario::{Sample, Scenario};

/// The head of the table; with the columns of a comparison if there is one.
pub fn header(is_comparison: bool) -> String {
    let (names, rules) = if is_comparison { (" the other's CPU | ratio |", "---:|---:|") } else { ("", "") };
    format!(
        "| scenario | a second | server CPU each | per receipt | in the kernel | latency p50 / p99 | spread of CPU |{names}\n\
         |---|---:|---:|---:|---:|---:|---:|{rules}"
    )
}

/// One scenario's medians.
pub struct Row {
    name: String,
    rate: f64,
    /// Microseconds of CPU for each handshake or message, of every round, sorted.
    cpu: Vec<f64>,
    other_cpu: Vec<f64>,
    receipts: usize,
    kernel: f64,
    /// Sorted.
    latencies: Vec<Duration>,
}

impl Row {
    pub fn new(name: &str, scenario: Scenario, samples: Vec<Sample>) -> Self {
        let rates = sorted(samples.iter().map(|sample| sample.done as f64 / sample.took.as_secs_f64()));
        let kernel = sorted(
            samples.iter().map(|sample| sample.cpu.kernel.as_secs_f64() / sample.cpu.total().as_secs_f64()),
        );
        let cpu = cpu_each(&samples);
        let mut latencies: Vec<Duration> = samples.into_iter().flat_map(|sample| sample.latencies).collect();
        latencies.sort_unstable();
        Self {
            name: name.into(),
            rate: median(&rates),
            cpu,
            other_cpu: Vec::new(),
            receipts: scenario.receipts_each(),
            kernel: median(&kernel),
            latencies,
        }
    }

    /// With the samples of another build, if there are any.
    pub fn against(self, others: Vec<Sample>) -> Self {
        Self { other_cpu: cpu_each(&others), ..self }
    }

    fn latency(&self, share: f64) -> Option<Duration> {
        self.latencies.get((self.latencies.len() as f64 * share) as usize).copied()
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpu = median(&self.cpu);
        let spread = match (self.cpu.first(), self.cpu.last()) {
            (Some(least), Some(most)) => format!("{} to {}", micros(*least), micros(*most)),
            _ => String::new(),
        };
        let receipt = match self.receipts {
            1 => String::new(),
            receipts => micros(cpu / receipts as f64),
        };
        let latency = match (self.latency(0.5), self.latency(0.99)) {
            (Some(p50), Some(p99)) => format!("{} / {}", micros(micros_of(p50)), micros(micros_of(p99))),
            _ => String::new(),
        };
        write!(
            f,
            "| {} | {:.0} | {} | {receipt} | {:.0} % | {latency} | {spread} |",
            self.name,
            self.rate,
            micros(cpu),
            100.0 * self.kernel
        )?;
        if !self.other_cpu.is_empty() {
            let other = median(&self.other_cpu);
            write!(f, " {} | {:.2} |", micros(other), cpu / other)?;
        }
        Ok(())
    }
}

/// Microseconds of CPU for each thing done, sorted.
fn cpu_each(samples: &[Sample]) -> Vec<f64> {
    sorted(samples.iter().map(|sample| micros_of(sample.cpu.total()) / sample.done as f64))
}

fn micros_of(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn micros(micros: f64) -> String {
    if micros < 100.0 { format!("{micros:.2} µs") } else { format!("{micros:.0} µs") }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
