//! How an inbox is made.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use postrider_core::limits::Limits;
use postrider_core::receiver::Delivery;
use postrider_core::registration::Ordering;
use postrider_core::retry::Schedule;
use postrider_driver::inbox::{Settings, may_be_inbox};
use postrider_driver::{Desk, Directory, Error, Handled, Opening, Restoring};
use postrider_journal::Log;
use postrider_journal::history::Retention;
use postrider_journal::seal::Vault;

use super::{Handing, Inbox};
use crate::builder::run;

/// What an [`Inbox`] is made with; see [`Inbox::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder makes an inbox only when it is told to"]
pub struct Builder {
    settings: Settings,
    directory: Directory,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self { settings: Settings::new(), directory: Directory::new() }
    }

    /// Sets the delays before the calls for one webhook, counted from the end of the one before; behind the last it is a dead
    /// letter. Without it, ten calls over three days: [`Schedule::default`].
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.settings = self.settings.schedule(schedule);
        self
    }

    /// Sets how many calls may run at once: 1 to 1024, 64 without it. Each is a thread, which is made
    /// when it is needed.
    pub fn concurrency(mut self, calls: u16) -> Self {
        self.settings = self.settings.concurrency(calls);
        self
    }

    /// Sets how long one call may take: 1 ms to 60 s, 20 s without it. A call that takes longer cannot be
    /// stopped: it keeps its thread, and the webhook comes again beside it, soon after the end of this time or by the
    /// schedule. What it says in the end still counts, if the webhook has not ended by then.
    pub fn time_limit(mut self, time: Duration) -> Self {
        self.settings = self.settings.time_limit(time);
        self
    }

    /// Sets by what key webhooks are handled one after the other, in the order in which they were stored; `None` is handled
    /// as soon as it can be. Without it the key is what the header `postrider-key` says. A key of more than 256 bytes counts
    /// by its digest.
    pub fn order_by(mut self, key: impl Fn(&Delivery) -> Option<String> + Send + Sync + 'static) -> Self {
        self.settings = self.settings.order_by(key);
        self
    }

    /// Sets what happens to the webhooks behind one that fails, of the same key. Without it they wait for it, however often
    /// it fails ([`Ordering::Strict`]): with [`Ordering::SkipOnExhaust`] they wait until it is a dead letter, and with
    /// [`Ordering::None`] keys do not matter.
    pub fn ordering(mut self, ordering: Ordering) -> Self {
        self.settings = self.settings.ordering(ordering);
        self
    }

    /// Sets whether a webhook that its sender replays under the same id is stored again, once for each replay. It is to say the
    /// same as [`ReceiverConfig::replays`](postrider_core::receiver::ReceiverConfig::replays), and is off without it.
    pub fn replays(mut self, accept: bool) -> Self {
        self.settings = self.settings.replays(accept);
        self
    }

    /// Sets what the inbox may hold. [`Limits::payload`] bounds a stored webhook, and is 16 MiB without this.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings = self.settings.limits(limits);
        self
    }

    /// Sets what the key of the inbox's endpoint is sealed with in the directory. Nothing is ever signed with it; and
    /// webhooks are not sealed.
    pub fn vault(mut self, vault: Vault) -> Self {
        self.directory = self.directory.vault(vault);
        self
    }

    /// Sets how long [`open`](Self::open) waits for another process that has the directory, as during a deploy; 30 s
    /// without it.
    pub fn takeover(mut self, at_most: Duration) -> Self {
        self.directory = self.directory.takeover(at_most);
        self
    }

    /// Sets how long webhooks are kept after they were handled, and in how much room; without it, they themselves for 7 days
    /// and what became of them for 30.
    pub fn retention(mut self, retention: Retention) -> Self {
        self.directory = self.directory.retention(retention);
        self
    }

    /// Sets whether a damaged directory is opened with everything in it that is intact. Without it, opening fails and
    /// names the damage.
    pub fn salvage(mut self, salvage: bool) -> Self {
        self.directory = self.directory.salvage(salvage);
        self
    }

    /// Sets how many bytes the directory may take. As they run out, nothing more is stored, and what was stored is still
    /// handled. Without it, as many as the disk has.
    pub fn budget(mut self, bytes: u64) -> Self {
        self.directory = self.directory.budget(bytes);
        self
    }

    /// Sets who is told what is worth hearing while the directory is opened. It is called by the thread that opens.
    pub fn on_opening(mut self, tell: impl Fn(Opening) + Send + Sync + 'static) -> Self {
        self.directory = self.directory.on_opening(tell);
        self
    }

    /// Makes an inbox in a directory, which is made if it does not exist, and goes on with what is in it: `handler` gets
    /// it. For what the handler may answer see [`Handled`]; a panic counts as
    /// [`Later`](postrider_core::receiver::Processed::Later).
    ///
    /// One inbox at a time has a directory; while another process has it, this waits, at most as long as
    /// [`takeover`](Self::takeover) says, and then fails with [`Error::Directory`]. A directory that a sender writes to is
    /// refused with [`Error::NoInbox`].
    pub fn open<H, R>(self, directory: impl AsRef<Path>, handler: H) -> Result<Inbox, Error>
    where
        H: Fn(Delivery) -> R + Send + Sync + 'static,
        R: Handled,
    {
        let desk = self.directory.open(directory.as_ref(), self.settings.config())?;
        self.start(desk, handler)
    }

    /// The same with another log than a directory, which keeps webhooks as safe as it keeps anything. Of the settings for
    /// directories, [`vault`](Self::vault) counts.
    pub fn with_log<H, R>(self, log: impl Log, handler: H) -> Result<Inbox, Error>
    where
        H: Fn(Delivery) -> R + Send + Sync + 'static,
        R: Handled,
    {
        let restoring = Restoring { vault: self.directory.sealing().cloned(), ..Restoring::default() };
        let desk = Desk::open_with(log, self.settings.config(), restoring)?;
        self.start(desk, handler)
    }

    fn start<H, R>(self, desk: Desk, handler: H) -> Result<Inbox, Error>
    where
        H: Fn(Delivery) -> R + Send + Sync + 'static,
        R: Handled,
    {
        if !desk.read(may_be_inbox) {
            return Err(Error::NoInbox);
        }
        let handler = Box::new(move |delivery| handler(delivery).processed());
        let sender = run(desk, Handing { handler }, self.settings.credit())?;
        sender.put(self.settings.endpoint())?;
        Ok(Inbox { sender, settings: Arc::new(self.settings) })
    }
}
