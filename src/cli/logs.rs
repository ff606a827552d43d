//! Where log lines go: standard error, as text or as JSON.

use std::io::BufWriter;

use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::layer::{Filter, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt};

use crate::config::{LogFormat, LogSettings};

/// The audit log, which no filter silences.
const AUDIT: &str = "portcullis::audit";
/// Libraries that say no more than `info`: tungstenite prints payloads at its trace level.
const CAPPED: [&str; 4] = ["tungstenite", "tokio_tungstenite", "rustls", "hyper"];

/// Bytes of lines written at once while more wait; what stands when none does is written then.
const WRITE: usize = 64 * 1024;

/// Lines that wait for a reader of standard error that is behind.
const WAITING_LINES: usize = 65_536;

/// Keeps the log written; what waits is written when it is dropped.
pub(super) struct Logs {
    dropped: ErrorCounter,
    _writer: WorkerGuard,
}

impl Logs {
    /// Lines that were dropped because whoever reads the log stood still: the gateway does not stand still with it.
    pub(super) fn dropped_lines(&self) -> usize {
        self.dropped.dropped_lines()
    }
}

/// Installs the subscriber of the process. `RUST_LOG` goes before the configured filter. Fails if the filter cannot
/// be read, or a subscriber is installed already.
pub(super) fn install(settings: &LogSettings) -> Result<Logs, String> {
    let wanted = std::env::var("RUST_LOG").unwrap_or_else(|_| settings.filter.clone());
    let filter = filter(&wanted)?;
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(WAITING_LINES)
        .lossy(true)
        .finish(BufWriter::with_capacity(WRITE, std::io::stderr()));
    let logs = Logs { dropped: writer.error_counter(), _writer: guard };
    let lines = fmt::layer().with_writer(writer);
    match settings.format {
        LogFormat::Text => {
            let lines = lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
            tracing_subscriber::registry().with(lines.with_filter(filter)).try_init()
        }
        LogFormat::Json => tracing_subscriber::registry()
            .with(lines.json().flatten_event(true).with_filter(filter))
            .try_init(),
    }
    .map_err(|error| error.to_string())?;
    Ok(logs)
}

/// What the operator wants, the audit log whatever that is, and of the capped libraries no more than their cap. Both
/// stand beside the operator's filter and not in it, so that no directive there, however specific, overrides them.
fn filter(wanted: &str) -> Result<impl Filter<Registry> + 'static, String> {
    let wanted = EnvFilter::try_new(wanted).map_err(|error| format!("log filter {wanted:?}: {error}"))?;
    let audit =
        filter_fn(|event| is_told(event) && is_within(event, AUDIT)).with_max_level_hint(LevelFilter::INFO);
    let cap = filter_fn(|event| is_told(event) || !CAPPED.iter().any(|library| is_within(event, library)));
    Ok(wanted.or(audit).and(cap))
}

fn is_told(event: &Metadata<'_>) -> bool {
    *event.level() <= LevelFilter::INFO
}

fn is_within(event: &Metadata<'_>, target: &str) -> bool {
    event.target().strip_prefix(target).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Which of one event by each target and level come through.
    fn told(wanted: &str) -> Vec<String> {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = fmt::layer()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .without_time()
            .with_target(false);
        let subscriber = tracing_subscriber::registry().with(layer.with_filter(filter(wanted).unwrap()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "portcullis::audit", "audit");
            tracing::warn!(target: "portcullis::server", "ours");
            tracing::trace!(target: "tungstenite::protocol", "payload");
            tracing::debug!(target: "rustls", "secret");
            tracing::info!(target: "hyper::proto", "library");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        text.lines().filter_map(|line| line.split_whitespace().last()).map(ToOwned::to_owned).collect()
    }

    #[test]
    fn no_filter_silences_the_audit_log() {
        assert_eq!(told("off"), ["audit"]);
        assert_eq!(told("error,portcullis::audit=off"), ["audit"]);
        assert_eq!(told("portcullis=warn"), ["audit", "ours"]);
    }

    #[test]
    fn no_directive_lifts_the_cap_of_a_library() {
        assert_eq!(told("trace"), ["audit", "ours", "library"]);
        assert_eq!(told("trace,tungstenite::protocol=trace,rustls=debug"), ["audit", "ours", "library"]);
        assert_eq!(told("info,hyper=error"), ["audit", "ours"], "an operator may want less");
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_named() {
        assert!(filter("portcullis=loud").err().unwrap().contains("portcullis=loud"));
    }
}
