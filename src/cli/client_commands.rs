//! The verbs that speak to a gateway as a service: `pub`, `sub`, `request`, `whoami`.
//!
//! Each verb is an `Args` struct and a `run`. Results go to standard output, everything else to standard error.

mod events;
mod failure;
mod payload;
mod publish;
mod request;
mod subscribe;
mod whoami;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

pub use failure::Failure;
pub use publish::PublishArgs;
pub use request::RequestArgs;
pub use subscribe::SubscribeArgs;
pub use whoami::WhoAmIArgs;

use crate::client::{Client, Options};

/// Where the gateway is and who calls: common to every client verb.
#[derive(Debug, Clone, Args)]
pub struct GatewayArgs {
    /// Address of the gateway, wss://host:port/
    #[arg(long, env = "PORTCULLIS_URL", value_name = "URL")]
    url: String,
    /// CA certificates to verify the gateway with (PEM)
    #[arg(long, env = "PORTCULLIS_CA", value_name = "FILE")]
    ca: PathBuf,
    /// Certificate chain of this service, leaf first (PEM)
    #[arg(long, env = "PORTCULLIS_CERT", value_name = "FILE")]
    cert: PathBuf,
    /// Private key of this service (PEM)
    #[arg(long, env = "PORTCULLIS_KEY", value_name = "FILE")]
    key: PathBuf,
    /// Name to verify in the gateway's certificate instead of the URL's host
    #[arg(long, env = "PORTCULLIS_SERVER_NAME", value_name = "NAME")]
    server_name: Option<String>,
}

impl GatewayArgs {
    async fn connect(&self) -> Result<Client, Failure> {
        let mut builder = Options::builder(&self.url, &self.ca, &self.cert, &self.key);
        if let Some(name) = &self.server_name {
            builder = builder.server_name(name);
        }
        Ok(Client::connect(builder.build()?).await?)
    }
}

/// Reads `5s`, `250ms` or `2m`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let explain = || format!("`{text}` is not a duration such as 5s, 250ms or 2m");
    let number: u32 = number.parse().map_err(|_| explain())?;
    let unit = match unit {
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        _ => return Err(explain()),
    };
    let duration = unit.saturating_mul(number);
    if duration.is_zero() { Err("a timeout of zero waits for nothing".to_owned()) } else { Ok(duration) }
}

/// Reads `Name: value`, the space being optional.
fn parse_header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.trim_start().to_owned())),
        _ => Err(format!("`{text}` is not a header such as Name:value")),
    }
}

#[cfg(test)]
mod tests;
