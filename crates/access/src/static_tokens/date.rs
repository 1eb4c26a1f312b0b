//! Dates in the token file.

const SECONDS_OF_A_DAY: u64 = 86_400;

/// Seconds from 1970 to `text`: a date such as `2027-01-31`, which means its first second, or a time such as
/// `2027-01-31T12:00:00Z` (RFC 3339, UTC, whole seconds). `None` if it is neither, or before 1970.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, time.strip_suffix('Z')?),
        None => (text, "00:00:00"),
    };
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let date_is_good = year >= 1970 && (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
    let time_is_good = hour < 24 && minute < 60 && second < 60;
    let days = (1970..year).map(days_of_year).sum::<u64>() + (1..month).map(|month| days_of(year, month)).sum::<u64>();
    let seconds_of_day = (hour * 60 + minute) * 60 + second;
    (date_is_good && time_is_good).then(|| (days + day - 1) * SECONDS_OF_A_DAY + seconds_of_day)
}

/// Three numbers of so many digits, with `between` between them.
fn numbers(text: &str, between: char, digits: [usize; 3]) -> Option<[u64; 3]> {
    let mut parts = text.split(between);
    let mut numbers = [0; 3];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next()?;
        let good = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
        *number = good.then(|| part.parse().ok())??;
    }
    parts.next().is_none().then_some(numbers)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of_year(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_of(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn date_is_its_first_second_and_a_time_is_in_utc() {
        for (text, expected) in [
            ("1970-01-01", 0),
            ("1970-01-02", 86_400),
            ("2000-02-29", 951_782_400),
            ("2000-03-01", 951_868_800),
            ("2027-01-31", 1_801_353_600),
            ("2027-01-31T00:00:00Z", 1_801_353_600),
            ("2027-01-31T23:59:59Z", 1_801_439_999),
            ("2100-03-01", 4_107_542_400),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for bad in [
            "",
            "2027",
            "2027-01",
            "27-01-31",
            "2027-1-31",
            "2027-13-01",
            "2027-00-01",
            "2027-02-29",
            "2100-02-29",
            "2027-04-31",
            "2027-01-00",
            "1969-12-31",
            "2027-01-31-01",
            "2027-01-31T12:00:00",
            "2027-01-31T12:00:00+01:00",
            "2027-01-31T24:00:00Z",
            "2027-01-31T12:60:00Z",
            "2027-01-31T12:00:60Z",
            "2027-01-31T12:00Z",
            "2027-01-31t12:00:00z",
            "+027-01-31",
            "2027-01-\u{0663}\u{0661}",
        ] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
