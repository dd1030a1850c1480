//! What each container holds at most (law L7).
//!
//! Memory is a function of [`Limits`](crate::limits::Limits) and of the number of endpoints. *E*, *D*, *N* and *R* stand
//! for its `events`, `pending`, `endpoints` and `reports`, *I* for its `idempotency_total`, *C* for the largest credit
//! given. Everything else is a constant of [`limits`](crate::limits). Nothing on this page depends on how long a machine
//! runs, on how many names an application passes, or on how long its log or its receivers are silent.
//!
//! # The sender
//!
//! | container | at most | what bounds it |
//! | --- | --- | --- |
//! | endpoints | N | [`put`](crate::sender::Sender::put) refuses beyond it; a removed one counts until its last attempt has landed |
//! | their names | N | one for each that is not removed |
//! | keys of an endpoint | 10, and 64 revoked | [`RING_KEYS`](crate::limits::RING_KEYS) |
//! | earlier subscriptions of an endpoint | 1,024 | [`RETIRED`](crate::limits::RETIRED): a change is refused; gone with the endpoint |
//! | subscription numbers, and retired ones in an index | 1,025 N | one for each subscription, live or earlier, of an endpoint that is not removed |
//! | index of a tenant | 4 to 8 bytes a pattern of each such subscription | its slots stay as many as they were at the peak, until the tenant goes |
//! | filters of a tenant | one for each subscription with one, as read and for its types | as long as the subscription is in the index; see [`FilterIndex`](crate::matching::filter::FilterIndex) |
//! | keys of an endpoint made ready | 10 for each of at most 8 dialects | [`RING_KEYS`](crate::limits::RING_KEYS), [`DIALECTS`](crate::limits::DIALECTS) |
//! | tenants | N + E + R + I | counted by their endpoints, events, reports and names that are remembered; the last takes the tenant along; a refusal makes none |
//! | events, by id, by place, unfinished | E | [`publish`](crate::sender::Sender::publish) refuses beyond it |
//! | events that sleep, after a restart | E | one for each whose fan-out has not begun; 24 bytes, given back when the last has woken or was cancelled |
//! | ordering keys of events whose fan-outs go on, by event and by key | E each | one for each event with a key, where an endpoint of its tenant has lanes |
//! | deliveries in lanes | D | 24 bytes each, and 8 by which it is found, besides the delivery; none for an endpoint without an ordering |
//! | lanes | D + C + 1,000,000 | those in which something stands, and [`LANES`](crate::limits::LANES) that are remembered, with their keys; the oldest of these are forgotten first |
//! | subscriptions with a filter that a fan-out knows ahead, of an event | 1,024 | [`MATCHED`](crate::limits::MATCHED): behind them the filters are asked again |
//! | ended deliveries told one by one, of an event | 64 | [`REPORT_ENTRIES`](crate::limits::REPORT_ENTRIES); the others are counted |
//! | subscriptions to skip, of an event | 4,096 + C | what one mark and the next have between them, after a restart |
//! | deliveries that wait, with attempts in flight | D | fan-outs stop at it |
//! | attempts | C | the credit; those that ask for consent are among them |
//! | consent of an endpoint's owner | one for each endpoint that asks, some 400 bytes and 7 callbacks by their digests | a new round takes those of the one before along |
//! | asks that may leave | 7 for each endpoint that asks | [`ASK_DELAYS`](crate::registration::consent::ASK_DELAYS); one that nobody waits for any more goes when it is its turn |
//! | what answers say of keys | 10 keys for each endpoint whose answers name some | [`RING_KEYS`](crate::limits::RING_KEYS); the key named longest ago goes for another |
//! | revisions of lists | one for each tenant that a list was applied to, which stays | [`sync`](crate::sender::Sender::sync) |
//! | charges of events | E, where a tenant's deliveries or payloads are limited | [`Quotas`](crate::registration::quota::Quotas); 24 bytes |
//! | timers | none of their own | links in attempts, deliveries and endpoints |
//! | lanes of what can go on, crowds that wait for payloads or hosts | none of their own | links in events, endpoints and tenants, which leave them when they end |
//! | hosts and ports, where attempts to them are bounded | N + C | counted by the endpoints and attempts that name them |
//! | payloads in memory | `resident` bytes | beyond it, those not durable yet, in flight, or just read back (256 at most); each for [`RESIDENT_FOR`](crate::limits::RESIDENT_FOR) after its last use |
//! | encoded bodies of a payload in memory | one for each shape that is used, 9 at most | as large as the payload, or 4/3 of it where CloudEvents take it as base64; as XML up to 14 times, as a form up to 16 times and 1 MiB; see [`SHARED_BODIES`](crate::limits::SHARED_BODIES) and [`FORM_EXPANSION`](crate::limits::FORM_EXPANSION) |
//! | payloads asked for | 256 | the others wait in the crowd |
//! | payloads that could not be read, for a minute | E | one for each event, which takes it along when it ends |
//! | records not acknowledged | 2 `unwritten` bytes, and what was begun | see below |
//! | effects that wait for a record | one for each gating record among those | [`Record::is_gating`](crate::journal::Record::is_gating) |
//! | batches handed to the log | 8 gating, 1,024 lazy | [`UNACKED_BATCHES`](crate::limits::UNACKED_BATCHES), [`LAZY_BATCHES`](crate::limits::LAZY_BATCHES) |
//! | aborts to hand out | C | one for each attempt in flight |
//! | chores | 2 N + 2 E, one for each lane in which something stands, and two for each purge that is not through | one for each endpoint that ends, for what waits for it, for each cancelled event, and for each payload that came or is lost |
//! | notices | 1,024 | [`NOTICES`](crate::limits::NOTICES); the others are counted |
//! | repeats | I, and one publish more; of a tenant `idempotency_entries` | a tenant's oldest are forgotten first, then the oldest of all, four names with each publish, in which two come at most; [`Notice::WindowShrunk`](crate::sender::Notice::WindowShrunk) says whose |
//! | reports | R | the oldest go first |
//! | snapshot being written | 1 MiB | [`SNAPSHOT_PART`](crate::limits::SNAPSHOT_PART); one record may be larger |
//!
//! # An event that waits
//!
//! An event whose deliveries all wait, and whose payload is away, takes 64 bytes, its id in a place of a multiple of 8
//! bytes, and 8 bytes by which it is found; each delivery 48. What sending it needs besides (its type, its time, its
//! payload) comes back with its accepted record, in some 300 bytes and the payload, which it keeps until all its deliveries
//! wait again and the payload has gone. So a delivery of an event of its own takes 152 bytes with an id of 26; of a
//! million such, restored from a snapshot or from the log, the machine holds 159 bytes each, what its tables have spare
//! included. Being recognised as a repeat takes some 150 bytes besides, by the growth of the process. (`cargo bench -p
//! postrider-benches --bench memory`, and the same with `-- --window`: what it calls counted is the allocator's count; the
//! rest is the growth of the process, in which what the restore needed and gave back may still be.)
//!
//! After a restart, an event for which nothing had been done needs no more than one whose deliveries wait: its fan-out
//! sleeps in 24 bytes, in the order in which events were accepted. Sleepers wake while fewer than 64 events go round,
//! and one in 16 turns however many do, so that neither old events nor new ones wait for the others to be through.
//!
//! Tables whose entries are named by numbers (endpoints, events, deliveries, attempts, tenants, names) keep the memory of
//! their peak: a place is used again and not given back. A [`Restore`](crate::sender::Restore) holds besides, until it is
//! finished, 16 bytes for each event, 24 for each delivery, the tables by which it finds both, and each name by which a
//! repeat may be recognised; and it forgets only then what there is no room for.
//!
//! # When the log is silent
//!
//! Every record is held until the log acknowledges it, so a log that is full or slow would let them pile up. Three rules
//! stop that. At [`unwritten`](crate::limits::Limits::unwritten) bytes events are refused
//! ([`Overloaded`](crate::sender::Refused::Overloaded)). At twice as many, commands on endpoints and events are refused
//! too, nothing starts, and chores rest. What comes after that was begun before: the outcomes of attempts in flight, and
//! the ends of events. [`close`](crate::sender::Sender::close) is never refused.
//!
//! Between the two bounds deliveries go on, because a full log is no reason not to deliver, and operators may still
//! remove what they want to be rid of.
