//! The shipped examples, and every fault at its key.

mod examples;
mod policy;

use super::*;

/// The smallest configuration that is whole.
const WHOLE: &str = r#"
policy = "policy.toml"

[[listener]]
address = "127.0.0.1:8443"
certificate = "gateway.pem"
key = "gateway.key"

[[trust]]
name = "internal"
anchors = ["anchors.pem"]
crls = ["crl.pem"]

[[trust.rule]]
name = "common-name"
match = { cn = "{service}" }
"#;

fn parse(text: &str) -> Result<Settings, Faults> {
    Settings::parse(text, Path::new("/etc/portcullis"))
}

/// The keys of the faults, in order, each with the first word of its kind.
fn faults(text: &str) -> Vec<(String, String)> {
    let found = parse(text).expect_err("a fault").0;
    found.into_iter().map(|fault| (fault.key, kind(&fault.why))).collect()
}

/// The name of the variant: tests assert kinds, not texts.
fn kind(why: &Why) -> String {
    let name = |debug: &str| debug.split([' ', '(', '{']).next().unwrap_or_default().to_owned();
    match why {
        Why::Rule(error) => name(&format!("{error:?}")),
        why => name(&format!("{why:?}")),
    }
}

/// Keys and kinds.
type Expected<'a> = &'a [(&'a str, &'a str)];

fn expected(faults: Expected) -> Vec<(String, String)> {
    faults.iter().map(|(key, kind)| ((*key).to_owned(), (*kind).to_owned())).collect()
}

/// `WHOLE` with one text in place of another.
fn edited(old: &str, new: &str) -> String {
    assert_eq!(WHOLE.matches(old).count(), 1, "{old}");
    WHOLE.replace(old, new)
}

#[test]
fn paths_start_at_the_folder_of_the_file_and_the_rest_is_default() {
    let settings = parse(WHOLE).unwrap();
    let files: Vec<&str> = settings.files().map(|path| path.to_str().unwrap()).collect();
    let expected = ["gateway.pem", "gateway.key", "anchors.pem", "policy.toml", "crl.pem"];
    assert_eq!(files, expected.map(|name| format!("/etc/portcullis/{name}")));
    assert_eq!(settings.limits, Limits::default());
    assert_eq!(
        settings.gateway,
        GatewaySettings { name: "portcullis".into(), admin_socket: None, gather: true }
    );
    assert_eq!(settings.log, LogSettings { format: LogFormat::Text, filter: "info".into() });
    let [listener] = settings.listeners.as_slice() else { panic!("one listener") };
    assert!(!listener.danger_tls12 && listener.names.is_empty());
    assert_eq!((listener.rules.path.as_str(), listener.rules.default_dialect), ("/", None));

    let absolute = parse(&edited("\"gateway.key\"", "\"/run/key\"")).unwrap();
    assert_eq!(absolute.listeners[0].key, Path::new("/run/key"));
}

#[test]
fn what_renews_is_watched_and_issues_for_a_day() {
    let settings =
        parse(&edited("anchors =", "renewal = { certificate = \"ca.pem\", key = \"ca.key\" }\nanchors ="))
            .unwrap();
    let files: Vec<_> = settings.files().collect();
    for name in ["ca.pem", "ca.key"] {
        assert!(files.contains(&Path::new("/etc/portcullis").join(name).as_path()), "{files:?}");
    }
    let renewal = settings.trust[0].renewal.as_ref().unwrap();
    assert_eq!(renewal.lifetime, Duration::from_secs(24 * 3600));
    assert_eq!(parse(WHOLE).unwrap().trust[0].renewal, None);
}

#[test]
fn each_fault_has_its_key() {
    let cases: &[(&str, &str, Expected)] = &[
        // What is missing.
        ("policy = \"policy.toml\"", "", &[("policy", "Missing")]),
        ("key = \"gateway.key\"", "", &[("listener[0]", "Shape")]),
        ("anchors = [\"anchors.pem\"]", "", &[("trust[0].anchors", "Empty")]),
        ("crls = [\"crl.pem\"]", "", &[("trust[0].crls", "NoRevocation")]),
        ("crls = [\"crl.pem\"]", "crls = []", &[("trust[0].crls", "NoRevocation")]),
        // Unknown keys, at each level.
        ("policy =", "polycy = 1\npolicy =", &[("polycy", "UnknownKey")]),
        ("policy =", "gateway.nmae = \"g\"\npolicy =", &[("gateway", "Shape")]),
        ("policy =", "limits.max_opening_ = 3\npolicy =", &[("limits", "Shape")]),
        ("policy =", "reload.poll = 3\npolicy =", &[("reload", "Shape")]),
        ("policy =", "log.level = \"info\"\npolicy =", &[("log", "Shape")]),
        ("key = \"gateway.key\"", "key = \"k\"\nkeys = \"k\"", &[("listener[0]", "Shape")]),
        ("name = \"internal\"", "name = \"internal\"\ncrl = \"c\"", &[("trust[0]", "Shape")]),
        ("name = \"common-name\"", "name = \"n\"\nmatches = {}", &[("trust[0]", "Shape")]),
        // Wrong types.
        ("policy = \"policy.toml\"", "policy = 7", &[("policy", "Shape")]),
        ("policy =", "limits.max_opening = \"many\"\npolicy =", &[("limits", "Shape")]),
        ("policy =", "limits.max_opening = -1\npolicy =", &[("limits", "Shape")]),
        ("policy =", "gateway = \"g\"\npolicy =", &[("gateway", "Shape")]),
        ("address = \"127.0.0.1:8443\"", "address = 8443", &[("listener[0]", "Shape")]),
        ("[\"crl.pem\"]", "\"crl.pem\"", &[("trust[0]", "Shape")]),
        // Listeners.
        ("127.0.0.1:8443", "localhost:8443", &[("listener[0].address", "Address")]),
        ("127.0.0.1:8443", "127.0.0.1", &[("listener[0].address", "Address")]),
        ("key = \"gateway.key\"", "key = \"k\"\npath = \"x\"", &[("listener[0].path", "Path")]),
        ("key = \"gateway.key\"", "key = \"k\"\npath = \"/x?y\"", &[("listener[0].path", "Path")]),
        (
            "key = \"gateway.key\"",
            "key = \"k\"\ndefault_dialect = \"mqtt\"",
            &[("listener[0].default_dialect", "Dialect")],
        ),
        ("key = \"gateway.key\"", "key = \"k\"\norigins = \"all\"", &[("listener[0].origins", "Origins")]),
        ("key = \"gateway.key\"", "key = \"k\"\norigins = 3", &[("listener[0]", "Shape")]),
        // Trust.
        ("name = \"internal\"", "name = \"In ternal\"", &[("trust[0].name", "Name")]),
        (
            "name = \"internal\"",
            "name = \"internal\"\ndanger_no_revocation = true",
            &[("trust[0].danger_no_revocation", "RevocationTwice")],
        ),
        (
            "crls = [\"crl.pem\"]",
            "danger_no_revocation = true\ndanger_accept_stale_crl = true",
            &[("trust[0].danger_accept_stale_crl", "NothingStale")],
        ),
        (
            "crls = [\"crl.pem\"]",
            "danger_no_revocation = true\nrenewal = { certificate = \"c\", key = \"k\" }",
            &[("trust[0].renewal", "RenewalUnrevocable")],
        ),
        (
            "anchors =",
            "renewal = { certificate = \"c\", key = \"k\", lifetime_ms = 9999 }\nanchors =",
            &[("trust[0].renewal.lifetime_ms", "OutOfRange")],
        ),
        (
            "anchors =",
            "renewal = { certificate = \"c\", key = \"k\", lifetime_ms = 2592000001 }\nanchors =",
            &[("trust[0].renewal.lifetime_ms", "OutOfRange")],
        ),
        ("anchors =", "renewal = { certificate = \"c\" }\nanchors =", &[("trust[0]", "Shape")]),
        (
            "anchors =",
            "renewal = { certificate = \"c\", key = \"k\", path = \"/x\" }\nanchors =",
            &[("trust[0]", "Shape")],
        ),
        ("anchors =", "services = [\"a\", \"B*\"]\nanchors =", &[("trust[0].services[1]", "Name")]),
        ("anchors =", "retire = 3\nanchors =", &[("trust[0]", "Shape")]),
        (
            "anchors =",
            "retire = [{ anchor = \"12\", at = 2026-12-31T00:00:00 }, { anchor = \"12\", at = 2026-12-31 }]\nanchors =",
            &[
                ("trust[0].retire[0].anchor", "Fingerprint"),
                ("trust[0].retire[0].at", "Moment"),
                ("trust[0].retire[1].anchor", "Fingerprint"),
                ("trust[0].retire[1].at", "Moment"),
            ],
        ),
        // Rules of the mapping.
        ("match = { cn = \"{service}\" }", "", &[("trust[0].rule[0]", "NoMatches")]),
        ("{ cn = \"{service}\" }", "{ cn = \"x\" }", &[("trust[0].rule[0]", "NoService")]),
        ("\"{service}\" }", "\"{service}\" }\nservice = \"x\"", &[("trust[0].rule[0]", "TwoServices")]),
        ("\"{service}\" }", "\"{service}\" }\nservice = \"X\"", &[("trust[0].rule[0].service", "Name")]),
        ("{ cn =", "{ uid =", &[("trust[0].rule[0].match.uid", "Field")]),
        ("\"{service}\"", "\"{name}\"", &[("trust[0].rule[0].match.cn", "Template")]),
        ("\"{service}\"", "\"\"", &[("trust[0].rule[0].match.cn", "Template")]),
        ("name = \"common-name\"", "name = \"\"", &[("trust[0].rule[0].name", "Name")]),
        (
            "\"{service}\" }",
            "\"{service}\" }\nroles = [\"a\", \"\"]",
            &[("trust[0].rule[0].roles[1]", "Name")],
        ),
        ("\"{service}\" }", "\"{service}\" }\nroles_from = \"ou\"", &[("trust[0].rule[0]", "NoRoleValues")]),
        (
            "\"{service}\" }",
            "\"{service}\" }\nroles_from = \"c\"\nrole_values = [\"a\"]",
            &[("trust[0].rule[0].roles_from", "Field")],
        ),
        (
            "\"{service}\" }",
            "\"{service}\" }\nroles_from = \"dns\"\nrole_values = [\"a\"]",
            &[("trust[0].rule[0]", "RolesFromName")],
        ),
        ("{ cn =", "{ uri =", &[("trust[0].rule[0]", "NoScheme")]),
        // The rest.
        ("policy =", "log.format = \"xml\"\npolicy =", &[("log.format", "LogFormat")]),
        ("policy =", "log.filter = \"portcullis=loud\"\npolicy =", &[("log.filter", "LogFilter")]),
        ("policy =", "log.filter = \"a=b=c\"\npolicy =", &[("log.filter", "LogFilter")]),
        ("policy =", "reload.poll_interval_ms = 1\npolicy =", &[("reload.poll_interval_ms", "OutOfRange")]),
    ];
    for (old, new, found) in cases {
        assert_eq!(faults(&edited(old, new)), expected(found), "{old} -> {new}");
    }
}

#[test]
fn the_end_of_an_anchor_is_a_moment_whatever_its_offset() {
    let print = "ab".repeat(32);
    let at = |moment: &str| {
        let line = format!("retire = [{{ anchor = \"{print}\", at = {moment} }}]\nanchors =");
        parse(&edited("anchors =", &line)).map(|settings| settings.trust[0].retire[0].at)
    };
    for (moment, seconds) in [
        ("2026-12-31T00:00:00Z", 1_798_675_200),
        ("2026-12-31T01:30:00+01:30", 1_798_675_200),
        ("2026-12-30 19:00:00-05:00", 1_798_675_200),
        ("2026-12-31T00:00:00.999Z", 1_798_675_200),
        ("2024-02-29T23:59:59Z", 1_709_251_199),
        ("1970-01-01T00:00:00Z", 0),
    ] {
        assert_eq!(at(moment).unwrap(), seconds, "{moment}");
    }
    for moment in ["2026-12-31T00:00:00", "2026-12-31", "12:00:00", "1970-01-01T00:00:00+00:01"] {
        let found = at(moment).unwrap_err().0;
        assert!(matches!(found.as_slice(), [Fault { why: Why::Moment, .. }]), "{moment}: {found:?}");
    }
}

#[test]
fn what_is_no_toml_has_one_fault_with_its_line() {
    let found = parse("policy = \"policy.toml\"\n[[listener]\n").unwrap_err();
    let [Fault { key, why: Why::Shape(text) }] = found.0.as_slice() else { panic!("{found}") };
    assert!(key.is_empty() && text.contains("line 2"), "{text}");
}

/// Who puts a key into the place of a configuration must not find it in the log.
#[test]
fn no_fault_quotes_the_line_it_is_about() {
    let secret = "MC4CAQAwBQYDK2VwBCIEIHNlY3JldHNlY3JldHNlY3JldHNlY3JldHNlY3JldA==";
    for text in [secret.to_owned(), format!("deny = [{secret}"), format!("policy = \"p\"\n{secret}\n")] {
        let found = [
            parse(&text).unwrap_err(),
            parse_deny_list(&text).unwrap_err(),
            parse_policy(&text).unwrap_err(),
        ];
        for faults in found {
            assert!(!faults.to_string().contains("c2VjcmV0"), "{faults}");
        }
    }
}

#[test]
fn blocks_must_be_there_and_be_blocks() {
    for block in ["listener", "trust"] {
        for (text, kind) in
            [("", "Empty"), ("= []", "Empty"), ("= 3", "Shape"), ("= { name = \"x\" }", "Shape")]
        {
            let line = if text.is_empty() { String::new() } else { format!("{block} {text}") };
            let found = faults(&format!("policy = \"p\"\n{line}"));
            assert!(found.contains(&(block.to_owned(), kind.to_owned())), "{line}: {found:?}");
        }
    }
}

#[test]
fn all_faults_of_a_file_are_reported_at_once() {
    let text = r#"
        polycy = "policy.toml"

        [gateway]
        nam = "x"

        [[listener]]
        address = "nowhere"
        certificate = "c"
        key = "k"
        path = "nowhere"
        default_dialect = "mqtt"
        origins = ["https://ops.internal", "ops.internal", "https://Ops.internal"]

        [[listener]]
        address = 3
        certificate = "c"
        key = "k"

        [[listener]]
        address = "127.0.0.1:1"
        certificate = "c"
        key = "k"

        [[trust]]
        name = "one"

        [[trust]]
        name = "Two"
        anchors = ["a"]
        crls = ["c"]
        [[trust.rule]]
        name = "r"
        match = { cn = "{service}", dns = "{x}" }
        [[trust.rule]]
        name = "s"
        match = { ou = "x" }

        [limits]
        max_opening = 0
        ping_interval_ms = 60000
    "#;
    let found = [
        ("gateway", "Shape"),
        ("listener[1]", "Shape"),
        ("polycy", "UnknownKey"),
        ("policy", "Missing"),
        ("listener[0].address", "Address"),
        ("listener[0].path", "Path"),
        ("listener[0].default_dialect", "Dialect"),
        ("listener[0].origins[1]", "Origin"),
        ("listener[0].origins[2]", "Origin"),
        ("trust[0].anchors", "Empty"),
        ("trust[0].crls", "NoRevocation"),
        ("trust[0].rule", "Empty"),
        ("trust[1].name", "Name"),
        ("trust[1].rule[0].match.dns", "Template"),
        ("trust[1].rule[1]", "NoService"),
        ("limits.max_opening", "OutOfRange"),
        ("limits.ping_interval_ms", "NotShorter"),
    ];
    assert_eq!(faults(text), expected(&found));
}

#[test]
fn an_address_is_listened_on_once_and_port_zero_as_often_as_wanted() {
    let second = |address: &str| {
        format!("{WHOLE}\n[[listener]]\naddress = \"{address}\"\ncertificate = \"c\"\nkey = \"k\"\n")
    };
    assert_eq!(faults(&second("127.0.0.1:8443")), expected(&[("listener[1].address", "DuplicateAddress")]));
    assert!(parse(&second("127.0.0.1:8444")).is_ok() && parse(&second("[::1]:8443")).is_ok());
    let any_port = second("127.0.0.1:0").replace("127.0.0.1:8443", "127.0.0.1:0");
    assert_eq!(parse(&any_port).unwrap().listeners.len(), 2);
}

#[test]
fn an_origin_is_spelled_as_a_browser_does() {
    let with =
        |origin: &str| edited("key = \"gateway.key\"", &format!("key = \"k\"\norigins = [\"{origin}\"]"));
    for origin in ["https://ops.internal", "http://localhost:3000", "https://[::1]:8443"] {
        assert!(parse(&with(origin)).is_ok(), "{origin}");
    }
    for origin in [
        "null",
        "*",
        "ops.internal",
        "https://",
        "https://Ops",
        "https://a/b",
        "https://a@b",
        "ftp://a",
        "https://a?",
    ] {
        assert_eq!(faults(&with(origin)), expected(&[("listener[0].origins[0]", "Origin")]), "{origin}");
    }
}

#[test]
fn limits_keep_their_ranges() {
    let with = |line: &str| format!("{WHOLE}\n[limits]\n{line}\n");
    for line in [
        "max_opening = 0",
        "max_opening_per_address = 0",
        "max_sessions = 10000001",
        "max_request_head_bytes = 8191",
        "max_payload_bytes = 0",
        "max_queue_bytes = 4095",
        "max_faults = 0",
        "messages_per_second = 0",
        "open_deadline_ms = 9",
        "drain_timeout_ms = 3600001",
        "max_request_timeout_ms = 86400001",
        "max_session_age_ms = 999",
        "max_session_age_ms = 31622400001",
        "reauth_lead_ms = 9",
        "reauth_lead_ms = 604800001",
        "stale_crl_window_ms = 604800001",
    ] {
        let key = format!("limits.{}", line.split(' ').next().unwrap());
        assert_eq!(faults(&with(line))[0], (key, "OutOfRange".to_owned()), "{line}");
    }
    assert_eq!(parse(&with("messages_per_second = 10")).unwrap().limits.messages_per_second, Some(10));
    assert!(parse(&with("stale_crl_window_ms = 0")).unwrap().limits.stale_crl_window.is_zero());
    let age = parse(&with("max_session_age_ms = 1000")).unwrap().limits.max_session_age;
    assert_eq!(age, Some(Duration::from_secs(1)));
}

#[test]
fn limits_that_contradict_each_other_are_refused() {
    let with = |lines: &str| format!("{WHOLE}\n[limits]\n{lines}\n");
    let cases = [
        ("ping_interval_ms = 60000", "ping_interval_ms", "NotShorter"),
        ("idle_timeout_ms = 25000", "ping_interval_ms", "NotShorter"),
        ("ping_interval_ms = 1000\nidle_timeout_ms = 1000", "ping_interval_ms", "NotShorter"),
        ("request_timeout_ms = 300001", "request_timeout_ms", "Longer"),
        ("max_payload_bytes = 16777216", "max_payload_bytes", "QueueTooSmall"),
        // A largest message would overflow the empty queue of every subscriber.
        ("max_payload_bytes = 524288\nmax_queue_bytes = 524288", "max_payload_bytes", "QueueTooSmall"),
        // And in base64 with all that stands around it.
        ("max_payload_bytes = 524288\nmax_queue_bytes = 700000", "max_payload_bytes", "QueueTooSmall"),
    ];
    for (lines, key, why) in cases {
        assert_eq!(faults(&with(lines)), expected(&[(&format!("limits.{key}"), why)]), "{lines}");
    }
    let text = parse(&with("max_payload_bytes = 300000\nmax_queue_bytes = 300000")).unwrap_err().to_string();
    assert!(text.contains("the queue must hold the largest message, 416512 bytes"), "{text}");
    assert!(parse(&with("ping_interval_ms = 1000\nidle_timeout_ms = 1001")).is_ok());
    assert!(parse(&with("request_timeout_ms = 300000")).is_ok());
}

#[test]
fn a_fault_reads_with_its_key_and_its_cause() {
    let text = parse(&edited("{ cn =", "{ uri =")).unwrap_err().to_string();
    assert!(text.starts_with("trust[0].rule[0]: the rule cannot give a service: "), "{text}");
    let text =
        parse(&edited("policy =", "polycy = 1\nlog.format = \"x\"\npolicy =")).unwrap_err().to_string();
    assert_eq!(text.lines().count(), 2);
}
