//! What others sign, we verify, and what we sign, others verify: each scheme for which there is an independent library, in
//! both directions, with bodies that are known to break signatures, and with each body changed by one byte.
//!
//! `POSTRIDER_PYTHON` names an interpreter that has what `tests/interop/requirements.txt` lists, `POSTRIDER_NODE` a
//! directory in which what `tests/interop/package.json` lists was installed. Without them nothing is judged, and it is
//! said so. `POSTRIDER_EVENTS` may name a file of events, one JSON object a line, whose data is used too.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postrider_core::signing::{Received, Scheme, Signed, Signer, Unsigned, Verifier};
use postrider_core::time::UnixTime;
use serde_json::value::RawValue;
use serde_json::{Value, json};

const URL: &str = "https://hooks.example.com/in?tenant=7";

/// Lines of a file of events that are used.
const EVENTS: usize = 200;

/// A library, what it is called in its script, and the scheme that it knows.
struct Peer {
    name: &'static str,
    scheme: Scheme,
    secret: &'static str,
    /// It reads the fields of forms, besides other bodies.
    forms: bool,
}

const fn peer(name: &'static str, scheme: Scheme, secret: &'static str) -> Peer {
    Peer { name, scheme, secret, forms: false }
}

const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

const PYTHON: [Peer; 5] = [
    peer("standardwebhooks", Scheme::Standard, WHSEC),
    peer("svix", Scheme::Standard, WHSEC),
    peer("stripe", Scheme::Stripe, WHSEC),
    peer("slack_sdk", Scheme::Slack, "8f742231b10e8888abcd99yyyzzz85a5"),
    Peer { forms: true, ..peer("twilio", Scheme::Twilio, "12345") },
];

const NODE: [Peer; 3] = [
    peer("standardwebhooks", Scheme::Standard, WHSEC),
    peer("octokit", Scheme::Github, "It's a Secret to Everybody"),
    peer("stripe", Scheme::Stripe, WHSEC),
];

/// A script that signs and verifies.
struct Script {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Script {
    fn start(command: &mut Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the interpreter can be run");
        let input = child.stdin.take().expect("it was piped");
        let output = BufReader::new(child.stdout.take().expect("it was piped"));
        Self { child, input, output }
    }

    fn ask(&mut self, question: &Value) -> Value {
        writeln!(self.input, "{question}").expect("the script reads");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the script answers");
        serde_json::from_str(&line).unwrap_or_else(|why| panic!("{question}: {line:?}: {why}"))
    }

    fn verifies(&mut self, peer: &Peer, signed: &Signed, body: &[u8], form: bool) -> Result<(), String> {
        let told = self.ask(&json!({
            "peer": peer.name, "do": "verify", "secret": peer.secret, "url": signed.url, "form": form,
            "headers": signed.headers, "body": STANDARD.encode(body),
        }));
        if told["ok"] == true { Ok(()) } else { Err(told["why"].to_string()) }
    }

    fn end(mut self) {
        drop(self.input);
        assert!(self.child.wait().expect("it ends").success());
    }
}

/// Bodies in JSON: what breaks signatures, and real data where there is any.
fn bodies() -> Vec<Vec<u8>> {
    let mut bodies: Vec<Vec<u8>> = (0..40_usize)
        .map(|n| {
            let text = "\u{e9}\u{4f60}\u{1f4ee} \" \\ / \u{7f}\u{2028} %+& =\r\n".repeat(n % 7);
            let deep = json!([[[{ "": [] }]]]);
            json!({ "n": n, "text": text, "big": u64::MAX, "small": 1e-9, "none": null, "deep": deep })
                .to_string()
                .into()
        })
        .collect();
    bodies.push(b" { \"a\" :1.0 ,\t\"b\":\"\\u00e9\" }\n".to_vec());
    if let Some(path) = std::env::var_os("POSTRIDER_EVENTS") {
        let text = std::fs::read_to_string(path).expect("POSTRIDER_EVENTS names a file");
        bodies.extend(text.lines().take(EVENTS).map(|line| {
            let event: serde_json::Map<String, Value> = serde_json::from_str(line).expect("an event a line");
            let raw: Box<RawValue> = serde_json::value::to_raw_value(&event["data"]).expect("it was JSON");
            raw.get().as_bytes().to_vec()
        }));
    }
    bodies
}

/// The fields of a form from what a body says: names and values of every kind, also twice.
fn form_of(body: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(body);
    let fields =
        [("Body", &*text), ("To", "+15558675310"), ("From", "+15551234567"), ("Empty", ""), ("To2", "a b&c=d")];
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(fields);
    form.finish().into_bytes()
}

/// Both directions; how many requests were judged.
fn judge(peers: &[Peer], script: &mut Script) -> usize {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later than 1970");
    let now = UnixTime::from_secs(now.as_secs());
    let mut judged = 0;
    for peer in peers {
        let signer = Signer::new(peer.scheme, peer.secret).expect("a key");
        let verifier = Verifier::new(peer.scheme, [peer.secret]).expect("a key");
        let verifier = verifier.accept_svix_names(true);
        for (n, body) in bodies().into_iter().enumerate() {
            let form = peer.forms && n % 2 == 0;
            let body = if form { form_of(&body) } else { body };
            let media = if form { "application/x-www-form-urlencoded" } else { "application/json" };
            let id = format!("msg_{n}");
            let name = format!("{} {n}", peer.name);
            let headers = [("content-type", media)];
            let unsigned = Unsigned { method: "POST", url: URL, id: Some(&id), headers: &headers, body: &body };
            let ours = signer.sign(&unsigned, now).expect("it can be signed");
            assert_eq!(script.verifies(peer, &ours, &ours.body, form), Ok(()), "{name}: it is refused");
            let mut other = ours.body.clone();
            other.push(b' ');
            assert!(script.verifies(peer, &ours, &other, form).is_err(), "{name}: another body is accepted");

            let told = script.ask(&json!({
                "peer": peer.name, "do": "sign", "secret": peer.secret, "url": ours.url, "id": id, "at": now.as_secs(),
                "form": form, "body": STANDARD.encode(&body),
            }));
            let mut theirs: Vec<(String, String)> = serde_json::from_value(told["headers"].clone()).expect("pairs");
            theirs.push(("content-type".into(), media.into()));
            let received = Received { method: "POST", url: &ours.url, headers: &theirs[..], body: &body };
            let verified = verifier.verify(&received, now).unwrap_or_else(|why| panic!("{name}: {why}: {theirs:?}"));
            assert_eq!(verified.body(), &body[..], "{name}");
            let received = Received { body: &other, ..received };
            assert!(verifier.verify(&received, now).is_err(), "{name}: we accept another body");
            judged += 1;
        }
    }
    judged
}

fn interop(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../interop").join(file)
}

#[test]
fn libraries_for_python_agree() {
    let Some(python) = std::env::var_os("POSTRIDER_PYTHON") else {
        println!("POSTRIDER_PYTHON is not set: nothing was judged by libraries for Python");
        return;
    };
    let mut script = Script::start(Command::new(python).arg(interop("peers.py")));
    println!("{} requests each way, by {} libraries for Python", judge(&PYTHON, &mut script), PYTHON.len());
    script.end();
}

#[test]
fn libraries_for_node_agree() {
    let Some(node) = std::env::var_os("POSTRIDER_NODE") else {
        println!("POSTRIDER_NODE is not set: nothing was judged by libraries for Node.js");
        return;
    };
    // A module finds others beside itself.
    let beside = Path::new(&node).join("peers.mjs");
    std::fs::copy(interop("peers.mjs"), &beside).expect("POSTRIDER_NODE names a directory");
    let mut script = Script::start(Command::new("node").arg(beside));
    println!("{} requests each way, by {} libraries for Node.js", judge(&NODE, &mut script), NODE.len());
    script.end();
}
