//! Driving a machine that somebody else has made, for those who test drivers.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use postrider_core::sender::{self, Close, Input, Output, Wake};
use postrider_core::time::Now;
use postrider_driver::{Carry, Clock};
use postrider_journal::{Done, Log};

use crate::builder::Builder;
use crate::drive::{Drive, Line, Word};

/// What is said to a machine that [`run_machine`] drives.
pub type MachineCommand = Box<dyn FnOnce(&mut sender::Sender, Now) + Send>;

/// Drives this very machine until it is closed or fenced, and gives it back. The calling thread is its drive thread.
///
/// `log` must have the machine's records and answer every request; `clock` must be the clock that the machine was told.
/// Commands are carried out in
/// the order in which they come; when there can be no more, the machine is closed at once. Of the settings those about
/// the transport count. A [`Sender`](crate::Sender) runs on the same loop and the same threads.
pub fn run_machine<L: Log>(
    machine: sender::Sender,
    mut log: L,
    clock: Clock,
    settings: &Builder,
    commands: Receiver<MachineCommand>,
) -> sender::Sender {
    let line = Line::new();
    let told = Told { words: line.tell(), clock };
    let (outcomes, words) = (told.clone(), line.tell());
    let mut crew = settings.crew(clock, Box::new(move |input| outcomes.fact(input)));
    let facts = told.clone();
    log.attach(Arc::new(move |input| facts.fact(input)));
    let mut bare = Bare { machine, log, told };
    bare.machine.handle(clock.now(), Input::Credit(settings.credit()));
    thread::spawn(move || {
        for command in commands {
            let act = move |bare: &mut Bare<L>| command(&mut bare.machine, clock.now());
            if words.send(Word::Do(Box::new(act))).is_err() {
                return;
            }
        }
        let _ = words.send(Word::Do(Box::new(move |bare| bare.machine.close(clock.now(), Close::Now))));
    });
    line.drive(&mut bare, &mut crew);
    bare.machine
}

/// A machine with its log and nobody who waits for it.
struct Bare<L> {
    machine: sender::Sender,
    log: L,
    told: Told<L>,
}

/// Where facts go.
struct Told<L> {
    words: mpsc::Sender<Word<Bare<L>>>,
    clock: Clock,
}

impl<L: Log> Told<L> {
    fn fact(&self, input: Input) {
        let clock = self.clock;
        // After the end there is nobody to tell.
        let _ = self.words.send(Word::Do(Box::new(move |bare: &mut Bare<L>| bare.machine.handle(clock.now(), input))));
    }
}

impl<L> Clone for Told<L> {
    fn clone(&self) -> Self {
        Self { words: self.words.clone(), clock: self.clock }
    }
}

impl<L: Log> Bare<L> {
    fn done(&self) -> Done {
        let told = self.told.clone();
        Box::new(move |input| told.fact(input))
    }
}

impl<L: Log> Drive for Bare<L> {
    fn clock(&self) -> Clock {
        self.told.clock
    }

    fn turn(&mut self, crew: &mut impl Carry) -> Wake {
        self.machine.handle(self.told.clock.now(), Input::Tick);
        loop {
            match self.machine.poll_output() {
                Output::Persist(batch) => self.log.append(batch, self.done()),
                Output::Load(request) => self.log.load(request, self.done()),
                Output::Snapshot(part) => self.log.snapshot(part),
                Output::Reclaim(mark) => self.log.reclaim(mark),
                Output::Transmit(transmit) => crew.transmit(transmit),
                Output::Abort(attempt) => crew.abort(attempt),
                Output::Notice(_) => {}
                Output::Wait(wake) => return wake,
            }
        }
    }
}
