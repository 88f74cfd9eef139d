//! The keys of one run of one stage: sealers and openers for the links it is an end of.

use crate::derive::LinkKey;
use crate::key::{PublicKey, SecretKey};
use crate::open::Opener;
use crate::seal::Sealer;
use postern_types::{InstanceId, Link, Stage};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

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

/// Key epochs. Sealing uses `current`; opening accepts both, so that a rotation needs no pause: first let
/// every stage accept the new epoch, then make it current everywhere, then drop the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epochs {
    /// The epoch to seal with.
    pub current: u32,
    /// Another epoch that is still (or already) accepted.
    pub previous: Option<u32>,
}

/// The keys of one run of one stage.
pub struct Keyring {
    stage: Stage,
    instance: InstanceId,
    secret: SecretKey,
    peers: BTreeMap<Stage, PublicKey>,
    epochs: Epochs,
    /// One nonce counter for each link, shared by all of its sealers: two sealers must never use the same
    /// nonce under the same key.
    counters: BTreeMap<u8, Arc<AtomicU64>>,
}

impl Keyring {
    /// A keyring. `instance` must be fresh and random at each process start, and no two keyrings may be made
    /// with the same one: it separates this run's seal keys, and so its nonces, from every other run's.
    pub fn new(
        stage: Stage,
        instance: InstanceId,
        secret: SecretKey,
        peers: BTreeMap<Stage, PublicKey>,
        epochs: Epochs,
    ) -> Keyring {
        let counters = Link::ALL
            .into_iter()
            .map(|link| (link as u8, Arc::default()))
            .collect();
        Keyring {
            stage,
            instance,
            secret,
            peers,
            epochs,
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
        let weak = KeyringError::WeakPeer(link.receiver());
        let key = self.link_key(link, link.receiver(), true, self.epochs.current)?;
        let key = key.seal_key(self.instance).ok_or(weak)?;
        let counter = self.counters.get(&(link as u8)).ok_or(not_ours)?;
        Ok(Sealer::new(
            link,
            self.epochs.current,
            self.instance,
            key,
            Arc::clone(counter),
        ))
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
        let epochs = [Some(self.epochs.current), self.epochs.previous];
        let mut keys = Vec::with_capacity(epochs.len());
        for epoch in epochs.into_iter().flatten() {
            keys.push((epoch, self.link_key(link, link.sender(), false, epoch)?));
        }
        Ok(Opener::new(link, keys))
    }

    #[cfg(test)]
    pub(crate) fn counter(&self, link: Link) -> &AtomicU64 {
        &self.counters[&(link as u8)]
    }

    fn link_key(&self, link: Link, peer: Stage, we_send: bool, epoch: u32) -> Result<LinkKey, KeyringError> {
        let own;
        let key = if peer == self.stage {
            own = self.secret.public();
            &own
        } else {
            self.peers.get(&peer).ok_or(KeyringError::NoPeer(peer))?
        };
        LinkKey::derive(&self.secret, key, link, we_send, epoch).ok_or(KeyringError::WeakPeer(peer))
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("stage", &self.stage)
            .field("instance", &self.instance)
            .field("peers", &self.peers)
            .field("epochs", &self.epochs)
            .finish_non_exhaustive()
    }
}
