//! One `[[trust]]` block: anchors, revocation and mapping, loaded together and consistent.

mod inventory;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};

use super::anchors::{Anchor, Authorities, IssuingChainError, RetiringAnchor};
use super::crl;
use super::crl::{Marks, RevocationLists, RevocationStatus};
use super::error::{TrustError, VerifyError};
use super::remembered::{PresentedId, RememberedChains};
use super::signed::ALGORITHMS;
use crate::identity::TrustName;
use crate::identity::certificate::{AnchorSetId, ClientUsage, Fingerprint, IssuerId};
use crate::identity::mapping::Mapping;
use crate::identity::peer::{self, EndedBy, PathAnchor, PathLink, VerifiedChain};
pub use inventory::{AuthorityFacts, ListFacts};

/// What one `[[trust]]` block configures, read from its files.
#[derive(Debug, Clone)]
pub struct TrustSettings {
    pub name: TrustName,
    /// CA certificates a chain may end in.
    pub anchors: Vec<CertificateDer<'static>>,
    /// Anchors that end before their certificates do.
    pub retire: Vec<RetiringAnchor>,
    /// CA certificates that complete a chain which a peer does not present fully.
    pub intermediates: Vec<CertificateDer<'static>>,
    pub revocation: RevocationSettings,
    pub mapping: Mapping,
}

/// How a block deals with revocation.
#[derive(Debug, Clone)]
pub enum RevocationSettings {
    /// Every configured CA needs a fresh list, and so does every CA of a peer's path.
    Enforced(Vec<CertificateRevocationListDer<'static>>),
    /// The same, but a stale list is as good as a fresh one.
    DangerAcceptStale(Vec<CertificateRevocationListDer<'static>>),
    /// Nothing is ever revoked.
    DangerNone,
}

/// A path that was found.
struct Found {
    chain: VerifiedChain,
    /// Whether none was judged bad before it.
    is_first: bool,
}

/// What a list past its `nextUpdate` is good for. It revokes what it names in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StaleLists {
    /// It vouches for nobody.
    Refused,
    /// It vouches as a fresh one does.
    Accepted,
}

/// One trust domain. Copies share what is large.
#[derive(Debug, Clone)]
pub struct TrustDomain {
    name: TrustName,
    authorities: Arc<Authorities>,
    /// `None` where nothing is ever revoked.
    revocation: Option<RevocationLists>,
    stale: StaleLists,
    mapping: Arc<Mapping>,
    remembered: Arc<RememberedChains>,
}

impl TrustDomain {
    /// Checks everything against everything else, and reports all faults at once.
    pub fn new(settings: TrustSettings, now: UnixTime) -> Result<Self, Vec<TrustError>> {
        let mut faults = Vec::new();
        let TrustSettings { anchors, intermediates, retire, .. } = &settings;
        let authorities = Authorities::load(anchors, intermediates, retire, now, &mut faults);
        let (lists, stale) = match settings.revocation {
            RevocationSettings::Enforced(lists) => (Some(lists), StaleLists::Refused),
            RevocationSettings::DangerAcceptStale(lists) => (Some(lists), StaleLists::Accepted),
            RevocationSettings::DangerNone => (None, StaleLists::Refused),
        };
        let revocation = lists.map(|lists| load_lists(&lists, &authorities, stale, now, &mut faults));
        if !faults.is_empty() {
            return Err(faults);
        }
        let (authorities, mapping) = (Arc::new(authorities), Arc::new(settings.mapping));
        let remembered = Arc::default();
        Ok(Self { name: settings.name, authorities, revocation, stale, mapping, remembered })
    }

    pub fn name(&self) -> &TrustName {
        &self.name
    }

    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// The revocation lists; `None` where nothing is ever revoked.
    pub fn revocation_lists(&self) -> Option<&RevocationLists> {
        self.revocation.as_ref()
    }

    /// Whether a list past its `nextUpdate` still vouches for whom it does not name.
    pub fn accepts_stale_lists(&self) -> bool {
        self.stale == StaleLists::Accepted
    }

    /// The subject of a configured CA, for a person to read. It comes from a certificate: show it escaped.
    pub fn authority_name(&self, issuer: IssuerId) -> Option<&str> {
        self.authorities.find(issuer).map(|authority| authority.name())
    }

    /// Every anchor, in the order of the configuration.
    pub fn anchors(&self) -> impl Iterator<Item = Anchor<'_>> {
        self.authorities.listed_anchors()
    }

    /// The subject of an anchor, by the SHA-256 of its certificate. It comes from that: show it escaped.
    pub fn anchor_name(&self, fingerprint: Fingerprint) -> Option<&str> {
        self.anchors().find(|anchor| anchor.fingerprint == fingerprint).map(|anchor| anchor.name)
    }

    /// Every configured CA, each once.
    pub(crate) fn issuers(&self) -> BTreeSet<IssuerId> {
        self.authorities.all().iter().map(|authority| authority.id()).collect()
    }

    /// When the first certificate of a configured CA ends, in Unix seconds.
    pub fn authority_end(&self) -> Option<u64> {
        self.authority_ends().map(|(_, end)| end).min()
    }

    /// Every configured CA certificate, its subject and its end in Unix seconds. Show the subject escaped.
    pub fn authority_ends(&self) -> impl Iterator<Item = (&str, u64)> {
        self.authorities.all().iter().map(|authority| (authority.name(), authority.not_after()))
    }

    /// Last second, in Unix seconds, in which a chain of configured intermediates may issue, the issuing one first.
    pub fn issuing_end(&self, chain: &[CertificateDer<'_>]) -> Result<u64, IssuingChainError> {
        self.authorities.issuing_end(chain)
    }

    /// Name and anchors with their ends, for [`AnchorSetId`].
    pub(super) fn anchor_summary(&self) -> Vec<u8> {
        let mut anchors: Vec<_> = self.anchors().map(|anchor| (anchor.fingerprint, anchor.end)).collect();
        anchors.sort_unstable();
        let count = anchors.len().to_be_bytes();
        let mut summary = [self.name.as_str().as_bytes(), &[0], &count].concat();
        for (fingerprint, end) in anchors {
            summary.extend(fingerprint.as_bytes());
            summary.extend(end.to_be_bytes());
        }
        summary
    }

    pub(super) fn with_newer_lists(
        &self,
        lists: &[CertificateRevocationListDer<'_>],
        now: UnixTime,
    ) -> Option<Self> {
        let merged = self.revocation.as_ref()?.merge_newer(lists, self.authorities.all(), self.stale, now)?;
        Some(Self { revocation: Some(merged), ..self.clone() })
    }

    /// This domain with the newest of its own and of the others' lists for each of its CAs, if all is good now.
    pub(super) fn with_lists_of(
        &self,
        others: &[Self],
        marks: &Marks,
        now: UnixTime,
    ) -> Result<Self, Vec<TrustError>> {
        let mut faults = Vec::new();
        self.authorities.check_dates(now, &mut faults);
        let revocation = self.newest_lists(others, None);
        if let Some(lists) = &revocation {
            for issuer in self.issuers() {
                for crl::CrlRegression { before, now, .. } in lists.regressions(marks, issuer) {
                    let name = self.authority_name(issuer).unwrap_or_default().to_owned();
                    faults.push(TrustError::RevocationListWentBack { name, before, now });
                }
            }
            check_fresh(lists, &self.authorities, self.stale, now, &mut faults);
        }
        if faults.is_empty() { Ok(Self { revocation, ..self.clone() }) } else { Err(faults) }
    }

    /// This domain with every newer list of the others', whatever else has become of it. A stale one is left where this
    /// domain would refuse everybody for it.
    pub(super) fn with_revocations_of(&self, others: &[Self], now: UnixTime) -> Self {
        let fresh_at = (self.stale == StaleLists::Refused).then_some(now);
        Self { revocation: self.newest_lists(others, fresh_at), ..self.clone() }
    }

    /// The newest of its own and of the others' lists for each of its CAs.
    fn newest_lists(&self, others: &[Self], fresh_at: Option<UnixTime>) -> Option<RevocationLists> {
        let mut lists = self.revocation.clone()?;
        for issuer in self.issuers() {
            for theirs in others.iter().filter_map(Self::revocation_lists) {
                lists.take_newer(theirs, issuer, fresh_at);
            }
        }
        Some(lists)
    }

    /// Finds a path to an anchor on which every certificate is in date and none revoked: the one that the same certificates
    /// had before, as long as it is good, or else by `webpki`.
    pub(super) fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        presented: &[CertificateDer<'_>],
        anchors: AnchorSetId,
        now: UnixTime,
    ) -> Result<Arc<VerifiedChain>, VerifyError> {
        let id = PresentedId::of(leaf, presented);
        // Copies of a domain share what it remembers, and may stand beside other domains.
        if let Some(chain) = self.remembered.get(id)
            && chain.anchors() == anchors
            && chain.is_in_date(now)
            && self.check_links(chain.links(), now).is_ok()
        {
            return Ok(chain);
        }
        let Found { chain, is_first } = self.find_best_path(leaf, presented, anchors, now)?;
        let chain = Arc::new(chain);
        // What was passed over, or came beside the path, may be what is found tomorrow, and so may what lasts longer than a
        // retiring anchor.
        if is_first && is_all_of_path(presented, &chain) && chain.ended_by() == EndedBy::Certificate {
            self.remembered.keep(id, chain.clone());
        }
        Ok(chain)
    }

    /// Where the first path found ends with a retiring anchor, another that lasts longer is preferred: a session must not end
    /// with an anchor that it can do without.
    fn find_best_path(
        &self,
        leaf: &CertificateDer<'_>,
        presented: &[CertificateDer<'_>],
        anchors: AnchorSetId,
        now: UnixTime,
    ) -> Result<Found, VerifyError> {
        let leaf = EndEntityCert::try_from(leaf)?;
        let configured = self.authorities.intermediates().iter().filter(|each| !presented.contains(each));
        let pool: Vec<CertificateDer<'_>> =
            presented.iter().chain(configured).map(|each| CertificateDer::from(each.as_ref())).collect();
        let found = self.find_path(&leaf, &pool, anchors, 0, now)?;
        if found.chain.ended_by() == EndedBy::Certificate {
            return Ok(found);
        }
        match self.find_path(&leaf, &pool, anchors, found.chain.deadline().saturating_add(1), now) {
            Ok(other) if other.chain.deadline() > found.chain.deadline() => Ok(other),
            _ => Ok(found),
        }
    }

    /// A path to an anchor that does not end before this Unix second.
    fn find_path(
        &self,
        leaf: &EndEntityCert<'_>,
        pool: &[CertificateDer<'_>],
        anchors: AnchorSetId,
        least_end: u64,
        now: UnixTime,
    ) -> Result<Found, VerifyError> {
        // webpki tries the next path after a refusal, and knows of no reason but its own. The path it gives is the one
        // that was judged good.
        let (refusal, judged) = (RefCell::new(None), RefCell::new(None));
        let judge = |path: &VerifiedPath<'_>| match self.judge(path, least_end, now) {
            Ok(good) => {
                judged.replace(Some(good));
                Ok(())
            }
            Err(error) => {
                let known = refusal.take();
                refusal.replace(Some(error.more_telling(known)));
                Err(webpki::Error::UnknownRevocationStatus)
            }
        };
        let path = leaf
            .verify_for_usage(
                ALGORITHMS.all,
                self.authorities.anchors(),
                pool,
                now,
                // `required` would demand the usage of intermediates too; the peer's own is checked below.
                KeyUsage::client_auth(),
                None,
                Some(&judge),
            )
            .map_err(|error| refusal.take().unwrap_or_else(|| error.into()))?;
        let (anchor, links) = judged.take().ok_or(VerifyError::UnknownIssuer)?;
        let chain = VerifiedChain::new(&path, self.name.clone(), anchors, anchor, links)?;
        match chain.facts().client_usage() {
            ClientUsage::Stated => Ok(Found { chain, is_first: refusal.take().is_none() }),
            ClientUsage::Unstated | ClientUsage::Foreign => Err(VerifyError::WrongUsage),
        }
    }

    /// The path's anchor and links, if the anchor stands for as long as it has to and no certificate is revoked or of
    /// unknown state.
    fn judge(
        &self,
        path: &VerifiedPath<'_>,
        least_end: u64,
        now: UnixTime,
    ) -> Result<(PathAnchor, Box<[PathLink]>), VerifyError> {
        let anchor = self.authorities.path_anchor(path.anchor()).ok_or(VerifyError::UnknownIssuer)?;
        if anchor.end < now.as_secs().max(least_end) {
            return Err(match anchor.is_retiring {
                true => VerifyError::AnchorRetired { at: anchor.end },
                false => VerifyError::Expired { now, not_after: anchor.end },
            });
        }
        let links = peer::links(path)?;
        self.check_links(&links, now)?;
        Ok((anchor, links))
    }

    /// The earliest second in which a list is stale that speaks for one of these certificates.
    pub(super) fn stale_at(&self, links: &[PathLink]) -> Option<u64> {
        match self.stale {
            StaleLists::Accepted => None,
            StaleLists::Refused => {
                links.iter().filter_map(|link| self.revocation.as_ref()?.stale_at(link)).min()
            }
        }
    }

    /// Looks every certificate of a path up.
    pub(super) fn check_links(&self, links: &[PathLink], now: UnixTime) -> Result<(), VerifyError> {
        let Some(lists) = &self.revocation else { return Ok(()) };
        let mut refusal: Option<VerifyError> = None;
        for link in links {
            let (issuer, serial) = (link.issuer(), link.serial());
            let error = match lists.status(link, now) {
                RevocationStatus::Good => continue,
                RevocationStatus::Stale { .. } if self.accepts_stale_lists() => continue,
                RevocationStatus::Revoked => VerifyError::Revoked { issuer, serial },
                RevocationStatus::Unknown => VerifyError::RevocationUnknown { issuer, serial },
                RevocationStatus::Stale { since } => VerifyError::RevocationStale { issuer, serial, since },
            };
            refusal = Some(error.more_telling(refusal));
        }
        refusal.map_or(Ok(()), Err)
    }
}

/// Whether nothing was presented but certificates of this path, each once.
fn is_all_of_path(presented: &[CertificateDer<'_>], chain: &VerifiedChain) -> bool {
    let path = chain.chain().split_first().map_or(&[][..], |(_, issuers)| issuers);
    presented.len() <= path.len() && presented.iter().all(|each| path.contains(each))
}

fn load_lists(
    lists: &[CertificateRevocationListDer<'_>],
    authorities: &Authorities,
    stale: StaleLists,
    now: UnixTime,
    faults: &mut Vec<TrustError>,
) -> RevocationLists {
    let loaded = match RevocationLists::load(lists, authorities.all(), now) {
        Ok(loaded) => loaded,
        Err(errors) => {
            let fault = |(position, source)| TrustError::RevocationList { position, source };
            faults.extend(errors.into_iter().map(fault));
            return RevocationLists::default();
        }
    };
    check_fresh(&loaded, authorities, stale, now, faults);
    loaded
}

/// Every CA needs a list, and a fresh one unless stale ones are accepted.
fn check_fresh(
    lists: &RevocationLists,
    authorities: &Authorities,
    stale: StaleLists,
    now: UnixTime,
    faults: &mut Vec<TrustError>,
) {
    for authority in authorities.all() {
        let name = || authority.name().to_owned();
        match lists.next_update(authority.id()) {
            None => faults.push(TrustError::NoRevocationList { name: name() }),
            Some(since) if now.as_secs() >= since && stale == StaleLists::Refused => {
                faults.push(TrustError::StaleRevocationList { name: name(), since });
            }
            Some(_) => {}
        }
    }
}
