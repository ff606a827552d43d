//! Holds back a change that would end too many sessions at once.
//!
//! A wrong anchor file or a rule with a typo is valid by itself; that it empties the gateway is what tells it from the
//! right one. Revocations are never held back, only told: whoever revokes means it, and a gateway that waits with a
//! revocation lets a thief work on.

use crate::config::{ReloadSettings, Why};
use crate::reload::preview::Preview;

/// The largest share that one change may end of the sessions that would stay otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guard {
    /// 100 lets everything through.
    pub max_cut_percent: u8,
}

impl Guard {
    pub fn of(settings: &ReloadSettings) -> Self {
        Self { max_cut_percent: settings.max_cut_percent }
    }

    /// Refuses a candidate that would end more than the share, revoked and denied sessions not counted. `verb` is the
    /// command that takes it all the same.
    pub fn check(self, preview: &Preview, verb: &'static str) -> Result<(), Why> {
        let (cut, staying) = (preview.cut_otherwise(), preview.staying());
        if !self.is_above(cut, staying) {
            return Ok(());
        }
        let counted = preview.cuts.iter().filter(|cut| !cut.reason.is_revocation());
        let services =
            counted.map(|cut| format!("{} {} ({})", cut.service, cut.sessions, cut.reason.label()));
        Err(Why::CutsTooMany {
            cut,
            staying,
            most: self.max_cut_percent,
            services: first_few(services),
            verb,
        })
    }

    /// Whether revocations end so many that a person should look.
    pub fn is_mass_revocation(self, preview: &Preview) -> bool {
        self.is_above(preview.revoked(), preview.live)
    }

    fn is_above(self, part: usize, whole: usize) -> bool {
        part.saturating_mul(100) > whole.saturating_mul(self.max_cut_percent.into())
    }
}

/// A fault is read by a person; the preview has them all.
fn first_few(mut services: impl Iterator<Item = String>) -> String {
    const FEW: usize = 10;
    let named: Vec<_> = services.by_ref().take(FEW).collect();
    match services.count() {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reload::preview::Cut;
    use crate::session::CloseReason;

    fn preview(live: usize, cuts: &[(CloseReason, usize)]) -> Preview {
        let cut = |(reason, sessions): &(CloseReason, usize)| Cut {
            service: "billing".into(),
            reason: *reason,
            sessions: *sessions,
        };
        Preview { live, cuts: cuts.iter().map(cut).collect(), ..Preview::default() }
    }

    fn passes(max_cut_percent: u8, live: usize, cuts: &[(CloseReason, usize)]) -> bool {
        Guard { max_cut_percent }.check(&preview(live, cuts), "portcullis reload --force").is_ok()
    }

    #[test]
    fn the_share_itself_passes_and_one_session_more_does_not() {
        assert!(passes(20, 10, &[(CloseReason::Untrusted, 2)]));
        assert!(!passes(20, 10, &[(CloseReason::Untrusted, 3)]));
        assert!(!passes(20, 10, &[(CloseReason::IdentityChanged, 1), (CloseReason::ConnectForbidden, 2)]));
        assert!(!passes(0, 1_000, &[(CloseReason::Untrusted, 1)]));
        assert!(passes(0, 1_000, &[]));
    }

    #[test]
    fn a_hundred_percent_switches_it_off_and_nobody_there_is_nobody_cut() {
        assert!(passes(100, 10, &[(CloseReason::Untrusted, 10)]));
        assert!(passes(0, 0, &[]));
    }

    #[test]
    fn revoked_and_denied_sessions_do_not_count_and_are_told_apart() {
        let mass =
            preview(15, &[(CloseReason::Revoked, 6), (CloseReason::Denied, 4), (CloseReason::Untrusted, 1)]);
        let guard = Guard { max_cut_percent: 20 };
        assert!(guard.check(&mass, "x").is_ok());
        assert!(guard.is_mass_revocation(&mass));
        assert!(!guard.is_mass_revocation(&preview(10, &[(CloseReason::Revoked, 2)])));
        assert!(!guard.is_mass_revocation(&preview(10, &[(CloseReason::Untrusted, 9)])));
    }

    /// Else a revocation of most sessions, or a cut of which the paced ends are under way, would let a wrong set through.
    #[test]
    fn the_share_is_of_the_sessions_that_would_stay_otherwise() {
        let check = |live, leaving, cuts: &[_]| {
            let preview = Preview { leaving, ..preview(live, cuts) };
            Guard { max_cut_percent: 20 }.check(&preview, "x").is_ok()
        };
        let cuts = [(CloseReason::Untrusted, 4), (CloseReason::Revoked, 20)];
        assert!(check(40, 0, &cuts), "4 of 20");
        assert!(!check(39, 0, &cuts), "4 of 19");
        assert!(!check(40, 1, &cuts), "4 of 19");
        assert!(!check(24, 0, &cuts), "all that are left");
    }

    #[test]
    fn a_refusal_says_how_many_which_services_and_how_to_force() {
        let cuts = preview(10, &[(CloseReason::Untrusted, 3), (CloseReason::Revoked, 7)]);
        let why =
            Guard { max_cut_percent: 20 }.check(&cuts, "portcullis reload --force").unwrap_err().to_string();
        for part in [
            "3 of 3 sessions that would stay",
            "20 percent",
            "billing 3 (untrusted)",
            "portcullis reload --force",
        ] {
            assert!(why.contains(part), "{why}");
        }
        assert!(!why.contains("revoked"), "{why}");
    }
}
