//! The query of a request, as pairs. Every value that a page takes is a name, a number or hex, so nothing is escaped.

use super::problem::Problem;

/// The pairs of a query, each key once.
pub(super) fn pairs(query: Option<&str>) -> Result<Vec<(&str, &str)>, Problem> {
    let mut found: Vec<(&str, &str)> = Vec::new();
    for part in query.unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once('=').unwrap_or((part, "true"));
        if !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
            return Err(Problem::request(format!("`{key}` is neither a name nor a number nor hex")));
        }
        if found.iter().any(|(known, _)| *known == key) {
            return Err(Problem::request(format!("`{key}` is given twice")));
        }
        found.push((key, value));
    }
    Ok(found)
}

pub(super) fn flag(key: &str, value: &str) -> Result<bool, Problem> {
    value.parse().map_err(|_| Problem::request(format!("`{key}` is `true` or `false`")))
}

pub(super) fn number(key: &str, value: &str) -> Result<u64, Problem> {
    value.parse().map_err(|_| Problem::request(format!("`{key}` is a number")))
}

pub(super) fn unknown(key: &str, known: &str) -> Problem {
    Problem::request(format!("unknown key {key:?}; there are {known}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_and_what_needs_escapes_is_refused() {
        assert_eq!(pairs(Some("a=b-1&dry_run&&c=")).unwrap(), [("a", "b-1"), ("dry_run", "true"), ("c", "")]);
        assert_eq!(pairs(None).unwrap(), []);
        for bad in ["a=%20", "a=b+c", "a=1&a=2"] {
            assert!(pairs(Some(bad)).is_err(), "{bad}");
        }
    }
}
