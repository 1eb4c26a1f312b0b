//! Why a credential was not accepted.

/// Why a credential was not accepted. For logs and metrics: who presented it is told nothing of it.
///
/// No text has any part of the credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No static token, and nothing that could be a signed one.
    #[error("the token is unknown")]
    Unknown,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYet,
    /// It was issued too long ago, or does not say when.
    #[error("the token was issued too long ago, or does not say when")]
    TooOld,
    /// It was revoked.
    #[error("the token, or who it was issued to, is revoked")]
    Revoked,
    /// It is no token in three parts with a JSON header.
    #[error("the token is not a JWT")]
    Malformed,
    /// Its header can't be read, is too long, has `crit`, or asks for what is not supported: `none` for example.
    #[error("the header of the JWT can't be read, or asks for what is not supported")]
    Header,
    /// It is of nobody whose keys are known.
    #[error("the JWT is of an unknown issuer")]
    Issuer,
    /// No key of the issuer has its `kid` and is for its `alg`.
    #[error("no key of the issuer is for this JWT")]
    Key,
    /// The keys of its issuer have not come yet.
    #[error("the keys of the issuer have not come yet")]
    KeysAwaited,
    /// The keys of its issuer are too old to go by.
    #[error("the keys of the issuer are too old")]
    KeysOutdated,
    /// It is not signed with a key of its issuer.
    #[error("the signature of the JWT is wrong")]
    Signature,
    /// It is for somebody else, or does not say for whom.
    #[error("the JWT is for another audience")]
    Audience,
    /// A claim that is needed is missing, or has a value that it cannot have; or none can be read.
    #[error("a claim of the JWT is missing or wrong, or can't be read")]
    Claims,
    /// It gives no role of ours.
    #[error("the JWT gives no role")]
    NoRole,
    /// It gives a role that needs device ids, and names none.
    #[error("the JWT names no devices, which its role needs")]
    NoDevices,
    /// What it gives is too long for a cookie.
    #[error("the claims give more device patterns than a cookie can hold")]
    TooLong,
    /// The hook does not accept it.
    #[error("the hook does not accept the token")]
    Hook,
    /// Nobody of ours vouches for the certificate, or not for this use, or not now.
    #[error("the certificate is not vouched for, or not good now")]
    Certificate,
    /// No rule is for a name of the certificate.
    #[error("no rule is for a name of the certificate")]
    CertificateName,
}

impl Denied {
    /// One word for the label of a metric.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unknown => "token_unknown",
            Self::Expired => "token_expired",
            Self::NotYet => "token_not_yet",
            Self::TooOld => "token_too_old",
            Self::Revoked => "token_revoked",
            Self::Malformed => "token_malformed",
            Self::Header => "token_header",
            Self::Issuer => "token_issuer",
            Self::Key => "token_key",
            Self::KeysAwaited => "token_keys_awaited",
            Self::KeysOutdated => "token_keys_outdated",
            Self::Signature => "token_signature",
            Self::Audience => "token_audience",
            Self::Claims => "token_claims",
            Self::NoRole => "token_no_role",
            Self::NoDevices => "token_no_devices",
            Self::TooLong => "token_too_long",
            Self::Hook => "token_hook",
            Self::Certificate => "certificate_not_good",
            Self::CertificateName => "certificate_of_nobody",
        }
    }
}
