//! Who gets no certificate, and for what.

use rcgen::{DnType, SanType};
use rustls::AlertDescription;

use portcullis::identity::certificate::CertificateId;

use super::{Csr, TYPE, ask_for, denying, now, post, read, send, start, with};
use crate::harness::raw::{End, Head, Raw};
use crate::harness::{Harness, Issued, Logs, Profile, Setup, wait_until};

async fn refusal(harness: &Harness, issued: &Issued, body: impl AsRef<[u8]>) -> (u16, String) {
    let answer = post(harness, issued, body).await;
    (answer.status, answer.problem())
}

fn billing(harness: &Harness) -> Issued {
    harness.pki.issue(&Profile::service("billing", &["reader"]))
}

#[tokio::test]
async fn no_other_names_are_certified_than_the_presented_ones() {
    let logs = Logs::capture();
    let ec = &rcgen::PKCS_ECDSA_P256_SHA256;
    let requests = [
        (Csr::named("checkout", &["reader"]), "checkout"),
        (Csr::named("billing", &[]), "attribute for attribute"),
        (Csr::named("billing", &["writer"]), "writer"),
        (Csr::named("billing", &["reader", "writer"]), "writer"),
        (
            Csr::of(ec, |params| {
                ask_for(params, "billing", &["reader"]);
                params.subject_alt_names.push(SanType::DnsName("gateway.internal".try_into().unwrap()));
            }),
            "gateway.internal",
        ),
        (
            Csr::of(ec, |params| {
                ask_for(params, "billing", &["reader"]);
                params.subject_alt_names.pop();
            }),
            "billing.services.test.internal",
        ),
        (Csr::of(ec, |params| params.distinguished_name.push(DnType::CommonName, "bil\nling")), "bil\\nling"),
    ];
    for (csr, cited) in requests {
        let harness = start().await;
        let lines = logs.text().lines().count();
        assert_eq!(
            refusal(&harness, &billing(&harness), &csr.pem).await,
            (403, "renewal-names".into()),
            "{cited}"
        );
        wait_until(|| harness.metric("connections_refused_total{reason=\"renewal-names\"}") == 1).await;
        let fresh = logs.text().lines().skip(lines).map(str::to_owned).collect::<Vec<_>>();
        let line =
            fresh.iter().find(|line| line.contains("event=\"refused\"")).expect("a line of the audit log");
        assert!(line.contains("service=\"billing\"") && line.contains("kind=\"renewal-names\""), "{line}");
        assert!(line.contains(&cited.replace('\\', "\\\\")) || line.contains(cited), "{cited}: {line}");
        assert_eq!(harness.metric("certificates_renewed_total"), 0);
    }
}

#[tokio::test]
async fn a_request_that_is_not_in_order_has_its_status_and_type() {
    let csr = Csr::new();
    let table = [
        (csr.pem.repeat(2).into_bytes(), 400, "renewal-request"),
        (Vec::new(), 400, "renewal-request"),
        (b"no request".to_vec(), 400, "renewal-request"),
        ([csr.der.as_slice(), b"x"].concat(), 400, "renewal-request"),
        (vec![b' '; 17 * 1024], 413, "renewal-too-large"),
    ];
    for (body, status, kind) in table {
        let harness = start().await;
        assert_eq!(
            refusal(&harness, &billing(&harness), &body).await,
            (status, kind.into()),
            "{}",
            body.len()
        );
    }
    let harness = start().await;
    let issued = billing(&harness);
    let mut raw = Raw::open(&harness, &issued).await;
    let answer = send(&mut raw, "application/x-www-form-urlencoded", csr.pem.as_bytes()).await;
    assert_eq!((answer.status, answer.problem().as_str()), (415, "renewal-media-type"));
    let post = || Head::post("/renew", TYPE, csr.der.len());
    for (head, status, kind) in [
        (Head::post("/renew?as=checkout", TYPE, 0), 400, "query-string"),
        (post().with("Host", &[]), 400, "host"),
        (post().line("POST /renew HTTP/1.0"), 400, "http-version"),
        (post().and("Origin", "https://evil.test"), 403, "origin"),
    ] {
        let mut raw = Raw::open(&harness, &issued).await;
        let answer = raw.ask(&head).await;
        assert_eq!((answer.status, answer.problem().as_str()), (status, kind));
    }
}

#[tokio::test]
async fn a_body_in_chunks_is_bounded_too() {
    let harness = start().await;
    let mut raw = Raw::open(&harness, &billing(&harness)).await;
    let head = Head::post("/renew", TYPE, 0).with("Content-Length", &[]).and("Transfer-Encoding", "chunked");
    raw.send(&head.bytes()).await;
    raw.send(&[b"4400\r\n".as_slice(), &[b' '; 0x4400], b"\r\n0\r\n\r\n"].concat()).await;
    let answer = raw.answer().await;
    assert_eq!((answer.status, answer.problem().as_str()), (413, "renewal-too-large"));
}

#[tokio::test]
async fn a_key_of_another_kind_is_not_certified() {
    let harness = start().await;
    // Strong, but not every client can check its signatures; weak RSA keys are tried where one can be made up.
    let csr = Csr::of(&rcgen::PKCS_ECDSA_P521_SHA512, |_| {});
    assert_eq!(refusal(&harness, &billing(&harness), &csr.pem).await, (400, "renewal-key".into()));
}

#[tokio::test]
async fn without_the_block_there_is_nothing_at_this_path() {
    let harness = Harness::start().await;
    let issued = harness.pki.issue(&Profile::service("billing", &[]));
    assert_eq!(refusal(&harness, &issued, &Csr::new().pem).await, (404, "path".into()));
    // Nor is there with it, for anything but a POST, and no POST elsewhere.
    let harness = start().await;
    let issued = billing(&harness);
    for (head, status, kind) in [
        (Head::upgrade().line("GET /renew HTTP/1.1"), 404, "path"),
        (Head::post("/renew/", TYPE, 0), 404, "path"),
        (Head::post("/", TYPE, 0), 405, "method"),
    ] {
        let answer = Raw::open(&harness, &issued).await.ask(&head).await;
        assert_eq!((answer.status, answer.problem().as_str()), (status, kind));
    }
}

#[tokio::test]
async fn a_revoked_certificate_is_not_renewed() {
    let harness = start().await;
    let (before, between) = (billing(&harness), billing(&harness));
    // Revoked between the handshake and the request: the verdict falls again when the request is there.
    let mut raw = Raw::open(&harness, &between).await;
    harness.handshakes(1).await;
    harness.pki.revoke(&before);
    harness.pki.revoke(&between);
    harness.generation_at_least(2).await;
    let answer = send(&mut raw, TYPE, &Csr::new().der).await;
    assert_eq!((answer.status, answer.problem().as_str()), (403, "overruled"));

    let mut raw = Raw::open(&harness, &before).await;
    assert_eq!(raw.end().await, End::Alert(AlertDescription::CertificateRevoked));
    assert_eq!(harness.metric("certificates_renewed_total"), 0);
}

#[tokio::test]
async fn a_certificate_that_is_revoked_while_its_request_arrives_is_not_renewed() {
    let harness = start().await;
    let issued = billing(&harness);
    let mut raw = Raw::open(&harness, &issued).await;
    let csr = Csr::new();
    let head = Head::post("/renew", TYPE, csr.der.len()).and("Expect", "100-continue");
    // The head was judged when it asks for the body.
    assert_eq!(raw.ask(&head).await.status, 100);
    harness.pki.revoke(&issued);
    harness.generation_at_least(2).await;
    raw.send(&csr.der).await;
    let answer = raw.answer().await;
    assert_eq!((answer.status, answer.problem().as_str()), (403, "overruled"));
}

#[tokio::test]
async fn whom_the_deny_list_names_renews_nothing() {
    let harness = denying().await;
    let issued = billing(&harness);
    let print = CertificateId::of(&issued.chain[0]).fingerprint;
    for entry in ["services = [\"billing\"]".to_owned(), format!("fingerprints = [\"{print}\"]")] {
        harness.pki.write("deny.toml", &entry);
        harness.reload().await;
        assert_eq!(refusal(&harness, &issued, &Csr::new().pem).await, (403, "denied".into()), "{entry}");
    }
    assert_eq!(harness.metric("certificates_renewed_total"), 0);
}

#[tokio::test]
async fn who_is_denied_while_its_request_arrives_renews_nothing() {
    let harness = denying().await;
    let (csr, head) = (Csr::new(), |length| Head::post("/renew", TYPE, length));
    let (mut before, mut between) =
        (Raw::open(&harness, &billing(&harness)).await, Raw::open(&harness, &billing(&harness)).await);
    harness.handshakes(2).await;
    // The head of one was judged when it asks for the body; the other has sent nothing yet.
    assert_eq!(between.ask(&head(csr.der.len()).and("Expect", "100-continue")).await.status, 100);
    harness.pki.write("deny.toml", "services = [\"billing\"]");
    harness.reload().await;
    between.send(&csr.der).await;
    let answers = [between.answer().await, send(&mut before, TYPE, &csr.der).await];
    for answer in answers {
        assert_eq!((answer.status, answer.problem().as_str()), (403, "denied"));
    }
    assert_eq!(harness.metric("certificates_renewed_total"), 0);
}

#[tokio::test]
async fn a_certificate_that_ends_before_its_request_is_there_is_not_renewed() {
    let harness = start().await;
    let mut profile = Profile::service("billing", &[]);
    profile.not_after = 1;
    let issued = harness.pki.issue(&profile);
    let end = read(&issued.chain[0]).validity().not_after.timestamp();
    let mut raw = Raw::open(&harness, &issued).await;
    harness.handshakes(1).await;
    wait_until(|| now() > end).await;
    let answer = send(&mut raw, TYPE, &Csr::new().der).await;
    assert_eq!((answer.status, answer.problem().as_str()), (403, "overruled"));
}

#[tokio::test]
async fn who_may_not_connect_or_is_nobody_renews_nothing() {
    let policy = "[[grant]]\nname = \"banned\"\nservices = [\"billing\"]\nconnect = false\n";
    let harness = with(Setup { policy: Some(policy.into()), ..Setup::default() }).await;
    assert_eq!(
        refusal(&harness, &billing(&harness), &Csr::new().pem).await,
        (403, "connect-forbidden".into())
    );
    let mut nobody = Profile::service("billing", &[]);
    nobody.uris.clear();
    assert_eq!(
        refusal(&harness, &harness.pki.issue(&nobody), &Csr::new().pem).await,
        (403, "identity".into())
    );
}

#[tokio::test]
async fn a_service_that_renews_in_a_loop_is_told_to_wait() {
    let harness = start().await;
    let (issued, csr) = (billing(&harness), Csr::new());
    let refused = loop {
        let answer = post(&harness, &issued, &csr.pem).await;
        if answer.status != 200 {
            break answer;
        }
        assert!(harness.metric("certificates_renewed_total") < 50, "nobody says no");
    };
    assert_eq!((refused.status, refused.problem().as_str()), (429, "renewal-rate"));
    assert_eq!(refused.header("retry-after"), Some("5"));
    // Others are not held up by it.
    let checkout = harness.pki.issue(&Profile::service("checkout", &[]));
    assert_eq!(post(&harness, &checkout, &csr.pem).await.status, 200);
}

#[tokio::test]
async fn a_request_that_never_comes_to_an_end_is_ended_by_the_one_deadline() {
    let harness = with(Setup { limits: "open_deadline_ms = 300".into(), ..Setup::default() }).await;
    let mut raw = Raw::open(&harness, &billing(&harness)).await;
    raw.send(&Head::post("/renew", TYPE, 400).bytes()).await;
    raw.end().await;
    wait_until(|| harness.metric("connections_refused_total{reason=\"deadline\"}") == 1).await;
}
