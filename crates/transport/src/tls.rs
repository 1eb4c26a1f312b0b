//! Certificates, and what is made of them.
