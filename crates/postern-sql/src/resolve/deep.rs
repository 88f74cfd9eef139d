//! Resolving on a stack that suffices for what is nested deeply.

use super::error::ResolveError;
use super::walk::R;
use crate::tree::Tree;
use crate::{SqlLimits, SyntaxError, guard, position};
use std::cell::Cell;
use std::thread;

/// As many levels as `walk` allows, at 25 KiB each. Virtual memory: only what is used becomes resident.
const STACK_BYTES: usize = 64 * 1024 * 1024;

thread_local! {
    static ON_DEEP_STACK: Cell<bool> = const { Cell::new(false) };
}

/// Parses a text and hands its trees to `work`, and whether lists in them were cut short. A text that may be
/// deep, and every definition of a view (`deep`), is worked on on a thread of its own: definitions are
/// resolved one inside the other.
///
/// # Errors
/// When the text is no SQL or breaks a limit, and those of `work`.
pub(crate) fn parsed<T: Send>(
    text: &str,
    limits: &SqlLimits,
    deep: bool,
    work: impl FnOnce(&[Tree], bool) -> R<T> + Send,
) -> R<T> {
    let checked = guard::check(text, limits)?;
    // What is cut short is not looked at, so as much as possible is left whole.
    let folded = checked
        .folded
        .as_ref()
        .filter(|_| checked.tokens > limits.max_tokens);
    let short = folded.map_or(text, |folded| folded.text.as_str());
    let run = move || {
        let trees = trees(short, limits)?;
        work(&trees, folded.is_some())
    };
    if ON_DEEP_STACK.get() || !(deep || checked.deep) {
        return run();
    }
    thread::scope(|scope| {
        let worker = thread::Builder::new()
            .name("deep-names".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || {
                ON_DEEP_STACK.set(true);
                run()
            });
        let outcome = worker.ok().and_then(|worker| worker.join().ok());
        outcome.unwrap_or_else(|| Err(guard::too_deep().into()))
    })
}

fn trees(text: &str, limits: &SqlLimits) -> R<Vec<Tree>> {
    let parsed = pg_query::parse(text, 0).map_err(|error| {
        let (error, byte) = position::explain(text, &error);
        ResolveError::from(SyntaxError {
            position: byte.and_then(|byte| position::characters(text, byte)),
            ..error
        })
    })?;
    if parsed.protobuf.stmts.len() > limits.max_statements {
        return Err(guard::too_many_statements().into());
    }
    let trees = parsed.protobuf.stmts.iter().map(Tree::of);
    trees
        .collect::<Result<_, _>>()
        .map_err(|_| guard::too_deep().into())
}
