//! Masks of dates and time stamps.
//!
//! The text form is rounded where it is ISO (`2024-05-17 12:34:56.789+02`), which is PostgreSQL's default
//! DateStyle; another one becomes NULL, and so do years BC. The binary form counts days or microseconds from
//! 2000-01-01 (of timestamptz in UTC).

use super::Form;
use crate::kind::Kind;

/// To what a time is rounded down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Hour,
    Day,
    Month,
    Year,
}

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;
/// Days from 1970-01-01 to 2000-01-01.
const EPOCH: i64 = 10_957;

pub(super) fn truncate(form: Form, value: &[u8], unit: Unit) -> Option<Vec<u8>> {
    match (form.kind, form.binary) {
        (Kind::Date, false) => text(value, unit, false),
        (Kind::Timestamp, false) => text(value, unit, true),
        (Kind::Date, true) => {
            let days = i32::from_be_bytes(*exactly::<4>(value)?);
            if is_infinite(i64::from(days), i64::from(i32::MIN), i64::from(i32::MAX)) {
                return None;
            }
            let days = i32::try_from(first_day(i64::from(days), unit)?).ok()?;
            Some(days.to_be_bytes().to_vec())
        }
        (Kind::Timestamp, true) => {
            let time = i64::from_be_bytes(*exactly::<8>(value)?);
            if is_infinite(time, i64::MIN, i64::MAX) {
                return None;
            }
            let time = match unit {
                Unit::Hour => time.div_euclid(HOUR).checked_mul(HOUR)?,
                _ => first_day(time.div_euclid(DAY), unit)?.checked_mul(DAY)?,
            };
            Some(time.to_be_bytes().to_vec())
        }
        _ => None,
    }
}

fn exactly<const N: usize>(value: &[u8]) -> Option<&[u8; N]> {
    value.try_into().ok()
}

/// `-infinity` and `infinity`.
fn is_infinite(number: i64, least: i64, most: i64) -> bool {
    number == least || number == most
}

/// The first day of the month or year of a day, both counted from 2000-01-01.
fn first_day(days: i64, unit: Unit) -> Option<i64> {
    let (year, month, _) = civil(days.checked_add(EPOCH)?);
    let first = match unit {
        Unit::Hour | Unit::Day => return Some(days),
        Unit::Month => from_civil(year, month),
        Unit::Year => from_civil(year, 1),
    };
    first.checked_sub(EPOCH)
}

/// Year, month and day of a day since 1970-01-01, in the proleptic Gregorian calendar. Years begin in March here,
/// so that the leap day is the last one; 400 of them have 146,097 days.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days.saturating_add(719_468);
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// The first day of a month, since 1970-01-01.
fn from_civil(year: i64, month: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn text(value: &[u8], unit: Unit, with_time: bool) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(value).ok()?;
    if text.ends_with(" BC") {
        return None;
    }
    let (date, time) = match text.split_once(' ') {
        Some((date, time)) if with_time => (date, Some(time)),
        None if !with_time => (text, None),
        _ => return None,
    };
    let mut parts = date.splitn(3, '-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let digits = |text: &str, least: usize| text.len() >= least && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(year, 4) || !digits(month, 2) || !digits(day, 2) {
        return None;
    }
    let (month, day) = match unit {
        Unit::Hour | Unit::Day => (month, day),
        Unit::Month => (month, "01"),
        Unit::Year => ("01", "01"),
    };
    let mut out = format!("{year}-{month}-{day}");
    if let Some(time) = time {
        let hour = time.get(..2).filter(|hour| digits(hour, 2))?;
        let hour = if unit == Unit::Hour { hour } else { "00" };
        let zone = time
            .find(['+', '-'])
            .and_then(|at| time.get(at..))
            .unwrap_or_default();
        out.push_str(&format!(" {hour}:00:00{zone}"));
    }
    Some(out.into_bytes())
}
