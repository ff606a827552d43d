//! `portcullis check`.

use std::path::Path;

use super::exit::Exit;
use crate::clock::unix_now;
use crate::load;

/// Loads what `serve` would load, and prints every fault with its key.
pub(super) fn run(config: &Path) -> Exit {
    match load::first(config, unix_now()) {
        Ok(loaded) => {
            let settings = &loaded.settings;
            println!(
                "ok: {} listener(s), {} trust domain(s), {} grant file",
                settings.listeners.len(),
                settings.trust.len(),
                settings.policy.display(),
            );
            Exit::Success
        }
        Err(faults) => {
            eprintln!("{faults}");
            eprintln!("{}: {} fault(s)", config.display(), faults.0.len());
            Exit::Config
        }
    }
}
