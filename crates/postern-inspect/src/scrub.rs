//! stub
use crate::Violation;
use postern_types::ErrorDetail;

pub(crate) enum Scrubbed {
    Keep,
    Replace(Vec<u8>),
}
pub(crate) fn scrub(_detail: ErrorDetail, _tag: u8, _body: &[u8]) -> Result<Scrubbed, Violation> {
    let _ = Scrubbed::Replace;
    Ok(Scrubbed::Keep)
}
pub(crate) fn is_fatal(body: &[u8]) -> Result<bool, Violation> {
    let mut fields = body.split(|b| *b == 0).map_while(|f| f.split_first());
    Ok(fields.any(|(code, value)| *code == b'V' && (value == b"FATAL" || value == b"PANIC")))
}
