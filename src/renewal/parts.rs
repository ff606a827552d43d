//! The parts of a certificate as they lie in its bytes: what is to be copied is not decoded on the way.

use crate::identity::der::{self, Element, NotDer, tag};
use crate::trust::signed::Signed;

/// Object identifiers, as their content octets.
pub(super) mod oid {
    pub(in super::super) const SUBJECT_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 14];
    pub(in super::super) const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
    pub(in super::super) const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 17];
    pub(in super::super) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
    pub(in super::super) const AUTHORITY_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 35];
    pub(in super::super) const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];
    /// The purpose `id-kp-clientAuth` (RFC 5280, 4.2.1.12).
    pub(in super::super) const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];
    /// `extensionRequest` of PKCS #9 (RFC 2985, 5.4.2).
    pub(in super::super) const EXTENSION_REQUEST: &[u8] =
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];
}

/// A certificate (RFC 5280, 4.1). Subject and public key have their headers.
pub(super) struct Certificate<'a> {
    pub(super) subject: &'a [u8],
    pub(super) public_key: &'a [u8],
    pub(super) extensions: Vec<Extension<'a>>,
}

impl<'a> Certificate<'a> {
    pub(super) fn parse(der: &'a [u8]) -> Result<Self, NotDer> {
        let fields = der::elements(Signed::parse(der)?.fields()?).collect::<Result<Vec<_>, _>>()?;
        let [version, _serial, _algorithm, _issuer, _validity, subject, public_key, rest @ ..] = &fields[..]
        else {
            return Err(NotDer);
        };
        version.expect(tag::CONTEXT_0)?;
        subject.expect(tag::SEQUENCE)?;
        public_key.expect(tag::SEQUENCE)?;
        // Unique identifiers may stand before the extensions.
        let extensions = match rest.last() {
            Some(last) if last.tag == tag::CONTEXT_3 => extensions(der::sole(last.content, tag::SEQUENCE)?)?,
            _ => Vec::new(),
        };
        Ok(Self { subject: subject.raw, public_key: public_key.raw, extensions })
    }

    pub(super) fn extension(&self, oid: &[u8]) -> Option<&Extension<'a>> {
        self.extensions.iter().find(|extension| extension.oid == oid)
    }
}

/// One extension.
pub(super) struct Extension<'a> {
    pub(super) oid: &'a [u8],
    /// All of it, header and criticality included.
    pub(super) raw: &'a [u8],
    pub(super) value: &'a [u8],
}

/// The extensions within the header of their sequence.
pub(super) fn extensions(content: &[u8]) -> Result<Vec<Extension<'_>>, NotDer> {
    der::elements(content).map(|element| extension(element?)).collect()
}

fn extension(element: Element<'_>) -> Result<Extension<'_>, NotDer> {
    let parts = der::elements(element.expect(tag::SEQUENCE)?).collect::<Result<Vec<_>, _>>()?;
    let (oid, value) = match &parts[..] {
        [oid, value] => (oid, value),
        [oid, critical, value] if critical.tag == tag::BOOLEAN => (oid, value),
        _ => return Err(NotDer),
    };
    Ok(Extension { oid: oid.expect(tag::OID)?, raw: element.raw, value: value.expect(tag::OCTET_STRING)? })
}

/// The key bits of a public key, given with its header (RFC 5280, 4.1.2.7).
pub(super) fn key_bits(public_key: &[u8]) -> Result<&[u8], NotDer> {
    let mut parts = der::elements(der::sole(public_key, tag::SEQUENCE)?);
    let (Some(_algorithm), Some(bits), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(NotDer);
    };
    bits?.expect(tag::BIT_STRING)?.strip_prefix(&[0]).ok_or(NotDer)
}
