//! May this service do this to this topic? A permit or a [`Denial`], each naming its rule.
//!
//! Closed by default: what no [`Grant`] allows is denied, a deny wins over every allow, and a service that may not
//! connect may do nothing. [`Policy::grants`] compiles the rights of one service; a session asks those. Permits are
//! made here and nowhere else, and the router demands them, so a message that skipped the policy cannot be routed.
//! Inboxes (`_INBOX.…`) are no matter of grants: whoever may connect may subscribe in its own, and only a
//! [reply right](ReplyRights) lets anyone publish there.

mod denial;
mod fault;
mod grant;
mod grants;
mod group;
mod matrix;
mod permit;
mod reply;
mod rules;
mod template;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::identity::{Role, ServiceName};

pub use denial::{Denial, DenialReason};
pub use fault::{Field, GrantFault, PolicyError};
pub use grant::{Grant, ResponseRule, Responses, ServicePattern};
pub use grants::{Grants, ResponseRight};
pub use group::{GroupName, GroupScope};
pub use matrix::{Conversation, Matrix, Overlap, Row, Who, matrix, matrix_of_everybody};
pub use permit::{PublishPermit, SubscribePermit};
pub use reply::ReplyRights;
pub use rules::Rule;
pub use template::{PatternTemplate, SERVICE_PLACEHOLDER, TemplateError};

/// First token of the topics that the gateway answers inside the session; they reach neither router nor engine.
pub const SYSTEM_PREFIX: &str = "$SYS";

/// Services, each with its roles, whose compiled rights a policy keeps.
const MOST_COMPILED: usize = 4_096;

/// All grants of one generation, found by whom they apply to.
#[derive(Debug, Default)]
pub struct Policy {
    grants: Vec<Grant>,
    by_service: BTreeMap<ServiceName, Vec<usize>>,
    by_role: BTreeMap<Role, Vec<usize>>,
    for_all: Vec<usize>,
    /// What was compiled, for the sessions that share it.
    compiled: Mutex<Compiled>,
}

type Compiled = HashMap<(ServiceName, Box<[Role]>), Arc<Grants>>;

/// The grants are all that counts; the rest is made of them.
impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        self.grants == other.grants
    }
}

impl Eq for Policy {}

impl Policy {
    /// Checks the grants with one another and indexes them. Their order decides which rule a verdict names, never
    /// what the verdict is.
    ///
    /// # Errors
    /// Every fault of every grant, in the order of the grants.
    pub fn new(grants: Vec<Grant>) -> Result<Self, Vec<PolicyError>> {
        let faults = fault::find(&grants);
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut policy = Self::default();
        for (place, grant) in grants.iter().enumerate() {
            policy.index(place, grant);
        }
        policy.grants = grants;
        Ok(policy)
    }

    /// How many grants there are.
    pub fn len(&self) -> usize {
        self.grants.len()
    }

    /// Every grant, in the order of the file.
    pub fn all(&self) -> &[Grant] {
        &self.grants
    }

    /// Whether nobody is granted anything.
    pub fn is_empty(&self) -> bool {
        self.grants.is_empty()
    }

    /// Every service that a grant names, in order, so that the configuration can check that it knows them.
    pub fn service_names(&self) -> impl Iterator<Item = &ServiceName> {
        self.by_service.keys()
    }

    /// Every role that a grant names, in order.
    pub fn role_names(&self) -> impl Iterator<Item = &Role> {
        self.by_role.keys()
    }

    /// Compiles the rights of `service` with `roles`; costs as much as the grants that apply to it.
    pub fn grants(&self, service: &ServiceName, roles: &[Role]) -> Grants {
        let by_service = self.by_service.get(service).into_iter().flatten();
        let by_role = roles.iter().filter_map(|role| self.by_role.get(role)).flatten();
        let applying = self.applying(by_service.chain(by_role));
        Grants::compile(service.clone(), service.as_str(), &applying)
    }

    /// The same, shared by all sessions of a service that have the same roles.
    pub fn shared_grants(&self, service: &ServiceName, roles: &[Role]) -> Arc<Grants> {
        let who = (service.clone(), Box::from(roles));
        let compiled = || self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = compiled().get(&who) {
            return known.clone();
        }
        let grants = Arc::new(self.grants(service, roles));
        let mut compiled = compiled();
        // Another session of the service may have been faster: all have the same.
        if compiled.len() < MOST_COMPILED || compiled.contains_key(&who) {
            return compiled.entry(who).or_insert(grants).clone();
        }
        grants
    }

    /// Compiles what `role` gives to any service that no grant names; `name` stands for its name in the patterns.
    fn grants_of_role(&self, role: &Role, name: &str) -> Grants {
        let service = ServiceName::parse(role.as_str()).expect("services are spelled like roles");
        Grants::compile(service, name, &self.applying(self.by_role.get(role).into_iter().flatten()))
    }

    /// The grants for everyone and those in `places`, in their order.
    fn applying<'a>(&'a self, places: impl Iterator<Item = &'a usize>) -> Vec<&'a Grant> {
        let mut places: Vec<usize> = self.for_all.iter().chain(places).copied().collect();
        places.sort_unstable();
        places.dedup();
        places.into_iter().filter_map(|place| self.grants.get(place)).collect()
    }

    fn index(&mut self, place: usize, grant: &Grant) {
        for service in &grant.services {
            match service {
                ServicePattern::Any => self.for_all.push(place),
                ServicePattern::Named(name) => self.by_service.entry(name.clone()).or_default().push(place),
            }
        }
        for role in &grant.roles {
            self.by_role.entry(role.clone()).or_default().push(place);
        }
    }
}

#[cfg(test)]
mod tests;
