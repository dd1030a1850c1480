//! The vectors of the handshake, and the laws of consent.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const TOKEN: &str = "canary-3q2-7wEjRWeJqrvM3e7_AA";

fn token(n: u8) -> Token {
    Token::new(&format!("{TOKEN}{n}")).unwrap()
}

fn per_minute(rate: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(rate)
}

fn lines(of: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_string();
    of["headers"].as_array().unwrap().iter().map(|line| (text(&line[0]), text(&line[1]))).collect()
}

fn find(lines: &[(String, String)], name: &str) -> Option<String> {
    lines.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
}

fn told(answer: Answer) -> Value {
    match answer {
        Answer::Granted(Rate::Unlimited) => json!({"result": "granted", "rate_per_minute": "unlimited"}),
        Answer::Granted(Rate::PerMinute(rate)) => json!({"result": "granted", "rate_per_minute": rate.get()}),
        Answer::Granted(Rate::Unanswered(_)) => json!({"result": "granted", "rate_per_minute": "unspecified"}),
        Answer::Granted(Rate::Unspoken) => json!({"result": "granted", "rate_per_minute": null}),
        Answer::Later => json!({"result": "pending-callback"}),
        Answer::Refused(_) => json!({"result": "refused"}),
    }
}

fn shake(input: &Value) -> Value {
    let asked = lines(&input["request"]);
    let mut question = Question::new(Origin::new(&find(&asked, "webhook-request-origin").unwrap()).unwrap());
    question.rate = find(&asked, "webhook-request-rate").and_then(|rate| rate.parse().ok());
    question.callback = find(&asked, "webhook-request-callback")
        .map(|_| Callback::new("https://example.com/confirm", &token(0)).unwrap());
    let sent = question.lines();
    for name in ["webhook-request-origin", "webhook-request-rate"] {
        let line = sent.iter().find(|(n, _)| n == name).map(|(_, value)| value.to_str().unwrap().to_string());
        assert_eq!(line, find(&asked, name));
    }
    if input["response"]["status"].is_null() {
        let mut consent = Consent::new(ConsentBy::CloudEvents, question.rate);
        consent.begin(Now::default());
        consent.ask(Now::default(), &token(0));
        let rule = consent.unreachable(Now::default()).rule;
        assert_eq!(rule, ConsentRule::TriesAgain(Failure::Unreachable));
        return json!({"result": "unknown-retry"});
    }
    told(question.read(&lines(&input["response"])))
}

fn receive(input: &Value, expected: &Value) -> bool {
    let policy = &input["policy"];
    let origins = policy["allowed_origins"].as_array().unwrap();
    let mut door = Doorkeeper::new(origins.iter().map(|name| Origin::new(name.as_str().unwrap()).unwrap()));
    door.rate = policy["max_rate"].as_u64().and_then(|rate| per_minute(rate as u32));
    let reception = door.answer(&lines(&input["request"]));
    let given = |name: &str| {
        let line = reception.lines.iter().find(|(n, _)| n.as_str().eq_ignore_ascii_case(name));
        line.map(|(_, value)| value.to_str().unwrap())
    };
    let wanted = expected["headers"].as_object().into_iter().flatten();
    let refused = expected["no_headers"].as_array().into_iter().flatten();
    wanted.into_iter().all(|(name, value)| given(name) == value.as_str())
        && refused.into_iter().all(|name| given(name.as_str().unwrap()).is_none())
}

#[test]
fn the_vectors_hold() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../../../../tests/vectors/cloudevents.json")).unwrap();
    let mut seen = 0;
    for case in &cases {
        let (input, id) = (&case["input"], &case["id"]);
        let others = case["also_ok"].as_array().into_iter().flatten();
        let mut fine = core::iter::once(&case["expected"]).chain(others);
        let got = match input["op"].as_str().unwrap() {
            "handshake" => shake(input),
            "handshake_callback" => {
                let asked = input["requested_rate"].as_u64().and_then(|rate| per_minute(rate as u32));
                let callback = &input["callback"];
                told(read_callback(callback["method"].as_str().unwrap(), asked, &lines(callback)))
            }
            "handshake_receive" => {
                assert!(fine.any(|expected| receive(input, expected)), "{id}");
                seen += 1;
                continue;
            }
            _ => continue,
        };
        assert!(fine.any(|expected| *expected == got), "{id}: {got}");
        seen += 1;
    }
    assert_eq!(seen, 22);
}

#[test]
fn consent_is_said_clearly_or_not_at_all() {
    let mut question = Question::new(Origin::new("Events.example.com").unwrap());
    let read = |question: &Question, lines: &[(&str, &str)]| question.read(lines);
    let origin = ("WebHook-Allowed-Origin", " events.EXAMPLE.com\t");
    assert_eq!(read(&question, &[origin]), Answer::Granted(Rate::Unspoken));
    assert_eq!(read(&question, &[origin, ("webhook-allowed-origin", "events.example.com")]), told_granted());
    for other in ["*.example.com", "events.example.com, *", "", "**", "events.example.com."] {
        let refused = Answer::Refused(Refusal::OtherOrigin);
        assert_eq!(read(&question, &[("webhook-allowed-origin", other)]), refused, "{other:?}");
        assert_eq!(read(&question, &[origin, ("webhook-allowed-origin", other)]), refused, "{other:?}");
    }
    for bad in ["0", "-1", "+5", "1.5", "", "10, 20", "ten", "1e3", "\u{663}"] {
        let refused = Answer::Refused(Refusal::BadRate);
        assert_eq!(read(&question, &[origin, ("webhook-allowed-rate", bad)]), refused, "{bad:?}");
    }
    let rate = |text| match read(&question, &[origin, ("webhook-allowed-rate", text)]) {
        Answer::Granted(rate) => rate,
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!((rate("007"), rate("*")), (Rate::PerMinute(per_minute(7).unwrap()), Rate::Unlimited));
    assert_eq!(rate("99999999999999999999"), Rate::PerMinute(NonZeroU32::MAX));
    question.callback = Some(Callback::new("https://example.com/", &token(1)).unwrap());
    assert_eq!(read(&question, &[("webhook-allowed-rate", "5")]), Answer::Later);
    let many = [origin; HANDSHAKE_LINES + 1];
    assert_eq!(question.read(&many), Answer::Refused(Refusal::OtherOrigin));
}

fn told_granted() -> Answer {
    Answer::Granted(Rate::Unspoken)
}

#[test]
fn a_callback_url_ends_in_its_token_and_does_not_show_it() {
    let callback = Callback::new("https://example.com/confirm/", &token(1)).unwrap();
    let mut question = Question::new(Origin::new("a.example").unwrap());
    question.callback = Some(callback);
    let sent = question.lines();
    let url = sent[1].1.to_str().unwrap();
    assert_eq!(url, format!("https://example.com/confirm/{TOKEN}1"));
    assert_eq!(Callback::token_of(url.strip_prefix("https://example.com").unwrap()), format!("{TOKEN}1"));
    assert_eq!(Callback::token_of("/confirm/abc?x=/y"), "abc");
    assert!(sent[1].1.is_sensitive());
    assert!(!format!("{question:?} {sent:?} {:?}", token(1)).contains("canary"));
    let refused = |base: &str| Callback::new(base, &token(1)).unwrap_err();
    assert_eq!(refused("http://example.com"), CallbackError::NotHttps);
    assert_eq!(refused("https://"), CallbackError::NotHttps);
    assert_eq!(refused("https://example.com/?id=1"), CallbackError::NotPlain);
    assert_eq!(refused("https://user@example.com/"), CallbackError::NotPlain);
    assert_eq!(refused("https://example.com/a\r\nb"), CallbackError::NotPlain);
    assert_eq!(refused(&format!("https://example.com/{}", "a".repeat(2048))), CallbackError::TooLong);
}

#[test]
fn the_echo_is_the_token_and_nothing_else() {
    let token = token(1);
    let text = token.expose();
    let sent = challenge_data(&token);
    assert_eq!(serde_json::from_str::<Value>(&sent).unwrap(), json!({ "challenge": text }));
    let read = |body: &str| read_echo(&token, 200, body.as_bytes());
    for fine in [text.to_string(), format!(" {text}\r\n"), format!("\"{text}\""), sent.clone()] {
        assert_eq!(read(&fine), Ok(()), "{fine}");
    }
    assert_eq!(read(&format!("{{\"a\":[1],\"challenge\":\"{text}\"}}")), Ok(()));
    let whole = format!("{{\"type\":\"endpoint.verify\",\"timestamp\":\"\",\"data\":{sent}}}");
    for other in [&whole, &format!("{text}x"), &text[1..].to_string(), &format!("[\"{text}\"]"), &format!("<{text}>")] {
        assert_eq!(read(other), Err(EchoError::Other), "{other}");
    }
    assert_eq!(read(" \n"), Err(EchoError::Empty));
    assert_eq!(read(&" ".repeat(ECHO_BYTES + 1)), Err(EchoError::TooLong));
    assert_eq!(read_echo(&token, 302, text.as_bytes()), Err(EchoError::Status(302)));
    let digits = Token::new(&"7".repeat(22)).unwrap();
    assert_eq!(read_echo(&digits, 204, "7".repeat(22).as_bytes()), Ok(()), "a number to JSON");
}

#[test]
fn tokens_and_origins_have_a_grammar() {
    for bad in ["", "short", &"a".repeat(129), "has a space in the middle", "has/a/slash/in/the/middle"] {
        assert!(Token::new(bad).is_err(), "{bad}");
    }
    for good in ["a", "a.b-c_d.example", &vec!["a".repeat(63); 3].join(".")] {
        assert_eq!(Origin::new(good).unwrap().line().1, good);
    }
    for bad in ["", ".", "a..b", "a.", "a b", "a:443", "*", "é.example", &"a".repeat(64), &"a.".repeat(127)] {
        assert!(Origin::new(bad).is_err(), "{bad}");
    }
    for by in ConsentBy::ALL {
        assert_eq!((by.name().parse(), ConsentBy::of_code(by.code())), (Ok(by), Some(by)));
    }
    assert!("cloudEvents".parse::<ConsentBy>().is_err() && ConsentBy::of_code(3).is_none());
}

#[test]
fn a_doorkeeper_grants_what_it_was_asked_within_its_bound() {
    let mut door = Doorkeeper::new([Origin::new("a.example").unwrap()]);
    let origin = ("webhook-request-origin", "A.example");
    let rate = |door: &Doorkeeper, lines: &[(&str, &str)]| {
        let reception = door.answer(lines);
        assert_eq!((reception.granted, reception.status), (true, 200));
        assert_eq!(reception.lines[1].1, "A.example", "the name comes back as it was given");
        reception.lines[2].1.to_str().unwrap().to_string()
    };
    assert_eq!(rate(&door, &[origin]), "*");
    assert_eq!(rate(&door, &[origin, ("webhook-request-rate", "7")]), "7");
    door.rate = per_minute(5);
    assert_eq!(rate(&door, &[origin, ("webhook-request-rate", "7")]), "5");
    assert_eq!(rate(&door, &[origin, ("webhook-request-rate", "0")]), "5");
    let other = [("webhook-request-origin", "b.example")];
    assert!(!door.answer(&other).granted);
    assert!(!door.answer(&[origin, other[0]]).granted, "two names are none");
    door.anyone = true;
    assert!(door.answer(&other).granted);
    assert!(!door.answer(&[("webhook-request-origin", "b example")]).granted);
}

/// A consent that has been asked for once.
fn asked(by: ConsentBy) -> Consent {
    let mut consent = Consent::new(by, per_minute(60));
    assert_eq!(consent.begin(Now::default()).rule, ConsentRule::Begun);
    assert_eq!(consent.ask(Now::default(), &token(1)).rule, ConsentRule::Asked);
    consent
}

#[test]
fn a_callback_works_once_and_not_for_ever() {
    const NONE: [(&str, &str); 0] = [];
    let now = Now::default();
    let mut consent = asked(ConsentBy::CloudEvents);
    assert_eq!(consent.answered(now, Answer::Later, 405).rule, ConsentRule::WaitsForCallback);
    let call = |consent: &mut Consent, now, token: &Token, method: &str| {
        consent.called_back(now, token.expose().as_bytes(), method, &NONE).rule
    };
    let late = now.advanced(CALLBACK_LIFE);
    assert_eq!(call(&mut consent.clone(), late, &token(1), "GET"), ConsentRule::UnknownCallback);
    assert_eq!(consent.clone().tick(late).rule, ConsentRule::Declined(Decline::NoCallback));
    assert_eq!(call(&mut consent, now, &token(2), "GET"), ConsentRule::UnknownCallback);
    assert_eq!(call(&mut consent, now, &token(1), "HEAD"), ConsentRule::BadCallback(Refusal::Method));
    let bad = consent.called_back(now, token(1).expose().as_bytes(), "POST", &[("webhook-allowed-rate", "0")]);
    assert_eq!(bad.rule, ConsentRule::BadCallback(Refusal::BadRate));
    let rate = Rate::PerMinute(per_minute(60).unwrap());
    assert_eq!(call(&mut consent, now, &token(1), "GET"), ConsentRule::GrantedByCallback(rate));
    assert_eq!(call(&mut consent, now, &token(1), "GET"), ConsentRule::UnknownCallback, "it is used up");
    assert_eq!((consent.is_given(), consent.limit()), (true, per_minute(60)));
    let origin = Origin::new("a.example").unwrap();
    assert_eq!(consent.delivery_line(&origin), Some(origin.line()));
    consent.begin(now);
    assert_eq!((consent.is_given(), consent.delivery_line(&origin)), (false, None));
}

#[test]
fn an_endpoint_is_asked_seven_times_and_then_left_alone() {
    let mut now = Now::default();
    let mut consent = asked(ConsentBy::Challenge);
    for (n, delay) in ASK_DELAYS.iter().enumerate() {
        let reason = consent.echoed(now, Err(EchoError::Status(500)));
        assert_eq!((reason.next, usize::from(reason.asks)), (Some(*delay), n + 1));
        let early = consent.ask(now, &token(1));
        assert_eq!(early.rule, ConsentRule::Stale);
        now = now.advanced(*delay);
        assert_eq!(consent.ask(now, &token(1)).rule, ConsentRule::Asked);
    }
    let reason = consent.unreachable(now);
    assert_eq!(reason.rule, ConsentRule::Declined(Decline::GaveUp(Failure::Unreachable)));
    assert_eq!(reason.to_string(), "the endpoint did not agree after 7 asks: no answer came");
    assert_eq!(consent.due(), None);

    let mut silent = asked(ConsentBy::CloudEvents);
    let reason = silent.answered(now, Answer::Refused(Refusal::Silent), 503);
    assert_eq!(
        reason.to_string(),
        "ask number 1 failed: the answer was silent under status 503; the next one is due in 60s"
    );
    let mut refused = asked(ConsentBy::CloudEvents);
    let reason = refused.answered(now, Answer::Refused(Refusal::Silent), 200);
    assert_eq!(reason.rule, ConsentRule::Declined(Decline::Refused(Refusal::Silent)));
    let mut gone = asked(ConsentBy::Challenge);
    assert_eq!(gone.echoed(now, Err(EchoError::Status(410))).rule, ConsentRule::Declined(Decline::Gone));
    let mut free = Consent::new(ConsentBy::None, None);
    assert_eq!((free.begin(now).rule, free.is_given()), (ConsentRule::NotNeeded, true));
}

/// Something that may happen to a consent.
#[derive(Clone, Debug)]
enum Happens {
    Begin,
    Ask(u8),
    Answered(Answer, u16),
    Echoed(Result<(), EchoError>),
    Unreachable,
    Called(u8, bool),
    Pass(u64),
    Restart,
}

fn answers() -> impl Strategy<Value = Answer> {
    prop_oneof![
        Just(Answer::Granted(Rate::Unlimited)),
        Just(Answer::Later),
        Just(Answer::Refused(Refusal::Silent)),
        Just(Answer::Refused(Refusal::OtherOrigin)),
    ]
}

fn happens() -> impl Strategy<Value = Happens> {
    let echo = prop_oneof![
        Just(Ok(())),
        Just(Err(EchoError::Other)),
        any::<u16>().prop_map(|status| Err(EchoError::Status(status)))
    ];
    prop_oneof![
        1 => Just(Happens::Begin),
        4 => (0..4_u8).prop_map(Happens::Ask),
        3 => (answers(), any::<u16>()).prop_map(|(answer, status)| Happens::Answered(answer, status)),
        2 => echo.prop_map(Happens::Echoed),
        4 => Just(Happens::Unreachable),
        3 => (0..4_u8, any::<bool>()).prop_map(|(n, get)| Happens::Called(n, get)),
        6 => (0..100_000_u64).prop_map(Happens::Pass),
        1 => Just(Happens::Restart),
    ]
}

proptest! {
    /// Consent comes of a right answer, echo or callback alone; asks are at most seven a round; whatever waits ends.
    #[test]
    fn only_a_right_answer_is_consent(by in 0..3_u8, course in prop::collection::vec(happens(), 0..60)) {
        let by = ConsentBy::of_code(by).unwrap();
        let mut consent = Consent::new(by, per_minute(9));
        let mut now = Now::default().advanced(Duration::from_secs(1));
        let mut live: Vec<(u8, Instant)> = Vec::new();
        for step in course {
            let before = consent.clone();
            let reason = match &step {
                Happens::Begin => { live.clear(); consent.begin(now) }
                Happens::Ask(n) => consent.ask(now, &token(*n)),
                Happens::Answered(answer, status) => consent.answered(now, *answer, *status),
                Happens::Echoed(echo) => consent.echoed(now, *echo),
                Happens::Unreachable => consent.unreachable(now),
                Happens::Called(n, get) => {
                    let method = if *get { "GET" } else { "HEAD" };
                    consent.called_back(now, token(*n).expose().as_bytes(), method, &[("a", "b")])
                }
                Happens::Pass(secs) => { now = now.advanced(Duration::from_secs(*secs)); consent.tick(now) }
                Happens::Restart => {
                    consent = Consent::restore(now, &consent.keep(now));
                    if before.stage != consent.stage {
                        let asking = matches!(before.stage, Stage::Asking { .. });
                        prop_assert!(asking || before.due().is_some_and(|at| at < now.mono));
                        prop_assert_eq!(consent.due(), Some(now.mono));
                    }
                    continue;
                }
            };
            if let (Happens::Ask(n), ConsentRule::Asked) = (&step, reason.rule) {
                live.push((*n, now.mono.saturating_add(CALLBACK_LIFE)));
            }
            if consent.is_given() && !before.is_given() {
                let right = match step {
                    Happens::Answered(Answer::Granted(_), _) => by == ConsentBy::CloudEvents,
                    Happens::Echoed(Ok(())) => by == ConsentBy::Challenge,
                    Happens::Called(n, get) => {
                        get && by == ConsentBy::CloudEvents && live.iter().any(|(m, ends)| *m == n && *ends > now.mono)
                    }
                    _ => false,
                };
                prop_assert!(right);
                live.clear();
            }
            prop_assert_eq!(reason.is_change(), consent != before || matches!(step, Happens::Begin));
            prop_assert!(consent.asks <= ASKS && consent.tokens.len() <= usize::from(ASKS));
            let shown = format!("{reason} {consent:?}");
            prop_assert!(!shown.contains("canary"));
            let ended = matches!(consent.stage, Stage::NotNeeded | Stage::Granted { .. } | Stage::Declined { .. });
            prop_assert_eq!(consent.due().is_none(), ended);
        }
    }
}
