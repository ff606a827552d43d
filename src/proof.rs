//! What a proof of possession signs on a live session, and by which schemes (`docs/protocol.md`, *Re-authentication in
//! place*): one copy for the side that signs and the side that verifies.

use rustls::SignatureScheme;

/// Keeps a proof apart from whatever else a key signs; laid out like the context of a TLS 1.3 signature (RFC 8446,
/// section 4.4.3).
const CONTEXT: &[u8] = b"portcullis reauth v1\0";

/// The bytes under a proof: `0x20 × 64 ‖ context ‖ 0x00 ‖ u16 length ‖ host ‖ session ‖ challenge ‖ SHA-256(leaf)`.
/// `None` if the host name is longer than its length field can say.
pub fn signed_bytes(host: &str, session: &str, challenge: &[u8], leaf: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(host.len()).ok()?;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, leaf);
    let parts: [&[u8]; 7] = [
        &[0x20; 64],
        CONTEXT,
        &length.to_be_bytes(),
        host.as_bytes(),
        session.as_bytes(),
        challenge,
        digest.as_ref(),
    ];
    Some(parts.concat())
}

/// A signature scheme of a proof: those of TLS 1.3 for the keys that certificates commonly have (RFC 8446, section 4.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Ed25519,
    EcdsaP256Sha256,
    EcdsaP384Sha384,
    RsaPssSha256,
    RsaPssSha384,
    RsaPssSha512,
}

impl Scheme {
    /// Every scheme.
    pub const ALL: [Self; 6] = [
        Self::Ed25519,
        Self::EcdsaP256Sha256,
        Self::EcdsaP384Sha384,
        Self::RsaPssSha256,
        Self::RsaPssSha384,
        Self::RsaPssSha512,
    ];

    /// The name in the IANA registry of TLS signature schemes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256Sha256 => "ecdsa_secp256r1_sha256",
            Self::EcdsaP384Sha384 => "ecdsa_secp384r1_sha384",
            Self::RsaPssSha256 => "rsa_pss_rsae_sha256",
            Self::RsaPssSha384 => "rsa_pss_rsae_sha384",
            Self::RsaPssSha512 => "rsa_pss_rsae_sha512",
        }
    }

    /// The scheme of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.name() == name)
    }

    /// The scheme as rustls calls it.
    pub fn tls(self) -> SignatureScheme {
        match self {
            Self::Ed25519 => SignatureScheme::ED25519,
            Self::EcdsaP256Sha256 => SignatureScheme::ECDSA_NISTP256_SHA256,
            Self::EcdsaP384Sha384 => SignatureScheme::ECDSA_NISTP384_SHA384,
            Self::RsaPssSha256 => SignatureScheme::RSA_PSS_SHA256,
            Self::RsaPssSha384 => SignatureScheme::RSA_PSS_SHA384,
            Self::RsaPssSha512 => SignatureScheme::RSA_PSS_SHA512,
        }
    }

    /// The scheme that rustls calls so.
    pub fn of_tls(scheme: SignatureScheme) -> Option<Self> {
        Self::ALL.into_iter().find(|each| each.tls() == scheme)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn what_is_signed_is_laid_out_as_the_protocol_says() {
        let signed = signed_bytes("gw", "ab", &[7; 32], b"leaf").unwrap();
        let mut expected = vec![0x20; 64];
        expected.extend_from_slice(b"portcullis reauth v1\x00\x00\x02gwab");
        expected.extend_from_slice(&[7; 32]);
        assert_eq!(signed[..expected.len()], expected);
        assert_eq!(signed.len(), expected.len() + 32);
    }

    /// Clients in other languages hold themselves against the same file.
    #[test]
    fn what_is_signed_is_the_known_answer() {
        let vector: serde_json::Value =
            serde_json::from_str(include_str!("../tests/vectors/reauth.json")).unwrap();
        let text = |name: &str| vector[name].as_str().unwrap();
        let bytes = |name| STANDARD.decode(text(name)).unwrap();
        let signed =
            signed_bytes(text("host"), text("session"), &bytes("challenge"), &bytes("leaf")).unwrap();
        let hex: String = signed.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, text("signed"));
    }

    #[test]
    fn an_overlong_host_is_no_proof() {
        assert!(signed_bytes(&"a".repeat(70_000), "ab", &[], b"leaf").is_none());
    }

    #[test]
    fn a_scheme_is_found_by_each_of_its_names_and_by_no_other() {
        for scheme in Scheme::ALL {
            assert_eq!(Scheme::named(scheme.name()), Some(scheme));
            assert_eq!(Scheme::of_tls(scheme.tls()), Some(scheme));
        }
        for other in ["", "ED25519", "rsa_pkcs1_sha256", "rsa_pss_pss_sha256", "ecdsa_secp521r1_sha512"] {
            assert_eq!(Scheme::named(other), None, "{other}");
        }
    }
}
