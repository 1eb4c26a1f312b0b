//! Patterns of device ids.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use cuttlebone_proto::DeviceId;

/// The longest pattern, in bytes.
const PATTERN_BYTES: usize = 256;
/// The most `*` in one pattern: each is looked for, in each id.
const MOST_STARS: usize = 8;
/// The most patterns of one principal.
const MOST_PATTERNS: usize = 64;

/// A pattern of device ids: literal text in which `*` stands for any run of characters, also none.
///
/// Compared byte for byte, as device ids are. Matching takes time in proportion to the two lengths, whatever they hold.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pattern(Box<str>);

/// Up to 64 patterns; by default none, which means no device. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Patterns(Arc<[Pattern]>);

/// Why a text is no pattern, or a list of texts no patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// The text is empty.
    #[error("an empty pattern matches no device; `*` matches every one")]
    Empty,
    /// The text is too long.
    #[error("a pattern has at most {PATTERN_BYTES} bytes")]
    TooLong,
    /// The text has too many stars.
    #[error("a pattern has at most {MOST_STARS} `*`")]
    TooManyStars,
    /// The text has a control character, which no device id has.
    #[error("a pattern has no control characters, for no device id has")]
    Control,
    /// The list is too long.
    #[error("at most {MOST_PATTERNS} patterns")]
    TooMany,
}

impl Pattern {
    /// Whether `id` is one of those that are meant.
    #[must_use]
    pub fn matches(&self, id: &str) -> bool {
        let Some((prefix, rest)) = self.0.split_once('*') else { return *self.0 == *id };
        let (middle, suffix) = rest.rsplit_once('*').unwrap_or(("", rest));
        let inner = id.strip_prefix(prefix).and_then(|left| left.strip_suffix(suffix));
        let Some(mut left) = inner else { return false };
        middle.split('*').all(|part| match left.split_once(part) {
            Some((_, after)) => {
                left = after;
                true
            }
            None => false,
        })
    }

    /// Whether every id is meant.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.0.bytes().all(|byte| byte == b'*')
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        if text.is_empty() {
            return Err(InvalidPattern::Empty);
        }
        if text.len() > PATTERN_BYTES {
            return Err(InvalidPattern::TooLong);
        }
        if text.matches('*').count() > MOST_STARS {
            return Err(InvalidPattern::TooManyStars);
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidPattern::Control);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl Patterns {
    /// Bytes of all.
    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|pattern| size_of::<Pattern>() + pattern.0.len()).sum()
    }

    /// The patterns in `texts`.
    ///
    /// # Errors
    /// The first fault.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidPattern> {
        let patterns: Vec<Pattern> =
            texts.into_iter().take(MOST_PATTERNS + 1).map(str::parse).collect::<Result<_, _>>()?;
        if patterns.len() > MOST_PATTERNS {
            return Err(InvalidPattern::TooMany);
        }
        Ok(Self(patterns.into()))
    }

    /// The one pattern `*`.
    #[must_use]
    pub fn all() -> Self {
        Self([Pattern("*".into())].into())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them means `id`.
    #[must_use]
    pub fn match_id(&self, id: &DeviceId) -> bool {
        self.0.iter().any(|pattern| pattern.matches(id.as_str()))
    }

    /// Whether one of them means every id.
    #[must_use]
    pub fn are_all(&self) -> bool {
        self.0.iter().any(Pattern::is_all)
    }

    /// Them, in the order they were given.
    pub fn iter(&self) -> impl Iterator<Item = &Pattern> {
        self.0.iter()
    }
}

impl fmt::Debug for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter()).finish()
    }
}

/// What [`Pattern::matches`] does, said as simply as can be. It takes exponential time.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn naive(pattern: &[u8], id: &[u8]) -> bool {
    match (pattern.split_first(), id.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), None) => naive(rest, id),
        (Some((b'*', rest)), Some((_, after))) => naive(rest, id) || naive(pattern, after),
        (Some((expected, rest)), Some((byte, after))) => expected == byte && naive(rest, after),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().expect("a pattern")
    }

    #[test]
    fn star_stands_for_any_run_also_none() {
        for (text, good, bad) in [
            ("cvd-1", &["cvd-1"] as &[&str], &["cvd-2", "cvd-10", "xcvd-1", "CVD-1"] as &[&str]),
            ("lab7/*", &["lab7/", "lab7/a", "lab7/a/b"], &["lab7", "lab70/a", "x/lab7/a"]),
            ("*-1", &["-1", "cvd-1"], &["cvd-12", "1"]),
            ("a*a", &["aa", "aba"], &["a", "ab"]),
            ("a*b*c", &["abc", "a-b-c", "abbcc"], &["acb", "ab", "bc"]),
            ("*b*", &["b", "abc"], &["ac"]),
            ("a**b", &["ab", "a-b"], &["a"]),
            ("*", &["x", "*"], &[]),
            ("a.c", &["a.c"], &["abc"]),
            ("[ab]?", &["[ab]?"], &["a", "ax"]),
            ("\u{e9}*", &["\u{e9}1"], &["e\u{301}1"]),
        ] {
            for id in good {
                assert!(pattern(text).matches(id), "{text} and {id}");
            }
            for id in bad {
                assert!(!pattern(text).matches(id), "{text} and {id}");
            }
        }
    }

    #[test]
    fn pattern_that_can_mean_nothing_is_refused() {
        assert_eq!("".parse::<Pattern>(), Err(InvalidPattern::Empty));
        assert_eq!("x".repeat(257).parse::<Pattern>(), Err(InvalidPattern::TooLong));
        assert_eq!("a\n*".parse::<Pattern>(), Err(InvalidPattern::Control));
        assert!("*a*a*a*a*a*a*a*".parse::<Pattern>().is_ok());
        assert_eq!("*a*a*a*a*a*a*a*a*".parse::<Pattern>(), Err(InvalidPattern::TooManyStars));
        assert_eq!(Patterns::new(["a", ""]), Err(InvalidPattern::Empty));
        assert!(Patterns::new(vec!["a"; 64]).is_ok());
        assert_eq!(Patterns::new(vec!["a"; 65]), Err(InvalidPattern::TooMany));
    }

    #[test]
    fn patterns_mean_what_one_of_them_means() {
        let id = |text| DeviceId::new(text).expect("an id");
        let patterns = Patterns::new(["a*", "b"]).expect("patterns");
        assert!(patterns.match_id(&id("ax")) && patterns.match_id(&id("b")) && !patterns.match_id(&id("bx")));
        assert!(!patterns.are_all() && Patterns::all().are_all());
        assert!(Patterns::new(["a", "**"]).expect("patterns").are_all());
        assert!(!Patterns::new([]).expect("none").match_id(&id("a")));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "what is measured is time")]
    fn hostile_pattern_takes_no_time() {
        let pattern = pattern(&("a*".repeat(7) + &"a".repeat(60) + "*c"));
        let id = "a".repeat(66) + &"b".repeat(189) + "c";
        let begun = Instant::now();
        for _ in 0..1_000 {
            assert!(!pattern.matches(&id));
        }
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }

    proptest! {
        #[test]
        fn matching_is_what_the_naive_matcher_does(text in "[ab*]{1,10}", id in "[ab*]{0,12}") {
            prop_assume!(text.matches('*').count() <= MOST_STARS);
            prop_assert_eq!(pattern(&text).matches(&id), naive(text.as_bytes(), id.as_bytes()));
        }

        #[test]
        fn any_text_is_a_pattern_or_a_fault(text in any::<String>(), id in any::<String>()) {
            if let Ok(pattern) = text.parse::<Pattern>() {
                let _ = pattern.matches(&id);
                prop_assert!(pattern.matches(&text), "a pattern means its own text");
            }
        }
    }
}
