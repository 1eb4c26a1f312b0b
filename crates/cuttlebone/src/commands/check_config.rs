//! `cuttlebone check-config`

use std::process::ExitCode;

use anyhow::Result;

use super::config_doc::print;
use crate::cli::ConfigArgs;
use crate::config::Sources;

pub(super) fn run(args: &ConfigArgs) -> Result<ExitCode> {
    Sources::new(args.config.clone(), args.overrides()).load()?;
    print("the configuration has no fault\n")
}
