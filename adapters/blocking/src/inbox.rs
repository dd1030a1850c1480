//! The durable inbox: a webhook is written down before it is answered, and the application gets it from there.

mod builder;
#[cfg(test)]
mod tests;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use builder::Builder;
use postrider_core::id::{EventId, TenantId};
use postrider_core::receiver::{Delivery, Processed};
use postrider_core::response::Outcome;
use postrider_core::sender::{Change, EventReport, Stats, Transmit};
use postrider_driver::inbox::{self, Settings, StoreError, application};
use postrider_driver::questions::{self, EndedPage};
use postrider_driver::replays::{self, Replayed, Retained};
use postrider_driver::{CommandError, Error, Handled, Receipt};
use postrider_journal::history::{EventHistory, Place};

use crate::crew::Way;
use crate::leash::Leash;
use crate::notices::Notices;
use crate::sender::Sender;

/// A handle on a durable inbox: a directory that keeps webhooks, and threads that give them to the application's handler.
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
/// use postrider_blocking::{inbox::Inbox, receiver::Receiver};
/// use postrider_core::receiver::{Delivery, Processed, ReceiverConfig};
/// use postrider_core::signing::Verifier;
///
/// # fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let inbox = Inbox::open("./inbox", |delivery: Delivery| {
///     println!("{}: {} bytes", delivery.webhook_id(), delivery.payload().len());
///     Processed::Done // or Later: it comes again, by the schedule
/// })?;
/// let config = ReceiverConfig::new(Verifier::github(["secret"])?);
/// let hooks = Receiver::builder(config).bind_inbox("127.0.0.1:8080", &inbox)?; // 202 when it is durable
/// # _ = hooks;
/// # Ok(())
/// # }
/// ```
///
/// When the last handle is dropped, it closes at once: of handlers that run it is not written down how they end, and their
/// webhooks come again. [`close`](Self::close) is the way to let them finish.
#[derive(Clone)]
pub struct Inbox {
    sender: Sender,
    settings: Arc<Settings>,
}

impl Inbox {
    /// An inbox in a directory, with the default settings and this handler; see [`Builder::open`].
    pub fn open<H, R>(directory: impl AsRef<Path>, handler: H) -> Result<Self, Error>
    where
        H: Fn(Delivery) -> R + Send + Sync + 'static,
        R: Handled,
    {
        Self::builder().open(directory, handler)
    }

    /// Settings to make an inbox with.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Keeps a webhook; returns when it is durable, or with why it is not. One that is known already, because its sender sent
    /// it again, is stored already, and the handler does not get it a second time.
    pub fn store(&self, delivery: &Delivery) -> Result<(), StoreError> {
        inbox::stored(self.sender.publish(self.settings.event(delivery)))
    }

    /// The dead letters, which the handler did not take until the schedule was at its end: the newest first, at most `limit`
    /// and [`PAGE`](postrider_journal::history::PAGE). `after` is [`EndedPage::next`] of the page before.
    pub fn dead(&self, after: Option<Place>, limit: usize) -> Result<EndedPage, Error> {
        self.sender.history(questions::exhausted(&TenantId::default()).page(after, limit))
    }

    /// Everything that is kept of a webhook, by the name that it has in the inbox: every call of the handler and how it
    /// ended, and what was [stored](Delivery::from_stored). `None` when nothing is known of it.
    pub fn history(&self, event: &EventId) -> Result<Option<Box<EventHistory>>, Error> {
        self.sender.event_history(event)
    }

    /// How a webhook stands. `None` when nothing is known of it.
    pub fn report(&self, event: &EventId) -> Result<Option<EventReport>, Error> {
        self.sender.report(&TenantId::default(), event)
    }

    /// Gives a webhook that has ended to the handler again; returns when that is durable.
    pub fn replay(&self, event: &EventId) -> Result<Receipt, Error> {
        self.sender.replay(replays::one(event, &application()))
    }

    /// Gives everything that is kept and has ended to the handler again, or what `which` leaves of it; returns when all of it
    /// has ended again. See [`Retained`].
    ///
    /// ```no_run
    /// # fn example(inbox: &postrider_blocking::inbox::Inbox) -> Result<(), postrider_driver::Error> {
    /// use postrider_journal::history::End;
    ///
    /// let told = inbox.replay_all(|all| all.ended([End::Exhausted]).named("after-the-outage"))?;
    /// println!("{told}");
    /// # Ok(())
    /// # }
    /// ```
    pub fn replay_all(&self, which: impl FnOnce(Retained) -> Retained) -> Result<Replayed, Error> {
        self.sender.replay_all(which(replays::retained(&application())))
    }

    /// Calls the handler no more until [`resume`](Self::resume); what comes is stored.
    pub fn pause(&self) -> Result<Change, CommandError> {
        self.sender.pause(&application())
    }

    /// Calls the handler again, slowly at first.
    pub fn resume(&self) -> Result<Change, CommandError> {
        self.sender.resume(&application())
    }

    /// Counters since it was opened.
    pub fn stats(&self) -> Result<Stats, Error> {
        self.sender.stats()
    }

    /// Begins to listen: every notice from now on.
    pub fn notices(&self) -> Result<Notices, Error> {
        self.sender.notices()
    }

    /// Closes: nothing more is stored, and no call begins; those that run have `within` to end, and then nobody waits
    /// for them. What is left stays in the directory. Returns when the directory is let go of. See [`Sender::close`].
    pub fn close(&self, within: Duration) -> Result<(), Error> {
        self.sender.close(within)
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
struct Handing {
    handler: Box<dyn Fn(Delivery) -> Processed + Send + Sync>,
}

impl Way for Handing {
    /// A handler cannot be stopped, so what it says is told whenever it says it.
    fn carry(&self, transmit: &Transmit, _: Instant, _: &Arc<Leash>) -> Outcome {
        let delivery = match inbox::delivery(transmit) {
            Ok(delivery) => delivery,
            Err(why) => return inbox::unreadable(why),
        };
        // Whatever a panic has left behind is the application's own.
        catch_unwind(AssertUnwindSafe(|| (self.handler)(delivery))).map_or_else(|_| inbox::panicked(), inbox::outcome)
    }

    fn expire(&self, _: Instant) -> Option<Instant> {
        None
    }
}

const _: () = {
    const fn is_shared<T: Clone + Send + Sync + 'static>() {}
    is_shared::<Inbox>();
};
