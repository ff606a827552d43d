//! Patterns with a place for the service's name, so that one grant can give each service a space of its own.

use std::fmt;

use crate::identity::MAX_NAME_BYTES;
use crate::topic::{Pattern, TopicError};

/// The token that stands for the name of the service to which a grant applies.
pub const SERVICE_PLACEHOLDER: &str = "{service}";

/// A pattern, some of whose tokens may be `{service}`. Filled with any service name it is a valid pattern.
#[derive(Clone, PartialEq, Eq)]
pub struct PatternTemplate(Parts);

#[derive(Clone, PartialEq, Eq)]
enum Parts {
    Fixed(Pattern),
    PerService(Box<str>),
}

impl PatternTemplate {
    /// Parses a pattern that may hold `{service}` as whole tokens. Other braces are refused, because a misspelt
    /// placeholder would be a rule that never applies.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let braced = |token: &&str| token.contains(['{', '}']);
        let mut braced = text.split('.').filter(braced).peekable();
        if braced.peek().is_none() {
            return Ok(Self(Parts::Fixed(Pattern::parse(text)?)));
        }
        if let Some(token) = braced.find(|token| *token != SERVICE_PLACEHOLDER) {
            return Err(TemplateError::Placeholder { token: token.chars().take(MAX_NAME_BYTES).collect() });
        }
        Pattern::parse(&filled(text, &"x".repeat(MAX_NAME_BYTES))).map_err(|error| match error {
            TopicError::TooLong { bytes } => TemplateError::TooLong { bytes },
            other => TemplateError::Pattern(other),
        })?;
        Ok(Self(Parts::PerService(text.into())))
    }

    /// The template as it was written.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Parts::Fixed(pattern) => pattern.as_str(),
            Parts::PerService(text) => text,
        }
    }

    /// With `name`, a token of at most [`MAX_NAME_BYTES`], in the place of `{service}`.
    pub(super) fn fill(&self, name: &str) -> Pattern {
        match &self.0 {
            Parts::Fixed(pattern) => pattern.clone(),
            Parts::PerService(text) => Pattern::parse(&filled(text, name))
                .expect("a template is a pattern with the longest name, so with every one"),
        }
    }

    pub(super) fn first_token(&self) -> &str {
        let text = self.as_str();
        text.split_once('.').map_or(text, |(first, _)| first)
    }
}

fn filled(text: &str, service: &str) -> String {
    let tokens: Vec<&str> =
        text.split('.').map(|token| if token == SERVICE_PLACEHOLDER { service } else { token }).collect();
    tokens.join(".")
}

impl fmt::Display for PatternTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for PatternTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PatternTemplate({self})")
    }
}

/// Why a text in a grant is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("this is not a pattern")]
    Pattern(#[from] TopicError),
    #[error("`{{service}}` stands alone in its token and is the only placeholder; found {token:?}")]
    Placeholder { token: String },
    #[error("with a service name of {MAX_NAME_BYTES} bytes the pattern would have {bytes} bytes, too many")]
    TooLong { bytes: usize },
}
