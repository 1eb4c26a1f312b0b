//! Who may import what. The same table, in words, is in `docs/ARCHITECTURE.md`.

/// A crate and the crates of ours that it may import. Tests of a crate may import more: see `graph`.
pub(super) const CRATES: &[(&str, &[&str])] = &[
    ("cuttlebone-proto", &[]),
    ("cuttlebone-ws", &[]),
    ("cuttlebone-access", &["cuttlebone-proto"]),
    ("cuttlebone-hub", &["cuttlebone-proto"]),
    ("cuttlebone-ice", &["cuttlebone-proto"]),
    ("cuttlebone-client", &["cuttlebone-proto"]),
    ("cuttlebone-transport", &["cuttlebone-proto", "cuttlebone-ws"]),
    (
        "cuttlebone-server",
        &[
            "cuttlebone-access",
            "cuttlebone-hub",
            "cuttlebone-ice",
            "cuttlebone-proto",
            "cuttlebone-transport",
            "cuttlebone-ws",
        ],
    ),
    ("cuttlebone-demo-device", &["cuttlebone-client"]),
    ("cuttlebone-loadgen", &["cuttlebone-client", "cuttlebone-proto"]),
    (
        "cuttlebone",
        &[
            "cuttlebone-access",
            "cuttlebone-client",
            "cuttlebone-demo-device",
            "cuttlebone-hub",
            "cuttlebone-ice",
            "cuttlebone-proto",
            "cuttlebone-server",
            "cuttlebone-transport",
        ],
    ),
    ("cuttlebone-sim", &["cuttlebone-hub", "cuttlebone-proto"]),
    ("cuttlebone-testkit", &["cuttlebone-hub", "cuttlebone-ice", "cuttlebone-proto", "cuttlebone-server"]),
    ("xtask", &[]),
];

/// The crates that nobody installs: they are for development.
pub(super) const NOT_SHIPPED: &[&str] = &["cuttlebone-loadgen", "cuttlebone-sim", "cuttlebone-testkit", "xtask"];

/// How many outside crates those that are shipped may import directly, all together.
pub(super) const MOST_OUTSIDE: usize = 52;

/// An outside crate and the only crates of ours that may import it.
pub(super) const OUTSIDE: &[(&str, &[&str])] = &[
    ("axum", &["cuttlebone-server"]),
    // One provider of cryptography a process: see the crate's `jwt::provider`.
    ("jsonwebtoken", &["cuttlebone-access"]),
    // What it asks goes through the one client that is bounded: see the server's `fetch`.
    ("openidconnect", &["cuttlebone-server"]),
    // Random numbers come from the system (R6): `getrandom`. That of the load generator is its own, and can be told in advance.
    ("rand", &[]),
    ("fastrand", &[]),
    ("hyper", &["cuttlebone-server", "cuttlebone-client", "cuttlebone-testkit", "cuttlebone-loadgen"]),
    ("rustls", NETWORK),
    ("tokio-rustls", NETWORK),
    ("tokio", ASYNC),
];

/// The crates that hold sockets.
const NETWORK: &[&str] =
    &["cuttlebone-transport", "cuttlebone-server", "cuttlebone-client", "cuttlebone-testkit", "cuttlebone-loadgen"];

/// The crates that know a runtime; the hub takes only its channels. The machines and the codec know none.
const ASYNC: &[&str] = &[
    "cuttlebone-hub",
    "cuttlebone-client",
    "cuttlebone-transport",
    "cuttlebone-server",
    "cuttlebone-demo-device",
    "cuttlebone-loadgen",
    "cuttlebone-testkit",
    "cuttlebone",
];

/// A path that only some crates may name in their source: its first part, its second, and who may.
pub(super) const PATHS: &[(&str, &str, &[&str])] = &[
    (
        "tokio",
        "net",
        &[
            "cuttlebone-transport",
            "cuttlebone-server",
            "cuttlebone-client",
            "cuttlebone-testkit",
            "cuttlebone-loadgen",
            "cuttlebone-demo-device",
        ],
    ),
    ("rustls", "", NETWORK),
    ("axum", "", NETWORK),
    ("std", "env", &["cuttlebone", "xtask"]),
];
