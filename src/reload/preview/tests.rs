//! Previews are the verdicts themselves: nobody else is counted, and each for the reason that would end it.

use super::*;
use crate::clock::unix_now;
use crate::deny::DenyList;
use crate::identity::peer::VerifiedPeer;
use crate::limits::Limits;
use crate::policy::Policy;
use crate::session::{Origin, SessionId};
use crate::testing::{Authority, join, policy};
use crate::trust::{RetiringAnchor, TrustDomains, TrustSettings};
use crate::verdict::judge;

const OPEN: &str = "[[grant]]\nname = \"all\"\nservices = [\"*\"]\npublish = [\"{service}.>\"]\n";

fn generation(number: u64, trust: Arc<TrustDomains>, policy: Arc<Policy>) -> Generation {
    let limits = Arc::new(Limits::default());
    let (deny, renewal) = (Arc::default(), Arc::default());
    Generation {
        number,
        listeners: Vec::new(),
        trust,
        policy,
        deny,
        limits,
        dialects: Arc::default(),
        renewal,
    }
}

/// A live session of `service`, let in by `generation`.
fn live(generation: &Generation, authority: &Authority, service: &str, serial: u64) -> Live {
    let leaf = authority.client(service, serial, 3_600);
    let peer = VerifiedPeer::proven(generation.trust.verify(&leaf.der, &[], unix_now()).expect("verified"));
    let standing = judge(generation, &peer).expect("let in");
    let origin = Origin { address: ([127, 0, 0, 1], 1).into(), listener: 0 };
    Live { id: SessionId::random(), origin, peer: Arc::new(peer), standing }
}

struct World {
    authority: Authority,
    current: Generation,
    live: Vec<Live>,
}

impl World {
    /// Sessions of `orders` with the serials 1 and 2, and of `billing` with 3.
    fn new() -> Self {
        let authority = Authority::new("root");
        let current = generation(1, authority.trust(1, &[]), policy(OPEN));
        let sessions = [("orders", 1), ("orders", 2), ("billing", 3)];
        let live = sessions.map(|(service, serial)| live(&current, &authority, service, serial)).into();
        Self { authority, current, live }
    }

    fn next(&self, trust: Arc<TrustDomains>, policy: Arc<Policy>) -> Generation {
        generation(2, trust, policy)
    }

    fn preview(&self, next: &Generation, revised: Option<&Generation>) -> Preview {
        Preview::of(next, Against { current: &self.current, revised }, &self.live, unix_now())
    }
}

fn cuts(preview: &Preview) -> Vec<(&str, CloseReason, usize)> {
    preview.cuts.iter().map(|cut| (cut.service.as_str(), cut.reason, cut.sessions)).collect()
}

#[test]
fn a_set_that_is_the_same_cuts_nobody_and_changes_no_rights() {
    let world = World::new();
    let next = world.next(world.authority.trust(2, &[]), policy(&OPEN.replace("\"all\"", "\"renamed\"")));
    let preview = world.preview(&next, None);
    assert_eq!((preview.live, preview.cut(), preview.rights_changed.len()), (3, 0, 0));
}

#[test]
fn who_is_cut_is_told_by_service_and_reason() {
    let world = World::new();
    let ban = format!("{OPEN}[[grant]]\nname = \"ban\"\nservices = [\"billing\"]\nconnect = false\n");
    let next = world.next(world.authority.trust(2, &[1]), policy(&ban));
    let preview = world.preview(&next, None);
    let expected = [("billing", CloseReason::ConnectForbidden, 1), ("orders", CloseReason::Revoked, 1)];
    assert_eq!(cuts(&preview), expected);
    assert_eq!((preview.revoked(), preview.cut_otherwise()), (1, 1));
    let other = world.next(Authority::new("other").trust(1, &[]), policy(OPEN));
    let expected = [("billing", CloseReason::Untrusted, 1), ("orders", CloseReason::Untrusted, 2)];
    assert_eq!(cuts(&world.preview(&other, None)), expected);
}

/// A root that is replaced because it leaked: most of what it issued is revoked in the same set.
#[test]
fn whom_the_revocations_of_a_set_end_by_themselves_is_revoked_whatever_else_the_set_says() {
    let world = World::new();
    let next = world.next(Authority::new("other").trust(1, &[]), policy(OPEN));
    let revised = world.next(world.authority.trust(2, &[1, 2]), policy(OPEN));
    let preview = world.preview(&next, Some(&revised));
    let expected = [("billing", CloseReason::Untrusted, 1), ("orders", CloseReason::Revoked, 2)];
    assert_eq!(cuts(&preview), expected);
}

#[test]
fn whom_the_current_set_ends_already_does_not_count() {
    let mut world = World::new();
    world.current.deny = Arc::new(DenyList::new([], [], [ServiceName::parse("orders").unwrap()]));
    let next = world.next(Authority::new("other").trust(1, &[]), policy(OPEN));
    let preview = world.preview(&next, None);
    assert_eq!(cuts(&preview), [("billing", CloseReason::Untrusted, 1)]);
    assert_eq!((preview.live, preview.leaving, preview.staying()), (3, 2, 1));
    assert!(preview.to_string().contains("1 of 3 live sessions end, and 2 that"), "{preview}");
    // Though the candidate would keep them.
    let next = world.next(world.authority.trust(1, &[]), policy(OPEN));
    assert_eq!(world.preview(&next, None).leaving, 2);
}

/// An end of an anchor shortly ahead empties the gateway as one in the past does, a moment later.
#[test]
fn an_end_that_is_moved_to_within_the_lead_of_a_proof_is_a_cut() {
    let world = World::new();
    let (now, lead) = (unix_now().as_secs(), Limits::default().reauth_lead.as_secs());
    let anchor = world.current.trust.domains()[0].anchors().next().expect("an anchor").fingerprint;
    let ending = |at| {
        let retire = vec![RetiringAnchor { anchor, at }];
        let settings = world.authority.settings(&[world.authority.list(1, &[])]);
        world.next(join([TrustSettings { retire, ..settings }]), policy(OPEN))
    };
    let preview = world.preview(&ending(now + lead / 2), None);
    let expected =
        [("billing", CloseReason::CredentialDeadline, 1), ("orders", CloseReason::CredentialDeadline, 2)];
    assert_eq!(cuts(&preview), expected);
    assert_eq!(preview.cut_otherwise(), 3);
    assert!(preview.sessions[0].why.contains(&(now + lead / 2).to_string()), "{preview}");
    assert_eq!(world.preview(&ending(now + 2 * lead), None).cut(), 0, "there is time to move");
    assert_eq!(world.preview(&ending(now + 7_200), None).cut(), 0, "the certificates end before");
}

#[test]
fn changed_rights_are_told_by_service() {
    let world = World::new();
    let more = format!("{OPEN}[[grant]]\nname = \"more\"\nservices = [\"orders\"]\nsubscribe = [\"x\"]\n");
    let preview = world.preview(&world.next(world.authority.trust(1, &[]), policy(&more)), None);
    assert_eq!(preview.rights_changed, [Affected { service: "orders".into(), sessions: 2 }]);
    assert_eq!(preview.cut(), 0);
}

#[test]
fn sessions_are_named_up_to_a_bound_and_counted_beyond_it() {
    let mut world = World::new();
    let one = world.live[0].clone();
    world.live = (0..NAMED + 7).map(|_| Live { id: SessionId::random(), ..one.clone() }).collect();
    let preview = world.preview(&world.next(world.authority.trust(2, &[1]), policy(OPEN)), None);
    assert_eq!((preview.sessions.len(), preview.cut()), (NAMED, NAMED + 7));
    assert!(preview.to_string().contains("… and 7 more"), "{preview}");
}
