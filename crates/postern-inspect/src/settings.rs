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

/// Whether clients are told about this setting at all.
pub(crate) fn is_reported(name: &str) -> bool {
    REPORTED.contains(&name)
}

/// The validators read SQL and text as UTF-8 with standard strings. A session in which that no longer holds
/// can't be judged any more, whoever changed it.
pub(crate) fn check_pinned(name: &str, value: &str) -> Result<(), Violation> {
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
