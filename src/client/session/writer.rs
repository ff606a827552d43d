//! What the client says, in the order in which it was taken. Every write has a deadline.

use std::sync::Arc;

use futures_util::SinkExt;
use futures_util::stream::SplitSink;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message as Frame};

use super::{CLOSE_GRACE, Signals};
use crate::client::dial::Socket;
use crate::client::ending::Ending;
use crate::client::ledger::{Epoch, Shared};
use crate::client::outbox::Item;
use crate::client::wire::Command;

/// Renews the subscriptions, then writes what is queued, until the session is to end or a write fails.
pub(super) async fn write(
    shared: &Arc<Shared>,
    epoch: Epoch,
    sink: &mut SplitSink<Socket, Frame>,
    renewals: Vec<String>,
    queue: &mut mpsc::Receiver<Item>,
    woken: &Notify,
    signals: &Signals,
) -> Ending {
    let mut writer = Writer { shared, epoch, sink };
    let done = async {
        for text in renewals {
            writer.feed(Frame::text(text)).await?;
        }
        writer.flush().await?;
        writer.write_queue(queue, woken, signals).await?;
        writer.leave(signals).await
    };
    done.await.err().unwrap_or(Ending::Asked)
}

struct Writer<'a> {
    shared: &'a Shared,
    epoch: Epoch,
    sink: &'a mut SplitSink<Socket, Frame>,
}

impl Writer<'_> {
    /// Returns when the session is to leave and the queue is written.
    async fn write_queue(
        &mut self,
        queue: &mut mpsc::Receiver<Item>,
        woken: &Notify,
        signals: &Signals,
    ) -> Result<(), Ending> {
        let interval = self.shared.options.ping_interval;
        let mut ping = interval_at(Instant::now() + interval, interval);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut leaving = false;
        loop {
            tokio::select! {
                biased;
                () = signals.leave.cancelled(), if !leaving => {
                    leaving = true;
                    self.shared.ledger().detach(self.epoch);
                    queue.close();
                }
                () = woken.notified() => self.write_closing().await?,
                _ = ping.tick() => self.feed(Frame::Ping(Default::default())).await?,
                item = queue.recv() => match item {
                    Some(item) => self.write_item(item).await?,
                    None => return self.flush().await,
                },
            }
            if queue.is_empty() {
                self.flush().await?;
            }
        }
    }

    async fn write_item(&mut self, item: Item) -> Result<(), Ending> {
        let wanted = item.opens.is_none_or(|sid| self.shared.ledger().write_subscription(sid));
        match wanted {
            true => self.feed(Frame::text(item.text)).await,
            false => Ok(()),
        }
    }

    async fn write_closing(&mut self) -> Result<(), Ending> {
        let closing = self.shared.ledger().take_closing();
        for sid in closing {
            if let Ok(text) = (Command::Unsub { sid, id: None }).encode() {
                self.feed(Frame::text(text)).await?;
            }
        }
        Ok(())
    }

    /// Waits for the answers still owed, says goodbye (RFC 6455, section 7.1.1) and gives the gateway a moment to
    /// answer; the reader sees that answer first.
    async fn leave(&mut self, signals: &Signals) -> Result<(), Ending> {
        let _ = timeout(self.shared.options.request_timeout, async {
            while self.shared.ledger().owed(self.epoch) > 0 {
                signals.answered.notified().await;
            }
        })
        .await;
        let goodbye = CloseFrame { code: CloseCode::Normal, reason: Default::default() };
        self.feed(Frame::Close(Some(goodbye))).await?;
        self.flush().await?;
        sleep(CLOSE_GRACE).await;
        Ok(())
    }

    async fn feed(&mut self, frame: Frame) -> Result<(), Ending> {
        let after = self.shared.options.request_timeout;
        timeout(after, self.sink.feed(frame)).await.map_err(|_| Ending::Stalled { after })??;
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Ending> {
        let after = self.shared.options.request_timeout;
        timeout(after, self.sink.flush()).await.map_err(|_| Ending::Stalled { after })??;
        Ok(())
    }
}
