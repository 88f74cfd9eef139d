//! Which settings a session may change, and which start-up parameters it may bring.

use crate::Rights;
use crate::document::Tenancy;
use crate::role::Role;
use crate::tenancy::Tenants;
use crate::word::StatementWord;
use postern_sql::{Scope, SettingChange};
use postern_types::{Refusal, SqlState};

/// Settings that change how answers look or how long to wait, and nothing else.
const HARMLESS: [&str; 10] = [
    "application_name",
    "datestyle",
    "timezone",
    "intervalstyle",
    "extra_float_digits",
    "bytea_output",
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "geqo",
];

/// The defaults for transactions, one by one and by SET SESSION CHARACTERISTICS. Who may BEGIN could say the
/// same there.
const OF_TRANSACTIONS: [&str; 4] = [
    "session characteristics",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "default_transaction_deferrable",
];

/// Settings that have one value here, which may be set again.
const PINNED: [&str; 2] = ["client_encoding", "standard_conforming_strings"];

/// Settings that may be shown to a role held to a list, besides the harmless ones.
const SHOWN: [&str; 16] = [
    "client_encoding",
    "server_encoding",
    "server_version",
    "server_version_num",
    "standard_conforming_strings",
    "integer_datetimes",
    "max_identifier_length",
    "transaction_isolation",
    "transaction_read_only",
    "transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "default_transaction_deferrable",
    "search_path",
    "is_superuser",
    "in_hot_standby",
];

/// Literal value that pg_dump gives to a setting whose name it looks up first.
const PG_DUMP_VALUE: &str = "view, foreign-table";

fn refused(name: &str) -> Refusal {
    Refusal::error(
        SqlState::INSUFFICIENT_PRIVILEGE,
        format!("permission denied to set parameter \"{name}\""),
    )
}

/// The names PostgreSQL takes for UTF-8 in `client_encoding`: it compares letters and digits only.
fn is_utf8(value: &str) -> bool {
    let bare: String = value
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect::<String>()
        .to_ascii_lowercase();
    matches!(bare.as_str(), "utf8" | "unicode")
}

/// What nobody may change, because the text would then be read in another way by the server than by the
/// validator, or the session would no longer be whom it signed in as.
fn check_for_all(change: &SettingChange) -> Result<(), Refusal> {
    let Some(name) = change.name.as_deref() else {
        let known = change.value.as_deref() == Some(PG_DUMP_VALUE);
        return if known { Ok(()) } else { Err(refused("(computed)")) };
    };
    let reset = change.scope == Scope::Reset;
    let value = change.value.as_deref().unwrap_or_default();
    let fine = match name {
        // Back to the start is what the Backend set, except for the role: that would be the Backend's own.
        "role" | "session_authorization" => false,
        "standard_conforming_strings" => reset || matches!(value, "on" | "true" | "yes" | "1"),
        "client_encoding" => reset || is_utf8(value),
        "backslash_quote" => reset || value.eq_ignore_ascii_case("safe_encoding"),
        _ => !name.starts_with("postern."),
    };
    if fine { Ok(()) } else { Err(refused(name)) }
}

/// Judges a SET, RESET or `set_config` in a statement: for a role that is held to a list, or, without one, what
/// is refused to everybody.
pub(crate) fn check(rights: &Rights<'_>, role: Option<&Role>, change: &SettingChange) -> Result<(), Refusal> {
    check_for_all(change)?;
    let name = change.name.as_deref().unwrap_or("(computed)");
    // Row-level security believes this one.
    let of_tenants = rights.parts.tenants.as_ref().map(Tenants::setting);
    if limited(rights, name) || of_tenants == Some(name) {
        return Err(refused(name));
    }
    let Some(role) = role else {
        return Ok(());
    };
    let begins = role.statements.contains(&StatementWord::Transaction);
    if HARMLESS.contains(&name) || PINNED.contains(&name) || (begins && OF_TRANSACTIONS.contains(&name)) {
        Ok(())
    } else {
        Err(refused(name))
    }
}

/// Settings that a rule for settings in general is enough for.
pub(crate) fn is_harmless(name: &str) -> bool {
    HARMLESS.contains(&name) || PINNED.contains(&name) || OF_TRANSACTIONS.contains(&name)
}

/// A limit of the policy is a setting of the session; the session must not lift it.
fn limited(rights: &Rights<'_>, name: &str) -> bool {
    name == "statement_timeout" && rights.limits().statement_timeout_ms.is_some()
}

/// Judges SHOW for a role held to a list.
pub(crate) fn may_show(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    HARMLESS.contains(&name.as_str()) || SHOWN.contains(&name.as_str())
}

impl Rights<'_> {
    /// The settings a session begins with: the policy's own, and the client's start-up parameters as far as
    /// they are allowed.
    ///
    /// # Errors
    /// 22023 for a parameter that is not allowed.
    pub fn session_settings(
        &self,
        parameters: &[(String, String)],
    ) -> Result<Vec<(String, String)>, Refusal> {
        let mut settings = Vec::new();
        if !self.search_path().is_empty() {
            let mut path = self.search_path().join(", ");
            // Without this a temporary table comes before everything else, and names are resolved without it.
            if self.catalog().is_some() {
                path.push_str(", pg_temp");
            }
            settings.push(("search_path".to_owned(), path));
        }
        if let Some(limit) = self.limits().statement_timeout_ms {
            settings.push(("statement_timeout".to_owned(), limit.to_string()));
        }
        for (name, value) in parameters {
            if let Some(setting) = self.startup_setting(name, value)? {
                // The last one wins, as in PostgreSQL; a name is set once.
                settings.retain(|(known, _)| *known != setting.0);
                settings.push(setting);
            }
        }
        Ok(settings)
    }

    /// The setting by which the database knows the tenant of a session, where the policy has tenants. A user
    /// without a tenant gets an empty one.
    pub fn tenant_setting(&self, tenant: Option<&str>) -> Option<(String, String)> {
        let tenants = self.parts.tenants.as_ref()?;
        let wanted = self.tenancy() != Tenancy::None;
        wanted.then(|| {
            (
                tenants.setting().to_owned(),
                tenant.unwrap_or_default().to_owned(),
            )
        })
    }

    /// Whether the database knows the tenant of a session by this setting.
    pub(crate) fn is_tenant_setting(&self, name: &str) -> bool {
        let tenants = self.parts.tenants.as_ref();
        tenants.is_some_and(|tenants| tenants.setting().eq_ignore_ascii_case(name))
    }

    fn startup_setting(&self, name: &str, value: &str) -> Result<Option<(String, String)>, Refusal> {
        let name = name.to_ascii_lowercase();
        let refused = |what: &str| {
            Err(Refusal::fatal(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("{what} \"{name}\" is not allowed here; remove it from the connection settings"),
            ))
        };
        match name.as_str() {
            // Every session is in UTF-8; these clients can live with that.
            "client_encoding" if is_utf8(value) || is_sql_ascii(value) => Ok(None),
            "client_encoding" => Err(Refusal::fatal(
                SqlState::INVALID_PARAMETER_VALUE,
                "client_encoding must be UTF8 here; set it so in the connection settings",
            )),
            "search_path" if self.is_open() => Ok(Some((name, value.to_owned()))),
            _ if limited(self, &name) => refused("start-up parameter"),
            _ if HARMLESS.contains(&name.as_str()) => Ok(Some((name, value.to_owned()))),
            _ => refused("start-up parameter"),
        }
    }
}

fn is_sql_ascii(value: &str) -> bool {
    value.eq_ignore_ascii_case("SQL_ASCII") || value.eq_ignore_ascii_case("SQLASCII")
}
