//! `postrider journal dump`: the records, one a line.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postrider_core::id::JournalSeq;
use postrider_core::journal::{Accepted, Kind, OutcomeRecord, Record};
use postrider_core::signing::receipt::ReceiptCheck;
use postrider_core::time::UnixTime;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::erased::Erased;
use super::files::Files;
use super::walk::{self, Entry};
use super::words;
use crate::exit::{Exit, Refusal, complain};

/// Print the records of the log, one a line, without secrets and payloads
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The journal
    #[arg(value_name = "DIR")]
    path: PathBuf,
    /// The first record
    #[arg(long, value_name = "SEQ", default_value_t = 1)]
    from: u64,
    /// The last record
    #[arg(long, value_name = "SEQ", default_value_t = u64::MAX)]
    to: u64,
    /// Payloads and answers too, not only their lengths and digests
    #[arg(long)]
    payloads: bool,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub(super) fn run(args: &Args) -> Result<Exit, Refusal> {
    let files = Files::look(&args.path)?;
    let failed = |why: io::Error| Refusal::new(format!("{}: {why}", args.path.display()));
    let mut erased = Erased::default();
    if args.payloads {
        let all = walk::log(&files, JournalSeq::ZERO, |entry| {
            if let (Kind::Purged | Kind::Erased, Some(record)) = (entry.key.kind, entry.record()) {
                erased.take(entry.key.seq, &record);
            }
        });
        all.map_err(failed)?;
    }
    let mut gone = BTreeSet::new();
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut written = Ok(());
    let walked = walk::log(&files, JournalSeq::new(args.from), |entry| {
        let wanted = (args.from..=args.to).contains(&entry.key.seq.get());
        if written.is_ok() && wanted {
            let record = entry.record();
            // Of an event that was erased, neither payload nor answers.
            if let Some(Record::Accepted(accepted)) = &record
                && erased.has(entry.key.seq, accepted)
            {
                gone.insert(entry.key.seq);
            }
            let payloads = args.payloads && entry.key.event.is_none_or(|event| !gone.contains(&event));
            written = line(&mut out, entry, record.as_ref(), payloads, args.json);
        }
    });
    let walked = walked.map_err(failed)?;
    written?;
    out.flush()?;
    for damage in &walked.damage {
        complain!("damaged: {damage}");
    }
    Ok(if walked.damage.is_empty() { Exit::Done } else { Exit::Failed })
}

fn line(
    out: &mut impl Write,
    entry: &Entry<'_>,
    record: Option<&Record>,
    payloads: bool,
    json: bool,
) -> io::Result<()> {
    let about = record.map_or(Value::Null, |record| about(record, payloads));
    let (seq, kind) = (entry.key.seq, name(entry.key.kind));
    if json {
        let mut value = json!({ "seq": seq.get(), "kind": kind, "file": entry.file, "offset": entry.offset });
        if let (Some(object), Value::Object(about)) = (value.as_object_mut(), about) {
            object.extend(about);
        }
        return writeln!(out, "{value}");
    }
    write!(out, "{seq} {kind}")?;
    if let Value::Object(about) = about {
        for (key, value) in about.iter().filter(|(_, value)| !value.is_null()) {
            match value {
                Value::String(text) => write!(out, " {key}={text}")?,
                value => write!(out, " {key}={value}")?,
            }
        }
    }
    writeln!(out)
}

/// What a record says, without its secrets.
fn about(record: &Record, payloads: bool) -> Value {
    let at = |at: &UnixTime| at.to_rfc3339();
    match record {
        Record::Genesis { .. } => json!({}),
        Record::Opened { incarnation, at: when } => json!({ "incarnation": incarnation, "at": at(when) }),
        Record::Accepted(accepted) => event(accepted, accepted.payload.len(), payloads),
        Record::Kept(kept) => event(&kept.accepted, kept.payload_len as usize, false),
        Record::Endpoint(endpoint) => words::endpoint(endpoint),
        Record::Removed { endpoint, at: when } => json!({ "endpoint": endpoint.to_string(), "at": at(when) }),
        Record::Queued { event, subscription, lane } => json!({
            "event": event.get(),
            "subscription": subscription,
            "previous": lane.map(JournalSeq::get),
        }),
        Record::Outcome(outcome) => self::outcome(outcome, payloads),
        Record::Mark(mark) => json!({ "event": mark.event.get(), "through": mark.through, "open": mark.open }),
        Record::Ended { event, at: when } | Record::Cancelled { event, at: when } => {
            json!({ "event": event.get(), "at": at(when) })
        }
        Record::Purged { tenant, at: when } => json!({ "tenant": tenant.as_str(), "at": at(when) }),
        Record::Erased { tenant, event, at: when } => {
            json!({ "tenant": tenant.as_str(), "id": event.as_str(), "at": at(when) })
        }
        Record::Synced { tenant, revision, at: when } => {
            json!({ "tenant": tenant.as_str(), "revision": revision, "at": at(when) })
        }
        Record::Consent(consent) => words::consent(consent),
        Record::KeyUse(uses) => words::key_use(uses),
        Record::Health(health) => json!({
            "endpoint": health.endpoint.to_string(),
            "through": health.through.get(),
            "failures": health.failing.map(|(_, count)| count),
            "failing_since": health.failing.map(|(first, _)| at(&first)),
            "breaker_until": health.breaker.map(|(due, _)| at(&due.written.saturating_add(due.delay))),
            "failed_probes": health.breaker.map(|(_, failed)| failed),
        }),
        // These are in snapshots only.
        Record::SnapshotBegin(_)
        | Record::Event(_)
        | Record::Pending { .. }
        | Record::Lane { .. }
        | Record::Remembered(_)
        | Record::SnapshotEnd { .. } => json!({}),
    }
}

fn event(event: &Accepted, len: usize, payloads: bool) -> Value {
    let mut value = json!({
        "id": event.id.as_str(),
        "tenant": event.tenant.as_str(),
        "type": event.event_type,
        "time": event.time.to_rfc3339(),
        "at": event.at.to_rfc3339(),
        "content_type": event.content_type,
        "key": event.key.as_deref(),
        "expires": event.expires.map(UnixTime::to_rfc3339),
        "payload_bytes": len,
    });
    if let Some(replay) = &event.replay {
        value["replay"] = json!({
            "of": replay.of.as_str(),
            "number": replay.number,
            "same_id": replay.keeps_id,
            "subscription": replay.subscription,
        });
    }
    carried(&mut value, "payload", &event.payload, payloads);
    value
}

fn outcome(outcome: &OutcomeRecord, payloads: bool) -> Value {
    let mut value = json!({
        "event": outcome.event.get(),
        "subscription": outcome.subscription,
        "attempt": outcome.attempts,
        "at": outcome.at.to_rfc3339(),
        "elapsed_ms": words::millis(outcome.elapsed),
        "status": (outcome.status != 0).then_some(outcome.status),
        "failure": words::failure(outcome).map(|failure| failure.code()),
        "then": words::then(outcome.then),
        "keys": outcome.signed.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "receipt": ReceiptCheck::from_wire(outcome.receipt).and_then(words::receipt),
        "answer_bytes": outcome.answer.as_ref().map(|answer| answer.len()),
    });
    if let Some(answer) = &outcome.answer {
        carried(&mut value, "answer", answer, payloads);
    }
    value
}

/// Bytes that somebody sent: as a text if they are one, else in base64; or only their digest.
fn carried(value: &mut Value, name: &str, bytes: &[u8], shown: bool) {
    if bytes.is_empty() {
        return;
    }
    if !shown {
        let digest = Sha256::digest(bytes);
        let digest: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        value[format!("{name}_sha256")] = digest.into();
        return;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => value[name] = text.into(),
        Err(_) => value[format!("{name}_base64")] = STANDARD.encode(bytes).into(),
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Genesis => "genesis",
        Kind::Opened => "opened",
        Kind::Accepted => "accepted",
        Kind::Endpoint => "endpoint",
        Kind::Removed => "removed",
        Kind::Queued => "queued",
        Kind::Outcome => "outcome",
        Kind::Mark => "mark",
        Kind::Ended => "ended",
        Kind::Cancelled => "cancelled",
        Kind::SnapshotBegin => "snapshot-begin",
        Kind::Event => "event",
        Kind::Pending => "pending",
        Kind::Remembered => "remembered",
        Kind::SnapshotEnd => "snapshot-end",
        Kind::Purged => "purged",
        Kind::Erased => "erased",
        Kind::Kept => "kept",
        Kind::Lane => "lane",
        Kind::Synced => "synced",
        Kind::Consent => "consent",
        Kind::KeyUse => "key-use",
        Kind::Health => "health",
    }
}
