use crate::program::{run, stderr, stdout};

const COMMANDS: [&str; 9] =
    ["serve", "demo", "device", "token", "check-config", "print-config", "config-doc", "health", "completions"];

#[test]
fn help_names_every_command_and_teaches_by_examples() {
    let help = stdout(&run(&["--help"]));
    for command in COMMANDS {
        assert!(help.contains(&format!("  {command} ")), "{command} is not in:\n{help}");
    }
    assert!(help.contains("Examples:") && help.contains("78"), "{help}");
}

#[test]
fn help_of_every_command_says_what_its_flags_mean() {
    for command in COMMANDS {
        let output = run(&[command, "--help"]);
        assert!(output.status.success(), "{command}");
        let help = stdout(&output);
        assert!(help.contains("Usage: cuttlebone"), "{command}: {help}");
    }
    let token = stdout(&run(&["token", "new", "--help"]));
    for flag in ["--name", "--role", "--devices", "--tenant", "--expires", "--append-to", "--json", "Examples:"] {
        assert!(token.contains(flag), "{flag} is not in:\n{token}");
    }
    let serve = stdout(&run(&["serve", "--help"]));
    for flag in [
        "--config",
        "--listen",
        "--metrics-listen",
        "--tls",
        "--tls-cert",
        "--log-format",
        "--tokens-file",
        "CUTTLEBONE__",
    ] {
        assert!(serve.contains(flag), "{flag} is not in:\n{serve}");
    }
}

#[test]
fn version_is_that_of_the_package() {
    assert_eq!(stdout(&run(&["--version"])), format!("cuttlebone {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_has_exit_code_2() {
    let output = run(&["serve", "--colour"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--colour"));
    assert_eq!(run(&["serve", "--tls-cert", "x"]).status.code(), Some(2), "a certificate needs its key");
}

#[test]
fn completions_are_made_for_each_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        assert!(stdout(&run(&["completions", shell])).contains("config-doc"), "{shell}");
    }
}
