//! Places: who may still come in. Taken before any crypto is done and given back on drop.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
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
    addresses: HashMap<IpAddr, usize>,
    services: HashMap<ServiceName, usize>,
}

/// Why a connection or session finds no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    #[error("too many connections are being opened")]
    Opening,
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
        let address = address.to_canonical();
        let mut counts = self.lock();
        let of_address = counts.addresses.get(&address).copied().unwrap_or(0);
        let refused = if counts.opening >= limits.max_opening {
            Some(Refused::Opening)
        } else if of_address >= limits.max_connections_per_address {
            Some(Refused::Address)
        } else {
            None
        };
        match refused {
            Some(reason) if counts.refusing >= MAX_POLITE_REFUSALS => return Err(reason),
            Some(_) => counts.refusing += 1,
            None => counts.opening += 1,
        }
        *counts.addresses.entry(address).or_default() += 1;
        Ok(Admission { counts: self.clone(), address, refused, opening: true })
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

/// One connection's place.
pub struct Admission {
    counts: Arc<Admissions>,
    address: IpAddr,
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

    /// The 101 is out: this connection is no longer among those that open, and keeps its place with its address.
    pub fn opened(mut self) -> Self {
        self.leave_opening();
        self
    }

    fn leave_opening(&mut self) {
        if std::mem::replace(&mut self.opening, false) {
            let mut counts = self.counts.lock();
            match self.refused {
                Some(_) => counts.refusing -= 1,
                None => counts.opening -= 1,
            }
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.leave_opening();
        give_back(&mut self.counts.lock().addresses, &self.address);
    }
}

/// One session's place among those of its service.
pub struct ServicePlace {
    counts: Arc<Admissions>,
    service: ServiceName,
}

impl Drop for ServicePlace {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        counts.sessions -= 1;
        give_back(&mut counts.services, &self.service);
    }
}

fn give_back<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
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
    fn polite_refusals_are_bounded() {
        let admissions = Arc::new(Admissions::default());
        let none = Limits { max_opening: 0, ..limits() };
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
