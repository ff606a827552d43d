//! Records as they come from a socket: cut anywhere, of any size, and of any kind.

use proptest::prelude::*;
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::*;
use crate::testing::{connected, records};

/// A client and the gateway's end of its connection. Nothing that the client says passes through the socket.
async fn transport() -> (rustls::ClientConnection, TlsTransport) {
    let (client, transport, _) = transport_to_socket().await;
    (client, transport)
}

/// The same, with the client's socket.
async fn transport_to_socket() -> (rustls::ClientConnection, TlsTransport, TcpStream) {
    let (client, tls) = connected(TLS13_AES_128_GCM_SHA256, TLS13_AES_128_GCM_SHA256);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let socket = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connected");
    let (far, _) = listener.accept().await.expect("accepted");
    let transport =
        TlsTransport { socket, tls, records: Records::default(), at_end: false, is_closing: false };
    (client, transport, far)
}

/// What comes of ciphertext that is read in pieces of these sizes, over and over.
fn decrypted(transport: &mut TlsTransport, mut ciphertext: &[u8], cuts: &[usize]) -> (Vec<u8>, bool) {
    let mut plaintext = Vec::new();
    for cut in cuts.iter().cycle() {
        let piece;
        (piece, ciphertext) = ciphertext.split_at((*cut).min(ciphertext.len()));
        if transport.decrypt(piece, &mut plaintext).is_err() {
            return (plaintext, false);
        }
        if ciphertext.is_empty() {
            break;
        }
    }
    (plaintext, true)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

proptest! {
    #[test]
    fn no_portion_goes_beyond_a_record_and_each_record_ends_one(
        lengths in proptest::collection::vec(prop_oneof![8 => 0_usize..300, 1 => 300_usize..16_641], 1..20),
        cuts in proptest::collection::vec(prop_oneof![1 => 1_usize..8, 2 => 1_usize..700], 1..10),
    ) {
        let (mut stream, mut ends) = (Vec::new(), Vec::new());
        for length in lengths {
            let [high, low] = u16::try_from(length).expect("short").to_be_bytes();
            stream.extend([23, 3, 3, high, low]);
            stream.extend(std::iter::repeat_n(23, length));
            ends.push(stream.len());
        }
        let (mut records, mut start, mut found) = (Records::default(), 0, Vec::new());
        for cut in cuts.iter().cycle() {
            let read_end = (start + cut).min(stream.len());
            while start < read_end {
                let portion = records.next(&stream[start..read_end]);
                prop_assert!(portion > 0 && ends.iter().all(|end| !(start + 1..start + portion).contains(end)));
                start += portion;
                if records.missing == 0 && records.known == 0 {
                    found.push(start);
                }
            }
            if start == stream.len() {
                break;
            }
        }
        prop_assert_eq!(found, ends);
    }
}

#[test]
fn records_are_found_again_behind_what_is_none() {
    let mut records = Records::default();
    assert_eq!(records.next(&[7; 100]), 100);
    assert_eq!(records.next(&[23, 3, 3, 0, 1, 0, 23, 3, 3, 0, 1, 0]), 6);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn records_are_found_however_they_are_cut(
        texts in proptest::collection::vec(prop_oneof![8 => 0_usize..300, 1 => 300_usize..40_000], 1..20),
        cuts in proptest::collection::vec(prop_oneof![1 => 1_usize..8, 4 => 1_usize..70_000], 1..10),
        updates in any::<u32>(),
        early in 0_usize..12,
    ) {
        block_on(async {
            let (mut client, mut transport) = transport().await;
            client.set_buffer_limit(None);
            let (mut expected, mut ciphertext) = (Vec::new(), Vec::new());
            for (place, length) in texts.iter().enumerate() {
                let text = vec![place as u8; *length];
                client.writer().write_all(&text).expect("room");
                expected.extend(text);
                if updates & (1 << place) != 0 {
                    client.refresh_traffic_keys().expect("a key update");
                }
                ciphertext.extend(records(&mut client));
            }
            // What came with the end of the handshake, where rustls read by itself: perhaps the beginning of a record.
            let (mut before, ciphertext) = ciphertext.split_at(early.min(ciphertext.len()));
            if !before.is_empty() {
                transport.tls.read_tls(&mut before).expect("a slice");
            }
            assert_eq!(decrypted(&mut transport, ciphertext, &cuts), (expected, true));
        });
    }
}

#[test]
fn what_follows_the_end_of_tls_is_not_read() {
    block_on(async {
        let (mut client, mut transport) = transport().await;
        client.writer().write_all(b"last").expect("room");
        client.send_close_notify();
        let ciphertext = [records(&mut client), vec![23, 3, 3, 0, 20], vec![0; 20]].concat();
        assert_eq!(decrypted(&mut transport, &ciphertext, &[ciphertext.len()]), (b"last".to_vec(), false));
    });
}

/// Wherever that is cut, and however rustls finds the records.
#[test]
fn what_was_said_before_what_is_no_record_is_heard() {
    for early in 0..8 {
        block_on(async {
            let (mut client, mut transport) = transport().await;
            let mut ciphertext = Vec::new();
            for _ in 0..5 {
                client.writer().write_all(b"said ").expect("room");
                ciphertext.extend(records(&mut client));
            }
            ciphertext.extend([0; 64]);
            let (mut before, ciphertext) = ciphertext.split_at(early);
            if !before.is_empty() {
                transport.tls.read_tls(&mut before).expect("a slice");
            }
            let heard = decrypted(&mut transport, ciphertext, &[ciphertext.len()]);
            assert_eq!(heard, (b"said ".repeat(5), false), "{early} bytes before");
            assert!(transport.is_waiting(), "the peer is told by an alert");
        });
    }
}

#[test]
fn a_peer_that_breaks_tls_is_told_by_an_alert_and_nothing_else() {
    block_on(async {
        let (mut client, mut transport, mut far) = transport_to_socket().await;
        let (heard, goes_on) =
            decrypted(&mut transport, &[[23, 3, 3, 0, 32], [0; 5]].concat().repeat(4), &[40]);
        assert!(heard.is_empty() && !goes_on);
        assert!(transport.buffer(&[IoSlice::new(b"goodbye")]).is_ok());
        std::future::poll_fn(|context| transport.poll_shutdown(context)).await.expect("the alert goes out");
        let mut said = Vec::new();
        far.read_to_end(&mut said).await.expect("an end");
        client.read_tls(&mut &said[..]).expect("a slice");
        let told = client.process_new_packets().expect_err("an alert");
        assert_eq!(told, rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac));
    });
}

#[test]
fn what_is_no_record_ends_the_connection() {
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[23, 3, 3, 255, 255], &[22, 3, 3, 0, 1, 0], &[0; 64]] {
        block_on(async {
            let (_, mut transport) = transport().await;
            let mut plaintext = Vec::new();
            // The rest of a record that is longer than any may be.
            let ended = transport.decrypt(bytes, &mut plaintext).is_err()
                || transport.decrypt(&[0; READ], &mut plaintext).is_err();
            assert!(ended && plaintext.is_empty(), "{bytes:?}");
        });
    }
}
