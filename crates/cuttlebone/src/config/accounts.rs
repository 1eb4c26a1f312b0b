//! Numbers of users and groups, by their names in the files of this machine.

use std::fs;

use super::raw::RawAccount;

/// Which file has the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    User,
    Group,
}

impl Kind {
    const fn file(self) -> &'static str {
        match self {
            Self::User => "/etc/passwd",
            Self::Group => "/etc/group",
        }
    }
}

/// The number. Errors: in words.
pub(super) fn number(kind: Kind, account: &RawAccount) -> Result<u32, String> {
    let name = match account {
        RawAccount::Number(number) => return Ok(*number),
        RawAccount::Name(name) => name,
    };
    // A variable gives the number as text.
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let file = kind.file();
    let text = fs::read_to_string(file).map_err(|error| format!("cannot read {file}: {error}"))?;
    find(&text, name).ok_or_else(|| format!("{name:?} is not in {file}: give its number"))
}

/// The third field of the line whose first is the name, in either file.
fn find(text: &str, name: &str) -> Option<u32> {
    let mut lines = text.lines().map(|line| line.split(':'));
    let mut fields = lines.find_map(|mut fields| (fields.next() == Some(name)).then_some(fields))?;
    fields.nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_is_that_of_the_name_and_of_no_other() {
        let text = "root:x:0:0:root:/root:/bin/sh\nab:x:7:8::/:\na:x:9:10::/:\nbroken\n+::::\n";
        assert_eq!((find(text, "a"), find(text, "ab"), find(text, "root")), (Some(9), Some(7), Some(0)));
        assert_eq!((find(text, "b"), find(text, "broken"), find(text, "")), (None, None, None));
        assert_eq!(number(Kind::User, &RawAccount::Name("root".into())), Ok(0));
        assert_eq!(number(Kind::Group, &RawAccount::Name("12".into())), Ok(12));
        assert!(
            number(Kind::Group, &RawAccount::Name("no such group".into()))
                .is_err_and(|text| text.contains("/etc/group"))
        );
    }
}
