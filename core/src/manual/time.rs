//! Two clocks, and one wheel.
//!
//! # Two clocks
//!
//! A machine reads no clock; it is told the time, with every call. It is told two times, sampled together
//! ([`Now`](crate::time::Now)), because one question cannot be answered by either alone. *How long from now?* belongs
//! to the monotonic clock: a wall clock that is set back an hour must not stop retries for an hour. *What date is it?*
//! belongs to the wall clock: receivers check `webhook-timestamp` against theirs.
//!
//! So while a machine runs, everything due is due by `mono`. `wall` stamps requests and records, and is compared with
//! absolute dates where such a date was given, when an attempt starts: the expiry of its event and of the keys that
//! sign it.
//!
//! A monotonic clock that goes back is a bug of the adapter (two samples taken out of order by two threads, most
//! likely). It is held, counted and told, and never believed: a machine whose time goes back would hand out wakes in
//! the past.
//!
//! # What is written down
//!
//! A monotonic clock means nothing after a restart, and an absolute wall time is wrong whenever the clock was. So a
//! due time is written as (when it was written, how long from then): [`Due`](crate::journal::Due). At a restore, what
//! is left is `written + delay - wall`, but at least zero and at most the whole delay. A wall clock that stands far
//! back therefore delays nothing by more than was agreed, and one that was set forward while the process was down
//! makes deliveries start early by at most that step. This is the one exception to *never early*.
//!
//! How long a name is remembered, by which repeats are recognised, goes by `mono` too; a snapshot writes when the event
//! was accepted, and a restore counts its age from there by the wall clock.
//!
//! A breaker that is open, and the failures since an endpoint's last success, are kept: the first in a lazy record
//! whenever it opens or closes, the second folded from the outcomes themselves. A rate is not: it begins with nothing.
//! How old a delivery may be is counted by the wall clock from when its event was accepted, since that is all that is
//! known of it after a restart; how long a retry has waited for its endpoint, by `mono`, and after a restart from then.
//!
//! The rest that a throttled endpoint was given is not written. Each of its deliveries has its own due time, which
//! includes what the receiver asked for, and an endpoint with overdue deliveries starts slowly after a restore
//! ([`Window::ramp`](crate::retry::Window::ramp)).
//!
//! # Jitter is a pure function
//!
//! Jitter spreads deliveries that failed together. Drawn from a generator, it would depend on how often the generator
//! had been asked before, and nobody could say ahead when a delivery will be tried. Here it is computed from (seed,
//! event, endpoint, attempt) by [`jitter`](crate::retry::jitter), the seed being a store's first record. A schedule
//! can be shown before it happens, a restored machine agrees with the one that crashed, and no state is kept. It goes
//! upward only, so that no delay is shorter than agreed.
//!
//! # Why attempt deadlines lie in a wheel
//!
//! The usual structure for request time-outs is a queue for each time-out class: with few classes, the first of each
//! queue is the next to expire. Here every endpoint chooses its own time-out, so that there would be as many classes
//! as distinct choices, and nearly every attempt ends before its deadline. A queue would have to keep a dead entry
//! until its time comes, twenty seconds of dead entries at full speed, or find it in the middle.
//!
//! The [`Wheel`](crate::retry::Wheel) that retries need anyway does better. Its links lie in the entry, so an attempt
//! that ends is taken out in O(1) and leaves nothing behind; and it takes any due time, exact to a millisecond, with
//! no memory of its own for an entry. So attempts, waiting deliveries and resting endpoints all use it, each kind in a
//! wheel over its own slab.
//!
//! Due times are rounded up to the wheel's millisecond, so that nothing is early. When time jumps, many entries may
//! come due at once, and each step moves a bounded number of them between levels. A wake may be early after a removal,
//! never late, and asking in vain a few times leads to the right one.
//!
//! Payloads that could not be read are asked for again after one fixed time, and there a queue is right: all entries
//! wait equally long, and none leaves before its time. The deliveries of a [`Receiver`](crate::receiver::Receiver)
//! wait equally long too, but most end early; at most as many as its credit are in progress, and an ordered set serves.
//!
//! # Whose deadline it is
//!
//! The adapter owns an attempt's deadline, over look-up, connection, request and response: only it can close a socket.
//! The machine does not trust it, though. [`OVERDUE_GRACE`](crate::limits::OVERDUE_GRACE) after the deadline it counts
//! the attempt as timed out, plans the retry and asks for the socket to be freed. The slot of the credit stays taken
//! for as long again, or until the adapter reports: a slot that is given out while its socket still exists is how
//! limits are exceeded. A success that arrives in that time, while the delivery still waits, counts as a delivery.
//! Sending again what is known to have arrived would help nobody.
