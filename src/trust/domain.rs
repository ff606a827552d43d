//! One `[[trust]]` block: anchors, revocation and mapping, loaded together and consistent.

mod inventory;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};

use super::anchors::Authorities;
use super::crl::{RevocationLists, RevocationStatus};
use super::error::{TrustError, VerifyError};
use super::signed::ALGORITHMS;
use crate::identity::TrustName;
use crate::identity::certificate::{AnchorSetId, ClientUsage, IssuerId};
use crate::identity::mapping::Mapping;
use crate::identity::peer::{self, PathAnchor, PathLink, VerifiedChain};
pub use inventory::{AuthorityFacts, ListFacts};

/// What one `[[trust]]` block configures, read from its files.
#[derive(Debug, Clone)]
pub struct TrustSettings {
    pub name: TrustName,
    /// CA certificates a chain may end in.
    pub anchors: Vec<CertificateDer<'static>>,
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
    /// Nothing is ever revoked.
    DangerNone,
}

/// One trust domain. Copies share what is large.
#[derive(Debug, Clone)]
pub struct TrustDomain {
    name: TrustName,
    authorities: Arc<Authorities>,
    /// `None` where nothing is ever revoked.
    revocation: Option<RevocationLists>,
    mapping: Arc<Mapping>,
}

impl TrustDomain {
    /// Checks everything against everything else, and reports all faults at once.
    pub fn new(settings: TrustSettings, now: UnixTime) -> Result<Self, Vec<TrustError>> {
        let mut faults = Vec::new();
        let authorities = Authorities::load(&settings.anchors, &settings.intermediates, now, &mut faults);
        let revocation = match settings.revocation {
            RevocationSettings::Enforced(lists) => Some(load_lists(&lists, &authorities, now, &mut faults)),
            RevocationSettings::DangerNone => None,
        };
        if !faults.is_empty() {
            return Err(faults);
        }
        let (authorities, mapping) = (Arc::new(authorities), Arc::new(settings.mapping));
        Ok(Self { name: settings.name, authorities, revocation, mapping })
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

    /// The subject of a configured CA, for a person to read. It comes from a certificate: show it escaped.
    pub fn authority_name(&self, issuer: IssuerId) -> Option<&str> {
        self.authorities.find(issuer).map(|authority| authority.name())
    }

    /// Every configured CA, each once.
    pub(super) fn issuers(&self) -> BTreeSet<IssuerId> {
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

    /// Name and anchors, for [`AnchorSetId`].
    pub(super) fn anchor_summary(&self) -> Vec<u8> {
        let fingerprints = self.authorities.anchor_fingerprints();
        let count = fingerprints.len().to_be_bytes();
        let mut summary = [self.name.as_str().as_bytes(), &[0], &count].concat();
        fingerprints.iter().for_each(|fingerprint| summary.extend(fingerprint.as_bytes()));
        summary
    }

    pub(super) fn with_newer_lists(
        &self,
        lists: &[CertificateRevocationListDer<'_>],
        now: UnixTime,
    ) -> Option<Self> {
        let merged = self.revocation.as_ref()?.merge_newer(lists, self.authorities.all(), now)?;
        Some(Self { revocation: Some(merged), ..self.clone() })
    }

    /// Finds a path to an anchor on which every certificate is in date and none revoked.
    pub(super) fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        presented: &[CertificateDer<'_>],
        anchors: AnchorSetId,
        now: UnixTime,
    ) -> Result<VerifiedChain, VerifyError> {
        let leaf = EndEntityCert::try_from(leaf)?;
        let configured = self.authorities.intermediates().iter().filter(|each| !presented.contains(each));
        let pool: Vec<CertificateDer<'_>> =
            presented.iter().chain(configured).map(|each| CertificateDer::from(each.as_ref())).collect();
        // webpki tries the next path after a refusal, and knows of no reason but its own.
        let refusal = RefCell::new(None);
        let judge = |path: &VerifiedPath<'_>| {
            self.judge(path, now).map_err(|error| {
                let known = refusal.take();
                refusal.replace(Some(error.more_telling(known)));
                webpki::Error::UnknownRevocationStatus
            })
        };
        let path = leaf
            .verify_for_usage(
                ALGORITHMS.all,
                self.authorities.anchors(),
                &pool,
                now,
                // `required` would demand the usage of intermediates too; the peer's own is checked below.
                KeyUsage::client_auth(),
                None,
                Some(&judge),
            )
            .map_err(|error| refusal.take().unwrap_or_else(|| error.into()))?;
        let anchor = self.path_anchor(&path)?;
        let chain = VerifiedChain::new(&path, self.name.clone(), anchors, anchor)?;
        match chain.facts().client_usage() {
            ClientUsage::Stated => Ok(chain),
            ClientUsage::Unstated | ClientUsage::Foreign => Err(VerifyError::WrongUsage),
        }
    }

    fn judge(&self, path: &VerifiedPath<'_>, now: UnixTime) -> Result<(), VerifyError> {
        let not_after = self.path_anchor(path)?.end;
        if now.as_secs() > not_after {
            return Err(VerifyError::Expired { now, not_after });
        }
        self.check_links(&peer::links(path)?, now)
    }

    fn path_anchor(&self, path: &VerifiedPath<'_>) -> Result<PathAnchor, VerifyError> {
        self.authorities.path_anchor(path.anchor()).ok_or(VerifyError::UnknownIssuer)
    }

    /// Looks every certificate of a path up.
    pub(super) fn check_links(&self, links: &[PathLink], now: UnixTime) -> Result<(), VerifyError> {
        let Some(lists) = &self.revocation else { return Ok(()) };
        let mut refusal: Option<VerifyError> = None;
        for link in links {
            let (issuer, serial) = (link.issuer(), link.serial());
            let error = match lists.status(link, now) {
                RevocationStatus::Good => continue,
                RevocationStatus::Revoked => VerifyError::Revoked { issuer, serial },
                RevocationStatus::Unknown => VerifyError::RevocationUnknown { issuer, serial },
                RevocationStatus::Stale { since } => VerifyError::RevocationStale { issuer, serial, since },
            };
            refusal = Some(error.more_telling(refusal));
        }
        refusal.map_or(Ok(()), Err)
    }
}

fn load_lists(
    lists: &[CertificateRevocationListDer<'_>],
    authorities: &Authorities,
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
    for authority in authorities.all() {
        let name = || authority.name().to_owned();
        match loaded.next_update(authority.id()) {
            None => faults.push(TrustError::NoRevocationList { name: name() }),
            Some(since) if now.as_secs() >= since => {
                faults.push(TrustError::StaleRevocationList { name: name(), since });
            }
            Some(_) => {}
        }
    }
    loaded
}
