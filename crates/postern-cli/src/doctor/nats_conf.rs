//! A NATS server's configuration file, as far as the checklist needs it: maps, lists, texts. What is not understood is
//! an error: a check must not pass because of what it could not read.

use std::collections::BTreeMap;

/// Deepest nesting.
const DEPTH: usize = 32;

/// A value of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Conf {
    /// Text, number or word.
    Text(String),
    List(Vec<Conf>),
    /// Keys in lower case; NATS reads them so.
    Map(BTreeMap<String, Conf>),
}

impl Conf {
    /// Reads a file whose `include`d ones are given by `file`, by the names that are written there.
    ///
    /// # Errors
    /// The line that is not understood.
    pub(super) fn parse(text: &str, file: &dyn Fn(&str) -> Result<String, String>) -> Result<Conf, String> {
        Ok(Conf::Map(map_of(text, file, 0)?))
    }

    pub(super) fn get(&self, key: &str) -> Option<&Conf> {
        match self {
            Conf::Map(map) => map.get(key),
            Conf::Text(_) | Conf::List(_) => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Conf::Text(text) => Some(text),
            Conf::List(_) | Conf::Map(_) => None,
        }
    }

    /// Items of a list; a single value is a list of one.
    pub(super) fn items(&self) -> &[Conf] {
        match self {
            Conf::List(items) => items,
            other @ (Conf::Text(_) | Conf::Map(_)) => std::slice::from_ref(other),
        }
    }

    /// Every map in it that has this key, itself included.
    pub(super) fn maps_with(&self, key: &str) -> Vec<&Conf> {
        let mut found = Vec::new();
        self.collect(key, &mut found);
        found
    }

    fn collect<'a>(&'a self, key: &str, found: &mut Vec<&'a Conf>) {
        match self {
            Conf::Text(_) => {}
            Conf::List(items) => items.iter().for_each(|item| item.collect(key, found)),
            Conf::Map(map) => {
                if map.contains_key(key) {
                    found.push(self);
                }
                map.values().for_each(|value| value.collect(key, found));
            }
        }
    }
}

fn map_of(
    text: &str,
    file: &dyn Fn(&str) -> Result<String, String>,
    depth: usize,
) -> Result<BTreeMap<String, Conf>, String> {
    let mut reader = Reader {
        rest: text,
        line: 1,
        file,
    };
    reader.map(None, depth)
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
    file: &'a dyn Fn(&str) -> Result<String, String>,
}

impl Reader<'_> {
    fn wrong<T>(&self, what: &str) -> Result<T, String> {
        Err(format!("line {}: {what}", self.line))
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next()?;
        self.rest = chars.as_str();
        if next == '\n' {
            self.line = self.line.saturating_add(1);
        }
        Some(next)
    }

    /// Blanks, comments and what separates entries.
    fn skip(&mut self) {
        while let Some(c) = self.peek() {
            if c == '#' || self.rest.starts_with("//") {
                while self.peek().is_some_and(|c| c != '\n') {
                    self.next();
                }
            } else if c.is_whitespace() || matches!(c, ',' | ';') {
                self.next();
            } else {
                return;
            }
        }
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t')) {
            self.next();
        }
    }

    fn map(&mut self, end: Option<char>, depth: usize) -> Result<BTreeMap<String, Conf>, String> {
        if depth > DEPTH {
            return self.wrong("nested too deeply");
        }
        let mut map = BTreeMap::new();
        loop {
            self.skip();
            match self.peek() {
                None if end.is_none() => return Ok(map),
                None => return self.wrong("the file ends inside a block"),
                Some(c) if Some(c) == end => {
                    self.next();
                    return Ok(map);
                }
                Some(_) => {}
            }
            let key = self.word()?.to_lowercase();
            self.blanks();
            if key == "include" {
                let name = self.word()?;
                let text = (self.file)(&name).or_else(|error| self.wrong(&error))?;
                let more = map_of(&text, self.file, depth.saturating_add(1));
                map.extend(more.map_err(|error| format!("{name}: {error}"))?);
                continue;
            }
            if matches!(self.peek(), Some(':' | '=')) {
                self.next();
            }
            self.blanks();
            let value = self.value(depth)?;
            map.insert(key, value);
        }
    }

    fn value(&mut self, depth: usize) -> Result<Conf, String> {
        self.skip();
        match self.peek() {
            Some('{') => {
                self.next();
                Ok(Conf::Map(self.map(Some('}'), depth.saturating_add(1))?))
            }
            Some('[') => {
                self.next();
                self.list(depth.saturating_add(1))
            }
            Some('(') => self.wrong("a block of text is not understood here"),
            Some(_) => Ok(Conf::Text(self.word()?)),
            None => self.wrong("a value is missing"),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Conf, String> {
        if depth > DEPTH {
            return self.wrong("nested too deeply");
        }
        let mut items = Vec::new();
        loop {
            self.skip();
            match self.peek() {
                Some(']') => {
                    self.next();
                    return Ok(Conf::List(items));
                }
                Some(_) => items.push(self.value(depth)?),
                None => return self.wrong("the file ends inside a list"),
            }
        }
    }

    /// A quoted text, or a bare word.
    fn word(&mut self) -> Result<String, String> {
        let mut word = String::new();
        if let Some(quote @ ('"' | '\'')) = self.peek() {
            self.next();
            loop {
                match self.next() {
                    Some(c) if c == quote => return Ok(word),
                    Some('\\') if quote == '"' => word.extend(self.next()),
                    Some('\n') | None => return self.wrong("a text does not end"),
                    Some(c) => word.push(c),
                }
            }
        }
        while let Some(c) = self.peek() {
            let ends = c.is_whitespace() || matches!(c, '{' | '}' | '[' | ']' | ',' | ';' | '#' | '=' | '"');
            // An address is one word: 127.0.0.1:4222, nats://host:4222.
            let parts_key = c == ':'
                && self
                    .rest
                    .get(1..)
                    .and_then(|rest| rest.chars().next())
                    .is_none_or(char::is_whitespace);
            if ends || parts_key {
                break;
            }
            word.extend(self.next());
        }
        if word.is_empty() {
            return self.wrong("a word was expected");
        }
        Ok(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_init_writes_is_understood() {
        let conf = Conf::parse(
            "# comment
            listen: \"127.0.0.1:4222\" // more
            http: 8222
            port = 4222
            HTTP_port 1
            jetstream {
              store_dir: \"nats/x\"
            }
            accounts { RING { jetstream: enabled
              users: [
                { user: \"a\", password: \"p\", permissions: { publish: { allow: [\"x\", \"$JS.ACK.s.c.>\"] } } }
                { user: b }
              ] } }
            tls { cert_file: './a.pem', verify: true }",
            &none,
        )
        .unwrap();
        assert_eq!(conf.get("listen").and_then(Conf::text), Some("127.0.0.1:4222"));
        assert_eq!(conf.get("http").and_then(Conf::text), Some("8222"));
        assert_eq!(conf.get("http_port").and_then(Conf::text), Some("1"));
        assert_eq!(
            conf.get("tls")
                .and_then(|tls| tls.get("verify"))
                .and_then(Conf::text),
            Some("true")
        );
        let users = conf.maps_with("user");
        assert_eq!(users.len(), 2);
        let allowed = users[0]
            .get("permissions")
            .and_then(|p| p.get("publish"))
            .and_then(|p| p.get("allow"));
        assert_eq!(allowed.unwrap().items()[1].text(), Some("$JS.ACK.s.c.>"));
    }

    fn none(name: &str) -> Result<String, String> {
        Err(format!("there is no {name}"))
    }

    #[test]
    fn included_files_count_and_a_missing_one_is_said() {
        let file = |name: &str| match name {
            "users.conf" => Ok("users: [{user: a}]".to_owned()),
            "itself.conf" => Ok("include itself.conf".to_owned()),
            other => none(other),
        };
        let conf = Conf::parse("port: 1\ninclude \"users.conf\"\nhost: b", &file).unwrap();
        assert_eq!(conf.maps_with("user").len(), 1);
        assert_eq!(conf.get("host").and_then(Conf::text), Some("b"));
        assert_eq!(
            Conf::parse("include other.conf", &file).unwrap_err(),
            "line 1: there is no other.conf"
        );
        assert!(Conf::parse("include itself.conf", &file).is_err());
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for text in ["a {", "a [", "a: \"x", "include other.conf", "a: (", "= 3", "a:"] {
            assert!(Conf::parse(text, &none).is_err(), "{text}");
        }
        assert!(Conf::parse(&"a {".repeat(10_000), &none).is_err());
        assert!(Conf::parse(&format!("a: {}", "[".repeat(10_000)), &none).is_err());
        assert_eq!(
            Conf::parse("a: 1\nb {\n c", &none).unwrap_err(),
            "line 3: a value is missing"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-z:={}\\[\\]\"'#/, \n\\\\(]{0,60}") {
            let _ = Conf::parse(&text, &none);
        }
    }
}
