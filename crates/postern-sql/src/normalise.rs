//! Statements without their literals, for learning which statements an application runs.
//!
//! Each literal becomes a slot `$n`, numbered after the parameters that the statement has. Comments go, for
//! applications write data into them. What stays are literals that are part of the statement's shape: TRUE,
//! FALSE and NULL, the numbers of `varchar(10)` and `ORDER BY 2`, and a whole number that is a column of the
//! result by itself, as in `SELECT 1`. A string never stays. Where a literal can't become a slot, it becomes
//! `?`, and the statement can't be run again.
//!
//! Not here: which literals an application really varies. People decide that, when they review what was
//! learned.

use crate::tree::Tree;
use crate::{SqlLimits, SyntaxError, guard};
use pg_query::protobuf::{ScanToken, Token};
use std::ops::Range;

/// A statement without its literals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Normalised {
    /// Its text. It holds no value of the client but the numbers that are part of its shape.
    pub text: String,
    /// Literals became slots, so that the text is a statement again. If not, some of them became `?`.
    pub complete: bool,
}

const MINUS: i32 = Token::Ascii45 as i32;
const SEMICOLON: i32 = Token::Ascii59 as i32;
const COMMENTS: [i32; 2] = [Token::SqlComment as i32, Token::CComment as i32];
const NUMBER: i32 = Token::Iconst as i32;
const PARAMETER: i32 = Token::Param as i32;
const LITERALS: [i32; 6] = [
    NUMBER,
    Token::Fconst as i32,
    Token::Sconst as i32,
    Token::Usconst as i32,
    Token::Bconst as i32,
    Token::Xconst as i32,
];

/// Takes the literals out of a text, statement by statement. A text that is too long or too deep to be looked
/// at in passing gives nothing.
///
/// # Errors
/// When the text is not PostgreSQL SQL, or breaks one of `limits`.
pub fn normalise(text: &str, limits: &SqlLimits) -> Result<Vec<Normalised>, SyntaxError> {
    if !guard::is_plain(text, limits) {
        // Only for the error of a text that breaks the limits.
        guard::check(text, limits)?;
        return Ok(Vec::new());
    }
    let failed = |error: &pg_query::Error| crate::position::explain(text, error).0;
    let parsed = pg_query::parse(text, 0).map_err(|error| failed(&error))?;
    let tokens = crate::lexer::tokens(text).map_err(|error| failed(&error))?;
    let mut found = Vec::new();
    for raw in &parsed.protobuf.stmts {
        let start = usize::try_from(raw.stmt_location).unwrap_or(0);
        let length = usize::try_from(raw.stmt_len).unwrap_or(0);
        let end = match length {
            0 => text.len(),
            length => start.saturating_add(length),
        };
        let inside: Vec<Lexeme> = tokens.iter().filter_map(Lexeme::of).collect();
        let inside: Vec<Lexeme> = inside
            .into_iter()
            .filter(|token| token.range.start >= start && token.range.end <= end && token.kind != SEMICOLON)
            .collect();
        let Ok(tree) = Tree::of(raw) else {
            return Ok(Vec::new());
        };
        found.push(of_statement(text, &inside, tree.get("stmt")));
    }
    Ok(found)
}

/// A token and where it stands.
#[derive(Clone, Debug)]
struct Lexeme {
    kind: i32,
    range: Range<usize>,
}

impl Lexeme {
    fn of(token: &ScanToken) -> Option<Lexeme> {
        Some(Lexeme {
            kind: token.token,
            range: usize::try_from(token.start).ok()?..usize::try_from(token.end).ok()?,
        })
    }
}

fn of_statement(text: &str, tokens: &[Lexeme], statement: &Tree) -> Normalised {
    let mut places = Places::default();
    if is_query(statement) {
        places.walk(statement, Context::Slot);
    }
    let highest = tokens
        .iter()
        .filter(|token| token.kind == PARAMETER)
        .filter_map(|token| {
            text.get(token.range.clone())?
                .strip_prefix('$')?
                .parse::<u32>()
                .ok()
        })
        .max()
        .unwrap_or(0);
    let written = write(text, tokens, &places, highest);
    let complete = written.complete && pg_query::parse(&written.text, 0).is_ok();
    if complete {
        return written;
    }
    // Nothing is kept but what can't hold a value.
    write(text, tokens, &Places::default(), 0)
}

/// Statements whose literals may become parameters.
fn is_query(statement: &Tree) -> bool {
    matches!(
        statement.kind(),
        "SelectStmt" | "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt"
    )
}

/// What the surroundings of a literal make of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Context {
    /// It is a value.
    Slot,
    /// A whole number here is a column's place or the column itself.
    Column,
}

/// Where literals stand, by the first byte.
#[derive(Default)]
struct Places {
    slots: Vec<usize>,
    kept: Vec<usize>,
    /// A type written in front of its literal: where the type begins, and where the literal does.
    prefixed: Vec<(usize, usize)>,
}

impl Places {
    fn walk(&mut self, node: &Tree, context: Context) {
        match node.kind() {
            "AConst" => self.literal(node, context),
            "TypeName" => self.keep_all(node),
            "TypeCast" => {
                let (arg, name) = (node.get("arg"), node.get("type_name"));
                if arg.kind() == "AConst"
                    && let (Some(at), Some(literal)) = (location(name), location(arg))
                    && at < literal
                {
                    self.prefixed.push((at, literal));
                }
                self.walk(arg, Context::Slot);
                self.keep_all(name);
            }
            "SelectStmt" => {
                for (field, value) in node.fields() {
                    let context = match *field {
                        "group_clause" => Context::Column,
                        _ => Context::Slot,
                    };
                    match (*field, value) {
                        ("target_list", Tree::List(items)) => {
                            for item in items {
                                self.walk(item.get("val"), Context::Column);
                            }
                        }
                        _ => self.walk(value, context),
                    }
                }
            }
            "SortBy" => self.walk(node.get("node"), Context::Column),
            "" => {
                if let Tree::List(items) = node {
                    for item in items {
                        self.walk(item, context);
                    }
                }
            }
            _ => {
                for (_, value) in node.fields() {
                    self.walk(value, Context::Slot);
                }
            }
        }
    }

    fn literal(&mut self, node: &Tree, context: Context) {
        let Some(at) = location(node) else { return };
        let value = node.get("val").kind();
        // TRUE, FALSE and NULL are no literals to the lexer.
        if node.flag("isnull") || value == "Boolean" {
            return;
        }
        let whole = value == "Integer" || (value.is_empty() && !node.flag("isnull"));
        if context == Context::Column && whole {
            self.kept.push(at);
        } else {
            self.slots.push(at);
        }
    }

    /// The numbers of a type are part of the statement's shape.
    fn keep_all(&mut self, node: &Tree) {
        if node.kind() == "AConst" {
            if let Some(at) = location(node) {
                self.kept.push(at);
            }
            return;
        }
        match node {
            Tree::List(items) => items.iter().for_each(|item| self.keep_all(item)),
            Tree::Node(_, fields) => fields.iter().for_each(|(_, value)| self.keep_all(value)),
            _ => {}
        }
    }
}

fn location(node: &Tree) -> Option<usize> {
    usize::try_from(node.number("location")).ok()
}

/// Writes the statement with one blank where there were several, or a comment.
fn write(text: &str, tokens: &[Lexeme], places: &Places, highest: u32) -> Normalised {
    let mut out = Normalised {
        text: String::new(),
        complete: true,
    };
    let mut slot = highest;
    let mut end = None;
    let mut index = 0usize;
    while let Some(token) = tokens.get(index) {
        index = index.saturating_add(1);
        if COMMENTS.contains(&token.kind) {
            continue;
        }
        // Words that touch stay apart, and what touched goes on to touch.
        if end.is_some_and(|end| end != token.range.start) {
            out.text.push(' ');
        }
        end = Some(token.range.end);
        let start = token.range.start;
        if let Some((_, literal)) = places.prefixed.iter().find(|(at, _)| *at == start) {
            // TYPE 'literal' becomes $n::TYPE.
            let name = tokens.iter().skip(index.saturating_sub(1));
            let name: Vec<&Lexeme> = name.take_while(|token| token.range.start < *literal).collect();
            index = index.saturating_add(name.len());
            slot = slot.saturating_add(1);
            out.text.push_str(&format!("${slot}::"));
            let written = name.first().map_or(start, |first| first.range.start)
                ..name.last().map_or(start, |last| last.range.end);
            out.text.push_str(text.get(written).unwrap_or_default());
            let used = tokens.get(index.saturating_sub(1));
            end = used.map(|token| token.range.end);
            continue;
        }
        if token.kind == MINUS && places.kept.contains(&start) {
            let number = tokens.get(index).map(|number| number.range.clone());
            index = index.saturating_add(1);
            end = number.as_ref().map(|number| number.end);
            let number = number.and_then(|number| text.get(number)).unwrap_or_default();
            out.text.push('-');
            out.text.push_str(number);
            continue;
        }
        let negative = token.kind == MINUS && places.slots.contains(&start);
        if negative {
            // -1 is one literal to the grammar, and two tokens.
            end = tokens.get(index).map(|number| number.range.end);
            index = index.saturating_add(1);
        }
        if negative || (LITERALS.contains(&token.kind) && places.slots.contains(&start)) {
            slot = slot.saturating_add(1);
            out.text.push_str(&format!("${slot}"));
        } else if LITERALS.contains(&token.kind) && !(token.kind == NUMBER && places.kept.contains(&start)) {
            out.complete = false;
            out.text.push('?');
        } else {
            out.text
                .push_str(text.get(token.range.clone()).unwrap_or_default());
        }
    }
    out
}
