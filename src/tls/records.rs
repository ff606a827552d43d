//! How records of TLS 1.3 are protected (RFC 8446, section 5.2) with AES-128-GCM by ring, on processors where that is the faster code.
//!
//! rustls decides everything else: keys, numbers, what a record may hold and when a key has protected enough.

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::crypto::cipher::{
    self, AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter,
    OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload, Tls13AeadAlgorithm,
    UnsupportedOperationError, make_tls13_aad,
};
use rustls::{ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion};

/// AES-128-GCM as a suite of TLS 1.3 uses it.
pub(super) struct Aes128Gcm;

/// The key of one direction.
struct Protection {
    key: LessSafeKey,
    iv: Iv,
}

/// What the gateway sends.
struct Sealing {
    protection: Protection,
    /// The least number that the next record may have.
    next: u64,
}

impl Tls13AeadAlgorithm for Aes128Gcm {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(Sealing { protection: Protection::new(&key, iv), next: 0 })
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        Box::new(Protection::new(&key, iv))
    }

    fn key_len(&self) -> usize {
        AES_128_GCM.key_len()
    }

    fn extract_keys(
        &self,
        key: AeadKey,
        iv: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Ok(ConnectionTrafficSecrets::Aes128Gcm { key, iv })
    }
}

impl Protection {
    fn new(key: &AeadKey, iv: Iv) -> Self {
        let key = UnboundKey::new(&AES_128_GCM, key.as_ref()).expect("rustls makes keys of `key_len` bytes");
        Self { key: LessSafeKey::new(key), iv }
    }

    /// The nonce of the record with this number.
    fn nonce(&self, number: u64) -> Nonce {
        Nonce::assume_unique_for_key(cipher::Nonce::new(&self.iv, number).0)
    }
}

impl MessageEncrypter for Sealing {
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        number: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        // rustls counts, and stops before the last number. A nonce that came twice would give the key away.
        if number < self.next {
            return Err(Error::EncryptError);
        }
        self.next = number.saturating_add(1);
        let length = self.encrypted_payload_len(message.payload.len());
        let mut payload = PrefixedPayload::with_capacity(length);
        payload.extend_from_chunks(&message.payload);
        payload.extend_from_slice(&message.typ.to_array());
        let header = Aad::from(make_tls13_aad(length));
        let Protection { key, .. } = &self.protection;
        key.seal_in_place_append_tag(self.protection.nonce(number), header, &mut payload)
            .map_err(|_| Error::EncryptError)?;
        // The type and the version that every protected record shows.
        Ok(OutboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, payload))
    }

    fn encrypted_payload_len(&self, length: usize) -> usize {
        length + size_of::<u8>() + AES_128_GCM.tag_len()
    }
}

impl MessageDecrypter for Protection {
    fn decrypt<'a>(
        &mut self,
        mut message: InboundOpaqueMessage<'a>,
        number: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let header = Aad::from(make_tls13_aad(message.payload.len()));
        let opened = self.key.open_in_place(self.nonce(number), header, &mut message.payload);
        let length = opened.map_err(|_| Error::DecryptError)?.len();
        message.payload.truncate(length);
        message.into_tls13_unpadded_message()
    }
}

#[cfg(test)]
mod tests;
