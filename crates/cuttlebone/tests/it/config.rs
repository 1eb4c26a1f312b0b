use crate::program::{Running, file, file_with_mode, program, run, stderr, stdout};

const FAULT: Option<i32> = Some(78);

#[test]
fn config_doc_is_a_configuration_without_a_fault() {
    let doc = stdout(&run(&["config-doc"]));
    assert_eq!(doc, include_str!("../../src/config/default.toml"));
    let path = file("reference.toml", &doc);
    let output = run(&["check-config", "--config", &path]);
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn flags_win_over_variables_and_variables_over_the_file() {
    let path =
        file("order.toml", "[server]\nlisten = \"127.0.0.1:1\"\n[timeouts]\nping_ms = 1\n[log]\nlevel = \"error\"\n");
    let mut command = program(&["print-config", "--config", &path, "--listen", "127.0.0.1:3"]);
    command.env("CUTTLEBONE__SERVER__LISTEN", "127.0.0.1:2").env("CUTTLEBONE__TIMEOUTS__PING_MS", "2");
    let printed = stdout(&command.output().expect("runs"));
    for line in ["listen = \"127.0.0.1:3\"", "ping_ms = 2", "level = \"error\"", "idle_ms = 45000"] {
        assert!(printed.lines().any(|printed| printed == line), "{line} is not in:\n{printed}");
    }
}

#[test]
fn all_faults_are_shown_at_once() {
    let path = file("faults.toml", "[server]\nlisten = \"x\"\nlisen = 1\n\n[timeouts]\nping_ms = true\n");
    let mut command = program(&["check-config", "--config", &path, "--log-format", "loud"]);
    let output = command.env("CUTTLEBONE__HTTP__MAX_HEADERS", "0").output().expect("runs");
    assert_eq!(output.status.code(), FAULT);
    let text = stderr(&output).replace(&path, "FILE");
    insta::assert_snapshot!(text);
}

#[test]
fn an_unknown_variable_is_a_fault() {
    let output = program(&["serve"]).env("CUTTLEBONE__SERVER__LISEN", "x").output().expect("runs");
    assert_eq!(output.status.code(), FAULT);
    assert!(stderr(&output).contains("CUTTLEBONE__SERVER__LISEN"), "{}", stderr(&output));
}

#[test]
fn a_named_file_that_is_missing_is_a_fault() {
    let output = run(&["serve", "--config", "missing.toml"]);
    assert_eq!(output.status.code(), FAULT);
    assert!(stderr(&output).contains("cannot read missing.toml"), "{}", stderr(&output));
}

#[test]
fn print_config_hides_secrets() {
    let servers = "[[ice.servers]]\nurls = [\"turn:turn.example\"]\nusername = \"u\"\ncredential = \"CANARY\"\n";
    let hook = "[hook]\nurl = \"https://hook.example/ask?key=CANARY\"\n";
    let path = file("secret.toml", &format!("{servers}{hook}"));
    let output = run(&["print-config", "--config", &path]);
    let printed = stdout(&output);
    assert!(printed.contains("credential = \"***\"") && !printed.contains("CANARY"), "{printed}");
    assert!(printed.contains("url = \"https://***\""), "{printed}");
    assert!(!stderr(&output).contains("CANARY"));
}

/// T53: a network is not served without tokens or without TLS, unless the configuration says so in words.
#[test]
fn t53_a_network_address_needs_tokens_and_tls_or_words() {
    let path = file("network.toml", "[server]\nlisten = \"0.0.0.0:0\"\n");
    let faults = |command: &str, more: &[&str]| {
        let output = run(&[&[command, "--config", &path], more].concat());
        assert_eq!(output.status.code(), FAULT, "{}", stderr(&output));
        stderr(&output).replace(&path, "FILE")
    };
    for command in ["serve", "check-config"] {
        let both = faults(command, &[]);
        insta::assert_snapshot!("a_network_address_without_tokens_or_tls", both);
        let plain = faults(command, &["--allow-anonymous"]);
        assert!(plain.contains("tls.mode: ") && !plain.contains("server.listen: "), "{plain}");
        let open = faults(command, &["--allow-plain-text"]);
        assert!(open.contains("server.listen: ") && !open.contains("tls.mode: "), "{open}");
    }
    let tokens = file_with_mode("network.tokens", "", 0o600);
    let good: [&[&str]; 3] = [
        &["--allow-anonymous", "--allow-plain-text"],
        &["--tokens-file", &tokens, "--allow-plain-text"],
        &["--tokens-file", &tokens, "--tls", "self-signed"],
    ];
    for more in good {
        let output = run(&[&["check-config", "--config", &path], more].concat());
        assert!(output.status.success(), "{more:?}: {}", stderr(&output));
    }
}

#[test]
fn whoever_reaches_a_network_address_may_connect_and_the_start_warns() {
    let args = ["serve", "--listen", "0.0.0.0:0", "--metrics-listen", "", "--allow-anonymous", "--allow-plain-text"];
    let mut running = Running::start(program(&args));
    assert!(running.line().starts_with("listening on http://0.0.0.0:"));
    assert!(running.log_line("whoever reaches this address may connect").contains("WARN"));
}
