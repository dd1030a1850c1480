//! The loop: one thread owns the machine.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender};

use postrider_core::receiver::{
    self as core, DeliveryId, ExchangeId, NotStored, Processed, ReceiverConfig, RecvInput, RecvNotice, RecvOutput,
    RequestHead, Response,
};
use postrider_core::signing::standard::VerifyError;
use postrider_core::wake::Wake;
use postrider_driver::{Claiming, Clock};
use postrider_journal::claims::ClaimStore;

use super::Watch;
use super::hands::{Handler, Hands};
use super::seen::Seen;

/// What the loop is told.
pub(super) enum Fact {
    /// A request has come; what it has to do goes to `asks`.
    Head { exchange: ExchangeId, head: RequestHead, asks: SyncSender<Ask> },
    /// Its body has come, or will not.
    Read(RecvInput),
    /// It is given up.
    Dropped(ExchangeId),
    /// A delivery has ended.
    Processed(DeliveryId, Processed),
    /// The store of claims has answered.
    Claims(RecvInput),
    /// The receiver is to close.
    Close,
}

/// What a request has to do next. One is asked at most two things.
pub(super) enum Ask {
    Body { cap: usize },
    Answer { response: Response, unverified: Option<VerifyError> },
}

/// Room for everything that one request is asked.
pub(super) const ASKS: usize = 2;

/// The machine and what it is connected with.
pub(super) struct Drive {
    machine: core::Receiver,
    clock: Clock,
    hands: Hands,
    claims: Claiming,
    watch: Arc<Watch>,
    /// Those without an answer.
    exchanges: HashMap<ExchangeId, SyncSender<Ask>>,
    /// Answers of this turn: what was wrong with a signature comes after the answer to it.
    answers: Vec<(Response, Option<VerifyError>)>,
    most: u32,
    /// Deliveries that run, overdue ones among them.
    running: u32,
    credit: u32,
}

impl Drive {
    pub(super) fn new(
        config: ReceiverConfig,
        handler: Handler,
        most: u32,
        watch: Arc<Watch>,
        (store, facts): (Option<Box<dyn ClaimStore>>, Sender<Fact>),
    ) -> Self {
        let clock = Clock::start();
        let tell = facts.clone();
        // It fails when the loop has ended.
        let claims = Claiming::new(store, move |input| drop(tell.send(Fact::Claims(input))));
        let mut machine = core::Receiver::new(claims.configure(config), clock.now());
        machine.handle(clock.now(), RecvInput::Credit(most));
        Self {
            machine,
            clock,
            hands: Hands::new(handler, most, facts),
            claims,
            watch,
            exchanges: HashMap::new(),
            answers: Vec::new(),
            most,
            running: 0,
            credit: most,
        }
    }

    /// Runs until the machine is closed. The hands keep the channel open.
    pub(super) fn run(mut self, facts: &Receiver<Fact>) {
        loop {
            let wake = self.turn(); // 1. effects are carried out
            if wake == Wake::Closed {
                return;
            }
            let fact = match self.clock.until(wake) {
                Some(time) => facts.recv_timeout(time).ok(),
                None => facts.recv().ok(),
            };
            match fact {
                Some(fact) => self.take(fact),      // 2. something happened
                None => self.feed(RecvInput::Tick), // 3. or it is time
            }
        }
    }

    /// Carries out what there is to do, and says when to come back.
    fn turn(&mut self) -> Wake {
        let wake = loop {
            match self.machine.poll_output() {
                RecvOutput::ReadBody { exchange, cap } => {
                    if let Some(asks) = self.exchanges.get(&exchange) {
                        // It fails for a request that was given up, which says so itself.
                        let _ = asks.try_send(Ask::Body { cap });
                    }
                }
                RecvOutput::Respond(response) => self.answers.push((response, None)),
                RecvOutput::Deliver(delivery) => {
                    self.running += 1;
                    self.hands.take(delivery);
                }
                RecvOutput::Store(delivery) => {
                    let delivery = delivery.id();
                    self.feed(RecvInput::Stored { delivery, result: Err(NotStored::default()) });
                }
                RecvOutput::Claim(claim) => self.claims.claim(claim),
                RecvOutput::Commit(commit) => self.claims.commit(commit),
                RecvOutput::Release(release) => self.claims.release(release),
                RecvOutput::Notice(notice) => self.notice(notice),
                // There are no sockets to look at on this thread, so it goes on.
                RecvOutput::Wait(Wake::Ready) => {}
                RecvOutput::Wait(wake @ (Wake::At(_) | Wake::Input | Wake::Closed)) => {
                    if !self.adjust_credit() {
                        break wake;
                    }
                }
            }
        };
        for (response, unverified) in self.answers.drain(..) {
            if let Some(asks) = self.exchanges.remove(&response.exchange()) {
                let _ = asks.try_send(Ask::Answer { response, unverified });
            }
        }
        wake
    }

    fn take(&mut self, fact: Fact) {
        match fact {
            Fact::Head { exchange, head, asks } => {
                self.exchanges.insert(exchange, asks);
                self.feed(RecvInput::Head { exchange, head });
            }
            Fact::Read(input) | Fact::Claims(input) => self.feed(input),
            Fact::Dropped(exchange) => {
                self.exchanges.remove(&exchange);
                self.feed(RecvInput::Dropped(exchange));
            }
            Fact::Processed(delivery, result) => {
                self.running -= 1;
                self.feed(RecvInput::Processed { delivery, result });
            }
            Fact::Close => self.machine.close(self.clock.now()),
        }
    }

    fn feed(&mut self, input: RecvInput) {
        self.machine.handle(self.clock.now(), input);
    }

    fn notice(&mut self, notice: RecvNotice) {
        if let RecvNotice::Unverified { exchange, why } = &notice {
            let answer = self.answers.iter_mut().find(|(response, _)| response.exchange() == *exchange);
            if let Some((_, unverified)) = answer {
                *unverified = Some(*why);
                return;
            }
        }
        self.watch.tell(Seen::Notice(notice));
    }

    /// Takes the places of overdue deliveries, which the machine counts no longer, out of the credit. Says whether it
    /// has changed.
    fn adjust_credit(&mut self) -> bool {
        let counted = u32::try_from(self.machine.with_application()).unwrap_or(u32::MAX);
        let credit = self.most.saturating_sub(self.running.saturating_sub(counted));
        if credit == self.credit {
            return false;
        }
        self.credit = credit;
        self.feed(RecvInput::Credit(credit));
        true
    }
}
