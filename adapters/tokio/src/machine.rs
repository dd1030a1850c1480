//! Driving a machine that somebody else has made, for those who test drivers.

use std::sync::Arc;

use postrider_core::sender::{Close, Input, Output, Sender as Machine, Wake};
use postrider_core::time::Now;
use postrider_driver::{Carry, Clock};
use postrider_journal::{Done, Log, Tell};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};

use crate::builder::{Builder, COMMANDS};
use crate::drive::{Driven, drive};

/// What is said to a machine that [`run_machine`] drives.
pub type MachineCommand = Box<dyn FnOnce(&mut Machine, Now) + Send>;

/// Drives this very machine until it is closed or fenced, and gives it back.
///
/// `log` must have the machine's records, and `clock` must be the clock that it was told. Commands are carried out in
/// the order in which they come; when there can be no more, the machine is closed at once. Of the settings those about
/// the transport count. A [`Sender`](crate::Sender) runs on the same loop and the same tasks.
///
/// # Panics
/// Outside of a tokio runtime.
pub async fn run_machine(
    machine: Machine,
    mut log: impl Log,
    clock: Clock,
    settings: &Builder,
    mut commands: mpsc::UnboundedReceiver<MachineCommand>,
) -> Machine {
    let (facts, heard) = mpsc::unbounded_channel();
    let woken = Arc::new(Notify::new());
    let waker = Arc::clone(&woken);
    let tell: Tell = Arc::new(move |fact| {
        // Nobody hears facts about a machine that is closed.
        let _ = facts.send(fact);
        waker.notify_one();
    });
    let mut carrier = settings.carrier(clock, Arc::clone(&tell), &Handle::current());
    log.attach(Arc::clone(&tell));
    let mut bare = Bare { machine, log, clock, tell, heard };
    bare.machine.handle(clock.now(), Input::Credit(settings.credit()));
    let (relay, mut relayed) = mpsc::channel(COMMANDS);
    let relaying = async move {
        while let Some(command) = commands.recv().await {
            let act = move |bare: &mut Bare<_>| command(&mut bare.machine, bare.clock.now());
            if relay.send(Box::new(act) as _).await.is_err() {
                return;
            }
        }
        drop(relay);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = relaying => unreachable!("the loop ends before it stops listening"),
        () = drive(&mut bare, &mut carrier, &mut relayed, &woken) => {}
    }
    bare.machine
}

/// A machine with its log, and nobody who waits for it.
struct Bare<L> {
    machine: Machine,
    log: L,
    clock: Clock,
    tell: Tell,
    heard: mpsc::UnboundedReceiver<Input>,
}

impl<L: Log> Bare<L> {
    fn done(&self) -> Done {
        let tell = Arc::clone(&self.tell);
        Box::new(move |fact| tell(fact))
    }
}

impl<L: Log> Driven for Bare<L> {
    fn turn(&mut self, carrier: &mut impl Carry) -> Wake {
        let now = self.clock.now();
        self.machine.handle(now, Input::Tick);
        while let Ok(fact) = self.heard.try_recv() {
            self.machine.handle(now, fact);
        }
        loop {
            match self.machine.poll_output() {
                Output::Persist(batch) => self.log.append(batch, self.done()),
                Output::Load(request) => self.log.load(request, self.done()),
                Output::Snapshot(part) => self.log.snapshot(part),
                Output::Reclaim(mark) => self.log.reclaim(mark),
                Output::Transmit(transmit) => carrier.transmit(transmit),
                Output::Abort(attempt) => carrier.abort(attempt),
                Output::Notice(_) => {}
                Output::Wait(wake) => return wake,
            }
        }
    }

    fn close(&mut self, how: Close) {
        self.machine.close(self.clock.now(), how);
    }
}
