//! The costs that do no I/O: of a message decode, decide, match, encode; of a certificate its chain and its revocation.
//! `cargo bench --bench core`.

use std::hint::black_box;

use divan::Bencher;
use portcullis::identity::{RuleName, ServiceName};
use portcullis::policy::{Grant, Grants, PatternTemplate, Policy, ServicePattern};
use portcullis::protocol::json::{self, DecodeLimits};
use portcullis::protocol::{Form, Headers, Message, Payload, Sid, nats};
use portcullis::session::{Encodings, Outlines};
use portcullis::topic::{Pattern, PatternIndex, Topic};

#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../tests/gateway/harness/pki.rs"]
mod pki;

/// For the files of a gateway, of which there is none here.
fn replace(path: &std::path::Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("written");
}

const SMALL: usize = 128;
const LARGE: usize = 16 * 1024;
/// Iterations of one sample: the clock is too coarse for one.
const MANY: u32 = 1_000;
const SOME: u32 = 50;

fn main() {
    divan::main();
}

fn topic(text: &str) -> Topic {
    Topic::parse(text).expect("a topic")
}

/// Looking one topic up among 100,000 subscriptions.
mod match_among_100_000_patterns {
    use super::*;

    /// 1,000 first tokens with 100 patterns each; every twentieth ends in `>`, every twentieth has a `*`.
    fn index() -> PatternIndex<usize> {
        let mut index = PatternIndex::new();
        for place in 0..100_000 {
            let (service, entity) = (place / 100, place % 100);
            let text = match place % 20 {
                0 => format!("service-{service}.entity-{entity}.>"),
                10 => format!("service-{service}.*.region-{entity}"),
                _ => format!("service-{service}.entity-{entity}.created"),
            };
            index.insert(&Pattern::parse(&text).expect("a pattern"), place);
        }
        index
    }

    /// Matched by a literal pattern, by one that ends in `>`, and by none.
    const TOPICS: [&str; 3] =
        ["service-500.entity-51.created", "service-500.entity-20.updated", "service-500.entity-51.lost"];

    #[divan::bench(sample_size = MANY, args = TOPICS)]
    fn look_up(bencher: Bencher, text: &str) {
        let (index, topic) = (index(), topic(text));
        bencher.bench_local(|| {
            let mut found = 0;
            index.for_each_match(black_box(&topic), |_| found += 1);
            found
        });
    }

    #[divan::bench(sample_size = MANY)]
    fn insert_and_remove(bencher: Bencher) {
        let mut index = index();
        let pattern = Pattern::parse("service-500.entity-51.*").expect("a pattern");
        bencher.bench_local(|| {
            index.insert(black_box(&pattern), usize::MAX);
            index.remove(&pattern, &usize::MAX)
        });
    }
}

/// From bytes to a command, and from a message to what a subscriber reads.
mod codec {
    use super::*;

    /// A JSON object of about `bytes` bytes.
    fn payload(bytes: usize) -> String {
        let items = vec![r#"{"sku":"A-1029","quantity":3,"price":1999}"#; bytes / 43].join(",");
        format!(r#"{{"items":[{items}]}}"#)
    }

    #[divan::bench(sample_size = SOME, args = [SMALL, LARGE])]
    fn decode_pub_json(bencher: Bencher, bytes: usize) {
        let frame = format!(r#"{{"op":"pub","topic":"orders.created.eu","data":{}}}"#, payload(bytes));
        bencher.bench_local(|| {
            json::decode(black_box(&frame), &DecodeLimits { max_payload: 512 * 1024 }).is_ok()
        });
    }

    #[divan::bench(sample_size = SOME, args = [SMALL, LARGE])]
    fn decode_pub_nats(bencher: Bencher, bytes: usize) {
        let payload = payload(bytes);
        let stream = format!("PUB orders.created.eu {}\r\n{payload}\r\n", payload.len()).into_bytes();
        let mut decoder = nats::Decoder::default();
        let connect = b"CONNECT {\"verbose\":false}\r\n";
        let (_, found) = decoder.find(connect, 0).expect("good");
        decoder.get(found.expect("whole"), connect).expect("good");
        bencher.bench_local(|| {
            let (_, found) = decoder.find(black_box(&stream), 512 * 1024).expect("good");
            decoder.get(found.expect("whole"), &stream).is_ok()
        });
    }

    /// What a subscriber reads, of a message like the one before.
    #[divan::bench(sample_size = SOME, args = Form::ALL)]
    fn encode_for_one_subscriber(bencher: Bencher, form: Form) {
        let (topic, sid) = (topic("orders.created.eu"), Sid::from_number(7).expect("small"));
        let (from, payload) = (ServiceName::parse("checkout").expect("a name"), payload(SMALL));
        let (mut outlines, mut scratch, mut out) =
            (Outlines::default(), Vec::new(), Vec::with_capacity(LARGE));
        bencher.bench_local(|| {
            out.clear();
            let payload = Payload::opaque(payload.as_bytes());
            let message =
                Message { topic: &topic, from: &from, payload, headers: Headers::EMPTY, reply: None };
            Encodings::new(black_box(&message), Some(&mut outlines), &mut scratch)
                .of(form, &sid)
                .write(&mut out);
            out.len()
        });
    }
}

/// One verdict of the policy for a service to which so many rules apply. A session asks once for each topic and keeps
/// the answer.
mod policy_verdict {
    use super::*;

    const RULES: [usize; 3] = [10, 1_000, 10_000];

    fn grants(rules: usize) -> Grants {
        let pattern = |text: String| PatternTemplate::parse(&text).expect("a pattern");
        let mut grant = Grant::new(RuleName::parse("bench").expect("a name"));
        grant.services = vec![ServicePattern::Any];
        grant.publish = (0..rules).map(|rule| pattern(format!("domain-{rule}.*.created"))).collect();
        grant.subscribe = (0..rules).map(|rule| pattern(format!("domain-{rule}.>"))).collect();
        grant.deny_publish = (0..rules).map(|rule| pattern(format!("domain-{rule}.internal.>"))).collect();
        grant.deny_subscribe = (0..rules).map(|rule| pattern(format!("domain-{rule}.internal.>"))).collect();
        let policy = Policy::new(vec![grant]).expect("a policy");
        policy.grants(&ServiceName::parse("checkout").expect("a name"), &[])
    }

    #[divan::bench(sample_size = MANY, args = RULES)]
    fn publish_allowed(bencher: Bencher, rules: usize) {
        let (grants, topic) = (grants(rules), topic("domain-5.orders.created"));
        bencher.bench_local(|| grants.publish(black_box(&topic)).expect("granted"));
    }

    #[divan::bench(sample_size = MANY, args = RULES)]
    fn publish_denied(bencher: Bencher, rules: usize) {
        let (grants, topic) = (grants(rules), topic("domain-5.internal.created"));
        bencher.bench_local(|| grants.publish(black_box(&topic)).expect_err("denied"));
    }

    #[divan::bench(sample_size = MANY, args = RULES)]
    fn subscribe_allowed(bencher: Bencher, rules: usize) {
        let (grants, pattern) = (grants(rules), Pattern::parse("domain-5.*.created").expect("a pattern"));
        bencher.bench_local(|| grants.subscribe(black_box(&pattern), None).expect("granted"));
    }

    #[divan::bench(sample_count = 10, sample_size = 1, args = RULES)]
    fn compile(bencher: Bencher, rules: usize) {
        bencher.bench_local(|| grants(black_box(rules)));
    }
}

/// A client's certificate against a revocation list with so many entries, of which none is its own.
mod revocation {
    use portcullis::identity::TrustName;
    use portcullis::identity::mapping::Mapping;
    use portcullis::trust::{RevocationSettings, TrustDomain, TrustDomains, TrustSettings, pem};
    use rcgen::SerialNumber;
    use rustls::pki_types::{CertificateDer, UnixTime};

    use super::*;
    use pki::{Ca, Profile};

    const ENTRIES: [u32; 2] = [0, 100_000];

    /// A trust domain with such a list and a certificate that it trusts.
    fn domain(entries: u32) -> (TrustSettings, CertificateDer<'static>) {
        let ca = Ca::root("bench root");
        let issued = ca.issue(&Profile::service("checkout", &[]));
        let mut other = ca.issue(&Profile::service("other", &[]));
        for entry in 0..u128::from(entries) {
            let serial = entry.wrapping_mul(0x1e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) >> 2 | 1 << 126;
            other.serial = SerialNumber::from_slice(&serial.to_be_bytes());
            ca.revoke(&other);
        }
        let lists = pem::revocation_lists(ca.crl(86_400).as_bytes()).expect("a list");
        let settings = TrustSettings {
            name: TrustName::parse("bench").expect("a name"),
            anchors: vec![ca.certificate.clone()],
            retire: Vec::new(),
            intermediates: Vec::new(),
            revocation: RevocationSettings::Enforced(lists),
            mapping: Mapping::new(Vec::new(), Vec::new()),
        };
        (settings, issued.chain[0].clone())
    }

    fn trust(settings: TrustSettings) -> TrustDomains {
        let domain = TrustDomain::new(settings, UnixTime::now()).expect("a domain");
        TrustDomains::new(vec![domain]).expect("one domain")
    }

    #[divan::bench(sample_size = MANY, args = ENTRIES)]
    fn look_up_one_certificate(bencher: Bencher, entries: u32) {
        let (settings, leaf) = domain(entries);
        let (trust, now) = (trust(settings), UnixTime::now());
        let chain = trust.verify(&leaf, &[], now).expect("a good chain");
        let lists = trust.domains()[0].revocation_lists().expect("lists");
        bencher.bench_local(|| lists.status(black_box(&chain.links()[0]), now));
    }

    /// Each time by a domain that has not seen the chain.
    #[divan::bench(sample_count = 50, sample_size = 1, args = ENTRIES)]
    fn verify_a_chain(bencher: Bencher, entries: u32) {
        let (settings, leaf) = domain(entries);
        let now = UnixTime::now();
        bencher
            .with_inputs(|| trust(settings.clone()))
            .bench_local_refs(|trust| trust.verify(black_box(&leaf), &[], now).expect("a good chain"));
    }

    #[divan::bench(sample_size = SOME, args = ENTRIES)]
    fn verify_a_chain_again(bencher: Bencher, entries: u32) {
        let (settings, leaf) = domain(entries);
        let (trust, now) = (trust(settings), UnixTime::now());
        bencher.bench_local(|| trust.verify(black_box(&leaf), &[], now).expect("a good chain"));
    }

    #[divan::bench(sample_count = 10, sample_size = 1, args = ENTRIES)]
    fn load_a_list(bencher: Bencher, entries: u32) {
        let (settings, _) = domain(entries);
        let now = UnixTime::now();
        bencher
            .with_inputs(|| settings.clone())
            .bench_local_values(|settings| TrustDomain::new(settings, now).expect("a domain"));
    }
}
