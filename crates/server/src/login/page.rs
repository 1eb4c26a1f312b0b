//! Where somebody who has signed in goes on.

use crate::routes::assets;

/// The longest query of a page, in bytes.
const QUERY_BYTES: usize = 2_048;

/// One of our own pages, with its query, as written after the root of the pages: `viewer.html?deviceId=x`. There is no other way
/// to write a page, so none leads anywhere else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Page(String);

impl Page {
    /// `None` if it is no page of ours.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'\\' | b'"' | b'<' | b'>' | b'`');
        let is_good = assets::is_page(path) && query.len() <= QUERY_BYTES && query.bytes().all(is_plain);
        is_good.then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_is_one_of_ours_and_nothing_else() {
        for good in ["", "index.html", "viewer.html?deviceId=lab7%2Fcvd-1", "?query=a&x=https://b.example/"] {
            assert_eq!(Page::new(good).as_ref().map(Page::as_str), Some(good), "{good}");
        }
        for bad in [
            "https://evil.example/",
            "//evil.example/",
            "/\\evil.example",
            "/viewer.html",
            "\\viewer.html",
            "javascript:alert(1)",
            "data:text/html,x",
            "viewer.html#x",
            "viewer.html?a#login=x",
            "viewer.html?\\",
            "viewer.html?a b",
            "viewer.html?a\r\nset-cookie: a=b",
            "viewer.html?\u{e4}",
            "./viewer.html",
            "../viewer.html",
            "x/../viewer.html",
            "viewer%2ehtml",
            "viewer.html/",
            "account.js",
            "devices",
            "api/v1/login",
            ".",
            "@evil.example",
            &format!("?{}", "a".repeat(2_049)),
        ] {
            assert_eq!(Page::new(bad), None, "{bad:?}");
        }
    }
}
