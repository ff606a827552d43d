//! Publishes a number every second. Run it beside `subscriber` to see messages cross the gateway:
//!
//! ```text
//! cargo run --example publisher --features client -- wss://localhost:8443/ ca.pem cert.pem key.pem numbers.even
//! ```

use std::error::Error;
use std::time::Duration;

use portcullis::client::{Body, Client, OperationError, Options};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let [url, ca, cert, key, topic] = std::env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "usage: publisher URL CA-FILE CERTIFICATE-FILE KEY-FILE TOPIC")?;
    let client = Client::connect(Options::builder(url, ca, cert, key).build()?).await?;
    let mut every_second = tokio::time::interval(Duration::from_secs(1));
    for number in 0_u64.. {
        every_second.tick().await;
        match client.publish_confirmed(&topic, Body::json(&number)?).await {
            Ok(()) => println!("published {number} on {topic}"),
            // The client is reconnecting; this number is skipped, the next one may get through.
            Err(fault @ (OperationError::NotConnected | OperationError::Disconnected)) => {
                eprintln!("{number}: {fault}")
            }
            Err(fault) => return Err(fault.into()),
        }
    }
    Ok(())
}
