//! From certificate facts to exactly one service, or to the reason why not.
//!
//! Nothing is ever decided by which value or rule comes first: several values where the name is read, or rules that
//! disagree, refuse the certificate. The order of rules only settles which of several agreeing rules is cited.

mod rule;

use std::collections::BTreeSet;

use super::certificate::{CertificateFacts, ClientUsage, Field, Value};
use super::peer::VerifiedPeer;
use super::{NameError, Role, RuleName, ServiceIdentity, ServiceName};

pub use rule::{Rule, RuleError, RuleSettings, ServiceClaim, Template, TemplateError, claims_overlap};

/// The rules of one trust domain and the names they may give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    rules: Box<[Rule]>,
    claims: Box<[ServiceClaim]>,
}

impl Mapping {
    /// Rules in the order in which they were declared. No claims at all means `*`.
    pub fn new(rules: Vec<Rule>, claims: Vec<ServiceClaim>) -> Self {
        let claims = if claims.is_empty() { vec![ServiceClaim::everything()] } else { claims };
        Self { rules: rules.into(), claims: claims.into() }
    }

    /// Whether a certificate could ever be mapped to `service`.
    pub fn may_give(&self, service: &ServiceName) -> bool {
        let names = |rule: &Rule| match &rule.settings().service {
            Some(literal) => literal == service,
            None => true,
        };
        self.claims.iter().any(|claim| claim.covers(service)) && self.rules.iter().any(names)
    }

    /// Whether a certificate could ever be given `role`.
    pub fn may_give_role(&self, role: &Role) -> bool {
        let gives = |rule: &Rule| {
            let settings = rule.settings();
            settings.roles.contains(role) || settings.role_values.contains(role)
        };
        self.rules.iter().any(gives)
    }

    /// The rules, in the order in which they were declared.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The names this domain may give.
    pub fn claims(&self) -> &[ServiceClaim] {
        &self.claims
    }

    /// Who a verified peer is. The one way to a [`ServiceIdentity`]; the mapping must be that of the peer's own trust
    /// domain, which [`TrustDomains::identify`](crate::trust::TrustDomains::identify) sees to.
    pub(crate) fn identify(&self, peer: &VerifiedPeer) -> Result<ServiceIdentity, MappingError> {
        Ok(ServiceIdentity::new(peer, self.map(peer.facts())?))
    }

    /// Which service these facts stand for, and by which rule.
    pub fn map(&self, facts: &CertificateFacts) -> Result<Mapped, MappingError> {
        check_usage(facts)?;
        self.check_values(facts)?;
        let mut found: Option<Mapped> = None;
        for rule in &self.rules {
            let Some(service) = service_under(rule, facts)? else { continue };
            let roles = roles_under(rule, facts);
            match &mut found {
                None => found = Some(Mapped { service, roles, rule: rule.name().clone() }),
                Some(first) if first.service == service => first.roles.extend(roles),
                Some(first) => {
                    return Err(MappingError::RulesDisagree {
                        first: (first.rule.clone(), first.service.clone()),
                        second: (rule.name().clone(), service),
                    });
                }
            }
        }
        let mapped = found.ok_or(MappingError::NoRule)?;
        if !self.claims.iter().any(|claim| claim.covers(&mapped.service)) {
            return Err(MappingError::NotClaimed { service: mapped.service, rule: mapped.rule });
        }
        Ok(mapped)
    }

    /// Refuses what is wrong with a field whichever rule comes to match, so that no rule's failure hides another's.
    fn check_values(&self, facts: &CertificateFacts) -> Result<(), MappingError> {
        for field in self.rules.iter().flat_map(Rule::name_fields) {
            let count = facts.values(field).count();
            if count > 1 {
                return Err(MappingError::SeveralValues { field, count });
            }
        }
        for field in self.rules.iter().flat_map(Rule::fields) {
            facts.values(field).try_for_each(|value| check_value(field, value))?;
        }
        Ok(())
    }
}

/// A certificate mapped: one service, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    service: ServiceName,
    roles: BTreeSet<Role>,
    rule: RuleName,
}

impl Mapped {
    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    /// The roles of all rules that matched, sorted.
    pub fn roles(&self) -> impl Iterator<Item = &Role> {
        self.roles.iter()
    }

    /// The first of the rules that matched, as declared.
    pub fn rule(&self) -> &RuleName {
        &self.rule
    }

    pub(super) fn into_parts(self) -> (ServiceName, BTreeSet<Role>, RuleName) {
        (self.service, self.roles, self.rule)
    }
}

/// Why a certificate stands for no service. Text from a certificate appears escaped only.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    #[error("a CA certificate is no service")]
    CaCertificate,
    #[error("a certificate whose key may sign certificates (keyCertSign) is no service")]
    SignsCertificates,
    #[error("the certificate does not state the extended key usage clientAuth")]
    UsageUnstated,
    #[error("the certificate is for other uses than clientAuth")]
    UsageForeign,
    #[error("`{field}` has {count} values where one gives the name")]
    SeveralValues { field: Field, count: usize },
    #[error("a value of `{field}` is no UTF8String, PrintableString or IA5String (ASN.1 tag 0x{tag:02x})")]
    Undecodable { field: Field, tag: u8 },
    #[error("a value of `{field}` has a control or format character, U+{code:04X}")]
    Character { field: Field, code: u32 },
    #[error("rule `{rule}` finds {text:?} in `{field}`, which is no service name")]
    NotAName {
        rule: RuleName,
        field: Field,
        text: String,
        #[source]
        source: NameError,
    },
    #[error("rule `{rule}` finds two names, `{}` and `{}`", names.0, names.1)]
    FieldsDisagree { rule: RuleName, names: (ServiceName, ServiceName) },
    #[error("rules disagree: `{}` says `{}`, `{}` says `{}`", first.0, first.1, second.0, second.1)]
    RulesDisagree { first: (RuleName, ServiceName), second: (RuleName, ServiceName) },
    #[error("no rule matches the certificate")]
    NoRule,
    #[error("rule `{rule}` gives `{service}`, a name this trust domain does not claim")]
    NotClaimed { service: ServiceName, rule: RuleName },
}

fn check_usage(facts: &CertificateFacts) -> Result<(), MappingError> {
    if facts.is_ca() {
        return Err(MappingError::CaCertificate);
    }
    if facts.signs_certificates() {
        return Err(MappingError::SignsCertificates);
    }
    match facts.client_usage() {
        ClientUsage::Stated => Ok(()),
        ClientUsage::Unstated => Err(MappingError::UsageUnstated),
        ClientUsage::Foreign => Err(MappingError::UsageForeign),
    }
}

fn check_value(field: Field, value: &Value) -> Result<(), MappingError> {
    match value {
        Value::Undecodable { tag } => Err(MappingError::Undecodable { field, tag: *tag }),
        Value::Text(text) => match text.chars().find(|character| is_invisible(*character)) {
            None => Ok(()),
            Some(character) => Err(MappingError::Character { field, code: character.into() }),
        },
    }
}

/// Control (Cc) and format (Cf) characters: what a person who reads a rule or an audit line would not see.
fn is_invisible(character: char) -> bool {
    character.is_control() || crate::topic::is_format_character(character)
}

/// The service under this rule; `None` if the certificate does not look as the rule wants it.
fn service_under(rule: &Rule, facts: &CertificateFacts) -> Result<Option<ServiceName>, MappingError> {
    let settings = rule.settings();
    let holds =
        |(field, template): &(Field, Template)| texts(facts, *field).any(|text| template.accepts(text));
    if !settings.matches.iter().all(holds) {
        return Ok(None);
    }
    let mut name = settings.service.clone();
    for (field, template) in &settings.matches {
        let Some(text) = texts(facts, *field).find_map(|text| template.capture(text)) else { continue };
        let captured = ServiceName::parse(text).map_err(|source| MappingError::NotAName {
            rule: rule.name().clone(),
            field: *field,
            text: text.into(),
            source,
        })?;
        match name {
            Some(other) if other != captured => {
                let names = (other, captured);
                return Err(MappingError::FieldsDisagree { rule: rule.name().clone(), names });
            }
            _ => name = Some(captured),
        }
    }
    Ok(name)
}

fn roles_under(rule: &Rule, facts: &CertificateFacts) -> BTreeSet<Role> {
    let settings = rule.settings();
    let read = settings.roles_from.into_iter().flat_map(|field| texts(facts, field));
    let listed = |text: &str| settings.role_values.iter().find(|role| role.as_str() == text);
    settings.roles.iter().chain(read.filter_map(listed)).cloned().collect()
}

fn texts(facts: &CertificateFacts, field: Field) -> impl Iterator<Item = &str> {
    facts.values(field).filter_map(|value| match value {
        Value::Text(text) => Some(&**text),
        Value::Undecodable { .. } => None,
    })
}

#[cfg(test)]
mod tests;
