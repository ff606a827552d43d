//! `portcullis check`.

use std::path::Path;

use super::exit::Exit;
use crate::clock::unix_now;
use crate::load::{self, Outcome};

/// Loads what `serve` would load, and prints every fault with its key.
pub(super) fn run(config: &Path) -> Exit {
    match load::load(config, None, unix_now()) {
        Ok(Outcome::Loaded(loaded)) => {
            let settings = &loaded.settings;
            println!(
                "ok: {} listener(s), {} trust domain(s), {} grant file",
                settings.listeners.len(),
                settings.trust.len(),
                settings.policy.display(),
            );
            Exit::Success
        }
        Ok(Outcome::Unchanged) => Exit::Success,
        Err(faults) => {
            eprintln!("{faults}");
            eprintln!("{}: {} fault(s)", config.display(), faults.0.len());
            Exit::Config
        }
    }
}
