//! Masks of text.

/// Most stars in one value: the length of what is hidden is not told beyond this.
const STARS: usize = 32;

fn stars(out: &mut String, count: usize) {
    out.extend(std::iter::repeat_n('*', count.min(STARS)));
}

/// All but the last four characters; all of them where there are fewer than eight.
pub(super) fn last4(value: &str) -> Vec<u8> {
    if value.chars().count() < 8 {
        return partial(value, 0, 0);
    }
    partial(value, 0, 4)
}

/// All but so many characters at both ends; all of them where nothing would be hidden.
pub(super) fn partial(value: &str, first: usize, last: usize) -> Vec<u8> {
    let count = value.chars().count();
    let hidden = match count.checked_sub(first.saturating_add(last)) {
        Some(hidden @ 1..) => hidden,
        Some(0) | None => {
            let mut out = String::new();
            stars(&mut out, count);
            return out.into_bytes();
        }
    };
    let mut out: String = value.chars().take(first).collect();
    stars(&mut out, hidden);
    out.extend(value.chars().skip(first.saturating_add(hidden)));
    out.into_bytes()
}

/// The first character and the domain; nothing of what is no address.
pub(super) fn email(value: &str) -> Vec<u8> {
    match value.rsplit_once('@') {
        Some((local, domain)) if !local.is_empty() && domain.contains('.') && !domain.contains(' ') => {
            let mut out: String = local.chars().take(1).collect();
            out.push_str("***@");
            out.push_str(domain);
            out.into_bytes()
        }
        _ => partial(value, 0, 0),
    }
}
