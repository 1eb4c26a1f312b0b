//! Numbers that equal an integer, however they are written.

/// The value of the JSON number `text`, if it equals an integer from 0 to `u32::MAX`: `7`, `7.0`, `70e-1`.
pub(crate) fn whole_number(text: &str) -> Option<u32> {
    if let Ok(plain) = text.parse() {
        return Some(plain);
    }
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if !whole.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    if significant.trim_start_matches('0').is_empty() {
        return Some(0);
    }
    let dropped = i64::try_from(digits.len() - significant.len()).ok()?;
    let exponent: i64 = exponent.parse().ok()?;
    let zeros = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?.checked_add(dropped)?;
    let zeros = u32::try_from(zeros).ok()?;
    significant.parse::<u32>().ok()?.checked_mul(10_u32.checked_pow(zeros)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_equal_to_an_integer_count() {
        for (text, value) in [
            ("7", 7),
            ("7.0", 7),
            ("70e-1", 7),
            ("0.7e1", 7),
            ("1E3", 1000),
            ("1e+3", 1000),
            ("100e-2", 1),
            ("0", 0),
            ("0.0", 0),
            ("0e99", 0),
            ("4294967295", u32::MAX),
            ("1.000000000000000000000", 1),
        ] {
            assert_eq!(whole_number(text), Some(value), "{text}");
        }
    }

    #[test]
    fn all_others_do_not() {
        for text in [
            "1.5",
            "-1",
            "-0",
            "1e-1",
            "4294967296",
            "1e10",
            "1.00000000000000000000000001",
            "1e99999999999999999999",
            "null",
            "\"1\"",
            "true",
            "[]",
            "{}",
        ] {
            assert_eq!(whole_number(text), None, "{text}");
        }
    }
}
