//! `deliver --journal`, and what `journal` and `top` say of it, on real directories.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::path::PathBuf;

use postrider_testkit::Canaries;
use serde_json::Value;
use support::{DRIVERS, Files, Listener, Ran, SECRET, endpoint, run};

const ALL: &str = "events = [\"**\"]";
const LOOPBACK: [&str; 3] = ["--allow", "127.0.0.0/8", "--allow-http"];

/// A directory with an endpoint file, and the journal beside it.
struct Place {
    files: Files,
    endpoints: String,
    journal: String,
}

impl Place {
    fn new(endpoints: &str) -> Self {
        let files = Files::new();
        let (endpoints, journal) = (files.put("endpoints.toml", endpoints), files.path("journal"));
        Self { files, endpoints, journal }
    }

    fn deliver(&self, options: &[&str], events: &str) -> Ran {
        let args = ["deliver", "--endpoints", &self.endpoints, "--journal", &self.journal];
        let mut ran = run(&[&args[..], &LOOPBACK, options].concat(), events.as_bytes());
        // Told when a journal is made without a key to seal it with.
        let (told, rest): (Vec<_>, Vec<_>) =
            ran.err.split_inclusive('\n').partition(|line| line.starts_with("note: secrets stand unsealed in "));
        assert!(told.len() < 2, "{told:?}");
        ran.err = rest.concat();
        ran
    }

    fn summary(&self, options: &[&str], events: &str) -> Value {
        let ran = self.deliver(&[options, &["--json"]].concat(), events);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
        serde_json::from_str(&ran.out).unwrap()
    }

    fn journal(&self, command: &str, options: &[&str]) -> Ran {
        run(&[&["journal", command][..], options, &[&self.journal]].concat(), b"")
    }

    fn json(&self, command: &str, options: &[&str]) -> Value {
        let ran = self.journal(command, &[&["--json"], options].concat());
        assert_eq!(ran.code, Some(0), "{command}: {ran:?}");
        serde_json::from_str(&ran.out).unwrap_or_else(|why| panic!("{command}: {why}: {ran:?}"))
    }

    /// The segment that has records in it, and where its last batch ends.
    fn segment(&self) -> (PathBuf, usize) {
        let files = fs::read_dir(&self.journal).unwrap().map(|entry| entry.unwrap().path());
        let segments = files.filter(|path| path.extension().is_some_and(|ending| ending == "seg"));
        let used = segments.map(|path| {
            let end = fs::read(&path).unwrap().iter().rposition(|byte| *byte != 0).unwrap() + 1;
            (path, end)
        });
        used.max_by_key(|(_, end)| *end).unwrap()
    }
}

fn events(ids: std::ops::Range<u32>) -> String {
    ids.map(|n| format!("{{\"type\":\"order.paid\",\"id\":\"o{n}\",\"data\":{n}}}\n")).collect()
}

#[test]
fn what_was_accepted_is_not_accepted_again() {
    for driver in DRIVERS {
        let listener = Listener::start(&["--secret", SECRET, "--once", "8"]);
        let place = Place::new(&endpoint("a", &listener.url, ALL));
        let plain = "{\"type\":\"order.paid\",\"data\":1}\n";
        let first = format!("{}{plain}{plain}", events(0..5));
        let summary = place.summary(&["--driver", driver], &first);
        assert_eq!((&summary["events"], &summary["repeats"], &summary["delivered"]), (&7.into(), &0.into(), &7.into()));
        let again = place.summary(&["--driver", driver], &first);
        assert_eq!((&again["events"], &again["repeats"], &again["delivered"]), (&0.into(), &7.into(), &0.into()));
        assert_eq!(again["pending"], 0);
        // The file has grown at its end, and has a line that says something else under an id that is known.
        let other = "{\"type\":\"order.paid\",\"id\":\"o3\",\"data\":\"other\"}\n";
        let grown = format!("{first}{other}{}", events(5..6));
        let ran = place.deliver(&["--driver", driver, "--json"], &grown);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert_eq!(
            ran.err,
            "error: stdin:8: o3: another event with other content was accepted under the same id or key\n"
        );
        for expected in ["\"events\":1", "\"repeats\":7", "\"delivered\":1", "\"bad_lines\":1"] {
            assert!(ran.out.contains(expected), "{expected}: {ran:?}");
        }
        assert_eq!(listener.finish().out.lines().count(), 8, "{driver}");
    }
}

#[test]
fn another_filter_schedule_and_breaker_are_tried_on_what_happened() {
    let failing = Listener::start(&["--secret", SECRET, "--status", "500"]);
    let twice = format!("{ALL}\nschedule = [\"0s\", \"20ms\"]");
    let place = Place::new(&endpoint("failing", &failing.url, &twice));
    place.deliver(&[], &events(0..3));
    let shadow =
        |options: &[&str]| run(&[&["journal", "shadow", &place.journal, "failing"][..], options].concat(), b"");
    let before = place.json("inspect", &[])["records"].clone();
    let options = ["--schedule", "0s", "--filter", r#"{"data": [{"numeric": [">", 0]}]}"#, "--breaker", "50"];
    let ran = shadow(&[&options[..], &["--breaker-attempts", "3", "--json"]].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    let schedule = &told["schedule"];
    let counts = ["deliveries", "attempts", "new_attempts", "delivered", "lost", "saved"].map(|name| &schedule[name]);
    assert_eq!(counts, [3, 6, 3, 0, 0, 0].map(Value::from).each_ref(), "{told}");
    let filter = ["asked", "kept", "dropped", "added"].map(|name| &told["filter"][name]);
    assert_eq!(filter, [3, 2, 1, 0].map(Value::from).each_ref(), "{told}");
    assert_eq!((&told["breaker"]["attempts"], &told["breaker"]["opened"]), (&6.into(), &1.into()), "{told}");
    assert_eq!(place.json("inspect", &[])["records"], before, "nothing was written");
    let ran = shadow(&[]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("there is nothing to try; give --filter, --schedule or --breaker"), "{ran:?}");
}

#[test]
fn endpoints_are_made_equal_to_a_file() {
    for driver in DRIVERS {
        let listener = Listener::start(&["--secret", SECRET]);
        let of = |names: &[&str]| names.iter().map(|name| endpoint(name, &listener.url, ALL)).collect::<String>();
        let place = Place::new(&of(&["a", "b"]));
        let ran = place.deliver(&["--driver", driver, "--sync", "3", "--dry-run"], &events(0..1));
        assert!(ran.err.contains("2 added, 0 changed, 0 removed, 0 unchanged +a +b (dry run)"), "{ran:?}");
        assert!(ran.out.starts_with("line 1: o0 order.paid: 2 endpoints") && !fs::exists(&place.journal).unwrap());
        let ran = place.deliver(&["--driver", driver, "--sync", "3"], &events(0..1));
        let done = "sync: tenant default at revision 3: 2 added, 0 changed, 0 removed, 0 unchanged +a +b\n";
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), done), "{ran:?}");

        place.files.put(
            "endpoints.toml",
            &format!("{}{}", of(&["c"]), endpoint("b", &listener.url, "events = [\"order.*\"]")),
        );
        let would = "tenant default at revision 4: 1 added, 1 changed, 1 removed, 0 unchanged +c ~b -a";
        let before = place.json("inspect", &[])["records"].clone();
        let ran = place.deliver(&["--driver", driver, "--sync", "4", "--dry-run"], &events(1..2));
        assert!(ran.err.contains(would) && ran.out.contains(": 2 endpoints\n  + b: "), "{ran:?}");
        assert_eq!(place.json("inspect", &[])["records"], before, "nothing was written");
        let ran = place.deliver(&["--driver", driver, "--sync", "4"], &events(1..2));
        assert_eq!((ran.code, ran.err.contains(would)), (Some(0), true), "{ran:?}");
        let ran = place.deliver(&["--driver", driver, "--sync", "3"], &events(2..3));
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.err.contains("--sync: revision 3 is older than 4, which was applied to tenant default before"));
    }
}

#[test]
fn a_receipt_is_printed_when_it_holds() {
    let listener = Listener::start(&["--secret", SECRET]);
    let place = Place::new(&endpoint("a", &listener.url, ALL));
    let ran = place.deliver(&["--receipts"], &events(0..2));
    let lines: Vec<_> = ran.out.lines().collect();
    assert!(lines[0].starts_with("accepted o0, on disk at ") && lines[0].ends_with(", 1 endpoint"), "{ran:?}");
    let ran = place.deliver(&["--receipts", "--json"], &events(0..1));
    let receipt: Value = serde_json::from_str(ran.out.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&receipt["accepted"], &receipt["new"], &receipt["kept"]),
        (&"o0".into(), &false.into(), &"on disk".into())
    );
}

#[test]
fn what_an_earlier_run_owed_is_delivered_though_the_input_has_it_not() {
    for driver in DRIVERS {
        let slow = Listener::start(&["--secret", SECRET, "--status", "500"]);
        let retried = format!("{ALL}\nschedule = [\"0s\", \"2s\", \"1s\"]");
        let place = Place::new(&endpoint("a", &slow.url, &retried));
        let mut child = support::postrider(
            &[&["deliver", "--endpoints", &place.endpoints, "--journal", &place.journal, "--receipts"][..], &LOOPBACK]
                .concat(),
        )
        .spawn()
        .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), events(0..3).as_bytes()).unwrap();
        let mut receipts = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        for _ in 0..3 {
            std::io::BufRead::read_line(&mut receipts, &mut line).unwrap();
        }
        assert_eq!(line.matches("accepted o").count(), 3, "{line}");
        child.kill().unwrap();
        child.wait().unwrap();
        drop(slow);
        let inspected = place.json("inspect", &[]);
        assert_eq!(inspected["pending_events"], 3, "{inspected}");
        let shown = place.json("show", &["o1"]);
        assert_eq!(shown["ended"], Value::Null);
        assert_eq!(shown["next"][0]["endpoint"], "a", "{shown}");
        // The same endpoint, elsewhere, and another input.
        let listener = Listener::start(&["--secret", SECRET, "--once", "4"]);
        place.files.put("endpoints.toml", &endpoint("a", &listener.url, &retried));
        let summary = place.summary(&["--driver", driver], &events(7..8));
        assert_eq!(
            (&summary["events"], &summary["left_over"], &summary["delivered"]),
            (&1.into(), &3.into(), &4.into())
        );
        assert_eq!(listener.finish().out.lines().count(), 4);
    }
}

#[test]
fn what_came_of_receipts_is_shown() {
    for driver in DRIVERS {
        let giving = Listener::start(&["--secret", SECRET, "--receipts"]);
        let silent = Listener::start(&["--secret", SECRET]);
        let asked = format!("{ALL}\nreceipts = true");
        let endpoints =
            [("giving", &giving, &asked), ("silent", &silent, &asked), ("unasked", &giving, &ALL.to_owned())];
        let endpoints = endpoints.map(|(id, listener, rest)| endpoint(id, &listener.url, rest));
        let place = Place::new(&endpoints.concat());
        let summary = place.summary(&["--driver", driver], &events(1..2));
        assert_eq!(summary["delivered"], 3, "{driver}: a receipt changes no verdict");
        let shown = place.json("show", &["o1"]);
        let mut receipts: Vec<_> = shown["attempts"].as_array().unwrap().iter().collect();
        receipts.sort_by_key(|attempt| attempt["endpoint"].as_str().unwrap());
        let receipts: Vec<_> = receipts.into_iter().map(|attempt| &attempt["receipt"]).collect();
        assert_eq!(receipts, ["verified".into(), "missing".into(), Value::Null].each_ref(), "{driver}: {shown}");
        let ran = place.journal("show", &["o1"]);
        assert_eq!(ran.out.matches("; the receipt is verified\n").count(), 1, "{driver}: {ran:?}");
        assert_eq!(ran.out.matches("; the answer has no receipt\n").count(), 1, "{driver}: {ran:?}");
        let dumped = place.journal("dump", &["--json"]).out;
        assert!(
            dumped.contains("\"receipt\":\"missing\"") && dumped.contains("\"receipts\":true"),
            "{driver}: {dumped}"
        );
    }
}

#[test]
fn a_journal_can_be_looked_into() {
    let good = Listener::start(&["--secret", SECRET]);
    let failing = Listener::start(&["--secret", SECRET, "--status", "500"]);
    let twice = format!("{ALL}\nschedule = [\"0s\", \"20ms\"]");
    let place = Place::new(&[endpoint("good", &good.url, ALL), endpoint("failing", &failing.url, &twice)].concat());
    let ran = place.deliver(&[], &events(0..3));
    assert_eq!(ran.code, Some(1), "{ran:?}");

    let inspected = place.json("inspect", &[]);
    assert_eq!((&inspected["pending_events"], &inspected["ends"]["delivered"]), (&0.into(), &3.into()), "{inspected}");
    assert_eq!(inspected["ends"]["exhausted"], 3);
    assert_eq!(inspected["endpoints"].as_array().unwrap().len(), 2);
    let ran = place.journal("inspect", &[]);
    assert!(ran.out.contains("3 delivered, 3 exhausted") && ran.out.contains("  failing: active"), "{ran:?}");

    let verified = place.json("verify", &[]);
    assert_eq!((&verified["sound"], &verified["damage"]), (&true.into(), &Value::Array(Vec::new())));
    assert!(place.journal("verify", &[]).out.starts_with("sound: "));

    let shown = place.json("show", &["o1"]);
    let attempts = shown["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 3, "{shown}");
    assert!(attempts.iter().all(|attempt| attempt["keys"][0].as_str().unwrap().starts_with("key_")), "{shown}");
    assert!(shown["ended"].is_string() && shown["next"].as_array().unwrap().is_empty());
    let ran = place.journal("show", &["o1"]);
    assert!(ran.out.contains("failing: attempt 2, ") && ran.out.contains("exhausted, 500 says that"), "{ran:?}");
    let ran = place.journal("show", &["nobody"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), "nobody is not known in this journal\n"));

    let ran = place.journal("dead", &["--json", "--limit", "2"]);
    let dead: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((dead.len(), &dead[0]["endpoint"], &dead[0]["status"]), (2, &"failing".into(), &500.into()));
    let before = dead[1]["place"].as_str().unwrap();
    let ran = place.journal("dead", &["--before", before]);
    assert_eq!((ran.code, ran.out.lines().count()), (Some(0), 1), "{ran:?}");

    let ran = place.journal("dump", &["--json"]);
    let records: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len() as u64, inspected["records"].as_u64().unwrap());
    assert_eq!((&records[0]["kind"], &records[0]["seq"]), (&"genesis".into(), &1.into()));
    assert!(records.iter().any(|record| record["kind"] == "accepted" && record["id"] == "o2"));
    let ran = place.journal("dump", &["--from", "3", "--to", "5"]);
    assert_eq!((ran.code, ran.out.lines().count()), (Some(0), 3), "{ran:?}");

    let ran = run(&["top", "--once", "--json", &place.journal], b"");
    let top: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&top["pending_events"], &top["failing"][0]["endpoint"]), (&0.into(), &"failing".into()), "{top}");
    let ran = run(&["top", "--once", &place.journal], b"");
    assert!(ran.out.contains("  failing: 6 attempts failed in the last 60 s"), "{ran:?}");

    let all = place.json("inspect", &["--all"]);
    for counted in ["records", "first", "last", "pending_events", "kept_events", "ended_events", "outcomes", "retried"]
    {
        assert_eq!(all[counted], inspected[counted], "{counted}");
    }
    assert_eq!(all["ends"], inspected["ends"]);

    let copy = place.files.path("copy");
    let ran = place.journal("backup", &[]);
    assert_eq!(ran.code, Some(2), "where to is missing: {ran:?}");
    let ran = run(&["journal", "backup", &place.journal, &copy], b"");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = run(&["journal", "inspect", "--json", &copy], b"");
    let copied: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&copied["records"], &copied["ends"]), (&inspected["records"], &inspected["ends"]), "{ran:?}");
    for command in ["compact", "upgrade"] {
        let ran = place.journal(command, &[]);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{command}: {ran:?}");
        assert_eq!(place.journal("verify", &[]).code, Some(0), "{command}");
    }
    // Now by an index.
    assert!(fs::exists(format!("{}/0000000001.idx", place.journal)).unwrap());
    let again = place.json("show", &["o1", "--tenant", "default"]);
    assert_eq!((&again["attempts"], &again["attempts_total"]), (&shown["attempts"], &3.into()));
    let ran = place.journal("dead", &["--json"]);
    assert_eq!(ran.out.lines().count(), 3, "{ran:?}");
    let ran = place.journal("dead", &["--tenant", "nobody"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""), "{ran:?}");
    assert_eq!(place.json("inspect", &[])["ends"], inspected["ends"]);
}

#[test]
fn damage_is_placed_refused_and_salvaged() {
    let listener = Listener::start(&["--secret", SECRET]);
    let place = Place::new(&endpoint("a", &listener.url, ALL));
    place.summary(&[], &events(0..20));
    let (segment, _) = place.segment();
    let mut bytes = fs::read(&segment).unwrap();
    // In the middle of an event, so that a record is lost and not only what is between two.
    let middle = bytes.windows(3).position(|some| some == b"o10").unwrap();
    bytes[middle] ^= 0x10;
    fs::write(&segment, bytes).unwrap();
    let before: Vec<_> = fs::read_dir(&place.journal).unwrap().map(|entry| entry.unwrap().path()).collect();

    let ran = place.journal("verify", &[]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.starts_with("damaged: segment 1 at byte "), "{ran:?}");
    let ran = place.journal("verify", &["--json"]);
    let verified: Value = serde_json::from_str(&ran.out).unwrap();
    let damage = &verified["damage"][0];
    let offset = damage["offset"].as_u64().unwrap() as usize;
    assert!(verified["sound"] == false && offset <= middle, "{verified}");
    assert!(damage["records"].is_array(), "{verified}");
    let ran = place.journal("inspect", &[]);
    assert!(ran.code == Some(1) && ran.out.contains("DAMAGED"), "{ran:?}");
    let ran = place.journal("show", &["o0"]);
    assert!(matches!(ran.code, Some(0 | 1)) && ran.err.starts_with("note: the journal is damaged, "), "{ran:?}");

    let ran = place.deliver(&[], &events(0..21));
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
    for expected in ["the journal is damaged in segment 1 at byte ", "nothing was changed", "--salvage"] {
        assert!(ran.err.contains(expected), "{expected}: {ran:?}");
    }
    let after: Vec<_> = fs::read_dir(&place.journal).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(before.len(), after.len());

    let ran = place.deliver(&["--salvage", "--json"], &events(0..21));
    assert!(matches!(ran.code, Some(0 | 1)), "{ran:?}");
    assert!(ran.err.contains("lost: segment 1 at byte "), "{ran:?}");
    let summary: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(summary["pending"], 0, "{summary}");
    assert_eq!(place.journal("verify", &[]).code, Some(0));
    assert_eq!(place.deliver(&[], &events(0..21)).code, Some(0));
}

#[test]
fn a_directory_without_a_journal_is_2() {
    let files = Files::new();
    let empty = files.path("empty");
    for args in [&["journal", "inspect", &empty][..], &["top", "--once", &empty], &["journal", "verify", &empty]] {
        let ran = run(args, b"");
        assert!(ran.code == Some(2) && ran.err.starts_with(&format!("error: {empty}: ")), "{args:?}: {ran:?}");
    }
    fs::create_dir(&empty).unwrap();
    let ran = run(&["journal", "inspect", &empty], b"");
    assert!(ran.code == Some(2) && ran.err.contains("there is no journal in this directory"), "{ran:?}");
}

const KEY: &str = "whsec_Y2FuYXJ5LWtleS1jYW5hcnkta2V5LWNhbmFyeSEh";
const HEADER: &str = "header-canary-0123456789";
const TOKEN: &str = "token-canary-0123456789";
const PAYLOAD: &str = "payload-canary-0123456789";
const ANSWERS: [&[&str]; 8] = [
    &["inspect"],
    &["inspect", "--json"],
    &["verify", "--json"],
    &["dump"],
    &["dump", "--json"],
    &["show", "o1"],
    &["show", "o1", "--json"],
    &["dead", "--json"],
];

#[test]
fn no_answer_has_a_secret_in_it() {
    let failing = Listener::start(&["--secret", KEY, "--status", "500"]);
    let url = format!("{}hooks?token={TOKEN}", failing.url);
    let table = format!(
        "[[endpoint]]\nid = \"a\"\nurl = \"{url}\"\nsecret = \"{KEY}\"\n{ALL}\nschedule = [\"0s\"]\n\
         headers = {{ authorization = \"Bearer {HEADER}\" }}\n"
    );
    let place = Place::new(&table);
    let sealing = place.files.put("journal.key", &"5a".repeat(32));
    for (journal, options) in [("plain", &[][..]), ("sealed", &["--journal-key", &sealing])] {
        let place =
            Place { files: Files::new(), endpoints: place.endpoints.clone(), journal: place.files.path(journal) };
        let event = format!("{{\"type\":\"order.paid\",\"id\":\"o1\",\"data\":\"{PAYLOAD}\"}}\n");
        let canaries = Canaries::new()
            .with("the key", KEY.trim_start_matches("whsec_"))
            .with("the key's bytes", "canary-key-canary-key-canary!!")
            .with("the secret header", HEADER)
            .with("the token in the URL", TOKEN)
            .with("the payload", PAYLOAD);
        let judge = |what: &str, ran: &Ran| {
            canaries.assert_none_in(what, &ran.out);
            canaries.assert_none_in(what, &ran.err);
        };
        let ran = place.deliver(&[options, &["--receipts"]].concat(), &event);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        judge("deliver", &ran);
        for answer in ANSWERS {
            let ran = place.journal(answer[0], &answer[1..]);
            assert_eq!(ran.code, Some(0), "{answer:?}: {ran:?}");
            judge(answer[0], &ran);
        }
        judge("top", &run(&["top", "--once", "--json", &place.journal], b""));
        let ran = place.journal("dump", &["--payloads"]);
        assert!(ran.out.contains(PAYLOAD) && !ran.out.contains(HEADER), "{ran:?}");
        let on_disk = fs::read(place.segment().0).unwrap();
        let has = |needle: &str| on_disk.windows(needle.len()).any(|bytes| bytes == needle.as_bytes());
        assert_eq!(has(HEADER), options.is_empty(), "sealed where there is a key for it");
        if !options.is_empty() {
            let ran = place.deliver(&[], &event);
            assert_eq!(ran.code, Some(2), "the key is needed again: {ran:?}");
            judge("deliver without the key", &ran);
        }
    }
}

/// Everything of an endpoint goes again, under a name once, and one event by itself under a fresh id.
#[test]
fn what_a_journal_keeps_is_sent_again() {
    for driver in DRIVERS {
        let listener = Listener::start(&[]);
        let place = Place::new(&endpoint("acme", &listener.url, ALL));
        let events: String =
            (0..2).map(|n| format!("{{\"type\":\"order.paid\",\"id\":\"e{n}\",\"data\":{n}}}\n")).collect();
        assert_eq!(place.deliver(&["--driver", driver], &events).code, Some(0));
        let replay = |options: &[&str]| {
            let args = ["replay", "--driver", driver, "--journal", &place.journal, "--endpoint", "acme"];
            run(&[&args[..], &LOOPBACK, options].concat(), b"")
        };
        let told = replay(&["--state", "delivered", "--dry-run"]);
        assert_eq!((told.code, told.out.as_str()), (Some(0), "2 found (2 delivered)\n"), "{told:?}");
        let told = replay(&["--state", "delivered", "--name", "again"]);
        assert_eq!(
            (told.code, told.out.as_str()),
            (Some(0), "2 found (2 delivered), 2 replayed, 2 delivered\n"),
            "{told:?}"
        );
        let told = replay(&["--state", "delivered", "--name", "again"]);
        assert_eq!(told.out, "2 found (2 delivered), 2 replayed before\n", "{told:?}");
        let told = replay(&["--event", "e1", "--fresh-ids", "--name", "one", "--json"]);
        let said: Value = serde_json::from_str(&told.out).unwrap_or_else(|why| panic!("{why}: {told:?}"));
        assert_eq!((told.code, &said["replay"], &said["delivered"]), (Some(0), &"rpl_one".into(), &true.into()));
        let shown = place.journal("show", &["rpl_one"]);
        assert!(shown.out.contains("sends e1 again\n"), "{shown:?}");
        let refused = replay(&["--event", "e9"]);
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.err.contains("nothing is known of e9"), "{refused:?}");
        let long_ago = replay(&["--from", "2001-01-01T00:00:00Z"]);
        assert!(long_ago.err.contains("it is forgotten"), "{long_ago:?}");
    }
}
