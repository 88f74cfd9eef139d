//! The keys of one run of one stage: sealers and openers for the links it is an end of.

use crate::derive::LinkKey;
use crate::key::{PublicKey, SecretKey};
use crate::open::Opener;
use crate::seal::Sealer;
use postern_types::{InstanceId, Link, Stage};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// Why a keyring can't give a sealer or an opener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// The stage is not that end of the link.
    #[error("{stage} is not that end of the link {}", link.name())]
    NotOurs {
        /// This stage.
        stage: Stage,
        /// The link asked for.
        link: Link,
    },
    /// The configuration has no public key of the other end.
    #[error("no public key of {0} is configured")]
    NoPeer(Stage),
    /// The other end's public key is one with which no secret can be agreed.
    #[error("the public key of {0} is not usable")]
    WeakPeer(Stage),
}

/// The keys of one epoch: our own secret, and the public keys of the stages we share a link with.
#[derive(Clone)]
pub struct Generation {
    /// Number of the epoch; it is part of every key that follows from these.
    pub epoch: u32,
    /// Our own secret.
    pub secret: SecretKey,
    /// The others' public keys.
    pub peers: BTreeMap<Stage, PublicKey>,
}

/// Keys that open and do not seal: those of the epoch that is to come, and of the one that was.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The keys.
    pub generation: Generation,
    /// Milliseconds since the Unix epoch until which envelopes of other stages are opened with them.
    pub until_ms: u64,
    /// The same for what a stage seals to itself, which may have to be good for longer: a ticket is as old as its session.
    pub own_until_ms: u64,
}

/// All keys that hold at one time. A rotation needs no pause: first every stage accepts the new epoch, then it is made
/// current everywhere while the old one is still accepted, then the old one runs out.
#[derive(Clone, Debug)]
pub struct Generations {
    /// Sealing uses this one.
    pub current: Generation,
    /// Opening uses these as well.
    pub others: Vec<Accepted>,
}

impl From<Generation> for Generations {
    fn from(current: Generation) -> Generations {
        Generations {
            current,
            others: Vec::new(),
        }
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation")
            .field("epoch", &self.epoch)
            .field("peers", &self.peers)
            .finish_non_exhaustive()
    }
}

/// The keys of one run of one stage.
pub struct Keyring {
    stage: Stage,
    instance: InstanceId,
    keys: Arc<Keys>,
    /// One nonce counter for each link, shared by all of its sealers: two sealers must never use the same
    /// nonce under the same key.
    counters: BTreeMap<u8, Arc<AtomicU64>>,
}

/// What sealers and openers look at to notice that the keys were turned.
pub(crate) struct Keys {
    stage: Stage,
    version: AtomicU64,
    generations: RwLock<Generations>,
}

/// A key to open with, and until when.
pub(crate) struct OpeningKey {
    pub(crate) epoch: u32,
    pub(crate) key: LinkKey,
    pub(crate) until_ms: u64,
}

impl Keys {
    /// Changes whenever the keys do.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    fn generations(&self) -> RwLockReadGuard<'_, Generations> {
        self.generations.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The epoch to seal with, and its key.
    pub(crate) fn sealing(&self, link: Link) -> Result<(u32, LinkKey), KeyringError> {
        let generations = self.generations();
        let current = &generations.current;
        Ok((current.epoch, link_key(self.stage, current, link, true)?))
    }

    /// The keys to open with, the current one first.
    pub(crate) fn opening(&self, link: Link) -> Result<Vec<OpeningKey>, KeyringError> {
        opening(self.stage, &self.generations(), link)
    }
}

fn opening(stage: Stage, generations: &Generations, link: Link) -> Result<Vec<OpeningKey>, KeyringError> {
    let current = (&generations.current, u64::MAX);
    let own = link.sender() == link.receiver();
    let others = generations.others.iter().map(|accepted| {
        let until_ms = if own {
            accepted.own_until_ms
        } else {
            accepted.until_ms
        };
        (&accepted.generation, until_ms)
    });
    let all = std::iter::once(current).chain(others);
    all.map(|(generation, until_ms)| {
        Ok(OpeningKey {
            epoch: generation.epoch,
            key: link_key(stage, generation, link, false)?,
            until_ms,
        })
    })
    .collect()
}

fn link_key(stage: Stage, keys: &Generation, link: Link, we_send: bool) -> Result<LinkKey, KeyringError> {
    let peer = if we_send { link.receiver() } else { link.sender() };
    let own;
    let key = if peer == stage {
        own = keys.secret.public();
        &own
    } else {
        keys.peers.get(&peer).ok_or(KeyringError::NoPeer(peer))?
    };
    LinkKey::derive(&keys.secret, key, link, we_send, keys.epoch).ok_or(KeyringError::WeakPeer(peer))
}

impl Keyring {
    /// A keyring. `instance` must be fresh and random at each process start, and no two keyrings may be made
    /// with the same one: it separates this run's seal keys, and so its nonces, from every other run's.
    pub fn new(stage: Stage, instance: InstanceId, generations: impl Into<Generations>) -> Keyring {
        let counters = Link::ALL
            .into_iter()
            .map(|link| (link as u8, Arc::default()))
            .collect();
        let keys = Keys {
            stage,
            version: AtomicU64::new(0),
            generations: RwLock::new(generations.into()),
        };
        Keyring {
            stage,
            instance,
            keys: Arc::new(keys),
            counters,
        }
    }

    /// The stage whose keys these are.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// This run of the stage.
    pub fn instance(&self) -> InstanceId {
        self.instance
    }

    /// The epoch that is sealed with now.
    pub fn epoch(&self) -> u32 {
        self.keys.generations().current.epoch
    }

    /// Takes other keys from now on, in every sealer and opener of this keyring. Nonces go on counting, so that going back
    /// to an earlier epoch repeats none.
    ///
    /// # Errors
    /// When one of the stage's links could not be used with them; nothing has changed then.
    pub fn turn(&self, generations: Generations) -> Result<(), KeyringError> {
        for link in Link::ALL {
            if link.sender() == self.stage {
                link_key(self.stage, &generations.current, link, true)?;
            }
            if link.receiver() == self.stage {
                opening(self.stage, &generations, link)?;
            }
        }
        let mut held = self
            .keys
            .generations
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *held = generations;
        self.keys.version.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// A sealer for a link that this stage sends on.
    ///
    /// # Errors
    /// When the stage does not send on the link, or the receiver's public key is missing or unusable.
    pub fn sealer(&self, link: Link) -> Result<Sealer, KeyringError> {
        let not_ours = KeyringError::NotOurs {
            stage: self.stage,
            link,
        };
        if link.sender() != self.stage {
            return Err(not_ours);
        }
        let counter = self.counters.get(&(link as u8)).ok_or(not_ours)?;
        Sealer::new(link, self.instance, Arc::clone(&self.keys), Arc::clone(counter))
    }

    /// An opener for a link that this stage receives on.
    ///
    /// # Errors
    /// When the stage does not receive on the link, or the sender's public key is missing or unusable.
    pub fn opener(&self, link: Link) -> Result<Opener, KeyringError> {
        if link.receiver() != self.stage {
            return Err(KeyringError::NotOurs {
                stage: self.stage,
                link,
            });
        }
        Opener::new(link, Arc::clone(&self.keys))
    }

    #[cfg(test)]
    pub(crate) fn counter(&self, link: Link) -> &AtomicU64 {
        &self.counters[&(link as u8)]
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("stage", &self.stage)
            .field("instance", &self.instance)
            .field("generations", &*self.keys.generations())
            .finish_non_exhaustive()
    }
}
