//! PostgreSQL's lexer.

use pg_query::protobuf::ScanToken;

/// The tokens of a text, comments among them.
///
/// # Errors
/// When a string or a comment has no end, or there is a NUL.
pub(crate) fn tokens(text: &str) -> Result<Vec<ScanToken>, pg_query::Error> {
    // For a text without tokens libpg_query gives a null pointer, of which no slice can be made.
    let blank = |b: u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c);
    if text.bytes().all(blank) {
        return Ok(Vec::new());
    }
    pg_query::scan_tokens(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blank_text_has_no_tokens() {
        for text in ["", " ", "\t\r\n\x0b\x0c ", &" ".repeat(100_000)] {
            assert!(tokens(text).unwrap().is_empty());
        }
        assert_eq!(tokens(" -- a").unwrap().len(), 1);
        assert_eq!(tokens(" ;").unwrap().len(), 1);
        let texts = ["\u{a0}", "\u{2003}"];
        assert!(texts.iter().all(|text| tokens(text).unwrap().len() == 1));
    }
}
