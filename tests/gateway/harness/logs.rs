//! What the gateway of one test logs. A test's runtime has one thread, so its lines are told apart by their thread.

use std::cell::RefCell;
use std::io;
use std::sync::Once;

use tokio::time::timeout;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

use super::PATIENCE;

thread_local! {
    static LINES: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Keeps every line of this thread at every level, from its making on.
pub struct Logs(());

impl Logs {
    pub fn capture() -> Self {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(|| {
            let wanted = dynamic_filter_fn(|_, _| LINES.with_borrow(Option::is_some));
            let lines = fmt::layer().with_ansi(false).with_writer(|| ThisThread).with_filter(wanted);
            tracing_subscriber::registry().with(lines).init();
        });
        LINES.set(Some(Vec::new()));
        Self(())
    }

    pub fn text(&self) -> String {
        LINES.with_borrow(|lines| String::from_utf8_lossy(lines.as_deref().unwrap_or_default()).into_owned())
    }

    /// Waits for a line that contains all of these.
    pub async fn line(&self, parts: &[&str]) -> String {
        let waiting = timeout(PATIENCE, async {
            while self.find(parts).is_none() {
                tokio::task::yield_now().await;
            }
        });
        let found = waiting.await.ok().and_then(|()| self.find(parts));
        found.unwrap_or_else(|| panic!("no line with {parts:?} in:\n{}", self.text()))
    }

    fn find(&self, parts: &[&str]) -> Option<String> {
        self.text().lines().find(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned)
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        LINES.set(None);
    }
}

struct ThisThread;

impl io::Write for ThisThread {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.iter_mut().for_each(|lines| lines.extend_from_slice(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
