//! Who may be hostile, and what stands against it.
//!
//! A webhook sender makes requests to addresses that strangers choose, from inside a network that trusts it. A webhook
//! receiver runs an application at the word of whoever can reach its port. Both are worth attacking. This page lists
//! the defences that exist in the core, each with the module that holds it. What an adapter must add stands last.
//!
//! # Boundaries
//!
//! * **Endpoint owners** choose URLs, headers, names and their addresses, and answers.
//! * **The path** between the two may read, hold back, repeat and change what is not encrypted.
//! * **Producers** are half trusted: they hold credentials, and their payloads come from their own users.
//! * **The receiver's outside** is everybody.
//! * **Readers of logs** may see what operators print, and should find no secret there.
//! * **The disk** may return other bytes than it was given.
//!
//! Out of scope: whoever controls the process or its memory, broken cryptography, and an application that processes
//! what the receiver did not deliver.
//!
//! # Where requests go
//!
//! * *A URL that reads differently to two parsers, or hides its host.* One canonical form, made when it is registered;
//!   user information, backslashes, control characters and unusual spellings of addresses are refused:
//!   [`Target`](crate::registration::Target).
//! * *A name that leads into the private network, at once or later (rebinding).* The policy is asked about the very
//!   socket address that is about to be dialled, for each attempt. It stands there because any earlier check is about
//!   another look-up than the one that counts. A [`Transmit`](crate::sender::Transmit) cannot be sent;
//!   [`clear`](crate::sender::Transmit::clear) takes the address and returns the only thing that can. Two compile-fail
//!   tests hold this. Transports that dial by themselves say so by name
//!   ([`clear_by`](crate::sender::Transmit::clear_by)).
//! * *A private address in public clothes.* IANA's special-purpose registries are one `match`, and IPv6 addresses with
//!   an IPv4 address within are refused whatever is allowed: [`Policy`](crate::registration::Policy).
//! * *A redirect to somewhere else.* Never followed; 3xx is a failed attempt:
//!   [`verdict`](crate::response::verdict).
//! * *Headers that change how a request is framed, routed or signed.* Their names are reserved and their values
//!   cannot end a line: [`CustomHeaders`](crate::registration::CustomHeaders).
//!
//! # What comes back
//!
//! * *Endless heads and bodies.* [`Caps`](crate::sender::Caps) travel with each attempt; a status decides, and a body
//!   that drips or goes on afterwards changes only whether the connection is used again.
//! * *Compressed bombs.* `accept-encoding: identity` is sent, and nothing is decompressed.
//! * *A `Retry-After` of a thousand years.* Honoured up to [`RETRY_AFTER_CAP`](crate::limits::RETRY_AFTER_CAP), and
//!   told: [`Hint`](crate::response::Hint).
//! * *An endpoint that holds every slot.* Its own concurrency, its own deadline, and rings in which all get a turn:
//!   [`fanout`](super::fanout).
//! * *An adapter, or a peer through it, that never reports.* The machine ends the attempt by itself:
//!   [`time`](super::time).
//!
//! # What a receipt proves
//!
//! A status of success shows that something answered: a proxy, a parked host and a page for everything do too. A receiver
//! that gives [receipts](crate::signing::receipt) shows more, to the sender alone: whoever answered holds the key, had the
//! whole body byte for byte, and said that this event was processed or stored. Nobody in between can make one for an event
//! that the receiver has not taken.
//!
//! It proves no more than that. Both sides hold the key, so a receipt convinces no third party: the sender could have made
//! it himself. It names neither time nor attempt: an event that is sent again has the same receipt, and somebody between
//! the two who has seen it can give it again, which is still true of the event but tells nothing about the attempt, nor
//! whether a replay under the old id was processed another time. It says what the receiver says; what its application did
//! with the event nobody signs. It cannot be given for a `v1a` signature, since the receiver has the public half alone.
//! And its absence proves nothing: it is a header, which whoever is in between can take away, and it changes no verdict.
//!
//! # What producers send
//!
//! * *Too much.* [`Limits`](crate::limits::Limits) bound payloads, events, waiting deliveries and memory; beyond them
//!   [`publish`](crate::sender::Sender::publish) gives the event back.
//! * *Another content under a used id.* Refused as a conflict, by digest.
//! * *An id with a dot*, by which one signature would fit two messages. Refused: [`EventId`](crate::id::EventId).
//!
//! # What receivers accept
//!
//! * *Forged and altered requests.* Signatures are compared in constant time against every key, over the bytes as they
//!   came: [`Verifier`](crate::signing::standard::Verifier). Keys come from the verifier and never from the request.
//! * *A header given twice, read differently by two programs.* Refused.
//! * *Old requests sent again.* The timestamp is signed and must be near. Within that time and for the window after,
//!   the id, which is signed too, is recognised: [`receiver`](crate::receiver). What a machine remembers ends with its
//!   process, and its window may shrink under load, with a notice. An application whose effects must not happen twice
//!   keeps the id in the transaction of the effect. Some providers sign no time and no id: what was signed is then
//!   recognised by its digest, under whatever id it comes
//!   ([`Delivery::dedup_key`](crate::receiver::Delivery::dedup_key)).
//! * *An address that somebody else names.* Where a scheme signs the URL it is put together from the configuration, and
//!   only without one from the request: [`PublicUrl`](crate::receiver::PublicUrl).
//! * *A captured request that is made to look like a replay.* Off by default. Where replays are accepted, the header that
//!   marks one is not signed, so a marked request must have been signed later than everything that came under its id:
//!   [`ReceiverConfig::replays`](crate::receiver::ReceiverConfig::replays).
//! * *A body of a terabyte.* Refused at its declared length, or cut by the adapter at the cap that it was given.
//! * *Probing for keys, times or formats.* One text for every failure, and the status tells malformed from not trusted
//!   and no more; what exactly was wrong is in a notice.
//! * *Taking all the application's room without a key.* Credit is taken only by what is verified. Exchanges not yet
//!   verified are bounded in number and size, and the time of each is the adapter's to bound.
//!
//! # What leaks
//!
//! * Secrets have no `Display`, a dull `Debug`, and are overwritten when dropped: [`Secret`](crate::secret::Secret).
//!   Keys are named by [`KeyId`](crate::secret::KeyId), a fingerprint.
//! * Machines, deliveries and facts of the receiver print neither payloads nor header values; targets print no values
//!   of their query.
//! * The journal holds signing keys plain today. A byte in front of each tells its form and is kept for sealed ones.
//!   Until then a log and its snapshots are as secret as the keys: [`journal`](crate::journal).
//!
//! # What the disk returns
//!
//! * Decoding is total: arbitrary bytes give records or an error, and bounded memory:
//!   [`decode`](crate::journal::decode).
//! * A gap in the sequence, or a snapshot that is ahead of its log, makes no machine:
//!   [`RestoreError`](crate::sender::RestoreError).
//! * A payload that cannot be read ends its deliveries as lost, with a notice each, and nothing else.
//!
//! # What is left to adapters
//!
//! TLS and the check of certificates; the deadline over look-up and connection; ending a request whose body does not
//! come; checksums around the journal's frames; dialling the address that was cleared, and not the name again; closing a
//! connection after a response of which two readers could find the end at different places.
