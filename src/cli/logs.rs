//! Where log lines go: standard error, as text or as JSON.

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogSettings};

/// Libraries below are capped: tungstenite prints payloads at its trace level, whatever the operator asked for.
const CAPS: [&str; 4] = ["tungstenite=info", "tokio_tungstenite=info", "rustls=info", "hyper=info"];

/// Installs the subscriber of the process. `RUST_LOG` goes before the configured filter. Fails if the filter cannot
/// be read, or a subscriber is installed already.
pub(super) fn install(settings: &LogSettings) -> Result<(), String> {
    let wanted = std::env::var("RUST_LOG").unwrap_or_else(|_| settings.filter.clone());
    let mut filter =
        EnvFilter::try_new(&wanted).map_err(|error| format!("log filter {wanted:?}: {error}"))?;
    for cap in CAPS {
        filter = filter.add_directive(cap.parse().expect("a constant directive"));
    }
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match settings.format {
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(|error| error.to_string())
}
