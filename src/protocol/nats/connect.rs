//! What a client says of itself in `CONNECT`, as far as it matters.

use serde::Deserialize;
use serde_json::value::RawValue;

/// The options of a client. Who it is, is not among them: of credentials only that there are some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connect {
    /// Every operation is answered with `+OK`.
    pub verbose: bool,
    /// Subjects are checked. They always are.
    pub pedantic: bool,
    /// The session receives its own messages.
    pub echo: bool,
    /// The client reads `HMSG`.
    pub headers: bool,
    /// A request that nobody receives is answered with status 503.
    pub no_responders: bool,
    /// A user, password, token, key or signature was given, all of which have no effect.
    pub has_credentials: bool,
}

/// What holds before a `CONNECT`, and for what it leaves out.
impl Default for Connect {
    fn default() -> Self {
        Self {
            verbose: true,
            pedantic: true,
            echo: true,
            headers: false,
            no_responders: false,
            has_credentials: false,
        }
    }
}

#[derive(Deserialize)]
struct Fields<'a> {
    verbose: Option<bool>,
    pedantic: Option<bool>,
    echo: Option<bool>,
    headers: Option<bool>,
    no_responders: Option<bool>,
    #[serde(borrow)]
    user: Option<&'a RawValue>,
    #[serde(borrow)]
    pass: Option<&'a RawValue>,
    #[serde(borrow)]
    auth_token: Option<&'a RawValue>,
    #[serde(borrow)]
    jwt: Option<&'a RawValue>,
    #[serde(borrow)]
    nkey: Option<&'a RawValue>,
    #[serde(borrow)]
    sig: Option<&'a RawValue>,
}

impl Connect {
    /// Reads the argument of `CONNECT`: one JSON object, of which unknown fields are passed over.
    pub(super) fn parse(argument: &[u8]) -> Option<Self> {
        let fields: Fields<'_> = serde_json::from_slice(argument).ok()?;
        let credentials = [fields.user, fields.pass, fields.auth_token, fields.jwt, fields.nkey, fields.sig];
        let usual = Self::default();
        Some(Self {
            verbose: fields.verbose.unwrap_or(usual.verbose),
            pedantic: fields.pedantic.unwrap_or(usual.pedantic),
            echo: fields.echo.unwrap_or(usual.echo),
            headers: fields.headers.unwrap_or(usual.headers),
            no_responders: fields.no_responders.unwrap_or(usual.no_responders),
            // Clients send empty texts for what they were not given.
            has_credentials: credentials
                .into_iter()
                .flatten()
                .any(|text| !matches!(text.get(), "\"\"" | "null")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_as_the_protocol_has_it() {
        assert_eq!(Connect::parse(b" {} "), Some(Connect::default()));
        let quiet =
            br#"{"verbose":false,"echo":false,"headers":true,"no_responders":true,"lang":"x","protocol":1}"#;
        let expected =
            Connect { verbose: false, echo: false, headers: true, no_responders: true, ..Connect::default() };
        assert_eq!(Connect::parse(quiet), Some(expected));
    }

    #[test]
    fn credentials_are_noticed_and_not_kept() {
        for name in ["user", "pass", "auth_token", "jwt", "nkey", "sig"] {
            let given = format!(r#"{{"{name}":"secret"}}"#);
            let connect = Connect::parse(given.as_bytes()).expect("an object");
            assert!(connect.has_credentials && !format!("{connect:?}").contains("secret"), "{name}");
            let empty = format!(r#"{{"{name}":""}}"#);
            assert!(!Connect::parse(empty.as_bytes()).expect("an object").has_credentials, "{name}");
        }
    }

    #[test]
    fn what_is_no_object_is_none() {
        for argument in [&b""[..], b"1", b"[]", b"{", b"{\"verbose\":1}", b"{}{}", b"\xff"] {
            assert_eq!(Connect::parse(argument), None, "{argument:?}");
        }
    }
}
