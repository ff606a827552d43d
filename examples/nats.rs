//! The official NATS client: `cargo run --example nats`, with the environment that `scripts/demo --keep` prints.

use async_nats::ConnectOptions;
use futures_util::StreamExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [url, ca, cert, key] = ["URL", "CA", "CERT", "KEY"].map(|name| format!("PORTCULLIS_{name}"));
    let (url, ca, cert, key) = (env(&url)?, env(&ca)?.into(), env(&cert)?.into(), env(&key)?.into());

    let options = ConnectOptions::new().add_root_certificates(ca).add_client_certificate(cert, key);
    let gateway = options.connect(format!("{url}nats")).await?;
    let mut inbox = gateway.subscribe("services.checkout.>").await?;
    gateway.publish("services.checkout.hello", "1".into()).await?;
    if let Some(message) = inbox.next().await {
        let sender = message.headers.as_ref().and_then(|headers| headers.get("Portcullis-From"));
        println!("{} from {}", message.subject, sender.map_or("nobody", |sender| sender.as_str()));
    }
    gateway.drain().await?;
    Ok(())
}

fn env(name: &str) -> Result<String, std::env::VarError> {
    std::env::var(name)
}
