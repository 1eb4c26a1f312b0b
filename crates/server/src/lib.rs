//! Connection tasks, routes, metrics and the web UI.
