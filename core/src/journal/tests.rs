//! The laws of the codec, for every kind of record.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use alloc::{format, vec};
use bytes::{Bytes, BytesMut};
use core::time::Duration;
use proptest::prelude::*;

mod strategies;

use self::strategies::{record, seq};
use super::*;
use crate::id::{EndpointKey, EventId, JournalSeq, TenantId};
use crate::secret::{KeyId, Secret};
use crate::time::UnixTime;

proptest! {
    /// What is decoded is what was encoded, and the frame is used up to its last byte.
    #[test]
    fn a_record_survives(seq in seq(), record in record()) {
        let frame = framed(seq, &record);
        let mut rest = frame.clone();
        let (seq_again, again) = decode(&mut rest).unwrap();
        prop_assert!(rest.is_empty());
        prop_assert_eq!(seq_again, seq);
        prop_assert_eq!(again.kind(), record.kind());
        // `Debug` hides keys and the values of headers; the encoding does not.
        prop_assert_eq!(format!("{again:?}"), format!("{record:?}"));
        prop_assert_eq!(framed(seq, &again), frame);
    }

    /// A key is found without the body, and says what the record says.
    #[test]
    fn a_frame_is_filed_under_what_it_is_about(seq in seq(), record in record()) {
        let frame = framed(seq, &record);
        let (event, subscription) = about(seq, &record);
        let key = RecordKey { kind: record.kind(), seq, event, subscription };
        prop_assert_eq!(peek(&frame), Ok((key, frame.len())));
    }

    /// A glance sees what the record says.
    #[test]
    fn a_glance_is_enough_for_an_index(seq in seq(), record in record()) {
        let frame = framed(seq, &record);
        prop_assert_eq!(glance(&frame), Ok((seq, Glance::of(&record))));
    }

    /// A frame that was not written to its end is torn, wherever it ends.
    #[test]
    fn every_truncation_is_torn(seq in seq(), record in record()) {
        let frame = framed(seq, &record);
        for have in 0..frame.len() {
            let mut cut = frame.slice(..have);
            let error = decode(&mut cut).unwrap_err();
            prop_assert!(error.is_torn(), "{error}");
            prop_assert_eq!(cut.len(), have, "what could not be read is left as it was");
            prop_assert_eq!(peek(&frame[..have]), Err(error));
        }
    }

    /// A damaged byte gives an error or another record, and each record has one encoding only.
    #[test]
    fn every_flipped_byte_is_survived(seq in seq(), record in record(), flip in 1u8..) {
        let frame = framed(seq, &record);
        for at in 0..frame.len() {
            let mut damaged = BytesMut::from(&frame[..]);
            damaged[at] ^= flip;
            one_encoding_only(damaged.freeze())?;
        }
    }

    #[test]
    fn arbitrary_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        one_encoding_only(bytes.into())?;
    }

    /// The same behind a sound header, so that bodies are reached.
    #[test]
    fn arbitrary_bodies_are_survived(
        kind in 1u8..=18,
        body in prop::collection::vec(prop_oneof![3 => 0u8..3, 1 => any::<u8>()], 0..400),
    ) {
        let mut bytes = vec![0; FRAME_HEAD];
        bytes[..4].copy_from_slice(&u32::try_from(FRAME_HEAD - 4 + body.len()).unwrap().to_le_bytes());
        (bytes[4], bytes[5]) = (kind, VERSION);
        bytes.extend(body);
        one_encoding_only(bytes.into())?;
    }

    /// A run of frames is read in order; what is incomplete at its end is torn, and stands where the frame begins.
    #[test]
    fn a_run_ends_at_its_end_or_is_torn(records in prop::collection::vec(record(), 1..6), cut in any::<prop::sample::Index>()) {
        let (run, starts) = run(&records);
        let mut frames = Frames::new(run.clone());
        for (n, record) in records.iter().enumerate() {
            prop_assert_eq!(frames.offset(), starts[n]);
            let (seq, again) = frames.next().unwrap().unwrap();
            prop_assert_eq!(seq, place(n));
            prop_assert_eq!(framed(seq, &again), framed(seq, record));
        }
        prop_assert!(frames.next().is_none());
        prop_assert_eq!(frames.offset(), run.len());

        let cut = cut.index(run.len());
        let whole = starts.iter().skip(1).filter(|start| **start <= cut).count();
        let mut frames = Frames::new(run.slice(..cut));
        prop_assert_eq!(frames.by_ref().take(whole).filter(Result::is_ok).count(), whole);
        let start = starts[whole];
        prop_assert_eq!(frames.offset(), start);
        match frames.next() {
            None => prop_assert_eq!(cut, start),
            Some(last) => {
                let error = last.unwrap_err();
                prop_assert!(error.is_torn(), "{error}");
                prop_assert_eq!((error.at, frames.offset()), (start, start));
                prop_assert!(frames.next().is_none(), "an error is the last item");
            }
        }
    }

    /// A batch taken apart and put together again is the batch.
    #[test]
    fn a_batch_is_its_frames(records in prop::collection::vec(record(), 0..6)) {
        let (batch, starts) = run(&records);
        let mut keyed = keyed(&batch);
        for (n, record) in records.iter().enumerate() {
            let (key, frame) = keyed.next().unwrap();
            prop_assert_eq!((key.kind, key.seq), (record.kind(), place(n)));
            prop_assert_eq!(&frame, &framed(place(n), record));
            prop_assert_eq!(frame.as_ptr(), batch[starts[n]..].as_ptr(), "frames share the batch");
        }
        prop_assert!(keyed.next().is_none());
        prop_assert!(keyed.rest().is_empty());
    }
}

#[test]
fn each_kind_has_a_number_of_its_own() {
    for kind in Kind::ALL {
        assert_eq!(Kind::from_byte(kind.byte()), Some(kind));
    }
    assert!(Kind::ALL.is_sorted_by_key(|kind| kind.byte()));
    assert_eq!((0..=255).filter_map(Kind::from_byte).count(), Kind::ALL.len());
    assert_eq!((Kind::from_byte(0), Kind::from_byte(255)), (None, None));
}

#[test]
fn what_others_wait_for_is_gating() {
    let gating: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| kind.is_gating()).collect();
    let begin = [Kind::Genesis, Kind::Opened, Kind::Accepted, Kind::Endpoint, Kind::Removed];
    let rest = [Kind::Cancelled, Kind::Purged, Kind::Erased, Kind::Synced, Kind::Consent];
    assert_eq!(gating, [begin, rest].concat());
}

/// The sizes that the room's documentation states.
#[test]
fn frequent_frames_are_small() {
    let (event, subscription, at) = (JournalSeq::new(u64::MAX), u32::MAX, UnixTime::from_millis(u64::MAX));
    let due = Due { written: at, delay: Duration::from_nanos(u64::MAX) };
    let size = |record: Record| framed(JournalSeq::new(u64::MAX), &record).len();
    let answered = |elapsed, then, receipt| {
        size(Record::Outcome(OutcomeRecord {
            event,
            subscription,
            attempts: u16::MAX,
            at,
            elapsed,
            status: u16::MAX,
            failure: (u8::MAX, u8::MAX),
            then,
            signed: vec![],
            answer: None,
            receipt,
        }))
    };
    let outcome = |elapsed, then| answered(elapsed, then, 0);
    assert_eq!(size(Record::Queued { event, subscription, lane: None }), 28);
    assert_eq!(size(Record::Queued { event, subscription, lane: Some(event) }), 36);
    assert_eq!(size(Record::Ended { event, at }), 32);
    assert_eq!(size(Record::Cancelled { event, at }), 32);
    assert_eq!(size(Record::Mark(Mark { event, through: subscription, open: vec![] })), 32);
    assert_eq!(size(Record::Mark(Mark { event, through: subscription, open: vec![1, 2] })), 40);
    assert_eq!(size(Record::Pending { event, subscription, attempts: u16::MAX, due, lane: None }), 46);

    assert_eq!(outcome(Duration::ZERO, Then::Delivered), 46);
    assert_eq!(outcome(Duration::from_millis(80), Then::Delivered), 50);
    assert_eq!(outcome(Duration::from_secs(20), Then::Delivered), 51);
    assert_eq!(outcome(Duration::from_secs(18 * 60), Then::Retry(due)), 67);
    assert_eq!(outcome(Duration::MAX, Then::Retry(due)), 70);
    assert_eq!(answered(Duration::ZERO, Then::Delivered, 3), 48, "a receipt is said only where one was asked for");
}

#[test]
fn a_payload_shares_its_frame() {
    let payload = Bytes::from(vec![7; 100_000]);
    let frame = framed(place(0), &Record::Accepted(Box::new(Accepted { payload: payload.clone(), ..plain() })));
    let Record::Accepted(accepted) = decode(&mut frame.clone()).unwrap().1 else { panic!("another kind") };
    assert_eq!(accepted.payload, payload);
    assert!(frame.as_ptr_range().contains(&accepted.payload.as_ptr()));
}

#[test]
fn a_snapshot_leaves_the_payload_out() {
    let event = |payload: &'static [u8]| {
        let accepted = Accepted { payload: Bytes::from_static(payload), ..plain() };
        framed(place(0), &Record::Event(Box::new(EventRecord { accepted, payload_len: 3, ..event_record() })))
    };
    assert_eq!(event(b"{ }"), event(b""));
}

/// Every field of the header and every rule of the body, with the place of the byte that breaks it.
#[test]
fn damage_is_told_with_its_place() {
    let queued = framed(place(0), &Record::Queued { event: place(0), subscription: 5, lane: None });
    let event = framed(place(0), &Record::Event(Box::new(event_record())));
    let outcome = framed(place(0), &Record::Outcome(outcome_record()));
    let endpoint = framed(place(0), &Record::Endpoint(Box::new(endpoint_record(b"k", b"v"))));
    let removed = framed(place(0), &Record::Removed { endpoint: EndpointKey::new("e").unwrap(), at: UnixTime::EPOCH });
    let key = find(&endpoint, &[0, 1, 0, b'k', 0]);
    let value = find(&endpoint, b"visible") + 7;
    let patterns = find(&endpoint, b"https://e") + 9;
    let told = |frame: &Bytes, at: usize, byte: u8| {
        let mut damaged = BytesMut::from(&frame[..]);
        damaged[at] = byte;
        decode(&mut damaged.freeze()).unwrap_err().to_string()
    };
    for (said, expected) in [
        (told(&queued, 0, 25), "at byte 0: the frame needs 29 bytes and has 28"),
        (told(&queued, 0, 11), "at byte 0: the frame's length is 11, at least 12 is needed"),
        (told(&queued, 0, 23), "at byte 24: field 'subscription' needs 4 bytes, the body has 3 left"),
        (told(&queued, 4, 0), "at byte 4: kind 0 is not known, those up to 25 are"),
        (told(&queued, 4, 250), "at byte 4: kind 250 is not known, those up to 25 are"),
        (told(&queued, 4, Kind::SnapshotEnd.byte()), "at byte 24: 4 bytes follow the last field, none may"),
        (told(&queued, 5, 2), "at byte 5: version 2 is not known, 1 is"),
        (told(&queued, 7, 1), "at byte 6: the reserved field is 256, it must be 0"),
        (told(&event, 32, 2), "at byte 32: flag 'passed_all' is 2, it must be 0 or 1"),
        (
            told(&event, 36, b'.'),
            "at byte 34: name 'id' has a '.' at byte 0, which would make the signed content ambiguous",
        ),
        (told(&removed, 27, 0xff), "at byte 25: field 'endpoint' must be UTF-8 and is not"),
        (
            told(&outcome, 42, 0x20),
            "at byte 42: the time taken has 2 bytes, it must have as few as it needs and at most 8",
        ),
        (
            told(&outcome, 42, 0x90),
            "at byte 42: the time taken has 9 bytes, it must have as few as it needs and at most 8",
        ),
        (told(&outcome, 42, 0x18), "at byte 42: what follows the attempt is 8, 0 to 7 are known"),
        (
            told(&endpoint, key, 3),
            &format!("at byte {key}: the form of a key is 3, 0 (plain), 1 (sealed) and 2 (a pair) are known"),
        ),
        (
            told(&endpoint, value, 3),
            &format!(
                "at byte {value}: the form of a header's value is 3, 0 (open), 1 (secret) and 2 (sealed) are known"
            ),
        ),
        (told(&endpoint, key + 1, 0), &format!("at byte {}: a key is empty, or a pair has not 64 bytes", key + 1)),
        (
            told(&endpoint, patterns + 1, 5),
            &format!("at byte {patterns}: list 'patterns' has 1281 items, at most 1024 are allowed"),
        ),
    ] {
        assert_eq!(said, expected);
    }
}

/// The lists that take most memory for their bytes, as long as the format allows and of nothing but empty items.
#[test]
fn the_worst_lists_take_no_more_than_promised() {
    let key = || KeyRecord { secret: plain_key(&[7]), expires: None };
    let empty = Some(FilterRecord { language: 0, text: String::new() });
    let record = EndpointRecord {
        patterns: vec![String::new(); 1024],
        headers: vec![HeaderRecord { name: String::new(), value: StoredValue::Open(Bytes::new()) }; 255],
        keys: (0..255).map(|_| key()).collect(),
        schedule: vec![Duration::ZERO; 65_535],
        revoked: vec![KeyId::from_bytes([1; 8]); 10_000],
        retired: vec![RetiredRecord { number: 0, at: 0, patterns: String::new(), filter: empty }; 1024],
        ..endpoint_record(b"k", b"v")
    };
    let frame = framed(place(0), &Record::Endpoint(Box::new(record)));
    one_encoding_only(frame.clone()).unwrap();
    // Counts alone, without the items: nothing is taken for them.
    for count in [find(&frame, b"https://e") + 9, find(&frame, b"https://e") + 9 + 2 + 2 * 1024 + 1] {
        let mut cut = BytesMut::from(&frame[..count + 2]);
        let len = u32::try_from(cut.len() - 4).unwrap();
        cut[..4].copy_from_slice(&len.to_le_bytes());
        let error = decode(&mut cut.freeze()).unwrap_err();
        assert!(matches!(error.why, Why::Cut { left: 0, need: 2048.., .. }), "{error}");
    }
}

/// Parts that came later stand behind an endpoint that is written as it always was, and only where they say something.
#[test]
fn parts_of_an_endpoint_stand_behind_it() {
    let with = |thin: &[&str], source: Option<&str>| {
        let thin = thin.iter().map(ToString::to_string).collect();
        let record = EndpointRecord { thin, source: source.map(Into::into), ..endpoint_record(b"k", b"v") };
        framed(place(0), &Record::Endpoint(Box::new(record)))
    };
    let before = with(&[], None);
    let tail = |frame: &Bytes| frame[before.len()..].to_vec();
    assert_eq!(tail(&with(&["/a"], None)), b"\x01\x01\x00\x02\x00/a");
    assert_eq!(tail(&with(&["/a"], Some("/s"))), b"\x01\x01\x00\x02\x00/a\x02\x02\x00/s");
    for (tail, number) in [
        (&b"\x0c"[..], 12),
        (b"\x0b\x0b", 11),
        (b"\x0b\x02\x02\x00/s", 2),
        (b"\x04\x00\x00", 4),
        (b"\x09\x00\x00", 9),
        (b"\x09\x01\x00\x00\x00\x00\x00\x00\x00\x00", 9),
        (b"\x03\x00\x00\x00\x00\x00\x02\x00\x00", 2),
        (b"\x00", 0),
        (b"\x01\x00\x00", 1),
        (b"\x02\x00\x00\x02\x00\x00", 2),
        (b"\x02\x00\x00\x01\x01\x00\x00\x00", 1),
    ] {
        let mut frame = BytesMut::from(&before[..]);
        frame.extend_from_slice(tail);
        let len = u32::try_from(frame.len() - 4).unwrap();
        frame[..4].copy_from_slice(&len.to_le_bytes());
        assert_eq!(decode(&mut frame.freeze()).unwrap_err().why, Why::Part { number }, "{tail:?}");
    }
}

/// A receipt stands behind an outcome that is written as it always was.
#[test]
fn a_receipt_stands_behind_its_outcome() {
    let with = |receipt| framed(place(0), &Record::Outcome(OutcomeRecord { receipt, ..outcome_record() }));
    let before = with(0);
    assert_eq!(with(2)[before.len()..], *b"\x01\x02");
    for (tail, number) in [(b"\x01\x00", 1), (b"\x02\x01", 2), (b"\x00\x00", 0)] {
        let mut frame = BytesMut::from(&before[..]);
        frame.extend_from_slice(tail);
        let len = u32::try_from(frame.len() - 4).unwrap();
        frame[..4].copy_from_slice(&len.to_le_bytes());
        assert_eq!(decode(&mut frame.freeze()).unwrap_err().why, Why::Part { number }, "{tail:?}");
    }
}

/// Damage in a later frame is told with its place in the run, and ends it.
#[test]
fn damage_inside_a_run_stands_where_it_is() {
    let (run, starts) = run(&[Record::SnapshotEnd { through: place(0) }, Record::SnapshotEnd { through: place(1) }]);
    let mut damaged = BytesMut::from(&run[..]);
    damaged[starts[1] + 5] = 9;
    let mut frames = Frames::new(damaged.freeze());
    assert!(frames.next().unwrap().is_ok());
    let error = frames.next().unwrap().unwrap_err();
    assert_eq!((error.at, error.why.clone()), (starts[1] + 5, Why::Version { byte: 9 }));
    assert!(!error.is_torn());
    assert_eq!(frames.offset(), starts[1]);
    assert!(frames.next().is_none());
}

#[test]
fn what_is_no_frame_stays_in_the_rest_of_a_batch() {
    let (batch, starts) = run(&[Record::SnapshotEnd { through: place(0) }, Record::SnapshotEnd { through: place(1) }]);
    let mut keyed = keyed(&batch.slice(..batch.len() - 1));
    assert_eq!(keyed.by_ref().count(), 1);
    assert_eq!(keyed.rest(), &batch[starts[1]..batch.len() - 1]);
}

#[test]
fn no_secret_is_shown() {
    let (key, value) = (b"CANARYkeyCANARYkeyCANARYkey", b"CANARYvalueCANARYvalue");
    let record = Record::Endpoint(Box::new(endpoint_record(key, value)));
    let frame = framed(place(0), &record);
    assert!(frame.windows(key.len()).any(|w| w == key), "the canaries are in the frame");
    assert!(frame.windows(value.len()).any(|w| w == value), "the canaries are in the frame");
    let mut said = format!("{record:?} {record:#?} {:?} {:?}", Frames::new(frame.clone()), keyed(&frame));
    for at in 0..frame.len() {
        for flip in [1, 0x80, 0xff] {
            let mut damaged = BytesMut::from(&frame[..]);
            damaged[at] ^= flip;
            if let Err(error) = decode(&mut damaged.freeze()) {
                said += &format!("{error} {error:?}");
            }
        }
    }
    // As text, and as the lists of numbers that `Debug` makes of bytes: `C` is 67, `A` is 65.
    for canary in ["CANARY", "ANAR", "67, 65", "67,\n"] {
        assert!(!said.contains(canary), "{canary} in {said}");
    }
    assert!(said.contains("x-shown"), "names are shown");
    assert!(!said.contains("visible"), "values are not, whether they were called secret or not");
}

/// Decodes, and checks what holds of every result: an accepted frame is encoded again byte for byte, and the record
/// takes no more memory than promised.
fn one_encoding_only(bytes: Bytes) -> Result<(), TestCaseError> {
    let mut rest = bytes.clone();
    let seen = glance(&bytes);
    match decode(&mut rest) {
        Ok((seq, record)) => {
            let used = bytes.len() - rest.len();
            prop_assert_eq!(seen, Ok((seq, Glance::of(&record))));
            prop_assert_eq!(framed(seq, &record), bytes.slice(..used));
            prop_assert!(memory(&record) <= 2 * used + DECODE_OVERHEAD, "{} from {}", memory(&record), used);
            prop_assert_eq!(peek(&bytes).map(|(_, len)| len), Ok(used));
        }
        Err(error) => {
            prop_assert!(error.at <= bytes.len(), "{error}");
            prop_assert_eq!(rest, bytes);
        }
    }
    Ok(())
}

/// Bytes that a record has taken from the allocator, without those that it shares.
fn memory(record: &Record) -> usize {
    fn list<T>(items: &Vec<T>) -> usize {
        items.capacity() * size_of::<T>()
    }
    let shared = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len() + 16);
    let accepted = |a: &Accepted| {
        size_of::<Accepted>()
            + (a.id.as_str().len() + 16)
            + (a.tenant.as_str().len() + 16)
            + a.event_type.capacity()
            + a.content_type.as_ref().map_or(0, String::capacity)
            + shared(&a.key)
            + shared(&a.idempotency)
    };
    match record {
        Record::Accepted(a) => accepted(a),
        Record::Kept(kept) => size_of::<Kept>() + accepted(&kept.accepted),
        Record::Outcome(o) => list(&o.signed) + o.answer.as_ref().map_or(0, Bytes::len),
        Record::Event(e) => size_of::<EventRecord>() + list(&e.mark.open) + accepted(&e.accepted),
        Record::Mark(mark) => list(&mark.open),
        Record::Endpoint(e) => {
            size_of::<EndpointRecord>()
                + e.url.capacity()
                + list(&e.patterns)
                + e.patterns.iter().map(String::capacity).sum::<usize>()
                + list(&e.schedule)
                + list(&e.headers)
                + e.headers.iter().map(|header| header.name.capacity() + value_len(&header.value)).sum::<usize>()
                + list(&e.keys)
                + e.keys.iter().map(|key| key_len(&key.secret)).sum::<usize>()
                + list(&e.revoked)
                + list(&e.retired)
                + e.retired.iter().map(|retired| retired.patterns.capacity()).sum::<usize>()
                + list(&e.thin)
                + e.thin.iter().map(String::capacity).sum::<usize>()
                + e.source.as_ref().map_or(0, String::capacity)
                + e.pacing.as_ref().map_or(0, |_| size_of::<PacingRecord>())
        }
        Record::Remembered(r) => {
            size_of::<Remembered>() + 64 + r.id.as_str().len() + r.tenant.as_ref().map_or(0, |id| id.as_str().len())
        }
        Record::Pending { lane, .. } => lane.as_ref().map_or(0, |lane| lane.key.len() + 16),
        Record::Lane { endpoint, key, .. } => {
            endpoint.tenant.as_str().len() + endpoint.id.as_str().len() + key.len() + 48
        }
        Record::Consent(consent) => size_of::<ConsentRecord>() + list(&consent.tokens),
        Record::KeyUse(uses) => size_of::<KeyUseRecord>() + list(&uses.keys),
        Record::Health(health) => {
            let EndpointKey { tenant, id } = &health.endpoint;
            size_of::<HealthRecord>() + 32 + tenant.as_str().len() + id.as_str().len()
        }
        Record::Genesis { .. }
        | Record::Synced { .. }
        | Record::Opened { .. }
        | Record::Removed { .. }
        | Record::Queued { .. }
        | Record::Purged { .. }
        | Record::Erased { .. }
        | Record::Ended { .. }
        | Record::Cancelled { .. }
        | Record::SnapshotBegin(_)
        | Record::SnapshotEnd { .. } => 0,
    }
}

fn value_len(value: &StoredValue) -> usize {
    match value {
        StoredValue::Open(bytes) | StoredValue::Sealed(bytes) => bytes.len(),
        StoredValue::Secret { value, sealed } => value.len() + sealed.as_ref().map_or(0, Bytes::len),
    }
}

fn key_len(key: &StoredKey) -> usize {
    match key {
        StoredKey::Plain(secret) => secret.expose().len(),
        StoredKey::Sealed { bytes, .. } => bytes.len(),
    }
}

/// What a record is about, by its fields.
fn about(seq: JournalSeq, record: &Record) -> (Option<JournalSeq>, Option<u32>) {
    match record {
        Record::Accepted(_) | Record::Kept(_) => (Some(seq), None),
        Record::Queued { event, subscription, .. } | Record::Pending { event, subscription, .. } => {
            (Some(*event), Some(*subscription))
        }
        Record::Outcome(outcome) => (Some(outcome.event), Some(outcome.subscription)),
        Record::Mark(mark) => (Some(mark.event), None),
        Record::Ended { event, .. } | Record::Cancelled { event, .. } => (Some(*event), None),
        Record::Event(event) => (Some(event.mark.event), None),
        Record::Remembered(remembered) => (Some(remembered.event), None),
        Record::Purged { .. }
        | Record::Erased { .. }
        | Record::Lane { .. }
        | Record::Genesis { .. }
        | Record::Opened { .. }
        | Record::Endpoint(_)
        | Record::Removed { .. }
        | Record::SnapshotBegin(_)
        | Record::Health(_)
        | Record::SnapshotEnd { .. }
        | Record::Synced { .. }
        | Record::Consent(_)
        | Record::KeyUse(_) => (None, None),
    }
}

fn framed(seq: JournalSeq, record: &Record) -> Bytes {
    let mut out = BytesMut::new();
    encode(seq, record, &mut out);
    out.freeze()
}

/// The records one after the other, and where each begins; after them, where they end.
fn run(records: &[Record]) -> (Bytes, Vec<usize>) {
    let mut out = BytesMut::new();
    let mut starts = vec![0];
    for (n, record) in records.iter().enumerate() {
        encode(place(n), record, &mut out);
        starts.push(out.len());
    }
    (out.freeze(), starts)
}

fn place(n: usize) -> JournalSeq {
    JournalSeq::new(n as u64 + 1)
}

fn find(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).position(|window| window == part).unwrap()
}

fn plain() -> Accepted {
    Accepted {
        id: EventId::new("id").unwrap(),
        tenant: TenantId::default(),
        event_type: "order.paid".into(),
        time: UnixTime::EPOCH,
        content_type: None,
        payload: Bytes::new(),
        key: None,
        idempotency: None,
        expires: None,
        digest: [0; 16],
        high_water: 0,
        at: UnixTime::EPOCH,
        replay: None,
    }
}

fn event_record() -> EventRecord {
    EventRecord {
        mark: Mark::default(),
        passed_all: false,
        cancelled: false,
        accepted: plain(),
        payload_len: 0,
        done: Vec::new(),
    }
}

fn outcome_record() -> OutcomeRecord {
    OutcomeRecord {
        event: place(0),
        subscription: 1,
        attempts: 1,
        at: UnixTime::EPOCH,
        elapsed: Duration::from_nanos(1),
        status: 200,
        failure: (0, 0),
        then: Then::Retry(Due::default()),
        signed: vec![KeyId::from_bytes([1; 8])],
        answer: None,
        receipt: 0,
    }
}

fn plain_key(key: &[u8]) -> StoredKey {
    StoredKey::Plain(Secret::from_bytes_any_size(key).unwrap())
}

fn endpoint_record(key: &[u8], value: &'static [u8]) -> EndpointRecord {
    EndpointRecord {
        key: EndpointKey::new("e").unwrap(),
        url: "https://e".into(),
        patterns: vec!["order.*".into()],
        encoding: 0,
        schedule: vec![Duration::ZERO, Duration::from_secs(5)],
        timeout: Duration::from_secs(20),
        concurrency: 8,
        headers: vec![
            HeaderRecord { name: "x-shown".into(), value: StoredValue::Open(Bytes::from_static(b"visible")) },
            HeaderRecord {
                name: "x-hidden".into(),
                value: StoredValue::Secret { value: Bytes::from_static(value), sealed: None },
            },
        ],
        keep_answers: true,
        keys: vec![KeyRecord { secret: plain_key(key), expires: None }],
        revoked: vec![],
        state: StateRecord { code: 0, since: UnixTime::EPOCH },
        subscription: Some(1),
        retired: vec![],
        at: UnixTime::EPOCH,
        thin: Vec::new(),
        source: None,
        order: 0,
        cause: None,
        consent: None,
        max_age: None,
        pacing: None,
        filter: None,
        sign: Vec::new(),
        receipts: false,
    }
}
