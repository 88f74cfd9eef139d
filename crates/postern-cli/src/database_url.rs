//! `postgres://user:password@host:port/database?sslmode=…`, as given to `postern init --database`. The parameters are
//! libpq's.
//!
//! Only what the Backend's configuration can express is accepted; any other parameter is refused by name.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where the database is and how the Backend signs in.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    /// Host name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Login role.
    pub user: String,
    /// Its password; `None` when the server asks for none.
    pub password: Option<String>,
    /// Database name.
    pub name: String,
    /// TLS towards the database.
    pub tls: DatabaseTls,
    /// File with the authorities that may sign its certificate: there with [`DatabaseTls::VerifyFull`], and only then.
    pub ca_file: Option<PathBuf>,
    /// Files with the certificate to show it, and with the certificate's key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Whether the sign-in must be bound to the TLS connection.
    pub channel_binding: bool,
}

/// How far TLS is wanted between Backend and database; the names of libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseTls {
    /// Never.
    Disable,
    /// When the server offers it.
    Prefer,
    /// Always, any certificate.
    Require,
    /// Always, with a certificate for this host from a known authority.
    VerifyFull,
}

impl DatabaseTls {
    /// The name in the Backend's configuration.
    pub fn name(self) -> &'static str {
        match self {
            DatabaseTls::Disable => "disable",
            DatabaseTls::Prefer => "prefer",
            DatabaseTls::Require => "require",
            DatabaseTls::VerifyFull => "verify-full",
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "postgres://{}:***@{}:{}/{}?sslmode={}",
            self.user,
            self.host,
            self.port,
            self.name,
            self.tls.name()
        )
    }
}

/// Why a database URL was not understood. Never repeats the URL: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidUrl(String);

impl fmt::Display for InvalidUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}; expected postgres://USER[:PASSWORD]@HOST[:PORT]/DATABASE[?sslmode=MODE&…]",
            self.0
        )
    }
}

impl std::error::Error for InvalidUrl {}

fn invalid(reason: &str) -> InvalidUrl {
    InvalidUrl(reason.to_owned())
}

impl FromStr for DatabaseUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let rest = text
            .strip_prefix("postgres://")
            .or_else(|| text.strip_prefix("postgresql://"))
            .ok_or_else(|| invalid("not a postgres:// URL"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest
            .split_once('/')
            .ok_or_else(|| invalid("the database name is missing"))?;
        let (credentials, address) = authority
            .rsplit_once('@')
            .ok_or_else(|| invalid("the user name is missing"))?;
        let (user, password) = match credentials.split_once(':') {
            Some((user, password)) => (user, Some(percent_decode(password)?)),
            None => (credentials, None),
        };
        let (host, port) = split_address(address)?;
        let query = Query::parse(query)?;
        let url = DatabaseUrl {
            host,
            port,
            user: percent_decode(user)?,
            password,
            name: percent_decode(path)?,
            certificate: query.certificate()?,
            ca_file: query.ca_file,
            tls: query.tls,
            channel_binding: query.channel_binding,
        };
        if url.user.is_empty() || url.name.is_empty() || url.host.is_empty() {
            return Err(invalid("user, host and database name must not be empty"));
        }
        Ok(url)
    }
}

fn split_address(address: &str) -> Result<(String, u16), InvalidUrl> {
    const DEFAULT_PORT: u16 = 5432;
    let (host, port) = if let Some(rest) = address.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(|| invalid("`[` without `]`"))?;
        (host, rest.strip_prefix(':'))
    } else {
        match address.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        }
    };
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) => port
            .parse()
            .map_err(|_| invalid("the port is not a number from 1 to 65535"))?,
    };
    Ok((percent_decode(host)?, port))
}

/// What is said after `?`.
struct Query {
    tls: DatabaseTls,
    ca_file: Option<PathBuf>,
    own_certificate: Option<PathBuf>,
    own_key: Option<PathBuf>,
    channel_binding: bool,
}

impl Query {
    fn parse(query: &str) -> Result<Query, InvalidUrl> {
        let mut said = Query {
            tls: DatabaseTls::Prefer,
            ca_file: None,
            own_certificate: None,
            own_key: None,
            channel_binding: false,
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode(value)?;
            match name {
                "sslmode" => said.tls = tls(&value)?,
                "sslrootcert" => said.ca_file = Some(file(value)?),
                "sslcert" => said.own_certificate = Some(file(value)?),
                "sslkey" => said.own_key = Some(file(value)?),
                "channel_binding" => said.channel_binding = channel_binding(&value)?,
                _ => {
                    return Err(invalid(
                        "after `?` only sslmode, sslrootcert, sslcert, sslkey and channel_binding are understood",
                    ));
                }
            }
        }
        let whole = said.tls == DatabaseTls::VerifyFull;
        if whole != said.ca_file.is_some() {
            return Err(invalid(
                "sslmode=verify-full needs sslrootcert=FILE, and nothing else uses one",
            ));
        }
        Ok(said)
    }

    /// Certificate and key.
    fn certificate(&self) -> Result<Option<(PathBuf, PathBuf)>, InvalidUrl> {
        match (&self.own_certificate, &self.own_key) {
            (None, None) => Ok(None),
            _ if self.tls == DatabaseTls::Disable => {
                Err(invalid("sslmode=disable shows nobody a certificate"))
            }
            (Some(certificate), Some(key)) => Ok(Some((certificate.clone(), key.clone()))),
            _ => Err(invalid("sslcert and sslkey go together")),
        }
    }
}

fn tls(mode: &str) -> Result<DatabaseTls, InvalidUrl> {
    match mode {
        "disable" => Ok(DatabaseTls::Disable),
        "allow" | "prefer" => Ok(DatabaseTls::Prefer),
        "require" => Ok(DatabaseTls::Require),
        "verify-full" => Ok(DatabaseTls::VerifyFull),
        _ => Err(invalid(
            "sslmode is one of disable, prefer, require and verify-full",
        )),
    }
}

fn file(name: String) -> Result<PathBuf, InvalidUrl> {
    if name.is_empty() {
        return Err(invalid("sslrootcert, sslcert and sslkey name a file"));
    }
    Ok(name.into())
}

fn channel_binding(wanted: &str) -> Result<bool, InvalidUrl> {
    match wanted {
        "prefer" => Ok(false),
        "require" => Ok(true),
        _ => Err(invalid("channel_binding is prefer or require")),
    }
}

fn percent_decode(text: &str) -> Result<String, InvalidUrl> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|b| char::from(b).to_digit(16));
        match (digit(rest.next()), digit(rest.next())) {
            (Some(high), Some(low)) => bytes.push(u8::try_from(high * 16 + low).unwrap_or_default()),
            _ => return Err(invalid("`%` must be followed by two hexadecimal digits")),
        }
    }
    let decoded = String::from_utf8(bytes).map_err(|_| invalid("not UTF-8"))?;
    if decoded.contains(|c: char| c.is_control()) {
        return Err(invalid("control characters are not allowed"));
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_form() {
        let url: DatabaseUrl = "postgres://po%40stern:p%3Aw%2Fd@db.example:5433/de%20mo?sslmode=verify-full&sslrootcert=ca%26b.crt\
                                &sslcert=a.crt&sslkey=a.key&channel_binding=require"
            .parse()
            .unwrap();
        assert_eq!(url.user, "po@stern");
        assert_eq!(url.password.as_deref(), Some("p:w/d"));
        assert_eq!((url.host.as_str(), url.port), ("db.example", 5433));
        assert_eq!(url.name, "de mo");
        assert_eq!(url.tls, DatabaseTls::VerifyFull);
        assert_eq!(url.ca_file, Some("ca&b.crt".into()));
        assert_eq!(url.certificate, Some(("a.crt".into(), "a.key".into())));
        assert!(url.channel_binding);
    }

    #[test]
    fn short_form_takes_defaults() {
        let url: DatabaseUrl = "postgresql://u@[::1]/d".parse().unwrap();
        assert_eq!((url.host.as_str(), url.port, url.password), ("::1", 5432, None));
        assert_eq!(url.tls, DatabaseTls::Prefer);
    }

    #[test]
    fn what_is_not_understood_is_refused_without_showing_the_password() {
        for text in [
            "",
            "mysql://u:sesame@h/d",
            "postgres://u:sesame@h",
            "postgres://h/d",
            "postgres://u:sesame@h:0x/d",
            "postgres://u:sesame@h/d?sslmode=maybe",
            "postgres://u:sesame@h/d?options=-crole%3Dpostgres",
            "postgres://u:sesame@h/d?sslmode=verify-full",
            "postgres://u:sesame@h/d?sslmode=require&sslrootcert=ca.crt",
            "postgres://u:sesame@h/d?sslmode=require&sslcert=a.crt",
            "postgres://u:sesame@h/d?sslmode=disable&sslcert=a.crt&sslkey=a.key",
            "postgres://u:sesame@h/d?sslmode=require&channel_binding=disable",
            "postgres://u:%zzsesame@h/d",
            "postgres://u:sesame@/d",
            "postgres://u:sesame@h/",
            "postgres://u:ses%0aame@h/d",
        ] {
            let error = text.parse::<DatabaseUrl>().unwrap_err();
            assert!(!error.to_string().contains("sesame"), "{error}");
        }
    }

    #[test]
    fn debug_hides_the_password() {
        let url: DatabaseUrl = "postgres://u:sesame@h/d".parse().unwrap();
        assert!(!format!("{url:?}").contains("sesame"));
    }
}
