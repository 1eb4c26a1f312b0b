//! The embedded files.

use crate::support::{Running, request};

/// A file of the repository, as it was when this was built.
macro_rules! file {
    ($path:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../", $path)).as_slice()
    };
}

#[tokio::test]
async fn files_are_served_as_they_are_with_their_type() {
    let server = Running::start();
    for (path, file, content_type) in [
        ("/", file!("web/index.html"), "text/html; charset=utf-8"),
        ("/index.html", file!("web/index.html"), "text/html; charset=utf-8"),
        ("/viewer.html", file!("web/viewer.html"), "text/html; charset=utf-8"),
        ("/js/server_connector.js", file!("sdk/js/server_connector.js"), "text/javascript; charset=utf-8"),
    ] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, content_type), "{path}");
        assert_eq!(answer.header("cache-control"), "no-cache", "{path}");
        assert!(answer.body == file, "{path} is another file");
    }
}

#[tokio::test]
async fn every_file_that_a_page_names_is_there() {
    let server = Running::start();
    for page in ["/", "/viewer.html"] {
        let text = server.get(page).await.text();
        let named = text.split(['"', '\'']).filter(|word| word.ends_with(".js") || word.ends_with(".css"));
        let mut count = 0;
        for name in named {
            let path = format!("/{}", name.trim_start_matches("./"));
            assert_eq!(server.get(&path).await.status, 200, "{page} names {name}");
            count += 1;
        }
        assert!(count > 0, "{page} names no file");
    }
}

#[tokio::test]
async fn a_file_that_the_browser_has_is_not_sent_again() {
    let server = Running::start();
    let etag = server.get("/").await.header("etag").to_owned();
    assert!(etag.starts_with('"') && etag.len() > 10, "{etag}");
    let with =
        |tag: &str| format!("GET / HTTP/1.1\r\nhost: localhost\r\nif-none-match: {tag}\r\nconnection: close\r\n\r\n");
    let answer = request(server.addr, &with(&etag)).await;
    assert_eq!((answer.status, answer.body.len(), answer.header("etag")), (304, 0, etag.as_str()));
    assert_eq!(request(server.addr, &with("\"other\"")).await.status, 200);
}

#[tokio::test]
async fn no_path_leads_out_of_the_table() {
    let server = Running::start();
    for path in [
        "/..%2f..%2fetc/passwd",
        "/../../etc/passwd",
        "/js/../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/%252e%252e/etc/passwd",
        "/..%5c..%5cetc/passwd",
        "/%00",
        "/index.html%00.js",
        "//etc/passwd",
        "/....//....//etc/passwd",
        "/;/index.html",
        "/./index.html",
        "//index.html",
        "/js",
        "/js/",
        "/js/package.json",
        "/js/test/index.js",
        "/devices/..%2f..%2fetc%2fpasswd",
        "/devices/%2e%2e",
        "/devices/%ff",
    ] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.text().contains("root:"), "{path}");
    }
}
