//! The settings that PostgreSQL reports in ParameterStatus.

use crate::Violation;

/// Settings that PostgreSQL 10 to 18 reports by itself (manual, "Asynchronous Operations"). Drivers rely on
/// them; another name can only come from an extension or from somebody who wants to say something.
const REPORTED: [&str; 15] = [
    "application_name",
    "client_encoding",
    "DateStyle",
    "default_transaction_read_only",
    "in_hot_standby",
    "integer_datetimes",
    "IntervalStyle",
    "is_superuser",
    "scram_iterations",
    "search_path",
    "server_encoding",
    "server_version",
    "session_authorization",
    "standard_conforming_strings",
    "TimeZone",
];

/// Judges a setting that the database reports: whether clients are told about it.
///
/// # Errors
/// [`Violation::PinnedSetting`] for `client_encoding` other than UTF8 and `standard_conforming_strings` other
/// than on.
pub fn check_setting(name: &str, value: &str) -> Result<bool, Violation> {
    check_pinned(name, value)?;
    Ok(is_reported(name))
}

/// Whether clients are told about this setting at all.
fn is_reported(name: &str) -> bool {
    REPORTED.contains(&name)
}

/// The validators read SQL and text as UTF-8 with standard strings. A session in which that no longer holds
/// can't be judged any more, whoever changed it.
fn check_pinned(name: &str, value: &str) -> Result<(), Violation> {
    let pinned = match name {
        "client_encoding" => "UTF8",
        "standard_conforming_strings" => "on",
        _ => return Ok(()),
    };
    if value == pinned {
        Ok(())
    } else {
        Err(Violation::PinnedSetting)
    }
}
