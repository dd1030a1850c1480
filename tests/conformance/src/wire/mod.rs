//! Responses as bytes, served to each driver.

mod drivers;
mod judge;
mod peer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use postrider_core::response::TransportError;
use serde_json::Value;

use crate::case::Case;
use peer::Peer;

/// Time for one attempt of which the case says that it ends.
const TIMEOUT: Duration = Duration::from_secs(6);

/// Time for one attempt that is expected to last until its deadline.
const SHORT: Duration = Duration::from_millis(800);

/// The drivers, by name.
const DRIVERS: [&str; 2] = ["tokio", "blocking"];

/// What is served to one endpoint, and how long an attempt may take.
#[derive(Debug)]
pub(crate) struct Script {
    /// The response, in the pieces in which it is written.
    pieces: Vec<Vec<u8>>,
    /// Whether the connection ends after it.
    eof: bool,
    timeout: Duration,
}

/// What was seen of one script.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    ended: Ended,
    took: Duration,
    /// The second request came over the connection of the first.
    reused: bool,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ended {
    Reply {
        status: u16,
        body: Vec<u8>,
    },
    Failed(TransportError),
    /// Something that is no outcome of an attempt, as when the sender refused the event.
    Odd(String),
}

/// What one driver made of a case.
#[derive(Debug)]
pub(crate) struct Seen {
    driver: &'static str,
    /// As the case says, and once more over a connection that is left open, where the case lets it close.
    exchanges: Result<(Exchange, Option<Exchange>), String>,
}

impl Seen {
    pub(crate) fn driver(&self) -> &'static str {
        self.driver
    }
}

/// Serves the responses of these cases to both drivers. What they made of it is by the name of the case.
pub(crate) fn run(cases: &[&Case]) -> BTreeMap<String, Vec<Seen>> {
    if cases.is_empty() {
        return BTreeMap::new();
    }
    let mut scripts = Vec::new();
    let planned: Vec<_> = cases.iter().map(|case| plan(case, &mut scripts)).collect();
    let scripts = Arc::new(scripts);
    let serve = |driver: &'static str| {
        let served = Peer::start(Arc::clone(&scripts)).map_err(|why| format!("no peer could be started: {why}"));
        served.and_then(|peer| drivers::run(driver, &peer, &scripts))
    };
    let mut seen: BTreeMap<String, Vec<Seen>> = BTreeMap::new();
    thread::scope(|scope| {
        let running = DRIVERS.map(|driver| (driver, scope.spawn(move || serve(driver))));
        for (driver, running) in running {
            let done = running.join().unwrap_or_else(|_| Err("the driver panicked".to_owned()));
            for (case, planned) in cases.iter().zip(&planned) {
                let exchanges = planned.clone().and_then(|(told, open)| {
                    let done = done.as_ref().map_err(String::clone)?;
                    Ok((done[told].clone(), open.map(|open| done[open].clone())))
                });
                seen.entry(case.name()).or_default().push(Seen { driver, exchanges });
            }
        }
    });
    seen
}

/// The places of a case's scripts: what it says, and the same over a connection that does not end, by which it would
/// be seen if it were used again.
fn plan(case: &Case, scripts: &mut Vec<Script>) -> Result<(usize, Option<usize>), String> {
    let input = &case.input;
    let raw = input.bytes("raw_b64")?;
    let eof = match input.get("eof_after") {
        None => false,
        Some(Value::Bool(eof)) => *eof,
        Some(_) => return Err("`eof_after` is neither true nor false".to_owned()),
    };
    let pieces = split(&raw, input.get("split_at"))?;
    let lasts = case.allowed().any(|expected| expected["outcome"] == "need-more");
    let bare_head = ["HEAD", "CONNECT"].contains(&input.maybe_text("request_method")?.unwrap_or("POST"));
    let timeout = if lasts || bare_head { SHORT } else { TIMEOUT };
    let told = scripts.len();
    scripts.push(Script { pieces: pieces.clone(), eof, timeout });
    let open = eof.then(|| {
        scripts.push(Script { pieces, eof: false, timeout: SHORT });
        told + 1
    });
    Ok((told, open))
}

/// The bytes in pieces, cut at these places.
fn split(raw: &[u8], places: Option<&Value>) -> Result<Vec<Vec<u8>>, String> {
    let Some(places) = places else { return Ok(vec![raw.to_vec()]) };
    let places = places.as_array().ok_or("`split_at` is no list")?;
    let (mut pieces, mut from) = (Vec::new(), 0);
    for place in places {
        let place = place.as_u64().and_then(|place| usize::try_from(place).ok());
        let place = place.filter(|place| (from..=raw.len()).contains(place));
        let place = place.ok_or("`split_at` has what is no place in the bytes, or is not in order")?;
        pieces.push(raw[from..place].to_vec());
        from = place;
    }
    pieces.push(raw[from..].to_vec());
    Ok(pieces)
}
