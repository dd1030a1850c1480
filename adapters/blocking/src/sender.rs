//! The handle that applications hold.

use std::collections::VecDeque;
use std::fmt;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
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
use postrider_driver::questions::{self, Question};
use postrider_driver::replays::{One, Replayed, Retained};
use postrider_driver::{
    Command, CommandError, DeliveryStory, Desk, Error, PublishError, PutError, Receipt, Registered, Reply,
    SettledError, SyncError, SyncReport, Waiting, mint,
};
use postrider_journal::Log;
use postrider_journal::history::EventHistory;

use crate::builder::Builder;
use crate::drive::Word;
use crate::notices::Notices;

/// Delivers webhooks from a thread of its own, and one more for each attempt in flight.
///
/// A clone is the same sender; any number of threads may use it at once. Its methods block the calling thread, the
/// network never does: [`publish`](Self::publish) returns when the event is safe in the log, and delivering goes on
/// behind. When the last clone is dropped, the sender is closed as by [`close`](Self::close) with no time.
///
/// [`open`](Self::open) writes to a directory and goes on with what is in it; [`volatile`](Self::volatile) keeps
/// everything in memory.
///
/// ```no_run
/// use postrider_blocking::{Endpoint, Error, Event, Sender};
/// use std::time::Duration;
///
/// fn main() -> Result<(), Error> {
///     let sender = Sender::open("./postrider")?;
///     let acme = sender.put(Endpoint::new("acme", "https://acme.example.com/hooks").events(["order.**"]))?;
///     if let Some(secret) = acme.created() { println!("show this to the customer once: {}", secret.reveal()); }
///     let receipt = sender.publish(Event::json_bytes("order.paid", r#"{"id":1001}"#.into())?)?;
///     println!("{}", sender.settled_within(receipt.event(), Duration::from_secs(30))?);
///     sender.close(Duration::from_secs(20))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Sender(pub(crate) Arc<Handle>);

/// What the clones of a sender share.
pub(crate) struct Handle {
    pub(crate) words: mpsc::Sender<Word<Desk>>,
    pub(crate) ended: Arc<Ended>,
}

impl Sender {
    /// A sender that writes to a directory and goes on with what is in it, with the defaults of
    /// [`builder`](Self::builder); see [`Builder::open`].
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, Error> {
        Self::builder().open(directory)
    }

    /// A sender whose events die with the process, with the defaults of [`builder`](Self::builder).
    pub fn volatile() -> Result<Self, Error> {
        Self::builder().volatile()
    }

    /// A sender that writes to `log` and goes on with what is in it, with the defaults of [`builder`](Self::builder).
    pub fn with_log(log: impl Log) -> Result<Self, Error> {
        Self::builder().with_log(log)
    }

    /// What a sender is made with, to be changed: public https targets only, the authorities of the Mozilla programme,
    /// the default limits, 64 attempts in flight.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Registers an endpoint, or makes the one of that name as described; returns when that is durable. A new endpoint
    /// that brings no secret gets one, which is shown in the answer and never again.
    pub fn put(&self, endpoint: Endpoint) -> Result<Registered, PutError> {
        let asked = self.ask(endpoint, |desk, endpoint, reply| desk.put(endpoint, reply));
        asked.wait().unwrap_or_else(|endpoint| {
            let Some(endpoint) = endpoint.map(Box::new) else { return Err(PutError::NotDurable) };
            Err(PutError::Refused(match self.0.ended.is_fenced() {
                true => sender::PutError::Fenced(endpoint),
                false => sender::PutError::Closed(endpoint),
            }))
        })
    }

    /// Publishes an event; returns when it is as safe as the log makes it. An event without an id gets one.
    pub fn publish(&self, event: Event) -> Result<Receipt, PublishError> {
        self.begin(event)?.finish()
    }

    /// Publishes many events, which then share the log's syncs; returns when the fate of each is known, in their order.
    pub fn publish_all(&self, events: impl IntoIterator<Item = Event>) -> Vec<Result<Receipt, PublishError>> {
        let finish = |begun: Result<Publishing, PublishError>| begun.and_then(Publishing::finish);
        let (mut begun, mut answers) = (VecDeque::new(), Vec::new());
        for event in events {
            if begun.len() == UNANSWERED {
                answers.extend(begun.pop_front().map(finish));
            }
            begun.push_back(self.begin(event));
        }
        answers.extend(begun.into_iter().map(finish));
        answers
    }

    /// Waits until all deliveries of an event of the tenant `default` have ended, however long that takes, and tells
    /// how.
    pub fn settled(&self, event: &EventId) -> Result<EventReport, SettledError> {
        self.settled_of(&TenantId::default(), event)
    }

    /// The same for an event of any tenant.
    pub fn settled_of(&self, tenant: &TenantId, event: &EventId) -> Result<EventReport, SettledError> {
        let (asked, _) = self.ask_settled(tenant, event);
        asked.wait().unwrap_or_else(|_| Err(SettledError::Closed(event.clone())))
    }

    /// Waits until all deliveries of an event of the tenant `default` have ended, at most `time`; then tells how they
    /// stand. [`EventReport::settled`] says whether all have ended.
    pub fn settled_within(&self, event: &EventId, time: Duration) -> Result<EventReport, SettledError> {
        self.settled_of_within(&TenantId::default(), event, time)
    }

    /// The same for an event of any tenant.
    pub fn settled_of_within(
        &self,
        tenant: &TenantId,
        event: &EventId,
        time: Duration,
    ) -> Result<EventReport, SettledError> {
        let (asked, waiting) = self.ask_settled(tenant, event);
        if let Some(answer) = asked.wait_within(time) {
            return answer.unwrap_or_else(|_| Err(SettledError::Closed(event.clone())));
        }
        let (owner, name) = (tenant.clone(), event.clone());
        let looked = self.inquire(move |desk, reply| {
            if let Some(waiting) = lock(&waiting).take() {
                desk.give_up(waiting);
            }
            desk.report(&owner, &name, reply);
        });
        match looked {
            Ok(Some(report)) => Ok(report),
            Ok(None) => Err(SettledError::Forgotten(event.clone())),
            Err(Error::History(why)) => Err(SettledError::Unreadable { event: event.clone(), why }),
            Err(_) => Err(SettledError::Closed(event.clone())),
        }
    }

    /// Holds deliveries to an endpoint back; new events join them.
    pub fn pause(&self, endpoint: &EndpointKey) -> Result<Change, CommandError> {
        self.command(Command::Pause(endpoint.clone()))
    }

    /// Lets deliveries to an endpoint go on, whatever stopped them.
    pub fn resume(&self, endpoint: &EndpointKey) -> Result<Change, CommandError> {
        self.command(Command::Resume(endpoint.clone()))
    }

    /// Takes an endpoint out of service: what waits for it is held for 72 h, new events do not match it.
    pub fn disable(&self, endpoint: &EndpointKey) -> Result<Change, CommandError> {
        self.command(Command::Disable(endpoint.clone()))
    }

    /// Forgets an endpoint; what waits for it is discarded.
    pub fn remove(&self, endpoint: &EndpointKey) -> Result<Change, CommandError> {
        self.command(Command::Remove(endpoint.clone()))
    }

    /// Lets a further key sign what goes to an endpoint.
    pub fn add_key(&self, endpoint: &EndpointKey, secret: Secret) -> Result<Change, CommandError> {
        self.command(Command::AddKey(endpoint.clone(), secret))
    }

    /// Lets a key sign until `at` and no longer.
    pub fn expire_key(&self, endpoint: &EndpointKey, key: KeyId, at: UnixTime) -> Result<Change, CommandError> {
        self.command(Command::ExpireKey(endpoint.clone(), key, at))
    }

    /// Lets a key sign nothing more, from now on.
    pub fn revoke_key(&self, endpoint: &EndpointKey, key: KeyId) -> Result<Change, CommandError> {
        self.command(Command::RevokeKey(endpoint.clone(), key))
    }

    /// Changes over to a key: it signs besides the others, and these stop when `overlap` is over, which is at most 7 days
    /// ([`ROTATION_OVERLAP`](postrider_core::limits::ROTATION_OVERLAP) is the usual time). See
    /// [`rotation_status`](Self::rotation_status) and [`finish_rotation`](Self::finish_rotation).
    pub fn rotate_key(
        &self,
        endpoint: &EndpointKey,
        secret: Secret,
        overlap: Duration,
    ) -> Result<Change, CommandError> {
        self.command(Command::RotateKey(endpoint.clone(), secret, overlap))
    }

    /// Ends a rotation before its time: the newest key alone signs.
    pub fn finish_rotation(&self, endpoint: &EndpointKey) -> Result<Change, CommandError> {
        self.command(Command::FinishRotation(endpoint.clone()))
    }

    /// How often and since when the answers of an endpoint named each of its keys as the one that verified, and whether
    /// the older ones are safe to retire. `None` when there is no such endpoint.
    pub fn rotation_status(&self, endpoint: &EndpointKey) -> Result<Option<RotationStatus>, Error> {
        let endpoint = endpoint.clone();
        self.look(move |machine| machine.rotation_status(&endpoint))
    }

    /// Takes note of a request that came to a callback URL (see [`Builder::callback`](crate::Builder::callback)); returns
    /// when what came of it is durable. Answer it with 2xx when that is consent, and with 404 otherwise. See
    /// [`Sender::called_back`](sender::Sender::called_back).
    pub fn called_back(&self, called: Called) -> Result<ConsentReason, CommandError> {
        let asked = self.ask(called, |desk, called, reply| desk.called_back(&called, reply));
        asked.wait().unwrap_or_else(|called| {
            Err(match (called, self.0.ended.is_fenced()) {
                (None, _) => CommandError::NotDurable,
                (Some(_), true) => CommandError::Refused(sender::CommandError::Fenced),
                (Some(_), false) => CommandError::Refused(sender::CommandError::Closed),
            })
        })
    }

    /// Makes the endpoints of a tenant equal to a list, all at once; returns when that is durable. A list older than the
    /// one applied last is ignored. Secrets that were minted are in the answer and nowhere else. See
    /// [`Sender::sync`](sender::Sender::sync).
    pub fn sync(&self, tenant: &TenantId, revision: u64, endpoints: Vec<Endpoint>) -> Result<SyncReport, SyncError> {
        let tenant = tenant.clone();
        let asked = self.ask(endpoints, move |desk, endpoints, reply| desk.sync(&tenant, revision, endpoints, reply));
        asked.wait().unwrap_or_else(|endpoints| {
            Err(match (endpoints, self.0.ended.is_fenced()) {
                (None, _) => SyncError::NotDurable,
                (Some(_), true) => SyncError::Refused(sender::SyncRefused::Fenced),
                (Some(_), false) => SyncError::Refused(sender::SyncRefused::Closed),
            })
        })
    }

    /// What [`sync`](Self::sync) would do, without doing it.
    pub fn sync_dry_run(
        &self,
        tenant: &TenantId,
        revision: u64,
        endpoints: Vec<Endpoint>,
    ) -> Result<Synced, SyncError> {
        let tenant = tenant.clone();
        let told = self.look(move |machine| machine.sync_dry_run(&tenant, revision, &endpoints));
        told.map_err(|_| SyncError::Refused(sender::SyncRefused::Closed))?.map_err(SyncError::Refused)
    }

    /// Sends nothing more for an event, and discards what waits.
    pub fn cancel(&self, tenant: &TenantId, event: &EventId) -> Result<Change, CommandError> {
        self.command(Command::Cancel(tenant.clone(), event.clone()))
    }

    /// Forgets what all events of a tenant have brought so far, payloads and answers: at once for whoever asks, and on disk
    /// when the log is next compacted. What waits is discarded; endpoints stay.
    pub fn purge(&self, tenant: &TenantId) -> Result<Change, CommandError> {
        self.command(Command::Purge(tenant.clone()))
    }

    /// The same for one event, whether it has ended or not.
    pub fn erase(&self, tenant: &TenantId, event: &EventId) -> Result<Change, CommandError> {
        self.command(Command::Erase(tenant.clone(), event.clone()))
    }

    /// One endpoint.
    pub fn endpoint(&self, key: &EndpointKey) -> Result<Option<EndpointView>, Error> {
        let key = key.clone();
        self.look(move |machine| machine.endpoint(&key))
    }

    /// The endpoints of a tenant in the order of their ids, from behind `after` on: at most `most`, and 1,000.
    pub fn endpoints(
        &self,
        tenant: &TenantId,
        after: Option<&EndpointId>,
        most: usize,
    ) -> Result<Page<EndpointView>, Error> {
        let (tenant, after) = (tenant.clone(), after.cloned());
        self.look(move |machine| machine.endpoints(&tenant, after.as_ref(), most))
    }

    /// Who of a tenant's endpoints would be told of an event, and why the others would not; paged like
    /// [`endpoints`](Self::endpoints).
    pub fn explain(&self, event: &Event, after: Option<&EndpointId>, most: usize) -> Result<Page<Explanation>, Error> {
        let (event, after) = (event.clone(), after.cloned());
        self.look(move |machine| machine.explain(&event, after.as_ref(), most))
    }

    /// How the delivery of an event to an endpoint stands: by which rule and its inputs, with every past attempt that the
    /// log's history keeps, when the next one is due, and what would change it. `None` when nothing is known of it. Without
    /// a log on disk it has the number of attempts and how the last one ended, in place of each.
    pub fn explain_delivery(&self, endpoint: &EndpointKey, event: &EventId) -> Result<Option<DeliveryStory>, Error> {
        let (endpoint, event) = (endpoint.clone(), event.clone());
        self.inquire(move |desk, reply| desk.explain_delivery(&endpoint, &event, reply))
    }

    /// What has become of an event so far: from the machine while it knows it, else from the log's history. `None` when
    /// neither does.
    pub fn report(&self, tenant: &TenantId, event: &EventId) -> Result<Option<EventReport>, Error> {
        let (tenant, event) = (tenant.clone(), event.clone());
        self.inquire(move |desk, reply| desk.report(&tenant, &event, reply))
    }

    /// Everything that the log keeps of an event of the tenant `default`: its payload, every attempt with its answer, and
    /// how it ended. `None` when nothing is known of it. See [`history`](Self::history).
    pub fn event_history(&self, event: &EventId) -> Result<Option<Box<EventHistory>>, Error> {
        self.history(questions::event(&TenantId::default(), event))
    }

    /// Asks what has ended, as [`questions`](postrider_driver::questions) can be put. Only a log on disk keeps history;
    /// with another the error is [`Error::History`].
    ///
    /// ```no_run
    /// # fn example(sender: &postrider_blocking::Sender) -> Result<(), postrider_driver::Error> {
    /// use postrider_core::id::TenantId;
    /// use postrider_driver::questions;
    ///
    /// let page = sender.history(questions::exhausted(&TenantId::default()).page(None, 50))?;
    /// for dead in &page.items {
    ///     println!("{}: {} after {} attempts", dead.endpoint, dead.end, dead.attempts);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn history<Q: Question>(&self, question: Q) -> Result<Q::Answer, Error> {
        let query = question.query();
        questions::read::<Q>(self.inquire(move |desk, reply| desk.history(query, reply)))
    }

    /// Sends one event again, as [`replays::one`](postrider_driver::replays::one) says; returns when that is durable. What
    /// has ended is read from the log's history, so only a sender on a directory can.
    pub fn replay(&self, one: One) -> Result<Receipt, Error> {
        self.inquire(move |desk, reply| desk.replay(one, reply))
    }

    /// Sends everything again that is kept of this, as [`replays`](postrider_driver::replays) says; returns when all of it
    /// has ended, or when another thread has called [`cancel_replay`](Self::cancel_replay).
    ///
    /// ```no_run
    /// # fn example(sender: &postrider_blocking::Sender) -> Result<(), postrider_driver::Error> {
    /// use postrider_core::id::EndpointKey;
    /// use postrider_driver::replays;
    /// use postrider_journal::history::End;
    ///
    /// let dead_letters = replays::retained(&EndpointKey::new("acme")?).ended([End::Exhausted]);
    /// println!("would send {}", sender.replay_dry_run(dead_letters.clone())?);
    /// println!("sent {}", sender.replay_all(dead_letters.named("after-the-outage"))?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn replay_all(&self, what: Retained) -> Result<Replayed, Error> {
        self.inquire(move |desk, reply| desk.replay_all(what, reply))
    }

    /// Counts what [`replay_all`](Self::replay_all) would find, and sends nothing.
    pub fn replay_dry_run(&self, what: Retained) -> Result<Replayed, Error> {
        self.inquire(move |desk, reply| desk.replay_dry_run(what, reply))
    }

    /// Stops what [`replay_all`](Self::replay_all) does under this name, and cancels the replays of it that have not
    /// ended. Whether there was one.
    pub fn cancel_replay(&self, name: &str) -> Result<bool, Error> {
        let name = name.to_owned();
        let asked = self.ask((), move |desk, (), reply: Reply<bool>| reply(desk.cancel_replay(&name)));
        asked.wait().map_err(|_| Error::Stopped)
    }

    /// How deliveries to an endpoint ended since the sender was made; `None` when it is not known.
    pub fn tally(&self, endpoint: &EndpointKey) -> Result<Option<Tally>, Error> {
        let endpoint = endpoint.clone();
        self.look(move |machine| machine.endpoint_tally(&endpoint))
    }

    /// Counters since the sender was made.
    pub fn stats(&self) -> Result<Stats, Error> {
        self.look(sender::Sender::stats)
    }

    /// Begins to listen: every notice from now on. Of those that are not read in time, all but 1,024 are counted only.
    pub fn notices(&self) -> Result<Notices, Error> {
        let asked = self.ask((), |desk, (), reply| reply(desk.notices()));
        asked.wait().map(Notices::new).map_err(|_| Error::Stopped)
    }

    /// Closes the sender: nothing more is accepted and no attempt is begun; attempts in flight may end for `time` and
    /// are then stopped. Returns when everything is in the log and the log is let go of, so that a directory can be opened
    /// again at once; and at the latest 10 s after `time`. What is pending stays in the log. All clones are closed, and
    /// closing again waits for the same end.
    ///
    /// Fails with [`Error::Stopped`] if the log had failed for good, and with [`Error::Io`] (timed out) if it took nothing
    /// for those 10 s.
    pub fn close(&self, time: Duration) -> Result<(), Error> {
        self.act(|desk| desk.close(Close::Drain));
        if !self.0.ended.wait(time) {
            self.act(|desk| desk.close(Close::Now));
            if !self.0.ended.wait(FLUSH) {
                return Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
            }
        }
        if self.0.ended.is_fenced() { Err(Error::Stopped) } else { Ok(()) }
    }

    /// Asks for what the desk answers when it likes.
    fn inquire<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut Desk, Reply<Result<T, Error>>) + Send + 'static,
    ) -> Result<T, Error> {
        self.ask((), move |desk, (), reply| look(desk, reply)).wait().unwrap_or(Err(Error::Stopped))
    }

    fn command(&self, command: Command) -> Result<Change, CommandError> {
        let asked = self.ask(command, |desk, command, reply| desk.command(command, reply));
        asked.wait().unwrap_or_else(|command| {
            Err(match (command, self.0.ended.is_fenced()) {
                (None, _) => CommandError::NotDurable,
                (Some(_), true) => CommandError::Refused(sender::CommandError::Fenced),
                (Some(_), false) => CommandError::Refused(sender::CommandError::Closed),
            })
        })
    }

    /// Hands an event to the drive thread, with an id. One is minted here, so that it is known whatever happens.
    fn begin(&self, mut event: Event) -> Result<Publishing, PublishError> {
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
        let asked = self.ask(event, |desk, event, reply| desk.publish(event, reply));
        Ok(Publishing { id, asked, ended: Arc::clone(&self.0.ended) })
    }

    /// Asks for an event's end. What is asked can be given up by whoever has the second value, on the drive thread.
    fn ask_settled(&self, tenant: &TenantId, event: &EventId) -> (Asked<(), Settled>, Arc<Mutex<Option<Waiting>>>) {
        let (tenant, event, waiting) = (tenant.clone(), event.clone(), Arc::new(Mutex::new(None)));
        let kept = Arc::clone(&waiting);
        let asked = self.ask((), move |desk, (), reply| *lock(&kept) = desk.settled(&tenant, &event, reply));
        (asked, waiting)
    }

    fn look<T: Send + 'static>(&self, look: impl FnOnce(&sender::Sender) -> T + Send + 'static) -> Result<T, Error> {
        self.ask((), move |desk, (), reply: Reply<T>| reply(desk.read(look))).wait().map_err(|_| Error::Stopped)
    }

    /// Has something done on the drive thread with `value`, and gives a way to wait for the answer.
    fn ask<V: Send + 'static, T: Send + 'static>(
        &self,
        value: V,
        act: impl FnOnce(&mut Desk, V, Reply<T>) + Send + 'static,
    ) -> Asked<V, T> {
        let (tell, told) = mpsc::sync_channel(1);
        let parcel = Arc::new(Mutex::new(Some(value)));
        let taken = Arc::clone(&parcel);
        self.act(move |desk| {
            let value = lock(&taken).take().expect("nobody else takes it before this is dropped");
            // Whoever asked may have stopped waiting.
            act(desk, value, Box::new(move |answer| drop(tell.try_send(answer))));
        });
        Asked { told, parcel }
    }

    /// Has something done on the drive thread. After the sender's end it is dropped undone.
    fn act(&self, act: impl FnOnce(&mut Desk) + Send + 'static) {
        let _ = self.0.words.send(Word::Do(Box::new(act)));
    }
}

/// Events of one [`Sender::publish_all`] whose fate is not known yet, at most.
const UNANSWERED: usize = 1024;

/// Time for the log to take what is left, once everything else has been stopped.
const FLUSH: Duration = Duration::from_secs(10);

/// How an event stands when all its deliveries have ended.
type Settled = Result<EventReport, SettledError>;

/// A question on its way to the drive thread, and its answer on its way back.
struct Asked<V, T> {
    told: Receiver<T>,
    /// What was asked with, until the drive thread takes it.
    parcel: Arc<Mutex<Option<V>>>,
}

impl<V, T> Asked<V, T> {
    /// The answer; or, if the sender has ended, what was asked with, unless it was taken.
    fn wait(self) -> Result<T, Option<V>> {
        self.told.recv().map_err(|_| lock(&self.parcel).take())
    }

    /// The same, but `None` if there is no answer in this time.
    fn wait_within(&self, time: Duration) -> Option<Result<T, Option<V>>> {
        match self.told.recv_timeout(time) {
            Ok(answer) => Some(Ok(answer)),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Err(lock(&self.parcel).take())),
        }
    }
}

/// An event on its way into the log.
struct Publishing {
    id: EventId,
    asked: Asked<Event, Result<Receipt, PublishError>>,
    ended: Arc<Ended>,
}

impl Publishing {
    fn finish(self) -> Result<Receipt, PublishError> {
        self.asked.wait().unwrap_or_else(|event| {
            let Some(event) = event.map(Box::new) else { return Err(PublishError::NotDurable(self.id)) };
            let refused = if self.ended.is_fenced() { Refused::Fenced(event) } else { Refused::Closed(event) };
            Err(PublishError::Refused(refused))
        })
    }
}

/// Whether and how the drive thread has ended.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    state: Mutex<End>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct End {
    over: bool,
    fenced: bool,
}

impl Ended {
    /// Waits for the end, at most this long; whether it has come.
    fn wait(&self, time: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(lock(&self.state), time, |end| !end.over);
        waited.unwrap_or_else(PoisonError::into_inner).0.over
    }

    fn is_fenced(&self) -> bool {
        lock(&self.state).fenced
    }
}

/// Tells of the end when it is dropped.
pub(crate) struct AtEnd(pub(crate) Arc<Ended>);

impl AtEnd {
    /// The machine has come to its end in this way. To be said before words are refused.
    pub(crate) fn note(&self, life: Life) {
        lock(&self.0.state).fenced = life == Life::Fenced;
    }
}

impl Drop for AtEnd {
    fn drop(&mut self) {
        lock(&self.0.state).over = true;
        self.0.changed.notify_all();
    }
}

impl Drop for Handle {
    /// The last handle is gone: nobody can close the sender any more.
    fn drop(&mut self) {
        let _ = self.words.send(Word::Do(Box::new(|desk| desk.close(Close::Now))));
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("ended", &*lock(&self.ended.state)).finish_non_exhaustive()
    }
}

/// Nothing under these locks can panic half-way through a change, so a poisoned one is sound.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const _: () = {
    const fn is_shared<T: Clone + Send + Sync>() {}
    is_shared::<Sender>();
};
