//! # The house, and why some things stand where they do
//!
//! **What drivers share is a package of its own.** Everything that has to do with bytes is an adapter, and drivers do
//! not import each other. Still, two drivers need the same things that no runtime is needed for: the clock pair, ids
//! from the operating system, bounded look-ups, TLS settings, the idle connections, and above all the desk at which
//! callers wait for their records to become durable. Written twice they would differ in what matters most (who is told
//! when, and that nobody waits for ever), so they stand in `postrider-driver`, which knows no runtime. A driver is then
//! a loop and a transport.
//!
//! **The log is a trait with completions.** [`PersistBatch`](crate::sender::PersistBatch) goes out, a closure comes
//! back with the fact that ends it, from any thread. Files with a thread of their own, a database under a runtime and a
//! map in memory fit it alike, and a completion that is dropped counts as a failure instead of a hang.
//!
//! **A lock stands in the core.** Keys are looked up at the moment when a request is built, on whichever thread carries
//! it, so that a revoked key signs nothing that is not built yet. The ring is therefore shared, behind a
//! read-write lock that is held for the signing of one request; bodies are made once by whoever is first. Neither
//! waits for anything but another thread doing the same.
//!
//! **Attempt deadlines are in the timing wheel.** Endpoints choose their own time-outs, so there is no small number of
//! classes with a queue each; the wheel takes an attempt out in O(1) when it ends and keeps no dead entries.
//!
//! **Snapshots come by bytes, not by records.** Records differ in size by a factor of ten thousand, and what a restart
//! costs is bytes: the next snapshot is due when four times the last one's bytes have been written, and 64 MiB at
//! least.
//!
//! **Reserved names are refused as targets,** `.example` and `.test` among them, though `.example` never resolves: a
//! registration that cannot ever work is better refused when it is made.
//!
//! **The request says little of our own.** Beside the three headers of Standard Webhooks there is `postrider-attempt`.
//! Sequence numbers come with ordering by key, which gives them a meaning.
