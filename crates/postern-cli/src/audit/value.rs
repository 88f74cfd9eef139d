//! Records in which a value was recorded, in clear or as a keyed hash.

use memchr::memmem::Finder;
use postern_bus::SecretSource;
use postern_inspect::{MaskKey, clear_texts, hashes};
use serde_json::Value;
use std::io;
use std::path::Path;

/// The key of a ring's records, in its directory.
const KEY: &str = "keys/record.secret";

/// A value that is looked for. The command line is where it stands; it goes nowhere else.
pub(super) struct Sought {
    clear: Vec<String>,
    hashes: Vec<String>,
    /// One of these bytes is in every line that fits; `None` where the value may be escaped there.
    needles: Option<Vec<Finder<'static>>>,
}

impl std::fmt::Debug for Sought {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sought(…)")
    }
}

impl Sought {
    /// Looks for `text` with the key in this file, or in that of the ring's directory.
    ///
    /// # Errors
    /// When the key can't be read, or is too short to be one.
    pub(super) fn new(text: &str, key: Option<&Path>, ring: &Path) -> io::Result<Sought> {
        let file = key.map_or_else(|| ring.join(KEY), Path::to_owned);
        let told = |error: &dyn std::fmt::Display| {
            io::Error::other(format!(
                "values are found with the key of the records, {}: {error}; --value-key names another file",
                file.display()
            ))
        };
        let secret = SecretSource::from(file.clone())
            .read()
            .map_err(|error| told(&error))?;
        let key = MaskKey::new(secret.expose().as_bytes()).map_err(|error| told(&error))?;
        let hex = |hash: &[u8; 16]| hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let hashes: Vec<String> = hashes(&key, text).iter().map(hex).collect();
        let is_plain = text
            .bytes()
            .all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'));
        // Only the beginning of a long value is in the record.
        let is_short = text.len() <= 64;
        let clear = clear_texts(text);
        let needles = (is_plain && is_short).then(|| {
            let all = hashes.iter().chain(&clear);
            // A backslash stands twice in a line; what follows it is enough.
            let bare = all.map(|needle| needle.trim_start_matches('\\'));
            bare.map(|needle| Finder::new(needle).into_owned()).collect()
        });
        Ok(Sought {
            clear,
            hashes,
            needles,
        })
    }

    pub(super) fn may_be_in(&self, line: &[u8]) -> bool {
        let found = |needles: &Vec<Finder<'_>>| needles.iter().any(|needle| needle.find(line).is_some());
        self.needles.as_ref().is_none_or(found)
    }

    pub(super) fn is_in(&self, record: &Value) -> bool {
        let values = record.get("values").and_then(Value::as_array);
        values.into_iter().flatten().any(|value| self.is(value))
    }

    fn is(&self, value: &Value) -> bool {
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        if let Some(hash) = text("hash") {
            return self.hashes.iter().any(|wanted| wanted == hash);
        }
        let is_cut = value.get("cut").is_some();
        text("clear").is_some_and(|clear| {
            let is_it = |wanted: &String| match is_cut {
                true => wanted.starts_with(clear),
                false => wanted == clear,
            };
            self.clear.iter().any(is_it)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn values_are_found_as_hashes_in_clear_and_when_they_were_cut() {
        let ring = tempfile::tempdir().unwrap();
        let error = Sought::new("7", None, ring.path()).unwrap_err().to_string();
        assert!(
            error.contains("record.secret") && error.contains("--value-key"),
            "{error}"
        );
        let file = ring.path().join("other.secret");
        fs::write(&file, "0123456789abcdef\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let sought = |text: &str| Sought::new(text, Some(&file), ring.path()).unwrap();
        let record = |value: Value| json!({ "event": "exchange.values", "values": [{ "of": "$1", "null": true }, value] });
        let finds = |sought: &Sought, value: Value| {
            let record = record(value);
            sought.is_in(&record) && sought.may_be_in(record.to_string().as_bytes())
        };
        let seven = sought("7");
        let key = MaskKey::new(b"0123456789abcdef").unwrap();
        let hash: String = hashes(&key, "7")[0]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert!(finds(&seven, json!({ "of": "$2", "hash": hash })));
        assert!(finds(&seven, json!({ "of": "$2", "clear": "7" })));
        assert!(!finds(&seven, json!({ "of": "$2", "clear": "77" })));
        assert!(!finds(&seven, json!({ "of": "$2", "hash": "00" })));
        assert!(!finds(&seven, json!({ "of": "7", "null": true })));
        assert!(
            finds(&seven, json!({ "of": "$2", "clear": "\\x0007" })),
            "two bytes of a type that nobody said"
        );
        let long = "x".repeat(300);
        assert!(finds(
            &sought(&long),
            json!({ "of": "$2", "clear": "x".repeat(256), "cut": true })
        ));
        assert!(finds(&sought("a\"b"), json!({ "of": "$2", "clear": "a\"b" })));
        assert!(!format!("{seven:?}").contains('7'));
    }
}
