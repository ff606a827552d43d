//! Own names only: what a request asks for must be what the presented certificate has, or nothing.
//!
//! The comparison decides no more than whether there is a certificate: the names in it are copied from the presented one.

use super::parts::{Certificate, oid};
use super::request::Request;
use super::{IssueError, RenewalError, RequestError};
use crate::identity::der::{self, Element, NotDer, tag};

/// Most characters of a name that a refusal cites.
const MOST_CITED: usize = 80;

/// Which names a peer asked for that are not its own. The names are escaped, and cut.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NamesError {
    #[error("the subject has an attribute `{asked}` that the presented certificate does not have")]
    Attribute { asked: String },
    #[error("the subject is not that of the presented certificate, attribute for attribute; leave it empty")]
    Subject,
    #[error("`{asked}` is no alternative name of the presented certificate")]
    AlternativeName { asked: String },
    #[error(
        "the alternative name `{missing}` of the presented certificate is not among those asked for; ask for all or none"
    )]
    Missing { missing: String },
}

/// Refuses a request that asks for any other name than those of `presented`.
pub(super) fn check_own(request: &Request<'_>, presented: &[u8]) -> Result<(), RenewalError> {
    let presented = Certificate::parse(presented).map_err(|_| IssueError::Presented)?;
    let subject = der::sole(presented.subject, tag::SEQUENCE).map_err(|_| IssueError::Presented)?;
    if !request.subject.is_empty() {
        let own = relative_names(subject).map_err(|_| IssueError::Presented)?;
        check_subject(&relative_names(request.subject).map_err(RequestError::from)?, &own)?;
    }
    let own = match presented.extension(oid::ALTERNATIVE_NAMES) {
        None => Vec::new(),
        Some(extension) => der::sole(extension.value, tag::SEQUENCE)
            .and_then(|names| der::elements(names).collect())
            .map_err(|_| IssueError::Presented)?,
    };
    for list in &request.alternative_names {
        let asked = der::elements(list).collect::<Result<Vec<_>, _>>().map_err(RequestError::from)?;
        if !asked.is_empty() {
            check_alternative_names(&asked, &own)?;
        }
    }
    Ok(())
}

fn check_subject(asked: &[Vec<Attribute<'_>>], own: &[Vec<Attribute<'_>>]) -> Result<(), NamesError> {
    if asked == own {
        return Ok(());
    }
    let foreign =
        asked.iter().flatten().find(|attribute| !own.iter().flatten().any(|known| known == *attribute));
    Err(match foreign {
        Some(attribute) => NamesError::Attribute { asked: cited(attribute.value.content) },
        None => NamesError::Subject,
    })
}

/// In any order: a set of names says the same.
fn check_alternative_names(asked: &[Element<'_>], own: &[Element<'_>]) -> Result<(), NamesError> {
    if let Some(foreign) = asked.iter().find(|name| !own.contains(name)) {
        return Err(NamesError::AlternativeName { asked: cited(foreign.content) });
    }
    match own.iter().find(|name| !asked.contains(name)) {
        Some(missing) => Err(NamesError::Missing { missing: cited(missing.content) }),
        None => Ok(()),
    }
}

/// One attribute of a subject.
struct Attribute<'a> {
    kind: &'a [u8],
    value: Element<'a>,
}

impl PartialEq for Attribute<'_> {
    /// A UTF8String, a PrintableString and an IA5String of the same octets are the same text: tools differ in which they
    /// write.
    fn eq(&self, other: &Self) -> bool {
        let is_text = |value: &Element<'_>| {
            matches!(value.tag, tag::UTF8_STRING | tag::PRINTABLE_STRING | tag::IA5_STRING)
        };
        let kinds_agree =
            self.value.tag == other.value.tag || (is_text(&self.value) && is_text(&other.value));
        self.kind == other.kind && kinds_agree && self.value.content == other.value.content
    }
}

/// The attributes of a subject, by relative name.
fn relative_names(subject: &[u8]) -> Result<Vec<Vec<Attribute<'_>>>, NotDer> {
    der::elements(subject)
        .map(|name| der::elements(name?.expect(tag::SET)?).map(|found| attribute(found?)).collect())
        .collect()
}

fn attribute(element: Element<'_>) -> Result<Attribute<'_>, NotDer> {
    let mut parts = der::elements(element.expect(tag::SEQUENCE)?);
    let (Some(kind), Some(value), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(NotDer);
    };
    Ok(Attribute { kind: kind?.expect(tag::OID)?, value: value? })
}

/// What a peer chose, fit for a log.
fn cited(name: &[u8]) -> String {
    String::from_utf8_lossy(name).chars().flat_map(char::escape_default).take(MOST_CITED).collect()
}
