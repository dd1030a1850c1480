use std::io::{Read, Write};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Instant;

use ::http::StatusCode;
use postrider_core::receiver::{Claim, Claimed, Commit, Processed, Reason, ReceiverLimits, Release, Success};
use postrider_core::secret::Secret;
use postrider_core::signing::standard::VerifyError;
use postrider_core::signing::{SigningKey, standard};
use postrider_journal::claims::{ClaimDone, ClaimOptions, FileClaims};

use super::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PATIENCE: Duration = Duration::from_secs(20);
const LOCAL: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);
const SHORT: Duration = Duration::from_millis(200);

fn config() -> ReceiverConfig {
    ReceiverConfig::new(standard::Verifier::new([&Secret::parse(SECRET).unwrap()]).unwrap())
}

fn unix_secs() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

/// The head of a request, without the empty line, signed at `secs`.
fn head(id: &str, secs: u64, body: &str) -> String {
    let key = SigningKey::from(&Secret::parse(SECRET).unwrap());
    let signature = standard::sign([&key], id, secs, body.as_bytes());
    format!(
        "POST /hooks HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\nwebhook-id: {id}\r\nwebhook-timestamp: {secs}\r\n\
         webhook-signature: {signature}\r\n",
        body.len()
    )
}

fn signed(id: &str, body: &str) -> String {
    format!("{}\r\n{body}", head(id, unix_secs(), body))
}

fn connect(receiver: &Receiver) -> TcpStream {
    let stream = TcpStream::connect(receiver.local_addr()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// One answer, of which the length is declared, and no byte more.
fn answer(stream: &mut TcpStream) -> String {
    let (mut answer, mut byte) = (Vec::new(), [0]);
    let mut missing = None;
    while missing != Some(0) {
        stream.read_exact(&mut byte).unwrap_or_else(|why| panic!("{why} after {:?}", String::from_utf8_lossy(&answer)));
        answer.push(byte[0]);
        missing = missing.map(|missing: usize| missing - 1);
        if missing.is_none() && answer.ends_with(b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&answer);
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            missing = Some(length.map_or(0, |length| length.parse().unwrap()));
        }
    }
    String::from_utf8(answer).unwrap()
}

fn is_over(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0]), Ok(0))
}

/// Sends one request on a connection of its own.
fn send(receiver: &Receiver, request: &str) -> String {
    let mut stream = connect(receiver);
    stream.write_all(request.as_bytes()).unwrap();
    answer(&mut stream)
}

fn status(answer: &str) -> u16 {
    answer.get(9..12).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no status in {answer:?}"))
}

/// Waits for something that another thread does.
fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A receiver that counts its deliveries.
fn counting(builder: Builder) -> (Receiver, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let receiver = builder.bind(LOCAL, move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    (receiver.unwrap(), count)
}

/// What is seen, in order.
fn watched(builder: Builder) -> (Builder, mpsc::Receiver<Seen>) {
    let (tell, seen) = mpsc::channel();
    (builder.watch(move |what| tell.send(what).unwrap()), seen)
}

/// A gate that handlers wait at.
#[derive(Default)]
struct Gate {
    open: Mutex<u32>,
    changed: Condvar,
    running: AtomicU32,
    most: AtomicU32,
}

impl Gate {
    fn wait(&self) {
        self.most.fetch_max(self.running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let open = self.changed.wait_timeout_while(self.open.lock().unwrap(), PATIENCE, |open| *open == 0);
        *open.unwrap().0 -= 1;
        self.running.fetch_sub(1, Ordering::SeqCst);
    }

    fn let_through(&self, deliveries: u32) {
        *self.open.lock().unwrap() += deliveries;
        self.changed.notify_all();
    }

    fn running(&self) -> u32 {
        self.running.load(Ordering::SeqCst)
    }
}

fn gated(builder: Builder) -> (Receiver, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let at = Arc::clone(&gate);
    (builder.bind(LOCAL, move |_| at.wait()).unwrap(), gate)
}

#[test]
fn it_deduplicates_over_a_restart_and_over_receivers_of_one_store() {
    let dir = tempfile::tempdir().unwrap();
    let open = || FileClaims::open(dir.path(), &ClaimOptions::default().takeover(PATIENCE)).unwrap();
    let claims = open();
    let (one, first) = counting(Receiver::builder(config()).claims(claims.clone()));
    let (two, second) = counting(Receiver::builder(config()).claims(claims));
    assert_eq!(status(&send(&one, &signed("msg_1", "{}"))), 204);
    assert_eq!(status(&send(&two, &signed("msg_1", "{}"))), 204);
    assert_eq!((first.load(Ordering::SeqCst), second.load(Ordering::SeqCst)), (1, 0));
    assert!(one.close(PATIENCE) && two.close(PATIENCE));
    // Each loop lets go of the store when it ends.
    let (third, count) = counting(Receiver::builder(config()).claims(open()));
    assert_eq!(status(&send(&third, &signed("msg_1", "{}"))), 204);
    assert_eq!(count.load(Ordering::SeqCst), 0);
    assert_eq!(status(&send(&third, &signed("msg_2", "{}"))), 204);
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

/// A store that says nothing.
struct Mute;

impl ClaimStore for Mute {
    fn claim(&mut self, _: Claim, _: ClaimDone<Claimed>) {}

    fn commit(&mut self, _: Commit, _: ClaimDone<()>) {}

    fn release(&mut self, _: Release) {}
}

#[test]
fn what_cannot_be_claimed_is_answered_503() {
    let (receiver, count) = counting(Receiver::builder(config()).claims(Mute));
    let answer = send(&receiver, &signed("msg_1", "{}"));
    assert!(status(&answer) == 503 && answer.contains("retry-after: "), "{answer}");
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[test]
fn a_delivery_is_answered_and_its_repeat_is_not_delivered() {
    let (receiver, count) = counting(Receiver::builder(config()));
    assert!(receiver.url().starts_with("http://127.0.0.1:"), "{}", receiver.url());
    let mut stream = connect(&receiver);
    for _ in 0..2 {
        stream.write_all(signed("msg_1", "{}").as_bytes()).unwrap();
        let answer = answer(&mut stream);
        assert!(answer.starts_with("HTTP/1.1 204 No Content\r\ndate: "), "{answer}");
        assert!(answer.contains("GMT\r\npostrider-key-used: key_") && answer.ends_with("\r\n\r\n"), "{answer}");
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
    assert_eq!(status(&send(&receiver, &signed("msg_2", "{}"))), 204);
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[test]
fn success_is_what_was_agreed() {
    let receiver = Receiver::bind(LOCAL, config().success(Success::Accepted), |_| {}).unwrap();
    assert!(send(&receiver, &signed("msg_1", "{}")).ends_with("content-length: 0\r\n\r\n"));
    assert_eq!(status(&send(&receiver, &signed("msg_1", "{}"))), 202);
}

#[test]
fn what_was_wrong_is_told_the_owner_and_not_the_sender() {
    let (builder, seen) = watched(Receiver::builder(config()));
    let (receiver, count) = counting(builder);
    let forged = signed("msg_1", "{}").replace("\r\n\r\n{}", "\r\n\r\n[]");
    let stale = format!("{}\r\n{{}}", head("msg_1", unix_secs() - 1000, "{}"));
    let bare = "POST / HTTP/1.1\r\nhost: test\r\n\r\n";
    let mut whys = Vec::new();
    for (request, expected) in [(&*forged, 401), (&*stale, 401), (bare, 400)] {
        let answer = send(&receiver, request);
        assert_eq!(status(&answer), expected);
        assert_eq!(answer.split_once("\r\n\r\n").unwrap().1, "the webhook was not accepted");
        let Seen::Answered { status, unverified: Some(why), written: true, .. } = seen.recv().unwrap() else {
            panic!("no reason is seen");
        };
        assert_eq!(status.as_u16(), expected);
        whys.push(why);
    }
    assert_eq!(whys[0], VerifyError::NoMatch { signatures: 1 });
    assert!(matches!(whys[1], VerifyError::TooOld { .. }), "{whys:?}");
    assert_eq!(whys[2], VerifyError::Missing { header: "webhook-id" });
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[test]
fn what_is_wanted_later_comes_again_and_what_is_refused_does_not() {
    let count = AtomicUsize::new(0);
    let receiver = Receiver::bind(LOCAL, config(), move |delivery: Delivery| {
        match (delivery.webhook_id(), count.fetch_add(1, Ordering::SeqCst)) {
            ("msg_1", 0) => Err(Processed::Later { after: Some(Duration::from_millis(1500)) }),
            ("msg_1", 1) => panic!("planted"),
            ("msg_1", 2) | ("msg_3", 4) => Ok(()),
            ("msg_2", 3) => Err(Processed::Refuse),
            other => panic!("{other:?} is delivered again"),
        }
    })
    .unwrap();
    let later = send(&receiver, &signed("msg_1", "{}"));
    assert_eq!(status(&later), 503);
    assert!(later.contains("retry-after: 2\r\n"), "{later}");
    let panicked = send(&receiver, &signed("msg_1", "{}"));
    assert_eq!(status(&panicked), 503);
    assert!(panicked.contains("retry-after: 5\r\n"), "{panicked}");
    assert_eq!(status(&send(&receiver, &signed("msg_1", "{}"))), 204);
    assert_eq!(status(&send(&receiver, &signed("msg_2", "{}"))), 400);
    assert_eq!(status(&send(&receiver, &signed("msg_2", "{}"))), 400);
    assert_eq!(status(&send(&receiver, &signed("msg_3", "{}"))), 204);
}

#[test]
fn a_body_is_read_only_as_far_as_it_may_be_long() {
    let mut limits = ReceiverLimits::default();
    limits.body = 10;
    let (receiver, count) = counting(Receiver::builder(config().limits(limits)));
    // Declared too long: answered before a byte of it is sent, without being asked to go on, and then it is over.
    let mut stream = connect(&receiver);
    let expecting = format!("{}expect: 100-continue\r\n\r\n", head("msg_1", unix_secs(), "01234567890"));
    stream.write_all(expecting.as_bytes()).unwrap();
    let refused = answer(&mut stream);
    assert!(refused.starts_with("HTTP/1.1 413"), "{refused}");
    assert!(refused.contains("connection: close\r\n") && is_over(&mut stream), "{refused}");
    // Not declared: answered when there are too many.
    let chunked = head("msg_1", unix_secs(), "").replace("content-length: 0", "transfer-encoding: chunked");
    assert_eq!(status(&send(&receiver, &format!("{chunked}\r\n6\r\n012345\r\n5\r\n67890"))), 413);
    // As long as it may be: asked for, and delivered.
    let mut stream = connect(&receiver);
    let expecting = format!("{}expect: 100-continue\r\n\r\n", head("msg_1", unix_secs(), "0123456789"));
    stream.write_all(expecting.as_bytes()).unwrap();
    assert_eq!(answer(&mut stream), "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"0123456789").unwrap();
    assert_eq!(status(&answer(&mut stream)), 204);
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[test]
fn a_refusal_reaches_a_sender_that_does_not_stop_sending() {
    let (receiver, _) = counting(Receiver::builder(config()));
    let mut stream = connect(&receiver);
    let big = "x".repeat(2 * 1024 * 1024);
    let request = signed("msg_1", &big);
    // More than the receiver reads: it may break off at any place.
    let _ = stream.write_all(&request.as_bytes()[..512 * 1024]);
    assert_eq!(status(&answer(&mut stream)), 413);
    assert!(is_over(&mut stream), "it ends, and is not reset");
}

#[test]
fn chunks_trailers_and_pipelines_are_read() {
    let (receiver, count) = counting(Receiver::builder(config()));
    let chunked = |id: &str| {
        let length = head(id, unix_secs(), "{\"a\":1}").replace("content-length: 7", "transfer-encoding: chunked");
        format!("{length}\r\n2;x=y\r\n{{\"\r\n5\r\na\":1}}\r\n0\r\ntrailer: 1\r\n\r\n")
    };
    let pipeline = [chunked("msg_1"), signed("msg_2", "{}"), signed("msg_3", ""), chunked("msg_4")].concat();
    let mut stream = connect(&receiver);
    stream.write_all(pipeline.as_bytes()).unwrap();
    for _ in 0..4 {
        assert_eq!(status(&answer(&mut stream)), 204);
    }
    // Byte by byte.
    let mut stream = connect(&receiver);
    stream.set_nodelay(true).unwrap();
    for byte in chunked("msg_5").as_bytes() {
        stream.write_all(&[*byte]).unwrap();
    }
    assert_eq!(status(&answer(&mut stream)), 204);
    assert_eq!(count.load(Ordering::SeqCst), 5);
}

#[test]
fn what_can_be_read_in_two_ways_is_refused_and_ends_the_connection() {
    let (builder, seen) = watched(Receiver::builder(config()));
    let (receiver, count) = counting(builder);
    let good = signed("msg_1", "{}");
    for (bad, expected) in [
        (good.replace("host: test\r\n", "host: test\r\ncontent-length: 2\r\n"), 400),
        (good.replace("host: test\r\n", "host: test\r\ntransfer-encoding: chunked\r\n"), 400),
        (good.replace("content-length: 2", "transfer-encoding: chunked, gzip"), 400),
        (good.replace("content-length: 2", "transfer-encoding: chunked").replace("\n{}", "\nxyz\r\n{}"), 400),
        (good.replace("host: test\r\n", ""), 400),
        (good.replace("POST /hooks HTTP/1.1", "hello"), 400),
        (good.replace("host: test", &format!("host: test\r\nlong: {}", "x".repeat(40_000))), 431),
        (good.replace("host: test", &format!("host: test\r\n{}a: b", "a: b\r\n".repeat(200))), 431),
    ] {
        let mut stream = connect(&receiver);
        stream.write_all(bad.as_bytes()).unwrap();
        let answer = answer(&mut stream);
        assert_eq!(status(&answer), expected, "{bad}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        assert!(is_over(&mut stream));
        let Seen::Faulty { fault, .. } = seen.recv().unwrap() else { panic!("no fault is seen") };
        assert_eq!(fault.status().map(|status| status.as_u16()), Some(expected));
    }
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[test]
fn other_methods_are_refused() {
    let (receiver, _) = counting(Receiver::builder(config()));
    let get = send(&receiver, "GET / HTTP/1.1\r\nhost: test\r\n\r\n");
    assert_eq!(status(&get), 405);
    assert!(get.contains("allow: POST\r\n") && get.contains("connection: close\r\n"), "{get}");
}

#[test]
fn slow_heads_and_bodies_are_cut_and_their_exchanges_given_up() {
    let mut limits = ReceiverLimits::default();
    limits.exchanges = 1;
    let builder = Receiver::builder(config().limits(limits)).head_time(SHORT).body_time(SHORT).idle_time(SHORT);
    let (builder, seen) = watched(builder);
    let (receiver, count) = counting(builder);
    let start = Instant::now();
    // Dripping does not help: the time is for the whole.
    let mut stream = connect(&receiver);
    for byte in signed("msg_1", "{}").as_bytes()[..40].iter() {
        thread::sleep(SHORT / 20);
        if stream.write_all(&[*byte]).is_err() {
            break;
        }
    }
    assert_eq!(status(&answer(&mut stream)), 408);
    assert!(matches!(seen.recv().unwrap(), Seen::Faulty { fault: Fault::HeadTimedOut, .. }));
    let mut stream = connect(&receiver);
    stream.write_all(format!("{}\r\n{{", head("msg_1", unix_secs(), "{}")).as_bytes()).unwrap();
    assert_eq!(status(&answer(&mut stream)), 408);
    assert!(is_over(&mut stream));
    assert!(matches!(seen.recv().unwrap(), Seen::Faulty { fault: Fault::BodyTimedOut, .. }));
    // One that breaks off.
    let mut stream = connect(&receiver);
    stream.write_all(format!("{}\r\n{{", head("msg_1", unix_secs(), "{}")).as_bytes()).unwrap();
    drop(stream);
    assert!(matches!(seen.recv().unwrap(), Seen::Faulty { fault: Fault::HungUp, .. }));
    // Nothing of this holds a place, and one that rests too long is closed without a word.
    let mut stream = connect(&receiver);
    stream.write_all(signed("msg_1", "{}").as_bytes()).unwrap();
    assert_eq!(status(&answer(&mut stream)), 204);
    assert!(is_over(&mut stream));
    assert!(is_over(&mut connect(&receiver)));
    assert!(start.elapsed() < PATIENCE / 2, "each in its time");
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[test]
fn a_body_that_drips_is_cut_long_before_its_time() {
    let (receiver, count) = counting(Receiver::builder(config()).body_rate(1000, 3 * SHORT));
    let body = "x".repeat(1000);
    let mut stream = connect(&receiver);
    stream.write_all(format!("{}\r\n", head("msg_1", unix_secs(), &body)).as_bytes()).unwrap();
    let start = Instant::now();
    let mut dripping = stream.try_clone().unwrap();
    let drip = thread::spawn(move || {
        while start.elapsed() < PATIENCE && dripping.write_all(b"x").is_ok() {
            thread::sleep(SHORT / 20);
        }
    });
    assert_eq!(status(&answer(&mut stream)), 408);
    assert!((2 * SHORT..PATIENCE / 2).contains(&start.elapsed()), "{:?}", start.elapsed());
    drop(stream);
    drip.join().unwrap();
    // Who sends fast enough has the time that it takes.
    let mut stream = connect(&receiver);
    stream.write_all(format!("{}\r\n", head("msg_2", unix_secs(), &body)).as_bytes()).unwrap();
    for part in body.as_bytes().chunks(250) {
        stream.write_all(part).unwrap();
        thread::sleep(SHORT / 2);
    }
    assert_eq!(status(&answer(&mut stream)), 204);
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[test]
fn no_more_are_delivered_at_once_than_was_agreed() {
    let (receiver, gate) = gated(Receiver::builder(config()).concurrency(8));
    let receiver = Arc::new(receiver);
    let (tell, answers) = mpsc::channel();
    for n in 0..50 {
        let (receiver, tell) = (Arc::clone(&receiver), tell.clone());
        thread::spawn(move || tell.send(status(&send(&receiver, &signed(&format!("msg_{n}"), "{}")))).unwrap());
    }
    let next = || answers.recv_timeout(PATIENCE).unwrap();
    for _ in 0..42 {
        assert_eq!(next(), 503);
    }
    eventually("all that was agreed runs", || gate.most.load(Ordering::SeqCst) == 8);
    gate.let_through(8);
    for _ in 0..8 {
        assert_eq!(next(), 204);
    }
    assert_eq!(gate.most.load(Ordering::SeqCst), 8);
}

#[test]
fn overdue_deliveries_keep_their_place() {
    let mut limits = ReceiverLimits::default();
    limits.processing = SHORT;
    let (builder, seen) = watched(Receiver::builder(config().limits(limits)).concurrency(1));
    let (receiver, gate) = gated(builder);
    let why = |answer: String| {
        assert_eq!(status(&answer), 503);
        loop {
            if let Seen::Answered { reason, .. } = seen.recv_timeout(PATIENCE).unwrap() {
                return reason.unwrap();
            }
        }
    };
    assert_eq!(why(send(&receiver, &signed("msg_1", "{}"))), Reason::TimedOut);
    assert_eq!(why(send(&receiver, &signed("msg_2", "{}"))), Reason::NoCredit, "it still runs");
    gate.let_through(1);
    eventually("it ended late, and counts", || status(&send(&receiver, &signed("msg_1", "{}"))) == 204);
    gate.let_through(1);
    assert_eq!(status(&send(&receiver, &signed("msg_2", "{}"))), 204);
    assert_eq!(gate.most.load(Ordering::SeqCst), 1);
}

#[test]
fn a_delivery_outlives_its_request() {
    let (builder, seen) = watched(Receiver::builder(config()));
    let (receiver, gate) = gated(builder);
    let mut stream = connect(&receiver);
    stream.write_all(signed("msg_1", "{}").as_bytes()).unwrap();
    eventually("it is delivered", || gate.running() == 1);
    drop(stream);
    gate.let_through(1);
    eventually("it ends", || gate.running() == 0);
    assert_eq!(status(&send(&receiver, &signed("msg_1", "{}"))), 204);
    let reasons: Vec<_> = seen
        .try_iter()
        .filter_map(|seen| match seen {
            Seen::Answered { reason, status: StatusCode::NO_CONTENT, .. } => reason,
            _ => None,
        })
        .collect();
    assert!(reasons.contains(&Reason::Processed), "{reasons:?}");
    assert_eq!(gate.most.load(Ordering::SeqCst), 1);
}

#[test]
fn who_rests_gives_way_to_who_comes() {
    let (receiver, _) = counting(Receiver::builder(config()).connections(2));
    let mut kept: Vec<_> = (0..2).map(|_| connect(&receiver)).collect();
    for (n, stream) in kept.iter_mut().enumerate() {
        stream.write_all(signed(&format!("msg_{n}"), "{}").as_bytes()).unwrap();
        assert_eq!(status(&answer(stream)), 204);
        // Until it rests.
        thread::sleep(SHORT / 4);
    }
    for n in 2..6 {
        assert_eq!(status(&send(&receiver, &signed(&format!("msg_{n}"), "{}"))), 204);
    }
    assert!(is_over(&mut kept[0]), "it has rested longest");
}

#[test]
fn closing_answers_what_is_in_progress() {
    let (receiver, gate) = gated(Receiver::builder(config()));
    let receiver = Arc::new(receiver);
    let mut idle = connect(&receiver);
    // What comes with a whole request is there when that is answered.
    let mut halfway = connect(&receiver);
    halfway.write_all(format!("{}POST ", signed("msg_0", "{}")).as_bytes()).unwrap();
    gate.let_through(1);
    assert_eq!(status(&answer(&mut halfway)), 204);
    let mut busy = connect(&receiver);
    busy.write_all(signed("msg_1", "{}").as_bytes()).unwrap();
    eventually("it is delivered", || gate.running() == 1);
    let closing = thread::spawn({
        let receiver = Arc::clone(&receiver);
        move || receiver.close(PATIENCE)
    });
    assert!(is_over(&mut idle), "who rests is let out");
    halfway.write_all(&signed("msg_2", "{}").as_bytes()[5..]).unwrap();
    let refused = answer(&mut halfway);
    assert_eq!(status(&refused), 503);
    assert!(refused.contains("connection: close\r\n"), "{refused}");
    drop(halfway);
    assert!(!closing.is_finished());
    gate.let_through(1);
    assert_eq!(status(&answer(&mut busy)), 204);
    drop(busy);
    assert!(closing.join().unwrap(), "everything was answered");
    assert!(TcpStream::connect(receiver.local_addr()).is_err(), "nobody listens");
    assert!(receiver.close(Duration::ZERO), "closing again");
}

#[test]
fn closing_ends_in_its_time() {
    let (receiver, gate) = gated(Receiver::builder(config()));
    let mut busy = connect(&receiver);
    busy.write_all(signed("msg_1", "{}").as_bytes()).unwrap();
    eventually("it is delivered", || gate.running() == 1);
    let start = Instant::now();
    assert!(!receiver.close(SHORT), "a delivery still runs");
    assert!(start.elapsed() >= SHORT && start.elapsed() < PATIENCE);
    assert!(is_over(&mut busy));
    gate.let_through(1);
}

#[test]
fn what_is_seen_is_a_line() {
    let peer = SocketAddr::from(([127, 0, 0, 1], 5000));
    let answered = |reason, unverified| Seen::Answered {
        peer,
        status: StatusCode::UNAUTHORIZED,
        reason,
        unverified,
        written: true,
    };
    let why = VerifyError::Missing { header: "webhook-id" };
    assert_eq!(
        answered(Some(Reason::Unverified), Some(why)).to_string(),
        "127.0.0.1:5000: 401, the header webhook-id is missing"
    );
    assert_eq!(answered(Some(Reason::NoCredit), None).to_string(), "127.0.0.1:5000: 401, NoCredit");
    let fault = Fault::Malformed("it has more than one length");
    assert_eq!(
        Seen::Faulty { peer, fault }.to_string(),
        "127.0.0.1:5000: 400, the request is malformed: it has more than one length"
    );
}
