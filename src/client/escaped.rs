//! What a gateway said, in a line of ours.

use std::fmt::{self, Write};

/// A text in which what a terminal would act on, or nobody would see, is escaped. Quotes are left as they are.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '\'' | '"' => f.write_char(character),
            other => other.escape_debug().try_for_each(|part| f.write_char(part)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_told_nothing_and_quotes_stay_readable() {
        let text = Escaped("the gateway's \"größe\"\u{1b}[31m\u{202e}\n\\").to_string();
        assert_eq!(text, r#"the gateway's "größe"\u{1b}[31m\u{202e}\n\\"#);
    }
}
