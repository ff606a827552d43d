//! Tables for the grammar, and the set relations against brute force.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn topic(text: &str) -> Topic {
    Topic::parse(text).unwrap()
}

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

/// Patterns of at most four tokens over a small alphabet, so that random ones meet.
pub(crate) fn any_pattern() -> impl Strategy<Value = Pattern> {
    let token = || select(vec!["a", "b", "*", "$x", "_INBOX", "longer-token"]);
    (prop::collection::vec(token(), 0..4), select(vec!["a", "b", "*", ">", "$x", "longer-token"])).prop_map(
        |(mut tokens, last)| {
            tokens.push(last);
            pattern(&tokens.join("."))
        },
    )
}

/// Topics of at most five tokens over the alphabet of [`any_pattern`] and one token more.
pub(crate) fn any_topic() -> impl Strategy<Value = Topic> {
    let token = select(vec!["a", "b", "c", "$x", "_INBOX", "longer-token"]);
    prop::collection::vec(token, 1..6).prop_map(|tokens| topic(&tokens.join(".")))
}

#[test]
fn what_is_a_topic() {
    let most_tokens = ["t"; MAX_TOPIC_TOKENS].join(".");
    let most_bytes = "x".repeat(MAX_TOPIC_BYTES);
    for text in [
        "orders",
        "orders.created.eu",
        "bestellungen.größe",
        "注文.作成",
        "a-b_c.1",
        "$JS.API.INFO",
        "_INBOX.x",
        "{curly}.\"quoted\".\\",
        "a.$x._y",
        &most_tokens,
        &most_bytes,
    ] {
        assert_eq!(Topic::parse(text).unwrap().as_str(), text);
        assert_eq!(Pattern::parse(text).unwrap().as_str(), text, "every topic is a pattern");
    }
}

#[test]
fn what_is_no_topic_and_no_pattern() {
    let too_many = ["t"; MAX_TOPIC_TOKENS + 1].join(".");
    let too_long = "x".repeat(MAX_TOPIC_BYTES + 1);
    let too_long_in_bytes = "ö".repeat(MAX_TOPIC_BYTES / 2 + 1);
    let cases: &[(&str, TopicError)] = &[
        ("", TopicError::Empty),
        (&too_long, TopicError::TooLong { bytes: 256 }),
        (&too_long_in_bytes, TopicError::TooLong { bytes: 256 }),
        (&too_many, TopicError::TooManyTokens),
        (".", TopicError::EmptyToken),
        (".a", TopicError::EmptyToken),
        ("a.", TopicError::EmptyToken),
        ("a..b", TopicError::EmptyToken),
        ("a b", TopicError::Character { code: 0x20 }),
        ("a\tb", TopicError::Character { code: 0x09 }),
        ("a\r\nPUB b 0", TopicError::Character { code: 0x0D }),
        ("a\nb", TopicError::Character { code: 0x0A }),
        ("a\0", TopicError::Character { code: 0x00 }),
        ("\u{1b}[31m", TopicError::Character { code: 0x1B }),
        ("a\u{7f}", TopicError::Character { code: 0x7F }),
        ("a\u{85}", TopicError::Character { code: 0x85 }),
        ("a\u{9b}", TopicError::Character { code: 0x9B }),
        ("a\u{a0}b", TopicError::Character { code: 0xA0 }),
        ("a\u{2028}", TopicError::Character { code: 0x2028 }),
        ("a\u{3000}b", TopicError::Character { code: 0x3000 }),
        ("a*", TopicError::WildcardInToken),
        ("a.b>", TopicError::WildcardInToken),
        ("**", TopicError::WildcardInToken),
        ("a.>>", TopicError::WildcardInToken),
        ("*a", TopicError::WildcardInToken),
    ];
    for (text, error) in cases {
        assert_eq!(Topic::parse(text), Err(*error), "{text:?}");
        assert_eq!(Pattern::parse(text), Err(*error), "{text:?}");
    }
}

#[test]
fn format_characters_are_refused_everywhere_in_a_token() {
    let format = [
        0x00AD, 0x0600, 0x0605, 0x061C, 0x06DD, 0x070F, 0x0890, 0x0891, 0x08E2, 0x180E, 0x200B, 0x200D,
        0x200F, 0x202A, 0x202E, 0x2060, 0x2064, 0x2066, 0x2069, 0x206F, 0xFEFF, 0xFFF9, 0xFFFB, 0x110BD,
        0x110CD, 0x13430, 0x1343F, 0x1BCA0, 0x1BCA3, 0x1D173, 0x1D17A, 0xE0001, 0xE0020, 0xE007F,
    ];
    for code in format {
        let character = char::from_u32(code).unwrap();
        for text in [format!("{character}"), format!("a{character}b"), format!("a.b{character}")] {
            assert_eq!(Topic::parse(&text), Err(TopicError::Character { code }));
        }
    }
}

#[test]
fn neighbours_of_format_characters_are_allowed() {
    for code in [0x00AC, 0x00AE, 0x0606, 0x061B, 0x2010, 0x2027, 0x2070, 0xFFFC, 0x110BC, 0x1F600, 0xE0100] {
        let character = char::from_u32(code).unwrap();
        assert!(Topic::parse(&format!("a{character}")).is_ok(), "U+{code:04X}");
    }
}

#[test]
fn equal_looking_topics_of_different_code_points_differ() {
    assert_ne!(topic("gr\u{fc}n"), topic("gru\u{308}n"), "no normalisation");
}

#[test]
fn wildcards_stand_in_patterns_only() {
    for text in ["*", ">", "a.*", "*.a", "a.*.b", "a.>", "*.>", "*.*"] {
        assert!(Pattern::parse(text).is_ok(), "{text}");
        assert!(matches!(Topic::parse(text), Err(TopicError::WildcardInTopic)), "{text}");
    }
    for text in [">.a", "a.>.b", ">.>"] {
        assert_eq!(Pattern::parse(text), Err(TopicError::TailNotLast), "{text}");
    }
}

#[test]
fn what_a_pattern_matches() {
    let cases = [
        ("a.b", "a.b", true),
        ("a.b", "a.b.c", false),
        ("a.b", "a", false),
        ("a.*", "a.b", true),
        ("a.*", "a", false),
        ("a.*", "a.b.c", false),
        ("*.b", "a.b", true),
        ("a.*.c", "a.b.c", true),
        ("a.>", "a", false),
        ("a.>", "a.b", true),
        ("a.>", "a.b.c", true),
        ("a.>", "ab.c", false),
        (">", "a", true),
        (">", "a.b", true),
        (">", "$SYS.ping", false),
        (">", "_INBOX.0123456789abcdef.1", false),
        ("*", "$x", false),
        ("*.b", "_x.b", false),
        ("*.>", "$JS.API", false),
        ("a.>", "a.$x", true),
        ("a.*", "a._y", true),
        ("$x.>", "$x.a", true),
        ("$x.*", "$y.a", false),
    ];
    for (wanted, found, expected) in cases {
        assert_eq!(pattern(wanted).matches(&topic(found)), expected, "{wanted} {found}");
    }
}

#[test]
fn which_topics_lie_in_an_inbox() {
    let cases = [
        ("_INBOX.0123456789abcdef", Some("0123456789abcdef")),
        ("_INBOX.0123456789abcdef.reply.1", Some("0123456789abcdef")),
        ("_INBOX.éééééééééééééééé", Some("éééééééééééééééé")),
        ("_INBOX.0123456789abcde", None),
        ("_INBOX.ééééééééééééééé", None),
        ("_INBOX", None),
        ("_inbox.0123456789abcdef", None),
        ("_INBOXES.0123456789abcdef", None),
        ("a._INBOX.0123456789abcdef", None),
    ];
    for (text, owner) in cases {
        assert_eq!(topic(text).inbox_token(), owner, "{text}");
        assert_eq!(pattern(text).inbox_token(), owner, "{text}");
    }
    for text in ["_INBOX.*", "_INBOX.>", "_INBOX.*.0123456789abcdef"] {
        assert_eq!(pattern(text).inbox_token(), None, "{text}");
        assert!(pattern(text).is_inbox());
    }
    assert_eq!(pattern("_INBOX.0123456789abcdef.>").inbox_token(), Some("0123456789abcdef"));
    assert_eq!(pattern(">").inbox_token(), None);
}

#[test]
fn which_topics_have_their_siblings_in_their_inbox() {
    let cases = [
        ("_INBOX.0123456789abcdef.1", true),
        ("_INBOX.0123456789abcdef.reply.1", true),
        ("_INBOX.0123456789abcdef", false),
        ("_INBOX.0123456789abcde.1", false),
        ("a.0123456789abcdef.1", false),
    ];
    for (text, expected) in cases {
        assert_eq!(topic(text).is_within_inbox(), expected, "{text}");
    }
}

#[test]
fn a_sibling_at_first_sight_differs_in_its_last_token_alone() {
    let long = format!("a.b.{}", "c".repeat(MAX_TOPIC_BYTES));
    for (text, expected) in [
        ("a.b.d", true),
        ("a.b.c", true),
        ("a.b.", false),
        ("a.b", false),
        ("a.bc.d", false),
        ("a.b.d.e", false),
        ("a.b.*", false),
        ("a.b.>", false),
        ("a.b.d e", false),
        ("a.b.\u{e4}", false),
        ("b.b.c", false),
        ("\u{e4}.b.c", false),
        (&long, false),
    ] {
        let sibling = topic("a.b.c").sibling(text);
        assert_eq!(sibling.is_some(), expected, "{text}");
        assert!(sibling.is_none_or(|sibling| sibling.as_str() == text));
    }
    assert!(topic("one").sibling("other").is_some_and(|other| other.is_sibling_of(&topic("third"))));
    assert!(!topic("a.b").is_sibling_of(&topic("a.b.c")));
}

/// `covers` and `overlaps` of every pair of patterns of up to three tokens, against the sets themselves. The topics go
/// one token deeper, and have one token more, than any pattern can spell.
#[test]
fn relations_of_patterns_are_those_of_their_sets() {
    let topics: Vec<Topic> =
        texts(&["a", "b", "c", "$x", "_INBOX"], &[], 4).iter().map(|text| topic(text)).collect();
    let patterns: Vec<Pattern> =
        texts(&["a", "b", "$x", "_INBOX", "*"], &[">"], 3).iter().map(|text| pattern(text)).collect();
    let sets: Vec<Vec<bool>> =
        patterns.iter().map(|pattern| topics.iter().map(|topic| pattern.matches(topic)).collect()).collect();
    for (ours, our_set) in patterns.iter().zip(&sets) {
        for (theirs, their_set) in patterns.iter().zip(&sets) {
            let pairs = || our_set.iter().zip(their_set);
            assert_eq!(ours.covers(theirs), pairs().all(|(a, b)| *a || !*b), "{ours} covers {theirs}");
            assert_eq!(ours.overlaps(theirs), pairs().any(|(a, b)| *a && *b), "{ours} overlaps {theirs}");
        }
    }
}

/// Every text of one to `depth` of `tokens`, the last of which may also be one of `last`.
fn texts(tokens: &[&str], last: &[&str], depth: usize) -> Vec<String> {
    let mut stems = vec![String::new()];
    let mut all = Vec::new();
    for _ in 0..depth {
        let grow = |by: &[&str]| -> Vec<String> {
            stems.iter().flat_map(|stem| by.iter().map(move |token| format!("{stem}{token}"))).collect()
        };
        let grown = grow(tokens);
        all.extend(grow(last));
        all.extend(grown.iter().cloned());
        stems = grown.iter().map(|text| format!("{text}.")).collect();
    }
    all
}

proptest! {
    #[test]
    fn parsing_never_panics_and_keeps_the_text(text in any::<String>()) {
        if let Ok(topic) = Topic::parse(&text) {
            prop_assert_eq!(topic.as_str(), &text);
            prop_assert!(Pattern::from(&topic).matches(&topic));
            prop_assert!(Pattern::parse(&text).is_ok());
        }
    }

    #[test]
    fn what_is_a_topic_at_first_sight_is_one_by_its_tokens(text in "[.a~!]{0,50}|[.*> a\u{7f}ö]{0,20}|([a~]{1,12}\\.){25,35}[a~.]") {
        let by_its_tokens = check_tokens(&text, |_, token| match is_wildcard(token) {
            true => Err(TopicError::WildcardInTopic),
            false => Ok(()),
        });
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'*' | b'>'));
        prop_assert_eq!(is_plainly_a_topic(text.as_bytes()), is_plain && by_its_tokens.is_ok());
    }

    #[test]
    fn a_sibling_is_the_topic_that_would_be_parsed(known in any_topic(), text in "[ab$_]{0,2}(\\.[ab*>é !]{0,3}){0,4}") {
        if let Some(sibling) = known.sibling(&text) {
            prop_assert_eq!(Topic::parse(&text), Ok(sibling.clone()));
            prop_assert!(sibling.is_sibling_of(&known) && known.is_sibling_of(&sibling));
        }
    }

    #[test]
    fn a_topic_and_its_pattern_relate_alike(wanted in any_pattern(), topic in any_topic()) {
        let literal = Pattern::from(&topic);
        prop_assert!(literal.is_literal());
        prop_assert_eq!(wanted.matches(&topic), wanted.covers(&literal));
        prop_assert_eq!(wanted.matches(&topic), wanted.overlaps(&literal));
    }
}
