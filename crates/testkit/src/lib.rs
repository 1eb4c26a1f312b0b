//! A server on a free port, raw peers and the transcript runner, for tests.
