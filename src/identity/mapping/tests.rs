use super::*;
use crate::identity::certificate::tests::{Subject, certificate};
use crate::trust::test_pki::tlv;

const CN: &[u8] = &[0x55, 0x04, 3];
const OU: &[u8] = &[0x55, 0x04, 11];
const UTF8: u8 = 0x0c;
const EKU: &[u8] = &[0x55, 0x1d, 37];
const SAN: &[u8] = &[0x55, 0x1d, 17];
const CLIENT_AUTH: &[u8] = &[0x06, 8, 0x2b, 6, 1, 5, 5, 7, 3, 2];
const SERVER_AUTH: &[u8] = &[0x06, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1];

fn facts(subject: Subject<'_>) -> CertificateFacts {
    facts_with(subject, &[])
}

/// Facts of a client certificate with these alternative names (tag, text).
fn facts_with(subject: Subject<'_>, names: &[(u8, &str)]) -> CertificateFacts {
    let usage = tlv(0x30, &[CLIENT_AUTH]);
    let names: Vec<_> = names.iter().map(|(tag, text)| tlv(*tag, &[text.as_bytes()])).collect();
    let names = tlv(0x30, &[&names.concat()]);
    parse(&certificate(subject, &[(EKU, &usage), (SAN, &names)]))
}

fn parse(der: &[u8]) -> CertificateFacts {
    CertificateFacts::parse(der).expect("a readable certificate")
}

fn common_name(text: &str) -> CertificateFacts {
    facts(&[&[(CN, UTF8, text.as_bytes())]])
}

fn template(text: &str) -> Template {
    Template::parse(text).expect("a template")
}

fn roles(names: &[&str]) -> Vec<Role> {
    names.iter().map(|name| Role::parse(name).expect("a role")).collect()
}

fn service(name: &str) -> ServiceName {
    ServiceName::parse(name).expect("a service name")
}

fn rule_name(name: &str) -> RuleName {
    RuleName::parse(name).expect("a rule name")
}

fn settings(name: &str, matches: &[(Field, &str)]) -> RuleSettings {
    RuleSettings {
        name: rule_name(name),
        matches: matches.iter().map(|(field, text)| (*field, template(text))).collect(),
        service: None,
        roles: Vec::new(),
        roles_from: None,
        role_values: Vec::new(),
    }
}

fn rule(name: &str, matches: &[(Field, &str)]) -> Rule {
    Rule::new(settings(name, matches)).expect("a rule")
}

fn mapping(rules: Vec<Rule>) -> Mapping {
    Mapping::new(rules, Vec::new())
}

fn by_common_name() -> Mapping {
    mapping(vec![rule("r", &[(Field::Cn, "{service}")])])
}

fn name_of(mapping: &Mapping, facts: &CertificateFacts) -> Result<String, MappingError> {
    mapping.map(facts).map(|mapped| mapped.service().to_string())
}

#[test]
fn one_common_name_gives_one_service() {
    let mapped = by_common_name().map(&common_name("orders")).expect("mapped");
    assert_eq!((mapped.service(), mapped.rule()), (&service("orders"), &rule_name("r")));
    assert_eq!(mapped.roles().count(), 0);
}

#[test]
fn several_values_where_the_name_is_read_are_refused_even_when_equal() {
    let (a, b, unit) = ((CN, UTF8, &b"a"[..]), (CN, UTF8, &b"b"[..]), (OU, UTF8, &b"b"[..]));
    for subject in [&[&[a][..], &[a]][..], &[&[a], &[b]], &[&[a, b]], &[&[a, a]], &[&[a], &[unit], &[b]]] {
        let error = MappingError::SeveralValues { field: Field::Cn, count: 2 };
        assert_eq!(name_of(&by_common_name(), &facts(subject)), Err(error));
    }
    assert_eq!(name_of(&by_common_name(), &facts(&[&[a, unit]])).as_deref(), Ok("a"));
    assert_eq!(name_of(&by_common_name(), &facts(&[&[unit], &[a], &[unit]])).as_deref(), Ok("a"));
}

#[test]
fn several_values_refuse_the_certificate_even_for_a_rule_that_would_not_match() {
    let mapping = mapping(vec![
        rule("by-dns", &[(Field::Dns, "{service}.svc"), (Field::Ou, "elsewhere")]),
        rule("by-cn", &[(Field::Cn, "{service}")]),
    ]);
    let facts = facts_with(&[&[(CN, UTF8, b"a")]], &[(0x82, "a.svc"), (0x82, "b.svc")]);
    assert_eq!(name_of(&mapping, &facts), Err(MappingError::SeveralValues { field: Field::Dns, count: 2 }));
}

#[test]
fn text_that_is_no_service_name_is_refused_as_it_stands() {
    for text in [
        "Orders",
        "orders.",
        "*",
        "or ders",
        "or,ders",
        "a+OU=b",
        "a\"b",
        "\u{43e}rders",
        "_x",
        "",
        "a/b",
        "orders ",
    ] {
        let result = name_of(&by_common_name(), &common_name(text));
        assert!(
            matches!(&result, Err(MappingError::NotAName { text: found, .. }) if found == text),
            "{result:?}"
        );
    }
}

#[test]
fn control_and_format_characters_are_refused_and_never_echoed() {
    for (text, code) in [
        ("orders\0", 0),
        ("orders\n", 0x0a),
        ("\x1b[31morders", 0x1b),
        ("orders\u{85}", 0x85),
        ("or\u{200b}ders", 0x200b),
        ("\u{202e}sredro", 0x202e),
        ("orders\u{feff}", 0xfeff),
    ] {
        let error = name_of(&by_common_name(), &common_name(text)).expect_err("refused");
        assert_eq!(error, MappingError::Character { field: Field::Cn, code });
        assert!(error.to_string().is_ascii() && !error.to_string().contains(char::is_control));
    }
    let error = name_of(&by_common_name(), &common_name("a\u{2028}b\"c")).expect_err("refused");
    assert!(error.to_string().is_ascii(), "{error}");
}

#[test]
fn a_value_that_a_rule_reads_must_be_decodable_and_clean_whatever_it_is_read_for() {
    let literal = mapping(vec![rule("r", &[(Field::Cn, "{service}"), (Field::Ou, "prod")])]);
    let name = (CN, UTF8, &b"a"[..]);
    for (unit, error) in [
        ((OU, 0x1e, &b"\0p"[..]), MappingError::Undecodable { field: Field::Ou, tag: 0x1e }),
        ((OU, UTF8, b"x\x07"), MappingError::Character { field: Field::Ou, code: 7 }),
    ] {
        let facts = facts(&[&[name], &[(OU, UTF8, b"prod")], &[unit]]);
        assert_eq!(name_of(&literal, &facts), Err(error));
        // Attributes that no rule reads do not count.
        assert_eq!(name_of(&by_common_name(), &facts).as_deref(), Ok("a"));
    }
    for tag in [0x1e, 0x1c, 0x14] {
        let facts = facts(&[&[(CN, tag, b"\0a")]]);
        assert_eq!(
            name_of(&by_common_name(), &facts),
            Err(MappingError::Undecodable { field: Field::Cn, tag })
        );
    }
}

#[test]
fn templates_read_what_stands_between_their_ends() {
    for (field, tag, text, value, wanted) in [
        (Field::Dns, 0x82, "{service}.svc.corp", "orders.svc.corp", Some("orders")),
        (Field::Dns, 0x82, "{service}.svc.corp", "orders.svc.corp.", None),
        (Field::Dns, 0x82, "{service}.svc.corp", "orders.SVC.corp", None),
        (
            Field::Uri,
            0x86,
            "spiffe://corp/ns/prod/sa/{service}",
            "spiffe://corp/ns/prod/sa/orders",
            Some("orders"),
        ),
        (Field::Uri, 0x86, "spiffe://corp/{service}", "SPIFFE://corp/orders", None),
        (Field::Email, 0x81, "{service}@corp", "orders@corp", Some("orders")),
    ] {
        let mapping = mapping(vec![rule("r", &[(field, text)])]);
        let result = name_of(&mapping, &facts_with(&[], &[(tag, value)]));
        assert_eq!(result, wanted.map(str::to_owned).ok_or(MappingError::NoRule));
    }
    let dns = mapping(vec![rule("r", &[(Field::Dns, "{service}.svc")])]);
    for value in ["*.svc", "Orders.svc", ".svc", "a.b.svc"] {
        let result = name_of(&dns, &facts_with(&[], &[(0x82, value)]));
        assert!(matches!(result, Err(MappingError::NotAName { .. })), "{value} {result:?}");
    }
    let nested = mapping(vec![rule("r", &[(Field::Uri, "spiffe://corp/{service}")])]);
    let result = name_of(&nested, &facts_with(&[], &[(0x86, "spiffe://corp/a/b")]));
    assert!(matches!(result, Err(MappingError::NotAName { .. })), "{result:?}");
}

#[test]
fn every_match_of_a_rule_must_hold() {
    let both = mapping(vec![rule("r", &[(Field::Cn, "{service}"), (Field::Ou, "prod")])]);
    let name = (CN, UTF8, &b"a"[..]);
    let with_units = |units: &[&[u8]]| {
        let units: Vec<_> = units.iter().map(|unit| [(OU, UTF8, *unit)]).collect();
        let mut subject: Vec<&[_]> = vec![std::slice::from_ref(&name)];
        subject.extend(units.iter().map(|unit| &unit[..]));
        name_of(&both, &facts(&subject))
    };
    assert_eq!(with_units(&[b"prod"]).as_deref(), Ok("a"));
    assert_eq!(with_units(&[b"test", b"prod"]).as_deref(), Ok("a"));
    assert_eq!(with_units(&[b"test"]), Err(MappingError::NoRule));
    assert_eq!(with_units(&[b"Prod"]), Err(MappingError::NoRule));
    assert_eq!(with_units(&[]), Err(MappingError::NoRule));
}

#[test]
fn fields_of_one_rule_must_name_the_same_service() {
    let both = mapping(vec![rule("r", &[(Field::Cn, "{service}"), (Field::Dns, "{service}.svc")])]);
    let with_dns = |name| name_of(&both, &facts_with(&[&[(CN, UTF8, b"a")]], &[(0x82, name)]));
    assert_eq!(with_dns("a.svc").as_deref(), Ok("a"));
    let error = MappingError::FieldsDisagree { rule: rule_name("r"), names: (service("a"), service("b")) };
    assert_eq!(with_dns("b.svc"), Err(error));
}

#[test]
fn rules_that_disagree_refuse_the_certificate_in_either_order() {
    let (by_cn, by_dns) =
        (rule("cn", &[(Field::Cn, "{service}")]), rule("dns", &[(Field::Dns, "{service}.svc")]));
    for rules in [vec![by_cn.clone(), by_dns.clone()], vec![by_dns, by_cn]] {
        let first = rules[0].name().clone();
        let mapping = mapping(rules);
        let map = |dns| mapping.map(&facts_with(&[&[(CN, UTF8, b"a")]], &[(0x82, dns)]));
        assert!(matches!(map("b.svc"), Err(MappingError::RulesDisagree { .. })));
        assert_eq!(map("a.svc").map(|mapped| mapped.rule().clone()), Ok(first));
    }
}

#[test]
fn roles_come_from_the_rules_and_from_listed_values() {
    let mut settings = settings("r", &[(Field::Cn, "{service}")]);
    settings.roles = roles(&["z-always"]);
    settings.roles_from = Some(Field::Ou);
    settings.role_values = roles(&["reader", "writer"]);
    let mut literal = self::settings("s", &[(Field::Ou, "reader")]);
    literal.service = Some(service("a"));
    literal.roles = roles(&["b-second", "reader"]);
    let mapping = mapping(vec![Rule::new(settings).expect("a rule"), Rule::new(literal).expect("a rule")]);

    let unit = |text: &'static [u8]| [(OU, UTF8, text)];
    let (name, reader, other) = ([(CN, UTF8, &b"a"[..])], unit(b"reader"), unit(b"Reader"));
    let mapped = mapping.map(&facts(&[&name, &reader, &other])).expect("mapped");
    let found: Vec<_> = mapped.roles().map(Role::as_str).collect();
    assert_eq!(found, ["b-second", "reader", "z-always"]);
    assert_eq!(mapped.rule(), &rule_name("r"));

    let mapped = mapping.map(&facts(&[&name, &other])).expect("mapped");
    assert_eq!(mapped.roles().map(Role::as_str).collect::<Vec<_>>(), ["z-always"]);
}

#[test]
fn certificates_that_are_no_clients_are_refused() {
    let subject: Subject<'_> = &[&[(CN, UTF8, b"a")]];
    let client = tlv(0x30, &[CLIENT_AUTH]);
    let server = tlv(0x30, &[SERVER_AUTH]);
    let ca = tlv(0x30, &[&[1, 1, 0xff]]);
    for (extensions, error) in [
        (&[][..], MappingError::UsageUnstated),
        (&[(EKU, &server[..])], MappingError::UsageForeign),
        (&[(EKU, &client), (&[0x55, 0x1d, 19], &ca)], MappingError::CaCertificate),
        (&[(EKU, &client), (&[0x55, 0x1d, 15], &[3, 2, 2, 4])], MappingError::SignsCertificates),
    ] {
        assert_eq!(name_of(&by_common_name(), &parse(&certificate(subject, extensions))), Err(error));
    }
}

#[test]
fn a_name_outside_the_claims_is_refused() {
    let claims = ["orders", "billing-*"].map(|text| ServiceClaim::parse(text).expect("a claim"));
    let mapping = Mapping::new(vec![rule("r", &[(Field::Cn, "{service}")])], claims.to_vec());
    for (name, is_claimed) in
        [("orders", true), ("billing-eu", true), ("billing", false), ("orders-eu", false)]
    {
        let result = name_of(&mapping, &common_name(name));
        let error = MappingError::NotClaimed { service: service(name), rule: rule_name("r") };
        assert_eq!(result, if is_claimed { Ok(name.to_owned()) } else { Err(error) });
    }
}

#[test]
fn claims_overlap_where_one_name_falls_under_both() {
    for (ours, theirs, overlap) in [
        ("*", "orders", true),
        ("*", "*", true),
        ("a*", "ab*", true),
        ("ab*", "a*", true),
        ("a*", "b*", false),
        ("orders", "orders", true),
        ("orders", "orders-eu", false),
        ("orders-*", "orders", false),
        ("orders*", "orders", true),
    ] {
        let claim = |text| [ServiceClaim::parse(text).expect("a claim")];
        assert_eq!(claims_overlap(&claim(ours), &claim(theirs)).is_some(), overlap, "{ours} {theirs}");
    }
    for text in ["", "A*", "a*b", "**", "a.b"] {
        assert!(ServiceClaim::parse(text).is_err(), "{text}");
    }
}

#[test]
fn templates_have_at_most_one_placeholder_and_no_other_braces() {
    for (text, captures) in
        [("orders", false), ("{service}", true), ("a-{service}.b", true), ("Acme Inc", false)]
    {
        assert_eq!(Template::parse(text).map(|template| template.captures()), Ok(captures));
    }
    for (text, error) in [
        ("", TemplateError::Empty),
        ("{service}{service}", TemplateError::Brace),
        ("{service}.{service}", TemplateError::Brace),
        ("{name}", TemplateError::Brace),
        ("{Service}", TemplateError::Brace),
        ("{service", TemplateError::Brace),
        ("{{service}}", TemplateError::Brace),
        ("a\n", TemplateError::Character { code: 10 }),
        ("a\u{202e}", TemplateError::Character { code: 0x202e }),
    ] {
        assert_eq!(Template::parse(text), Err(error), "{text:?}");
    }
}

#[test]
fn rules_that_could_not_give_exactly_one_name_are_refused() {
    type Edit = fn(&mut RuleSettings);
    let capture: &[(Field, &str)] = &[(Field::Cn, "{service}")];
    let no_edit: Edit = |_| {};
    for (matches, edit, error) in [
        (&[][..], no_edit, RuleError::NoMatches),
        (&[(Field::Cn, "orders")], no_edit, RuleError::NoService),
        (capture, |it| it.service = Some(service("orders")), RuleError::TwoServices),
        (capture, |it| it.roles_from = Some(Field::Ou), RuleError::NoRoleValues),
        (capture, |it| it.role_values = roles(&["reader"]), RuleError::NoRolesFrom),
        (
            capture,
            |it| {
                it.roles_from = Some(Field::Dns);
                it.role_values = roles(&["reader"]);
            },
            RuleError::RolesFromName { field: Field::Dns },
        ),
        (&[(Field::Uri, "{service}")], no_edit, RuleError::NoScheme),
        (&[(Field::Uri, "corp/{service}")], no_edit, RuleError::NoScheme),
        (&[(Field::Uri, "1a://{service}")], no_edit, RuleError::NoScheme),
        (&[(Field::Email, "{service}")], no_edit, RuleError::NoMailbox),
    ] {
        let mut settings = settings("r", matches);
        edit(&mut settings);
        assert_eq!(Rule::new(settings), Err(error));
    }
}

proptest::proptest! {
    /// Whatever stands in the common name: the service is exactly that, or there is none.
    #[test]
    fn a_name_is_never_anything_but_what_stands_there(text in "\\PC{0,12}|[a-z0-9_*.,+= -]{0,8}") {
        match name_of(&by_common_name(), &common_name(&text)) {
            Ok(name) => proptest::prop_assert_eq!(name, text),
            Err(error) => proptest::prop_assert!(!error.to_string().contains(char::is_control)),
        }
    }
}
