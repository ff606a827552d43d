//! One mapping rule as it was written: what it wants to see in a certificate, and what it gives for it.

use std::fmt;

use crate::identity::certificate::Field;
use crate::identity::{NameError, Role, RuleName, ServiceName};

const PLACEHOLDER: &str = "{service}";

/// What a value must look like: a literal, or text around one `{service}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Shape);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Shape {
    Literal(Box<str>),
    Capture { prefix: Box<str>, suffix: Box<str> },
}

impl Template {
    /// Parses a template: braces occur only as one `{service}`.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.is_empty() {
            return Err(TemplateError::Empty);
        }
        if let Some(character) = text.chars().find(|character| super::is_invisible(*character)) {
            return Err(TemplateError::Character { code: character.into() });
        }
        let (prefix, suffix) = match text.split_once(PLACEHOLDER) {
            None => (text, None),
            Some((prefix, suffix)) => (prefix, Some(suffix)),
        };
        let has_brace = |part: &str| part.contains(['{', '}']);
        if has_brace(prefix) || suffix.is_some_and(has_brace) {
            return Err(TemplateError::Brace);
        }
        Ok(Self(match suffix {
            None => Shape::Literal(prefix.into()),
            Some(suffix) => Shape::Capture { prefix: prefix.into(), suffix: suffix.into() },
        }))
    }

    /// Whether the template reads the service's name out of the value.
    pub fn captures(&self) -> bool {
        matches!(self.0, Shape::Capture { .. })
    }

    /// Whether `value` is of this shape, whatever it would capture.
    pub(super) fn accepts(&self, value: &str) -> bool {
        match &self.0 {
            Shape::Literal(literal) => **literal == *value,
            Shape::Capture { .. } => self.capture(value).is_some(),
        }
    }

    /// The text in the place of `{service}`.
    pub(super) fn capture<'v>(&self, value: &'v str) -> Option<&'v str> {
        match &self.0 {
            Shape::Literal(_) => None,
            Shape::Capture { prefix, suffix } => value.strip_prefix(&**prefix)?.strip_suffix(&**suffix),
        }
    }

    /// Refuses a template that no value of the field could ever match with a service name in it.
    fn check_for(&self, field: Field) -> Result<(), RuleError> {
        let (start, has) = match &self.0 {
            Shape::Literal(literal) => (literal, literal.contains('@')),
            Shape::Capture { prefix, suffix } => (prefix, prefix.contains('@') || suffix.contains('@')),
        };
        match field {
            Field::Uri if !begins_with_scheme(start) => Err(RuleError::NoScheme),
            Field::Email if !has => Err(RuleError::NoMailbox),
            _ => Ok(()),
        }
    }
}

/// Why a text is no template. The fault of whoever wrote the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("a template may not be empty")]
    Empty,
    #[error("a template has no control or format characters; found U+{code:04X}")]
    Character { code: u32 },
    #[error("braces stand in a template only as one `{{service}}`")]
    Brace,
}

/// `scheme ":"` as RFC 3986 (3.1) writes it.
fn begins_with_scheme(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.chars().all(|each| each.is_ascii_alphanumeric() || matches!(each, '+' | '-' | '.'))
    })
}

/// What the configuration says of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSettings {
    pub name: RuleName,
    /// All must hold.
    pub matches: Vec<(Field, Template)>,
    /// The service, when no template reads it from the certificate.
    pub service: Option<ServiceName>,
    /// Roles that every certificate under this rule has.
    pub roles: Vec<Role>,
    /// The attribute whose values become roles, as far as they are in `role_values`.
    pub roles_from: Option<Field>,
    /// The roles that `roles_from` may give.
    pub role_values: Vec<Role>,
}

/// One rule that can give a name in exactly one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule(RuleSettings);

impl Rule {
    /// Takes a rule that is whole and free of contradictions.
    pub fn new(settings: RuleSettings) -> Result<Self, RuleError> {
        if settings.matches.is_empty() {
            return Err(RuleError::NoMatches);
        }
        for (field, template) in &settings.matches {
            template.check_for(*field)?;
        }
        let captures = settings.matches.iter().any(|(_, template)| template.captures());
        match (captures, &settings.service) {
            (false, None) => return Err(RuleError::NoService),
            (true, Some(_)) => return Err(RuleError::TwoServices),
            _ => {}
        }
        match (settings.roles_from, settings.role_values.is_empty()) {
            (Some(_), true) => return Err(RuleError::NoRoleValues),
            (None, false) => return Err(RuleError::NoRolesFrom),
            (Some(field), false) if !field.is_attribute() => return Err(RuleError::RolesFromName { field }),
            _ => {}
        }
        Ok(Self(settings))
    }

    pub fn name(&self) -> &RuleName {
        &self.0.name
    }

    pub(super) fn settings(&self) -> &RuleSettings {
        &self.0
    }

    /// The fields that this rule reads the service's name from.
    pub(super) fn name_fields(&self) -> impl Iterator<Item = Field> {
        self.0.matches.iter().filter(|(_, template)| template.captures()).map(|(field, _)| *field)
    }

    /// Every field this rule reads.
    pub(super) fn fields(&self) -> impl Iterator<Item = Field> {
        self.0.matches.iter().map(|(field, _)| *field).chain(self.0.roles_from)
    }
}

/// Why a rule is refused. The fault of whoever wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    #[error("a rule matches on at least one field")]
    NoMatches,
    #[error("a rule needs a `service`, or `{{service}}` in one of its templates")]
    NoService,
    #[error("a rule has either a `service` or `{{service}}` in a template, not both")]
    TwoServices,
    #[error("`roles_from` needs `role_values`, the roles it may give")]
    NoRoleValues,
    #[error("`role_values` needs `roles_from`, the attribute to read them from")]
    NoRolesFrom,
    #[error("`roles_from` names an attribute (cn, ou, o), not `{field}`")]
    RolesFromName { field: Field },
    #[error("a `uri` template begins with its scheme, such as `spiffe://`")]
    NoScheme,
    #[error("an `email` template spells the `@`")]
    NoMailbox,
}

/// Which names a trust domain may give: one name, or all that begin alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceClaim {
    Exactly(ServiceName),
    /// Written with a `*` at the end; the prefix may be empty.
    BeginningWith(Box<str>),
}

impl ServiceClaim {
    /// Parses a service name, a beginning of one followed by `*`, or `*`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        match text.strip_suffix('*') {
            None => Ok(Self::Exactly(ServiceName::parse(text)?)),
            Some("") => Ok(Self::everything()),
            Some(prefix) => Ok(Self::BeginningWith(ServiceName::parse(prefix)?.as_str().into())),
        }
    }

    /// The claim `*`.
    pub fn everything() -> Self {
        Self::BeginningWith("".into())
    }

    /// Whether the name is claimed.
    pub fn covers(&self, service: &ServiceName) -> bool {
        match self {
            Self::Exactly(name) => name == service,
            Self::BeginningWith(prefix) => service.as_str().starts_with(&**prefix),
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exactly(name), claim) | (claim, Self::Exactly(name)) => claim.covers(name),
            (Self::BeginningWith(a), Self::BeginningWith(b)) => a.starts_with(&**b) || b.starts_with(&**a),
        }
    }
}

impl fmt::Display for ServiceClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(name) => name.fmt(f),
            Self::BeginningWith(prefix) => write!(f, "{prefix}*"),
        }
    }
}

/// The first two claims that some service name falls under both of.
pub fn claims_overlap<'c>(
    ours: &'c [ServiceClaim],
    theirs: &'c [ServiceClaim],
) -> Option<(&'c ServiceClaim, &'c ServiceClaim)> {
    let pairs = ours.iter().flat_map(|our| theirs.iter().map(move |their| (our, their)));
    pairs.into_iter().find(|(our, their)| our.overlaps(their))
}
