//! How names that peers choose are hashed where they are looked up for every message.
//!
//! `foldhash` costs a fifth of the standard library's SipHash, and promises less: nobody is to find names that collide without
//! knowing its seed. So the seed is of the system's generator, once for the process, and the tables of names that peers choose are
//! bounded and one session's own. Such names that all sessions share, in the subscriptions' index and the owners of inboxes, stay with
//! SipHash.

use std::hash::BuildHasher;
use std::sync::LazyLock;

use foldhash::SharedSeed;
use foldhash::fast::{FoldHasher, SeedableRandomState};

use crate::random::random;

static SEED: LazyLock<(u64, SharedSeed)> = LazyLock::new(|| {
    let [own, shared] = [random(), random()].map(u64::from_ne_bytes);
    (own, SharedSeed::from_u64(shared))
});

/// Builds the hashers of a table.
#[derive(Clone)]
pub struct Keyed(SeedableRandomState);

impl Default for Keyed {
    fn default() -> Self {
        let (own, shared) = &*SEED;
        Self(SeedableRandomState::with_seed(*own, shared))
    }
}

impl BuildHasher for Keyed {
    type Hasher = FoldHasher<'static>;

    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }
}
