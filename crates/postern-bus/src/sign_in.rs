//! Who somebody is to a NATS server, and the proof of it.
//!
//! Files are read anew for each connection, so that what an operator replaces is taken without a restart.
//! Nothing of a secret is kept between two connections, and none of it is in a message of this module.

use crate::jwt::{self, JwtError};
use crate::secret::{Secret, SecretError, SecretSource};
use async_nats::Auth;
use nkeys::{KeyPair, KeyPairType};
use serde::{Deserialize, Serialize};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

/// How one signs in to a NATS server. Each method has its own secrets and no others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case", deny_unknown_fields)]
pub enum SignIn {
    /// The user's name and a password.
    Password {
        /// Where to find the password.
        password_file: SecretSource,
    },
    /// The one token of the server. It says nothing about who it is: the server holds everybody who has it
    /// for the same.
    Token {
        /// Where to find the token.
        token_file: SecretSource,
    },
    /// A key pair of the user's own; the server knows the public key.
    Nkey {
        /// Where to find the seed of the user's key, `SU…`.
        seed_file: SecretSource,
    },
    /// A JWT that names key, permissions and expiry, signed by the account; and the user's key.
    Jwt {
        /// Where to find the JWT.
        jwt_file: SecretSource,
        /// Where to find the seed of the user's key, `SU…`.
        seed_file: SecretSource,
    },
    /// The same in one file, as the `nsc` tool writes it (`.creds`).
    Credentials {
        /// Where to find it.
        credentials_file: SecretSource,
    },
}

/// Why nobody can sign in with these. Mended files are taken at the next attempt.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// Something can't be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// It is not the seed of a user's key.
    #[error("{place} does not hold the seed of a user's nkey, which begins with SU")]
    Seed {
        /// What it is called.
        place: String,
    },
    /// It is not the JWT of a user.
    #[error("{place} does not hold the JWT of a NATS user: {reason}")]
    Jwt {
        /// What it is called.
        place: String,
        /// What is wrong with it.
        reason: JwtError,
    },
    /// The JWT is for somebody else's key.
    #[error("the JWT in {place} is for another key than the seed beside it")]
    OtherKey {
        /// What the JWT is called.
        place: String,
    },
    /// A `.creds` file lacks its JWT or its seed.
    #[error("{place} does not hold a JWT and a seed between their BEGIN and END lines")]
    Credentials {
        /// What it is called.
        place: String,
    },
    /// The key would not sign.
    #[error("the nkey can't sign")]
    Signature,
}

impl SignIn {
    /// Where all that it reads comes from.
    pub fn sources(&self) -> Vec<&SecretSource> {
        match self {
            SignIn::Password { password_file } => vec![password_file],
            SignIn::Token { token_file } => vec![token_file],
            SignIn::Nkey { seed_file } => vec![seed_file],
            SignIn::Jwt { jwt_file, seed_file } => vec![jwt_file, seed_file],
            SignIn::Credentials { credentials_file } => vec![credentials_file],
        }
    }

    /// The same with relative paths taken from `base`.
    #[must_use]
    pub fn rooted(&self, base: &Path) -> SignIn {
        match self {
            SignIn::Password { password_file } => SignIn::Password {
                password_file: password_file.rooted(base),
            },
            SignIn::Token { token_file } => SignIn::Token {
                token_file: token_file.rooted(base),
            },
            SignIn::Nkey { seed_file } => SignIn::Nkey {
                seed_file: seed_file.rooted(base),
            },
            SignIn::Jwt { jwt_file, seed_file } => SignIn::Jwt {
                jwt_file: jwt_file.rooted(base),
                seed_file: seed_file.rooted(base),
            },
            SignIn::Credentials { credentials_file } => SignIn::Credentials {
                credentials_file: credentials_file.rooted(base),
            },
        }
    }

    /// Reads all of it.
    pub(crate) fn read(&self) -> Result<Credential, SignInError> {
        let proof = match self {
            SignIn::Password { password_file } => Proof::Password(password_file.read()?),
            SignIn::Token { token_file } => Proof::Token(token_file.read()?),
            SignIn::Nkey { seed_file } => Proof::Nkey(seed(&seed_file.read()?, seed_file)?),
            SignIn::Jwt { jwt_file, seed_file } => {
                let key = seed(&seed_file.read()?, seed_file)?;
                user_jwt(jwt_file.read()?, key, jwt_file)?
            }
            SignIn::Credentials { credentials_file } => {
                let text = credentials_file.read()?;
                let (token, key) =
                    parts_of_credentials(text.expose()).ok_or_else(|| SignInError::Credentials {
                        place: credentials_file.to_string(),
                    })?;
                let key = seed(&key, credentials_file)?;
                user_jwt(token, key, credentials_file)?
            }
        };
        Ok(Credential(proof))
    }
}

/// What was read, checked as far as it can be without the server.
pub(crate) struct Credential(Proof);

enum Proof {
    Password(Secret),
    Token(Secret),
    Nkey(KeyPair),
    Jwt {
        token: Secret,
        key: KeyPair,
        expires_at_s: Option<u64>,
    },
}

impl Credential {
    /// What the server is told. `nonce` is the server's own, to be signed.
    pub(crate) fn answer(&self, user: &str, nonce: &[u8]) -> Result<Auth, SignInError> {
        let sign = |key: &KeyPair| key.sign(nonce).map_err(|_| SignInError::Signature);
        let mut auth = Auth::new();
        match &self.0 {
            Proof::Password(password) => {
                auth.username = Some(user.to_owned());
                auth.password = Some(password.expose().to_owned());
            }
            Proof::Token(token) => auth.token = Some(token.expose().to_owned()),
            Proof::Nkey(key) => {
                auth.nkey = Some(key.public_key());
                auth.signature = Some(sign(key)?);
            }
            Proof::Jwt { token, key, .. } => {
                auth.jwt = Some(token.expose().to_owned());
                auth.signature = Some(sign(key)?);
            }
        }
        Ok(auth)
    }

    /// When it runs out, in seconds since 1970, where it does.
    pub(crate) fn expires_at_s(&self) -> Option<u64> {
        match &self.0 {
            Proof::Jwt { expires_at_s, .. } => *expires_at_s,
            Proof::Password(_) | Proof::Token(_) | Proof::Nkey(_) => None,
        }
    }

    /// Adds what tells this credential from the next one that is put in its place.
    pub(crate) fn mark(&self, state: &mut DefaultHasher) {
        match &self.0 {
            Proof::Password(secret) | Proof::Token(secret) => secret.expose().hash(state),
            Proof::Nkey(key) => key.public_key().hash(state),
            Proof::Jwt { token, .. } => token.expose().hash(state),
        }
        state.write_u8(0);
    }
}

fn seed(text: &Secret, source: &SecretSource) -> Result<KeyPair, SignInError> {
    KeyPair::from_seed(text.expose())
        .ok()
        .filter(|key| key.key_pair_type() == KeyPairType::User)
        .ok_or_else(|| SignInError::Seed {
            place: source.to_string(),
        })
}

fn user_jwt(token: Secret, key: KeyPair, source: &SecretSource) -> Result<Proof, SignInError> {
    let card = jwt::read_user(token.expose()).map_err(|reason| SignInError::Jwt {
        place: source.to_string(),
        reason,
    })?;
    if card.subject != key.public_key() {
        return Err(SignInError::OtherKey {
            place: source.to_string(),
        });
    }
    Ok(Proof::Jwt {
        token,
        key,
        expires_at_s: card.expires_at_s,
    })
}

/// The JWT and the seed of a `.creds` file: the lines between their BEGIN and END.
fn parts_of_credentials(text: &str) -> Option<(Secret, Secret)> {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let between = |begin: &str, end: &str| {
        lines.windows(3).find_map(|three| match three {
            [above, line, below] if above.contains(begin) && below.contains(end) => {
                Some(Secret::new((*line).to_owned()))
            }
            _ => None,
        })
    };
    Some((
        between("BEGIN NATS USER JWT", "END NATS USER JWT")?,
        between("BEGIN USER NKEY SEED", "END USER NKEY SEED")?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::{UserClaims, sign_user};
    use crate::permission::Permissions;

    fn keep(file: &Path, text: impl AsRef<[u8]>) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::write(file, text).unwrap();
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn parse(text: &str) -> Result<SignIn, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn a_mix_of_methods_can_not_be_written() {
        assert!(parse("method = 'jwt'\njwt_file = 'a'\nseed_file = 'b'").is_ok());
        assert!(parse("method = 'credentials'\ncredentials_file = 'a'").is_ok());
        for bad in [
            "password_file = 'a'",
            "method = 'password'",
            "method = 'none'",
            "method = 'jwt'\njwt_file = 'a'",
            "method = 'jwt'\njwt_file = 'a'\nseed_file = 'b'\ncredentials_file = 'c'",
            "method = 'nkey'\nseed_file = 'a'\npassword_file = 'b'",
            "method = 'token'\ntoken_file = 'a'\nuser = 'b'",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    fn token(account: &KeyPair, user: &KeyPair) -> String {
        let claims = UserClaims {
            name: "reader".into(),
            subject: user.public_key(),
            issued_at_s: 1,
            expires_at_s: 2,
            permissions: Some(Permissions::default()),
        };
        sign_user(&claims, account).unwrap()
    }

    #[test]
    fn a_jwt_must_be_for_the_key_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let (jwt_file, seed_file) = (directory.path().join("jwt"), directory.path().join("seed"));
        let (account, user) = (KeyPair::new_account(), KeyPair::new_user());
        keep(&jwt_file, token(&account, &user));
        keep(&seed_file, user.seed().unwrap());
        let sign_in = SignIn::Jwt {
            jwt_file: jwt_file.clone().into(),
            seed_file: seed_file.clone().into(),
        };
        let read = sign_in.read().unwrap();
        assert_eq!(read.expires_at_s(), Some(2));
        let auth = read.answer("reader", b"nonce").unwrap();
        user.verify(b"nonce", &auth.signature.unwrap()).unwrap();

        keep(&seed_file, KeyPair::new_user().seed().unwrap());
        assert!(matches!(sign_in.read(), Err(SignInError::OtherKey { .. })));
        keep(&seed_file, account.seed().unwrap());
        assert!(matches!(sign_in.read(), Err(SignInError::Seed { .. })));
        keep(&seed_file, user.seed().unwrap());
        keep(&jwt_file, "a.b.c");
        assert!(matches!(sign_in.read(), Err(SignInError::Jwt { .. })));
    }

    #[test]
    fn a_credentials_file_has_a_jwt_and_a_seed() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("user.creds");
        let (account, user) = (KeyPair::new_account(), KeyPair::new_user());
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
             ************************* IMPORTANT *************************\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            token(&account, &user),
            user.seed().unwrap()
        );
        keep(&file, &text);
        let sign_in = SignIn::Credentials {
            credentials_file: file.clone().into(),
        };
        assert!(sign_in.read().is_ok());
        let cut = text.split("-----BEGIN USER").next().unwrap();
        keep(&file, cut);
        assert!(matches!(sign_in.read(), Err(SignInError::Credentials { .. })));
    }

    #[test]
    fn secrets_are_in_no_message() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("seed");
        keep(&file, "hunter2");
        let failed = SignIn::Nkey {
            seed_file: file.into(),
        }
        .read();
        let Err(error) = failed else { panic!("read") };
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
