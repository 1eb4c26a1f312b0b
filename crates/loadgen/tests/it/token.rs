//! The token of a file, against a listener that reads each request and refuses it by hand. The real thing is tested in
//! `server`.

use std::path::{Path, PathBuf};
use std::process::Output;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::Command;

const ANSWER: &[u8] = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

fn file(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// Refuses every connection and notes the head of its request.
async fn refuse(listener: &TcpListener, heads: &mut Vec<String>) -> std::io::Result<()> {
    loop {
        let (mut tcp, _) = listener.accept().await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(tcp.read_u8().await?);
        }
        heads.push(String::from_utf8_lossy(&head).into_owned());
        tcp.write_all(ANSWER).await?;
    }
}

/// Runs the program against a server that refuses it; what it printed, and what it asked.
async fn refused(arguments: &[&str], token: &Path) -> (Output, Vec<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.args(arguments).args(["--url", &url]).arg("--token-file").arg(token);
    let mut heads = Vec::new();
    let output = tokio::select! {
        output = command.output() => output.unwrap(),
        end = refuse(&listener, &mut heads) => panic!("{end:?}"),
    };
    (output, heads)
}

fn printed(output: &Output) -> String {
    [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat()
}

#[tokio::test]
async fn token_is_shown_on_each_connection_and_never_printed() {
    let token = file("loadgen.token", "cbt_CANARY\n");
    for arguments in [
        &["pairs", "--pairs", "2", "--duration", "0.2", "--warmup", "0"][..],
        &["idle", "--connections", "2", "--settle", "0", "--json", "-"],
    ] {
        let (output, heads) = refused(arguments, &token).await;
        assert!(!heads.is_empty(), "{arguments:?}: {output:?}");
        for head in heads {
            assert!(head.contains("authorization: Bearer cbt_CANARY\r\n"), "{arguments:?}: {head}");
            assert_eq!(head.matches("CANARY").count(), 1, "{head}");
        }
        let printed = printed(&output);
        assert!(printed.contains("401") && !printed.contains("CANARY"), "{arguments:?}: {printed}");
    }
}

#[tokio::test]
async fn file_without_a_token_is_a_fault_that_names_the_file_only() {
    for (name, text) in [("empty.token", "\n"), ("two.token", "cbt_CANARY other\n")] {
        let (output, heads) = refused(&["pairs"], &file(name, text)).await;
        let printed = printed(&output);
        assert_eq!((output.status.code(), heads.len()), (Some(1), 0), "{printed}");
        assert!(printed.contains(name) && printed.contains("a token has") && !printed.contains("CANARY"), "{printed}");
    }
}
