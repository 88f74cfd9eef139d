//! Which tables, functions and schemas a statement names, anywhere in it.

use crate::StatementKind;
use crate::dotted::Dotted;
use crate::kind;
use crate::setting::{self, SettingChange};
use crate::tree::Tree;
use std::collections::HashSet;

/// What is done with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Access {
    /// Its rows are read.
    Read,
    /// Its rows or its definition are changed, or it is locked.
    Write,
}

/// A table, view or sequence that a statement names. Names of CTEs are not among them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableUse {
    /// The database, where one is written before the schema.
    pub catalog: Option<String>,
    /// The schema as written.
    pub schema: Option<String>,
    /// The name, folded to lower case unless it was quoted.
    pub name: String,
    /// What is done with it.
    pub access: Access,
}

/// A function or procedure that a statement calls, or may call: `(x).name` counts, as PostgreSQL takes it
/// for `name(x)` when there is no such field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FunctionUse {
    /// The schema as written.
    pub schema: Option<String>,
    /// The name, folded to lower case unless it was quoted.
    pub name: String,
    /// What it is called with.
    pub argument: Argument,
}

/// The first argument of a call, as far as it can name something in the database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Argument {
    /// There is none.
    None,
    /// A literal, perhaps with casts.
    Literal(String),
    /// A call of this function of PostgreSQL.
    Call(String),
    /// What it is can't be seen.
    Other,
    /// It was written `(argument).function`, or is a field of that name.
    Field,
}

/// Everything a statement refers to.
#[derive(Debug, Default)]
pub(crate) struct References {
    pub(crate) parts: Vec<StatementKind>,
    pub(crate) tables: Vec<TableUse>,
    pub(crate) functions: Vec<FunctionUse>,
    pub(crate) schemas: Vec<String>,
    pub(crate) settings: Vec<SettingChange>,
    /// Makes or uses something in the session's temporary schema.
    pub(crate) temporary: bool,
    function_in_from: bool,
}

/// The CTE names that can be seen from a place in the tree.
struct Scope<'a> {
    names: HashSet<&'a str>,
    outer: Option<&'a Scope<'a>>,
}

impl Scope<'_> {
    fn sees(&self, name: &str) -> bool {
        self.names.contains(name) || self.outer.is_some_and(|outer| outer.sees(name))
    }
}

impl References {
    /// Walks a whole statement.
    pub(crate) fn of(statement: &Tree) -> References {
        let mut found = References::default();
        // What a utility statement names outside of any query, it changes.
        found.statement(
            statement,
            &Scope {
                names: HashSet::new(),
                outer: None,
            },
        );
        if found.function_in_from {
            let mut dotted = Dotted::default();
            statement.visit(&mut |node| dotted.see(node));
            found.functions.extend(dotted.calls().map(|name| FunctionUse {
                schema: None,
                name: name.to_owned(),
                argument: Argument::Field,
            }));
        }
        sort(&mut found.parts);
        sort(&mut found.tables);
        sort(&mut found.functions);
        sort(&mut found.schemas);
        found
    }

    fn statement(&mut self, node: &Tree, scope: &Scope<'_>) {
        match node.kind() {
            "SelectStmt" | "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt" => {
                self.query(node, scope);
            }
            "CopyStmt" => {
                let access = if node.flag("is_from") {
                    Access::Write
                } else {
                    Access::Read
                };
                self.target(node.get("relation"), access);
                self.fields(node, &["relation"], Access::Read, scope);
            }
            "VariableSetStmt" => self.settings.extend(setting::of_statement(node)),
            "ExplainStmt" | "PrepareStmt" | "DeclareCursorStmt" | "ExecuteStmt" | "CallStmt" => {
                self.fields(node, &[], Access::Read, scope);
            }
            _ => self.fields(node, &[], Access::Write, scope),
        }
    }

    /// A statement with a WITH clause and, if it changes rows, a target that is never a CTE.
    fn query(&mut self, node: &Tree, outer: &Scope<'_>) {
        let with = node.get("with_clause");
        let recursive = with.flag("recursive");
        let ctes = with.get("ctes").items();
        let mut scope = Scope {
            names: HashSet::new(),
            outer: Some(outer),
        };
        if recursive {
            scope.names.extend(ctes.iter().map(|cte| cte.text("ctename")));
        }
        for cte in ctes {
            self.walk(cte, Access::Read, &scope);
            if !recursive {
                scope.names.insert(cte.text("ctename"));
            }
        }
        if node.kind() == "SelectStmt" {
            self.fields(node, &["with_clause"], Access::Read, &scope);
        } else {
            self.target(node.get("relation"), Access::Write);
            self.fields(node, &["with_clause", "relation"], Access::Read, &scope);
        }
    }

    fn fields(&mut self, node: &Tree, except: &[&str], access: Access, scope: &Scope<'_>) {
        for (name, value) in node.fields() {
            if !except.contains(name) {
                self.walk(value, access, scope);
            }
        }
    }

    fn walk(&mut self, node: &Tree, access: Access, scope: &Scope<'_>) {
        if let Some(kind) = kind::of(node) {
            // The rows of an INSERT … VALUES are a SELECT to the grammar, and read nothing.
            let only_values = kind == StatementKind::Select && node.get("values_lists") != &Tree::Nothing;
            if !only_values {
                self.parts.push(kind);
            }
            self.statement(node, scope);
            return;
        }
        match node.kind() {
            "" => {
                if let Tree::List(items) = node {
                    for item in items {
                        self.walk(item, access, scope);
                    }
                }
                return;
            }
            "RangeVar" => {
                let cte = access == Access::Read
                    && node.text("schemaname").is_empty()
                    && scope.sees(node.text("relname"));
                if !cte {
                    self.target(node, access);
                }
                return;
            }
            // FOR UPDATE OF x names tables and aliases of the FROM clause over again.
            "LockingClause" => return,
            "IntoClause" => {
                self.target(node.get("rel"), Access::Write);
                self.fields(node, &["rel"], access, scope);
                return;
            }
            "FuncCall" => {
                self.function(node.get("funcname"), first_argument(node));
                if self.functions.last().is_some_and(|f| f.name == "set_config") {
                    self.settings.push(setting::of_call(node));
                }
            }
            "RangeFunction" => self.function_in_from = true,
            "RangeTableSample" => self.function(node.get("method"), Argument::Other),
            "AIndirection" => {
                for name in node.get("indirection").names() {
                    self.functions.push(FunctionUse {
                        schema: None,
                        name: name.to_owned(),
                        argument: Argument::Field,
                    });
                }
            }
            // `'text'::type` looks names up for some types, as a call of the function of that name does.
            "TypeCast" if looks_names_up(node.get("type_name")) && node.constant().is_some() => {
                let type_name = node.get("type_name");
                self.qualifier(type_name.get("names"));
                self.function(type_name.get("names"), literal(node));
                self.fields(node, &["type_name"], access, scope);
                return;
            }
            "TypeName" if looks_names_up(node) => {
                self.qualifier(node.get("names"));
                self.function(node.get("names"), Argument::Other);
            }
            "AExpr" => self.qualifier(node.get("name")),
            "SubLink" => self.qualifier(node.get("oper_name")),
            "SortBy" => self.qualifier(node.get("use_op")),
            "TypeName" => self.qualifier(node.get("names")),
            "CollateClause" => self.qualifier(node.get("collname")),
            _ => {}
        }
        self.fields(node, &[], access, scope);
    }

    fn target(&mut self, range: &Tree, access: Access) {
        if range.kind() != "RangeVar" {
            return;
        }
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        self.tables.push(TableUse {
            catalog: some(range.text("catalogname")),
            schema: some(range.text("schemaname")),
            name: range.text("relname").to_owned(),
            access,
        });
        self.temporary |= range.text("relpersistence") == "t" || is_temporary(range.text("schemaname"));
    }

    fn function(&mut self, name: &Tree, argument: Argument) {
        let names = name.names();
        let Some((name, qualifiers)) = names.split_last() else {
            return;
        };
        let schema = qualifiers.last().map(|schema| (*schema).to_owned());
        self.temporary |= schema.as_deref().is_some_and(is_temporary);
        self.functions.push(FunctionUse {
            schema,
            name: (*name).to_owned(),
            argument,
        });
    }

    /// Notes the schema before an operator, type or collation.
    fn qualifier(&mut self, name: &Tree) {
        let names = name.names();
        if let Some((_, qualifiers)) = names.split_last()
            && let Some(schema) = qualifiers.last()
        {
            self.temporary |= is_temporary(schema);
            self.schemas.push((*schema).to_owned());
        }
    }
}

fn literal(node: &Tree) -> Argument {
    node.constant().map_or(Argument::Other, Argument::Literal)
}

fn first_argument(call: &Tree) -> Argument {
    match call.get("args").items() {
        [] => Argument::None,
        [only] if call.flag("func_variadic") && only.constant().is_some() => Argument::Other,
        [first, ..] if first.kind() == "FuncCall" => match first.get("funcname").names().as_slice() {
            [name] | ["pg_catalog", name] => Argument::Call((*name).to_owned()),
            _ => Argument::Other,
        },
        [first, ..] => literal(first),
    }
}

fn looks_names_up(type_name: &Tree) -> bool {
    let names = type_name.get("names").names();
    names.last().is_some_and(|name| is_name_type(name))
}

/// Whether this is one of PostgreSQL's types whose values are names of what is in the catalogue, looked up as they are
/// read. The two of text search are left out: they are arguments of everyday functions.
pub fn is_name_type(name: &str) -> bool {
    const TYPES: [&str; 9] = [
        "regclass",
        "regcollation",
        "regnamespace",
        "regoper",
        "regoperator",
        "regproc",
        "regprocedure",
        "regrole",
        "regtype",
    ];
    TYPES.contains(&name)
}

/// The session's temporary schema, by its alias or its own name.
fn is_temporary(schema: &str) -> bool {
    schema.starts_with("pg_temp") || schema.starts_with("pg_toast_temp")
}

fn sort<T: Ord>(items: &mut Vec<T>) {
    items.sort();
    items.dedup();
}
