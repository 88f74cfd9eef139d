//! Calls by a role that is held to lists: which functions, and what their first argument names.
//!
//! Nothing is known of a function but its name, so those of PostgreSQL that give a value and do nothing else may be
//! called, and all others only when the role's `functions` names them; fields of rows, `(row).field`, as well, for
//! they are written like calls. Not seen here: operators, and the function behind `t.name` where the table `t` has
//! no such column: it can be called with a row of that table only.

use crate::functions;
use crate::judge::denied;
use crate::policy::Rights;
use crate::role::Role;
use crate::settings;
use crate::word::StatementWord;
use postern_sql::{Access, Argument, FunctionUse, TableUse};
use postern_types::Refusal;

impl Rights<'_> {
    pub(crate) fn check_call(&self, role: &Role, function: &FunctionUse) -> Result<(), Refusal> {
        let refusal = || Err(denied(format_args!("function {}", function.name)));
        let name = function.name.as_str();
        if self.is_listed(role, function) {
            return Ok(());
        }
        let fine = match function.schema.as_deref() {
            // What a driver asks the catalogue for the columns of a key by.
            None if role.catalog && function.argument == Argument::Field && matches!(name, "n" | "x") => true,
            Some("information_schema") => role.catalog,
            None | Some("pg_catalog") => match name {
                // It is a SET in another form: what it sets is judged with the settings.
                "set_config" => role.statements.contains(&StatementWord::Set),
                "current_setting" => self.may_ask_setting(&function.argument),
                "nextval" | "currval" | "regclass" | "pg_get_serial_sequence" => {
                    return self.check_named(role, function);
                }
                _ => functions::is_allowed(name, role.catalog),
            },
            Some(_) => false,
        };
        if fine { Ok(()) } else { refusal() }
    }

    /// Whether `functions` of the role names it; without a schema, in one where PostgreSQL would look for it.
    fn is_listed(&self, role: &Role, function: &FunctionUse) -> bool {
        let among = |schema: &str| {
            role.functions
                .contains(&(schema.to_owned(), function.name.clone()))
        };
        match function.schema.as_deref() {
            Some(schema) => among(schema),
            None => among("pg_catalog") || self.search_path().iter().any(|schema| among(schema)),
        }
    }

    fn may_ask_setting(&self, argument: &Argument) -> bool {
        let Argument::Literal(setting) = argument else {
            return false;
        };
        settings::may_show(setting) || self.is_tenant_setting(setting)
    }

    /// A function that takes the name of a table or sequence as a text: it is judged as that table.
    fn check_named(&self, role: &Role, function: &FunctionUse) -> Result<(), Refusal> {
        let refusal = || Err(denied(format_args!("function {}", function.name)));
        // What it gives is a sequence of the table that is named in it, and that call is judged by itself.
        let of_column = || function.argument == Argument::Call("pg_get_serial_sequence".to_owned());
        let access = match function.name.as_str() {
            // It moves the sequence on.
            "nextval" => {
                let writes = [StatementWord::Insert, StatementWord::Update, StatementWord::Merge];
                if !writes.iter().any(|word| role.statements.contains(word)) {
                    return refusal();
                }
                Access::Write
            }
            "regclass" if role.catalog => return Ok(()),
            _ => Access::Read,
        };
        let sequence = matches!(function.name.as_str(), "nextval" | "currval");
        match &function.argument {
            Argument::Literal(text) => match relation_named(text, access) {
                Some(table) => self.check_table(role, &table),
                None => refusal(),
            },
            _ if sequence && of_column() => Ok(()),
            _ => refusal(),
        }
    }
}

/// What a text names, if it is a plain name or a quoted one, perhaps with a schema. All else is refused, object
/// identifiers too: `regclass` takes a text of digits for one.
fn relation_named(text: &str, access: Access) -> Option<TableUse> {
    let (schema, name) = match text.split_once('.') {
        Some((schema, name)) => (Some(identifier(schema)?), name),
        None => (None, text),
    };
    Some(TableUse {
        catalog: None,
        schema,
        name: identifier(name)?,
        access,
    })
}

fn identifier(text: &str) -> Option<String> {
    const MAX_NAME_BYTES: usize = 63;
    if text.is_empty() || text.len() > MAX_NAME_BYTES {
        return None;
    }
    if let Some(quoted) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        let fine = !quoted.is_empty() && !quoted.contains(['"', '.', '\0']);
        return fine.then(|| quoted.to_owned());
    }
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    let fine = text.starts_with(letter) && text.chars().all(|c| letter(c) || c.is_ascii_digit() || c == '$');
    fine.then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_texts_are_read_as_postgresql_reads_them_or_not_at_all() {
        let read = |text: &str| relation_named(text, Access::Read).map(|t| (t.schema, t.name));
        let some = |schema: Option<&str>, name: &str| Some((schema.map(str::to_owned), name.to_owned()));
        assert_eq!(read("orders_id_seq"), some(None, "orders_id_seq"));
        assert_eq!(read("Shop.Orders"), some(Some("shop"), "orders"));
        assert_eq!(read("\"Shop\".\"Orders\""), some(Some("Shop"), "Orders"));
        for text in [
            "",
            ".",
            "16384",
            "-",
            "a b",
            " a",
            "a.b.c",
            "a.",
            ".a",
            "\"a",
            "\"\"",
            "\"a\"\"b\"",
            "\"a.b\"",
            "ä",
            "a\0",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read(&"a".repeat(64)), None);
    }
}
