//! Prints what is published and what happens to the connection:
//!
//! ```text
//! cargo run --example subscriber --features client -- wss://localhost:8443/ ca.pem cert.pem key.pem 'numbers.>'
//! ```

use std::error::Error;

use portcullis::client::{Client, Options};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let [url, ca, cert, key, pattern] = std::env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "usage: subscriber URL CA-FILE CERTIFICATE-FILE KEY-FILE PATTERN")?;
    let client = Client::connect(Options::builder(url, ca, cert, key).build()?).await?;
    let mut events = client.events();
    let mut messages = client.subscribe(&pattern).await?;
    loop {
        tokio::select! {
            message = messages.next() => match message {
                Some(message) => {
                    let from = message.from.as_ref().map_or("unknown", |from| from.as_str());
                    println!("{} from {from}: {}", message.topic, message.bytes().escape_ascii());
                }
                None => break,
            },
            _ = tokio::signal::ctrl_c() => break,
            Some(event) = events.next() => eprintln!("{event:?}"),
        }
    }
    client.close().await;
    Ok(())
}
