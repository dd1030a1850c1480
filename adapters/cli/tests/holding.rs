//! Who holds a journal, with which key, for whose eyes, and for how long it remembers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Files, Listener, Ran, SECRET, endpoint, run};

const LOOPBACK: [&str; 3] = ["--allow", "127.0.0.0/8", "--allow-http"];
const ALL: &str = "events = [\"**\"]";
const UNSEALED: &str = "note: secrets stand unsealed in ";

struct Place {
    files: Files,
    endpoints: String,
    journal: String,
}

impl Place {
    fn new(url: &str) -> Self {
        let files = Files::new();
        let (endpoints, journal) = (files.put("endpoints.toml", &endpoint("a", url, ALL)), files.path("journal"));
        Self { files, endpoints, journal }
    }

    fn args<'a>(&'a self, options: &[&'a str]) -> Vec<&'a str> {
        let args = ["deliver", "--endpoints", &self.endpoints, "--journal", &self.journal];
        [&args[..], &LOOPBACK, options].concat()
    }

    fn deliver(&self, options: &[&str], events: &str) -> Ran {
        run(&self.args(options), events.as_bytes())
    }

    /// A run that has accepted an event and holds the journal as long as its input is open.
    fn holder(&self) -> Child {
        let mut child = support::postrider(&self.args(&["--receipts"])).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(event("held").as_bytes()).unwrap();
        input.flush().unwrap();
        child.stdin = Some(input);
        let deadline = Instant::now() + Duration::from_secs(20);
        while !fs::exists(format!("{}/lock", self.journal)).unwrap() || !self.is_written() {
            assert!(Instant::now() < deadline, "the journal is not made");
            thread::sleep(Duration::from_millis(10));
        }
        child
    }

    fn is_written(&self) -> bool {
        fs::read_dir(&self.journal).unwrap().any(|file| file.unwrap().file_name() == "0000000001.seg")
    }
}

fn event(id: &str) -> String {
    format!("{{\"type\":\"order.paid\",\"id\":\"{id}\",\"data\":1}}\n")
}

#[test]
fn one_process_at_a_time_holds_a_journal_and_the_next_waits_as_long_as_it_is_told_to() {
    let listener = Listener::start(&["--secret", SECRET]);
    let place = Place::new(&listener.url);
    let mut holder = place.holder();
    let id = holder.id();
    let ran = place.deliver(&["--takeover", "0"], &event("other"));
    let refused = format!("process {id} uses the journal; wait longer for it by --takeover");
    assert!(ran.code == Some(2) && ran.out.is_empty() && ran.err.contains(&refused), "{ran:?}");
    for command in ["compact", "upgrade"] {
        let ran = run(&["journal", command, "--takeover", "0", &place.journal], b"");
        assert!(ran.code == Some(2) && ran.err.contains("uses the journal"), "{command}: {ran:?}");
    }
    // Who only looks does not wait.
    assert_eq!(run(&["journal", "verify", &place.journal], b"").code, Some(0));
    let mut waiting = support::postrider(&place.args(&["--takeover", "40", "--json"])).spawn().unwrap();
    waiting.stdin.take().unwrap().write_all(event("other").as_bytes()).unwrap();
    let mut said = BufReader::new(waiting.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.contains(&id.to_string()) && line.contains("wait"), "{line}");
    assert!(waiting.try_wait().unwrap().is_none());
    // However the holder ends, the journal is free.
    holder.kill().unwrap();
    holder.wait().unwrap();
    let ran = Ran::from(waiting.wait_with_output().unwrap());
    let summary: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &summary["events"], &summary["pending"]), (Some(0), &1.into(), &0.into()), "{summary}");
}

#[test]
fn a_journal_is_for_its_owner_alone() {
    let listener = Listener::start(&["--secret", SECRET]);
    let place = Place::new(&listener.url);
    assert_eq!(place.deliver(&[], &event("e")).code, Some(0));
    let copy = place.files.path("copy");
    assert_eq!(run(&["journal", "compact", &place.journal], b"").code, Some(0));
    assert_eq!(run(&["journal", "backup", &place.journal, &copy], b"").code, Some(0));
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for folder in [&place.journal, &copy] {
        assert_eq!(mode(folder.as_ref()), 0o700, "{folder}");
        let mut files = 0;
        for file in fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
            files += 1;
        }
        assert!(files >= 2, "{folder}");
    }
}

#[test]
fn secrets_without_a_key_are_told_once_and_with_one_sealed() {
    let listener = Listener::start(&["--secret", SECRET]);
    let place = Place::new(&listener.url);
    let ran = place.deliver(&[], &event("e1"));
    let told: Vec<_> = ran.err.lines().collect();
    assert!(told.len() == 1 && told[0].starts_with(UNSEALED) && told[0].contains("--journal-key"), "{ran:?}");
    let ran = place.deliver(&[], &event("e2"));
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "once is enough");

    let (key, other) = (place.files.put("key", &"5a".repeat(32)), place.files.put("other", &"a5".repeat(32)));
    for key in [&key, &other] {
        fs::set_permissions(key, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let sealed = Place { journal: place.files.path("sealed"), ..place };
    for id in ["e1", "e2"] {
        let ran = sealed.deliver(&["--journal-key", &key], &event(id));
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
    }
    for wrong in [&["--journal-key", other.as_str()][..], &["--journal-key", "env:NOT_THERE"], &[]] {
        let ran = sealed.deliver(wrong, &event("e3"));
        assert!(ran.code == Some(2) && ran.out.is_empty() && ran.err.starts_with("error: "), "{wrong:?}: {ran:?}");
    }
    // The same key, by a variable.
    let args = sealed.args(&["--journal-key", "env:POSTRIDER_TEST_KEY"]);
    let mut child = support::postrider(&args).env("POSTRIDER_TEST_KEY", "5a".repeat(32)).spawn().unwrap();
    child.stdin.take().unwrap().write_all(event("e3").as_bytes()).unwrap();
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
}

#[test]
fn what_has_ended_and_was_compacted_is_still_a_repeat() {
    let listener = Listener::start(&["--secret", SECRET]);
    let place = Place::new(&listener.url);
    let events: String = (0..50).map(|n| event(&format!("e{n}"))).collect();
    assert_eq!(place.deliver(&[], &events).code, Some(0));
    assert_eq!(run(&["journal", "compact", &place.journal], b"").code, Some(0));
    let ran = place.deliver(&["--json"], &events);
    let summary: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&summary["events"], &summary["repeats"]), (&0.into(), &50.into()), "{ran:?}");
    let ran = place.deliver(&[], &format!("{}{}", event("e7"), event("e8").replace('1', "2")));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.starts_with("error: stdin:2: e8: another event with other content"), "{ran:?}");
}
