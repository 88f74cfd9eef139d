//! JSON Web Tokens of NATS, version 2: what an operator says of accounts, and an account of its users.
//!
//! Made by the operator's tools, checked by the NATS servers. A stage only looks at its own to see when it
//! runs out; it never decides anything by one. The tokens hold no secret: whoever presents one must also
//! sign the server's nonce with the key that it names.

use crate::permission::Permissions;
use crate::server_conf::MAX_SUBSCRIPTIONS;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::{KeyPair, KeyPairType};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The longest token that is read, in bytes.
const MAX_JWT_BYTES: usize = 16 * 1024;

/// Why a token can't be made or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// Not three parts of base64url with JSON in the first two, or too long.
    #[error("it is not a JWT")]
    Form,
    /// Signed in another way than NATS does.
    #[error("its algorithm is not ed25519-nkey")]
    Algorithm,
    /// Not signed by the key that it names as its issuer.
    #[error("its signature does not fit")]
    Signature,
    /// Of another kind than wanted, or signed by a kind of key that has no say in it.
    #[error("it is the JWT of somebody else: of another kind, or signed by a key that may not")]
    Kind,
    /// The key can't sign this kind of token.
    #[error("the key can't sign it")]
    Key,
}

/// What is said of an account: its name, its limits, and whom it has thrown out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountClaims {
    /// Name, for people.
    pub name: String,
    /// Public key, `A…`.
    pub subject: String,
    /// When it is said (seconds since 1970).
    pub issued_at_s: u64,
    /// What the account may use; `None` is no limit, for the account of the server itself.
    pub limits: Option<AccountLimits>,
    /// Public keys of users whose tokens count no longer when issued at or before the given second.
    pub revoked: BTreeMap<String, u64>,
}

/// What an account may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountLimits {
    /// Connections at once.
    pub connections: u32,
    /// Subscriptions of all connections together.
    pub subscriptions: u32,
    /// The largest message (bytes).
    pub payload_bytes: usize,
    /// What streams may hold in memory (bytes); 0 is none.
    pub memory_bytes: u64,
    /// What streams may hold on disk (bytes); 0 is none.
    pub disk_bytes: u64,
    /// Streams.
    pub streams: u32,
    /// Consumers.
    pub consumers: u32,
}

/// What an account says of one of its users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserClaims {
    /// Name, for people.
    pub name: String,
    /// Public key, `U…`.
    pub subject: String,
    /// When it is said (seconds since 1970).
    pub issued_at_s: u64,
    /// From when on it counts no longer (seconds since 1970).
    pub expires_at_s: u64,
    /// The subjects that the user may publish and subscribe to; `None` is every subject of its account, as an
    /// administrator needs it.
    pub permissions: Option<Permissions>,
}

/// What a stage reads of its own token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserCard {
    /// Public key of the user.
    pub subject: String,
    /// Public key of the account.
    pub issuer: String,
    /// From when on it counts no longer (seconds since 1970); `None` is never.
    pub expires_at_s: Option<u64>,
    /// What it may do; `None` where publishing or subscribing has no bound.
    pub permissions: Option<Permissions>,
}

/// An operator's token about itself, which a server trusts because its configuration holds it.
///
/// # Errors
/// When the key is not an operator's.
pub fn sign_operator(name: &str, issued_at_s: u64, operator: &KeyPair) -> Result<String, JwtError> {
    let subject = operator.public_key();
    let nats = json!({ "type": "operator", "version": 2 });
    sign(
        operator,
        KeyPairType::Operator,
        name,
        &subject,
        issued_at_s,
        None,
        nats,
    )
}

/// An operator's token about an account.
///
/// # Errors
/// When the key is not an operator's.
pub fn sign_account(claims: &AccountClaims, operator: &KeyPair) -> Result<String, JwtError> {
    let unlimited = AccountLimits::default();
    let limits = claims.limits.as_ref().unwrap_or(&unlimited);
    let bounded = |number: u64| claims.limits.map_or(json!(-1), |_| json!(number));
    let nats = json!({
        "limits": {
            "subs": bounded(limits.subscriptions.into()),
            "data": -1,
            "payload": bounded(limits.payload_bytes as u64),
            "imports": 0,
            "exports": 0,
            "wildcards": false,
            "disallow_bearer": true,
            "conn": bounded(limits.connections.into()),
            "leaf": 0,
            "mem_storage": limits.memory_bytes,
            "disk_storage": limits.disk_bytes,
            "streams": limits.streams,
            "consumer": limits.consumers,
        },
        "revocations": claims.revoked,
        "type": "account",
        "version": 2,
    });
    sign(
        operator,
        KeyPairType::Operator,
        &claims.name,
        &claims.subject,
        claims.issued_at_s,
        None,
        nats,
    )
}

/// An account's token about a user.
///
/// # Errors
/// When the key is not an account's.
pub fn sign_user(claims: &UserClaims, account: &KeyPair) -> Result<String, JwtError> {
    let allow = |subjects: Option<&Vec<String>>| match subjects.map(Vec::as_slice) {
        None => json!({}),
        // An empty list would mean all.
        Some([]) => json!({ "deny": [">"] }),
        Some(subjects) => json!({ "allow": subjects }),
    };
    let permissions = claims.permissions.as_ref();
    let nats = json!({
        "pub": allow(permissions.map(|both| &both.publish)),
        "sub": allow(permissions.map(|both| &both.subscribe)),
        "subs": MAX_SUBSCRIPTIONS,
        "data": -1,
        "payload": -1,
        "allowed_connection_types": ["STANDARD"],
        "type": "user",
        "version": 2,
    });
    sign(
        account,
        KeyPairType::Account,
        &claims.name,
        &claims.subject,
        claims.issued_at_s,
        Some(claims.expires_at_s),
        nats,
    )
}

/// Reads a user's token and checks that its issuer signed it. Whether that issuer is to be believed is for the
/// server to say.
///
/// # Errors
/// See [`JwtError`].
pub fn read_user(token: &str) -> Result<UserCard, JwtError> {
    let body = read(token, "user", KeyPairType::Account)?;
    Ok(UserCard {
        subject: body.sub,
        issuer: body.iss,
        expires_at_s: (body.exp != 0).then_some(body.exp),
        permissions: bounds(body.nats),
    })
}

/// Reads the token of an account and gives back the account's public key.
///
/// # Errors
/// See [`JwtError`].
pub fn read_account(token: &str) -> Result<String, JwtError> {
    Ok(read(token, "account", KeyPairType::Operator)?.sub)
}

#[derive(Deserialize)]
struct Head {
    alg: String,
}

#[derive(Deserialize)]
struct Body {
    sub: String,
    iss: String,
    #[serde(default)]
    exp: u64,
    nats: Nats,
}

#[derive(Deserialize)]
struct Nats {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, rename = "pub")]
    publish: Rule,
    #[serde(default, rename = "sub")]
    subscribe: Rule,
}

#[derive(Default, Deserialize)]
struct Rule {
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    deny: Vec<String>,
}

impl Rule {
    /// What it allows; `None` is everything but what it may deny.
    fn bound(self) -> Option<Vec<String>> {
        match self.allow.is_empty() {
            false => Some(self.allow),
            true if self.deny.iter().any(|subject| subject == ">") => Some(Vec::new()),
            true => None,
        }
    }
}

fn bounds(nats: Nats) -> Option<Permissions> {
    Some(Permissions {
        publish: nats.publish.bound()?,
        subscribe: nats.subscribe.bound()?,
    })
}

fn read(token: &str, kind: &str, issued_by: KeyPairType) -> Result<Body, JwtError> {
    if token.len() > MAX_JWT_BYTES {
        return Err(JwtError::Form);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(JwtError::Form)?;
    let (head, body) = signed.split_once('.').ok_or(JwtError::Form)?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| JwtError::Form);
    let head: Head = serde_json::from_slice(&decode(head)?).map_err(|_| JwtError::Form)?;
    if head.alg != "ed25519-nkey" {
        return Err(JwtError::Algorithm);
    }
    let body: Body = serde_json::from_slice(&decode(body)?).map_err(|_| JwtError::Form)?;
    let issuer = KeyPair::from_public_key(&body.iss).map_err(|_| JwtError::Kind)?;
    if body.nats.kind != kind || issuer.key_pair_type() != issued_by {
        return Err(JwtError::Kind);
    }
    issuer
        .verify(signed.as_bytes(), &decode(signature)?)
        .map_err(|_| JwtError::Signature)?;
    Ok(body)
}

fn sign(
    key: &KeyPair,
    wanted: KeyPairType,
    name: &str,
    subject: &str,
    issued_at_s: u64,
    expires_at_s: Option<u64>,
    nats: Value,
) -> Result<String, JwtError> {
    if key.key_pair_type() != wanted {
        return Err(JwtError::Key);
    }
    let mut body = json!({
        // Only has to differ from token to token.
        "jti": format!("{:016x}{:016x}", crate::connection::random_u64(), crate::connection::random_u64()),
        "iat": issued_at_s,
        "iss": key.public_key(),
        "name": name,
        "sub": subject,
        "nats": nats,
    });
    if let (Some(expires_at_s), Some(fields)) = (expires_at_s, body.as_object_mut()) {
        fields.insert("exp".to_owned(), expires_at_s.into());
    }
    let head = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&head), encode(&body));
    let signature = key.sign(signed.as_bytes()).map_err(|_| JwtError::Key)?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(user: &KeyPair) -> UserClaims {
        UserClaims {
            name: "reader".into(),
            subject: user.public_key(),
            issued_at_s: 100,
            expires_at_s: 200,
            permissions: Some(Permissions {
                publish: vec!["a".into()],
                subscribe: vec!["b".into()],
            }),
        }
    }

    #[test]
    fn a_token_is_read_as_it_was_signed() {
        let (account, user) = (KeyPair::new_account(), KeyPair::new_user());
        let token = sign_user(&claims(&user), &account).unwrap();
        let card = UserCard {
            subject: user.public_key(),
            issuer: account.public_key(),
            expires_at_s: Some(200),
            permissions: claims(&user).permissions,
        };
        assert_eq!(read_user(&token), Ok(card));
        for (permissions, read) in [
            (None, None),
            (Some(Permissions::default()), Some(Permissions::default())),
        ] {
            let claims = UserClaims {
                permissions,
                ..claims(&user)
            };
            let token = sign_user(&claims, &account).unwrap();
            assert_eq!(read_user(&token).unwrap().permissions, read);
        }
    }

    #[test]
    fn keys_sign_only_what_is_theirs_to_say() {
        let (operator, account, user) = (
            KeyPair::new_operator(),
            KeyPair::new_account(),
            KeyPair::new_user(),
        );
        assert_eq!(sign_user(&claims(&user), &operator), Err(JwtError::Key));
        assert_eq!(sign_user(&claims(&user), &user), Err(JwtError::Key));
        assert_eq!(sign_operator("o", 1, &account), Err(JwtError::Key));
        let verified = KeyPair::from_public_key(&account.public_key()).unwrap();
        assert_eq!(sign_user(&claims(&user), &verified), Err(JwtError::Key));
    }

    #[test]
    fn changed_tokens_are_not_read() {
        let (account, user) = (KeyPair::new_account(), KeyPair::new_user());
        let token = sign_user(&claims(&user), &account).unwrap();
        let other = sign_user(&claims(&KeyPair::new_user()), &account).unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let foreign: Vec<&str> = other.split('.').collect();
        let swapped = format!("{}.{}.{}", parts[0], foreign[1], parts[2]);
        assert_eq!(read_user(&swapped), Err(JwtError::Signature));
        let none = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"none"}"#);
        assert_eq!(
            read_user(&format!("{none}.{}.", parts[1])),
            Err(JwtError::Algorithm)
        );
        let long = "a".repeat(MAX_JWT_BYTES + 1);
        for bad in ["", "a", "a.b", "a.b.c", "....", long.as_str(), parts[0]] {
            assert!(read_user(bad).is_err(), "{bad:.20}");
        }
        let operator = sign_operator("o", 1, &KeyPair::new_operator()).unwrap();
        assert_eq!(read_user(&operator), Err(JwtError::Kind));
        assert_eq!(read_account(&token), Err(JwtError::Kind));
    }
}
