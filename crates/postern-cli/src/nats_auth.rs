//! Keys and credentials of the users of the NATS servers: made by `init`, renewed by `keys renew`.
//!
//! What a stage needs is in a directory of its own, `keys/nats/STAGE`; what signs for others is in
//! `keys/nats/operator`, which no stage reads.

use crate::directory::RingDirectory;
use crate::hop::Hop;
use crate::nats;
use crate::secret_file;
use anyhow::{Context as _, bail};
use postern_bus::jwt::{self, AccountClaims, AccountLimits, UserClaims};
use postern_bus::permission::Permissions;
use postern_bus::server_conf::{Accounts, KnownBy, User};
use postern_bus::{KeyPair, Secret, SignIn};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a user's JWT is good for unless told otherwise.
pub const DEFAULT_JWT_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// Work factor of bcrypt. Passwords and tokens of a ring are 192 random bits, which nobody guesses however fast
/// a guess is; a higher one would only slow each connection down.
const BCRYPT_COST: u32 = 5;

/// How stages and the administrator sign in to the NATS servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum NatsAuth {
    /// Short-lived JWTs signed by an account key that stays with the operator; permissions are in the JWT.
    #[default]
    Jwt,
    /// A key pair for each user; the server knows public keys and permissions.
    Nkey,
    /// User and password; the server knows bcrypt hashes and permissions.
    Password,
    /// One token for each server, and no permissions: whoever has it is the server's administrator.
    Token,
}

impl NatsAuth {
    /// How a user signs in; paths relative to the ring's directory.
    pub(crate) fn sign_in(self, hop: Hop, user: &str) -> SignIn {
        let file = |extension| RingDirectory::nats_file(hop, user, extension).into();
        match self {
            NatsAuth::Jwt => SignIn::Jwt {
                jwt_file: file("jwt"),
                seed_file: file("seed"),
            },
            NatsAuth::Nkey => SignIn::Nkey {
                seed_file: file("seed"),
            },
            NatsAuth::Password => SignIn::Password {
                password_file: file("password"),
            },
            NatsAuth::Token => SignIn::Token {
                token_file: file("token"),
            },
        }
    }

    /// What the operator gives up by it, in words for the terminal.
    pub fn warning(self) -> Option<&'static str> {
        match self {
            NatsAuth::Jwt | NatsAuth::Nkey | NatsAuth::Password => None,
            NatsAuth::Token => Some(
                "With --nats-auth token each NATS server has one token and no permissions: both stages of a hop are its
administrators. A hijacked one can read, empty and remove the stream and listen to the other; it still can't open or
make a sealed message, and can't reach the other servers. Promise P2 does not hold. Choose jwt unless you must.",
            ),
        }
    }
}

/// A user of a hop's server.
pub(crate) struct HopUser {
    pub(crate) name: &'static str,
    /// `None` is the administrator.
    pub(crate) permissions: Option<Permissions>,
}

/// Makes the credentials of all users of a hop's server, and what the server must know of them.
///
/// # Errors
/// When a file can't be written.
pub(crate) fn make(
    ring: &RingDirectory,
    auth: NatsAuth,
    hop: Hop,
    users: &[HopUser],
    limits: &AccountLimits,
    jwt_lifetime: Duration,
) -> anyhow::Result<Accounts> {
    let put = |user: &str, extension: &str, text: &str| {
        secret_file::write(
            &ring.join(RingDirectory::nats_file(hop, user, extension)),
            &format!("{text}\n"),
        )
    };
    match auth {
        NatsAuth::Token => {
            let token = secret_file::random_password()?;
            for user in users {
                put(user.name, "token", &token)?;
            }
            Ok(Accounts::Token {
                hash: bcrypt::hash(&token, BCRYPT_COST)?,
            })
        }
        NatsAuth::Password => known(users, |user| {
            let password = secret_file::random_password()?;
            put(user, "password", &password)?;
            Ok(KnownBy::Password {
                name: user.to_owned(),
                hash: bcrypt::hash(&password, BCRYPT_COST)?,
            })
        }),
        NatsAuth::Nkey => known(users, |user| {
            let key = KeyPair::new_user();
            put(user, "seed", &key.seed()?)?;
            Ok(KnownBy::Nkey(key.public_key()))
        }),
        NatsAuth::Jwt => {
            let account = KeyPair::new_account();
            secret_file::write(
                &ring.join(RingDirectory::nats_account_seed(hop)),
                &format!("{}\n", account.seed()?),
            )?;
            for user in users {
                put(user.name, "seed", &KeyPair::new_user().seed()?)?;
            }
            issue(ring, hop, users, jwt_lifetime)?;
            operator_accounts(ring, hop, limits, BTreeMap::new())
        }
    }
}

fn known(users: &[HopUser], known_by: impl Fn(&str) -> anyhow::Result<KnownBy>) -> anyhow::Result<Accounts> {
    let user = |user: &HopUser| -> anyhow::Result<User> {
        Ok(User {
            known_by: known_by(user.name)?,
            permissions: user.permissions.clone(),
        })
    };
    Ok(Accounts::Users(users.iter().map(user).collect::<Result<_, _>>()?))
}

/// Makes the operator's key, which vouches for the accounts of all four servers, and what never changes of them: a
/// server takes other accounts while it runs, but not another operator or system account.
///
/// # Errors
/// When a file can't be written.
pub(crate) fn make_operator(ring: &RingDirectory) -> anyhow::Result<()> {
    let operator = KeyPair::new_operator();
    let put =
        |path: std::path::PathBuf, text: &str| secret_file::write(&ring.join(path), &format!("{text}\n"));
    put(
        RingDirectory::nats_operator_file("operator.seed"),
        &operator.seed()?,
    )?;
    let token = jwt::sign_operator("ring", now_s(), &operator)?;
    put(RingDirectory::nats_operator_file("operator.jwt"), &token)?;
    // Nobody is ever to sign in to the system account, so nobody keeps its key.
    let claims = AccountClaims {
        name: "SYS".to_owned(),
        subject: KeyPair::new_account().public_key(),
        issued_at_s: now_s(),
        limits: None,
        revoked: BTreeMap::new(),
    };
    let token = jwt::sign_account(&claims, &operator)?;
    Ok(put(RingDirectory::nats_operator_file("system.jwt"), &token)?)
}

/// New JWTs for the users of a hop's server, for the keys that they have.
///
/// # Errors
/// When the account's key or a user's is missing, or a file can't be written.
pub(crate) fn issue(
    ring: &RingDirectory,
    hop: Hop,
    users: &[HopUser],
    lifetime: Duration,
) -> anyhow::Result<()> {
    let account = key(ring, &RingDirectory::nats_account_seed(hop))?;
    let issued_at_s = now_s();
    for user in users {
        let claims = UserClaims {
            name: user.name.to_owned(),
            subject: key(ring, &RingDirectory::nats_file(hop, user.name, "seed"))?.public_key(),
            issued_at_s,
            expires_at_s: issued_at_s.saturating_add(lifetime.as_secs()),
            permissions: user.permissions.clone(),
        };
        let token = jwt::sign_user(&claims, &account)?;
        secret_file::write(
            &ring.join(RingDirectory::nats_file(hop, user.name, "jwt")),
            &format!("{token}\n"),
        )?;
    }
    Ok(())
}

/// When the first JWT of a hop's users runs out (seconds since 1970).
///
/// # Errors
/// When one can't be read.
pub(crate) fn first_expiry_s(ring: &RingDirectory, hop: Hop) -> anyhow::Result<u64> {
    let mut first = u64::MAX;
    for user in nats::user_names(hop) {
        let file = ring.join(RingDirectory::nats_file(hop, user, "jwt"));
        let token = Secret::read(&file)?;
        let card = jwt::read_user(token.expose()).with_context(|| format!("`{}`", file.display()))?;
        first = first.min(card.expires_at_s.unwrap_or(u64::MAX));
    }
    Ok(first)
}

/// What a server must know of the operator, and of its one account.
pub(crate) fn operator_accounts(
    ring: &RingDirectory,
    hop: Hop,
    limits: &AccountLimits,
    revoked: BTreeMap<String, u64>,
) -> anyhow::Result<Accounts> {
    let operator = key(ring, &RingDirectory::nats_operator_file("operator.seed"))?;
    let account = key(ring, &RingDirectory::nats_account_seed(hop))?;
    let token = |name| -> anyhow::Result<String> {
        let file = ring.join(RingDirectory::nats_operator_file(name));
        Ok(Secret::read(&file)?.expose().to_owned())
    };
    let system = token("system.jwt")?;
    let claims = AccountClaims {
        name: hop.name().to_owned(),
        subject: account.public_key(),
        issued_at_s: now_s(),
        limits: Some(*limits),
        revoked,
    };
    Ok(Accounts::Operator {
        operator: token("operator.jwt")?,
        system: (jwt::read_account(&system)?, system),
        ring: (account.public_key(), jwt::sign_account(&claims, &operator)?),
    })
}

/// Gives a user a new key in the place of the one it has; gives back the old public key. Its JWT is still for the
/// old one.
///
/// # Errors
/// When the old key can't be read or the new one not be written.
pub(crate) fn replace_key(ring: &RingDirectory, hop: Hop, user: &str) -> anyhow::Result<String> {
    let file = RingDirectory::nats_file(hop, user, "seed");
    let old = key(ring, &file)?.public_key();
    secret_file::write(&ring.join(file), &format!("{}\n", KeyPair::new_user().seed()?))?;
    Ok(old)
}

/// A key from its seed, which is relative to the ring's directory.
fn key(ring: &RingDirectory, seed: &std::path::Path) -> anyhow::Result<KeyPair> {
    let file = ring.join(seed);
    match KeyPair::from_seed(Secret::read(&file)?.expose()) {
        Ok(key) => Ok(key),
        Err(_) => bail!("`{}` does not hold the seed of an nkey", file.display()),
    }
}

/// Makes the directories for all of it.
///
/// # Errors
/// Whatever the file system says.
pub(crate) fn make_folders(ring: &RingDirectory, users: &[&str]) -> anyhow::Result<()> {
    for user in users {
        secret_file::directory(&ring.join(RingDirectory::nats_folder(user)))?;
    }
    secret_file::directory(&ring.join(RingDirectory::nats_operator_folder()))?;
    Ok(secret_file::directory(&ring.join("nats/tls"))?)
}

/// Seconds since 1970 by this machine's clock.
pub(crate) fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
