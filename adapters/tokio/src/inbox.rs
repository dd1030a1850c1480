//! The durable inbox: a webhook is written down before it is answered, and the application gets it from there.

mod builder;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use postrider_core::id::{EventId, TenantId};
use postrider_core::receiver::Delivery;
use postrider_core::response::{Outcome, Phase, TransportError};
use postrider_core::sender::{Change, EventReport, Stats, Transmit};
use postrider_driver::inbox::{self, Settings, StoreError, application};
use postrider_driver::questions::{self, EndedPage};
use postrider_driver::replays::{self, Replayed, Retained};
use postrider_driver::{Clock, CommandError, Error, Handled, Receipt};
use postrider_journal::history::{EventHistory, Place};
use tokio::time::timeout_at;

pub use builder::Builder;

use crate::carrier::Way;
use crate::notices::Notices;
use crate::sender::Sender;

/// A handle on a durable inbox: a directory that keeps webhooks, and a task that gives them to the application's handler.
/// A clone is another handle on the same inbox.
///
/// What [`store`](Self::store) has taken is on disk. The handler gets it from there, as often as it takes: by a schedule of
/// retries, so many at once, those of one key one after the other and in order. What it never takes is a
/// [dead letter](Self::dead), and can be [replayed](Self::replay_all). After any end of the process the next
/// [`open`](Self::open) goes on where the last left off. `postrider journal` looks into the directory. How it works says
/// [`postrider_driver::inbox`].
///
/// The handler is called at least once for each webhook, and may be called again for one that it had finished, if the end
/// came before that was written down: an effect that must happen once goes by [`Delivery::dedup_key`].
///
/// ```no_run
/// use postrider_core::receiver::{Delivery, Processed, ReceiverConfig};
/// use postrider_core::signing::Verifier;
/// use postrider_tokio::{inbox::Inbox, receiver::Receiver};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let inbox = Inbox::open("./inbox", async |delivery: Delivery| {
///     println!("{}: {} bytes", delivery.webhook_id(), delivery.payload().len());
///     Processed::Done // or Later: it comes again, by the schedule
/// });
/// let inbox = inbox.await?;
/// let config = ReceiverConfig::new(Verifier::github(["secret"])?);
/// let hooks = Receiver::builder(config).inbox(&inbox); // 202 when it is durable
/// # _ = hooks;
/// # Ok(())
/// # }
/// ```
///
/// When the last handle is dropped, it closes at once: handlers that run are dropped, and their webhooks come again.
/// [`close`](Self::close) is the way to let them finish.
#[derive(Clone)]
pub struct Inbox {
    sender: Sender,
    settings: Arc<Settings>,
}

impl Inbox {
    /// An inbox in a directory, with the default settings and this handler; see [`Builder::open`].
    pub async fn open<H, F>(directory: impl AsRef<Path>, handler: H) -> Result<Self, Error>
    where
        H: Fn(Delivery) -> F + Send + Sync + 'static,
        F: Future<Output: Handled> + Send + 'static,
    {
        Self::builder().open(directory, handler).await
    }

    /// Settings to make an inbox with.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Keeps a webhook; returns when it is durable, or with why it is not. One that is known already, because its sender sent
    /// it again, is stored already, and the handler does not get it a second time.
    ///
    /// Dropping the future does not take it back.
    pub async fn store(&self, delivery: &Delivery) -> Result<(), StoreError> {
        inbox::stored(self.sender.publish(self.settings.event(delivery)).await)
    }

    /// The dead letters, which the handler did not take until the schedule was at its end: the newest first, at most `limit`
    /// and [`PAGE`](postrider_journal::history::PAGE). `after` is [`EndedPage::next`] of the page before.
    pub async fn dead(&self, after: Option<Place>, limit: usize) -> Result<EndedPage, Error> {
        self.sender.history(questions::exhausted(&TenantId::default()).page(after, limit)).await
    }

    /// Everything that is kept of a webhook, by the name that it has in the inbox: every call of the handler and how it
    /// ended, and what was [stored](Delivery::from_stored). `None` when nothing is known of it.
    pub async fn history(&self, event: &EventId) -> Result<Option<Box<EventHistory>>, Error> {
        self.sender.event_history(event).await
    }

    /// How a webhook stands. `None` when nothing is known of it.
    pub async fn report(&self, event: &EventId) -> Result<Option<EventReport>, Error> {
        self.sender.report(&TenantId::default(), event).await
    }

    /// Gives a webhook that has ended to the handler again; returns when that is durable.
    pub async fn replay(&self, event: &EventId) -> Result<Receipt, Error> {
        self.sender.replay(replays::one(event, &application())).await
    }

    /// Gives everything that is kept and has ended to the handler again, or what `which` leaves of it; returns when all of it
    /// has ended again. See [`Retained`].
    ///
    /// ```no_run
    /// # async fn example(inbox: &postrider_tokio::inbox::Inbox) -> Result<(), postrider_driver::Error> {
    /// use postrider_journal::history::End;
    ///
    /// let told = inbox.replay_all(|all| all.ended([End::Exhausted]).named("after-the-outage")).await?;
    /// println!("{told}");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn replay_all(&self, which: impl FnOnce(Retained) -> Retained) -> Result<Replayed, Error> {
        self.sender.replay_all(which(replays::retained(&application()))).await
    }

    /// Calls the handler no more until [`resume`](Self::resume); what comes is stored.
    pub async fn pause(&self) -> Result<Change, CommandError> {
        self.sender.pause(&application()).await
    }

    /// Calls the handler again, slowly at first.
    pub async fn resume(&self) -> Result<Change, CommandError> {
        self.sender.resume(&application()).await
    }

    /// Counters since it was opened.
    pub async fn stats(&self) -> Result<Stats, Error> {
        self.sender.stats().await
    }

    /// Begins to listen: every notice from now on.
    pub async fn notices(&self) -> Result<Notices, Error> {
        self.sender.notices().await
    }

    /// Closes: nothing more is stored, and no call begins; those that run have `within` to end and are then dropped. What
    /// is left stays in the directory. Returns when the directory is let go of. See [`Sender::close`].
    pub async fn close(&self, within: Duration) -> Result<(), Error> {
        self.sender.close(within).await
    }
}

impl Inbox {
    /// A handle by which replays are told apart from what they repeat, or not.
    pub(crate) fn accepting(&self, replays: bool) -> Self {
        Self { sender: self.sender.clone(), settings: Arc::new((*self.settings).clone().replays(replays)) }
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Carries attempts by calling the handler.
struct Handing<H> {
    handler: H,
    clock: Clock,
}

impl<H, F> Way for Handing<H>
where
    H: Fn(Delivery) -> F + Send + Sync + 'static,
    F: Future<Output: Handled> + Send + 'static,
{
    async fn carry(&self, transmit: &Transmit) -> Outcome {
        let delivery = match inbox::delivery(transmit) {
            Ok(delivery) => delivery,
            Err(why) => return inbox::unreadable(why),
        };
        let deadline = self.clock.std_deadline(transmit.deadline());
        let handled = caught(async { (self.handler)(delivery).await.processed() });
        match timeout_at(deadline.into(), handled).await {
            Ok(Some(processed)) => inbox::outcome(processed),
            Ok(None) => inbox::panicked(),
            Err(_) => Err(TransportError::TimedOut(Phase::Head)),
        }
    }

    fn clock(&self) -> Clock {
        self.clock
    }

    fn expire(&self) -> Option<std::time::Instant> {
        None
    }
}

/// What a future comes to; `None` when it panics. Whatever a panic has left behind is the application's own.
async fn caught<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Ready(output)) => Poll::Ready(Some(output)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(_) => Poll::Ready(None),
    })
    .await
}

const _: () = {
    const fn is_shared<T: Clone + Send + Sync + 'static>() {}
    is_shared::<Inbox>();
};
