//! Senders that write to a directory: closed, killed, opened again, opened twice, sealed.

use std::fs;
use std::io::{BufRead as _, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Program, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use postrider_core::id::{EndpointKey, EventId, TenantId};
use postrider_core::secret::Secret;
use postrider_core::sender::{Because, Fate};
use postrider_driver::{Opening, questions};
use postrider_journal::history::End;
use postrider_journal::seal::{SealError, Vault};
use postrider_journal::store::OpenError;

use super::{Peer, SOON, request};
use crate::{Builder, Endpoint, Error, Event, Policy, Sender, SettledError};

fn builder() -> Builder {
    Sender::builder().policy(Policy::development()).takeover(Duration::from_millis(300))
}

fn event(id: impl AsRef<str>) -> Event {
    Event::json("order.paid", &serde_json::json!({ "id": 1001 })).unwrap().id(id)
}

fn id(name: impl AsRef<str>) -> EventId {
    EventId::new(name).unwrap()
}

fn nobody() -> TenantId {
    TenantId::default()
}

/// Tries again after 50 ms, three times.
fn patient(url: String) -> Endpoint {
    Endpoint::new("acme", url).schedule([0, 50, 50, 50].map(Duration::from_millis)).keep_answers(true)
}

/// A peer that answers 200 while it is open and closes the connection while it is not; it counts what it took by id.
struct Shop {
    peer: Peer,
    open: Arc<AtomicBool>,
    taken: Arc<Mutex<Vec<String>>>,
}

impl Shop {
    fn new(open: bool) -> Self {
        let (open, taken) = (Arc::new(AtomicBool::new(open)), Arc::<Mutex<Vec<String>>>::default());
        let (is_open, took) = (Arc::clone(&open), Arc::clone(&taken));
        let peer = Peer::new(move |mut stream| {
            while let Some(request) = request(&mut stream).filter(|_| is_open.load(Ordering::SeqCst)) {
                let id = request.headers["webhook-id"].to_str().unwrap().to_owned();
                took.lock().unwrap_or_else(PoisonError::into_inner).push(id);
                if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nthanks").is_err() {
                    return;
                }
            }
        });
        Self { peer, open, taken }
    }

    fn taken(&self) -> Vec<String> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone();
        taken.sort();
        taken
    }
}

#[test]
fn a_sender_goes_on_where_it_was_closed() {
    let (dir, shop) = (tempfile::tempdir().unwrap(), Shop::new(true));
    let sender = builder().open(dir.path().join("made/for/it")).unwrap();
    let acme = sender.put(patient(shop.peer.url())).unwrap();
    let first = sender.publish(event("done")).unwrap();
    assert_eq!(first.to_string(), format!("accepted done, on disk at {}, 1 endpoint", first.seq()));
    let before = sender.settled_within(&id("done"), SOON).unwrap();
    assert_eq!(before.tally.delivered, 1, "{before}");
    shop.open.store(false, Ordering::SeqCst);
    sender.pause(&EndpointKey::new("acme").unwrap()).unwrap();
    let held: Vec<_> = sender.publish_all((0..100).map(|n| event(format!("held-{n:02}"))));
    let held: Vec<_> = held.into_iter().map(Result::unwrap).collect();
    sender.close(SOON).unwrap();

    shop.open.store(true, Ordering::SeqCst);
    let sender = builder().open(dir.path().join("made/for/it")).unwrap();
    let again = sender.put(patient(shop.peer.url())).unwrap();
    assert!(again.created().is_none() && !again.change().changed, "{acme:?} {again:?}");
    for receipt in held.iter().chain([&first]) {
        let repeat = sender.publish(event(receipt.event().as_str())).unwrap();
        assert_eq!((repeat.seq(), repeat.is_fresh()), (receipt.seq(), false));
    }
    sender.resume(&EndpointKey::new("acme").unwrap()).unwrap();
    for receipt in &held {
        let report = sender.settled_within(receipt.event(), SOON).unwrap();
        assert_eq!(report.deliveries[0].fate, Fate::Delivered, "{report}");
    }
    assert_eq!(shop.taken().len(), 101, "each arrived once");
    sender.close(SOON).unwrap();
}

#[test]
fn what_has_ended_is_read_after_a_restart() {
    let (dir, shop) = (tempfile::tempdir().unwrap(), Shop::new(true));
    let sender = builder().open(dir.path()).unwrap();
    sender.put(patient(shop.peer.url())).unwrap();
    sender.publish(event("good")).unwrap();
    let good = sender.settled_within(&id("good"), SOON).unwrap();
    shop.open.store(false, Ordering::SeqCst);
    sender.publish(event("bad")).unwrap();
    let bad = sender.settled_within(&id("bad"), SOON).unwrap();
    assert_eq!((good.tally.delivered, bad.tally.exhausted, bad.tally.attempts), (1, 1, 4), "{good} {bad}");
    sender.close(SOON).unwrap();

    let sender = builder().open(dir.path()).unwrap();
    for report in [&good, &bad] {
        let read = sender.report(&nobody(), &report.event).unwrap().unwrap();
        assert_eq!((read.settled, read.tally, read.accepted), (true, report.tally, report.accepted), "{read}");
        assert_eq!(sender.settled(&report.event).unwrap(), read);
        assert_eq!(read.deliveries[0].fate, report.deliveries[0].fate);
    }
    assert_eq!(sender.settled(&id("unknown")), Err(SettledError::Unknown(id("unknown"))));
    assert_eq!(sender.report(&nobody(), &id("unknown")).unwrap(), None);

    let whole = sender.event_history(&id("good")).unwrap().unwrap();
    assert_eq!((whole.event.as_str(), whole.attempts.len()), ("good", 1));
    assert_eq!(whole.payload.as_deref(), Some(&br#"{"id":1001}"#[..]));
    assert_eq!((whole.attempts[0].status, whole.attempts[0].answer.as_deref()), (Some(200), Some(&b"thanks"[..])));
    let acme = EndpointKey::new("acme").unwrap();
    let page = sender.history(questions::deliveries(&acme).page(None, 1)).unwrap();
    assert_eq!(page.items[0].event, Some(id("bad")), "the newest comes first");
    let page = sender.history(questions::deliveries(&acme).page(page.next, 1)).unwrap();
    assert_eq!((page.items[0].event.clone(), page.next), (Some(id("good")), None));
    let delivered = sender.history(questions::deliveries(&acme).ended([End::Delivered])).unwrap();
    assert_eq!(delivered.items.len(), 1);
    let dead = sender.history(questions::exhausted(&nobody())).unwrap();
    assert_eq!((dead.items.len(), dead.items[0].attempts), (1, 4));
    let counts = sender.history(questions::counts()).unwrap();
    assert_eq!((counts.ended[End::Delivered as usize], counts.ended[End::Exhausted as usize]), (1, 1));
    sender.close(SOON).unwrap();
}

#[test]
fn a_delivery_is_explained_with_every_past_attempt() {
    let (dir, shop) = (tempfile::tempdir().unwrap(), Shop::new(false));
    let sender = builder().open(dir.path()).unwrap();
    let acme = EndpointKey::new("acme").unwrap();
    let delays = [0, 1, 3_600_000].map(Duration::from_millis);
    sender.put(Endpoint::new("acme", shop.peer.url()).schedule(delays)).unwrap();
    sender.publish(event("e")).unwrap();
    let begun = Instant::now();
    let story = loop {
        let story = sender.explain_delivery(&acme, &id("e")).unwrap().expect("it is known");
        if story.now.as_ref().is_some_and(|now| now.attempts == 2) {
            break story;
        }
        assert!(begun.elapsed() < SOON, "{story}");
        thread::sleep(Duration::from_millis(5));
    };
    let now = story.now.clone().unwrap();
    assert!(story.is_kept && now.next.is_some() && now.because == Because::Schedule { failed: 2 }, "{story}");
    assert_eq!(story.attempts.iter().map(|made| made.number).collect::<Vec<_>>(), [1, 2], "{story}");
    let text = story.to_string();
    for part in ["acme: attempt 1, ", "acme: attempt 2, ", "retry, ", "next: not before ", "what would change it: "] {
        assert!(text.contains(part), "{text}");
    }
    sender.close(SOON).unwrap();

    // Another process knows all of it, and of what has ended too.
    let sender = builder().open(dir.path()).unwrap();
    let again = sender.explain_delivery(&acme, &id("e")).unwrap().unwrap();
    assert_eq!((&again.attempts, again.now.as_ref().unwrap().attempts), (&story.attempts, 2));
    sender.cancel(&nobody(), &id("e")).unwrap();
    assert!(sender.settled_within(&id("e"), SOON).unwrap().settled);
    let ended = sender.explain_delivery(&acme, &id("e")).unwrap().unwrap();
    assert_eq!((ended.fate, ended.attempts.len()), (Fate::Discarded, 3), "{ended}");
    assert!(ended.attempts[2].status.is_none() && ended.attempts[2].failure.is_none(), "{ended}");
    assert_eq!(sender.explain_delivery(&acme, &id("unknown")).unwrap(), None);
    sender.close(SOON).unwrap();
}

#[test]
fn a_report_tells_of_what_ended_before_a_restart() {
    let (dir, shop, closed) = (tempfile::tempdir().unwrap(), Shop::new(true), Shop::new(true));
    let sender = builder().open(dir.path()).unwrap();
    sender.put(patient(shop.peer.url())).unwrap();
    let slow = Endpoint::new("slow", closed.peer.url());
    let slow_key = EndpointKey::new("slow").unwrap();
    sender.put(slow).unwrap();
    sender.pause(&slow_key).unwrap();
    sender.publish(event("both")).unwrap();
    let half = sender.settled_within(&id("both"), Duration::from_millis(200)).unwrap();
    assert_eq!((half.settled, half.tally.delivered), (false, 1), "{half}");
    sender.close(SOON).unwrap();

    let sender = builder().open(dir.path()).unwrap();
    let waiting = sender.clone();
    let waiter = thread::spawn(move || waiting.settled(&id("both")).unwrap());
    sender.resume(&slow_key).unwrap();
    let report = waiter.join().unwrap();
    let mut told: Vec<_> = report.deliveries.iter().map(|one| one.endpoint.as_str()).collect();
    told.sort_unstable();
    assert_eq!((report.tally.delivered, report.tally.attempts, told), (2, 2, vec!["acme", "slow"]));
    assert_eq!(sender.report(&nobody(), &id("both")).unwrap(), Some(report));
}

#[test]
fn what_is_erased_and_purged_is_gone_for_whoever_asks() {
    let (dir, shop) = (tempfile::tempdir().unwrap(), Shop::new(true));
    let sender = builder().open(dir.path()).unwrap();
    sender.put(patient(shop.peer.url())).unwrap();
    for name in ["erased", "kept"] {
        sender.publish(event(name)).unwrap();
        assert!(sender.settled_within(&id(name), SOON).unwrap().settled);
    }
    let payload = |sender: &Sender, name: &str| {
        let found = sender.event_history(&id(name)).unwrap().expect("that it was there is no secret");
        assert_eq!(found.payload.is_some(), found.attempts[0].answer.is_some());
        found.payload
    };
    assert!(payload(&sender, "erased").is_some());
    sender.erase(&nobody(), &id("erased")).unwrap();
    assert!(payload(&sender, "erased").is_none() && payload(&sender, "kept").is_some());
    sender.purge(&nobody()).unwrap();
    assert!(payload(&sender, "kept").is_none());
    sender.close(SOON).unwrap();
    let sender = builder().open(dir.path()).unwrap();
    assert!(payload(&sender, "kept").is_none() && payload(&sender, "erased").is_none());
}

#[test]
fn the_second_to_open_a_directory_takes_over_from_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let first = builder().open(dir.path()).unwrap();
    first.publish(event("a")).unwrap();
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let waits = builder().takeover(SOON * 4).on_opening(move |opening| tell.lock().unwrap().send(opening).unwrap());
    let path = dir.path().to_owned();
    let second = thread::spawn(move || waits.open(path).unwrap());
    let heard: Vec<_> = (0..2).map(|_| told.recv_timeout(SOON).unwrap()).collect();
    let (directory, process) = (dir.path().to_owned(), Some(std::process::id()));
    assert!(heard.contains(&Opening::Unsealed { directory: directory.clone() }));
    assert!(heard.contains(&Opening::Waiting { directory, process, at_most: SOON * 4 }), "{heard:?}");
    first.close(SOON).unwrap();
    let second = second.join().unwrap();
    assert!(!second.publish(event("a")).unwrap().is_fresh());
    assert!(told.try_recv().is_err(), "each is told once");
    second.close(SOON).unwrap();
}

#[test]
fn a_directory_that_stays_in_use_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let _first = builder().open(dir.path()).unwrap();
    let began = Instant::now();
    let error = builder().open(dir.path()).unwrap_err();
    assert!(began.elapsed() >= Duration::from_millis(300));
    let Error::Directory(why) = &error else { panic!("{error}") };
    assert_eq!(why.why, OpenError::Busy { process: Some(std::process::id()) });
    let (said, place) = (error.to_string(), dir.path().display().to_string());
    assert!(said.contains(&place) && said.contains(&std::process::id().to_string()), "{said}");
}

#[test]
fn a_sender_that_is_dropped_lets_go_of_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let sender = builder().takeover(SOON).open(dir.path()).unwrap();
        assert_eq!(sender.publish(event("a")).unwrap().is_fresh(), round == 0);
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => files.extend(self::files(&entry.path())),
            false => files.push(entry.path()),
        }
    }
    files
}

/// The files in which bytes stand: as they are, in hexadecimal digits, or in base64.
fn that_hold(dir: &Path, canary: &[u8]) -> Vec<PathBuf> {
    let hex: String = canary.iter().map(|byte| format!("{byte:02x}")).collect();
    let base64 = Secret::from_bytes_any_size(canary).unwrap().reveal()["whsec_".len()..].to_owned();
    let base64 = base64.trim_end_matches('=').to_owned();
    let url_safe = base64.replace('+', "-").replace('/', "_");
    let forms: Vec<Vec<u8>> =
        [canary.to_vec(), hex.clone().into(), hex.to_uppercase().into(), base64.into(), url_safe.into()].into();
    let holds = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap();
        forms.iter().any(|form| bytes.windows(form.len()).any(|window| window == form))
    };
    files(dir).into_iter().filter(holds).collect()
}

#[test]
fn no_byte_of_a_secret_is_in_a_sealed_directory() {
    let (dir, shop) = (tempfile::tempdir().unwrap(), Shop::new(true));
    let (own, added) = (*b"CANARY\xffthat the endpoint brought", *b"CANARY\xfethat was added afterward");
    let header = "Bearer CANARY-in-a-header";
    let sealed = |byte| builder().vault(Vault::from_bytes(&[byte; 32]));
    let acme = EndpointKey::new("acme").unwrap();
    let sender = sealed(1).open(dir.path()).unwrap();
    let endpoint = || patient(shop.peer.url()).secret_header("authorization", header);
    sender.put(endpoint().signing_key(Secret::from_bytes(own).unwrap())).unwrap();
    sender.add_key(&acme, Secret::from_bytes(added).unwrap()).unwrap();
    let minted = sender.put(Endpoint::new("minted", shop.peer.url()).events(["nothing"])).unwrap();
    let minted = minted.created().unwrap().expose().to_vec();
    sender.publish(event("a")).unwrap();
    assert_eq!(sender.settled_within(&id("a"), SOON).unwrap().tally.delivered, 1);
    sender.close(SOON).unwrap();
    for canary in [&own[..], &added, header.as_bytes(), &minted, &[1; 32]] {
        assert_eq!(that_hold(dir.path(), canary), Vec::<PathBuf>::new());
    }
    // The search finds what is not sealed.
    let plain = dir.path().join("not-sealed");
    let open = builder().open(&plain).unwrap();
    open.put(endpoint().signing_key(Secret::from_bytes(own).unwrap())).unwrap();
    open.close(SOON).unwrap();
    assert!(!that_hold(&plain, &own).is_empty() && !that_hold(&plain, header.as_bytes()).is_empty());
    fs::remove_dir_all(plain).unwrap();

    for wrong in [builder(), sealed(2)] {
        let error = wrong.open(dir.path()).unwrap_err();
        let Error::Seal(SealError::NoVault { endpoint, .. } | SealError::OtherKey { endpoint, .. }) = &error else {
            panic!("{error}")
        };
        assert_eq!(endpoint, &acme);
        assert!(error.to_string().contains("acme") && error.to_string().contains("vault"), "{error}");
    }
    // Rotation: once with both, and from then on with the new one alone.
    let both = Vault::from_bytes(&[2; 32]).or(Vault::from_bytes(&[1; 32]));
    builder().vault(both).open(dir.path()).unwrap().close(SOON).unwrap();
    let sender = sealed(2).open(dir.path()).unwrap();
    assert_eq!(sender.endpoint(&acme).unwrap().unwrap().keys.len(), 2);
    sender.publish(event("b")).unwrap();
    assert_eq!(sender.settled_within(&id("b"), SOON).unwrap().tally.delivered, 1);
    sender.close(SOON).unwrap();
    assert_eq!(that_hold(dir.path(), b"CANARY"), Vec::<PathBuf>::new());
}

#[test]
fn a_damaged_directory_is_refused_and_salvage_saves_the_rest() {
    let (dir, shop) = (tempfile::tempdir().unwrap(), Shop::new(true));
    let acme = EndpointKey::new("acme").unwrap();
    let sender = builder().open(dir.path()).unwrap();
    sender.put(patient(shop.peer.url())).unwrap();
    sender.pause(&acme).unwrap();
    for name in ["one", "two", "three"] {
        let event = Event::json("order.paid", &serde_json::json!({ "is": format!("payload-{name}") })).unwrap();
        sender.publish(event.id(name)).unwrap();
    }
    sender.close(SOON).unwrap();
    let damaged = that_hold(dir.path(), b"payload-two");
    let mut bytes = fs::read(&damaged[0]).unwrap();
    let at = bytes.windows(11).position(|window| window == b"payload-two").unwrap();
    bytes[at] ^= 1;
    fs::write(&damaged[0], bytes).unwrap();

    let error = builder().open(dir.path()).unwrap_err();
    let Error::Directory(why) = &error else { panic!("{error}") };
    assert!(matches!(&why.why, OpenError::Corrupt(places) if places.len() == 1), "{error}");
    assert!(error.to_string().contains("salvage"), "{error}");

    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let salvaging = builder().salvage(true).on_opening(move |opening| tell.lock().unwrap().send(opening).unwrap());
    let sender = salvaging.open(dir.path()).unwrap();
    let lost = told.iter().find_map(|opening| match opening {
        Opening::Salvaged { lost, .. } => Some(lost),
        _ => None,
    });
    let lost: Vec<_> = lost.unwrap().into_iter().flat_map(|place| place.ids).map(|lost| lost.event).collect();
    assert_eq!(lost, [id("two")]);
    sender.resume(&acme).unwrap();
    for name in ["one", "three"] {
        assert_eq!(sender.settled_within(&id(name), SOON).unwrap().tally.delivered, 1);
    }
    assert_eq!(shop.taken(), ["one", "three"]);
    sender.close(SOON).unwrap();
    builder().open(dir.path()).unwrap().close(SOON).unwrap();
}

/// Set for the process that is killed: its directory and the URL that it sends to.
const VICTIM: &str = "POSTRIDER_TEST_VICTIM";

/// Not a test: what the victim does, when it is started as one.
#[test]
fn victim() {
    let Ok(told) = std::env::var(VICTIM) else { return };
    let (dir, url) = told.split_once(' ').unwrap();
    let sender = builder().open(dir).unwrap();
    sender.put(patient(url.to_owned())).unwrap();
    sender.pause(&EndpointKey::new("acme").unwrap()).unwrap();
    // It ends by itself one day, should nobody be left to kill it.
    for n in 0..100_000 {
        // Standard error is not captured.
        writeln!(std::io::stderr(), "safe {}", sender.publish(event(format!("e{n}"))).unwrap().event()).unwrap();
    }
}

fn kill_after(receipts: usize, dir: &Path, url: &str) -> Vec<String> {
    let mut victim: Child = Program::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::directory::victim", "--nocapture", "--test-threads=1"])
        .env(VICTIM, format!("{} {url}", dir.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut safe = lines.filter_map(|line| line.strip_prefix("safe ").map(str::to_owned));
    let mut seen: Vec<String> = safe.by_ref().take(receipts).collect();
    victim.kill().unwrap();
    victim.wait().unwrap();
    // What it had said before it died.
    seen.extend(safe);
    assert!(seen.len() >= receipts, "the victim ended by itself after {}", seen.len());
    seen
}

#[test]
fn what_a_killed_process_has_promised_is_delivered() {
    let (dir, shop) = (tempfile::tempdir().unwrap(), Shop::new(true));
    let promised = kill_after(200, dir.path(), &shop.peer.url());
    let sender = builder().open(dir.path()).unwrap();
    assert!(shop.taken().is_empty(), "the victim was paused");
    sender.resume(&EndpointKey::new("acme").unwrap()).unwrap();
    for name in &promised {
        assert!(!sender.publish(event(name)).unwrap().is_fresh(), "{name} was forgotten");
        let report = sender.settled_within(&id(name), SOON * 2).unwrap();
        assert_eq!(report.tally.delivered, 1, "{name}: {report}");
    }
    sender.close(SOON).unwrap();
    let taken = shop.taken();
    assert!(promised.iter().all(|name| taken.contains(name)));
    assert!(taken.len() <= promised.len() + 1, "at most one more was accepted whose receipt was not written");
}
