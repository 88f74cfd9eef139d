//! The configuration of a NATS server that carries one hop: who gets in, what each may do, and how much of
//! anything there may be.
//!
//! What is not written here is off: no monitoring port, no cluster, no leaf nodes, no gateway, no WebSocket,
//! no user for those who do not say who they are. The system account has no users at all, so nobody can
//! subscribe to `$SYS` there.

use crate::MAX_MESSAGE_BYTES;
use crate::jwt::AccountLimits;
use crate::permission::Permissions;
use std::fmt::Write as _;

/// How often the share of the one account with streams fits into what the server may use: for each of the hop's
/// connections once.
const ROOM: u64 = 8;
/// Subscriptions that one connection may have. A stage has one, the administrator one.
pub const MAX_SUBSCRIPTIONS: u32 = 16;
/// The longest line of the protocol (bytes): room for a JWT in CONNECT, and for any subject of a ring.
const MAX_CONTROL_LINE_BYTES: u32 = 4096;
/// Suites of TLS 1.3 only, so that an older version finds none. Said in this way because it is understood by all
/// versions of the server, which `min_version` is not.
const SUITES: &str =
    "\"TLS_AES_128_GCM_SHA256\", \"TLS_AES_256_GCM_SHA384\", \"TLS_CHACHA20_POLY1305_SHA256\"";

/// One server.
#[derive(Clone, Debug)]
pub struct ServerSpec<'a> {
    /// Its name.
    pub name: &'a str,
    /// ADDRESS:PORT.
    pub listen: &'a str,
    /// Directory of the streams, as seen from where the server is run.
    pub store_directory: &'a str,
    /// File with the accounts, beside the server's own configuration.
    pub accounts_file: &'a str,
    /// What it may use.
    pub limits: AccountLimits,
    /// TLS, and none without it.
    pub tls: Option<ServerTls<'a>>,
}

/// Files of a server's own certificate, as seen from where it is run.
#[derive(Clone, Copy, Debug)]
pub struct ServerTls<'a> {
    /// Its certificate.
    pub certificate_file: &'a str,
    /// The key of that.
    pub key_file: &'a str,
    /// The CA that the certificates of all clients must be signed by.
    pub ca_file: &'a str,
}

/// Who gets in.
#[derive(Clone, Debug)]
pub enum Accounts {
    /// Users that the server knows itself.
    Users(Vec<User>),
    /// Everybody who has the token, as administrator: NATS knows no permissions for holders of a token.
    Token {
        /// bcrypt hash of the token.
        hash: String,
    },
    /// Users of one account that an operator vouches for.
    Operator {
        /// The operator's JWT.
        operator: String,
        /// Public key and JWT of the system account.
        system: (String, String),
        /// Public key and JWT of the account of the ring.
        ring: (String, String),
    },
}

/// One user.
#[derive(Clone, Debug)]
pub struct User {
    /// How the server knows it.
    pub known_by: KnownBy,
    /// What it may do; `None` is all that its account may, as an administrator needs it.
    pub permissions: Option<Permissions>,
}

/// How a server knows a user.
#[derive(Clone, Debug)]
pub enum KnownBy {
    /// Name and password.
    Password {
        /// The name.
        name: String,
        /// bcrypt hash of the password.
        hash: String,
    },
    /// Its public nkey, `U…`.
    Nkey(String),
}

impl ServerSpec<'_> {
    /// The text of the server's configuration.
    pub fn to_conf(&self) -> String {
        let limits = &self.limits;
        let mut text = format!(
            "server_name: \"{name}\"
listen: \"{listen}\"

# Room for the largest PostgreSQL message that a stage lets through, sealed (bytes).
max_payload: {MAX_MESSAGE_BYTES}
max_pending: 67108864
max_control_line: {MAX_CONTROL_LINE_BYTES}
# For each user of the hop one connection, and one more while it is made anew.
max_connections: {connections}
# Of one connection.
max_subscriptions: {MAX_SUBSCRIPTIONS}
# A client that does not answer makes room for the next.
ping_interval: \"10s\"
ping_max: 2

# More than the account below may use. nats-server 2.9 sets the account's share aside once for each client that comes
# while it starts; where that is more than there is, the account has no JetStream until the next start.
jetstream {{
  store_dir: \"{store}\"
  max_memory_store: {memory}
  max_file_store: {disk}
}}
",
            name = self.name,
            listen = self.listen,
            connections = limits.connections,
            store = self.store_directory,
            memory = limits.memory_bytes.saturating_mul(ROOM),
            disk = limits.disk_bytes.saturating_mul(ROOM),
        );
        if let Some(tls) = &self.tls {
            let _ = write!(
                text,
                "
# TLS 1.3 only; clients must show a certificate of this CA.
tls {{
  cert_file: \"{}\"
  key_file: \"{}\"
  ca_file: \"{}\"
  verify: true
  timeout: 3
  cipher_suites: [{SUITES}]
}}
",
                tls.certificate_file, tls.key_file, tls.ca_file
            );
        }
        let _ = write!(text, "\n# Who gets in.\ninclude \"{}\"\n", self.accounts_file);
        text
    }
}

impl Accounts {
    /// The text of the file with the accounts.
    pub fn to_conf(&self, limits: &AccountLimits) -> String {
        match self {
            Accounts::Users(users) => {
                let users: String = users.iter().map(User::to_conf).collect();
                format!(
                    "system_account: SYS
accounts {{
  SYS {{ }}
  RING {{
    jetstream: {{ max_memory: {memory}, max_file: {disk}, max_streams: {streams}, max_consumers: {consumers} }}
    users: [
{users}    ]
  }}
}}
",
                    memory = limits.memory_bytes,
                    disk = limits.disk_bytes,
                    streams = limits.streams,
                    consumers = limits.consumers,
                )
            }
            Accounts::Token { hash } => format!(
                "# Whoever has the token is the administrator of this server: NATS has one token for a server,
# and no permissions for those who hold it.
authorization {{ token: \"{hash}\" }}
"
            ),
            Accounts::Operator {
                operator,
                system,
                ring,
            } => format!(
                "operator: \"{operator}\"
system_account: \"{}\"
resolver: MEMORY
resolver_preload: {{
  \"{}\": \"{}\"
  \"{}\": \"{}\"
}}
",
                system.0, system.0, system.1, ring.0, ring.1
            ),
        }
    }
}

impl User {
    fn to_conf(&self) -> String {
        let known_by = match &self.known_by {
            KnownBy::Password { name, hash } => format!("user: \"{name}\", password: \"{hash}\""),
            KnownBy::Nkey(public) => format!("nkey: \"{public}\""),
        };
        match &self.permissions {
            None => format!("      {{ {known_by} }}\n"),
            Some(permissions) => format!(
                "      {{ {known_by},\n        permissions: {} }}\n",
                permissions.to_nats_conf()
            ),
        }
    }
}
