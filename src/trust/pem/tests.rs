use super::*;
use crate::trust::test_pki::TestCa;

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

fn label(text: &str) -> String {
    text.to_owned()
}

#[test]
fn every_block_is_read_among_any_comments() {
    let (a, b) = (TestCa::root("a").der, TestCa::root("b").der);
    let text =
        format!("# first - a\n{}\nsubject=CN = b\n{}trailer", pem("CERTIFICATE", &a), pem("CERTIFICATE", &b));
    assert_eq!(certificates(text.as_bytes()), Ok(vec![a.clone(), b.clone()]));
    assert_eq!(certificates(text.replace('\n', "\r\n").as_bytes()), Ok(vec![a, b]));
}

#[test]
fn lists_are_read_from_pem_and_from_der() {
    let list = TestCa::root("a").crl(1, &[]);
    assert_eq!(revocation_lists(pem("X509 CRL", &list).as_bytes()), Ok(vec![list.clone()]));
    assert_eq!(revocation_lists(&list), Ok(vec![list]));
}

#[test]
fn files_that_others_would_read_as_nothing_are_refused() {
    let certificate = TestCa::root("a").der;
    let whole = pem("CERTIFICATE", &certificate);
    let cut = &whole[..whole.len() / 2];
    let glued = format!("{}{whole}", whole.trim_end());
    let list = pem("X509 CRL", &[1]);
    let without_begin = whole.split_once('\n').map(|(_, rest)| rest).unwrap_or_default();
    let der_like: &[u8] = &certificate;
    for (bytes, error) in [
        (&b""[..], PemError::Empty),
        (b" \n\t\n", PemError::Empty),
        (b"hello", PemError::NoBlock),
        (der_like, PemError::LooksLikeDer { command: "x509" }),
        (b"\xff\xfe", PemError::NotText),
        (cut.as_bytes(), PemError::Cut { label: label("CERTIFICATE") }),
        (format!("{cut}\n{whole}").as_bytes(), PemError::Cut { label: label("CERTIFICATE") }),
        (format!("{whole}{cut}").as_bytes(), PemError::Cut { label: label("CERTIFICATE") }),
        (glued.as_bytes(), PemError::Marker { line: 3 }),
        (format!("x{whole}").as_bytes(), PemError::Marker { line: 1 }),
        (whole.replace("CATE-----", "CATE----").as_bytes(), PemError::Marker { line: 1 }),
        (without_begin.as_bytes(), PemError::StrayEnd { line: 2 }),
        (format!("{whole}{list}").as_bytes(), PemError::Unexpected { label: label("X509 CRL") }),
        (
            pem("TRUSTED CERTIFICATE", &[1]).as_bytes(),
            PemError::Unexpected { label: label("TRUSTED CERTIFICATE") },
        ),
        (pem("CERTIFICATE", &[]).as_bytes(), PemError::EmptyBlock),
        (b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----", PemError::Base64),
    ] {
        assert_eq!(certificates(bytes), Err(error), "{}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(revocation_lists(b""), Err(PemError::Empty));
    assert_eq!(revocation_lists(whole.as_bytes()), Err(PemError::Unexpected { label: label("CERTIFICATE") }));
}

#[test]
fn one_private_key_of_any_common_kind_is_read() {
    for (kind, is_kind) in [
        ("PRIVATE KEY", (|key| matches!(key, PrivateKeyDer::Pkcs8(_))) as fn(&PrivateKeyDer<'_>) -> bool),
        ("EC PRIVATE KEY", |key| matches!(key, PrivateKeyDer::Sec1(_))),
        ("RSA PRIVATE KEY", |key| matches!(key, PrivateKeyDer::Pkcs1(_))),
    ] {
        let key = private_key(pem(kind, &[1, 2]).as_bytes()).expect("a key");
        assert!(is_kind(&key) && key.secret_der() == [1, 2], "{kind}");
    }
    let with_parameters = format!("{}{}", pem("EC PARAMETERS", &[1]), pem("EC PRIVATE KEY", &[2]));
    assert_eq!(private_key(with_parameters.as_bytes()).map(|key| key.secret_der().to_vec()), Ok(vec![2]));

    let key = pem("PRIVATE KEY", &[1]);
    for (text, error) in [
        (format!("{key}{key}"), PemError::SeveralKeys { count: 2 }),
        (pem("ENCRYPTED PRIVATE KEY", &[1]), PemError::EncryptedKey),
        (pem("EC PARAMETERS", &[1]), PemError::NoBlock),
        (pem("CERTIFICATE", &[1]), PemError::Unexpected { label: label("CERTIFICATE") }),
    ] {
        assert_eq!(private_key(text.as_bytes()).map(|_| ()), Err(error));
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "(-----(BEGIN|END) (CERTIFICATE|X)-----|[A-Za-z0-9+/=\n -]){0,20}") {
        let _ = certificates(text.as_bytes());
    }
}
