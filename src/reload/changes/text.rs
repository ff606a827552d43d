//! Changes for a person to read: one line for each, its kind in front.

use std::fmt;

use super::{AuthorityChanges, Changes, ListChange, ListState, NameChanges, Presence, TrustChange};

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.listeners {
            if let Some(certificate) = &change.certificate {
                let (before, after) = (&certificate.before, &certificate.after);
                line(
                    f,
                    "certificate",
                    "~",
                    &format!("listener[{}] {}", change.listener, before.fingerprint),
                )?;
                writeln!(f, "{:16} -> {} until {}", "", after.fingerprint, after.ends_unix)?;
            }
            if change.rules {
                line(
                    f,
                    "listener",
                    "~",
                    &format!("listener[{}]: path, dialect, origins or TLS", change.listener),
                )?;
            }
            if change.names {
                line(f, "listener", "~", &format!("listener[{}]: names", change.listener))?;
            }
        }
        self.trust.iter().try_for_each(|change| change.fmt(f))?;
        for (sign, entries) in [("+", self.deny.added), ("-", self.deny.removed)] {
            if entries > 0 {
                line(f, "deny list", sign, &format!("{entries} entries"))?;
            }
        }
        names(f, "grant", "", &self.grants)?;
        names(f, "renewal", "", &self.renewal)?;
        if self.dialects {
            line(f, "dialects", "~", "[nats] or gateway.alternatives")?;
        }
        for limit in &self.limits {
            let told = |value: Option<u64>| value.map_or("unlimited".into(), |value| value.to_string());
            line(f, "limit", "~", &format!("{} {} -> {}", limit.key, told(limit.before), told(limit.after)))?;
        }
        Ok(())
    }
}

impl fmt::Display for TrustChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.domain {
            Presence::Kept => {}
            Presence::Added => line(f, "trust", "+", &self.trust)?,
            Presence::Removed => line(f, "trust", "-", &self.trust)?,
        }
        authorities(f, "anchor", &self.trust, &self.anchors)?;
        authorities(f, "intermediate", &self.trust, &self.intermediates)?;
        for list in &self.lists {
            line(f, "list", sign(list), &format!("{} {}", self.trust, told(list)))?;
        }
        if self.revocation_switched {
            line(f, "revocation", "~", &format!("{}: switched on or off, or for stale lists", self.trust))?;
        }
        names(f, "rule", &format!("{} ", self.trust), &self.rules)?;
        if self.claims {
            line(f, "mapping", "~", &format!("{}: order of rules, or names that it may give", self.trust))?;
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, kind: &str, sign: &str, text: &str) -> fmt::Result {
    writeln!(f, "{kind:14}{sign} {text}")
}

fn authorities(
    f: &mut fmt::Formatter<'_>,
    kind: &str,
    trust: &str,
    changes: &AuthorityChanges,
) -> fmt::Result {
    for (sign, all) in [("+", &changes.added), ("-", &changes.removed)] {
        for authority in all {
            let name = authority.name.escape_default();
            line(
                f,
                kind,
                sign,
                &format!("{trust} \"{name}\" {} until {}", authority.fingerprint, authority.ends_unix),
            )?;
        }
    }
    Ok(())
}

fn names(f: &mut fmt::Formatter<'_>, kind: &str, of: &str, changes: &NameChanges) -> fmt::Result {
    for (sign, all) in [("+", &changes.added), ("-", &changes.removed), ("~", &changes.changed)] {
        for name in all {
            line(f, kind, sign, &format!("{of}{name}"))?;
        }
    }
    Ok(())
}

fn sign(list: &ListChange) -> &'static str {
    match (&list.before, &list.after) {
        (None, _) => "+",
        (_, None) => "-",
        (Some(_), Some(_)) => "~",
    }
}

fn told(list: &ListChange) -> String {
    let state = |state: &ListState| format!("number {}, {} entries", state.number, state.entries);
    let states = match (&list.before, &list.after) {
        (Some(before), Some(after)) => format!("{} -> {}", state(before), state(after)),
        (Some(only), None) | (None, Some(only)) => state(only),
        (None, None) => String::new(),
    };
    let of = match list.points.as_slice() {
        [] => String::new(),
        points => format!(" ({})", points.join(" ").escape_default()),
    };
    format!("\"{}\"{of} {states}", list.ca.escape_default())
}
