//! `portcullis serve`: logs, server, signals, drain.

use std::path::Path;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::exit::Exit;
use super::logs;
use crate::load;
use crate::report::chain;
use crate::server::{Server, StartError};

pub(super) fn run(config: &Path) -> Exit {
    let settings = match load::settings(config) {
        Ok(settings) => settings,
        Err(faults) => {
            eprintln!("{faults}");
            return Exit::Config;
        }
    };
    if let Err(error) = logs::install(&settings.log) {
        eprintln!("log.filter: {error}");
        return Exit::Config;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the runtime cannot be started");
            return Exit::Refused;
        }
    };
    runtime.block_on(serve(config))
}

async fn serve(config: &Path) -> Exit {
    let signals = || {
        Ok::<_, std::io::Error>((
            on(SignalKind::terminate())?,
            on(SignalKind::interrupt())?,
            on(SignalKind::hangup())?,
        ))
    };
    let (mut terminate, mut interrupt, mut hangup) = match signals() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!(%error, "signals cannot be received");
            return Exit::Refused;
        }
    };
    let server = match Server::start(config).await {
        Ok(server) => server,
        Err(error) => return refused(&error),
    };
    notify(&[sd_notify::NotifyState::Ready]);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => {
                let attempt = server.reload_handle().reload().await;
                tracing::info!(?attempt, "reload asked for by SIGHUP");
            }
        }
    }
    notify(&[sd_notify::NotifyState::Stopping]);
    server.stop().await;
    Exit::Success
}

fn on(kind: SignalKind) -> std::io::Result<Signal> {
    signal(kind)
}

fn refused(error: &StartError) -> Exit {
    match error {
        StartError::Config(faults) => {
            for fault in &faults.0 {
                tracing::error!(%fault, "the configuration is invalid");
            }
            Exit::Config
        }
        StartError::Accept(_) | StartError::Address(_) | StartError::Admin(_) => {
            tracing::error!(error = chain(error), "the gateway cannot start");
            Exit::NoConnection
        }
    }
}

/// Tells systemd, where it started us (sd_notify(3)).
fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd cannot be notified");
    }
}
