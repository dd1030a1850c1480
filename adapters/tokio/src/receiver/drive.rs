//! The loop: one task owns the machine.

use std::collections::HashMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use postrider_core::receiver::{
    self as core, Delivery, DeliveryId, ExchangeId, NotStored, Processed, ReceiverConfig, RecvInput, RecvNotice,
    RecvOutput, RequestHead, Response,
};
use postrider_core::wake::Wake;
use postrider_driver::{Claiming, Clock};
use postrider_journal::claims::ClaimStore;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use postrider_driver::Handled;

/// Who is told what is worth telling.
pub(super) type Tell = Box<dyn Fn(RecvNotice) + Send>;

/// What the loop is told.
pub(super) enum Fact {
    /// A request has come; what it has to do goes to `asks`.
    Head { exchange: ExchangeId, head: RequestHead, asks: mpsc::Sender<Ask> },
    /// Its body has come, or will not.
    Read(RecvInput),
    /// It is given up.
    Dropped(ExchangeId),
    /// A delivery has ended.
    Processed(DeliveryId, Processed),
    /// The store of claims has answered.
    Claims(RecvInput),
    /// The receiver is to close. The sender is dropped when it has.
    Close(Option<oneshot::Sender<()>>),
}

/// What a request has to do next. One is asked at most two things.
pub(super) enum Ask {
    Body { cap: usize },
    Answer(Response),
}

/// Room for everything that one request is asked.
pub(super) const ASKS: usize = 2;

/// The machine and what it is connected with.
pub(super) struct Drive<H> {
    machine: core::Receiver,
    clock: Clock,
    handler: Arc<H>,
    claims: Claiming,
    tell: Tell,
    /// For deliveries to report on; so the loop's own end of the channel never sees it closed.
    facts: mpsc::UnboundedSender<Fact>,
    /// Those without an answer.
    exchanges: HashMap<ExchangeId, mpsc::Sender<Ask>>,
    /// Dropped when the machine is closed.
    closing: Vec<oneshot::Sender<()>>,
    most: u32,
    /// Deliveries that run, overdue ones among them.
    running: u32,
    credit: u32,
}

impl<H, F> Drive<H>
where
    H: Fn(Delivery) -> F + Send + Sync + 'static,
    F: Future<Output: Handled> + Send + 'static,
{
    pub(super) fn new(
        config: ReceiverConfig,
        handler: H,
        most: u32,
        tell: Tell,
        (store, facts): (Option<Box<dyn ClaimStore>>, mpsc::UnboundedSender<Fact>),
    ) -> Self {
        let clock = Clock::start();
        let answers = facts.clone();
        // It fails when the loop has ended.
        let claims = Claiming::new(store, move |input| drop(answers.send(Fact::Claims(input))));
        let mut machine = core::Receiver::new(claims.configure(config), clock.now());
        machine.handle(clock.now(), RecvInput::Credit(most));
        Self {
            machine,
            clock,
            handler: Arc::new(handler),
            claims,
            tell,
            facts,
            exchanges: HashMap::new(),
            closing: Vec::new(),
            most,
            running: 0,
            credit: most,
        }
    }

    /// Runs until the machine is closed.
    pub(super) async fn run(mut self, mut facts: mpsc::UnboundedReceiver<Fact>) {
        loop {
            let wake = self.turn(); // 1. effects are carried out
            if wake == Wake::Closed {
                return;
            }
            match until(self.clock, wake, &mut facts).await {
                Some(fact) => self.take(fact),      // 2. something happened
                None => self.feed(RecvInput::Tick), // 3. or it is time
            }
        }
    }

    /// Carries out what there is to do, and says when to come back.
    fn turn(&mut self) -> Wake {
        loop {
            match self.machine.poll_output() {
                RecvOutput::ReadBody { exchange, cap } => {
                    if let Some(asks) = self.exchanges.get(&exchange) {
                        // It fails for a request that was given up, which says so itself.
                        let _ = asks.try_send(Ask::Body { cap });
                    }
                }
                RecvOutput::Respond(response) => {
                    if let Some(asks) = self.exchanges.remove(&response.exchange()) {
                        let _ = asks.try_send(Ask::Answer(response));
                    }
                }
                RecvOutput::Deliver(delivery) => self.deliver(delivery),
                RecvOutput::Store(delivery) => {
                    let delivery = delivery.id();
                    self.feed(RecvInput::Stored { delivery, result: Err(NotStored::default()) });
                }
                RecvOutput::Claim(claim) => self.claims.claim(claim),
                RecvOutput::Commit(commit) => self.claims.commit(commit),
                RecvOutput::Release(release) => self.claims.release(release),
                RecvOutput::Notice(notice) => {
                    // Whoever listens is no reason to stop receiving.
                    let _ = catch_unwind(AssertUnwindSafe(|| (self.tell)(notice)));
                }
                RecvOutput::Wait(wake) => {
                    if !self.adjust_credit() {
                        return wake;
                    }
                }
            }
        }
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
            Fact::Close(closed) => {
                self.closing.extend(closed);
                self.machine.close(self.clock.now());
            }
        }
    }

    fn feed(&mut self, input: RecvInput) {
        self.machine.handle(self.clock.now(), input);
    }

    fn deliver(&mut self, delivery: Delivery) {
        self.running += 1;
        let facts = self.facts.clone();
        let report = Report { facts, delivery: delivery.id(), result: Processed::Later { after: None } };
        tokio::spawn(process(Arc::clone(&self.handler), delivery, report));
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

/// One delivery.
async fn process<H, F>(handler: Arc<H>, delivery: Delivery, mut report: Report)
where
    H: Fn(Delivery) -> F,
    F: Future<Output: Handled>,
{
    report.result = handler(delivery).await.processed();
}

/// The end of a delivery, told when it is dropped: so exactly once, after a panic too.
struct Report {
    facts: mpsc::UnboundedSender<Fact>,
    delivery: DeliveryId,
    result: Processed,
}

impl Drop for Report {
    fn drop(&mut self) {
        let _ = self.facts.send(Fact::Processed(self.delivery, self.result));
    }
}

/// The next fact, or `None` when it is time before there is one.
async fn until(clock: Clock, wake: Wake, facts: &mut mpsc::UnboundedReceiver<Fact>) -> Option<Fact> {
    match clock.until(wake) {
        Some(time) => timeout(time, facts.recv()).await.ok().flatten(),
        None => facts.recv().await,
    }
}
