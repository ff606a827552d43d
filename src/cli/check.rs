//! `portcullis check`.

use std::path::Path;

use super::exit::Exit;
use super::output::Told;
use crate::clock::unix_now;
use crate::load;

/// Loads what `serve` would load, and prints every fault with its key.
pub(super) fn run(config: &Path) -> Exit {
    match load::first(config, unix_now()) {
        Ok(loaded) => {
            let settings = &loaded.settings;
            let mut told = Told::default();
            told.line(format_args!(
                "ok: {}, {}, {} in {}",
                counted(settings.listeners.len(), "listener"),
                counted(settings.trust.len(), "trust domain"),
                counted(loaded.generation.policy.len(), "grant"),
                settings.policy.display(),
            ));
            told.print(Exit::Success)
        }
        Err(faults) => {
            eprintln!("{faults}");
            eprintln!("{}: {}", config.display(), counted(faults.0.len(), "fault"));
            Exit::Config
        }
    }
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_not_many() {
        let texts = [0, 1, 2].map(|count| counted(count, "grant"));
        assert_eq!(texts, ["0 grants", "1 grant", "2 grants"]);
    }
}
