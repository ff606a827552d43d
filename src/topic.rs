//! The words of the system: a [`Topic`] names what a message is about, a [`Pattern`] names a set of topics.
//!
//! Both are parsed once at the edge and never checked again behind it. The grammar is that of `docs/protocol.md`,
//! *Names and formats*: dot-separated tokens of UTF-8, `*` for one token, a last `>` for one or more. A pattern whose
//! first token is a wildcard matches no reserved topic (first token begins with `$` or `_`), in every function here.

mod index;

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

pub use index::{PatternIndex, Search};

/// Longest topic or pattern, in bytes of UTF-8.
pub const MAX_TOPIC_BYTES: usize = 255;
/// Most tokens of a topic or pattern.
pub const MAX_TOPIC_TOKENS: usize = 32;
/// Fewest characters of an inbox's second token, so that nobody guesses it.
pub const MIN_INBOX_TOKEN_CHARS: usize = 16;
/// First token of every inbox.
pub const INBOX_PREFIX: &str = "_INBOX";

/// A concrete topic, free of wildcards. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Arc<str>);

impl Topic {
    /// Parses a topic, refusing wildcards and whatever the grammar does not allow.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        if !is_plainly_a_topic(text.as_bytes()) {
            check_tokens(text, |_, token| match token {
                "*" | ">" => Err(TopicError::WildcardInTopic),
                _ => Ok(()),
            })?;
        }
        Ok(Self(text.into()))
    }

    /// The topic as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both are one value, which says more cheaply that they are equal.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The topic `text` if it is a sibling of this one at first sight: if its last token is of visible ASCII and the others are those
    /// of this one, which are not checked again.
    pub fn sibling(&self, text: &str) -> Option<Self> {
        let last = text.strip_prefix(self.before_last_token())?;
        let is_one = text.len() <= MAX_TOPIC_BYTES
            && !last.is_empty()
            && last.bytes().all(|byte| is_plain(byte) && byte != b'.');
        is_one.then(|| Self(text.into()))
    }

    /// Whether both differ in their last token alone, or not at all.
    pub fn is_sibling_of(&self, other: &Self) -> bool {
        self.before_last_token() == other.before_last_token()
    }

    /// All tokens but the last, with the dots behind them.
    fn before_last_token(&self) -> &str {
        let start = memchr::memrchr(b'.', self.0.as_bytes()).map_or(0, |dot| dot + 1);
        self.0.get(..start).unwrap_or_default()
    }

    /// The tokens between the dots.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }

    /// The first token: what partitions topics between services and within the router.
    pub fn first_token(&self) -> &str {
        first_token(&self.0)
    }

    /// Whether the first token begins with `$` or `_`, so that only a pattern which spells it matches.
    pub fn is_reserved(&self) -> bool {
        is_reserved(&self.0)
    }

    /// The owner token if this topic lies in an inbox (`_INBOX.<token>…`).
    pub fn inbox_token(&self) -> Option<&str> {
        inbox_token(&self.0)
    }

    /// Whether the topic lies in an inbox, and all its siblings in the same.
    pub fn is_within_inbox(&self) -> bool {
        self.inbox_token().is_some_and(|token| self.0.len() > INBOX_PREFIX.len() + ".".len() + token.len())
    }

    /// Whether the topic's first token is that of inboxes, well-formed or not.
    pub fn is_inbox(&self) -> bool {
        is_inbox(&self.0)
    }
}

impl Borrow<str> for Topic {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Topic({})", self.0)
    }
}

/// A set of topics: tokens, `*` for exactly one token, `>` in last place for one or more. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern(Arc<str>);

impl Pattern {
    /// Parses a pattern; every topic is a pattern too.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        check_tokens(text, |is_last, token| match token {
            ">" if !is_last => Err(TopicError::TailNotLast),
            _ => Ok(()),
        })?;
        Ok(Self(text.into()))
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tokens between the dots, wildcards among them.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }

    /// The first token, which may be a wildcard.
    pub fn first_token(&self) -> &str {
        first_token(&self.0)
    }

    /// Whether the pattern has no wildcard, so that it matches the one topic spelled alike.
    pub fn is_literal(&self) -> bool {
        self.tokens().all(|token| !is_wildcard(token))
    }

    /// Whether the first token is a wildcard: such a pattern sees no reserved topic.
    pub fn starts_wild(&self) -> bool {
        is_wildcard(self.first_token())
    }

    /// Whether the first token begins with `$` or `_`.
    pub fn is_reserved(&self) -> bool {
        is_reserved(&self.0)
    }

    /// The owner token if every topic of this pattern lies in one inbox (`_INBOX.<literal token>…`).
    pub fn inbox_token(&self) -> Option<&str> {
        inbox_token(&self.0)
    }

    /// Whether the pattern's first token is that of inboxes, well-formed or not.
    pub fn is_inbox(&self) -> bool {
        is_inbox(&self.0)
    }

    /// Whether `topic` is in the set.
    pub fn matches(&self, topic: &Topic) -> bool {
        if self.starts_wild() && topic.is_reserved() {
            return false;
        }
        let mut topic_tokens = topic.tokens();
        for wanted in self.tokens() {
            match (wanted, topic_tokens.next()) {
                (_, None) => return false,
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (literal, Some(token)) if literal == token => {}
                _ => return false,
            }
        }
        topic_tokens.next().is_none()
    }

    /// Whether every topic of `other` is in this set.
    pub fn covers(&self, other: &Pattern) -> bool {
        if self.starts_wild() && other.is_reserved() {
            return false;
        }
        let mut others = other.tokens();
        for wanted in self.tokens() {
            match (wanted, others.next()) {
                (_, None) => return false,
                (">", Some(_)) => return true,
                (_, Some(">")) => return false,
                ("*", Some(_)) => {}
                (literal, Some(token)) if literal == token => {}
                _ => return false,
            }
        }
        others.next().is_none()
    }

    /// Whether some topic is in both sets.
    pub fn overlaps(&self, other: &Pattern) -> bool {
        if (self.starts_wild() && other.is_reserved()) || (other.starts_wild() && self.is_reserved()) {
            return false;
        }
        let (mut ours, mut theirs) = (self.tokens(), other.tokens());
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return true,
                (None, Some(_)) | (Some(_), None) => return false,
                (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
                (Some("*"), Some(_)) | (Some(_), Some("*")) => {}
                (Some(a), Some(b)) if a == b => {}
                _ => return false,
            }
        }
    }
}

impl From<&Topic> for Pattern {
    fn from(topic: &Topic) -> Self {
        Self(topic.0.clone())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({})", self.0)
    }
}

/// Why a text is no topic or no pattern. Every variant is the fault of whoever wrote the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    #[error("a topic may not be empty")]
    Empty,
    #[error("a topic has at most {MAX_TOPIC_BYTES} bytes, this one has {bytes}")]
    TooLong { bytes: usize },
    #[error("a topic has at most {MAX_TOPIC_TOKENS} tokens")]
    TooManyTokens,
    #[error("a topic has no empty token: no dot at the start, at the end or beside another")]
    EmptyToken,
    #[error("a token has no white space, control or format characters; found U+{code:04X}")]
    Character { code: u32 },
    #[error("`*` and `>` stand alone in their token")]
    WildcardInToken,
    #[error("`>` stands only in last place")]
    TailNotLast,
    #[error("a topic to publish on has no wildcard")]
    WildcardInTopic,
}

/// Checks what topics and patterns share, and hands each token to `check` with whether it is the last.
fn check_tokens(text: &str, check: impl Fn(bool, &str) -> Result<(), TopicError>) -> Result<(), TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    if text.len() > MAX_TOPIC_BYTES {
        return Err(TopicError::TooLong { bytes: text.len() });
    }
    let mut tokens = text.split('.').peekable();
    let mut count = 0;
    while let Some(token) = tokens.next() {
        count += 1;
        if count > MAX_TOPIC_TOKENS {
            return Err(TopicError::TooManyTokens);
        }
        check_token(token)?;
        check(tokens.peek().is_none(), token)?;
    }
    Ok(())
}

/// Whether a text is a topic at first sight, as most are: of visible ASCII alone, and without the characters of wildcards. Each
/// request brings a new one to answer to.
fn is_plainly_a_topic(text: &[u8]) -> bool {
    let ([first, .., last] | [first @ last]) = text else { return false };
    if text.len() > MAX_TOPIC_BYTES || *first == b'.' || *last == b'.' {
        return false;
    }
    // Without an early end, so that many bytes are looked at at once.
    let are_plain = text.iter().fold(true, |all, byte| all & is_plain(*byte));
    let pairs = text.iter().zip(text.iter().skip(1));
    let is_token_empty = pairs.fold(false, |any, (one, next)| any | ((*one == b'.') & (*next == b'.')));
    let dots = text.iter().filter(|byte| **byte == b'.').count();
    are_plain && !is_token_empty && dots < MAX_TOPIC_TOKENS
}

/// Whether a character is visible ASCII and belongs to no wildcard.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() & (byte != b'*') & (byte != b'>')
}

fn check_token(token: &str) -> Result<(), TopicError> {
    if token.is_empty() {
        return Err(TopicError::EmptyToken);
    }
    if is_wildcard(token) {
        return Ok(());
    }
    for character in token.chars() {
        if matches!(character, '*' | '>') {
            return Err(TopicError::WildcardInToken);
        }
        if is_forbidden(character) {
            return Err(TopicError::Character { code: character.into() });
        }
    }
    Ok(())
}

/// White space, controls (Cc) and format characters (Cf), which a person cannot see and so cannot review in a policy.
fn is_forbidden(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_control() || character == ' ';
    }
    character.is_whitespace() || character.is_control() || is_format_character(character)
}

/// General category Cf of Unicode 17.
pub(crate) fn is_format_character(character: char) -> bool {
    matches!(u32::from(character),
        0x00AD | 0x0600..=0x0605 | 0x061C | 0x06DD | 0x070F | 0x0890..=0x0891 | 0x08E2 | 0x180E
        | 0x200B..=0x200F | 0x202A..=0x202E | 0x2060..=0x2064 | 0x2066..=0x206F | 0xFEFF
        | 0xFFF9..=0xFFFB | 0x110BD | 0x110CD | 0x13430..=0x1343F | 0x1BCA0..=0x1BCA3
        | 0x1D173..=0x1D17A | 0xE0001 | 0xE0020..=0xE007F)
}

fn is_wildcard(token: &str) -> bool {
    matches!(token, "*" | ">")
}

fn first_token(text: &str) -> &str {
    split_token(text).0
}

/// The first token and what follows it.
fn split_token(text: &str) -> (&str, Option<&str>) {
    let dot = memchr::memchr(b'.', text.as_bytes());
    let parts = dot.and_then(|dot| text.split_at_checked(dot));
    parts.map_or((text, None), |(first, rest)| (first, rest.get(1..)))
}

fn is_reserved(text: &str) -> bool {
    text.starts_with(['$', '_'])
}

/// Whether the first token of a text is that of inboxes, whatever follows.
pub fn is_inbox(text: &str) -> bool {
    text.strip_prefix(INBOX_PREFIX).is_some_and(|behind| behind.is_empty() || behind.starts_with('.'))
}

fn inbox_token(text: &str) -> Option<&str> {
    let token = first_token(text.strip_prefix(INBOX_PREFIX)?.strip_prefix('.')?);
    let characters = if token.is_ascii() { token.len() } else { token.chars().count() };
    // What has `MIN_INBOX_TOKEN_CHARS` is no wildcard.
    (characters >= MIN_INBOX_TOKEN_CHARS).then_some(token)
}

#[cfg(test)]
pub(crate) mod tests;
