//! What is kept between starts: the account and the certificate, each with its key.

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use cuttlebone_transport::tls::keep_secret;
use instant_acme::AccountCredentials;
use serde::{Deserialize, Serialize};

use super::order::Issued;
use crate::settings::AcmeSettings;

const FIRST_LINE: &str = "Certificate that Cuttlebone got by ACME for: ";

/// The files.
#[derive(Debug, Clone)]
pub(super) struct State {
    certificate: PathBuf,
    account: PathBuf,
    /// Whose account it has to be.
    directory_url: String,
}

/// The file of the account. The second field is never read by whoever is not of the same authority.
#[derive(Serialize, Deserialize)]
struct Account {
    directory_url: String,
    credentials: AccountCredentials,
}

impl State {
    pub(super) fn new(settings: &AcmeSettings) -> Self {
        Self {
            certificate: settings.certificate_file(),
            account: settings.state_dir.join("acme-account.json"),
            directory_url: settings.directory_url.clone(),
        }
    }

    /// Whether the kept certificate is for exactly these names.
    pub(super) fn is_for(&self, domains: &[String]) -> bool {
        let mut line = String::new();
        let read = fs::File::open(&self.certificate).and_then(|file| BufReader::new(file).read_line(&mut line));
        read.is_ok() && line.trim_end().strip_prefix(FIRST_LINE) == Some(&domains.join(", "))
    }

    /// Keeps what was issued in the place of what there was, if the file passes `check`. Error: what went wrong, in words.
    pub(super) fn keep_certificate(
        &self,
        domains: &[String],
        issued: &Issued,
        check: impl FnOnce(&Path) -> Result<(), String>,
    ) -> Result<(), String> {
        let Issued { chain, key } = issued;
        let text = format!("{FIRST_LINE}{}\n{}\n{}", domains.join(", "), chain.trim_end(), key);
        let candidate = self.certificate.with_extension("new.pem");
        keep_secret(&candidate, &text).map_err(|error| cannot_write(&candidate, &error))?;
        check(&candidate).inspect_err(|_| drop(fs::remove_file(&candidate)))?;
        fs::rename(&candidate, &self.certificate).map_err(|error| cannot_write(&self.certificate, &error))
    }

    /// The account at this authority, if there is one that can be used.
    pub(super) fn account(&self) -> Option<AccountCredentials> {
        let account: Account = serde_json::from_slice(&fs::read(&self.account).ok()?).ok()?;
        (account.directory_url == self.directory_url).then_some(account.credentials)
    }

    /// Error: what went wrong, in words.
    pub(super) fn keep_account(&self, credentials: AccountCredentials) -> Result<(), String> {
        let account = Account { directory_url: self.directory_url.clone(), credentials };
        let text = serde_json::to_string(&account).map_err(|error| error.to_string())?;
        keep_secret(&self.account, &text).map_err(|error| cannot_write(&self.account, &error))
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> String {
    format!("cannot write {}: {error}", path.display())
}
