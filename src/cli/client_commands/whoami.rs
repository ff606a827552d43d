//! `portcullis whoami`

use std::io::{self, Write};

use clap::Args;

use super::Failure;
use super::GatewayArgs;
use crate::cli::exit::EXIT_HELP;

/// Print as which service the gateway sees this certificate, and what it may do.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXIT_HELP)]
pub struct WhoAmIArgs {
    #[command(flatten)]
    gateway: GatewayArgs,
}

impl WhoAmIArgs {
    /// Asks, prints the answer as indented JSON, and is done.
    pub async fn run(self) -> Result<(), Failure> {
        let client = self.gateway.connect().await?;
        let outcome = client.whoami().await;
        client.close().await;
        let mut out = io::stdout().lock();
        serde_json::to_writer_pretty(&mut out, &outcome?).map_err(|fault| Failure::Output(fault.into()))?;
        out.write_all(b"\n").map_err(Failure::Output)
    }
}
