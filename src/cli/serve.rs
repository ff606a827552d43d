//! `portcullis serve`: logs, server, signals, drain.

use std::io;
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
    let exit = runtime.block_on(serve(config));
    // A reload that still reads its files is not waited for.
    runtime.shutdown_background();
    exit
}

async fn serve(config: &Path) -> Exit {
    let signals = || Ok::<_, io::Error>((StopSignals::new()?, signal(SignalKind::hangup())?));
    let (mut stop, mut hangup) = match signals() {
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
            () = stop.received() => break,
            _ = hangup.recv() => tokio::select! {
                () = stop.received() => break,
                attempt = server.reload_handle().reload() => {
                    tracing::info!(?attempt, "reload asked for by SIGHUP");
                }
            }
        }
    }
    notify(&[sd_notify::NotifyState::Stopping]);
    tokio::select! {
        () = server.stop() => Exit::Success,
        () = stop.received() => {
            tracing::warn!("told to stop a second time; what is not drained is aborted");
            Exit::Refused
        }
    }
}

/// SIGTERM and SIGINT.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next of either.
    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
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
