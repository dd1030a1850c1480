//! What waits for the disk, and what a crash can repeat.
//!
//! The promise is: an event whose record is durable is delivered to everybody who wanted it, or there is a reason to
//! be read; and it may be delivered more than once, always under the same `webhook-id`. Nothing stronger can be had.
//! Between a receiver's 200 and our record of it lies a moment in which a crash loses the knowledge and not the
//! effect. So the design spends its syncs on the first half of the promise and keeps the second half small.
//!
//! # Two kinds of record
//!
//! **Gating** records hold something back until they are durable
//! ([`Record::is_gating`](crate::journal::Record::is_gating)). An accepted event is not sent before, and its producer
//! is not told; nothing starts to an endpoint whose last record is not durable; a new key signs only from then on.
//! They ask to be written at once.
//!
//! **Lazy** records hold nothing back but the notice that tells of them: outcomes, deliveries that began to wait,
//! marks, ends. They are handed out when a drain has nothing else to do, and written at once; only their sync waits for
//! company, for at most [`LINGER`](crate::limits::LINGER) or until there are
//! [`LINGER_RECORDS`](crate::limits::LINGER_RECORDS). A sync for each outcome would make the disk the limit of
//! delivery, for no gain in what can be promised. What is written survives the process: killing it repeats what was in
//! flight, and only a loss of power forgets what lingered too.
//!
//! Both share one sequence, and a gating record takes every lazy one before it along. That one order is what makes the
//! rest simple: a durable record implies all those before it.
//!
//! Silencing a key is the exception to waiting. A revoked key stops signing when the command is given, because a
//! signature with one key fewer is never wrong, and a revocation must not wait for a disk.
//!
//! # Who acknowledges a producer
//!
//! A [`Receipt`](crate::sender::Receipt) names a place in the journal and promises nothing yet. The driver completes
//! the producer's call when [`Sender::durable`](crate::sender::Sender::durable) reaches that place. This keeps waiting
//! callers out of the core, and lets one acknowledgement complete all of a batch. A repeat gets the first receipt, and
//! so shares the fate of the first.
//!
//! # What a crash repeats
//!
//! Exactly the requests whose outcomes are not durable: those in flight, and those whose outcomes lie in batches not
//! yet acknowledged. A durable outcome is never repeated, though the fan-out's position is noted only every
//! [`MARK_EVERY`](crate::limits::MARK_EVERY) subscriptions: beyond the last mark, each outcome accounts for its own
//! subscription, and the restored fan-out skips it. A mark names those that are in flight when it is made; all others
//! before it are done or have records of their own.
//!
//! Attempt numbers count outcomes, so a repeated request may carry a number that was used before.
//! [`AttemptId`](crate::id::AttemptId) names the incarnation of the store besides.
//!
//! # Restoring
//!
//! A machine is the fold of its records. Records are absolute: an endpoint's record says all that the endpoint is,
//! a mark says how far the fan-out has come. The functions that change the tables when something happens are the ones
//! that change them when its record is read, so there is no second reading of the rules that could drift. What follows
//! from the tables (indexes, timers, queues) is not folded but made once, at the end. How far fan-outs have come is
//! folded in 16 bytes each; at the end, those are finished that have nothing left to pass, those go on that had begun,
//! and those that had not sleep until their turn comes (see [`bounds`](super::bounds)).
//!
//! Events are found by their ids, and repeats by their names, in tables that are filled at once when their size is known.
//! No payload is kept: they come back when they are due.
//!
//! # How long a repeat is known
//!
//! An event that has not ended is recognised however old it is. Of one that has, the name remains (a digest of its
//! tenant and its id or idempotency key), its id, the digest of its content and its receipt, in memory and in snapshots,
//! for [`idempotency_window`](crate::limits::Limits::idempotency_window). Each tenant has
//! [`idempotency_entries`](crate::limits::Limits::idempotency_entries) of them, so that a busy one shortens its own
//! window and nobody else's; [`idempotency_total`](crate::limits::Limits::idempotency_total) bounds the memory of all.
//! What goes before its time is told ([`Notice::WindowShrunk`](crate::sender::Notice::WindowShrunk)), also at a restart
//! that finds more in the log than there is room for: then perhaps once more.
//!
//! Names are forgotten when others come, so somebody who publishes nothing is known for longer than the window; a restart
//! lets go of all that are older.
//!
//! A gap in the sequence is an error and never passed over silently: a machine that is missing a record does not know
//! what it owes. Whoever opens a damaged store to save what is left says so
//! ([`Restore::missing`](crate::sender::Restore::missing)), and has listed what is lost.
//!
//! # Snapshots are blurred, and that is sound
//!
//! A snapshot is taken while the machine runs, a bounded piece in each step, so its parts show different moments. It
//! notes the place at which it began, and restoring replays every record behind that place. Two things could go wrong.
//!
//! * *A part shows something older than another.* Then the change between the two moments has a record behind the
//!   beginning, and replaying it brings the older entry up to date.
//! * *A part shows something newer than the replay has reached.* Records are absolute, so replaying an earlier one sets
//!   an entry back and a later one brings it forward again: after the last record each entity is what its last record
//!   says. An outcome that a mark already accounts for is recognised and not counted twice.
//!
//! One danger remains: a part may show what never became durable. Therefore the last part waits until every record
//! made before it is acknowledged, and says which was the last. A restore whose log ends before that place is refused
//! ([`RestoreError::SnapshotAhead`](crate::sender::RestoreError::SnapshotAhead)).
//!
//! Payloads are not in snapshots: they would be copied again and again while a slow endpoint is waited for. They stay
//! in the accepted records, which the log keeps until it has the record of the event's end, whatever a
//! [`Watermark`](crate::sender::Watermark) lets go; a restored machine asks for them when they are due. A snapshot is due
//! after [`snapshot_every`](crate::limits::Limits::snapshot_every) bytes of records, or four times as many as the last
//! one has, whichever is more, so that the work of snapshots stays in proportion to what is recorded.
//!
//! # What the disk gives back
//!
//! Between the batches of a file and the disk stand a checksum for each record, a footer for each batch and a chain
//! over all of them; [the journal's room](crate::journal#files) has the layout. Two questions decide what a restart may
//! do, and the format is made so that both have answers.
//!
//! *Was this acknowledged?* A crash leaves any part of what was not synced, and not in order. If every unsound byte
//! were damage, a store would refuse to open after a loss of power; if none were, acknowledged events could vanish
//! without a word. Therefore a footer says how much of its file was durable when its batch was made. Unsound bytes
//! before that are damage and are reported; behind it, blank sectors are a write that did not arrive, and anything else
//! is damage too. The last sync is the only one that no later footer speaks of.
//!
//! *Was this written here?* Checksums cover the store, the file and the offset besides the bytes. A payload that looks
//! like a record, a sector that a disk put in the wrong place, and a file that was copied from another store are all
//! told from records, also where damage has broken the chain that would tell them otherwise.
//!
//! # What stays of what has ended
//!
//! The machine forgets an event with its last delivery. Its records stay in the log for as long as the log's retention
//! says, and history is answered from them; nothing that the machine does depends on them any more. When a payload has
//! gone before the rest, a [`Kept`](crate::journal::Kept) record stands in the place of the accepted one. Purging and
//! erasing are records too ([`Record::Purged`](crate::journal::Record::Purged),
//! [`Record::Erased`](crate::journal::Record::Erased)): once they are durable nothing is answered with what they name,
//! and the log drops it when it rewrites the segments that hold it.
//!
//! # When the log fails
//!
//! Every record is held until it is acknowledged. After a failed write the log seals what it had, begins a new
//! segment, and gets the same records with the same numbers again. A sync is never retried on the same file: after a
//! failed one, the system may have dropped the pages and say that all is well the next time. A second failure in a row
//! *fences*: the machine aborts what is in flight and stops, because one that goes on without a log would make
//! promises that it cannot keep.
//!
//! A full log is another matter. It is no fault, and delivering what is pending is what frees it. So
//! [`publish`](crate::sender::Sender::publish) refuses events while the room left would not hold the outcomes of all
//! that is owed, and delivering goes on.
