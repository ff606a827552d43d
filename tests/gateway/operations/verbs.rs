//! What an operator types, and what the admin socket answers behind it.

use std::path::Path;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{ADMIN, admin_socket, page, readiness};
use crate::harness::{Binary, Ca, Closed, Harness, PATIENCE, POLICY, Profile, Setup, replace, wait_until};

const OUT: &str = "[[grant]]\nname = \"out\"\nservices = [\"billing\"]\nconnect = false\n";

/// A gateway that looks at its files when it is told to: the whole folder it watches is another one.
async fn quiet() -> Harness {
    let more = "[reload]\npoll_interval_ms = 3600000\nmax_cut_percent = 20".into();
    Harness::with(Setup { gateway: ADMIN.into(), more, ..Setup::default() }).await
}

pub(super) async fn post(socket: &Path, target: &str, body: &str) -> (u16, Value) {
    let mut stream = UnixStream::connect(socket).await.expect("an admin socket");
    let length = body.len();
    let head =
        format!("POST {target} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\nContent-Length: {length}");
    stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await.expect("written");
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("in time").expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, serde_json::from_str(body).expect("JSON"))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Changes the policy and waits until the guard has refused it, so that nothing happens between what follows.
async fn refused_policy(harness: &Harness) {
    replace(&harness.policy, format!("{POLICY}{OUT}").as_bytes());
    wait_until(|| !harness.server.reload_handle().status().faults.is_empty()).await;
}

#[tokio::test]
async fn the_verbs_preview_refuse_force_and_roll_back() {
    let harness = quiet().await;
    let socket = admin_socket(&harness);
    let mut session = harness.connect("billing", &[]).await;
    refused_policy(&harness).await;
    let config = text(&harness.config);

    let preview = Binary::run(&["reload", "--dry-run", "--force", "--config", config]).await;
    assert_eq!(preview.code, Some(0), "{preview:?}");
    for part in ["would be installed: generation 2", "grant         + out", "- 1 billing (connect_forbidden)"]
    {
        assert!(preview.out.contains(part), "{preview:?}");
    }
    let refused = Binary::run(&["reload", "--admin-socket", text(&socket)]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.out.contains("reload.max_cut_percent: the change would end 1 of 1"), "{refused:?}");
    session.nothing_came().await;

    let forced = Binary::run(&["reload", "--force", "--json", "--config", config]).await;
    assert_eq!(forced.code, Some(0), "{forced:?}");
    let outcome: Value = serde_json::from_str(&forced.out).expect("JSON");
    assert_eq!(outcome["attempt"], json!({"outcome": "installed", "generation": 2}));
    assert_eq!(outcome["preview"]["cuts"][0]["reason"], "connect_forbidden");
    assert_eq!(session.closed().await.paced(), Closed::Frame(1008, "connect_forbidden".into()));

    let back = Binary::run(&["rollback", "--config", config]).await;
    assert_eq!(back.code, Some(0), "{back:?}");
    assert!(back.out.starts_with("rolled back: generation 3 is the set of generation 1\n"), "{back:?}");
    assert_eq!(readiness(&socket).await.1["rolled_back_to_generation"], 1);
    harness.connect("billing", &[]).await;
    let held = Binary::run(&["reload", "--config", config]).await;
    assert!(held.code == Some(0) && held.out.starts_with("held:"), "{held:?}");
}

/// What is put in place is taken at once: what is to be seen first stands beside.
#[tokio::test]
async fn a_candidate_beside_the_files_is_previewed_and_never_taken() {
    let harness = quiet().await;
    let mut session = harness.connect("billing", &[]).await;
    let configuration = std::fs::read_to_string(&harness.config).expect("a configuration");
    let candidate = harness.pki.path("candidate.toml");
    std::fs::write(harness.pki.path("next-policy.toml"), format!("{POLICY}{OUT}")).expect("written");
    std::fs::write(&candidate, configuration.replace("policy.toml", "next-policy.toml")).expect("written");
    let arguments = ["reload", "--config", text(&harness.config), "--candidate", text(&candidate)];
    let preview = Binary::run(&[&arguments[..], &["--dry-run"]].concat()).await;
    assert_eq!(preview.code, Some(1), "{preview:?}");
    assert!(preview.out.contains("- 1 billing (connect_forbidden)"), "{preview:?}");
    for other in [&[][..], &["--dry-run", "--force"]] {
        assert_eq!(Binary::run(&[&arguments[..], other].concat()).await.code, Some(2), "{other:?}");
    }
    let body = json!({ "config": candidate }).to_string();
    assert_eq!(post(&admin_socket(&harness), "/reload", &body).await.0, 400);
    session.nothing_came().await;
    crate::reload::tried(&harness).await;
    assert_eq!(harness.gateway().generation_number(), 1);
}

#[tokio::test]
async fn verbs_tell_apart_no_gateway_a_bad_configuration_and_bad_arguments() {
    let harness = quiet().await;
    let gone = harness.pki.path("gone.sock");
    for verb in ["reload", "rollback", "sessions"] {
        let ended = Binary::run(&[verb, "--admin-socket", text(&gone)]).await;
        assert!(ended.code == Some(3) && ended.err.contains("no gateway answers"), "{verb}: {ended:?}");
        let ended = Binary::run(&[verb, "--config", "/nonexistent.toml"]).await;
        assert_eq!(ended.code, Some(5), "{verb}: {ended:?}");
        assert_eq!(Binary::run(&[verb]).await.code, Some(2), "{verb}: nothing says where");
    }
    let rollback = Binary::run(&["rollback", "--config", text(&harness.config)]).await;
    assert!(rollback.code == Some(1) && rollback.out.contains("no earlier set"), "{rollback:?}");
    let odd = Binary::run(&["sessions", "--service", "a&b", "--config", text(&harness.config)]).await;
    assert_ne!(odd.code, Some(0), "{odd:?}");
}

#[tokio::test]
async fn the_admin_socket_refuses_what_it_does_not_know_as_problems() {
    let harness = quiet().await;
    let socket = admin_socket(&harness);
    for (target, body) in [
        ("/reload?dryrun=true", ""),
        ("/reload?dry_run=maybe", ""),
        ("/reload", "{\"dryrun\":true}"),
        ("/rollback", "["),
        ("/rollback?force", "{}"),
    ] {
        let (status, problem) = post(&socket, target, body).await;
        assert_eq!((status, &problem["type"]), (400, &"urn:portcullis:problem:malformed-request".into()));
        assert!(problem["detail"].is_string(), "{target} {body}");
    }
    assert_eq!(post(&socket, "/reload", &format!("{:4097}", "{}")).await.0, 413);
    assert_eq!(page(&socket, "/sessions?anchor=none").await.0, 400);
    assert_eq!(page(&socket, "/reload").await.0, 405);
    assert_eq!(post(&socket, "/livez", "").await.0, 405);
    assert_eq!(harness.gateway().generation_number(), 1);
    let (status, outcome) = post(&socket, "/reload", "{\"dry_run\":true}").await;
    assert_eq!((status, &outcome["attempt"]["outcome"]), (200, &"unchanged".into()));
}

#[tokio::test]
async fn sessions_are_listed_in_pages_and_by_what_they_are() {
    let harness = quiet().await;
    let socket = admin_socket(&harness);
    let mut peers = Vec::new();
    for name in ["billing", "billing", "checkout"] {
        peers.push(harness.connect(name, &["reader"]).await);
    }
    let list = async |query: &str| -> Value {
        let (status, body) = page(&socket, &format!("/sessions{query}")).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).expect("JSON")
    };
    let all = list("").await;
    assert_eq!((&all["live"], &all["matching"], &all["next"]), (&3.into(), &3.into(), &Value::Null));
    let row = all["sessions"].as_array().expect("rows").iter().find(|row| row["service"] == "checkout");
    let row = row.expect("its row");
    assert_eq!(row["session"], peers[2].hello["session"]);
    assert_eq!(
        (&row["trust"], &row["roles"], &row["generation"]),
        (&"internal".into(), &json!(["reader"]), &1.into())
    );
    assert_eq!(row["anchor_name"], "CN=test root");
    assert_eq!(
        row["certificate_end_unix"].as_u64().map(|end| end * 1000),
        peers[2].hello["deadline"].as_u64()
    );
    assert_eq!(list("?service=billing").await["matching"], 2);
    assert_eq!(list("?trust=elsewhere").await["matching"], 0);
    assert_eq!(list("?generation_below=1").await["matching"], 0);
    assert_eq!(list("?generation_below=2").await["matching"], 3);

    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let next = list(&format!("?limit=1{after}")).await;
        seen.extend(next["sessions"].as_array().expect("rows").iter().map(|row| row["session"].to_string()));
        let Some(id) = next["next"].as_str() else { break };
        after = format!("&after={id}");
    }
    let known: Vec<_> =
        all["sessions"].as_array().expect("rows").iter().map(|row| row["session"].to_string()).collect();
    assert_eq!(seen, known);
    let printed = Binary::run(&["sessions", "--service", "billing", "--config", text(&harness.config)]).await;
    let rows = printed.out.lines().filter(|line| line.contains("  billing  ")).count();
    assert_eq!((printed.code, rows), (Some(0), 2), "{printed:?}");
    assert!(printed.out.contains("\"CN=test root\"") && printed.out.contains("2 of 3 live"), "{printed:?}");
}

/// What a person does before the old root goes.
#[tokio::test]
async fn the_sessions_on_the_old_root_are_listed_until_they_connected_anew() {
    let harness = quiet().await;
    let next = Ca::root("next root");
    let mut peers = vec![harness.connect("billing", &[]).await, harness.connect("checkout", &[]).await];
    crate::reload::trust(&harness, &[&harness.pki.ca, &next]);
    crate::reload::tried(&harness).await;
    let page_of = async |filters: &[&str]| -> Value {
        let arguments = [&["sessions", "--json", "--config", text(&harness.config)], filters].concat();
        let ended = Binary::run(&arguments).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        serde_json::from_str(&ended.out).expect("JSON")
    };
    let counts = |page: &Value| -> Vec<(String, u64)> {
        let anchors = page["anchors"].as_array().expect("anchors").iter();
        let mut counts: Vec<_> = anchors
            .map(|anchor| {
                (anchor["name"].as_str().expect("a name").into(), anchor["sessions"].as_u64().unwrap())
            })
            .collect();
        counts.sort();
        counts
    };
    let count = |next, test| vec![("CN=next root".to_owned(), next), ("CN=test root".to_owned(), test)];
    let all = page_of(&[]).await;
    assert_eq!(counts(&all), count(0, 2));
    let old = all["sessions"][0]["anchor"].as_str().expect("an anchor").to_owned();

    for (left, name) in [(1, "billing"), (0, "checkout")] {
        let mut peer = peers.remove(0);
        assert_eq!(peer.hello["service"], name);
        peer.close().await;
        peers.push(harness.connect_as(&next.issue(&Profile::service(name, &[]))).await);
        harness.sessions(2).await;
        let page = page_of(&["--anchor", &old[..12]]).await;
        assert_eq!((page["matching"].as_u64(), counts(&page)), (Some(left), count(2 - left, left)));
    }
    // Nobody hangs on it: it goes, and nobody notices.
    crate::reload::trust(&harness, &[&next]);
    crate::reload::tried(&harness).await;
    assert_eq!(crate::reload::faults(&harness), Vec::<String>::new());
    for peer in &mut peers {
        peer.nothing_came().await;
    }
}

#[tokio::test]
async fn how_long_a_verdict_took_is_measured_from_the_change_to_the_close_frame() {
    let harness = quiet().await;
    let (stolen, lost) = (
        harness.pki.issue(&Profile::service("mallory", &[])),
        harness.pki.issue(&Profile::service("lost", &[])),
    );
    let mut sessions = [harness.connect_as(&stolen).await, harness.connect_as(&lost).await];
    harness.pki.ca.revoke(&stolen);
    harness.pki.revoke(&lost);
    for session in &mut sessions {
        assert_eq!(session.closed().await, Closed::Frame(4403, "revoked".into()));
    }
    let count = "verdict_close_seconds_count{reason=\"revoked\"}";
    wait_until(|| harness.metric(count) == 2).await;
    let text = harness.gateway().metrics.render(harness.gateway());
    let last = text
        .lines()
        .find_map(|line| line.strip_prefix("portcullis_verdict_last_close_seconds{reason=\"revoked\"} "));
    let seconds: f64 = last.expect("a gauge").parse().expect("seconds");
    // At least the time in which a change settles.
    assert!((0.025..10.0).contains(&seconds), "{seconds}");
    // A certificate that ends by itself is no verdict of a change.
    let mut short = Profile::service("short", &[]);
    short.not_after = 2;
    let mut ends = harness.connect_as(&harness.pki.issue(&short)).await;
    assert!(matches!(ends.closed().await, Closed::Frame(4401, _)));
    assert_eq!(harness.metric("verdict_close_seconds_count{reason=\"credential_deadline\"}"), 0);
}

#[tokio::test]
async fn the_socket_of_a_newer_gateway_is_not_taken_away() {
    let harness = Harness::with(super::administered()).await;
    let socket = admin_socket(&harness);
    std::fs::remove_file(&socket).expect("taken away");
    let newer = tokio::net::UnixListener::bind(&socket).expect("bound");
    harness.server.stop().await;
    assert!(socket.exists(), "it is the other's");
    drop(newer);
}
