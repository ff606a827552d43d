//! The deny file: three lists of whom to keep out.

use super::check::{is_nothing, list, parse_table};
use super::{Faults, Why, file};
use crate::deny::{DenyList, MAX_ENTRIES};
use crate::identity::ServiceName;
use crate::identity::certificate::{Fingerprint, Serial};

/// A file that denies nobody says so in a comment or with an empty list. One without anything is what a write that was
/// cut short leaves, and would let everybody in again.
pub(super) fn entries(text: &str) -> Result<DenyList, Faults> {
    let mut faults = Faults::default();
    if is_nothing(text) {
        faults.add("", Why::EmptyDenyList);
        return Err(faults);
    }
    let mut table = parse_table(text)?;
    let mut strings =
        |key: &str| super::check::key::<Vec<String>>(&mut table, key, &mut faults).unwrap_or_default();
    let file = file::Deny {
        fingerprints: strings("fingerprints"),
        serials: strings("serials"),
        services: strings("services"),
    };
    for unknown in table.keys() {
        faults.add(unknown, Why::UnknownKey);
    }
    let count = file.fingerprints.len() + file.serials.len() + file.services.len();
    if count > MAX_ENTRIES {
        faults.add("", Why::TooManyEntries { count, most: MAX_ENTRIES });
        return Err(faults);
    }
    let fingerprint = |text: &str| Fingerprint::parse(text).ok_or_else(|| Why::Fingerprint(text.into()));
    let serial = |text: &str| Serial::parse(text).ok_or_else(|| Why::Serial(text.into()));
    let entries = DenyList::new(
        list("fingerprints", &file.fingerprints, &mut faults, fingerprint),
        list("serials", &file.serials, &mut faults, serial),
        list("services", &file.services, &mut faults, ServiceName::parse),
    );
    if faults.is_empty() { Ok(entries) } else { Err(faults) }
}
