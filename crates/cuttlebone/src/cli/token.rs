//! The command line of `cuttlebone token`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token: prints it, this once, and its line for the file of access.tokens_file
    New(NewTokenArgs),
    /// Read a token on standard input, and print the hash that its line begins with
    Hash,
}

const NEW_EXAMPLES: &str = "\
Examples:
  cuttlebone token new --name cam-7 --role device --devices cam-7
                                           the token and its line
  cuttlebone token new --name cam-7 --role device --devices cam-7 --append-to tokens > cam-7.token
                                           the line into one file, the token into another
  cuttlebone token new --name ann --role client,observer --devices 'lab7/*' --expires 2027-01-31
  cuttlebone token new --name lab7 --role device --devices 'lab7/*' --prefix lab7/
                                           a host whose cvd-1 is lab7/cvd-1 here

A running server with access.tokens_file = \"tokens\" takes it within two seconds. To revoke it, remove the line.";

/// Flags of `token new`.
#[derive(Debug, Args)]
#[command(after_help = NEW_EXAMPLES)]
pub(crate) struct NewTokenArgs {
    /// Whose it is, for logs and for taking a device id over; no two tokens of a file have the same
    #[arg(long)]
    pub(crate) name: String,

    /// What it is for: device, client, observer, admin, or several with commas
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: String,

    /// Ids of devices, in which * stands for any text; device and client need them
    #[arg(long, value_name = "PATTERN", num_args = 1.., value_delimiter = ',')]
    pub(crate) devices: Vec<String>,

    /// Whose devices are meant; tenants do not see each other. `*` is every tenant, for the roles observer and admin
    #[arg(long)]
    pub(crate) tenant: Option<String>,

    /// When it ends: 2027-01-31, which is the first second of that day, or 2027-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) expires: Option<String>,

    /// What is put before the ids that it registers, so that the `cvd-1` of every host stays apart; --devices means whole ids
    #[arg(long)]
    pub(crate) prefix: Option<String>,

    /// How many client connections it may have at once; if this is not given, access.clients_per_principal
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_clients: Option<u32>,

    /// Append the line to this file, and print the token only; a file that is not there is made
    #[arg(long, value_name = "FILE")]
    pub(crate) append_to: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
