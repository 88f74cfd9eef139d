//! The keys of a stage, as configured.

use postern_bus::{Secret, SecretError};
use postern_envelope::{Generation, Keyring, PublicKey, SecretKey};
use postern_types::{InstanceId, Stage};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The stage's own key pair and the public keys of its peers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysConfig {
    /// File with the X25519 secret key, base64.
    pub secret_file: PathBuf,
    /// Number of the current key epoch.
    pub epoch: u32,
    /// Public keys, base64, by stage.
    pub peers: BTreeMap<Stage, PublicKey>,
}

/// Why the keys can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The secret can't be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The secret file does not hold a key.
    #[error("`{}` does not hold a secret key: 32 bytes in base64", file.display())]
    SecretText {
        /// The file.
        file: PathBuf,
    },
}

impl KeysConfig {
    /// Reads the secret and makes the keyring of one run of `stage`.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub fn keyring(&self, stage: Stage, instance: InstanceId) -> Result<Keyring, KeysError> {
        let text = Secret::read(&self.secret_file)?;
        let secret = SecretKey::parse(text.expose()).map_err(|_| KeysError::SecretText {
            file: self.secret_file.clone(),
        })?;
        let generation = Generation {
            epoch: self.epoch,
            secret,
            peers: self.peers.clone(),
        };
        Ok(Keyring::new(stage, instance, generation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_types::Link;

    #[test]
    fn a_keyring_is_made_from_files_and_text() {
        let dir = tempfile::tempdir().unwrap();
        let own = SecretKey::generate().unwrap();
        let peer = SecretKey::generate().unwrap();
        let secret_file = dir.path().join("frontend.key");
        std::fs::write(&secret_file, format!("{}\n", own.to_base64().as_str())).unwrap();
        let text = format!(
            "secret_file = {:?}\nepoch = 1\n[peers]\nquery-validator = \"{}\"\nresponse-validator = \"{}\"\n",
            secret_file,
            peer.public(),
            peer.public()
        );
        let config: KeysConfig = toml::from_str(&text).unwrap();
        let instance = InstanceId([1; 16]);
        let keyring = config.keyring(Stage::Frontend, instance).unwrap();
        assert!(keyring.sealer(Link::FrontendToQueryValidator).is_ok());

        std::fs::write(&secret_file, "not a key").unwrap();
        assert!(matches!(
            config.keyring(Stage::Frontend, instance),
            Err(KeysError::SecretText { .. })
        ));

        assert!(
            toml::from_str::<KeysConfig>("secret_file = 'x'\nepoch = 1\npears = {}\npeers = {}").is_err()
        );
        assert!(toml::from_str::<KeysConfig>("secret_file = 'x'\nepoch = 1\n[peers]\nnobody = 'x'").is_err());
    }
}
