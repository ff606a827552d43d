//! The emergency deny list: certificates and services that have no place here, whatever a CA, the mapping or the policy
//! says.
//!
//! An entry of a certificate holds for the leaf and for every other certificate of the verified path, so that one line
//! cuts an intermediate, or by its fingerprint an anchor, with all below it. A serial holds whoever issued the
//! certificate; where two CAs count alike, the fingerprint tells them apart.

use std::collections::HashSet;

use crate::identity::ServiceName;
use crate::identity::certificate::{Fingerprint, Serial};
use crate::identity::peer::VerifiedChain;

/// Most entries of a list, all kinds together. What is to stay out for good belongs in a revocation list.
pub const MAX_ENTRIES: usize = 100_000;

/// Whom the operator keeps out. The default denies nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DenyList {
    fingerprints: HashSet<Fingerprint>,
    serials: HashSet<Serial>,
    services: HashSet<ServiceName>,
}

/// The entry that keeps a peer out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    #[error("the deny list names the service {0}")]
    Service(ServiceName),
    #[error("the deny list names a certificate of the chain by its fingerprint {0}")]
    Fingerprint(Fingerprint),
    #[error("the deny list names a certificate of the chain by its serial {0}")]
    Serial(Serial),
}

impl DenyList {
    pub fn new(
        fingerprints: impl IntoIterator<Item = Fingerprint>,
        serials: impl IntoIterator<Item = Serial>,
        services: impl IntoIterator<Item = ServiceName>,
    ) -> Self {
        Self {
            fingerprints: fingerprints.into_iter().collect(),
            serials: serials.into_iter().collect(),
            services: services.into_iter().collect(),
        }
    }

    /// Entries of all kinds.
    pub fn len(&self) -> usize {
        self.fingerprints.len() + self.serials.len() + self.services.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many entries stand here and not in `other`.
    pub fn not_in(&self, other: &Self) -> usize {
        self.fingerprints.difference(&other.fingerprints).count()
            + self.serials.difference(&other.serials).count()
            + self.services.difference(&other.services).count()
    }

    /// These entries and those of `other`: denials of a set that is not taken whole add up and lift nothing.
    pub fn with(&self, other: &Self) -> Self {
        Self {
            fingerprints: &self.fingerprints | &other.fingerprints,
            serials: &self.serials | &other.serials,
            services: &self.services | &other.services,
        }
    }

    /// Whether a certificate of this path may be here, as this service.
    pub fn check(&self, chain: &VerifiedChain, service: &ServiceName) -> Result<(), Denied> {
        if self.services.contains(service) {
            return Err(Denied::Service(service.clone()));
        }
        let path = chain.links().iter().map(|link| link.fingerprint()).chain([chain.anchor()]);
        if let Some(found) = first_in(&self.fingerprints, path) {
            return Err(Denied::Fingerprint(found));
        }
        match first_in(&self.serials, chain.links().iter().map(|link| link.serial())) {
            Some(found) => Err(Denied::Serial(found)),
            None => Ok(()),
        }
    }
}

/// Hashes nothing where there is no entry of the kind, which is the usual case.
fn first_in<T: Eq + std::hash::Hash>(entries: &HashSet<T>, mut of: impl Iterator<Item = T>) -> Option<T> {
    if entries.is_empty() { None } else { of.find(|each| entries.contains(each)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::peer::VerifiedPeer;
    use crate::trust::TrustDomains;
    use crate::trust::test_pki::{TestCa, domains, now, settings};

    struct World {
        root: TestCa,
        middle: TestCa,
        trust: TrustDomains,
    }

    impl World {
        fn new() -> Self {
            let root = TestCa::root("root");
            let middle = root.intermediate("middle", 0x0a1b);
            let trust = domains(settings(&[&root], &[&middle], &[root.crl(1, &[]), middle.crl(1, &[])]));
            Self { trust: trust.expect("a domain"), root, middle }
        }

        fn peer(&self, serial: u64) -> VerifiedPeer {
            let leaf = self.middle.leaf("orders", serial);
            VerifiedPeer::proven(self.trust.verify(&leaf.der, &[], now()).expect("verified"))
        }
    }

    fn service(name: &str) -> ServiceName {
        ServiceName::parse(name).expect("a name")
    }

    fn serial(number: u64) -> Serial {
        Serial::from_be_bytes(&number.to_be_bytes()).expect("short")
    }

    #[test]
    fn every_kind_of_entry_denies_whom_it_names_and_nobody_else() {
        let world = World::new();
        let (peer, other) = (world.peer(7), world.peer(8));
        let (orders, billing) = (service("orders"), service("billing"));
        let leaf = peer.facts().fingerprint();
        let by_service = DenyList::new([], [], [orders.clone()]);
        assert_eq!(by_service.check(&peer, &orders), Err(Denied::Service(orders.clone())));
        assert_eq!(by_service.check(&peer, &billing), Ok(()));
        let by_fingerprint = DenyList::new([leaf], [], []);
        assert_eq!(by_fingerprint.check(&peer, &orders), Err(Denied::Fingerprint(leaf)));
        assert_eq!(by_fingerprint.check(&other, &orders), Ok(()));
        let by_serial = DenyList::new([], [serial(7)], []);
        assert_eq!(by_serial.check(&peer, &orders), Err(Denied::Serial(serial(7))));
        assert_eq!(by_serial.check(&other, &orders), Ok(()));
        assert_eq!(DenyList::default().check(&peer, &orders), Ok(()));
    }

    #[test]
    fn two_lists_together_deny_whom_either_names() {
        let print = Fingerprint::of(b"a certificate");
        let ours = DenyList::new([print], [serial(1)], [service("orders")]);
        let theirs = DenyList::new([], [serial(2)], [service("orders"), service("billing")]);
        let both = DenyList::new([print], [serial(1), serial(2)], [service("orders"), service("billing")]);
        assert_eq!((ours.with(&theirs), theirs.with(&ours)), (both.clone(), both));
        assert_eq!(ours.with(&DenyList::default()), ours);
    }

    #[test]
    fn an_entry_for_a_ca_denies_all_below_it() {
        let world = World::new();
        let orders = service("orders");
        for ca in [&world.middle, &world.root] {
            let fingerprint = Fingerprint::of(&ca.der);
            let list = DenyList::new([fingerprint], [], []);
            for number in [7, 8] {
                let denied = list.check(&world.peer(number), &orders);
                assert_eq!(denied, Err(Denied::Fingerprint(fingerprint)));
            }
        }
        let list = DenyList::new([], [serial(0x0a1b)], []);
        assert_eq!(list.check(&world.peer(7), &orders), Err(Denied::Serial(serial(0x0a1b))));
    }
}
