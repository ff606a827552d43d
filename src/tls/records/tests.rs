//! Against aws-lc-rs on the other side, which has an AES-128-GCM of its own.

use std::io::{Read as _, Write as _};

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConnection, ConnectionCommon, ServerConnection, SideData};

use super::*;
use crate::testing::records;

/// A record's header (RFC 8446, section 5.1).
const HEADER: usize = 5;

/// A client with the suites of aws-lc-rs and a server with the gateway's, after their handshake.
fn connected() -> (ClientConnection, ServerConnection) {
    crate::testing::connected(aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256, crate::tls::by_ring())
}

fn take<S: SideData>(to: &mut ConnectionCommon<S>, mut records: &[u8]) -> Result<Vec<u8>, Error> {
    let mut plaintext = Vec::new();
    while !records.is_empty() {
        to.read_tls(&mut records).expect("a slice");
        let came = to.process_new_packets()?.plaintext_bytes_to_read();
        let start = plaintext.len();
        plaintext.resize(start + came, 0);
        to.reader().read_exact(&mut plaintext[start..]).expect("as many bytes as were told");
    }
    Ok(plaintext)
}

fn carry<S: SideData, T: SideData>(from: &mut ConnectionCommon<S>, to: &mut ConnectionCommon<T>) -> Vec<u8> {
    take(to, &records(from)).expect("records as they were made")
}

fn text(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place % 251) as u8).collect()
}

#[test]
fn texts_of_every_length_pass_both_ways_also_under_new_keys() {
    let (mut client, mut server) = connected();
    client.set_buffer_limit(None);
    server.set_buffer_limit(None);
    for _ in 0..3 {
        // Around a block, around the strides of vector code, and around a record.
        for length in (1..600).chain([1023, 1024, 4096, 16_383, 16_384, 16_385, 50_000]) {
            let text = text(length);
            client.writer().write_all(&text).expect("room");
            assert!(carry(&mut client, &mut server) == text, "{length} bytes to the gateway");
            server.writer().write_all(&text).expect("room");
            assert!(carry(&mut server, &mut client) == text, "{length} bytes from the gateway");
        }
        client.refresh_traffic_keys().expect("a key update");
        server.refresh_traffic_keys().expect("a key update");
    }
}

#[test]
fn a_record_that_was_changed_in_any_protected_byte_is_refused() {
    // Short, and long enough for the vectors.
    for (length, step) in [(2, 1), (1_000, 61)] {
        let protected = length + size_of::<u8>() + AES_128_GCM.tag_len();
        for place in (HEADER..HEADER + protected).step_by(step).chain([HEADER + protected - 1]) {
            let (mut client, mut server) = connected();
            client.writer().write_all(&text(length)).expect("room");
            let mut record = records(&mut client);
            assert_eq!(record.len(), HEADER + protected);
            record[place] ^= 1;
            assert_eq!(take(&mut server, &record), Err(Error::DecryptError), "byte {place} of {length}");
        }
    }
}

#[test]
fn a_record_out_of_turn_is_refused() {
    let (mut client, mut server) = connected();
    client.writer().write_all(b"once").expect("room");
    let record = records(&mut client);
    assert_eq!(take(&mut server, &record).as_deref(), Ok(&b"once"[..]));
    assert_eq!(take(&mut server, &record), Err(Error::DecryptError), "the same again");
}

#[test]
fn a_record_without_room_for_a_tag_is_refused() {
    for length in 0..AES_128_GCM.tag_len() {
        let (_, mut server) = connected();
        let mut record = vec![23, 3, 3, 0, u8::try_from(length).expect("short")];
        record.resize(HEADER + length, 0);
        assert_eq!(take(&mut server, &record), Err(Error::DecryptError), "{length} bytes");
    }
}

#[test]
fn no_number_is_sealed_twice_nor_one_before_it() {
    let key = AeadKey::from([7; 32]);
    let protection = |iv| Protection {
        key: LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key.as_ref()[..16]).expect("16")),
        iv,
    };
    let mut sealing = Sealing { protection: protection(Iv::new([1; 12])), next: 0 };
    let mut seal = |number| {
        let payload = cipher::OutboundChunks::Single(b"text");
        let (typ, version) = (ContentType::ApplicationData, ProtocolVersion::TLSv1_3);
        sealing.encrypt(OutboundPlainMessage { typ, version, payload }, number).map(|_| ())
    };
    assert_eq!(seal(0), Ok(()));
    assert_eq!(seal(5), Ok(()));
    for again in [5, 4, 0] {
        assert_eq!(seal(again), Err(Error::EncryptError), "{again}");
    }
    assert_eq!(seal(6), Ok(()));
}
