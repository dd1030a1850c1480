//! One event, many endpoints.
//!
//! The plain design makes a row for each delivery when an event is published. An event that a million endpoints want
//! then costs a million rows before the first request is sent, the memory for all of them until the last is done, and
//! a publish that takes seconds. Nearly all of those rows say the same: *not yet*.
//!
//! # A job and a cursor
//!
//! Here an event is one job, and its deliveries are a stream. Every subscription has a number, given in ascending
//! order and never twice. The index of a tenant ([`Index`](crate::matching::Index)) yields the numbers that want a type
//! in that order, and the job remembers how far it has come. *Not yet* is everything beyond that number; it takes no
//! memory. *Done* is everything before it that is not written down elsewhere; it takes none either. What is in flight
//! is bounded by the credit.
//!
//! Only what fell out of this order has an entry: a delivery whose attempt failed and is due again, and one whose turn
//! came while its endpoint could not take it. Such an entry has 48 bytes (a test holds this) and is a link in three
//! lists at once: those of its endpoint, of its event, and of what it waits for. So it can be found from either side
//! and taken out in O(1), and no list has memory of its own. Entries are bounded by
//! [`Limits::pending`](crate::limits::Limits::pending); at the bound cursors stop, and what was accepted loses nothing
//! by it.
//!
//! # Who was subscribed
//!
//! An event goes to those who wanted it when it was published, and a fan-out may take hours. So publishing notes the
//! *high-water mark*, the next number that will be given: whoever subscribes later has a number at or above it and is
//! not seen.
//!
//! An endpoint that changes what it wants takes a new number, above all those marks, so that older events do not see
//! the new wish. They must still see the old one. The old number is *retired*, not deleted: it stays in the index with
//! what was wanted under it, and with the mark that stood when it was retired. A fan-out sees it if its own mark is
//! not later. Disabling an endpoint retires its number too, and making it active again gives it a new one: what
//! happened in between is not delivered afterwards.
//!
//! A retired number leaves the index when the oldest unfinished fan-out has a later mark than it, so that the index
//! grows with changes during a fan-out and not with the changes of a lifetime. The endpoint keeps it a little longer,
//! as long as a delivery waits that the journal names by it. An endpoint with
//! [`RETIRED`](crate::limits::RETIRED) numbers of that kind cannot be changed again until some of those are done.
//!
//! # What an event says
//!
//! Subscriptions with a content filter are not in the index of types but in one of filters, which is asked once, when an
//! event is accepted, and only where one of them is for its type. The fan-out takes the numbers that it answers into its
//! stream, where they stand in order with the others; of very many it keeps the first
//! [`MATCHED`](crate::limits::MATCHED), and asks again behind these.
//!
//! The answer is not written down. After a restart it is asked for anew, for which the payload is read back, and it is the
//! same: nothing that an event says changes, filters leave the index no sooner than their numbers, and those that came
//! later have numbers above the event's mark. So whoever wanted an event when it was accepted is sent it, by content as by
//! type, whatever becomes of the filter before its turn. An event whose payload is lost before its filters were asked
//! counts as lost for each endpoint that wants its type.
//!
//! # Marks
//!
//! The position of a fan-out is written every [`MARK_EVERY`](crate::limits::MARK_EVERY) subscriptions. A mark names the
//! number reached and the subscriptions whose first attempts are in flight at that moment. Everything else before the
//! number is done or has a record of its own. So a restored fan-out goes on behind the mark, and skips what later
//! records account for. See [`durability`](super::durability) for what a crash repeats.
//!
//! # Fairness
//!
//! Three lanes share the credit: events whose fan-out can go on, endpoints for which a first attempt waits, and
//! endpoints for which a retry waits. In each lane tenants take turns, and of a tenant its events or endpoints
//! ([`Tiers`](crate::retry::Tiers)): everybody gets one attempt and goes to the end, so that a small event published
//! after a great one waits for one attempt of it, not for all, and a tenant with much to do holds up no other. Whether a
//! first attempt goes next or a retry is for the [`Budget`](crate::retry::Budget) to say: while both wait, retries are at
//! most a fifth of what starts, so that a mass of retries does not hold up new events, nor a great fan-out retries.
//! Turns of first attempts that come to none (a subscription that nobody has, an endpoint that cannot take it) earn no
//! retry, and no retry waits for more than sixteen of them. A fan-out passes at most 32 subscriptions in one step without starting something, and does not overtake what waits
//! for an endpoint already: with deliveries waiting there, its own goes behind them.
//!
//! An endpoint carries at most its own concurrency ([`Window`](crate::retry::Window)): halved when it throttles, grown
//! by one with each success. An endpoint that never answers therefore holds so many slots of the credit and no more,
//! and each for at most its time-out and twice the grace of
//! [`time`](super::time). Its other deliveries wait in 48 bytes each, outside the lanes, and cost
//! no step until it can take one.
//!
//! A tenant that has as many attempts in flight as it may
//! ([`tenant_in_flight`](crate::limits::Limits::tenant_in_flight)) is *held*: it has no turns in any lane, and nothing of
//! it is looked at until one of its attempts has landed. An endpoint whose host and port are taken up
//! ([`host_in_flight`](crate::limits::Limits::host_in_flight)) waits in a crowd of that host, from which each attempt that
//! lands there lets one go on.
//!
//! # Left alone
//!
//! An endpoint rests while it is throttled, while its [`Breaker`](crate::retry::Breaker) is open, and until its
//! [`Gcra`](crate::retry::Gcra) allows the next attempt; one timer wakes it at the latest of the three, and nothing polls.
//! While it rests deliveries wait and spend no attempts. When the breaker's time is over, the delivery whose turn it is
//! becomes the probe; after it has succeeded, the others follow through a ramp. Whoever waited longer than the endpoint's
//! [`QueueLimit`](crate::retry::QueueLimit), or is older than its schedule allows, expires when its turn comes.
//!
//! # Payloads
//!
//! A payload is shared by all attempts of its event and encoded once for each shape. Beyond
//! [`Limits::resident`](crate::limits::Limits::resident) bytes, payloads that nobody is using leave memory.
//! They are read back when there is somebody to send them to: not when a delivery is due but when its endpoint can take
//! it, and at most 256 at once. Otherwise a thousand slow endpoints would have their payloads read again and again.
