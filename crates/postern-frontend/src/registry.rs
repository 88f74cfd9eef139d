//! Cancel keys: which session a CancelRequest means.
//!
//! The key is the only thing that protects a session from a stranger's CancelRequest, so it is random and
//! compared in constant time. Protocol 3.2 clients get 32 bytes, 3.0 clients the 4 they can take.

use postern_types::SessionId;
use std::collections::HashMap;
use subtle::ConstantTimeEq;

/// Longest key in bytes (protocol 3.2; PostgreSQL allows up to 256, and makes 32).
const LONG_KEY_BYTES: usize = 32;
const SHORT_KEY_BYTES: usize = 4;

/// What BackendKeyData tells the client.
#[derive(Clone)]
pub struct CancelKey {
    /// A random number that stands for the session; nothing to do with any process.
    pub process_id: u32,
    /// The secret.
    pub key: Vec<u8>,
}

/// The cancel keys of all sessions.
#[derive(Default)]
pub struct CancelRegistry {
    keys: HashMap<u32, (Vec<u8>, SessionId)>,
}

impl CancelRegistry {
    /// A fresh key for a session. `long` for clients of protocol 3.2.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn register(&mut self, session: SessionId, long: bool) -> Result<CancelKey, getrandom::Error> {
        let mut key = vec![0; if long { LONG_KEY_BYTES } else { SHORT_KEY_BYTES }];
        getrandom::fill(&mut key)?;
        loop {
            // Positive as a signed number too, because that is how some drivers read it.
            let process_id = getrandom::u32()? >> 1;
            if process_id != 0 && !self.keys.contains_key(&process_id) {
                self.keys.insert(process_id, (key.clone(), session));
                return Ok(CancelKey { process_id, key });
            }
        }
    }

    /// The session that this process id and key belong to.
    pub fn find(&self, process_id: u32, key: &[u8]) -> Option<SessionId> {
        let (expected, session) = self.keys.get(&process_id)?;
        bool::from(expected.as_slice().ct_eq(key)).then_some(*session)
    }

    /// Forgets a key.
    pub fn remove(&mut self, process_id: u32) {
        self.keys.remove(&process_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_right_key_is_accepted() {
        let mut registry = CancelRegistry::default();
        let (a, b) = (SessionId([1; 16]), SessionId([2; 16]));
        let key_a = registry.register(a, true).unwrap();
        let key_b = registry.register(b, false).unwrap();
        assert_eq!((key_a.key.len(), key_b.key.len()), (32, 4));
        assert_eq!(registry.find(key_a.process_id, &key_a.key), Some(a));
        assert_eq!(registry.find(key_a.process_id, &key_a.key[..4]), None);
        assert_eq!(registry.find(key_a.process_id, &[]), None);
        assert_eq!(registry.find(key_b.process_id, &key_a.key), None);
        let mut wrong = key_b.key.clone();
        wrong[3] ^= 1;
        assert_eq!(registry.find(key_b.process_id, &wrong), None);
        registry.remove(key_a.process_id);
        assert_eq!(registry.find(key_a.process_id, &key_a.key), None);
    }

    #[test]
    fn process_ids_are_positive_for_drivers_that_read_them_signed() {
        let mut registry = CancelRegistry::default();
        for _ in 0..100 {
            let key = registry.register(SessionId([1; 16]), false).unwrap();
            assert!(i32::try_from(key.process_id).is_ok_and(|id| id > 0));
        }
    }
}
