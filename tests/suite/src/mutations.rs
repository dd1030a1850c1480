//! Messages that were rightly signed and then changed: nothing of them may be accepted that was not signed.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postrider_core::signing::{Extent, Received, Scheme, Verifier, standard};
use postrider_core::time::UnixTime;
use postrider_testkit::signed::Provider;

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

/// Changes made to one message before another is signed.
const EACH: u64 = 32;

/// A message of SendGrid's own, whose private keys nobody else has: its tests publish it.
const SENDGRID_KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==";
const SENDGRID_HEADERS: [(&str, &str); 2] = [
    (
        "x-twilio-email-event-webhook-signature",
        "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=",
    ),
    ("x-twilio-email-event-webhook-timestamp", "1600112502"),
];
const SENDGRID_BODY: &str = "W3siZW1haWwiOiJoZWxsb0B3b3JsZC5jb20iLCJldmVudCI6ImRyb3BwZWQiLCJyZWFzb24iOiJCb3VuY2VkIEFkZHJlc3MiLCJzZ19ldmVudF9pZCI6IlpISnZjQzB4TURrNU5Ea3hPUzFNVW5wWWJGOU9TRk4wVDBkb1VUUnJiMlpUYlY5QkxUQSIsInNnX21lc3NhZ2VfaWQiOiJMUnpYbF9OSFN0T0doUTRrb2ZTbV9BLmZpbHRlcmRyZWN2LXAzbWR3MS03NTZiNzQ1YjU4LWttemJsLTE4LTVGNUZDNzZDLTkuMCIsInNtdHAtaWQiOiI8TFJ6WGxfTkhTdE9HaFE0a29mU21fQUBpc210cGQwMDM5cDFpYWQxLnNlbmRncmlkLm5ldD4iLCJ0aW1lc3RhbXAiOjE2MDAxMTI0OTJ9XQ0K";

/// What became of changed messages.
#[derive(Debug, Default)]
pub struct Tally {
    /// Not accepted.
    pub refused: u64,
    /// Accepted, and what was signed is what it was: the change was in something that the scheme does not sign.
    pub unsigned: u64,
    /// Accepted although it was never signed so, or by a key that is nobody's, or long ago.
    pub forged: Vec<String>,
}

impl Tally {
    fn merge(&mut self, other: Self) {
        self.refused += other.refused;
        self.unsigned += other.unsigned;
        self.forged.extend(other.forged);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { refused, unsigned, forged } = self;
        write!(f, "{refused} refused, {unsigned} changed only where the scheme signs nothing, {} forged", forged.len())
    }
}

/// Changes at least so many messages, of all schemes in equal parts, drawn from `seed`; schemes share the cores.
pub fn run(seed: u64, messages: u64) -> Tally {
    let schemes: Vec<Scheme> = Scheme::ALL.into_iter().filter(|scheme| source(*scheme).is_some()).collect();
    let each = messages.div_ceil(schemes.len() as u64);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut tally = Tally::default();
    let work = &|n: usize| {
        let mut tally = Tally::default();
        let part = schemes.iter().skip(n).step_by(threads);
        part.for_each(|scheme| tally.merge(of_scheme(*scheme, seed, each)));
        tally
    };
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..threads).map(|n| scope.spawn(move || work(n))).collect();
        parts.into_iter().for_each(|part| tally.merge(part.join().expect("nothing panics")));
    });
    tally
}

/// Where messages of a scheme come from.
enum Source {
    Provider(Box<Provider>),
    Fixed(Box<Verifier>),
}

fn source(scheme: Scheme) -> Option<Source> {
    if scheme == Scheme::Sendgrid {
        return Some(Source::Fixed(Box::new(Verifier::new(scheme, [SENDGRID_KEY]).ok()?)));
    }
    Provider::new(scheme).map(|provider| Source::Provider(Box::new(provider)))
}

/// Somebody else's key to the same scheme.
fn stranger(scheme: Scheme) -> Option<Verifier> {
    let other = match scheme {
        Scheme::Standard | Scheme::MessageSignatures => "whsec_plJ3nmyCDGBKInavdOK15jsl2TgbgVNB",
        Scheme::Discord => "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        Scheme::AdyenHeader | Scheme::AdyenNotification => {
            "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
        }
        Scheme::Braintree => "public:private2",
        Scheme::Sendgrid | Scheme::Custom => return None,
        _ => "secreu",
    };
    Verifier::new(scheme, [other]).ok()
}

/// A message, and what is changed of it.
#[derive(Clone)]
struct Message {
    method: &'static str,
    url: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    at: UnixTime,
}

impl Message {
    fn of(source: &Source, draw: &mut Draw) -> Self {
        let (url, headers, body, at) = match source {
            Source::Fixed(_) => {
                let headers = SENDGRID_HEADERS.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
                let body = STANDARD.decode(SENDGRID_BODY).expect("it is base64");
                ("https://example.com/".to_owned(), headers.to_vec(), body, UnixTime::from_secs(1_600_112_502))
            }
            Source::Provider(provider) => {
                let len = draw.below(120);
                let text: Vec<u8> = (0..len).map(|_| b"{}[]:,\"\\ \n0123456789abcxyz\x7f"[draw.below(27)]).collect();
                let signed = provider.request(&format!("msg_{}", draw.below(1000)), &text, NOW);
                let headers = signed.headers.into_iter().map(|(name, value)| (name, value.into_bytes()));
                (signed.url, headers.collect(), signed.body, NOW)
            }
        };
        Self { method: "POST", url, headers, body, at }
    }

    /// The digest of what was signed, if it is accepted.
    fn verify(&self, verifier: &Verifier) -> Option<[u8; 32]> {
        let headers: Vec<(&str, &[u8])> = self.headers.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        let received = Received { method: self.method, url: &self.url, headers: &headers[..], body: &self.body };
        verifier.verify(&received, self.at).ok().map(|verified| verified.digest())
    }

    /// Changes something; false where there is nothing to change in that way.
    fn change(&mut self, scheme: Scheme, draw: &mut Draw, other: &Self) -> bool {
        let signed: Vec<usize> = (0..self.headers.len()).filter(|at| self.headers[*at].0 != "content-type").collect();
        let header = if signed.is_empty() { None } else { Some(signed[draw.below(signed.len())]) };
        match (draw.below(12), header) {
            (0..5, _) => bend(&mut self.body, draw),
            (5..8, Some(at)) => bend(&mut self.headers[at].1, draw),
            (8, Some(at)) => _ = self.headers.remove(at),
            (9, Some(at)) => {
                let mut double = self.headers[at].clone();
                bend(&mut double.1, draw);
                self.headers.insert(draw.below(self.headers.len() + 1), double);
            }
            (10, Some(at)) => {
                let name = self.headers[at].0.clone();
                let theirs = other.headers.iter().find(|(other, _)| *other == name);
                self.headers[at].1 = theirs.map_or_else(Vec::new, |(_, value)| value.clone());
            }
            (11, _) if scheme == Scheme::MessageSignatures && draw.below(2) == 0 => self.method = "PUT",
            (11, _) if scheme.signs_url() => {
                let mut url = std::mem::take(&mut self.url).into_bytes();
                bend(&mut url, draw);
                self.url = String::from_utf8_lossy(&url).into_owned();
            }
            _ => return false,
        }
        true
    }
}

/// Flips a bit, inserts, removes or repeats a byte, cuts, or adds to the end.
fn bend(bytes: &mut Vec<u8>, draw: &mut Draw) {
    if bytes.is_empty() {
        return bytes.push(draw.byte());
    }
    let at = draw.below(bytes.len());
    match draw.below(8) {
        0..3 => bytes[at] ^= 1 << draw.below(8),
        3 => bytes.insert(at, draw.byte()),
        4 => _ = bytes.remove(at),
        5 => bytes.insert(at, bytes[at]),
        6 => bytes.truncate(at),
        _ => bytes.push(draw.byte()),
    }
}

fn of_scheme(scheme: Scheme, seed: u64, messages: u64) -> Tally {
    let mut tally = Tally::default();
    let Some(source) = source(scheme) else { return tally };
    let verifier = match &source {
        Source::Provider(provider) => provider.verifier(),
        Source::Fixed(verifier) => verifier,
    };
    let mut draw = Draw(seed ^ (scheme as u64) << 32);
    let mut other = Message::of(&source, &mut draw);
    let mut made = 0;
    while made < messages {
        let message = Message::of(&source, &mut draw);
        let right = message.verify(verifier).expect("what is signed is accepted");
        let mut forged = |what: &str, message: &Message| {
            let Message { method, url, headers, .. } = message;
            let headers: Vec<_> =
                headers.iter().map(|(name, value)| format!("{name}: {}", value.escape_ascii())).collect();
            let body = message.body.escape_ascii();
            tally.forged.push(format!("{scheme}: {what}: {method} {url} {headers:?} {body}"));
        };
        if stranger(scheme).is_some_and(|stranger| message.verify(&stranger).is_some()) {
            forged("by another key", &message);
        }
        if let Some(tolerance) = scheme.facts().tolerance {
            let late = Message { at: message.at.saturating_add(tolerance + standard::TOLERANCE), ..message.clone() };
            if late.verify(verifier).is_some() {
                forged("long ago", &late);
            }
        }
        for _ in 0..EACH {
            let mut changed = message.clone();
            if !changed.change(scheme, &mut draw, &other) {
                continue;
            }
            made += 1;
            // A bare token signs nothing: who has it may send anything.
            let bare = scheme.facts().body == Extent::Nothing && changed.headers == message.headers;
            match changed.verify(verifier) {
                None => tally.refused += 1,
                Some(digest) if digest == right || bare => tally.unsigned += 1,
                Some(_) => forged("changed", &changed),
            }
        }
        other = message;
    }
    tally
}

/// SplitMix64: enough for choices.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn byte(&mut self) -> u8 {
        self.next() as u8
    }
}
