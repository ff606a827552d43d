//! What a certificate says, as structured facts and never as a printed name: printing a distinguished name loses where
//! one value ends and the next begins, which is how others were made to read a subject that no CA had signed.
//!
//! Two parsers must agree that the bytes are a certificate: `webpki`, which is strict about the frame, and
//! `x509-parser`, which knows the extensions. The subject is walked here, because both skip over parts of it.

mod ids;

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension, X509Extension};
use x509_parser::oid_registry as oid;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use super::der::{self, NotDer, tag};

pub use ids::{AnchorSetId, CertificateId, CrlNumber, Fingerprint, IssuerId, Serial};

/// A place in a certificate that a mapping rule may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// Subject attribute `commonName` (2.5.4.3).
    Cn,
    /// Subject attribute `organizationalUnitName` (2.5.4.11).
    Ou,
    /// Subject attribute `organizationName` (2.5.4.10).
    O,
    /// Subject alternative name `dNSName`.
    Dns,
    /// Subject alternative name `uniformResourceIdentifier`, such as a SPIFFE ID.
    Uri,
    /// Subject alternative name `rfc822Name`.
    Email,
}

impl Field {
    /// Every field, in the order in which they are listed to a person.
    pub const ALL: [Self; 6] = [Self::Cn, Self::Ou, Self::O, Self::Dns, Self::Uri, Self::Email];

    /// The key of the configuration file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cn => "cn",
            Self::Ou => "ou",
            Self::O => "o",
            Self::Dns => "dns",
            Self::Uri => "uri",
            Self::Email => "email",
        }
    }

    /// The field of this configuration key.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.as_str() == text)
    }

    /// Whether the field is an attribute of the subject, rather than a subject alternative name.
    pub fn is_attribute(self) -> bool {
        matches!(self, Self::Cn | Self::Ou | Self::O)
    }

    /// The field of this attribute type, given as the content octets of its OID (arc 2.5.4).
    fn of_attribute_type(oid: &[u8]) -> Option<Self> {
        match oid {
            [0x55, 0x04, 3] => Some(Self::Cn),
            [0x55, 0x04, 11] => Some(Self::Ou),
            [0x55, 0x04, 10] => Some(Self::O),
            _ => None,
        }
    }
}

impl std::fmt::Display for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A UTF8String, PrintableString or IA5String that keeps to its alphabet. May hold control characters.
    Text(Box<str>),
    /// Any other type (BMPString, TeletexString, …), or text outside the alphabet of its type. It counts as a value,
    /// so that it cannot hide, and is refused once a rule reads its field.
    Undecodable {
        /// The identifier octet of the ASN.1 type.
        tag: u8,
    },
}

/// What the extended key usage says about use as a TLS client (RFC 5280, 4.2.1.12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientUsage {
    /// No such extension: good for anything, which is not good enough here.
    Unstated,
    /// `clientAuth` is among the purposes.
    Stated,
    /// Other purposes only, `anyExtendedKeyUsage` among them.
    Foreign,
}

/// Bytes that an allocation takes beside its content, at most: a short one is rounded up.
pub(crate) const ALLOCATION: usize = 32;

/// What a certificate says. No signature is checked by reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    values: Box<[(Field, Value)]>,
    other_names: usize,
    is_ca: bool,
    signs_certificates: bool,
    client_usage: ClientUsage,
    not_before: u64,
    not_after: u64,
    serial: Serial,
    fingerprint: Fingerprint,
}

impl CertificateFacts {
    /// Reads one certificate in DER, with nothing behind it.
    pub fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        let owned = CertificateDer::from(der);
        let strict = webpki::EndEntityCert::try_from(&owned).map_err(CertificateError::Malformed)?;
        let (_, lenient) = X509Certificate::from_der(der).map_err(|_| CertificateError::Unreadable)?;
        lenient.extensions_map().map_err(|_| CertificateError::DuplicateExtension)?;

        let mut extensions = Extensions::default();
        for extension in lenient.extensions() {
            extensions.read(extension)?;
        }
        let mut values = subject_values(strict.subject()).map_err(|NotDer| CertificateError::Subject)?;
        values.append(&mut extensions.names);
        Ok(Self {
            values: values.into(),
            other_names: extensions.other_names,
            is_ca: extensions.is_ca,
            signs_certificates: extensions.signs_certificates,
            client_usage: extensions.client_usage.unwrap_or(ClientUsage::Unstated),
            not_before: unix_seconds(lenient.validity().not_before)?,
            not_after: unix_seconds(lenient.validity().not_after)?,
            serial: Serial::from_be_bytes(strict.serial()).ok_or(CertificateError::Serial)?,
            fingerprint: Fingerprint::of(der),
        })
    }

    /// The values of one field, in the order of the certificate, repeated values repeated.
    pub fn values(&self, field: Field) -> impl Iterator<Item = &Value> {
        self.values.iter().filter(move |(of, _)| *of == field).map(|(_, value)| value)
    }

    /// How many subject alternative names there are of kinds that no rule can read, such as IP addresses.
    pub fn other_names(&self) -> usize {
        self.other_names
    }

    /// Whether the basic constraints say CA.
    pub fn is_ca(&self) -> bool {
        self.is_ca
    }

    /// Whether the key usage includes keyCertSign.
    pub fn signs_certificates(&self) -> bool {
        self.signs_certificates
    }

    pub fn client_usage(&self) -> ClientUsage {
        self.client_usage
    }

    /// First second of validity, in Unix seconds.
    pub fn not_before(&self) -> u64 {
        self.not_before
    }

    /// Last second of validity, in Unix seconds.
    pub fn not_after(&self) -> u64 {
        self.not_after
    }

    pub fn serial(&self) -> Serial {
        self.serial
    }

    /// What a log calls the certificate.
    pub fn id(&self) -> CertificateId {
        CertificateId { serial: Some(self.serial), fingerprint: self.fingerprint }
    }

    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Bytes of memory that it takes beside itself, about.
    pub(crate) fn memory(&self) -> usize {
        let beside = |value: &Value| match value {
            Value::Text(text) => text.len() + ALLOCATION,
            Value::Undecodable { .. } => 0,
        };
        self.values.iter().map(|entry| size_of_val(entry) + beside(&entry.1)).sum()
    }
}

/// Why bytes are no certificate this gateway reads. Always the fault of who made the certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    #[error("the certificate is malformed or of an unsupported kind")]
    Malformed(#[source] webpki::Error),
    #[error("the certificate cannot be read")]
    Unreadable,
    #[error("the certificate has an extension twice")]
    DuplicateExtension,
    #[error("the certificate's extension {oid} is malformed")]
    Extension { oid: String },
    #[error("the certificate's subject is malformed")]
    Subject,
    #[error("the certificate has a subject alternative name that cannot be read")]
    AlternativeName,
    #[error("the certificate has a date before 1970")]
    Date,
    #[error("the certificate's serial number is longer than 20 octets")]
    Serial,
}

/// What the extensions say that matter here.
#[derive(Default)]
struct Extensions {
    names: Vec<(Field, Value)>,
    other_names: usize,
    is_ca: bool,
    signs_certificates: bool,
    client_usage: Option<ClientUsage>,
}

impl Extensions {
    fn read(&mut self, extension: &X509Extension<'_>) -> Result<(), CertificateError> {
        let is_read = [
            oid::OID_X509_EXT_BASIC_CONSTRAINTS,
            oid::OID_X509_EXT_KEY_USAGE,
            oid::OID_X509_EXT_EXTENDED_KEY_USAGE,
            oid::OID_X509_EXT_SUBJECT_ALT_NAME,
        ]
        .contains(&extension.oid);
        if !is_read {
            return Ok(());
        }
        let malformed = || CertificateError::Extension { oid: extension.oid.to_string() };
        // The parser does not look behind the value it read.
        if der::elements(extension.value).count() != 1 {
            return Err(malformed());
        }
        match extension.parsed_extension() {
            ParsedExtension::BasicConstraints(constraints) => self.is_ca = constraints.ca,
            ParsedExtension::KeyUsage(usage) => self.signs_certificates = usage.key_cert_sign(),
            ParsedExtension::ExtendedKeyUsage(usage) => {
                let stated = usage.client_auth;
                self.client_usage = Some(if stated { ClientUsage::Stated } else { ClientUsage::Foreign });
            }
            ParsedExtension::SubjectAlternativeName(names) => {
                names.general_names.iter().try_for_each(|name| self.read_name(name))?;
            }
            _ => return Err(malformed()),
        }
        Ok(())
    }

    fn read_name(&mut self, name: &GeneralName<'_>) -> Result<(), CertificateError> {
        let (field, text) = match name {
            GeneralName::DNSName(text) => (Field::Dns, text),
            GeneralName::URI(text) => (Field::Uri, text),
            GeneralName::RFC822Name(text) => (Field::Email, text),
            GeneralName::Invalid(..) => return Err(CertificateError::AlternativeName),
            _ => {
                self.other_names = self.other_names.saturating_add(1);
                return Ok(());
            }
        };
        // All three are IA5Strings (RFC 5280, 4.2.1.6); the parser takes any UTF-8.
        if !text.is_ascii() {
            return Err(CertificateError::AlternativeName);
        }
        self.names.push((field, Value::Text((*text).into())));
        Ok(())
    }
}

/// Walks the content of a Name (RFC 5280, 4.1.2.4): a sequence of sets of (type, value).
fn subject_values(subject: &[u8]) -> Result<Vec<(Field, Value)>, NotDer> {
    let mut values = Vec::new();
    for relative_name in der::elements(subject) {
        for attribute in der::elements(relative_name?.expect(tag::SET)?) {
            let mut parts = der::elements(attribute?.expect(tag::SEQUENCE)?);
            let (Some(kind), Some(value), None) = (parts.next(), parts.next(), parts.next()) else {
                return Err(NotDer);
            };
            let value = value?;
            if let Some(field) = Field::of_attribute_type(kind?.expect(tag::OID)?) {
                values.push((field, decode(value.tag, value.content)));
            }
        }
    }
    Ok(values)
}

fn decode(tag: u8, content: &[u8]) -> Value {
    let in_alphabet = match tag {
        tag::UTF8_STRING => true,
        tag::IA5_STRING => content.is_ascii(),
        tag::PRINTABLE_STRING => content.iter().all(|octet| is_printable(*octet)),
        _ => false,
    };
    match std::str::from_utf8(content) {
        Ok(text) if in_alphabet => Value::Text(text.into()),
        _ => Value::Undecodable { tag },
    }
}

/// The alphabet of PrintableString (X.680, 41.4).
fn is_printable(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&octet)
}

/// Certificates with dates before 1970 do not verify either.
pub(crate) fn unix_seconds(time: ASN1Time) -> Result<u64, CertificateError> {
    u64::try_from(time.timestamp()).map_err(|_| CertificateError::Date)
}

#[cfg(test)]
pub(crate) mod tests;
