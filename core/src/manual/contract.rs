//! Three verbs, and why one poll.
//!
//! # Commands, facts, effects
//!
//! A machine hears two kinds of sentence and speaks one. The difference between the two that it hears is who can say
//! no. A **command** is a wish: [`publish`](crate::sender::Sender::publish) may find that there is no room, and then
//! gives the event back, because whoever wished must still have it. A **fact** has happened:
//! [`handle`](crate::sender::Sender::handle) returns nothing, because there is nobody to whom a refusal would be of
//! use. A response has arrived whether or not anybody waits for it. So a fact that fits nothing any more is counted
//! and dropped, and a driver needs no error path between its sockets and the machine.
//!
//! An **effect** is pulled, never pushed. A callback would run inside the machine, at a moment that the machine chose,
//! with the machine borrowed; a pulled effect is a value that its owner may queue, send to another thread, print or
//! compare in a test. Effects are owned and have no lifetimes for the same reason: a
//! [`Transmit`](crate::sender::Transmit) outlives the call that gave it by the twenty seconds of a slow receiver.
//!
//! The fact types are `#[non_exhaustive]` and the effect types are not. A driver that does not know a new fact simply
//! never says it. A driver that does not know a new effect would drop it, and a dropped effect is a delivery that is
//! never made; it must not compile.
//!
//! # Why one poll
//!
//! Many protocol cores have a `poll` for packets, one for events, one for timeouts. Then the order between them is the
//! driver's to get right: whether a timeout must be asked for again after a packet, or whether an event may be left
//! for later. Here there is one stream, in the order in which things must happen, and it ends in the answer to the
//! only other question, when to come back ([`Wake`](crate::wake::Wake)). A drive loop is one `match`, and the compiler
//! says whether it is complete.
//!
//! The order within a drain is: what time has brought, then the log, then what frees resources, then what is told,
//! then what starts something.
//!
//! # What each law is for
//!
//! * **Drain (L1).** A driver may stop in the middle of a drain, feed facts, and go on. It has to be so: carrying out
//!   an effect often yields a fact at once, such as an address that the policy denies.
//! * **Progress (L2).** A wake that does not lie ahead makes a driver spin, and the fault looks like load. So it is
//!   asserted in release builds too: a wrong wake stops the process that would otherwise burn. `Wait(Ready)` after
//!   [`DRAIN_BUDGET`](crate::limits::DRAIN_BUDGET) effects and inner steps lets even the simplest loop look at its
//!   sockets while a large fan-out is under way. Inner steps count, because a step that passes over subscriptions
//!   takes time too. Polling again after `Wait(At)` or `Wait(Input)` changes nothing that anybody can see but
//!   [`Stats::waits`](crate::sender::Stats::waits), which counts how often the driver came by.
//! * **Durability (L3).** See [`durability`](super::durability).
//! * **Credit (L4).** Only the driver knows how much it can carry, so it says so, as a number that stands rather than
//!   as a change: a repeated or lost change would leave the two sides in different worlds. Credit below what is in
//!   flight ends nothing; it starts nothing new.
//! * **Time (L5).** See [`time`](super::time).
//! * **Determinism (L6).** The same calls give the same bytes on every platform: there is no map with random state, no
//!   clock and no random source, and jitter is computed in integers. A failure found in a simulation is therefore a
//!   seed and a list of calls, and happens again.
//! * **Bounds (L7)** and **cost (L8).** Every queue names a limit, see [`bounds`](super::bounds). Where a command touches many deliveries (discarding
//!   what waits for a removed endpoint, say) it leaves a *chore*, of which a step does at most 32 entries, in
//!   turns with what can start. Otherwise one removal would hold up everybody's deliveries.
//! * **Fixpoint (L9).** What a fact implies appears in the drain after it, not in some later one: a driver that sleeps
//!   after a drain has lost nothing.
//! * **Terminal (L10).** After the end every call is inert, so that a driver's threads may stop in any order.
//!
//! # Where a lock stands, and why
//!
//! The core starts no thread, and one thread at a time drives a machine. But a [`Transmit`](crate::sender::Transmit)
//! becomes a request on whichever thread carries it: encoding and signing are what costs, and they would make the
//! machine's own thread the bottleneck. Three things are shared with those threads.
//!
//! * **The key ring**, under an `RwLock`. A request looks its keys up when it is built, not when the attempt was
//!   made, so that a revocation holds for every request not yet built, those included whose attempts wait in a
//!   driver's queue. Copying keys into each attempt would need no lock and would sign with revoked keys.
//! * **The encoded body**, in a `OnceLock` for each shape. An event that goes to many endpoints is encoded once, by
//!   whichever thread needs it first.
//!
//! * **Who signed**, under a `Mutex` for each attempt: the thread that builds the request notes the keys, and the machine
//!   copies them into the attempt's outcome. It looks only when the attempt is reported, for then the request is surely
//!   built; of an attempt that it ends by itself it records no keys.
//!
//! No lock is held across anything that waits, and none decides what happens next, so determinism is untouched: given who
//! signed, what the machine says does not depend on which thread was quicker.
//!
//! # The receiver
//!
//! [`Receiver`](crate::receiver::Receiver) has the same verbs and laws, with its own words. Its credit counts
//! deliveries that the application takes at once, and its one command is to close. The two machines never import each
//! other: an application that only receives has no sender in it.
