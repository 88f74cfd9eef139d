//! What a session looks like to PostgreSQL: role, tenant and settings; and how a connection is made to
//! look that way.
//!
//! Scrub and settings go in one batch that ends in a Sync of its own. The client's statements are sent
//! only after PostgreSQL has confirmed the batch: a role that could not be taken on must never be
//! followed by a statement.

use postern_types::ring::OpenSession;
use postern_wire::EncodeError;

/// Role, tenant and settings of a session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    settings: Vec<(String, String)>,
}

impl Profile {
    /// The profile of a session. The role comes first: a setting that needs it then finds it.
    pub(crate) fn new(open: &OpenSession) -> Self {
        let mut settings = vec![("role".to_owned(), open.database_role.clone())];
        settings.push(("postern.user".to_owned(), open.user.clone()));
        settings.push((
            "postern.tenant".to_owned(),
            open.tenant.clone().unwrap_or_default(),
        ));
        settings.extend(open.settings.iter().cloned());
        Profile { settings }
    }

    /// Appends the messages that give a connection this profile, scrubbing what another session may have
    /// left. They answer with anything but an ErrorResponse, then one ReadyForQuery.
    ///
    /// # Errors
    /// When a setting holds a NUL or is too long; the connection must not be used then.
    pub(crate) fn put(&self, scrub: bool, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if scrub {
            for statement in SCRUB {
                put_statement(statement, &[], out)?;
            }
        }
        let calls: Vec<String> = (0..self.settings.len())
            .map(|i| format!("pg_catalog.set_config(${}, ${}, false)", 2 * i + 1, 2 * i + 2))
            .collect();
        let values: Vec<&str> = self
            .settings
            .iter()
            .flat_map(|(name, value)| [name.as_str(), value.as_str()])
            .collect();
        put_statement(&format!("SELECT {}", calls.join(", ")), &values, out)?;
        postern_wire::put_sync(out);
        Ok(())
    }
}

/// Settings that are the connection's own: who it works as, and how PostgreSQL reads the texts that were judged. No
/// session brings a value for them, whatever the Query Validator says.
pub(crate) fn is_pinned(setting: &str) -> bool {
    const PINNED: [&str; 5] = [
        "role",
        "session_authorization",
        "standard_conforming_strings",
        "client_encoding",
        "backslash_quote",
    ];
    PINNED.iter().any(|pinned| pinned.eq_ignore_ascii_case(setting))
}

/// What is undone between two sessions on one connection. Prepared statements stay: their texts were
/// judged for each session, and rights are checked when they run. `RESET ALL` leaves the role alone, so it
/// is reset first.
const SCRUB: &[&str] = &[
    "RESET SESSION AUTHORIZATION",
    "RESET ALL",
    "CLOSE ALL",
    "UNLISTEN *",
    "SELECT pg_catalog.pg_advisory_unlock_all()",
    "DISCARD TEMP",
    "DISCARD SEQUENCES",
];

fn put_statement(sql: &str, values: &[&str], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    postern_wire::put_parse(out, "", sql, std::iter::empty())?;
    postern_wire::put_bind(out, "", "", &bind_tail(values)?)?;
    postern_wire::put_execute(out, "", 0)
}

/// The tail of a Bind with text parameters and text results.
fn bind_tail(values: &[&str]) -> Result<Vec<u8>, EncodeError> {
    let mut tail = vec![0, 0];
    let count = u16::try_from(values.len()).map_err(|_| EncodeError::TooLong)?;
    tail.extend_from_slice(&count.to_be_bytes());
    for value in values {
        let length = i32::try_from(value.len()).map_err(|_| EncodeError::TooLong)?;
        tail.extend_from_slice(&length.to_be_bytes());
        tail.extend_from_slice(value.as_bytes());
    }
    tail.extend_from_slice(&[0, 0]);
    Ok(tail)
}
