//! Finding what should not be in an answer: card numbers, keys, tokens, honey tokens.
//!
//! A value is looked through a fixed number of times, whatever is in it: once for each list of literals (by
//! SIMD where the machine has it), once byte by byte for digits, `@` and `+`, and once for each expression of
//! the operator's own. Around a hit only a bounded number of bytes is read again, or bytes that no other hit
//! reads, so the time is linear in the length of the value.
//!
//! Not here: what a column is, what becomes of a finding, and JSON's ways of writing a character
//! ([`crate::escape`]).

mod card;
mod digits;
mod email;
mod iban;
mod national;
mod phone;
mod secret;

use crate::rules::{Action, Detector, Rules};
use aho_corasick::{AhoCorasick, MatchKind};
use regex::bytes::{Regex, RegexBuilder};
use secret::SecretKind;

/// Largest compiled form of one expression of the operator's own, in bytes.
const EXPRESSION_BYTES: usize = 1024 * 1024;

/// Fewest digits of a number without separators or letters that is looked for: those of a card.
const SHORTEST_NUMBER: usize = 13;

/// Something that was found in a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// First byte.
    pub(crate) start: usize,
    /// After the last byte.
    pub(crate) end: usize,
    /// What it is.
    pub(crate) what: What,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    /// By a detector.
    Detector(Detector),
    /// By an expression of the operator's own.
    Custom,
    /// A honey token.
    Honey,
}

impl What {
    /// A fixed name for records.
    pub(crate) fn name(self) -> &'static str {
        match self {
            What::Detector(detector) => detector.name(),
            What::Custom => "detector-custom",
            What::Honey => "honey-token",
        }
    }
}

/// Which lists of literals occur in a stretch of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hints {
    secrets: bool,
    honey: bool,
}

impl Hints {
    pub(crate) fn any(self) -> bool {
        self.secrets || self.honey
    }
}

/// Everything that is looked for. Made once from the rules.
#[derive(Clone, Debug, Default)]
pub(crate) struct Finder {
    actions: Vec<(Detector, Action)>,
    secrets: Option<(AhoCorasick, Vec<SecretKind>)>,
    honey: Option<(AhoCorasick, Vec<bool>)>,
    custom: Vec<(Regex, Action)>,
    /// A detector that starts from a digit, `@` or `+` is on.
    digits: digits::Wanted,
}

/// Compiles an expression of the operator's own.
///
/// # Errors
/// What is wrong with it, in one line.
pub(crate) fn custom_expression(pattern: &str) -> Result<Regex, String> {
    let fault = |error: regex::Error| match error {
        regex::Error::CompiledTooBig(_) => {
            "the expression is too large; repeat less, or look for something shorter".to_owned()
        }
        error => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            format!("not a regular expression: {}", last.trim_start_matches("error: "))
        }
    };
    // An expression for text never ends inside a character; this one is only to see that it is such.
    let text = regex::RegexBuilder::new(pattern)
        .size_limit(EXPRESSION_BYTES)
        .build()
        .map_err(fault)?;
    if text.is_match("") {
        return Err("the expression matches nothing at all; it would be found everywhere".to_owned());
    }
    RegexBuilder::new(pattern)
        .size_limit(EXPRESSION_BYTES)
        .dfa_size_limit(EXPRESSION_BYTES)
        .build()
        .map_err(fault)
}

impl Finder {
    /// Compiles the detectors and honey tokens of `rules`. `None` when nothing is looked for.
    ///
    /// # Errors
    /// What can't be compiled, in one line.
    pub(crate) fn new(rules: &Rules) -> Result<Option<Finder>, String> {
        let on = |detector| rules.detectors.iter().any(|(known, _)| *known == detector);
        let secrets: Vec<(&[u8], SecretKind)> = secret::literals()
            .filter(|(_, kind)| on(kind.detector()))
            .collect();
        let finder = Finder {
            actions: rules.detectors.clone(),
            secrets: if secrets.is_empty() {
                None
            } else {
                let literals = literals(secrets.iter().map(|(literal, _)| *literal))?;
                Some((literals, secrets.into_iter().map(|(_, kind)| kind).collect()))
            },
            honey: if rules.honey.is_empty() {
                None
            } else {
                let literals = literals(rules.honey.iter().map(|honey| honey.value.as_bytes()))?;
                Some((literals, rules.honey.iter().map(|honey| honey.refuse).collect()))
            },
            custom: rules
                .custom
                .iter()
                .map(|custom| Ok((custom_expression(&custom.pattern)?, custom.action)))
                .collect::<Result<_, String>>()?,
            digits: digits::Wanted {
                card: on(Detector::Card),
                iban: on(Detector::Iban),
                email: on(Detector::Email),
                phone: on(Detector::Phone),
                national: on(Detector::NationalId),
            },
        };
        let nothing = finder.actions.is_empty() && finder.honey.is_none() && finder.custom.is_empty();
        Ok((!nothing).then_some(finder))
    }

    /// Which literals occur in `bytes` at all.
    pub(crate) fn hints(&self, bytes: &[u8]) -> Hints {
        let occurs = |literals: &AhoCorasick| literals.is_match(bytes);
        Hints {
            secrets: self
                .secrets
                .as_ref()
                .is_some_and(|(literals, _)| occurs(literals)),
            honey: self.honey.as_ref().is_some_and(|(literals, _)| occurs(literals)),
        }
    }

    /// Whether a value has to be looked at that is part of bytes with these hints.
    pub(crate) fn must_open(&self, hints: Hints) -> bool {
        self.digits.any() || !self.custom.is_empty() || hints.secrets || hints.honey
    }

    /// Whether nothing at all is in a value without literals, at a glance.
    pub(crate) fn finds_nothing_in(&self, value: &[u8]) -> bool {
        // A plain number that is shorter than any that is looked for, as keys are.
        let short = || value.len() < SHORTEST_NUMBER && value.iter().all(u8::is_ascii_digit);
        self.custom.is_empty() && (!self.digits.any() || digits::is_free_of_stops(value) || short())
    }

    /// Appends the honey tokens in `value` to `found`.
    pub(crate) fn find_honey(&self, hints: Hints, value: &[u8], found: &mut Vec<(Finding, Action)>) {
        let Some((literals, refuse)) = self.honey.as_ref().filter(|_| hints.honey) else {
            return;
        };
        for hit in literals.find_iter(value) {
            let refuse = refuse.get(hit.pattern().as_usize()).copied().unwrap_or(true);
            let action = if refuse { Action::Refuse } else { Action::Alert };
            let finding = Finding {
                start: hit.start(),
                end: hit.end(),
                what: What::Honey,
            };
            found.push((finding, action));
        }
    }

    /// Appends what is in `value` to `found`. `hints` are those of bytes that contain the value.
    pub(crate) fn find(&self, hints: Hints, value: &[u8], found: &mut Vec<(Finding, Action)>) {
        self.find_honey(hints, value, found);
        if hints.secrets
            && let Some((literals, kinds)) = &self.secrets
        {
            let mut done = 0;
            for hit in literals.find_iter(value) {
                // Inside a key that was found already there is nothing more to find.
                if hit.start() < done {
                    continue;
                }
                let Some(kind) = kinds.get(hit.pattern().as_usize()) else {
                    continue;
                };
                if let Some(end) = kind.end(value, hit.start(), hit.end()) {
                    done = end;
                    self.push(hit.start(), end, kind.detector(), found);
                }
            }
        }
        if self.digits.any() {
            digits::scan(value, self.digits, &mut |start, end, detector| {
                self.push(start, end, detector, found);
            });
        }
        for (expression, action) in &self.custom {
            for hit in expression.find_iter(value).filter(|hit| !hit.is_empty()) {
                let finding = Finding {
                    start: hit.start(),
                    end: hit.end(),
                    what: What::Custom,
                };
                found.push((finding, *action));
            }
        }
    }

    fn push(&self, start: usize, end: usize, detector: Detector, found: &mut Vec<(Finding, Action)>) {
        if let Some((_, action)) = self.actions.iter().find(|(known, _)| *known == detector) {
            let what = What::Detector(detector);
            found.push((Finding { start, end, what }, *action));
        }
    }
}

/// A search for several literals at once.
///
/// # Errors
/// When there are too many of them.
pub(crate) fn literals<'a>(literals: impl Iterator<Item = &'a [u8]>) -> Result<AhoCorasick, String> {
    AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostFirst)
        .build(literals)
        .map_err(|error| format!("too much to look for: {error}"))
}

/// The byte at `at`; 0, which no text contains, beyond the end.
fn byte(value: &[u8], at: usize) -> u8 {
    value.get(at).copied().unwrap_or(0)
}

/// The byte before `at`; 0 at the beginning.
fn byte_before(value: &[u8], at: usize) -> u8 {
    at.checked_sub(1).map_or(0, |at| byte(value, at))
}

/// The length of the longest run from `at` on of bytes that `belongs`, at most `most`.
fn run(value: &[u8], at: usize, most: usize, belongs: impl Fn(u8) -> bool) -> usize {
    let rest = value.get(at..).unwrap_or_default();
    rest.iter().take(most).take_while(|b| belongs(**b)).count()
}

#[cfg(test)]
mod tests;
