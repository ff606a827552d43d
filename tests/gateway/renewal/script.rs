//! `scripts/renew-service --from`: a service on a machine without the CA.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{names, start};
use crate::harness::{Harness, Issued, Profile};

/// The files of `billing` as the scripts lay them out, without a CA.
fn lay_out(folder: &Path, harness: &Harness, issued: &Issued) {
    let version = folder.join("services/billing/..00000001");
    std::fs::create_dir_all(&version).expect("a folder");
    std::fs::create_dir(folder.join("trust")).expect("a folder");
    std::fs::write(folder.join("trust/gateway-anchors.pem"), &harness.pki.ca.pem).expect("written");
    let record = "name=billing\nroot=0123abcd\nserial=01\nfingerprint=00\nalgorithm=p384\nlifetime=3600\n\
        not_after=1\nroles=writer\nnames=\n";
    for (name, content) in
        [("chain.pem", issued.pem.as_str()), ("key.pem", &issued.key_pem), ("record", record)]
    {
        std::fs::write(version.join(name), content).expect("written");
        symlink(format!("..data/{name}"), folder.join("services/billing").join(name)).expect("a link");
    }
    symlink("..00000001", folder.join("services/billing/..data")).expect("a link");
}

async fn renew_service(folder: &Path, harness: &Harness, more: &[&str]) -> Output {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/renew-service"));
    let from = format!("https://localhost:{}", harness.address.port());
    command.args(["billing", "--from", &from, "--dir"]).arg(folder).args(more);
    // The gateway of this test answers on this thread.
    tokio::task::spawn_blocking(move || command.output().expect("the script runs")).await.expect("it ends")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[tokio::test]
async fn the_script_renews_at_the_gateway_and_switches_key_and_chain_together() {
    let (harness, folder) = (start().await, tempfile::tempdir().expect("a folder"));
    let issued = harness.pki.issue(&Profile::service("billing", &["writer"]));
    lay_out(folder.path(), &harness, &issued);
    let output = renew_service(folder.path(), &harness, &[]).await;
    assert!(output.status.success(), "{}", told(&output));

    let place = folder.path().join("services/billing");
    let read = |name: &str| std::fs::read(place.join(name)).expect("a file");
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(&read("chain.pem")).map(|found| found.expect("PEM")).collect();
    assert_eq!(chain.len(), 2);
    assert_eq!(names(&chain[0]), names(&issued.chain[0]));
    let key = PrivateKeyDer::from_pem_slice(&read("key.pem")).expect("a key");
    let new =
        Issued { chain, key, serial: issued.serial.clone(), pem: String::new(), key_pem: String::new() };
    assert_eq!(harness.connect_as(&new).await.hello["service"], "billing");
    assert_eq!(std::fs::read_link(place.join("..data")).expect("a link"), Path::new("..00000002"));
    let record = String::from_utf8(read("record")).expect("text");
    assert!(record.contains("from=https://localhost:") && record.contains("roles=writer\n"), "{record}");
    assert!(record.contains("algorithm=p384\n") && record.contains("lifetime=3600\n"), "{record}");

    // Again, with the same key.
    let output = renew_service(folder.path(), &harness, &["--keep-key"]).await;
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(PrivateKeyDer::from_pem_slice(&read("key.pem")).expect("a key"), new.key);
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("a folder").count(),
        3,
        "services, trust and the lock"
    );
}

#[tokio::test]
async fn a_refused_renewal_leaves_the_files_alone_and_says_why() {
    let (harness, folder) = (Harness::start().await, tempfile::tempdir().expect("a folder"));
    lay_out(folder.path(), &harness, &harness.pki.issue(&Profile::service("billing", &["writer"])));
    let output = renew_service(folder.path(), &harness, &[]).await;
    assert_eq!(output.status.code(), Some(3), "{}", told(&output));
    assert!(
        told(&output).contains("404") && told(&output).contains("urn:portcullis:problem:path"),
        "{}",
        told(&output)
    );
    let data = std::fs::read_link(folder.path().join("services/billing/..data")).expect("a link");
    assert_eq!(data, Path::new("..00000001"));
}
