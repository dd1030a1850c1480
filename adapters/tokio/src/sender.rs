//! The handle that applications hold.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use postrider_core::event::Event;
use postrider_core::id::{EndpointId, EndpointKey, EventId, TenantId};
use postrider_core::registration::consent::ConsentReason;
use postrider_core::registration::rotation::RotationStatus;
use postrider_core::registration::sync::Synced;
use postrider_core::registration::{Endpoint, EndpointView};
use postrider_core::secret::{KeyId, Secret};
use postrider_core::sender::{
    self, Called, Change, Close, EventReport, Explanation, Life, Page, Refused, Stats, Tally,
};
use postrider_core::time::UnixTime;
use postrider_driver::mint;
use postrider_driver::questions::{self, Question};
use postrider_driver::replays::{One, Replayed, Retained};
use postrider_driver::{Command as Wish, CommandError, DeliveryStory, Desk, Error, PublishError, PutError, Receipt};
use postrider_driver::{Registered, SettledError, SyncError, SyncReport, Waiting};
use postrider_journal::Log;
use postrider_journal::history::EventHistory;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

use crate::builder::Builder;
use crate::drive::Command;
use crate::notices::Notices;

/// What is left in memory may take this long to reach the log when the sender closes.
const FLUSH: Duration = Duration::from_secs(10);

/// A handle on a sender that runs as a task. A clone is another handle on the same sender.
///
/// Every method hands its wish to the task and waits for the answer; it waits for room too when 1,024 wishes are on
/// their way. Dropping the future of a method that changes something does not take the wish back.
///
/// When the last handle is dropped, the sender closes at once, as with [`Close::Now`]: attempts in flight are aborted,
/// what is pending stays in the log. [`close`](Self::close) is the way to let them finish.
#[derive(Clone)]
pub struct Sender {
    commands: mpsc::Sender<Command<Desk>>,
    ended: watch::Receiver<End>,
    runtime: Handle,
}

/// How a sender's task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    NotYet,
    Closed,
    Fenced,
}

impl End {
    pub(crate) fn of(life: Life) -> Self {
        if life == Life::Fenced { Self::Fenced } else { Self::Closed }
    }
}

impl Sender {
    pub(crate) fn new(commands: mpsc::Sender<Command<Desk>>, ended: watch::Receiver<End>, runtime: Handle) -> Self {
        Self { commands, ended, runtime }
    }

    /// A sender with the default settings that writes to a directory and goes on with what is in it; see
    /// [`Builder::open`].
    pub async fn open(directory: impl AsRef<Path>) -> Result<Self, Error> {
        Builder::new().open(directory).await
    }

    /// A sender with the default settings whose events die with the process.
    pub fn volatile() -> Result<Self, Error> {
        Builder::new().volatile()
    }

    /// A sender with the default settings that writes to `log`; see [`Builder::with_log`].
    pub fn with_log(log: impl Log) -> Result<Self, Error> {
        Builder::new().with_log(log)
    }

    /// Settings to make a sender with.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Registers an endpoint or makes it as described; returns when that is durable. A secret that was minted for it is
    /// in the answer and nowhere else. See [`Sender::put`](sender::Sender::put).
    pub async fn put(&self, endpoint: Endpoint) -> Result<Registered, PutError> {
        let Ok(permit) = self.commands.reserve().await else {
            let endpoint = Box::new(endpoint);
            return Err(PutError::Refused(match self.end().await {
                End::Fenced => sender::PutError::Fenced(endpoint),
                End::NotYet | End::Closed => sender::PutError::Closed(endpoint),
            }));
        };
        let (reply, answer) = answer();
        permit.send(Box::new(|desk| desk.put(endpoint, reply)));
        answer.await.unwrap_or(Err(PutError::NotDurable))
    }

    /// Publishes an event; returns when it is durable. An event without an id gets one. See
    /// [`Sender::publish`](sender::Sender::publish).
    pub async fn publish(&self, event: Event) -> Result<Receipt, PublishError> {
        self.hand_over(event).await?.answer().await
    }

    /// Publishes many events, which share the log's syncs; returns when each is durable or refused, in their order.
    pub async fn publish_all(&self, events: impl IntoIterator<Item = Event>) -> Vec<Result<Receipt, PublishError>> {
        let mut handed = Vec::new();
        for event in events {
            handed.push(self.hand_over(event).await);
        }
        let mut results = Vec::with_capacity(handed.len());
        for published in handed {
            results.push(match published {
                Ok(published) => published.answer().await,
                Err(error) => Err(error),
            });
        }
        results
    }

    /// Waits until every delivery of an event of the tenant `default` has ended, durably, and says how. That may take
    /// days; drop the future, as `tokio::time::timeout` does, to wait no longer.
    pub async fn settled(&self, event: &EventId) -> Result<EventReport, SettledError> {
        self.settled_of(&TenantId::default(), event).await
    }

    /// [`settled`](Self::settled) for an event of any tenant.
    pub async fn settled_of(&self, tenant: &TenantId, event: &EventId) -> Result<EventReport, SettledError> {
        let (reply, answer) = answer();
        let place = Place { sender: self, waiting: Arc::default() };
        let (slot, tenant, id) = (Arc::clone(&place.waiting), tenant.clone(), event.clone());
        let asked = self.commands.send(Box::new(move |desk| {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = desk.settled(&tenant, &id, reply);
        }));
        if asked.await.is_err() {
            return Err(SettledError::Closed(event.clone()));
        }
        answer.await.unwrap_or_else(|_| Err(SettledError::Closed(event.clone())))
    }

    /// Holds deliveries to an endpoint back; new events join them.
    pub async fn pause(&self, endpoint: &EndpointKey) -> Result<Change, CommandError> {
        self.wish(Wish::Pause(endpoint.clone())).await
    }

    /// Lets deliveries to an endpoint go on, slowly at first.
    pub async fn resume(&self, endpoint: &EndpointKey) -> Result<Change, CommandError> {
        self.wish(Wish::Resume(endpoint.clone())).await
    }

    /// Takes an endpoint out of service: new events do not match it, what waits is held for 72 h.
    pub async fn disable(&self, endpoint: &EndpointKey) -> Result<Change, CommandError> {
        self.wish(Wish::Disable(endpoint.clone())).await
    }

    /// Forgets an endpoint: what waits for it is discarded, what is in flight is aborted.
    pub async fn remove(&self, endpoint: &EndpointKey) -> Result<Change, CommandError> {
        self.wish(Wish::Remove(endpoint.clone())).await
    }

    /// Signs with this key too.
    pub async fn add_key(&self, endpoint: &EndpointKey, secret: Secret) -> Result<Change, CommandError> {
        self.wish(Wish::AddKey(endpoint.clone(), secret)).await
    }

    /// Lets a key expire at a time; another must sign without end.
    pub async fn expire_key(&self, endpoint: &EndpointKey, key: KeyId, at: UnixTime) -> Result<Change, CommandError> {
        self.wish(Wish::ExpireKey(endpoint.clone(), key, at)).await
    }

    /// Never signs with a key again, retries included.
    pub async fn revoke_key(&self, endpoint: &EndpointKey, key: KeyId) -> Result<Change, CommandError> {
        self.wish(Wish::RevokeKey(endpoint.clone(), key)).await
    }

    /// Changes over to a key: it signs besides the others, and these stop when `overlap` is over, which is at most 7 days
    /// ([`ROTATION_OVERLAP`](postrider_core::limits::ROTATION_OVERLAP) is the usual time). See
    /// [`rotation_status`](Self::rotation_status) and [`finish_rotation`](Self::finish_rotation).
    pub async fn rotate_key(
        &self,
        endpoint: &EndpointKey,
        secret: Secret,
        overlap: Duration,
    ) -> Result<Change, CommandError> {
        self.wish(Wish::RotateKey(endpoint.clone(), secret, overlap)).await
    }

    /// Ends a rotation before its time: the newest key alone signs.
    pub async fn finish_rotation(&self, endpoint: &EndpointKey) -> Result<Change, CommandError> {
        self.wish(Wish::FinishRotation(endpoint.clone())).await
    }

    /// How often and since when the answers of an endpoint named each of its keys as the one that verified, and whether
    /// the older ones are safe to retire. `None` when there is no such endpoint.
    pub async fn rotation_status(&self, endpoint: &EndpointKey) -> Result<Option<RotationStatus>, Error> {
        let endpoint = endpoint.clone();
        self.read(move |machine| machine.rotation_status(&endpoint)).await
    }

    /// Takes note of a request that came to a callback URL (see [`Builder::callback`]); returns when what came of it is
    /// durable. Answer it with 2xx when that is consent, and with 404 otherwise. See
    /// [`Sender::called_back`](sender::Sender::called_back).
    pub async fn called_back(&self, called: Called) -> Result<ConsentReason, CommandError> {
        let (reply, answer) = answer();
        if self.commands.send(Box::new(move |desk| desk.called_back(&called, reply))).await.is_err() {
            return Err(CommandError::Refused(match self.end().await {
                End::Fenced => sender::CommandError::Fenced,
                End::NotYet | End::Closed => sender::CommandError::Closed,
            }));
        }
        answer.await.unwrap_or(Err(CommandError::NotDurable))
    }

    /// Makes the endpoints of a tenant equal to a list, all at once; returns when that is durable. A list older than the
    /// one applied last is ignored. Secrets that were minted are in the answer and nowhere else. See
    /// [`Sender::sync`](sender::Sender::sync).
    pub async fn sync(
        &self,
        tenant: &TenantId,
        revision: u64,
        endpoints: Vec<Endpoint>,
    ) -> Result<SyncReport, SyncError> {
        let (tenant, (reply, answer)) = (tenant.clone(), answer());
        let wish: Command<Desk> = Box::new(move |desk| desk.sync(&tenant, revision, endpoints, reply));
        if self.commands.send(wish).await.is_err() {
            return Err(SyncError::Refused(match self.end().await {
                End::Fenced => sender::SyncRefused::Fenced,
                End::NotYet | End::Closed => sender::SyncRefused::Closed,
            }));
        }
        answer.await.unwrap_or(Err(SyncError::NotDurable))
    }

    /// What [`sync`](Self::sync) would do, without doing it.
    pub async fn sync_dry_run(
        &self,
        tenant: &TenantId,
        revision: u64,
        endpoints: Vec<Endpoint>,
    ) -> Result<Synced, SyncError> {
        let tenant = tenant.clone();
        let told = self.read(move |machine| machine.sync_dry_run(&tenant, revision, &endpoints)).await;
        told.map_err(|_| SyncError::Refused(sender::SyncRefused::Closed))?.map_err(SyncError::Refused)
    }

    /// Sends nothing more for an event.
    pub async fn cancel(&self, tenant: &TenantId, event: &EventId) -> Result<Change, CommandError> {
        self.wish(Wish::Cancel(tenant.clone(), event.clone())).await
    }

    /// Forgets what all events of a tenant have brought so far, payloads and answers: at once for whoever asks, and on disk
    /// when the log is next compacted. What waits is discarded; endpoints stay.
    pub async fn purge(&self, tenant: &TenantId) -> Result<Change, CommandError> {
        self.wish(Wish::Purge(tenant.clone())).await
    }

    /// The same for one event, whether it has ended or not.
    pub async fn erase(&self, tenant: &TenantId, event: &EventId) -> Result<Change, CommandError> {
        self.wish(Wish::Erase(tenant.clone(), event.clone())).await
    }

    /// One endpoint.
    pub async fn endpoint(&self, key: &EndpointKey) -> Result<Option<EndpointView>, Error> {
        let key = key.clone();
        self.read(move |machine| machine.endpoint(&key)).await
    }

    /// The endpoints of a tenant in the order of their ids, from behind `after` on; at most `most` and 1,000.
    pub async fn endpoints(
        &self,
        tenant: &TenantId,
        after: Option<&EndpointId>,
        most: usize,
    ) -> Result<Page<EndpointView>, Error> {
        let (tenant, after) = (tenant.clone(), after.cloned());
        self.read(move |machine| machine.endpoints(&tenant, after.as_ref(), most)).await
    }

    /// Who would be told of an event, and why the others would not; paged like [`endpoints`](Self::endpoints).
    pub async fn explain(
        &self,
        event: &Event,
        after: Option<&EndpointId>,
        most: usize,
    ) -> Result<Page<Explanation>, Error> {
        let (event, after) = (event.clone(), after.cloned());
        self.read(move |machine| machine.explain(&event, after.as_ref(), most)).await
    }

    /// How the delivery of an event to an endpoint stands: by which rule and its inputs, with every past attempt that the
    /// log's history keeps, when the next one is due, and what would change it. `None` when nothing is known of it. Without
    /// a log on disk it has the number of attempts and how the last one ended, in place of each.
    pub async fn explain_delivery(
        &self,
        endpoint: &EndpointKey,
        event: &EventId,
    ) -> Result<Option<DeliveryStory>, Error> {
        let (endpoint, event) = (endpoint.clone(), event.clone());
        self.inquire(move |desk, reply| desk.explain_delivery(&endpoint, &event, reply)).await
    }

    /// What has become of an event so far: from the machine while it knows it, else from the log's history. `None` when
    /// neither does.
    pub async fn report(&self, tenant: &TenantId, event: &EventId) -> Result<Option<EventReport>, Error> {
        let (tenant, event) = (tenant.clone(), event.clone());
        self.inquire(move |desk, reply| desk.report(&tenant, &event, reply)).await
    }

    /// Everything that the log keeps of an event of the tenant `default`: its payload, every attempt with its answer, and
    /// how it ended. `None` when nothing is known of it. See [`history`](Self::history).
    pub async fn event_history(&self, event: &EventId) -> Result<Option<Box<EventHistory>>, Error> {
        self.history(questions::event(&TenantId::default(), event)).await
    }

    /// Asks what has ended, as [`questions`](postrider_driver::questions) can be put. Only a log on disk keeps history;
    /// with another the error is [`Error::History`].
    ///
    /// ```no_run
    /// # async fn example(sender: &postrider_tokio::Sender) -> Result<(), postrider_driver::Error> {
    /// use postrider_core::id::TenantId;
    /// use postrider_driver::questions;
    ///
    /// let page = sender.history(questions::exhausted(&TenantId::default()).page(None, 50)).await?;
    /// for dead in &page.items {
    ///     println!("{}: {} after {} attempts", dead.endpoint, dead.end, dead.attempts);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn history<Q: Question>(&self, question: Q) -> Result<Q::Answer, Error> {
        let query = question.query();
        questions::read::<Q>(self.inquire(move |desk, reply| desk.history(query, reply)).await)
    }

    /// Sends one event again, as [`replays::one`](postrider_driver::replays::one) says; returns when that is durable. What has ended is read from the log's
    /// history, so only a sender on a directory can.
    pub async fn replay(&self, one: One) -> Result<Receipt, Error> {
        self.inquire(move |desk, reply| desk.replay(one, reply)).await
    }

    /// Sends everything again that is kept of this, as [`replays`](postrider_driver::replays) says; returns when all of it has ended. Dropping the
    /// future does not stop it: [`cancel_replay`](Self::cancel_replay) does.
    ///
    /// ```no_run
    /// # async fn example(sender: &postrider_tokio::Sender) -> Result<(), postrider_driver::Error> {
    /// use postrider_core::id::EndpointKey;
    /// use postrider_driver::replays;
    /// use postrider_journal::history::End;
    ///
    /// let dead_letters = replays::retained(&EndpointKey::new("acme")?).ended([End::Exhausted]);
    /// println!("would send {}", sender.replay_dry_run(dead_letters.clone()).await?);
    /// println!("sent {}", sender.replay_all(dead_letters.named("after-the-outage")).await?);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn replay_all(&self, what: Retained) -> Result<Replayed, Error> {
        self.inquire(move |desk, reply| desk.replay_all(what, reply)).await
    }

    /// Counts what [`replay_all`](Self::replay_all) would find, and sends nothing.
    pub async fn replay_dry_run(&self, what: Retained) -> Result<Replayed, Error> {
        self.inquire(move |desk, reply| desk.replay_dry_run(what, reply)).await
    }

    /// Stops what [`replay_all`](Self::replay_all) does under this name, and cancels the replays of it that have not
    /// ended. Whether there was one.
    pub async fn cancel_replay(&self, name: &str) -> Result<bool, Error> {
        let name = name.to_owned();
        self.ask(move |desk| desk.cancel_replay(&name)).await
    }

    /// How deliveries to an endpoint ended since the sender was made; `None` when it is not known.
    pub async fn tally(&self, endpoint: &EndpointKey) -> Result<Option<Tally>, Error> {
        let endpoint = endpoint.clone();
        self.read(move |machine| machine.endpoint_tally(&endpoint)).await
    }

    /// Counters since the sender was made.
    pub async fn stats(&self) -> Result<Stats, Error> {
        self.read(sender::Sender::stats).await
    }

    /// Begins to listen: every notice from now on.
    pub async fn notices(&self) -> Result<Notices, Error> {
        self.ask(Desk::notices).await.map(Notices::new)
    }

    /// Closes the sender: nothing more is accepted and no attempt is begun; attempts in flight have `within` to end and
    /// are then aborted. What is pending stays in the log. Returns when everything is in the log and the sender's sockets
    /// and its log are let go of, so that a directory can be opened again at once; and at the latest 10 s after `within`.
    /// Closing again waits for the same end.
    ///
    /// Fails with [`Error::Stopped`] if the log had failed for good, and with [`Error::Io`] (timed out) if it took nothing
    /// for those 10 s.
    pub async fn close(&self, within: Duration) -> Result<(), Error> {
        // Where the sender does not listen any more, it has closed already.
        let _ = self.commands.send(Box::new(|desk| desk.close(Close::Drain))).await;
        let end = match tokio::time::timeout(within, self.end()).await {
            Ok(end) => end,
            Err(_) => {
                let _ = self.commands.send(Box::new(|desk| desk.close(Close::Now))).await;
                let flushed = tokio::time::timeout(FLUSH, self.end()).await;
                flushed.map_err(|_| Error::from(std::io::Error::from(std::io::ErrorKind::TimedOut)))?
            }
        };
        if matches!(end, End::Fenced) { Err(Error::Stopped) } else { Ok(()) }
    }

    async fn hand_over(&self, mut event: Event) -> Result<Published, PublishError> {
        // Minted here, so that the id is known whatever happens to the sender.
        let id = match event.event_id() {
            Some(id) => id.clone(),
            None => match mint::event_id() {
                Ok(id) => {
                    event = event.id(id.as_str());
                    id
                }
                Err(_) => return Err(PublishError::Entropy(Box::new(event))),
            },
        };
        let Ok(permit) = self.commands.reserve().await else {
            let event = Box::new(event);
            return Err(PublishError::Refused(match self.end().await {
                End::Fenced => Refused::Fenced(event),
                End::NotYet | End::Closed => Refused::Closed(event),
            }));
        };
        let (reply, answer) = answer();
        permit.send(Box::new(|desk| desk.publish(event, reply)));
        Ok(Published { id, answer })
    }

    async fn wish(&self, wish: Wish) -> Result<Change, CommandError> {
        let (reply, answer) = answer();
        if self.commands.send(Box::new(|desk| desk.command(wish, reply))).await.is_err() {
            return Err(CommandError::Refused(match self.end().await {
                End::Fenced => sender::CommandError::Fenced,
                End::NotYet | End::Closed => sender::CommandError::Closed,
            }));
        }
        answer.await.unwrap_or(Err(CommandError::NotDurable))
    }

    async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&sender::Sender) -> T + Send + 'static,
    ) -> Result<T, Error> {
        self.ask(|desk| desk.read(look)).await
    }

    /// Asks for what the desk answers when it likes.
    async fn inquire<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut Desk, Reply<Result<T, Error>>) + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = answer();
        let asked = self.commands.send(Box::new(move |desk| look(desk, reply))).await;
        asked.map_err(|_| Error::Stopped)?;
        answer.await.unwrap_or(Err(Error::Stopped))
    }

    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut Desk) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = answer();
        let asked = self.commands.send(Box::new(move |desk| reply(look(desk)))).await;
        asked.map_err(|_| Error::Stopped)?;
        answer.await.map_err(|_| Error::Stopped)
    }

    /// Waits for the task's end. Where the task is gone without having said so, it went with its runtime.
    async fn end(&self) -> End {
        let mut ended = self.ended.clone();
        let end = ended.wait_for(|end| *end != End::NotYet).await;
        end.map_or(End::Closed, |end| *end)
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("end", &*self.ended.borrow()).finish_non_exhaustive()
    }
}

/// An event that is with the task.
struct Published {
    id: EventId,
    answer: oneshot::Receiver<Result<Receipt, PublishError>>,
}

impl Published {
    async fn answer(self) -> Result<Receipt, PublishError> {
        self.answer.await.unwrap_or(Err(PublishError::NotDurable(self.id)))
    }
}

/// A place among those who wait for events to settle, given up when it is dropped.
struct Place<'a> {
    sender: &'a Sender,
    waiting: Arc<Mutex<Option<Waiting>>>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // The command that fills the place was sent first, or never.
        let waiting = Arc::clone(&self.waiting);
        let give_up: Command<Desk> = Box::new(move |desk| {
            let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(waiting) = waiting {
                desk.give_up(waiting);
            }
        });
        match self.sender.commands.try_send(give_up) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(give_up)) => {
                let commands = self.sender.commands.clone();
                // A task that ends before it could send this has closed, and has forgotten everybody.
                self.sender.runtime.spawn(async move { drop(commands.send(give_up).await) });
            }
        }
    }
}

type Reply<T> = Box<dyn FnOnce(T) + Send>;

/// A way to answer, and where the answer comes.
fn answer<T: Send + 'static>() -> (Reply<T>, oneshot::Receiver<T>) {
    let (send, answer) = oneshot::channel();
    // Whoever asked may have stopped waiting.
    (Box::new(move |value| drop(send.send(value))), answer)
}
