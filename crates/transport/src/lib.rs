//! Sockets that carry frames: WebSocket over TCP and TLS.
