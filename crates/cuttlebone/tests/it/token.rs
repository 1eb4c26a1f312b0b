//! `cuttlebone token`

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};

use crate::program::{file_with_mode, program, run, stderr, stdout};

const CAM: [&str; 8] = ["token", "new", "--name", "cam-7", "--role", "device", "--devices", "lab7/*"];

/// A name for a file that is not there yet.
fn missing(name: &str) -> String {
    let path = format!("{}/{name}", env!("CARGO_TARGET_TMPDIR"));
    if fs::exists(&path).expect("tells") {
        fs::remove_file(&path).expect("removes");
    }
    path
}

fn new(more: &[&str]) -> Output {
    run(&[&CAM[..], more].concat())
}

fn hash(token: &str) -> Output {
    let mut command = program(&["token", "hash"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    child.stdin.take().expect("piped").write_all(token.as_bytes()).expect("writes");
    child.wait_with_output().expect("ends")
}

fn is_token(text: &str) -> bool {
    text.len() == 47 && text.starts_with("cbt_")
}

#[test]
fn a_new_token_comes_with_its_line_and_each_says_what_it_is() {
    let printed = stdout(&new(&["x", "--tenant", "lab7", "--expires", "2999-01-31"]));
    let lines: Vec<&str> = printed.lines().collect();
    let [about_token, token, about_line, line] = lines[..] else { panic!("{printed}") };
    assert!(about_token.contains("token, for its holder") && is_token(token.trim()), "{printed}");
    assert!(about_line.contains("access.tokens_file"), "{printed}");
    let words = line.trim().split_once(' ').expect("words");
    assert_eq!(words.1, "name=cam-7 role=device devices=lab7/*,x tenant=lab7 expires=2999-01-31");
    assert_eq!(stdout(&hash(&format!("{}\n", token.trim()))), format!("{}\n", words.0));
    assert_ne!(printed, stdout(&new(&[])), "each is another");
}

#[test]
fn json_has_both_as_well() {
    let printed = stdout(&new(&["--json"]));
    assert!(printed.starts_with("{\"line\":\"sha256:") && printed.contains("\"token\":\"cbt_"), "{printed}");
    assert_eq!(printed.lines().count(), 1);
}

#[test]
fn append_to_makes_a_file_for_its_owner_alone_and_prints_the_token_only() {
    let path = missing("append-to.tokens");
    let token = stdout(&new(&["--append-to", &path]));
    assert!(is_token(token.trim_end()) && token.lines().count() == 1, "{token}");
    assert_eq!(fs::metadata(&path).expect("is there").permissions().mode() & 0o777, 0o600);
    let first = fs::read_to_string(&path).expect("reads");
    assert!(first.starts_with("sha256:") && first.ends_with("devices=lab7/*\n"), "{first}");
    // Somebody wrote a line by hand, and no end to it.
    fs::write(&path, first.trim_end()).expect("writes");
    let other = run(&["token", "new", "--name", "ann", "--role", "client", "--devices", "*", "--append-to", &path]);
    assert!(other.status.success(), "{}", stderr(&other));
    let both = fs::read_to_string(&path).expect("reads");
    assert!(both.starts_with(&first) && both.lines().count() == 2, "{both}");
}

#[test]
fn append_to_leaves_a_file_alone_that_would_not_be_good() {
    let path = missing("taken.tokens");
    assert!(new(&["--append-to", &path]).status.success());
    let before = fs::read_to_string(&path).expect("reads");
    let again = new(&["--append-to", &path]);
    assert_eq!((again.status.code(), stdout(&again).as_str()), (Some(1), ""));
    assert!(stderr(&again).contains("line 2: name: the same as in line 1"), "{}", stderr(&again));
    assert_eq!(fs::read_to_string(&path).expect("reads"), before);
    let open = file_with_mode("open.tokens", "", 0o666);
    let refused = new(&["--append-to", &open]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("chmod go-w"), "{}", stderr(&refused));
}

#[test]
fn wrong_words_are_all_named_by_their_flags() {
    let output = run(&["token", "new", "--name", "a/b", "--role", "device,root", "--expires", "soon"]);
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    for flag in ["--name: ", "--role: ", "--expires: "] {
        assert!(text.lines().any(|line| line.starts_with(&format!("cuttlebone: {flag}"))), "{flag} is not in:\n{text}");
    }
    let output = run(&["token", "new", "--name", "a", "--role", "device"]);
    assert!(stderr(&output).contains("--devices: "), "{}", stderr(&output));
    let output = run(&["token", "new", "--name", "a", "--role", "device", "--devices", "a b"]);
    assert!(stderr(&output).contains("--devices: has white space"), "{}", stderr(&output));
}

#[test]
fn what_is_no_token_has_no_hash_and_is_not_repeated() {
    for text in ["CANARY", "", "cbt_CANARY", &format!("cbt_{}", "CANARY".repeat(10_000))] {
        let output = hash(text);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(1), ""), "{text}");
        assert!(!stderr(&output).contains("CANARY"), "{}", stderr(&output));
    }
}

#[test]
fn a_token_that_is_over_already_is_not_made() {
    for past in ["1970-01-01", "2020-02-29", "2020-02-29T23:59:59Z"] {
        let refused = new(&["--expires", past]);
        assert_eq!((refused.status.code(), stdout(&refused).as_str()), (Some(2), ""), "{past}");
        assert!(stderr(&refused).contains("--expires: that time is over"), "{}", stderr(&refused));
    }
}
