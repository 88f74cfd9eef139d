//! Which settings a statement changes, and to what.

use crate::tree::Tree;

/// How far a change of a setting reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Until the session ends.
    Session,
    /// Until the transaction ends.
    Local,
    /// Back to what it was when the connection began.
    Reset,
}

/// SET, RESET, or a call of `set_config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingChange {
    /// The setting in lower case (PostgreSQL does not tell case apart here); `None` when it is computed.
    pub name: Option<String>,
    /// The value, where it is a literal; several values are joined by `, `.
    pub value: Option<String>,
    /// How far it reaches. A `set_config` counts as session unless it is literally local.
    pub scope: Scope,
}

/// The changes a SET or RESET makes; none for SET TRANSACTION and RESET ALL, which are kinds of their own.
pub(crate) fn of_statement(node: &Tree) -> Option<SettingChange> {
    use pg_query::protobuf::VariableSetKind as P;
    let kind = i32::try_from(node.number("kind"))
        .ok()
        .and_then(|k| P::try_from(k).ok());
    let name = node.text("name");
    let local = if node.flag("is_local") {
        Scope::Local
    } else {
        Scope::Session
    };
    let (value, scope) = match kind {
        Some(P::VarSetValue) => {
            let values: Option<Vec<String>> = node.get("args").items().iter().map(Tree::constant).collect();
            (values.map(|v| v.join(", ")), local)
        }
        Some(P::VarReset | P::VarSetDefault) => (None, Scope::Reset),
        Some(P::VarResetAll) => return None,
        Some(P::VarSetMulti) if name.starts_with("TRANSACTION") => return None,
        _ => (None, local),
    };
    Some(SettingChange {
        name: Some(name.to_ascii_lowercase()),
        value,
        scope,
    })
}

/// What a call of `set_config(name, value, is_local)` changes.
pub(crate) fn of_call(call: &Tree) -> SettingChange {
    let unknown = SettingChange {
        name: None,
        value: None,
        scope: Scope::Session,
    };
    let [name, value, local] = call.get("args").items() else {
        return unknown;
    };
    if call.flag("func_variadic") || [name, value, local].iter().any(|a| a.kind() == "NamedArgExpr") {
        return unknown;
    }
    let name = name.constant().map(|name| name.to_ascii_lowercase());
    let scope = if local.constant().as_deref() == Some("true") {
        Scope::Local
    } else {
        Scope::Session
    };
    SettingChange {
        name,
        value: value.constant(),
        scope,
    }
}
