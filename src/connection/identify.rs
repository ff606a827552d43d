//! Who the verified peer is, and whether it may come in: the verdict that the upgrade stage answers with.

use std::sync::Arc;

use rustls::pki_types::UnixTime;

use crate::clock::unix_now;
use crate::gateway::{Gateway, Phase};
use crate::generation::Generation;
use crate::identity::peer::VerifiedPeer;
use crate::limits::Refused;
use crate::verdict::{self, Overruled, Refusal, Standing};

/// A peer that may have what it asks for if its request is in order, and a session if there is a place.
pub struct Admitted {
    pub peer: Arc<VerifiedPeer>,
    pub standing: Standing,
}

/// Why a verified peer gets no 101, whatever its request says.
#[derive(Debug, thiserror::Error)]
pub enum Turned {
    #[error(transparent)]
    Away(#[from] Refusal),
    #[error(transparent)]
    Full(#[from] Refused),
    #[error("the verdict was overruled before the request was answered")]
    Overruled(#[from] Overruled),
    #[error("the gateway is draining")]
    Draining,
}

/// Judges the peer by `generation`. `refused` is what admission had to say before any crypto.
pub fn identify(
    peer: VerifiedPeer,
    generation: &Generation,
    refused: Option<Refused>,
    gateway: &Gateway,
) -> Result<Admitted, Turned> {
    if gateway.phase() != Phase::Running {
        return Err(Turned::Draining);
    }
    if let Some(refused) = refused {
        return Err(refused.into());
    }
    let standing = verdict::judge(generation, &peer)?;
    Ok(Admitted { peer: Arc::new(peer), standing })
}

impl Admitted {
    /// The same by what holds now. A slow request leaves time in which a verdict grows old, and what is answered is
    /// the last word before the session.
    pub fn confirm(self, gateway: &Gateway) -> Result<Self, Turned> {
        if gateway.phase() != Phase::Running {
            return Err(Turned::Draining);
        }
        if gateway.generation_number() == self.standing.generation {
            return Ok(self);
        }
        self.judged_by(&gateway.generation(), unix_now())
    }

    /// The same by `generation` and by the time, whatever was judged before.
    pub fn judged_by(mut self, generation: &Generation, now: UnixTime) -> Result<Self, Turned> {
        let upheld = verdict::judge_again(generation, &self.peer, &self.standing, now)?;
        (self.peer, self.standing) = (upheld.peer, upheld.standing);
        Ok(self)
    }
}
