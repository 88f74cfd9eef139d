//! Key derivation; the schedule is in the crate's documentation.

use crate::key::{PublicKey, SecretKey};
use postern_types::{InstanceId, Link};
use ring::aead::{AES_256_GCM, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk, Salt};

const ROOT_SALT: &[u8] = b"postern link v1";
const INSTANCE_LABEL: &[u8] = b"postern instance v1";

/// The key of one link in one epoch, from which each sender instance's seal key follows.
#[derive(Clone)]
pub(crate) struct LinkKey(Prk);

impl LinkKey {
    /// Derives the key of `link` in `epoch`. `own` is the secret of one end, `peer` the public key of the
    /// other. `None` when `peer` is a point of low order, whose secret anybody can know.
    pub(crate) fn derive(
        own: &SecretKey,
        peer: &PublicKey,
        link: Link,
        we_send: bool,
        epoch: u32,
    ) -> Option<LinkKey> {
        let shared = own.agree(peer);
        if !shared.was_contributory() {
            return None;
        }
        let own = own.public();
        let (sender, receiver) = if we_send { (&own, peer) } else { (peer, &own) };
        let name = link.name().as_bytes();
        let length = [u8::try_from(name.len()).ok()?];
        let epoch = epoch.to_be_bytes();
        let info: [&[u8]; 5] = [&length, name, &sender.0, &receiver.0, &epoch];
        let root = Salt::new(HKDF_SHA256, ROOT_SALT).extract(shared.as_bytes());
        let key = root.expand(&info, HKDF_SHA256).ok()?;
        Some(LinkKey(Prk::from(key)))
    }

    /// The seal key of one sender instance. `None` can't happen: the lengths are fixed and in range.
    pub(crate) fn seal_key(&self, instance: InstanceId) -> Option<LessSafeKey> {
        let info: [&[u8]; 2] = [INSTANCE_LABEL, &instance.0];
        let key = self.0.expand(&info, &AES_256_GCM).ok()?;
        Some(LessSafeKey::new(UnboundKey::from(key)))
    }
}

/// The nonce of an envelope with this counter.
pub(crate) fn nonce(counter: u64) -> Nonce {
    let [a, b, c, d, e, f, g, h] = counter.to_be_bytes();
    Nonce::assume_unique_for_key([0, 0, 0, 0, a, b, c, d, e, f, g, h])
}
