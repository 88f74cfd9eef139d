//! Names of users, streams and consumers.

/// A name that is not made of 1 to 64 ASCII letters, digits, `-` and `_`. Such a name could mean more
/// than itself in a subject, where `.`, `*` and `>` have a meaning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a name: use 1 to 64 letters, digits, `-` and `_`")]
pub struct InvalidName(pub String);

/// Passes a name on if it is one token of a subject that means nothing but itself.
pub(crate) fn checked(name: &str) -> Result<&str, InvalidName> {
    let fits = (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if fits {
        Ok(name)
    } else {
        Err(InvalidName(name.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_tokens_pass() {
        assert_eq!(checked("query-validator_1"), Ok("query-validator_1"));
        for bad in ["", "a.b", "*", ">", "a b", "é", "a\n", &"x".repeat(65)] {
            assert!(checked(bad).is_err(), "{bad:?} passed");
        }
    }
}
