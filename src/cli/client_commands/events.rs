//! What a person who waits on a terminal hears of the connection.

use std::time::Duration;

use rustls::AlertDescription;

use super::Failure;
use crate::client::escaped::Escaped;
use crate::client::{CloseReason, ConnectError, Ending, Event};
use crate::report::chain;

/// One line for standard error; nothing for an event that asks for no attention.
pub(super) fn line(event: &Event) -> Option<String> {
    match event {
        Event::Disconnected { reason, retry_in: Some(wait), .. } => {
            Some(format!("{}; trying again in {}", of_ending(reason), rounded(*wait)))
        }
        Event::ConnectFailed { error, retry_in } => {
            Some(format!("{}; trying again in {}", chain(&**error), rounded(*retry_in)))
        }
        Event::SubscriptionLost { pattern, reason } => {
            Some(format!("lost the subscription to `{pattern}`: {}", Escaped(reason)))
        }
        _ => None,
    }
}

/// The end of a verb that would otherwise try for ever: the gateway will not take this certificate again.
pub(super) fn lasting_refusal(event: &Event) -> Option<Failure> {
    match event {
        Event::Disconnected { reason, .. } => match &**reason {
            Ending::Closed(reason) if is_revocation(reason) => {
                Some(Failure::CertificateRefused { by: closed(reason) })
            }
            _ => None,
        },
        Event::ConnectFailed { error, .. } => match &**error {
            ConnectError::Closed(reason) if is_revocation(reason) => {
                Some(Failure::CertificateRefused { by: closed(reason) })
            }
            ConnectError::CertificateRefused {
                alert: AlertDescription::CertificateRevoked | AlertDescription::CertificateExpired,
            } => Some(Failure::CertificateRefused { by: error.to_string() }),
            _ => None,
        },
        _ => None,
    }
}

fn is_revocation(reason: &CloseReason) -> bool {
    reason.code == 4403 && reason.reason == "revoked"
}

fn of_ending(ending: &Ending) -> String {
    match ending {
        Ending::Closed(reason) => closed(reason),
        ending => chain(ending),
    }
}

fn closed(reason: &CloseReason) -> String {
    match reason.reason.as_str() {
        "" => format!("closed by the gateway ({})", reason.code),
        word => format!("closed by the gateway: {} ({})", Escaped(word), reason.code),
    }
}

/// Whole seconds above ten, as much as a person needs below.
fn rounded(wait: Duration) -> String {
    match wait.as_secs() {
        0 => format!("{} ms", wait.as_millis()),
        1..10 => format!("{:.1} s", wait.as_secs_f64()),
        _ => format!("{:.0} s", wait.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cli::exit::Exit;
    use crate::topic::Pattern;

    fn disconnected(code: u16, reason: &str, wait: Duration) -> Event {
        let reason = CloseReason { code, reason: reason.into(), retry_after: None };
        Event::Disconnected { reason: Arc::new(Ending::Closed(reason)), unsent: 0, retry_in: Some(wait) }
    }

    fn alert(alert: AlertDescription) -> Event {
        let error = Arc::new(ConnectError::CertificateRefused { alert });
        Event::ConnectFailed { error, retry_in: Duration::from_secs(20) }
    }

    #[test]
    fn an_end_is_told_with_its_reason_and_the_wait() {
        let told = |event: &Event| line(event).unwrap_or_default();
        assert_eq!(
            told(&disconnected(4403, "revoked", Duration::from_millis(23_100))),
            "closed by the gateway: revoked (4403); trying again in 23 s"
        );
        assert_eq!(
            told(&disconnected(1005, "", Duration::from_millis(150))),
            "closed by the gateway (1005); trying again in 150 ms"
        );
        let lost = Event::Disconnected {
            reason: Arc::new(Ending::Lost),
            unsent: 0,
            retry_in: Some(Duration::from_millis(1500)),
        };
        assert_eq!(told(&lost), "the connection ended without a close frame; trying again in 1.5 s");
        let pattern = Pattern::parse("orders.>").unwrap();
        let lost = Event::SubscriptionLost { pattern, reason: "policy_changed".into() };
        assert_eq!(told(&lost), "lost the subscription to `orders.>`: policy_changed");
        assert!(!told(&disconnected(4403, "\u{1b}[2J", Duration::ZERO)).contains('\u{1b}'));
        assert!(line(&Event::Draining { deadline: 1 }).is_none());
    }

    #[test]
    fn only_a_refused_certificate_is_the_end() {
        let exit = |event: Event| lasting_refusal(&event).map(|failure| failure.exit());
        let wait = Duration::from_secs(1);
        assert_eq!(exit(disconnected(4403, "revoked", wait)), Some(Exit::Refused));
        assert_eq!(exit(alert(AlertDescription::CertificateRevoked)), Some(Exit::Refused));
        assert_eq!(exit(alert(AlertDescription::CertificateExpired)), Some(Exit::Refused));
        assert_eq!(exit(alert(AlertDescription::UnknownCA)), None);
        for (code, reason) in [
            (4403, "untrusted"),
            (4403, "revocation_unknown"),
            (4401, "credential_deadline"),
            (1008, "kicked"),
            (1001, "draining"),
        ] {
            assert_eq!(exit(disconnected(code, reason, wait)), None, "{reason}");
        }
    }
}
