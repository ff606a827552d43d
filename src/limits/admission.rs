//! Places: who may still come in. Taken before any crypto is done and given back on drop.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Limits;
use crate::identity::ServiceName;

/// Above a limit this many connections at once are still taken as far as a polite HTTP answer; the rest is dropped.
const MAX_POLITE_REFUSALS: usize = 64;

/// The counts of one gateway, shared by its listeners.
#[derive(Default)]
pub struct Admissions {
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    opening: usize,
    refusing: usize,
    sessions: usize,
    addresses: HashMap<Origin, OfOrigin>,
    services: HashMap<ServiceName, usize>,
}

/// Where a connection comes from, as far as it is counted: an IPv4 address, or the /64 around an IPv6 address. Whoever has
/// one address of a /64 has them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Origin(IpAddr);

/// The connections of one origin.
#[derive(Default)]
struct OfOrigin {
    all: usize,
    /// Of these, the ones that take a place among those that open.
    opening: usize,
}

/// Why a connection or session finds no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    #[error("too many connections are being opened")]
    Opening,
    /// Those it has, or those it opens at once.
    #[error("too many connections come from this address")]
    Address,
    #[error("too many sessions of this service")]
    Service,
    #[error("the gateway holds all the sessions it may")]
    Sessions,
}

impl Admissions {
    /// Takes a place for a new socket. `Ok` with a refusal inside means: go on as far as an HTTP answer, then say no.
    /// `Err` means that even that would be too much.
    pub fn admit(self: &Arc<Self>, address: IpAddr, limits: &Limits) -> Result<Admission, Refused> {
        let origin = Origin::of(address);
        let mut counts = self.lock();
        let refused = counts.refusal(&origin, limits);
        match refused {
            Some(reason) if counts.refusing >= MAX_POLITE_REFUSALS => return Err(reason),
            Some(_) => counts.refusing += 1,
            None => counts.opening += 1,
        }
        let of_origin = counts.addresses.entry(origin).or_default();
        of_origin.all += 1;
        of_origin.opening += usize::from(refused.is_none());
        Ok(Admission { counts: self.clone(), origin, refused, opening: true })
    }

    /// Connections that have not become sessions yet.
    pub fn opening(&self) -> usize {
        self.lock().opening
    }

    /// Sessions that live now.
    pub fn sessions(&self) -> usize {
        self.lock().sessions
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Counters stay meaningful whatever panicked while it held them.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Origin {
    fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
            address @ IpAddr::V4(_) => address,
        })
    }
}

impl Counts {
    /// The origin's own bounds come first: who is above them is told so, whatever others do.
    fn refusal(&self, origin: &Origin, limits: &Limits) -> Option<Refused> {
        let of_origin = self.addresses.get(origin);
        let above = |of_origin: &OfOrigin| {
            of_origin.opening >= limits.max_opening_per_address
                || of_origin.all >= limits.max_connections_per_address
        };
        if of_origin.is_some_and(above) {
            Some(Refused::Address)
        } else if self.opening >= limits.max_opening {
            Some(Refused::Opening)
        } else {
            None
        }
    }

    fn leave_opening(&mut self, origin: &Origin, refused: Option<Refused>) {
        if refused.is_some() {
            self.refusing -= 1;
            return;
        }
        self.opening -= 1;
        if let Some(of_origin) = self.addresses.get_mut(origin) {
            of_origin.opening -= 1;
        }
    }

    fn leave_address(&mut self, origin: &Origin) {
        if let Some(of_origin) = self.addresses.get_mut(origin) {
            of_origin.all -= 1;
            if of_origin.all == 0 {
                self.addresses.remove(origin);
            }
        }
    }

    fn leave_service(&mut self, service: &ServiceName) {
        self.sessions -= 1;
        if let Some(count) = self.services.get_mut(service) {
            *count -= 1;
            if *count == 0 {
                self.services.remove(service);
            }
        }
    }
}

/// One connection's place.
pub struct Admission {
    counts: Arc<Admissions>,
    origin: Origin,
    refused: Option<Refused>,
    opening: bool,
}

impl Admission {
    /// The refusal that the HTTP answer has to give, if there is one.
    pub fn refused(&self) -> Option<Refused> {
        self.refused
    }

    /// Takes a place among the sessions of `service`.
    pub fn take_service(&self, service: &ServiceName, limits: &Limits) -> Result<ServicePlace, Refused> {
        let mut counts = self.counts.lock();
        if counts.sessions >= limits.max_sessions {
            return Err(Refused::Sessions);
        }
        if counts.services.get(service).copied().unwrap_or(0) >= limits.max_sessions_per_service {
            return Err(Refused::Service);
        }
        counts.sessions += 1;
        *counts.services.entry(service.clone()).or_default() += 1;
        drop(counts);
        Ok(ServicePlace { counts: self.counts.clone(), service: service.clone() })
    }

    /// The session is open: this connection is no longer among those that open, and keeps its place with its address.
    pub fn opened(mut self) -> Self {
        self.leave_opening();
        self
    }

    fn leave_opening(&mut self) {
        if std::mem::replace(&mut self.opening, false) {
            self.counts.lock().leave_opening(&self.origin, self.refused);
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.leave_opening();
        self.counts.lock().leave_address(&self.origin);
    }
}

/// One session's place among those of its service.
pub struct ServicePlace {
    counts: Arc<Admissions>,
    service: ServiceName,
}

impl Drop for ServicePlace {
    fn drop(&mut self) {
        self.counts.lock().leave_service(&self.service);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            max_opening: 2,
            max_connections_per_address: 2,
            max_sessions_per_service: 1,
            ..Limits::default()
        }
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, last])
    }

    #[test]
    fn places_are_given_back() {
        let admissions = Arc::new(Admissions::default());
        let first = admissions.admit(address(1), &limits()).unwrap();
        let second = admissions.admit(address(2), &limits()).unwrap();
        assert_eq!(admissions.admit(address(3), &limits()).unwrap().refused(), Some(Refused::Opening));
        drop((first, second));
        assert_eq!(admissions.admit(address(3), &limits()).unwrap().refused(), None);
        assert_eq!(admissions.opening(), 0);
        assert!(admissions.lock().addresses.is_empty());
    }

    #[test]
    fn an_address_keeps_its_place_while_its_session_lives() {
        let admissions = Arc::new(Admissions::default());
        let _first = admissions.admit(address(1), &limits()).unwrap().opened();
        let _second = admissions.admit("::ffff:127.0.0.1".parse().unwrap(), &limits()).unwrap().opened();
        assert_eq!(admissions.admit(address(1), &limits()).unwrap().refused(), Some(Refused::Address));
        assert_eq!(admissions.admit(address(2), &limits()).unwrap().refused(), None);
    }

    #[test]
    fn one_address_takes_only_its_share_of_the_opening_places() {
        let admissions = Arc::new(Admissions::default());
        let limits =
            Limits { max_opening: 4, max_opening_per_address: 2, max_connections_per_address: 9, ..limits() };
        let refused =
            |last| admissions.admit(address(last), &limits).map(|place| (place.refused(), place)).unwrap();
        let ((None, first), (None, _second)) = (refused(1), refused(1)) else { panic!("no place") };
        assert_eq!(refused(1).0, Some(Refused::Address));
        assert_eq!(refused(2).0, None, "the others keep theirs");
        let _session = first.opened();
        let (None, _third) = refused(1) else { panic!("a session takes no opening place") };
        assert_eq!(refused(1).0, Some(Refused::Address));
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one() {
        let admissions = Arc::new(Admissions::default());
        let limits = Limits { max_opening_per_address: 1, ..limits() };
        let refused = |address: &str| admissions.admit(address.parse().unwrap(), &limits).unwrap();
        let _first = refused("2001:db8:0:1::1");
        assert_eq!(refused("2001:db8:0:1:ffff::2").refused(), Some(Refused::Address));
        assert_eq!(refused("2001:db8:0:2::1").refused(), None);
    }

    #[test]
    fn polite_refusals_are_bounded() {
        let admissions = Arc::new(Admissions::default());
        let none = Limits { max_opening: 0, max_connections_per_address: 1_000, ..limits() };
        let polite: Vec<_> =
            (0..MAX_POLITE_REFUSALS).map(|_| admissions.admit(address(1), &none).unwrap()).collect();
        assert_eq!(admissions.admit(address(1), &none).err(), Some(Refused::Opening));
        drop(polite);
        assert!(admissions.admit(address(1), &none).is_ok());
    }

    #[test]
    fn a_service_has_only_its_places() {
        let admissions = Arc::new(Admissions::default());
        let connection = admissions.admit(address(1), &limits()).unwrap();
        let (billing, checkout) =
            (ServiceName::parse("billing").unwrap(), ServiceName::parse("checkout").unwrap());
        let place = connection.take_service(&billing, &limits()).unwrap();
        assert_eq!(connection.take_service(&billing, &limits()).err(), Some(Refused::Service));
        assert!(connection.take_service(&checkout, &limits()).is_ok());
        drop(place);
        assert!(connection.take_service(&billing, &limits()).is_ok());
        assert_eq!(admissions.sessions(), 0);
    }
}
