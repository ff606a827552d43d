//! The shortest service: `cargo run --example quickstart`, with the environment that `scripts/demo --keep` prints.

use portcullis::client::{Body, Client, Options};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [url, ca, cert, key] = ["URL", "CA", "CERT", "KEY"].map(|name| format!("PORTCULLIS_{name}"));
    let options = Options::builder(env(&url)?, env(&ca)?, env(&cert)?, env(&key)?).build()?;

    let client = Client::connect(options).await?;
    let me = client.whoami().await?.service;
    let mut inbox = client.subscribe(&format!("services.{me}.>")).await?;
    client.publish(&format!("services.{me}.hello"), Body::json(&42)?).await?;
    if let Some(message) = inbox.next().await {
        println!("{} from {:?}: {}", message.topic, message.from, message.json::<u32>()?);
    }
    client.close().await;
    Ok(())
}

fn env(name: &str) -> Result<String, std::env::VarError> {
    std::env::var(name)
}
