//! The composition root: settings in, a running gateway out, and its orderly end.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{self, AdminError};
use crate::clock::unix_now;
use crate::config::Faults;
use crate::connection::{AcceptError, BoundListener};
use crate::gateway::Gateway;
use crate::load;
use crate::reload::{ReloadHandle, Reloader};

/// After the drain, how long sessions have for their close frames before they are aborted.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// File descriptors beside those of sessions: listeners, logs, files being read.
const OWN_DESCRIPTORS: u64 = 128;

/// A running gateway.
pub struct Server {
    gateway: Arc<Gateway>,
    addresses: Vec<SocketAddr>,
    reload: ReloadHandle,
    /// Ends accepting.
    stop_accepting: CancellationToken,
    /// Ends what serves the operator: reload, admin socket.
    stop_serving: CancellationToken,
    connections: TaskTracker,
    services: TaskTracker,
}

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the configuration has {} fault(s)", .0.0.len())]
    Config(#[source] Faults),
    #[error(transparent)]
    Accept(#[from] AcceptError),
    #[error("a bound address cannot be read")]
    Address(#[source] io::Error),
    #[error(transparent)]
    Admin(#[from] AdminError),
}

impl Server {
    /// Loads the configuration, binds every address and starts to accept.
    pub async fn start(config: &Path) -> Result<Self, StartError> {
        let loaded = load::first(config, unix_now()).map_err(StartError::Config)?;
        let settings = loaded.settings;
        raise_descriptor_limit(loaded.generation.limits.max_sessions);
        let gateway = Arc::new(Gateway::new(&settings.gateway.name, loaded.generation));
        let mut listeners = Vec::new();
        for (index, listener) in settings.listeners.iter().enumerate() {
            listeners.push(BoundListener::bind(listener.address, index, gateway.clone())?);
        }
        let addresses = listeners.iter().map(|listener| listener.address()).collect::<io::Result<Vec<_>>>();
        let addresses = addresses.map_err(StartError::Address)?;
        let admin_socket = settings.gateway.admin_socket.clone();
        let (reloader, reload) = Reloader::new(gateway.clone(), config.into(), settings, loaded.digest);
        let server = Self {
            gateway,
            addresses,
            reload,
            stop_accepting: CancellationToken::new(),
            stop_serving: CancellationToken::new(),
            connections: TaskTracker::new(),
            services: TaskTracker::new(),
        };
        if let Some(path) = admin_socket {
            let socket = admin::bind(&path).await?;
            let state = admin::State { gateway: server.gateway.clone(), reload: server.reload.clone() };
            server.services.spawn(admin::serve(socket, state, server.stop_serving.clone()));
        }
        server.services.spawn(reloader.run(server.stop_serving.clone()));
        for (listener, address) in listeners.into_iter().zip(&server.addresses) {
            tracing::info!(%address, "listening");
            let run = listener.run(server.connections.clone(), server.stop_accepting.clone());
            server.services.spawn(run);
        }
        Ok(server)
    }

    /// The bound addresses, in the order of the configuration.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What its connections share.
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    pub fn reload_handle(&self) -> &ReloadHandle {
        &self.reload
    }

    /// Stops: no new connections, `draining` to every session, wait for them, end the rest.
    pub async fn stop(self) {
        let patience = self.gateway.generation().limits.drain_timeout;
        self.stop_accepting.cancel();
        self.gateway.drain(patience);
        self.connections.close();
        tracing::info!(sessions = self.gateway.registry.len(), ?patience, "draining");
        // A moment more than the sessions' own deadline, so that they end by it and say so.
        if timeout(patience + LAST_WORDS, self.connections.wait()).await.is_err() {
            self.gateway.stop();
            // For the close frames of those that can still be told.
            let _ = timeout(LAST_WORDS, self.connections.wait()).await;
            let left = self.connections.len();
            tracing::warn!(left, "connections did not end in time and are aborted");
        }
        self.stop_serving.cancel();
        self.services.close();
        // What is left of them ends with the runtime.
        let _ = timeout(LAST_WORDS, self.services.wait()).await;
        tracing::info!("stopped");
    }
}

/// A session takes one descriptor. The limit is raised as far as the system allows; less than the sessions need is
/// said at once, not when the first is refused.
fn raise_descriptor_limit(max_sessions: usize) {
    let needed = u64::try_from(max_sessions).unwrap_or(u64::MAX).saturating_add(OWN_DESCRIPTORS);
    match rlimit::increase_nofile_limit(needed) {
        Ok(limit) if limit < needed => tracing::warn!(
            limit,
            needed,
            "too few file descriptors for `limits.max_sessions`; raise the hard limit or lower the key"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the limit of file descriptors cannot be read"),
    }
}
