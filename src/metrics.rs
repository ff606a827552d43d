//! What the gateway counts. Labels come from closed enums; no name of a service or topic is ever one.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::clock::unix_now;
use crate::expiry::{authority_end, certificate_end, revocation_alarms, revocation_end};
use crate::gateway::Gateway;
use crate::limits::Refused;
use crate::session::CloseReason;

/// The metrics of one gateway.
pub struct Metrics {
    registry: Registry,
    accepted: Counter,
    dropped: Family<Reason, Counter>,
    refused: Family<Reason, Counter>,
    closed: Family<Reason, Counter>,
    handshake_seconds: Histogram,
    open_seconds: Histogram,
    sessions: Gauge,
    subscriptions: Gauge,
    generation: Gauge,
    certificate_end: Gauge,
    authority_end: Gauge,
    revocation_end: Gauge,
    revocation_alarm: Gauge,
    reloads: Family<Reason, Counter>,
    reload_seconds: Histogram,
    files_broken: Gauge,
    renewed: Counter,
    mass_revocations: Counter,
    verdict_close: Family<Reason, Histogram>,
    verdict_last_close: Family<Reason, Gauge<f64, AtomicU64>>,
    /// The newest generation that ended a session; the gauge is about it alone.
    last_closing: Mutex<u64>,
    denied: Counter,
    reauthentications: Family<Outcome, Counter>,
    commands: Counter,
    deliveries: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: Label,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: Label,
}

/// A label value out of one of the closed tables of the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Label(&'static str);

impl EncodeLabelValue for Label {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        self.0.encode(encoder)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("portcullis");
        // From 1 ms to 4 s, in doublings.
        let seconds = || Histogram::new(exponential_buckets(0.001, 2.0, 13));
        let metrics = Self {
            accepted: Counter::default(),
            dropped: Family::default(),
            refused: Family::default(),
            closed: Family::default(),
            handshake_seconds: seconds(),
            open_seconds: seconds(),
            sessions: Gauge::default(),
            subscriptions: Gauge::default(),
            generation: Gauge::default(),
            certificate_end: Gauge::default(),
            authority_end: Gauge::default(),
            revocation_end: Gauge::default(),
            revocation_alarm: Gauge::default(),
            reloads: Family::default(),
            reload_seconds: seconds(),
            files_broken: Gauge::default(),
            renewed: Counter::default(),
            mass_revocations: Counter::default(),
            verdict_close: Family::new_with_constructor(verdict_seconds),
            verdict_last_close: Family::default(),
            last_closing: Mutex::new(0),
            denied: Counter::default(),
            reauthentications: Family::default(),
            commands: Counter::default(),
            deliveries: Counter::default(),
            registry: Registry::default(),
        };
        for reason in CloseReason::ALL {
            metrics.closed.get_or_create(&label(reason.label())).inc_by(0);
        }
        for outcome in ["accepted", "failed"] {
            metrics.reauthentications.get_or_create(&Outcome { outcome: Label(outcome) }).inc_by(0);
        }
        let m = &metrics;
        registry.register("connections_accepted", "Sockets accepted", m.accepted.clone());
        registry.register(
            "connections_dropped",
            "Sockets dropped before TLS, for a limit",
            m.dropped.clone(),
        );
        registry.register("connections_refused", "Connections that got no session", m.refused.clone());
        registry.register("sessions_closed", "Sessions ended, by reason", m.closed.clone());
        registry.register_with_unit(
            "handshake",
            "Socket to TLS session",
            Unit::Seconds,
            m.handshake_seconds.clone(),
        );
        registry.register_with_unit("open", "Socket to 101", Unit::Seconds, m.open_seconds.clone());
        registry.register("sessions", "Live sessions", m.sessions.clone());
        registry.register("subscriptions", "Live subscriptions", m.subscriptions.clone());
        registry.register("generation", "Number of the current generation", m.generation.clone());
        registry.register(
            "certificate_end",
            "End of the gateway's first certificate to end, Unix seconds",
            m.certificate_end.clone(),
        );
        registry.register(
            "authority_end",
            "End of the first certificate of a configured CA to end, Unix seconds",
            m.authority_end.clone(),
        );
        registry.register(
            "revocation_end",
            "When the first revocation list goes stale, Unix seconds",
            m.revocation_end.clone(),
        );
        registry.register(
            "revocation_alarm",
            "1 while a revocation list is about to go stale, or is stale",
            m.revocation_alarm.clone(),
        );
        registry.register("reloads", "Attempts to reload, by outcome", m.reloads.clone());
        registry.register_with_unit(
            "reload",
            "Duration of an attempt",
            Unit::Seconds,
            m.reload_seconds.clone(),
        );
        registry.register("files_broken", "1 while the files are refused", m.files_broken.clone());
        registry.register("certificates_renewed", "Certificates issued to services", m.renewed.clone());
        registry.register(
            "mass_revocations",
            "Revocations that ended a larger share of the sessions than a change may",
            m.mass_revocations.clone(),
        );
        registry.register_with_unit(
            "verdict_close",
            "From a change that was noticed to the close frame of each session that it ended",
            Unit::Seconds,
            m.verdict_close.clone(),
        );
        registry.register_with_unit(
            "verdict_last_close",
            "The same of the last session that the newest generation to end any has ended",
            Unit::Seconds,
            m.verdict_last_close.clone(),
        );
        registry.register("operations_denied", "Operations that the policy denied", m.denied.clone());
        registry.register(
            "reauthentications",
            "Proofs of a certificate on a live session, by outcome",
            m.reauthentications.clone(),
        );
        registry.register("commands", "Operations that sessions asked for", m.commands.clone());
        registry.register("deliveries", "Messages delivered to sessions", m.deliveries.clone());
        Self { registry, ..metrics }
    }

    pub fn accepted(&self) {
        self.accepted.inc();
    }

    pub fn dropped(&self, refused: Refused) {
        let reason = match refused {
            Refused::Opening => "overload",
            Refused::Address => "address-limit",
            Refused::Service => "service-limit",
            Refused::Sessions => "full",
        };
        self.dropped.get_or_create(&label(reason)).inc();
    }

    pub fn refused(&self, kind: &'static str) {
        self.refused.get_or_create(&label(kind)).inc();
    }

    pub fn closed(&self, reason: CloseReason) {
        self.closed.get_or_create(&label(reason.label())).inc();
    }

    /// Sessions tell about once a second what they did since they last told.
    pub fn traffic(&self, commands: u64, deliveries: u64) {
        self.commands.inc_by(commands);
        self.deliveries.inc_by(deliveries);
    }

    pub fn handshake(&self, took: Duration) {
        self.handshake_seconds.observe(took.as_secs_f64());
    }

    pub fn opened(&self, took: Duration) {
        self.open_seconds.observe(took.as_secs_f64());
    }

    pub fn renewed(&self) {
        self.renewed.inc();
    }

    pub fn denied(&self) {
        self.denied.inc();
    }

    /// A proof on a live session came to `outcome`.
    pub fn reauthenticated(&self, outcome: &'static str) {
        self.reauthentications.get_or_create(&Outcome { outcome: Label(outcome) }).inc();
    }

    /// An attempt to reload came to `outcome`.
    pub fn reloaded(&self, outcome: &'static str, took: Duration, is_broken: bool) {
        self.reloads.get_or_create(&label(outcome)).inc();
        self.reload_seconds.observe(took.as_secs_f64());
        self.files_broken.set(i64::from(is_broken));
    }

    /// A session that a verdict of `generation` ended has its close frame, so long after the change was noticed.
    pub fn verdict_closed(&self, generation: u64, reason: CloseReason, took: Duration) {
        let (reason, seconds) = (label(reason.label()), took.as_secs_f64());
        self.verdict_close.get_or_create(&reason).observe(seconds);
        let mut newest = self.last_closing.lock().unwrap_or_else(PoisonError::into_inner);
        if generation < *newest {
            return;
        }
        if generation > *newest {
            *newest = generation;
            self.verdict_last_close.clear();
        }
        let gauge = self.verdict_last_close.get_or_create(&reason);
        gauge.set(gauge.get().max(seconds));
    }

    /// A revocation ended more sessions than one change usually may.
    pub fn mass_revocation(&self) {
        self.mass_revocations.inc();
    }

    /// The OpenMetrics text, with the gauges set to what is true now.
    pub fn render(&self, gateway: &Gateway) -> String {
        let generation = gateway.generation();
        let signed = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        self.sessions.set(signed(gateway.registry.len()));
        self.subscriptions.set(signed(gateway.router.subscriptions()));
        let seconds = |end: Option<u64>| end.and_then(|end| i64::try_from(end).ok()).unwrap_or(0);
        self.generation.set(i64::try_from(generation.number).unwrap_or(i64::MAX));
        self.certificate_end.set(seconds(certificate_end(&generation)));
        self.authority_end.set(seconds(authority_end(&generation)));
        self.revocation_end.set(seconds(revocation_end(&generation)));
        let is_alarmed = !revocation_alarms(&generation, unix_now()).is_empty();
        self.revocation_alarm.set(i64::from(is_alarmed));
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// From 5 ms to 82 s, in doublings: ten thousand paced ends take ten seconds.
fn verdict_seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.005, 2.0, 15))
}

fn label(reason: &'static str) -> Reason {
    Reason { reason: Label(reason) }
}
