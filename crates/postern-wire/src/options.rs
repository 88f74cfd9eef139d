//! The `options` parameter of a StartupMessage, split as PostgreSQL splits it (`pg_split_opts`).

use crate::WireError;

/// Settings given as `-c name=value`, `-cname=value` or `--name=value`, in order. A backslash takes the
/// next character as it is, so that values can hold spaces. PostgreSQL takes a dash in a name for an
/// underscore. Any other switch is refused: they start debugging aids.
pub(crate) fn split(options: &str) -> Result<Vec<(String, String)>, WireError> {
    let mut words = words(options).into_iter();
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let setting = if let Some(long) = word.strip_prefix("--") {
            long.to_owned()
        } else if word == "-c" {
            words
                .next()
                .ok_or(WireError::BadParameter("-c in options needs name=value"))?
        } else if let Some(short) = word.strip_prefix("-c") {
            short.to_owned()
        } else {
            return Err(WireError::BadParameter(
                "options may hold only -c name=value and --name=value",
            ));
        };
        let (name, value) = setting
            .split_once('=')
            .ok_or(WireError::BadParameter("a setting in options has no value"))?;
        let name = name.replace('-', "_");
        check_name(&name)?;
        settings.push((name, value.to_owned()));
    }
    Ok(settings)
}

/// Refuses names that no PostgreSQL setting can have.
pub(crate) fn check_name(name: &str) -> Result<(), WireError> {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'$');
    if first && name.len() <= MAX_NAME && bytes.all(legal) {
        Ok(())
    } else {
        Err(WireError::BadParameter(
            "a setting has a name that is not possible",
        ))
    }
}

/// Longest name of a setting in bytes: two identifiers with a dot between them.
const MAX_NAME: usize = 127;

fn words(options: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut chars = options.chars();
    let mut word: Option<String> = None;
    while let Some(c) = chars.next() {
        match c {
            // The white space of C's isspace, not of Unicode.
            ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c' => words.extend(word.take()),
            // A backslash at the very end stands for nothing, as in PostgreSQL.
            '\\' => word.get_or_insert_default().extend(chars.next()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(options: &str) -> Vec<(String, String)> {
        split(options).unwrap()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn the_three_spellings_are_one() {
        for options in [
            "-c search_path=a",
            "-csearch_path=a",
            "--search_path=a",
            "  --search-path=a\t",
        ] {
            assert_eq!(pairs(options), [pair("search_path", "a")], "{options}");
        }
    }

    #[test]
    fn a_backslash_keeps_the_next_character() {
        assert_eq!(pairs(r"-c a=x\ y\\z -c b="), [pair("a", r"x y\z"), pair("b", "")]);
        assert_eq!(pairs("-c a=1\\"), [pair("a", "1")]);
        assert_eq!(pairs("").len() + pairs(" \t ").len(), 0);
    }

    #[test]
    fn order_and_repeats_are_kept() {
        assert_eq!(pairs("-c a=1 --a=2"), [pair("a", "1"), pair("a", "2")]);
    }

    #[test]
    fn everything_else_is_refused() {
        for options in [
            "-d 5",
            "role=x",
            "-c",
            "-c a",
            "--a",
            "-",
            "--",
            "-c =1",
            "-c 1a=1",
            "-O",
            r"-c\ a=1",
            "-c a\u{e9}=1",
            "-c a b=1",
        ] {
            assert!(
                matches!(split(options), Err(WireError::BadParameter(_))),
                "{options}"
            );
        }
    }
}
