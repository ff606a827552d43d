//! `portcullis request TOPIC [DATA]`

use std::io;
use std::time::Duration;

use clap::Args;

use super::Failure;
use super::payload::{Form, body, write_raw};
use super::{GatewayArgs, parse_duration, parse_header};
use crate::cli::exit::EXIT_HELP;
use crate::client::RequestOptions;

/// Send a request and print the payload of its answer.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXIT_HELP)]
pub struct RequestArgs {
    #[command(flatten)]
    gateway: GatewayArgs,
    /// Topic to ask on
    topic: String,
    /// Payload: sent as JSON if it is JSON, else as bytes
    data: Option<String>,
    /// Header, repeatable
    #[arg(long = "header", value_name = "NAME:VALUE", value_parser = parse_header)]
    headers: Vec<(String, String)>,
    /// DATA is base64 of the payload's bytes
    #[arg(long)]
    base64: bool,
    /// How long to wait for the answer
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_duration)]
    timeout: Duration,
}

impl RequestArgs {
    /// Asks, prints, and is done.
    pub async fn run(self) -> Result<(), Failure> {
        let form = if self.base64 { Form::Base64 } else { Form::Text };
        let body = body(form, self.data.unwrap_or_default().into_bytes())?;
        let client = self.gateway.connect().await?;
        let options =
            RequestOptions { headers: self.headers.into_iter().collect(), timeout: Some(self.timeout) };
        let outcome = client.request_with(&self.topic, body, &options).await;
        client.close().await;
        write_raw(&outcome?.body, &mut io::stdout().lock()).map_err(Failure::Output)
    }
}
