//! Annotations of one statement: `-- key: value` comments.

use super::types;
use crate::document::PolicyError;
use postern_sql::canonical::{Comment, DEFAULT_LIST_ITEMS, ListSlots};
use postern_types::{Keep, Mask};

/// What the annotations of a statement say. What they say of columns and slots is not checked yet.
#[derive(Debug, Default)]
pub(super) struct Annotations {
    pub(super) name: Option<At<String>>,
    pub(super) roles: Option<At<Vec<String>>>,
    pub(super) max_rows: Option<At<u64>>,
    pub(super) max_bytes: Option<At<u64>>,
    pub(super) masks: Option<At<Vec<(String, Mask)>>>,
    pub(super) tenant: Option<At<Tenant>>,
    pub(super) timeout_ms: Option<At<u32>>,
    pub(super) read_only: Option<At<bool>>,
    pub(super) types: Option<At<Vec<u32>>>,
    pub(super) lists: Vec<At<ListSlots>>,
    pub(super) record: Option<At<Vec<(u16, Keep)>>>,
}

/// A value and the line it is written in.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) line: u64,
    pub(super) value: T,
}

#[derive(Clone, Debug)]
pub(super) enum Tenant {
    Slot(u16),
    Column(String),
}

const KEYS: &str =
    "name, roles, max_rows, max_bytes, mask, tenant, timeout_ms, read_only, types, list, record";

/// Longest name, in bytes.
const MAX_NAME_BYTES: usize = 100;

/// Mistakes of one file.
pub(super) struct Mistakes<'a> {
    file: &'a str,
    pub(super) found: Vec<PolicyError>,
}

impl<'a> Mistakes<'a> {
    pub(super) fn new(file: &'a str) -> Self {
        Mistakes {
            file,
            found: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, line: u64, message: impl Into<String>) {
        self.found.push(PolicyError {
            line: Some(line),
            ..PolicyError::of(self.file, message)
        });
    }
}

/// The `key: value` pairs of a comment. A comment without any is for people.
pub(super) fn pairs(comment: &Comment) -> Vec<(String, String)> {
    let Some(text) = comment.text.strip_prefix("--") else {
        return Vec::new();
    };
    text.split(" --")
        .filter_map(|part| {
            let (key, value) = part.split_once(':')?;
            let key = key.trim();
            let word = !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            word.then(|| (key.to_owned(), value.trim().to_owned()))
        })
        .collect()
}

impl Annotations {
    pub(super) fn read(comments: &[Comment], mistakes: &mut Mistakes<'_>) -> Annotations {
        let mut read = Annotations::default();
        for comment in comments {
            for (key, value) in pairs(comment) {
                if let Err(message) = read.take(comment.line, &key, &value) {
                    mistakes.add(comment.line, message);
                }
            }
        }
        read
    }

    fn take(&mut self, line: u64, key: &str, value: &str) -> Result<(), String> {
        match key {
            "name" => once(&mut self.name, line, key, name(value)?),
            "roles" => once(&mut self.roles, line, key, words(value)?),
            "max_rows" => once(&mut self.max_rows, line, key, number(key, value)?),
            "max_bytes" => once(&mut self.max_bytes, line, key, number(key, value)?),
            "timeout_ms" => once(&mut self.timeout_ms, line, key, number(key, value)?),
            "mask" => once(&mut self.masks, line, key, masks(value)?),
            "tenant" => once(&mut self.tenant, line, key, tenant(value)?),
            "record" => once(&mut self.record, line, key, record(value)?),
            "types" => once(&mut self.types, line, key, types::oids(value)?),
            "read_only" => {
                let flag = match value {
                    "true" => true,
                    "false" => false,
                    _ => return Err("`read_only` is true or false".to_owned()),
                };
                once(&mut self.read_only, line, key, flag)
            }
            "list" => {
                self.lists.push(At {
                    line,
                    value: list(value)?,
                });
                Ok(())
            }
            unknown => Err(format!(
                "no such annotation as `{unknown}`; there are {KEYS}. A remark for people begins with a capital \
                 letter, or has no colon"
            )),
        }
    }
}

fn once<T>(place: &mut Option<At<T>>, line: u64, key: &str, value: T) -> Result<(), String> {
    if place.is_some() {
        return Err(format!("`{key}` is there twice; keep one"));
    }
    *place = Some(At { line, value });
    Ok(())
}

fn name(value: &str) -> Result<String, String> {
    let fine = (1..=MAX_NAME_BYTES).contains(&value.len())
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    if fine {
        Ok(value.to_owned())
    } else {
        Err("a name is 1 to 100 letters, digits, `_`, `-` and `.`".to_owned())
    }
}

fn words(value: &str) -> Result<Vec<String>, String> {
    let words: Vec<String> = value.split(',').map(|word| word.trim().to_owned()).collect();
    if words.iter().any(String::is_empty) {
        return Err("`roles` is one or more role names, separated by commas".to_owned());
    }
    Ok(words)
}

fn number<T: std::str::FromStr + PartialOrd + From<u8>>(key: &str, value: &str) -> Result<T, String> {
    match value.parse::<T>() {
        Ok(number) if number >= T::from(1) => Ok(number),
        _ => Err(format!("`{key}` is a whole number of at least 1")),
    }
}

fn masks(value: &str) -> Result<Vec<(String, Mask)>, String> {
    value
        .split(',')
        .map(|pair| {
            let (column, mask) = pair
                .split_once('=')
                .ok_or("`mask` is written COLUMN=MASK, several separated by commas")?;
            let mask = mask
                .trim()
                .parse::<Mask>()
                .map_err(|error| format!("`{}`: {error}", mask.trim()))?;
            Ok((column.trim().to_owned(), mask))
        })
        .collect()
}

/// `$1=hash, $2=clear`.
fn record(value: &str) -> Result<Vec<(u16, Keep)>, String> {
    value
        .split(',')
        .map(|pair| {
            let (number, keep) = pair
                .split_once('=')
                .ok_or("`record` is written $1=hash or $1=clear, several separated by commas")?;
            let keep = keep.trim().parse::<Keep>().map_err(|error| error.to_string())?;
            Ok((slot(number.trim())?, keep))
        })
        .collect()
}

fn tenant(value: &str) -> Result<Tenant, String> {
    match value.strip_prefix('$') {
        Some(_) => Ok(Tenant::Slot(slot(value)?)),
        None if value.is_empty() => Err("`tenant` is a slot such as $1 or a column of the answer".to_owned()),
        None => Ok(Tenant::Column(value.to_owned())),
    }
}

fn slot(value: &str) -> Result<u16, String> {
    let number = value.strip_prefix('$').and_then(|number| number.parse().ok());
    number
        .filter(|slot| *slot > 0)
        .ok_or_else(|| format!("`{value}` is no slot; slots are written $1, $2, …"))
}

/// `$1`, or `$1, $2`, and perhaps `up to 500`.
fn list(value: &str) -> Result<ListSlots, String> {
    let (slots, max_items) = match value.split_once(" up to ") {
        Some((slots, most)) => (slots, number("list … up to", most.trim())?),
        None => (value, DEFAULT_LIST_ITEMS),
    };
    let slots: Vec<u16> = slots
        .split(',')
        .map(|one| slot(one.trim()))
        .collect::<Result<_, _>>()?;
    let (Some(first), Some(last)) = (slots.first().copied(), slots.last().copied()) else {
        return Err("`list` names the slots of one item".to_owned());
    };
    if !slots.iter().copied().eq(first..=last) {
        return Err(
            "the slots of a list follow one another; write `list: $1, $2` and number them so".to_owned(),
        );
    }
    Ok(ListSlots {
        first,
        last,
        max_items,
    })
}
