//! Masks of numbers.

use super::Form;
use crate::kind::Kind;

/// OID of int2, float4.
const INT2: u32 = 21;
const INT4: u32 = 23;
const FLOAT4: u32 = 700;

/// A multiple of `step`, towards zero.
pub(super) fn round(form: Form, value: &[u8], step: u64) -> Option<Vec<u8>> {
    if step == 0 {
        return None;
    }
    let down = |n: i128| n / i128::from(step) * i128::from(step);
    match (form.kind, form.binary) {
        (Kind::Integer | Kind::Numeric, false) => {
            let text = std::str::from_utf8(value).ok()?;
            // What is behind the point is less than any step.
            let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
            Some(down(whole.parse().ok()?).to_string().into_bytes())
        }
        (Kind::Integer, true) => integer(form, i64::try_from(down(i128::from(decode(value)?))).ok()?),
        (Kind::Float, false) => {
            let number: f64 = std::str::from_utf8(value).ok()?.parse().ok()?;
            Some(float_down(number, step)?.to_string().into_bytes())
        }
        (Kind::Float, true) => match value.len() {
            4 => {
                let number = f64::from(f32::from_be_bytes(*value.first_chunk()?));
                float(form, float_down(number, step)?)
            }
            8 => float(form, float_down(f64::from_be_bytes(*value.first_chunk()?), step)?),
            _ => None,
        },
        // The binary form of numeric is a row of digits to the base 10,000; nobody has needed it rounded yet.
        _ => None,
    }
}

fn float_down(number: f64, step: u64) -> Option<f64> {
    let step = step as f64;
    let down = (number / step).trunc() * step;
    down.is_finite().then_some(down)
}

/// The constant as a number of the column's type.
pub(super) fn constant(form: Form, constant: &str) -> Option<Vec<u8>> {
    match (form.kind, form.binary) {
        (Kind::Integer, true) => integer(form, constant.parse().ok()?),
        (Kind::Integer, false) => {
            constant.parse::<i64>().ok()?;
            Some(constant.as_bytes().to_vec())
        }
        (Kind::Float, true) => float(form, constant.parse().ok()?),
        (Kind::Float | Kind::Numeric, false) => {
            constant.parse::<f64>().ok().filter(|n| n.is_finite())?;
            Some(constant.as_bytes().to_vec())
        }
        _ => None,
    }
}

fn decode(value: &[u8]) -> Option<i64> {
    Some(match value.len() {
        2 => i64::from(i16::from_be_bytes(*value.first_chunk()?)),
        4 => i64::from(i32::from_be_bytes(*value.first_chunk()?)),
        8 => i64::from_be_bytes(*value.first_chunk()?),
        _ => return None,
    })
}

fn integer(form: Form, number: i64) -> Option<Vec<u8>> {
    Some(match form.type_oid {
        INT2 => i16::try_from(number).ok()?.to_be_bytes().to_vec(),
        INT4 => i32::try_from(number).ok()?.to_be_bytes().to_vec(),
        _ => number.to_be_bytes().to_vec(),
    })
}

fn float(form: Form, number: f64) -> Option<Vec<u8>> {
    Some(match form.type_oid {
        FLOAT4 => (number as f32).to_be_bytes().to_vec(),
        _ => number.to_be_bytes().to_vec(),
    })
}
