//! `portcullis serve`: logs, server, signals, drain.

use std::hint::black_box;
use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::interval;

use super::exit::Exit;
use super::logs::{self, Logs};
use crate::load;
use crate::moderation;
use crate::report::chain;
use crate::server::{Server, StartError};

/// Between two looks at whether log lines were dropped.
const LOG_CHECK: Duration = Duration::from_secs(10);
/// What the allocator keeps of a heap when it is free: as much as a window of large messages takes.
const KEPT_HEAP_BYTES: usize = 8 << 20;

pub(super) fn run(config: &Path) -> Exit {
    let settings = match load::settings(config) {
        Ok(settings) => settings,
        Err(faults) => {
            eprintln!("{faults}");
            return Exit::Config;
        }
    };
    let logs = match logs::install(&settings.log) {
        Ok(logs) => logs,
        Err(error) => {
            eprintln!("log.filter: {error}");
            return Exit::Config;
        }
    };
    keep_heap();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all();
    if settings.gateway.gather {
        runtime.on_thread_park(moderation::parks).on_thread_unpark(moderation::unparks);
    }
    let runtime = match runtime.build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the runtime cannot be started");
            return Exit::Refused;
        }
    };
    let exit = runtime.block_on(serve(config, &logs));
    // A reload that still reads its files is not waited for.
    runtime.shutdown_background();
    exit
}

/// Has the allocator keep [`KEPT_HEAP_BYTES`] at least. glibc gives back to the system whatever is free at the end of a heap beyond
/// 128 KiB, and large messages have it faulted in again batch by batch. Once a larger block is freed, it keeps twice as much as that,
/// and takes blocks up to its size from the heap (mallopt(3), `M_MMAP_THRESHOLD`). To call `mallopt` would take unsafe code. Other allocators
/// do not care.
fn keep_heap() {
    drop(black_box(Vec::<u8>::with_capacity(KEPT_HEAP_BYTES / 2)));
}

async fn serve(config: &Path, logs: &Logs) -> Exit {
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
    let (mut look_at_logs, mut told) = (interval(LOG_CHECK), 0);
    loop {
        tokio::select! {
            () = stop.received() => break,
            _ = look_at_logs.tick() => {
                let dropped = logs.dropped_lines();
                if dropped > told {
                    tracing::error!(lines = dropped - told, "log lines were dropped: whoever reads the log stood still");
                    told = dropped;
                }
            }
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
