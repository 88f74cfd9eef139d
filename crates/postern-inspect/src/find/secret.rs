//! Private keys, JSON Web Tokens, and tokens of cloud services: all begin with a literal.

use super::{byte, byte_before, run};
use crate::rules::Detector;
use memchr::memmem;

/// Longest label of a PEM block, in bytes.
const LABEL_BYTES: usize = 64;
/// Farthest end of a PEM block, in bytes; one that is longer goes to the end of the text.
const BLOCK_BYTES: usize = 64 * 1024;
/// Longest segment of a token that is read, in bytes.
const SEGMENT_BYTES: usize = 64 * 1024;

/// What a literal begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum SecretKind {
    Pem,
    Putty,
    Jwt,
    Token(Token),
}

/// A token that is a prefix and so many characters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    least: usize,
    most: usize,
    characters: Characters,
}

#[derive(Clone, Copy, Debug)]
enum Characters {
    /// A to Z and digits.
    Upper,
    /// Letters and digits.
    Word,
    /// Letters, digits, `_` and `-`.
    Url,
    /// The same, and dots between them.
    Dotted,
    /// Hexadecimal digits.
    Hex,
}

const fn token(least: usize, most: usize, characters: Characters) -> SecretKind {
    SecretKind::Token(Token {
        least,
        most,
        characters,
    })
}

/// Every literal and what it begins.
pub(super) fn literals() -> impl Iterator<Item = (&'static [u8], SecretKind)> {
    use Characters::{Dotted, Hex, Upper, Url, Word};
    const TABLE: [(&str, SecretKind); 36] = [
        ("-----BEGIN ", SecretKind::Pem),
        ("PuTTY-User-Key-File-", SecretKind::Putty),
        ("eyJ", SecretKind::Jwt),
        // AWS: long-term and temporary access keys.
        ("AKIA", token(16, 16, Upper)),
        ("ASIA", token(16, 16, Upper)),
        // Google: API keys, OAuth tokens and client secrets.
        ("AIza", token(35, 35, Url)),
        ("ya29.", token(20, 2048, Dotted)),
        ("GOCSPX-", token(28, 28, Url)),
        // GitHub and GitLab.
        ("ghp_", token(36, 255, Word)),
        ("gho_", token(36, 255, Word)),
        ("ghu_", token(36, 255, Word)),
        ("ghs_", token(36, 255, Word)),
        ("ghr_", token(36, 255, Word)),
        ("github_pat_", token(40, 255, Url)),
        ("glpat-", token(20, 255, Url)),
        // Slack.
        ("xoxb-", token(10, 255, Url)),
        ("xoxp-", token(10, 255, Url)),
        ("xoxa-", token(10, 255, Url)),
        ("xoxr-", token(10, 255, Url)),
        ("xoxs-", token(10, 255, Url)),
        ("xapp-", token(10, 255, Url)),
        // Stripe.
        ("sk_live_", token(16, 255, Word)),
        ("sk_test_", token(16, 255, Word)),
        ("rk_live_", token(16, 255, Word)),
        ("whsec_", token(24, 255, Word)),
        // Others.
        ("SG.", token(40, 100, Dotted)),
        ("npm_", token(36, 36, Word)),
        ("pypi-AgEI", token(40, 1024, Url)),
        ("dop_v1_", token(64, 64, Hex)),
        ("shpat_", token(32, 32, Hex)),
        ("sk-ant-", token(32, 255, Url)),
        ("sk-proj-", token(32, 255, Url)),
        ("hf_", token(34, 40, Word)),
        ("dckr_pat_", token(20, 255, Url)),
        ("hvs.", token(24, 255, Dotted)),
        ("AGE-SECRET-KEY-1", token(50, 70, Upper)),
    ];
    TABLE.iter().map(|(literal, kind)| (literal.as_bytes(), *kind))
}

impl SecretKind {
    pub(super) fn detector(self) -> Detector {
        match self {
            SecretKind::Pem | SecretKind::Putty => Detector::PrivateKey,
            SecretKind::Jwt => Detector::Jwt,
            SecretKind::Token(_) => Detector::CloudToken,
        }
    }

    /// The end of the secret whose literal is at `start..after`.
    pub(super) fn end(self, value: &[u8], start: usize, after: usize) -> Option<usize> {
        match self {
            SecretKind::Pem => pem(value, after),
            SecretKind::Putty => Some(end_of_text(value, after)),
            SecretKind::Jwt => jwt(value, start, after),
            SecretKind::Token(token) => token.end(value, start, after),
        }
    }
}

impl Token {
    fn end(self, value: &[u8], start: usize, after: usize) -> Option<usize> {
        if byte_before(value, start).is_ascii_alphanumeric() {
            return None;
        }
        let belongs = |b: u8| match self.characters {
            Characters::Upper => b.is_ascii_uppercase() || b.is_ascii_digit(),
            Characters::Word => b.is_ascii_alphanumeric(),
            Characters::Url => is_url(b),
            Characters::Dotted => is_url(b) || b == b'.',
            Characters::Hex => b.is_ascii_hexdigit(),
        };
        let mut length = run(value, after, self.most.saturating_add(1), belongs);
        // A dot at the end is that of the sentence.
        while length > 0 && byte_before(value, after.saturating_add(length)) == b'.' {
            length = length.saturating_sub(1);
        }
        (self.least..=self.most)
            .contains(&length)
            .then(|| after.saturating_add(length))
    }
}

fn is_url(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b == b'-'
}

/// A PEM block (RFC 7468) whose label names a private key. One without an end goes to the end of the text.
fn pem(value: &[u8], after: usize) -> Option<usize> {
    let rest = value.get(after..)?;
    let label = rest.get(..rest.len().min(LABEL_BYTES))?;
    let label = label.get(..memmem::find(label, b"-----")?)?;
    memmem::find(label, b"PRIVATE KEY")?;
    let block = rest.get(..rest.len().min(BLOCK_BYTES))?;
    let Some(end) = memmem::find(block, b"-----END ") else {
        return Some(end_of_text(value, after));
    };
    let end = after.checked_add(end)?.checked_add(9)?;
    let tail = value.get(end..)?;
    let tail = tail.get(..tail.len().min(LABEL_BYTES))?;
    Some(match memmem::find(tail, b"-----") {
        Some(dashes) => end.checked_add(dashes)?.checked_add(5)?,
        None => end_of_text(value, end),
    })
}

/// The end of the value, or of the JSON string that `at` is in.
fn end_of_text(value: &[u8], at: usize) -> usize {
    let rest = value.get(at..).unwrap_or_default();
    memchr::memchr(b'"', rest).map_or(value.len(), |quote| at.saturating_add(quote))
}

/// Three segments in base64url with dots between them (RFC 7515). The first two are JSON objects, which begin with
/// `{` and so with `e`; the third is empty when nothing is signed.
fn jwt(value: &[u8], start: usize, after: usize) -> Option<usize> {
    if is_url(byte_before(value, start)) {
        return None;
    }
    let header = run(value, after, SEGMENT_BYTES, is_url);
    let dot = after.checked_add(header)?;
    let claims_at = dot.checked_add(1)?;
    if header < 8 || byte(value, dot) != b'.' || byte(value, claims_at) != b'e' {
        return None;
    }
    let claims = run(value, claims_at, SEGMENT_BYTES, is_url);
    let dot = claims_at.checked_add(claims)?;
    if claims < 4 || byte(value, dot) != b'.' {
        return None;
    }
    let signature = dot.checked_add(1)?;
    signature.checked_add(run(value, signature, SEGMENT_BYTES, is_url))
}
