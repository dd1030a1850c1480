//! Looking names up without holding a driver up.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use postrider_core::response::{Phase, TransportError};

use crate::facts::lock;
use crate::transport_error;

/// How a look-up is answered: called once, on one of the resolver's threads, or within the call that asked.
pub type Looked = Box<dyn FnOnce(Result<Vec<IpAddr>, TransportError>) + Send>;

type LookUp = dyn Fn(&str, u16) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// Threads that look names up, at most, when nothing else is said.
const THREADS: usize = 4;

/// Look-ups that wait for a thread, at most, when nothing else is said.
const QUEUE: usize = 1024;

/// A thread without work ends after this time.
const IDLE: Duration = Duration::from_secs(10);

/// Looks names up on a few threads, made when they are needed and ended when they are not.
///
/// The operating system's look-up cannot be interrupted. Whoever asks therefore keeps to its own deadline and gives the
/// answer up when that passes; the thread is counted until its look-up returns. A clone is the same resolver; when the
/// last one is dropped, its threads end.
#[derive(Clone)]
pub struct Resolver(Arc<Owner>);

/// What the handles of a resolver share, and its threads do not.
struct Owner(Arc<Shared>);

struct Shared {
    look_up: Box<LookUp>,
    most_threads: usize,
    most_queued: usize,
    idle: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    threads: usize,
    /// Threads that wait for work.
    idle: usize,
    over: bool,
}

struct Job {
    host: String,
    port: u16,
    deadline: Instant,
    done: Looked,
}

impl Resolver {
    /// A resolver that asks the operating system, with 4 threads and 1,024 waiting look-ups.
    pub fn new() -> Self {
        Self::with(THREADS, QUEUE)
    }

    /// The same with other numbers; each is at least 1.
    pub fn with(threads: usize, queue: usize) -> Self {
        Self::make(threads, queue, IDLE, Box::new(system))
    }

    /// A resolver that asks `look_up` instead of the operating system: for tests, and for names that only the
    /// application knows. The policy is asked about its addresses like about any.
    pub fn by(look_up: impl Fn(&str, u16) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Self {
        Self::make(THREADS, QUEUE, IDLE, Box::new(look_up))
    }

    /// Looks a name up, and calls `done` with its addresses in the order of preference.
    ///
    /// A literal address (without brackets) is its own answer, at once. A look-up that has not begun at its deadline
    /// never begins and ends as timed out. With the queue full the answer is [`TransportError::NameFailed`], at once.
    pub fn resolve(&self, host: &str, port: u16, deadline: Instant, done: Looked) {
        if let Ok(ip) = host.parse() {
            return done(Ok(vec![ip]));
        }
        let shared = &self.0.0;
        let job = Job { host: host.to_owned(), port, deadline, done };
        let (expired, refused, start) = shared.enqueue(job);
        for job in expired {
            (job.done)(Err(TransportError::TimedOut(Phase::Resolve)));
        }
        if let Some(job) = refused {
            (job.done)(Err(TransportError::NameFailed));
        }
        if start {
            self.start();
        }
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        lock(&self.0.0.state).threads
    }

    fn make(most_threads: usize, most_queued: usize, idle: Duration, look_up: Box<LookUp>) -> Self {
        Self(Arc::new(Owner(Arc::new(Shared {
            look_up,
            most_threads: most_threads.max(1),
            most_queued: most_queued.max(1),
            idle,
            state: Mutex::default(),
            changed: Condvar::new(),
        }))))
    }

    /// Starts the thread that [`Shared::enqueue`] has counted.
    fn start(&self) {
        let shared = self.0.0.clone();
        let started = thread::Builder::new().name("postrider-resolve".to_owned()).spawn(move || shared.work());
        if started.is_err() {
            for job in self.0.0.not_started() {
                (job.done)(Err(TransportError::LocalResources));
            }
        }
    }
}

impl Default for Resolver {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = lock(&self.0.0.state);
        f.debug_struct("Resolver").field("threads", &state.threads).field("queued", &state.queue.len()).finish()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        lock(&self.0.state).over = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    /// Queues a job if there is room for it. Says which others have waited too long, whether it was refused, and
    /// whether a thread is to be started, which is counted already.
    fn enqueue(&self, job: Job) -> (Vec<Job>, Option<Job>, bool) {
        let mut state = lock(&self.state);
        let mut expired = Vec::new();
        if state.queue.len() >= self.most_queued {
            let now = Instant::now();
            let (late, waiting) = state.queue.drain(..).partition::<VecDeque<_>, _>(|job| job.deadline <= now);
            expired.extend(late);
            state.queue = waiting;
        }
        if state.queue.len() >= self.most_queued {
            return (expired, Some(job), false);
        }
        state.queue.push_back(job);
        let start = state.idle < state.queue.len() && state.threads < self.most_threads;
        state.threads += usize::from(start);
        self.changed.notify_one();
        (expired, None, start)
    }

    /// The operating system gave no thread. Without any, nobody will take what waits.
    fn not_started(&self) -> VecDeque<Job> {
        let mut state = lock(&self.state);
        state.threads -= 1;
        if state.threads == 0 { std::mem::take(&mut state.queue) } else { VecDeque::new() }
    }

    /// A thread's life.
    fn work(&self) {
        while let Some(job) = self.next_job() {
            let Job { host, port, deadline, done } = job;
            let result = if deadline <= Instant::now() {
                Err(TransportError::TimedOut(Phase::Resolve))
            } else {
                let found = catch_unwind(AssertUnwindSafe(|| (self.look_up)(&host, port)));
                let found = found.unwrap_or_else(|_| Err(io::Error::other("the look-up panicked")));
                found.map_err(|error| transport_error(&error, Phase::Resolve))
            };
            // A panic of the caller's is the caller's; the thread and its count live on.
            let _ = catch_unwind(AssertUnwindSafe(|| done(result)));
        }
    }

    /// The next job; `None` ends the thread, which is no longer counted then.
    fn next_job(&self) -> Option<Job> {
        let mut state = lock(&self.state);
        let until = Instant::now() + self.idle;
        loop {
            if let Some(job) = state.queue.pop_front() {
                return Some(job);
            }
            let rest = until.saturating_duration_since(Instant::now());
            if state.over || rest.is_zero() {
                state.threads -= 1;
                return None;
            }
            state.idle += 1;
            state = self.changed.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
            state.idle -= 1;
        }
    }
}

fn system(host: &str, port: u16) -> io::Result<Vec<IpAddr>> {
    let mut found: Vec<IpAddr> = Vec::new();
    for addr in (host, port).to_socket_addrs()? {
        if !found.contains(&addr.ip()) {
            found.push(addr.ip());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{self, Receiver, Sender};

    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    type Answer = Result<Vec<IpAddr>, TransportError>;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn ask(resolver: &Resolver, host: &str, deadline: Instant) -> Receiver<Answer> {
        let (tell, told) = mpsc::channel();
        resolver.resolve(host, 443, deadline, Box::new(move |answer| drop(tell.send(answer))));
        told
    }

    /// A resolver whose look-ups wait for a word from the test.
    fn gated(threads: usize, queue: usize, idle: Duration) -> (Resolver, Sender<()>) {
        let (go, gate) = mpsc::channel();
        let gate = Mutex::new(gate);
        let look_up = move |host: &str, _: u16| {
            let _ = lock(&gate).recv();
            if host == "panic" { panic!("as asked") } else { Ok(vec![IP]) }
        };
        (Resolver::make(threads, queue, idle, Box::new(look_up)), go)
    }

    fn eventually(what: impl Fn() -> bool) -> bool {
        let until = Instant::now() + Duration::from_secs(20);
        while Instant::now() < until {
            if what() {
                return true;
            }
            thread::sleep(Duration::from_millis(1));
        }
        false
    }

    #[test]
    fn an_address_is_its_own_answer() {
        let resolver = Resolver::by(|_, _| panic!("nobody may be asked"));
        assert_eq!(ask(&resolver, "192.0.2.1", soon()).try_recv(), Ok(Ok(vec![IP])));
        assert_eq!(ask(&resolver, "2001:db8::1", soon()).try_recv().unwrap().unwrap().len(), 1);
        assert_eq!(resolver.threads(), 0);
    }

    #[test]
    fn the_operating_system_is_asked() {
        let found = ask(&Resolver::new(), "localhost", soon()).recv().unwrap().unwrap();
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{found:?}");
    }

    #[test]
    fn threads_and_queue_are_bounded_and_the_late_make_room() {
        let (resolver, go) = gated(1, 2, IDLE);
        let first = ask(&resolver, "a", soon());
        assert!(eventually(|| lock(&resolver.0.0.state).queue.is_empty()));
        let late = ask(&resolver, "b", Instant::now());
        let waits = ask(&resolver, "c", soon());
        // The queue is full, and one in it has waited too long.
        let fits = ask(&resolver, "d", soon());
        assert_eq!(late.try_recv(), Ok(Err(TransportError::TimedOut(Phase::Resolve))));
        assert_eq!(ask(&resolver, "e", soon()).try_recv(), Ok(Err(TransportError::NameFailed)));
        assert_eq!(resolver.threads(), 1);
        for told in [first, waits, fits] {
            go.send(()).unwrap();
            assert_eq!(told.recv(), Ok(Ok(vec![IP])));
        }
    }

    #[test]
    fn a_panic_costs_one_answer_and_no_thread() {
        let (resolver, go) = gated(1, 8, IDLE);
        let told = ask(&resolver, "panic", soon());
        go.send(()).unwrap();
        assert_eq!(told.recv(), Ok(Err(TransportError::NameFailed)));
        go.send(()).unwrap();
        assert_eq!(ask(&resolver, "fine", soon()).recv(), Ok(Ok(vec![IP])));
        assert_eq!(resolver.threads(), 1);
    }

    #[test]
    fn threads_end_when_there_is_nothing_to_do() {
        let (resolver, go) = gated(4, 8, Duration::from_millis(20));
        let all: Vec<_> = ["a", "b", "c"].iter().map(|host| ask(&resolver, host, soon())).collect();
        assert!(eventually(|| resolver.threads() == 3));
        (0..3).for_each(|_| go.send(()).unwrap());
        assert!(all.into_iter().all(|told| told.recv() == Ok(Ok(vec![IP]))));
        assert!(eventually(|| resolver.threads() == 0));
        go.send(()).unwrap();
        assert_eq!(ask(&resolver, "again", soon()).recv(), Ok(Ok(vec![IP])));
    }

    #[test]
    fn threads_end_with_their_resolver() {
        let (resolver, go) = gated(4, 8, Duration::from_secs(3600));
        go.send(()).unwrap();
        ask(&resolver, "a", soon()).recv().unwrap().unwrap();
        let shared = resolver.0.0.clone();
        drop(resolver);
        assert!(eventually(|| lock(&shared.state).threads == 0));
    }
}
