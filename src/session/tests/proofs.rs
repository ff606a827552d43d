//! Proofs as a client makes them, and as one would forge them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};

use super::world::{HOST, Peer};
use crate::proof::{Scheme, signed_bytes};
use crate::trust::test_pki::TestLeaf;

/// What a proof is made of; a test changes what it wants to be wrong.
pub(super) struct Attempt {
    pub(super) chain: Vec<Vec<u8>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) host: String,
    pub(super) session: String,
    /// In base64, as the gateway gave it.
    pub(super) challenge: String,
    /// By which it is signed.
    pub(super) scheme: Scheme,
    /// By which it says it is signed.
    pub(super) stated: String,
}

impl Attempt {
    /// A good one for this session, with the challenge that is in force.
    pub(super) fn new(leaf: &TestLeaf, session: &Value, challenge: &Value) -> Self {
        Self {
            chain: vec![leaf.der.to_vec()],
            key: leaf.key_der(),
            host: HOST.into(),
            session: session.as_str().unwrap().into(),
            challenge: challenge.as_str().unwrap().into(),
            scheme: Scheme::EcdsaP256Sha256,
            stated: Scheme::EcdsaP256Sha256.name().into(),
        }
    }

    pub(super) fn message(&self) -> Value {
        let challenge = STANDARD.decode(&self.challenge).unwrap();
        let leaf = self.chain.first().unwrap();
        let signed = signed_bytes(&self.host, &self.session, &challenge, leaf).unwrap();
        let signer = any_supported_type(&self.key).unwrap().choose_scheme(&[self.scheme.tls()]).unwrap();
        let chain: Vec<_> = self.chain.iter().map(|each| STANDARD.encode(each)).collect();
        json!({
            "op": "reauth", "chain": chain, "host": self.host, "scheme": self.stated,
            "signature": STANDARD.encode(signer.sign(&signed).unwrap()),
        })
    }
}

impl Peer {
    /// A good proof of `leaf` by the challenge of the greeting.
    pub(super) fn attempt(&self, leaf: &TestLeaf) -> Attempt {
        Attempt::new(leaf, &self.hello["session"], &self.hello["challenge"])
    }
}
