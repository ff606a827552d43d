//! `portcullis pub TOPIC [DATA|-]`

use clap::Args;

use super::Failure;
use super::payload::{Form, body, stdin_lines};
use super::{GatewayArgs, parse_header};
use crate::cli::exit::EXIT_HELP;
use crate::client::{Body, Client, PublishOptions};

/// Publish a message, or one for each line of standard input, each confirmed by the gateway.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXIT_HELP)]
pub struct PublishArgs {
    #[command(flatten)]
    gateway: GatewayArgs,
    /// Topic to publish to
    topic: String,
    /// Payload: sent as JSON if it is JSON, else as bytes; `-` for one message for each line of standard input
    data: Option<String>,
    /// Header, repeatable
    #[arg(long = "header", value_name = "NAME:VALUE", value_parser = parse_header)]
    headers: Vec<(String, String)>,
    /// DATA is base64 of the payload's bytes
    #[arg(long)]
    base64: bool,
    /// Publish each message so many times
    #[arg(long, value_name = "N", default_value_t = 1)]
    count: u64,
}

impl PublishArgs {
    /// Publishes and returns when the gateway has confirmed every message, or at its first refusal.
    pub async fn run(self) -> Result<(), Failure> {
        let client = self.gateway.connect().await?;
        let outcome = self.publish(&client).await;
        client.close().await;
        outcome
    }

    async fn publish(self, client: &Client) -> Result<(), Failure> {
        let form = if self.base64 { Form::Base64 } else { Form::Text };
        let options = PublishOptions { headers: self.headers.into_iter().collect(), reply: None };
        let send = async |body: Body| {
            for _ in 0..self.count {
                client.publish_confirmed_with(&self.topic, body.clone(), &options).await?;
            }
            Ok::<_, Failure>(())
        };
        if self.data.as_deref() != Some("-") {
            return send(body(form, self.data.unwrap_or_default().into_bytes())?).await;
        }
        let mut lines = stdin_lines();
        while let Some(line) = lines.recv().await {
            send(body(form, line?)?).await?;
        }
        Ok(())
    }
}
