//! What the fuzzers have found worth keeping, as plain tests: their invariants over the files of their corpora.

use std::fs;
use std::path::{Path, PathBuf};

use postrider_core::matching::filter::{Filter, FilterIndex, Flat, Language};
use postrider_core::secret::Secret;
use postrider_core::signing::{SigningKey, standard};
use postrider_core::time::UnixTime;
use postrider_testkit::{bytes, damage, laws, schemes};

/// The files of a corpus, in the order of their names.
fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).expect("every target has a corpus");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    files.sort();
    assert!(files.len() >= 10, "{} has {} files", folder.display(), files.len());
    files.into_iter().map(|path| (path.clone(), fs::read(path).expect("it can be read"))).collect()
}

#[test]
fn sender_operations() {
    for (path, data) in corpus("sender_operations") {
        let (setup, ops) = bytes::run(&data);
        laws::all(&setup, &ops).unwrap_or_else(|violation| panic!("{}: {violation:?}", path.display()));
        let half = ops.len() / 2;
        let runs = [(ops[..half].to_vec(), 1, 0), (ops[half..].to_vec(), 0, 60_000)];
        laws::crash(&setup, &runs).unwrap_or_else(|violation| panic!("{}: {violation:?}", path.display()));
    }
}

#[test]
fn journal_scan() {
    for (_, data) in corpus("journal_scan") {
        damage::scan(&data);
    }
}

/// Each file is a filter and an event, parted by a zero byte, in either language and either way round.
#[test]
fn filter() {
    let mut matched = 0;
    for (path, data) in corpus("filter") {
        let mut parts = data.splitn(2, |byte| *byte == 0);
        let (one, other) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        for (filter, event) in [(one, other), (other, one)] {
            let event = Flat::of(event).unwrap_or_default();
            let text = String::from_utf8_lossy(filter);
            for language in [Language::EventBridge, Language::CloudEvents] {
                let Ok(filter) = Filter::read(language, &text) else { continue };
                let mut index = FilterIndex::new();
                index.insert(1, &filter);
                assert_eq!(index.matches(&event) == [1], filter.matches(&event), "{}", path.display());
                matched += usize::from(filter.matches(&event));
            }
        }
    }
    assert!(matched >= 8, "most files hold a filter with an event that it wants, not only {matched}");
}

/// Each file as it is, and with every scheme and every header chosen instead of its own.
#[test]
fn verify_any() {
    for (_, data) in corpus("verify_any") {
        schemes::verify_any(&data);
        for scheme in 0..29 {
            for header in 0..5 {
                let rest = data.get(2..).unwrap_or_default();
                schemes::verify_any(&[&[scheme, header], rest].concat());
            }
        }
    }
}

/// Each file as it is, and with every scheme and every content type chosen instead of its own.
#[test]
fn decode_delivery() {
    let mut readable = 0;
    for (_, data) in corpus("decode_delivery") {
        readable += usize::from(schemes::decode_any(&data).is_some());
        for (scheme, content_type) in (0..29).flat_map(|scheme| (0..8).map(move |content_type| (scheme, content_type)))
        {
            schemes::decode_any(&[&[scheme, content_type], data.get(2..).unwrap_or_default()].concat());
        }
    }
    assert!(readable >= 8, "most files hold events that can be read, not only {readable}");
}

/// The same bytes as id, timestamp, signature and body, whole and in parts: nothing of it is ever accepted.
#[test]
fn signature_header() {
    let secret = Secret::from_bytes([7; 24]).expect("24 bytes");
    let verifier = standard::Verifier::new([&secret]).expect("one key");
    let key = SigningKey::new(&secret);
    let now = UnixTime::from_secs(1_795_246_000);
    for (path, data) in corpus("signature_header") {
        let timestamp = b"1795246000".as_slice();
        for at in 0..data.len() {
            let (one, other) = data.split_at(at);
            for (id, timestamp, signature) in [(one, timestamp, other), (b"msg_1", one, other), (other, timestamp, one)]
            {
                let headers = [(standard::ID, id), (standard::TIMESTAMP, timestamp), (standard::SIGNATURE, signature)];
                let verdict = verifier.verify(&headers[..], &data, now);
                assert!(verdict.is_err(), "{} split at {at}", path.display());
            }
        }
        let right = standard::sign([&key], "msg_1", now.as_secs(), &data).into_bytes();
        let headers =
            [(standard::ID, &b"msg_1"[..]), (standard::TIMESTAMP, timestamp), (standard::SIGNATURE, &right[..])];
        assert!(verifier.verify(&headers[..], &data, now).is_ok(), "{}", path.display());
    }
}
