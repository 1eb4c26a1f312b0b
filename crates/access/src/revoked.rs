//! Who was let in once, and is no longer.

use std::collections::HashSet;
use std::sync::Arc;

use crate::certificates::NameKind;
use crate::line_fault::{LineFault, TokenFault, lines};
use crate::principal::{Origin, Principal};
use crate::tenant::check_name;

/// Where in a line a comment may begin, at most.
const MOST_MARKS: usize = 8;

/// Who is revoked. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Revoked(Arc<HashSet<Box<str>>>);

impl Revoked {
    /// An identity as principals have it: see [`NameKind::spelled`].
    #[must_use]
    pub fn spelled(identity: String) -> String {
        let of_certificate = |identity: &str| {
            let (kind, name) = identity.strip_prefix("cert:")?.split_once(':')?;
            let kind: NameKind = kind.parse().ok()?;
            Some(format!("cert:{kind}:{}", kind.spelled(name)))
        };
        of_certificate(&identity).unwrap_or(identity)
    }

    /// The most lines of a file.
    pub const MOST_LINES: usize = 100_000;

    /// Reads a file. A line, or the text of a line in JSON's quotes (`"jwt:https://idp.example#bob "`), is an identity,
    /// `token:NAME`, `user:NAME`, `jwt:ISSUER#SUBJECT`, `oidc:ISSUER#SUBJECT`, `hook:NAME` or `cert:KIND:NAME`, or one
    /// signed token, `jti:ISSUER#ID`. Lines that begin with `#` are comments. What follows a space and `#` may be a
    /// comment, too, or the end of a name: who is named with it and who is named without it are both revoked. Eight such in a line
    /// are looked at.
    ///
    /// # Errors
    /// All faults.
    pub fn parse(text: &str) -> Result<Self, Vec<LineFault>> {
        let (mut revoked, mut faults) = (HashSet::new(), Vec::new());
        for (line, words) in lines(text) {
            if line > Self::MOST_LINES {
                faults.push(LineFault { line, fault: TokenFault::TooManyLines(Self::MOST_LINES) });
                break;
            }
            let named: Vec<String> = before_marks(words).chain([words]).filter_map(somebody).collect();
            if named.is_empty() {
                faults.push(LineFault { line, fault: TokenFault::Revoked });
            }
            revoked.extend(named.into_iter().map(String::into_boxed_str));
        }
        if faults.is_empty() { Ok(Self(Arc::new(revoked))) } else { Err(faults) }
    }

    /// The issuers that are named, of what they sign (`jwt`, `jti`) or of whom they sign in (`oidc`), once for each line.
    pub fn issuers(&self) -> impl Iterator<Item = (&str, &str)> {
        let is_with_comment = |who: &&str| before_marks(who).any(|before| self.0.contains(before));
        let of_issuers = self.0.iter().map(|who| &**who).filter(move |who| !is_with_comment(who));
        let of_issuers = of_issuers.filter_map(|who| who.split_once(':'));
        let of_issuers = of_issuers.filter(|(kind, _)| matches!(*kind, "jwt" | "jti" | "oidc"));
        of_issuers.filter_map(|(kind, rest)| Some((kind, rest.split_once('#')?.0)))
    }

    /// Whether `principal` is revoked.
    pub(crate) fn has(&self, principal: &Principal) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let id = match principal.origin() {
            Origin::Signed(signed) => signed.id(),
            Origin::Static(_) | Origin::User(..) | Origin::Session(_) | Origin::Hook(_) | Origin::Certificate(_) => {
                None
            }
        };
        self.0.contains(principal.identity()) || id.is_some_and(|id| self.0.contains(id.as_str()))
    }
}

/// What stands before each `#` with a space before it, where a comment may begin.
fn before_marks(line: &str) -> impl Iterator<Item = &str> {
    let marks = line.match_indices('#').filter_map(|(at, _)| line.get(..at));
    marks.filter(|before| before.ends_with(char::is_whitespace)).map(str::trim_end).take(MOST_MARKS)
}

/// Who a line names: as it stands there, or in quotes, so that a name may begin or end with a space.
fn somebody(line: &str) -> Option<String> {
    let who = if line.starts_with('"') { serde_json::from_str(line).ok()? } else { line.to_owned() };
    is_somebody(&who).then(|| Revoked::spelled(who))
}

fn is_somebody(who: &str) -> bool {
    if who.chars().any(char::is_control) {
        return false;
    }
    let of_issuer = |rest: &str| rest.split_once('#').is_some_and(|(issuer, id)| !issuer.is_empty() && !id.is_empty());
    match who.split_once(':') {
        Some(("token" | "user", name)) => check_name(name).is_ok(),
        Some(("jwt" | "oidc" | "jti", rest)) => of_issuer(rest),
        Some(("hook", name)) => !name.is_empty(),
        Some(("cert", rest)) => {
            // A name with a * is nobody's, and not a pattern.
            let is_name = |name: &str| !name.is_empty() && !name.contains('*');
            rest.split_once(':').is_some_and(|(kind, name)| is_name(name) && kind.parse::<NameKind>().is_ok())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_that_names_nobody_is_a_fault() {
        let text = "# left in May\ntoken:cam-7\n\n jwt:https://idp.example#alice \njti:https://idp.example#4711\noidc:a#b\ncert:dns:a.b";
        assert_eq!(Revoked::parse(text).expect("good").0.len(), 5);
        let text = "alice\ntoken:\ntoken:a b\njwt:https://idp.example\njwt:#alice\njti:https://idp.example#\nhook:a\rb\nhook:\u{0}a\n\"hook:a\\nb\"\ncert:dns:\ncert:ip:x\ncert:dns:*.lab\ntoken:a";
        let faults = Revoked::parse(text).expect_err("faults");
        assert_eq!(faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), (1..=12).collect::<Vec<_>>());
    }

    #[test]
    fn name_in_quotes_is_taken_as_it_is_and_another_without_the_space_around_it() {
        let text = " jwt:a#bob  \n\"jwt:a# eve \"\n\"hook:\\u00e4\"\n";
        let revoked = Revoked::parse(text).expect("good");
        let mut names: Vec<&str> = revoked.0.iter().map(|name| &**name).collect();
        names.sort_unstable();
        assert_eq!(names, ["hook:\u{e4}", "jwt:a# eve ", "jwt:a#bob"]);
        for bad in ["\"jwt:a#bob", "\"jwt:a#bob\" x", "\"token:\"", "\"\"", "hook:"] {
            assert!(Revoked::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_of_certificates_are_spelled_as_those_of_principals() {
        let text = "cert:dns:A.b.\ncert:email:Eve@A.b\ncert:uri:SPIFFE://A.b/X\ncert:common_name:A.b\ntoken:A";
        let revoked = Revoked::parse(text).expect("good");
        let mut names: Vec<&str> = revoked.0.iter().map(|name| &**name).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            ["cert:common_name:A.b", "cert:dns:a.b", "cert:email:Eve@a.b", "cert:uri:spiffe://a.b/X", "token:A"]
        );
    }

    #[test]
    fn comment_behind_a_name_keeps_nobody_in() {
        let text =
            "token:cam-7 # left in May\njwt:a#bob  #2 of two\t# left\n\"oidc:a#eve \" # with a space\n\"hook:x #1\"";
        let revoked = Revoked::parse(text).expect("good");
        let mut names: Vec<&str> = revoked.0.iter().map(|name| &**name).collect();
        names.sort_unstable();
        assert_eq!(names, ["hook:x #1", "jwt:a#bob", "jwt:a#bob  #2 of two", "oidc:a#eve ", "token:cam-7"]);
        assert_eq!(revoked.issuers().count(), 2, "one for each line");
        assert!(Revoked::parse("nobody # token:a").is_err());
    }

    #[test]
    fn number_of_lines_is_bounded() {
        let text = "token:a\n".repeat(Revoked::MOST_LINES);
        assert!(Revoked::parse(&text).is_ok());
        let faults = Revoked::parse(&(text + "token:b\ntoken:c\n")).expect_err("too long");
        assert_eq!(faults.len(), 1);
    }
}
