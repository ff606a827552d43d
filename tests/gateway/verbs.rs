//! The real binary's verbs against a real gateway: what they print and how they end.

use serde_json::{Value, json};

use crate::harness::{Binary, Harness, Issued, POLICY, Profile, wait_until};

/// The arguments that say where the gateway is and who calls.
struct Caller {
    flags: Vec<String>,
}

impl Caller {
    fn new(harness: &Harness, name: &str, issued: &Issued) -> Self {
        let write = |suffix: &str, text: &str| {
            let path = harness.pki.path(&format!("{name}.{suffix}"));
            std::fs::write(&path, text).expect("written");
            path.to_str().expect("UTF-8").to_owned()
        };
        let flags = [
            ("--url", format!("wss://localhost:{}/", harness.address.port())),
            ("--ca", write("ca.pem", &harness.pki.ca.pem)),
            ("--cert", write("chain.pem", &issued.pem)),
            ("--key", write("key.pem", &issued.key_pem)),
        ];
        Self { flags: flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect() }
    }

    fn service(harness: &Harness, name: &str, roles: &[&str]) -> Self {
        Self::new(harness, name, &harness.pki.issue(&Profile::service(name, roles)))
    }

    fn spawn(&self, verb: &str, arguments: &[&str]) -> Binary {
        let flags = self.flags.iter().map(String::as_str);
        Binary::spawn(&[verb].into_iter().chain(flags).chain(arguments.iter().copied()).collect::<Vec<_>>())
    }

    /// Runs a verb to its end: exit code, standard output, standard error.
    async fn run(&self, verb: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
        let ended = self.spawn(verb, arguments).ended().await;
        (ended.code, ended.out, ended.err)
    }
}

async fn explain(harness: &Harness, arguments: &[&str]) -> (Option<i32>, String, String) {
    let config = harness.config.to_str().expect("UTF-8");
    let ended = Binary::run(&[&["explain", "--config", config], arguments].concat()).await;
    (ended.code, ended.out, ended.err)
}

#[tokio::test]
async fn sub_prints_what_pub_publishes() {
    let harness = Harness::start().await;
    let reader = Caller::service(&harness, "billing", &["reader"]);
    let writer = Caller::service(&harness, "checkout", &["writer"]);
    let mut sub = reader.spawn("sub", &["--count", "7", "orders.>"]);
    wait_until(|| harness.gateway().router.subscriptions() == 1).await;
    assert_eq!(
        writer.run("pub", &["orders.json", r#"{"n": 1.0}"#]).await,
        (Some(0), String::new(), String::new())
    );
    assert_eq!(sub.prints().await, r#"{"topic":"orders.json","from":"checkout","data":{"n": 1.0}}"#);
    writer.run("pub", &["--header", "Trace: 7", "--header", "Trace: 8", "orders.text", "no JSON"]).await;
    assert_eq!(
        serde_json::from_str::<Value>(&sub.prints().await).expect("JSON"),
        json!({
            "topic": "orders.text", "from": "checkout", "data_base64": "bm8gSlNPTg==", "headers": {"Trace": ["7", "8"]},
        })
    );
    let (code, _, err) = writer.run("pub", &["orders.text", "{n: 1}"]).await;
    assert_eq!(code, Some(0));
    assert!(err.starts_with("note: the data is sent as bytes, it is no JSON text: "), "{err}");
    assert!(sub.prints().await.contains(r#""data_base64":"e246IDF9""#));
    writer.run("pub", &["--base64", "--count", "2", "orders.bytes", "AP8="]).await;
    for _ in 0..2 {
        assert_eq!(sub.prints().await, r#"{"topic":"orders.bytes","from":"checkout","data_base64":"AP8="}"#);
    }
    let mut lines = writer.spawn("pub", &["orders.lines", "-"]);
    lines.feed("1\n\"two\"\n");
    assert_eq!(lines.ended().await.code, Some(0));
    assert_eq!(sub.prints().await, r#"{"topic":"orders.lines","from":"checkout","data":1}"#);
    assert_eq!(sub.prints().await, r#"{"topic":"orders.lines","from":"checkout","data":"two"}"#);
    // Its count is reached.
    let ended = sub.ended().await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), ""));
    harness.sessions(0).await;
}

#[tokio::test]
async fn sub_ends_on_interrupt_with_success_and_prints_raw_payloads() {
    let harness = Harness::start().await;
    let reader = Caller::service(&harness, "billing", &["reader"]);
    let mut writer = harness.connect("checkout", &["writer"]).await;
    let mut sub = reader.spawn("sub", &["--raw", "--group", "g", "orders.a", "orders.b"]);
    wait_until(|| harness.gateway().router.subscriptions() == 2).await;
    writer.ok(r#"{"op":"pub","id":1,"topic":"orders.b","data": [ 1 ] }"#).await;
    assert_eq!(sub.prints().await, "[ 1 ]");
    sub.signal("INT");
    assert_eq!(sub.ended().await.code, Some(0));
}

#[tokio::test]
async fn request_prints_the_answer() {
    let harness = Harness::start().await;
    let asker = Caller::service(&harness, "checkout", &[]);
    let (code, out, err) = asker.run("request", &["billing.quote", "1"]).await;
    assert_eq!((code, out.as_str()), (Some(1), ""), "nobody answers: {err}");
    let mut billing = harness.connect("billing", &[]).await;
    billing.ok(r#"{"op":"sub","id":1,"sid":"s","topic":"billing.quote"}"#).await;
    let asking = asker.spawn("request", &["billing.quote", "[1]"]);
    let asked = billing.expect("msg").await;
    assert_eq!((&asked["data"], &asked["from"]), (&json!([1]), &json!("checkout")));
    billing
        .ok(json!({"op": "res", "id": 2, "reply": asked["reply"], "data": {"price": 3}}).to_string())
        .await;
    let ended = asking.ended().await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), "{\"price\":3}\n"), "{}", ended.err);
    let (code, out, _) = asker.run("request", &["--timeout", "50ms", "billing.quote"]).await;
    assert_eq!((code, out.as_str()), (Some(4), ""));
}

#[tokio::test]
async fn whoami_prints_the_gateways_view() {
    let harness = Harness::start().await;
    let (code, out, _) = Caller::service(&harness, "billing", &["reader"]).run("whoami", &[]).await;
    assert_eq!(code, Some(0));
    let answer: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((&answer["service"], &answer["roles"]), (&json!("billing"), &json!(["reader"])));
    assert_eq!(answer["grants"]["subscribe"], json!(["orders.>", "billing.quote", "services.billing.>"]));
    assert!(answer.get("challenge").is_none(), "what must not be copied into a terminal is left out");
}

#[tokio::test]
async fn exit_codes_tell_refusals_mistakes_and_missing_connections_apart() {
    let harness = Harness::start().await;
    let caller = Caller::service(&harness, "billing", &["reader"]);
    let (code, _, err) = caller.run("pub", &["orders.x", "1"]).await;
    assert_eq!(code, Some(1), "{err}");
    assert!(!err.contains("writers"), "the policy's rule is not told: {err}");
    assert!(err.contains("`billing` may not publish on `orders.x`; `portcullis whoami`"), "{err}");
    assert_eq!(caller.run("sub", &["quotes.x"]).await.0, Some(1));
    assert_eq!(caller.run("pub", &["orders..x", "1"]).await.0, Some(2));
    assert_eq!(caller.run("pub", &["--base64", "services.billing.x", "*"]).await.0, Some(2));
    assert_eq!(caller.run("request", &["--timeout", "soon", "x"]).await.0, Some(2));
    assert_eq!(Binary::run(&["pub", "orders.x", "1"]).await.code, Some(2), "nothing says where");

    let issued = harness.pki.issue(&Profile::service("mallory", &[]));
    let revoked = Caller::new(&harness, "mallory", &issued);
    harness.pki.revoke(&issued);
    harness.generation_at_least(2).await;
    let (code, _, err) = revoked.run("whoami", &[]).await;
    assert_eq!(code, Some(3), "{err}");
    assert!(err.contains("CertificateRevoked"), "{err}");

    let mut nowhere = Caller::service(&harness, "billing", &[]);
    nowhere.flags[1] = "wss://localhost:1/".into();
    assert_eq!(nowhere.run("whoami", &[]).await.0, Some(3));
    let mut keyless = Caller::service(&harness, "billing", &[]);
    keyless.flags[7] = harness.pki.path("missing.key").to_str().expect("UTF-8").into();
    assert_eq!(keyless.run("whoami", &[]).await.0, Some(3));

    let out = "[[grant]]\nname = \"out\"\nservices = [\"billing\"]\nconnect = false\n";
    harness.set_policy(&format!("{POLICY}{out}")).await;
    harness.generation_at_least(3).await;
    let (code, _, err) = caller.run("whoami", &[]).await;
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("403"), "{err}");
}

#[tokio::test]
async fn sub_ends_when_the_policy_takes_its_last_subscription() {
    let harness = Harness::start().await;
    let sub = Caller::service(&harness, "billing", &["reader"]).spawn("sub", &["orders.>"]);
    wait_until(|| harness.gateway().router.subscriptions() == 1).await;
    harness.set_policy(&POLICY.replace("subscribe = [\"orders.>\"]", "")).await;
    let ended = sub.ended().await;
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.err.contains("policy_changed"), "{}", ended.err);
}

#[tokio::test]
async fn sub_ends_when_its_certificate_is_revoked() {
    let harness = Harness::start().await;
    let issued = harness.pki.issue(&Profile::service("billing", &["reader"]));
    let sub = Caller::new(&harness, "billing", &issued).spawn("sub", &["orders.>"]);
    wait_until(|| harness.gateway().router.subscriptions() == 1).await;
    harness.pki.revoke(&issued);
    let ended = sub.ended().await;
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.err.contains("closed by the gateway: revoked (4403)"), "{}", ended.err);
}

#[tokio::test]
async fn check_counts_what_it_found() {
    let harness = Harness::start().await;
    let ended = Binary::run(&["check", "--config", harness.config.to_str().expect("UTF-8")]).await;
    let grants = POLICY.matches("[[grant]]").count();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.out.starts_with("ok: 1 listener, 1 trust domain, "), "{}", ended.out);
    assert!(ended.out.contains(&format!(" {grants} grants in ")), "{}", ended.out);
}

#[tokio::test]
async fn explain_tells_who_a_certificate_is() {
    let harness = Harness::start().await;
    let write = |name: &str, issued: &Issued| {
        let path = harness.pki.path(name);
        std::fs::write(&path, &issued.pem).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let good = harness.pki.issue(&Profile::service("billing", &["reader"]));
    let (code, out, _) = explain(&harness, &[&write("good.pem", &good)]).await;
    assert_eq!(code, Some(0));
    for expected in [
        "trust     internal",
        "service   billing",
        "roles     reader",
        "rule      usual",
        "connect   permitted by readers",
        "subscribe orders.>  by readers",
        "not       orders.internal.>  by readers",
        "publish   services.billing.>  by own-space",
        "group     pool (shared) by readers",
    ] {
        assert!(out.lines().any(|line| line == expected), "{expected}\n{out}");
    }
    let mut profile = Profile::service("billing", &[]);
    profile.uris = vec!["spiffe://test.internal/service/checkout".into()];
    let two_names = harness.pki.issue(&profile);
    let (code, out, _) = explain(&harness, &[&write("two.pem", &two_names)]).await;
    assert!(code == Some(1) && out.starts_with("refused"), "{code:?} {out}");
    let mut profile = Profile::service("billing", &[]);
    profile.not_after = -1;
    let expired = harness.pki.issue(&profile);
    let (code, out, _) = explain(&harness, &[&write("expired.pem", &expired)]).await;
    assert_eq!(code, Some(1));
    assert!(out.starts_with("refused") && out.contains("would be  billing in internal by usual"), "{out}");
    harness.pki.revoke(&good);
    let (code, out, _) = explain(&harness, &[&write("revoked.pem", &good)]).await;
    assert!(code == Some(1) && out.contains("revoked"), "{out}");
    assert_eq!(explain(&harness, &["/nonexistent.pem"]).await.0, Some(2));
}

#[tokio::test]
async fn explain_answers_single_questions_for_scripts() {
    let harness = Harness::start().await;
    let cases: [(&[&str], i32, &str); 10] = [
        (&["--service", "a", "--role", "writer", "--publish", "orders.x"], 0, "permitted by writers\n"),
        (&["--service", "a", "--publish", "orders.x"], 1, "denied: `orders.x`: no grant allows it\n"),
        (&["--service", "a", "--publish", "services.a.x"], 0, "permitted by own-space\n"),
        (&["--service", "a", "--publish", "services.b.x"], 1, "denied: `services.b.x`: no grant allows it\n"),
        (
            &["--service", "a", "--role", "reader", "--subscribe", "orders.>"],
            0,
            "permitted by readers, without orders.internal.>\n",
        ),
        (
            &["--service", "a", "--role", "reader", "--subscribe", "orders.internal.x"],
            1,
            "denied: `orders.internal.x`: a grant denies it (rule `readers`)\n",
        ),
        (
            &["--service", "billing", "--subscribe", "billing.quote", "--group", "g"],
            0,
            "permitted by billing-answers\n",
        ),
        (&["--service", "NOT A NAME", "--publish", "x"], 2, ""),
        (&["--service", "a", "--publish", "a.*"], 2, ""),
        (&["--publish", "a"], 2, ""),
    ];
    for (arguments, code, output) in cases {
        let (got, out, err) = explain(&harness, arguments).await;
        assert_eq!((got, out.as_str()), (Some(code), output), "{arguments:?}: {err}");
    }
    let ended = Binary::run(&["explain", "--config", "/nonexistent.toml", "--matrix"]).await;
    assert_eq!(ended.code, Some(5));
}

#[tokio::test]
async fn explain_notes_a_role_that_no_certificate_can_have() {
    let harness = Harness::start().await;
    let ask =
        async |role| explain(&harness, &["--service", "a", "--role", role, "--publish", "orders.x"]).await;
    assert_eq!(ask("writer").await.2, "", "nothing to note");
    let (code, out, err) = ask("wirter").await;
    assert_eq!((code, out.as_str()), (Some(1), "denied: `orders.x`: no grant allows it\n"));
    assert_eq!(err, "note: no mapping rule gives the role `wirter`\n");
}

#[tokio::test]
async fn explain_answers_the_question_about_a_certificate() {
    let harness = Harness::start().await;
    let path = harness.pki.path("asked.pem");
    std::fs::write(&path, harness.pki.issue(&Profile::service("billing", &["reader"])).pem).expect("written");
    let certificate = path.to_str().expect("UTF-8");
    let cases: [(&[&str], i32, &str); 8] = [
        (&["--publish", "services.billing.x"], 0, "permitted by own-space\n"),
        (&["--publish", "orders.x"], 1, "denied: `orders.x`: no grant allows it\n"),
        (&["--subscribe", "orders.>"], 0, "permitted by readers, without orders.internal.>\n"),
        (
            &["--subscribe", "orders.>", "--group", "g"],
            0,
            "permitted by readers, without orders.internal.>\n",
        ),
        (&["--subscribe", "quotes.x"], 1, "denied: `quotes.x`: no grant allows it\n"),
        (&["--publish", "a.*"], 2, ""),
        (&["--role", "writer", "--publish", "orders.x"], 2, ""),
        (&["--service", "billing"], 2, ""),
    ];
    for (question, code, output) in cases {
        let (got, out, err) = explain(&harness, &[&[certificate], question].concat()).await;
        assert_eq!((got, out.as_str()), (Some(code), output), "{question:?}: {err}");
    }
}

#[tokio::test]
async fn explain_refuses_questions_that_make_no_sense() {
    let harness = Harness::start().await;
    let cases: [&[&str]; 9] = [
        &["--matrix", "--publish", "a"],
        &["--matrix", "--subscribe", "a"],
        &["--matrix", "--role", "reader"],
        &["--matrix", "--group", "g"],
        &["--matrix", "--service", "a"],
        &["--service", "a", "--group", "g"],
        &["--service", "a", "--publish", "x", "--group", "g"],
        &["--service", "a", "--publish", "x", "--subscribe", "x"],
        &["--service", "a", "--subscribe", "x", "--group", "not a group"],
    ];
    for arguments in cases {
        let (code, out, _) = explain(&harness, arguments).await;
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}");
    }
}

#[tokio::test]
async fn explain_shows_the_whole_matrix() {
    let harness = Harness::start().await;
    let (code, out, _) = explain(&harness, &["--matrix"]).await;
    assert_eq!(code, Some(0));
    for service in ["billing", "checkout", "role writer", "role reader"] {
        assert!(out.contains(service), "{out}");
    }
    assert!(out.contains("billing.quote") && out.contains("orders.>"), "{out}");
}
