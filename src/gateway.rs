//! What all connections of one gateway share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::clock::unix_ms;
use crate::generation::{Current, Generation};
use crate::limits::{Admissions, RenewalRates, ServiceRates};
use crate::metrics::Metrics;
use crate::routing::Router;
use crate::session::{Pace, Registry};

/// The shared state. Everything in it is bounded by the limits of the current generation.
pub struct Gateway {
    /// The name that `hello` tells.
    pub name: Arc<str>,
    pub router: Router,
    pub registry: Registry,
    pub pace: Pace,
    pub admissions: Arc<Admissions>,
    pub rates: ServiceRates,
    pub renewals: RenewalRates,
    pub metrics: Metrics,
    current: Current,
    /// The number of the newest generation, and when the change behind it was noticed.
    noticed: Mutex<(u64, Instant)>,
    phase: RwLock<Phase>,
    /// Whether the phase is another than `Running`: sessions look at every turn, and seldom find something.
    is_leaving: AtomicBool,
}

/// Where the gateway stands between start and stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Running,
    /// No new connections; sessions may stay until then.
    Draining {
        until: Instant,
        unix_ms: u64,
    },
    Stopping,
}

impl Gateway {
    pub fn new(name: &str, first: Generation) -> Self {
        Self {
            name: name.into(),
            router: Router::default(),
            registry: Registry::default(),
            pace: Pace::default(),
            admissions: Arc::default(),
            rates: ServiceRates::default(),
            renewals: RenewalRates::default(),
            metrics: Metrics::new(),
            noticed: Mutex::new((first.number, Instant::now())),
            current: Current::new(first),
            phase: RwLock::new(Phase::Running),
            is_leaving: AtomicBool::new(false),
        }
    }

    /// The current generation, to use as a whole.
    pub fn generation(&self) -> Arc<Generation> {
        self.current.get()
    }

    /// Its number alone: one atomic read, cheap enough for every message.
    pub fn generation_number(&self) -> u64 {
        self.current.number()
    }

    /// Swaps the generation and tells every live session to judge itself by it. `noticed` is when the change behind it
    /// was noticed.
    pub fn install(&self, next: Arc<Generation>, noticed: Instant) {
        *self.noticed.lock().unwrap_or_else(PoisonError::into_inner) = (next.number, noticed);
        self.current.swap(next);
        self.registry.alarm_all();
    }

    /// When the change behind this generation was noticed, as long as no newer one stands.
    pub fn noticed(&self, generation: u64) -> Option<Instant> {
        let (number, noticed) = *self.noticed.lock().unwrap_or_else(PoisonError::into_inner);
        (number == generation).then_some(noticed)
    }

    pub fn phase(&self) -> Phase {
        if !self.is_leaving.load(Ordering::Acquire) {
            return Phase::Running;
        }
        *self.phase.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells every session that the gateway goes away after `patience`.
    pub fn drain(&self, patience: Duration) {
        let unix_ms = unix_ms(SystemTime::now() + patience);
        self.enter(Phase::Draining { until: Instant::now() + patience, unix_ms });
    }

    /// Ends every session now.
    pub fn stop(&self) {
        self.enter(Phase::Stopping);
    }

    fn enter(&self, phase: Phase) {
        *self.phase.write().unwrap_or_else(PoisonError::into_inner) = phase;
        self.is_leaving.store(true, Ordering::Release);
        self.registry.alarm_all();
    }
}
