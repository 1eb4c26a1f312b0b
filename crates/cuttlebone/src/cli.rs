//! The command line: names, flags and the help that teaches.

mod token;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::Override;
pub(crate) use token::{NewTokenArgs, TokenCommand};

const EXAMPLES: &str = "\
Examples:
  cuttlebone demo                          a server and a device in one; open the page it prints
  cuttlebone serve                         a server on 127.0.0.1:8080
  cuttlebone device --server http://127.0.0.1:8080 --id cvd-1
                                           a demo device that registers there
  cuttlebone config-doc > cuttlebone.toml  a configuration file with every key explained
  cuttlebone check-config --config cuttlebone.toml

Exit codes: 0 done, 1 failed, 2 wrong usage, 78 fault in the configuration.";

/// A signaling server for devices that stream over WebRTC.
///
/// Devices register, clients connect to them, and the server carries what the two need to negotiate
/// a peer connection. It never looks inside.
#[derive(Debug, Parser)]
#[command(name = "cuttlebone", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server
    Serve(ServeArgs),
    /// Run a server and a demo device in one, and print the page to open
    Demo(DemoArgs),
    /// Run the demo device alone, against any server of the protocol
    Device(DeviceArgs),
    /// Make the tokens by which the server knows who may connect
    #[command(subcommand)]
    Token(TokenCommand),
    /// Check the configuration, with the files that it names, and show every fault at once
    CheckConfig(ConfigArgs),
    /// Print the configuration that is in force; secrets are shown as ***
    PrintConfig(ConfigArgs),
    /// Print the default configuration: every key with its meaning
    ConfigDoc,
    /// Ask a running server whether it is ready; the exit code tells
    Health(HealthArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}

const SERVE_EXAMPLES: &str = "\
Examples:
  cuttlebone serve
  cuttlebone serve --config /etc/cuttlebone.toml --log-format json
  cuttlebone serve --tls self-signed
  cuttlebone serve --listen 0.0.0.0:8443 --tls-cert cert.pem --tls-key key.pem --tokens-file tokens

Every key can also be set by a variable: CUTTLEBONE__TIMEOUTS__PING_MS=5000 cuttlebone serve
Flags win over variables, variables over the file. `cuttlebone config-doc` lists the keys.

Signals: SIGTERM and SIGINT close all connections and stop (a second one stops at once);
SIGHUP reads log.level, [ice], the certificate (tls.cert_file, tls.key_file) and who may connect (access.tokens_file,
access.revoked_file, access.jwt) again.

Who may connect: `cuttlebone token new --help` makes tokens. Without any, and without access.jwt, everybody is served on
loopback, and no other address is.";

/// Flags of `serve`.
#[derive(Debug, Args)]
#[command(after_help = SERVE_EXAMPLES)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// The configuration file, and the flags that stand above it.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Where devices and clients connect [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,

    /// Where Prometheus reads /metrics; "" for nowhere [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDR:PORT")]
    metrics_listen: Option<String>,

    /// Who may connect: the lines that `cuttlebone token new` makes
    #[arg(long, value_name = "FILE")]
    tokens_file: Option<String>,

    /// Serve also those who come without a token
    #[arg(long)]
    allow_anonymous: bool,

    /// Serve an address that is not loopback without TLS: behind a proxy that speaks it, or in a closed network
    #[arg(long)]
    allow_plain_text: bool,

    /// TLS without files: off, or a certificate of its own that it makes and keeps
    #[arg(long, value_name = "MODE", conflicts_with_all = ["tls_cert", "tls_key"])]
    tls: Option<TlsMode>,

    /// Certificate chain (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<String>,

    /// Private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<String>,

    /// How logs look: text on a terminal and JSON elsewhere, or always one of them
    #[arg(long, value_name = "auto|text|json")]
    log_format: Option<String>,

    /// What is logged: error, warn, info, debug, trace, or info,module=debug
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

/// `--tls`
#[derive(Debug, Clone, Copy, ValueEnum)]
enum TlsMode {
    Off,
    SelfSigned,
}

impl ConfigArgs {
    /// The flags that were given, as values of keys.
    pub(crate) fn overrides(&self) -> Vec<Override> {
        let texts = [
            ("--listen", ("server", "listen"), &self.listen),
            ("--metrics-listen", ("server", "metrics_listen"), &self.metrics_listen),
            ("--tokens-file", ("access", "tokens_file"), &self.tokens_file),
            ("--tls-cert", ("tls", "cert_file"), &self.tls_cert),
            ("--tls-key", ("tls", "key_file"), &self.tls_key),
            ("--log-format", ("log", "format"), &self.log_format),
            ("--log-level", ("log", "level"), &self.log_level),
        ];
        let mut overrides: Vec<Override> = texts
            .into_iter()
            .filter_map(|(flag, key, text)| Some(Override { flag, key, value: text.clone()?.into() }))
            .collect();
        let consents = [
            ("--allow-anonymous", ("server", "allow_anonymous"), self.allow_anonymous),
            ("--allow-plain-text", ("server", "allow_plain_text"), self.allow_plain_text),
        ];
        let given = consents.into_iter().filter(|(_, _, given)| *given);
        overrides.extend(given.map(|(flag, key, _)| Override { flag, key, value: true.into() }));
        let mode = match (self.tls, &self.tls_cert) {
            (Some(TlsMode::Off), _) => Some(("--tls", "off")),
            (Some(TlsMode::SelfSigned), _) => Some(("--tls", "self-signed")),
            (None, Some(_)) => Some(("--tls-cert", "files")),
            (None, None) => None,
        };
        overrides.extend(mode.map(|(flag, mode)| Override { flag, key: ("tls", "mode"), value: mode.into() }));
        overrides
    }
}

const DEMO_EXAMPLES: &str = "\
Examples:
  cuttlebone demo
  cuttlebone demo --listen 192.0.2.7:8080   so that a phone in the same network can watch

Without --listen it takes a free port on loopback.";

/// Flags of `demo`.
#[derive(Debug, Args)]
#[command(after_help = DEMO_EXAMPLES)]
pub(crate) struct DemoArgs {
    /// Where to listen; the device offers the same address to viewers
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0", hide_default_value = true)]
    pub(crate) listen: std::net::SocketAddr,

    /// The id the demo device registers with
    #[arg(long, value_name = "ID", default_value = "demo")]
    pub(crate) id: String,

    /// What is logged
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    pub(crate) log_level: String,
}

const DEVICE_EXAMPLES: &str = "\
Examples:
  cuttlebone device --server http://127.0.0.1:8080 --id cvd-1
  cuttlebone device --server https://192.0.2.7:8443 --id cvd-1 --fingerprint 3f:a1:…:9c
  cuttlebone device --server https://192.0.2.7:8443 --id cvd-1 --token-file cvd-1.token
  cuttlebone device --server https://lab7.example --id cvd-1 \\
    --ca ca.pem --client-cert cvd-1.pem --client-key cvd-1.key

It registers again by itself when the connection is lost. The fingerprint is what
`cuttlebone serve --tls self-signed` prints.";

/// Flags of `device`.
#[derive(Debug, Args)]
#[command(after_help = DEVICE_EXAMPLES)]
pub(crate) struct DeviceArgs {
    /// The server: http, https, ws or wss, with an optional path before the endpoints
    #[arg(long, value_name = "URL")]
    pub(crate) server: String,

    /// The id to register with
    #[arg(long, value_name = "ID")]
    pub(crate) id: String,

    /// The address that viewers send media to
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1")]
    pub(crate) bind: std::net::IpAddr,

    /// Trust only the certificate with this SHA-256 fingerprint
    #[arg(long, value_name = "HEX", conflicts_with = "insecure")]
    pub(crate) fingerprint: Option<String>,

    /// Trust only this certificate authority (PEM), and not those of browsers
    #[arg(long, value_name = "FILE", conflicts_with_all = ["insecure", "fingerprint"])]
    pub(crate) ca: Option<PathBuf>,

    /// Trust any certificate: for tests only
    #[arg(long)]
    pub(crate) insecure: bool,

    /// Show the server the token in this file, which nobody else may be able to read
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// Show this certificate (PEM) to a server that asks for one
    #[arg(long, value_name = "FILE", requires = "client_key")]
    pub(crate) client_cert: Option<PathBuf>,

    /// The key of the certificate (PEM), which nobody else may be able to read
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    pub(crate) client_key: Option<PathBuf>,

    /// What is logged
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub(crate) log_level: String,
}

/// Flags of `health`.
#[derive(Debug, Args)]
pub(crate) struct HealthArgs {
    /// The server to ask
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub(crate) url: String,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// bash, elvish, fish, powershell or zsh
    pub(crate) shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
