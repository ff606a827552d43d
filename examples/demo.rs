//! Plays the services of `scripts/demo`: `checkout` publishes numbered orders and asks for quotes, `billing` takes the
//! orders and answers, `mallory` listens until its certificate is revoked.
//!
//! `demo URL DIR` takes the certificates from DIR, as `scripts/issue-service` writes them, and one command a line from
//! standard input: `stream SECONDS`, `mallory`, `revoked`, `verdict`. Each is answered by lines for people and a last
//! line, `ok` or `failed`.

use std::error::Error;
use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use portcullis::client::{
    Body, Client, ConnectError, Ending, Event, Message, OperationError, Options, Subscription,
};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Between two orders.
const PACE: Duration = Duration::from_millis(20);
/// Of so many orders one is shown, …
const SHOW_EVERY: u64 = 25;
/// … and for one a quote is asked.
const QUOTE_EVERY: u64 = 40;
/// No step may take longer.
const PATIENCE: Duration = Duration::from_secs(10);

type Fallible<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Serialize, Deserialize)]
struct Order {
    number: u64,
    cents: u64,
}

/// What arrived at `billing`.
#[derive(Clone, Copy, Default)]
struct Tally {
    orders: u64,
    next: u64,
    gaps: u64,
    duplicates: u64,
    quotes: u64,
}

impl Tally {
    fn count(&mut self, number: u64) {
        self.orders += 1;
        match number.checked_sub(self.next) {
            Some(skipped) => {
                self.gaps += skipped;
                self.next = number + 1;
            }
            // Late or doubled: the order is broken either way.
            None => self.duplicates += 1,
        }
    }
}

/// What `checkout` sent.
#[derive(Clone, Copy, Default)]
struct Sent {
    orders: u64,
    quotes: u64,
}

#[derive(Default)]
struct Screen(AtomicBool);

impl Screen {
    fn show(&self, line: std::fmt::Arguments<'_>) {
        if self.0.load(Ordering::Relaxed) {
            println!("    {line}");
        }
    }
}

#[tokio::main]
async fn main() -> Fallible {
    let [url, folder] =
        std::env::args().skip(1).collect::<Vec<_>>().try_into().map_err(|_| "usage: demo URL DIR")?;
    let mut commands = commands();
    let mut play = Play::begin(&url, Path::new(&folder)).await?;
    while let Some(command) = commands.recv().await {
        match play.perform(&command).await {
            Ok(()) => println!("ok"),
            Err(fault) => println!("    {fault}\nfailed"),
        }
    }
    Ok(())
}

/// Lines of standard input. Nobody waits for the thread: its read cannot be cancelled.
fn commands() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

struct Play {
    url: String,
    folder: std::path::PathBuf,
    screen: Arc<Screen>,
    enough: CancellationToken,
    sent: watch::Receiver<Sent>,
    tally: watch::Receiver<Tally>,
    interruptions: Arc<AtomicU64>,
    mallory: Option<(Client, portcullis::client::Events)>,
}

impl Play {
    async fn begin(url: &str, folder: &Path) -> Fallible<Self> {
        let (screen, enough) = (Arc::<Screen>::default(), CancellationToken::new());
        let interruptions = Arc::new(AtomicU64::new(0));
        let (tallied, tally) = watch::channel(Tally::default());
        let (sending, sent) = watch::channel(Sent::default());
        let billing = connect(url, folder, "billing").await?;
        let checkout = connect(url, folder, "checkout").await?;
        for client in [&billing, &checkout] {
            tokio::spawn(count_interruptions(client.clone(), interruptions.clone()));
        }
        let (orders, quotes) =
            (billing.subscribe("orders.created").await?, billing.subscribe("billing.quote").await?);
        tokio::spawn(take_orders(billing, orders, quotes, tallied, screen.clone()));
        tokio::spawn(publish_orders(checkout, sending, screen.clone(), enough.clone()));
        let (url, folder) = (url.to_owned(), folder.to_owned());
        Ok(Self { url, folder, screen, enough, sent, tally, interruptions, mallory: None })
    }

    async fn perform(&mut self, command: &str) -> Fallible {
        match command.split_once(' ').unwrap_or((command, "")) {
            ("stream", seconds) => {
                let before = self.tally.borrow().orders;
                self.screen.0.store(true, Ordering::Relaxed);
                sleep(Duration::from_secs(seconds.parse()?)).await;
                self.screen.0.store(false, Ordering::Relaxed);
                match self.tally.borrow().orders - before {
                    0 => Err("no order arrived".into()),
                    _ => Ok(()),
                }
            }
            ("mallory", _) => timeout(PATIENCE, self.let_mallory_in()).await?,
            ("revoked", _) => timeout(PATIENCE, self.see_mallory_out()).await?,
            ("verdict", _) => self.judge().await,
            _ => Err(format!("unknown command {command:?}").into()),
        }
    }

    /// A third service reads along; what it may not do, it cannot.
    async fn let_mallory_in(&mut self) -> Fallible {
        let client = connect(&self.url, &self.folder, "mallory").await?;
        let events = client.events();
        let mut orders = client.subscribe("orders.>").await?;
        let first: Order = orders.next().await.ok_or("mallory received nothing")?.json()?;
        println!("    mallory is connected and reads along, from order {} on", first.number);
        let attempt =
            client.publish_confirmed("orders.created", Body::json(&Order { number: 0, cents: 0 })?).await;
        match attempt {
            Err(OperationError::Forbidden { .. }) => {
                println!("    mallory may not publish orders: forbidden")
            }
            Err(other) => return Err(other.into()),
            Ok(()) => return Err("mallory could publish an order".into()),
        }
        tokio::spawn(async move { while orders.next().await.is_some() {} });
        self.mallory = Some((client, events));
        Ok(())
    }

    /// The session ends with 4403, and the client's own next attempt is refused in the handshake.
    async fn see_mallory_out(&mut self) -> Fallible {
        let (client, mut events) = self.mallory.take().ok_or("mallory was never there")?;
        let mut is_closed = false;
        while let Some(event) = events.next().await {
            match event {
                Event::Disconnected { reason, .. } => match &*reason {
                    Ending::Closed(why) if (why.code, why.reason.as_str()) == (4403, "revoked") => {
                        is_closed = true;
                        println!("    mallory's session was closed: {why}");
                    }
                    other => return Err(format!("mallory's session ended, but: {other}").into()),
                },
                Event::ConnectFailed { error, .. } if is_closed => {
                    println!("    mallory tries again: {error}");
                    client.close().await;
                    return match &*error {
                        ConnectError::CertificateRefused { .. } => Ok(()),
                        _ => Err("that is not a refusal of the certificate".into()),
                    };
                }
                Event::Connected { .. } => return Err("mallory came back in".into()),
                _ => {}
            }
        }
        Err("mallory's client ended by itself".into())
    }

    /// Ends the stream and tells what it lost.
    async fn judge(&mut self) -> Fallible {
        self.enough.cancel();
        // The sender goes when `checkout` has finished.
        while self.sent.changed().await.is_ok() {}
        let sent = *self.sent.borrow();
        let everything = self.tally.wait_for(|tally| tally.next >= sent.orders);
        let is_complete = timeout(PATIENCE, everything).await.is_ok();
        let (tally, interruptions) = (*self.tally.borrow(), self.interruptions.load(Ordering::SeqCst));
        println!("    orders sent        {}", sent.orders);
        println!("    orders received    {}", tally.orders);
        println!("    gaps               {}", tally.gaps);
        println!("    duplicates, late   {}", tally.duplicates);
        println!("    quotes             {} asked, {} answered", sent.quotes, tally.quotes);
        println!("    reconnects         {interruptions}");
        let is_whole = is_complete
            && sent.orders > 0
            && (tally.orders, tally.gaps, tally.duplicates) == (sent.orders, 0, 0)
            && tally.quotes == sent.quotes
            && interruptions == 0;
        if is_whole { Ok(()) } else { Err("the stream was not kept whole".into()) }
    }
}

async fn connect(url: &str, folder: &Path, service: &str) -> Fallible<Client> {
    let own = folder.join("services").join(service);
    let options = Options::builder(
        url,
        folder.join("trust/gateway-anchors.pem"),
        own.join("chain.pem"),
        own.join("key.pem"),
    )
    // Refused certificates are tried at the slowest pace; a demonstration does not wait half a minute for it.
    .backoff_max(Duration::from_millis(500))
    .build()?;
    Ok(Client::connect(options).await?)
}

async fn count_interruptions(client: Client, interruptions: Arc<AtomicU64>) {
    let mut events = client.events();
    // The task must not keep the connection open.
    drop(client);
    while let Some(event) = events.next().await {
        if matches!(event, Event::Disconnected { retry_in: Some(_), .. }) {
            interruptions.fetch_add(1, Ordering::SeqCst);
        }
    }
}

async fn publish_orders(
    checkout: Client,
    sending: watch::Sender<Sent>,
    screen: Arc<Screen>,
    enough: CancellationToken,
) {
    let mut pace = interval(PACE);
    let mut sent = Sent::default();
    while !enough.is_cancelled() {
        pace.tick().await;
        let order = Order { number: sent.orders, cents: 500 + sent.orders * 37 % 20_000 };
        let published = match Body::json(&order) {
            Ok(body) => checkout.publish_confirmed("orders.created", body).await,
            Err(source) => Err(OperationError::Encode { source }),
        };
        if let Err(fault) = published {
            println!("    order {} was not published: {fault}", order.number);
        }
        sent.orders += 1;
        if order.number.is_multiple_of(QUOTE_EVERY) {
            sent.quotes += 1;
            match checkout.request("billing.quote", serde_json::json!({"cents": order.cents})).await {
                Ok(reply) => screen.show(format_args!(
                    "quote   checkout asks for order {}, {} answers {}",
                    order.number,
                    reply.from.as_ref().map_or("nobody", |from| from.as_str()),
                    String::from_utf8_lossy(&reply.bytes()),
                )),
                Err(fault) => println!("    no quote for order {}: {fault}", order.number),
            }
        }
        sending.send_replace(sent);
    }
}

async fn take_orders(
    billing: Client,
    mut orders: Subscription,
    mut quotes: Subscription,
    tallied: watch::Sender<Tally>,
    screen: Arc<Screen>,
) {
    let mut tally = Tally::default();
    loop {
        let taken = tokio::select! {
            Some(message) = orders.next() => take_order(&message, &mut tally, &screen),
            Some(message) = quotes.next() => answer(&billing, &message, &mut tally).await,
            else => return,
        };
        if let Err(fault) = taken {
            println!("    billing: {fault}");
        }
        tallied.send_replace(tally);
    }
}

fn take_order(message: &Message, tally: &mut Tally, screen: &Screen) -> Fallible {
    let order: Order = message.json()?;
    tally.count(order.number);
    if order.number.is_multiple_of(SHOW_EVERY) {
        screen.show(format_args!(
            "order   {:>5}   {}   from {}   {:>3}.{:02}",
            order.number,
            message.topic,
            message.from.as_ref().map_or("nobody", |from| from.as_str()),
            order.cents / 100,
            order.cents % 100,
        ));
    }
    Ok(())
}

async fn answer(billing: &Client, request: &Message, tally: &mut Tally) -> Fallible {
    #[derive(Deserialize)]
    struct Question {
        cents: u64,
    }
    let question: Question = request.json()?;
    billing.respond(request, serde_json::json!({"fee_cents": question.cents.div_ceil(50)})).await?;
    tally.quotes += 1;
    Ok(())
}
