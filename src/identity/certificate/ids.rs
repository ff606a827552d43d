//! Fixed-size names of certificates and of those who issue them, compact enough for sets of a hundred thousand.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::pki_types::TrustAnchor;

/// A non-negative integer of at most 20 octets, which is what RFC 5280 allows for serials (4.1.2.2) and for CRL
/// numbers (5.2.3). Ordered as numbers are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Integer160([u8; 20]);

impl Integer160 {
    /// Reads big-endian octets; `None` if more than 20 remain once leading zeros are gone.
    fn from_be_bytes(octets: &[u8]) -> Option<Self> {
        let zeros = octets.iter().take_while(|octet| **octet == 0).count();
        let digits = octets.get(zeros..)?;
        let mut padded = [0; 20];
        let start = padded.len().checked_sub(digits.len())?;
        padded.get_mut(start..)?.copy_from_slice(digits);
        Some(Self(padded))
    }
}

impl fmt::Display for Integer160 {
    /// Lower-case hex, whole octets, no leading zero octets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zeros = self.0.iter().take_while(|octet| **octet == 0).count().min(self.0.len() - 1);
        self.0.iter().skip(zeros).try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

macro_rules! integer_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Integer160);

        impl $name {
            /// Reads the content of a DER INTEGER, leading zeros or not; `None` above 20 octets.
            pub fn from_be_bytes(octets: &[u8]) -> Option<Self> {
                Integer160::from_be_bytes(octets).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

integer_type! {
    /// The serial number of a certificate. A negative serial counts as the number its octets spell, so that at worst
    /// one revocation too many is seen, never one too few.
    Serial
}
integer_type! {
    /// The number of a revocation list, which never goes back.
    CrlNumber
}

macro_rules! digest_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The SHA-256 over these bytes.
            pub(crate) fn of(bytes: &[u8]) -> Self {
                let mut value = [0; 32];
                value.copy_from_slice(digest(&SHA256, bytes).as_ref());
                Self(value)
            }

            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            /// Lower-case hex.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let (halves, _) = self.0.as_chunks();
                halves.iter().try_for_each(|half| write!(f, "{:032x}", u128::from_be_bytes(*half)))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

digest_type! {
    /// SHA-256 over a whole certificate in DER.
    Fingerprint
}
digest_type! {
    /// Who issues: SHA-256 over a CA's subject name *and* public key, the pair RFC 5280 (6.1) verifies with. Neither
    /// alone will do: a new root may carry the old name, and one key may serve two names.
    IssuerId
}
digest_type! {
    /// Which anchors a verdict rests on: SHA-256 over every trust domain's name and anchors. While it stays the same,
    /// no chain needs to be built again.
    AnchorSetId
}

/// What a log calls a certificate: the serial that a CA revokes by, and the fingerprint that nothing else has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateId {
    /// `None` for a certificate that cannot be read.
    pub serial: Option<Serial>,
    pub fingerprint: Fingerprint,
}

impl CertificateId {
    /// The name of whatever a peer presented.
    pub fn of(der: &[u8]) -> Self {
        match super::CertificateFacts::parse(der) {
            Ok(facts) => facts.id(),
            Err(_) => Self { serial: None, fingerprint: Fingerprint::of(der) },
        }
    }
}

impl Fingerprint {
    /// Reads 64 hex digits in either case, with or without the colons that openssl prints.
    pub fn parse(text: &str) -> Option<Self> {
        hex_octets(text)?.try_into().ok().map(Self)
    }
}

impl Serial {
    /// Reads hex in either case, with or without the colons that openssl prints; `None` above 20 octets.
    pub fn parse(text: &str) -> Option<Self> {
        Self::from_be_bytes(&hex_octets(text)?)
    }
}

/// Whole octets: `0a1b`, or `0A:1B` with a colon between every two.
fn hex_octets(text: &str) -> Option<Vec<u8>> {
    let octet = |pair: &[u8]| match pair {
        [high, low] => {
            let digit = |each: u8| char::from(each).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            Some(digit(*high)? << 4 | digit(*low)?)
        }
        _ => None,
    };
    match text {
        "" => None,
        text if text.contains(':') => text.split(':').map(|pair| octet(pair.as_bytes())).collect(),
        text => text.as_bytes().chunks(2).map(octet).collect(),
    }
}

impl IssuerId {
    /// The issuer that a trust anchor (or any CA certificate read as one) stands for.
    pub(crate) fn of_anchor(anchor: &TrustAnchor<'_>) -> Self {
        Self::of_parts(&anchor.subject, &anchor.subject_public_key_info)
    }

    /// Both parts without their outer SEQUENCE header, as webpki hands them out.
    pub(crate) fn of_parts(subject: &[u8], public_key: &[u8]) -> Self {
        let subject_len = subject.len().to_be_bytes();
        Self::of(&[&subject_len, subject, public_key].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_lose_leading_zeros_and_keep_their_value() {
        let text = |octets: &[u8]| Serial::from_be_bytes(octets).map(|serial| serial.to_string());
        assert_eq!(text(&[0x0a, 0xff]).as_deref(), Some("0aff"));
        assert_eq!(text(&[0, 0, 0x8a]).as_deref(), Some("8a"));
        assert_eq!(text(&[0]).as_deref(), Some("00"));
        assert_eq!(text(&[0xff; 20]).as_deref(), Some("ff".repeat(20).as_str()));
        assert_eq!(text(&[[0].as_slice(), &[0xff; 20]].concat()).as_deref(), Some("ff".repeat(20).as_str()));
        assert_eq!(text(&[1; 21]), None);
    }

    #[test]
    fn hex_is_read_in_either_case_and_with_the_colons_of_openssl() {
        let print = Fingerprint::of(b"certificate");
        let (plain, upper) = (print.to_string(), print.to_string().to_uppercase());
        let colons: Vec<_> = upper.as_bytes().chunks(2).map(String::from_utf8_lossy).collect();
        for text in [&plain, &upper, &colons.join(":")] {
            assert_eq!(Fingerprint::parse(text), Some(print));
        }
        let serial = Serial::from_be_bytes(&[0x0a, 0x1b]);
        assert!(serial.is_some());
        for text in ["0a1b", "0A1B", "0A:1b", "00:0a:1b"] {
            assert_eq!(Serial::parse(text), serial, "{text}");
        }
        assert_eq!(Serial::parse(&"ff".repeat(20)).map(|serial| serial.to_string()), Some("ff".repeat(20)));
    }

    #[test]
    fn what_is_no_hex_of_whole_octets_is_no_fingerprint_and_no_serial() {
        for text in
            ["", ":", "0", "a1b", "0x0a", "-0a", "0a 1b", "0a:", ":0a", "0a::1b", "0:a1", "0a:1", "0g", "é"]
        {
            assert_eq!(Serial::parse(text), None, "{text}");
        }
        assert_eq!(Serial::parse(&"01".repeat(21)), None);
        for digits in [62, 63, 66] {
            assert_eq!(Fingerprint::parse(&"a".repeat(digits)), None);
        }
    }

    #[test]
    fn numbers_are_ordered_by_value_not_by_length() {
        let number = |octets: &[u8]| CrlNumber::from_be_bytes(octets);
        assert!(number(&[0x02]) < number(&[0x01, 0x00]));
        assert!(number(&[0x00, 0x80]) > number(&[0x7f]));
    }

    #[test]
    fn an_issuer_is_its_name_and_its_key() {
        let id = IssuerId::of_parts(b"ab", b"c");
        assert_ne!(id, IssuerId::of_parts(b"a", b"bc"));
        assert_ne!(id, IssuerId::of_parts(b"ab", b"d"));
        assert_eq!(id, IssuerId::of_parts(b"ab", b"c"));
    }
}
