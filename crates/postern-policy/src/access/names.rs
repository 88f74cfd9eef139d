//! How objects of the database are called in `access.cedar`: SCHEMA.NAME, and SCHEMA.TABLE.COLUMN.
//!
//! A part that has a dot or a double quote is written in double quotes, with those inside doubled. So two
//! objects never have the same name there.

/// The name of an object in `access.cedar`.
pub(crate) fn join(parts: &[&str]) -> String {
    let mut id = String::new();
    for part in parts {
        if !id.is_empty() {
            id.push('.');
        }
        if part.is_empty() || part.contains(['.', '"']) {
            id.push('"');
            id.push_str(&part.replace('"', "\"\""));
            id.push('"');
        } else {
            id.push_str(part);
        }
    }
    id
}

/// The parts of a name; `None` when it is not written as [`join`] writes it.
pub(crate) fn split(id: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = id;
    loop {
        let (part, after) = first(rest)?;
        parts.push(part);
        match after.strip_prefix('.') {
            Some(more) => rest = more,
            None if after.is_empty() => break,
            None => return None,
        }
    }
    let written: Vec<&str> = parts.iter().map(String::as_str).collect();
    (join(&written) == id).then_some(parts)
}

/// The first part, and what comes after it.
fn first(text: &str) -> Option<(String, &str)> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find(['.', '"']).unwrap_or(text.len());
        return Some((text.get(..end)?.to_owned(), text.get(end..)?));
    };
    let mut part = String::new();
    loop {
        let (inside, after) = rest.split_once('"')?;
        part.push_str(inside);
        match after.strip_prefix('"') {
            Some(more) => {
                part.push('"');
                rest = more;
            }
            None => return Some((part, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_names_are_written_plainly() {
        assert_eq!(join(&["shop", "orders", "total"]), "shop.orders.total");
        assert_eq!(
            join(&["Shop", "my \"t\"", "a.b"]),
            "Shop.\"my \"\"t\"\"\".\"a.b\""
        );
    }

    #[test]
    fn what_join_does_not_write_is_no_name() {
        for id in [
            "shop.",
            ".orders",
            "",
            "\"shop\".orders",
            "a\"b",
            "\"a.b",
            "\"a.b\"c",
        ] {
            assert_eq!(split(id), None, "{id}");
        }
    }

    proptest! {
        #[test]
        fn names_come_back(parts in prop::collection::vec("[a-zA-Z.\"é ]{0,6}", 1..4)) {
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            let read = split(&join(&parts)).unwrap();
            prop_assert_eq!(read, parts);
        }

        #[test]
        fn any_text_is_read_or_not(id in ".{0,20}") {
            let _ = split(&id);
        }
    }
}
