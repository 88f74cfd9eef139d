//! `postgres://user:password@host:port/database?sslmode=…`, as given to `postern init --database`.
//!
//! Only what the Backend's configuration can express is accepted; any other parameter is refused by name.

use std::fmt;
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
            "{}; expected postgres://USER[:PASSWORD]@HOST[:PORT]/DATABASE[?sslmode=MODE]",
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
        let url = DatabaseUrl {
            host,
            port,
            user: percent_decode(user)?,
            password,
            name: percent_decode(path)?,
            tls: parse_query(query)?,
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

fn parse_query(query: &str) -> Result<DatabaseTls, InvalidUrl> {
    let mut tls = DatabaseTls::Prefer;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        tls = match pair {
            "sslmode=disable" => DatabaseTls::Disable,
            "sslmode=allow" | "sslmode=prefer" => DatabaseTls::Prefer,
            "sslmode=require" => DatabaseTls::Require,
            "sslmode=verify-full" => DatabaseTls::VerifyFull,
            _ => {
                return Err(invalid(
                    "after `?` only sslmode=disable, prefer, require or verify-full is understood",
                ));
            }
        };
    }
    Ok(tls)
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
        let url: DatabaseUrl = "postgres://po%40stern:p%3Aw%2Fd@db.example:5433/de%20mo?sslmode=verify-full"
            .parse()
            .unwrap();
        assert_eq!(url.user, "po@stern");
        assert_eq!(url.password.as_deref(), Some("p:w/d"));
        assert_eq!((url.host.as_str(), url.port), ("db.example", 5433));
        assert_eq!(url.name, "de mo");
        assert_eq!(url.tls, DatabaseTls::VerifyFull);
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
