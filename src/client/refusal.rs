//! How the gateway says no: in HTTP before the session, with a close code at its end.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use tokio_tungstenite::tungstenite::http::{HeaderMap, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::backoff::Pace;
use super::escaped::Escaped;

/// An HTTP answer in place of 101: `application/problem+json` (RFC 9457), or bare where the HTTP parser refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The problem's stable `type`, if the answer carried one.
    pub kind: Option<String>,
    /// One line for people.
    pub title: Option<String>,
    /// What was wrong with this very attempt.
    pub detail: Option<String>,
    /// `Retry-After` in seconds (RFC 9110, section 10.2.3).
    pub retry_after: Option<Duration>,
}

#[derive(Deserialize, Default)]
struct Problem {
    #[serde(rename = "type")]
    kind: Option<String>,
    title: Option<String>,
    detail: Option<String>,
}

impl Refusal {
    pub(super) fn parse(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let text = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
        let is_problem = text(header::CONTENT_TYPE).is_some_and(|kind| {
            let media_type = kind.split(';').next().unwrap_or_default();
            media_type.trim().eq_ignore_ascii_case("application/problem+json")
        });
        let problem = match is_problem {
            true => serde_json::from_slice(body).unwrap_or_default(),
            false => Problem::default(),
        };
        let seconds = text(header::RETRY_AFTER).and_then(|value| value.trim().parse().ok());
        Self {
            status: status.as_u16(),
            kind: problem.kind,
            title: problem.title,
            detail: problem.detail,
            retry_after: seconds.map(Duration::from_secs),
        }
    }

    /// A verdict on this service or its request stands until somebody changes something.
    pub(super) fn pace(&self) -> Pace {
        match self.status {
            429 | 500..=599 => Pace::Usual,
            _ => Pace::Slow,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the gateway refused with HTTP {}", self.status)?;
        if let Some(kind) = &self.kind {
            write!(f, " ({})", Escaped(kind))?;
        }
        if let Some(words) = self.detail.as_ref().or(self.title.as_ref()) {
            write!(f, ": {}", Escaped(words))?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}

/// A close frame of the gateway, its reason without the hint at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseReason {
    /// The WebSocket close code; 1005 if the frame carried none (RFC 6455, section 7.1.5).
    pub code: u16,
    /// The word that stands in the protocol's table of ends, or nothing.
    pub reason: String,
    /// `retry_after_ms` from the end of the reason.
    pub retry_after: Option<Duration>,
}

impl CloseReason {
    pub(super) fn parse(frame: Option<&CloseFrame>) -> Self {
        let Some(frame) = frame else {
            return Self { code: 1005, reason: String::new(), retry_after: None };
        };
        let text = frame.reason.as_str();
        let hinted = text
            .rsplit_once("retry_after_ms=")
            .and_then(|(reason, ms)| Some((reason.trim_end(), ms.trim().parse().ok()?)));
        let (reason, retry_after) = match hinted {
            Some((reason, ms)) => (reason, Some(Duration::from_millis(ms))),
            None => (text, None),
        };
        Self { code: frame.code.into(), reason: reason.to_owned(), retry_after }
    }

    /// A verdict on the certificate or the service stands until a file or the policy changes; all else may pass. Where
    /// an anchor was taken away, the new certificate may be there already: files are read anew on each attempt.
    pub(super) fn pace(&self) -> Pace {
        match (self.code, self.reason.as_str()) {
            (4403, "revocation_unknown" | "untrusted") => Pace::Usual,
            (4403, _) | (1008, "connect_forbidden" | "kicked" | "protocol_abuse") => Pace::Slow,
            _ => Pace::Usual,
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason.as_str() {
            "" => write!(f, "close code {}", self.code),
            reason => write!(f, "{} (close code {})", Escaped(reason), self.code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(code: u16, reason: &str) -> CloseReason {
        CloseReason::parse(Some(&CloseFrame { code: code.into(), reason: reason.to_owned().into() }))
    }

    fn headers(entries: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        let entry = |(name, value): &(header::HeaderName, &'static str)| {
            (name.clone(), header::HeaderValue::from_static(value))
        };
        entries.iter().map(entry).collect()
    }

    #[test]
    fn a_problem_is_read_with_its_type_and_detail() {
        let headers = headers(&[
            (header::CONTENT_TYPE, "application/problem+json; charset=utf-8"),
            (header::RETRY_AFTER, "7"),
        ]);
        let body =
            br#"{"type":"urn:portcullis:draining","title":"Draining","detail":"goes away","status":503}"#;
        let refusal = Refusal::parse(StatusCode::SERVICE_UNAVAILABLE, &headers, body);
        assert_eq!(refusal.kind.as_deref(), Some("urn:portcullis:draining"));
        assert_eq!(refusal.detail.as_deref(), Some("goes away"));
        assert_eq!(refusal.retry_after, Some(Duration::from_secs(7)));
        assert_eq!(refusal.pace(), Pace::Usual);
    }

    #[test]
    fn a_bare_or_broken_answer_still_tells_the_status() {
        let bare = Refusal::parse(StatusCode::BAD_REQUEST, &HeaderMap::new(), b"{\"type\":\"ignored\"}");
        assert_eq!((bare.status, bare.kind), (400, None));
        let problem = headers(&[(header::CONTENT_TYPE, "application/problem+json")]);
        let broken = Refusal::parse(StatusCode::FORBIDDEN, &problem, b"{\"type\":");
        assert_eq!((broken.status, broken.kind.clone()), (403, None));
        assert_eq!(broken.pace(), Pace::Slow);
    }

    #[test]
    fn terminal_escapes_of_the_peer_are_not_printed() {
        let problem = headers(&[(header::CONTENT_TYPE, "application/problem+json")]);
        let refusal = Refusal::parse(StatusCode::FORBIDDEN, &problem, br#"{"detail":"\u001b[2J"}"#);
        assert!(!refusal.to_string().contains('\u{1b}'));
        assert!(!close(4403, "\u{1b}[2J").to_string().contains('\u{1b}'));
    }

    #[test]
    fn the_hint_is_cut_off_the_close_reason() {
        let reason = close(1013, "overload retry_after_ms=1500");
        assert_eq!(reason.reason, "overload");
        assert_eq!(reason.retry_after, Some(Duration::from_millis(1500)));
        assert_eq!(close(1013, "overload retry_after_ms=soon").retry_after, None);
        assert_eq!(close(1001, "").reason, "");
        assert_eq!(CloseReason::parse(None).code, 1005);
    }

    #[test]
    fn verdicts_are_retried_slowly_and_faults_at_the_usual_pace() {
        for (code, reason) in
            [(4403, "revoked"), (4403, "denied"), (1008, "connect_forbidden"), (1008, "kicked")]
        {
            assert_eq!(close(code, reason).pace(), Pace::Slow, "{reason}");
        }
        for (code, reason) in [
            (4403, "revocation_unknown"),
            (4403, "untrusted"),
            (4401, "credential_deadline"),
            (1001, "draining"),
            (1008, "rate_limited"),
        ] {
            assert_eq!(close(code, reason).pace(), Pace::Usual, "{reason}");
        }
    }
}
