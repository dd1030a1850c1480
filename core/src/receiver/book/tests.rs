//! The book against a model that keeps one list and looks through all of it, and what must hold of any history.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec;

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;

const WINDOW: Duration = Duration::from_millis(100);

fn at(millis: u64) -> UnixTime {
    UnixTime::from_millis(millis)
}

fn book() -> ClaimBook {
    ClaimBook::new(BookLimits::default().window(WINDOW), at(1000))
}

fn claim(key: &str, said: Option<&str>) -> Claim {
    Claim { said: said.map(Arc::from), ..Claim::new(key, Duration::from_millis(30)) }
}

fn token(claimed: Claimed) -> ClaimToken {
    match claimed {
        Claimed::Granted { token, .. } => token,
        other @ (Claimed::Held { .. } | Claimed::Over(_)) => panic!("{other:?}"),
    }
}

/// What a book is that is made again of these records.
fn again(records: impl IntoIterator<Item = BookRecord>, limits: BookLimits, now: UnixTime) -> ClaimBook {
    let mut book = ClaimBook::new(limits, now);
    for record in records {
        let mut bytes = BytesMut::new();
        record.encode(&mut bytes);
        assert_eq!(BookRecord::decode(&bytes).unwrap(), record);
        book.apply(record);
    }
    book
}

#[test]
fn an_event_is_one_claimants_until_it_is_over() {
    let mut book = book();
    let event = claim("a", None);
    let first = token(book.claim(at(1000), &event));
    assert_eq!(book.claim(at(1010), &event), Claimed::Held { lease: Duration::from_millis(20) });
    assert_eq!(book.commit(at(1020), &event.commit(first, Ending::Queued)), Ok(()));
    assert_eq!(book.claim(at(1119), &event), Claimed::Over(Ending::Queued));
    assert_eq!(book.commit(at(1119), &event.commit(first, Ending::Done)), Ok(()), "the same once more");
    assert_eq!(book.claim(at(1119), &event), Claimed::Over(Ending::Queued), "the first counts");
    let second = token(book.claim(at(1120), &event));
    assert!(second > first);
    book.release(at(1121), &event.release(second));
    book.release(at(1121), &event.release(second));
    assert_eq!(book.commit(at(1121), &event.commit(second, Ending::Done)), Err(ClaimError::Lost));
    assert!(token(book.claim(at(1121), &event)) > second);
}

#[test]
fn a_lease_that_ran_out_can_be_committed_until_another_has_the_event() {
    let (mut book, event) = (book(), claim("a", None));
    let first = token(book.claim(at(1000), &event));
    let mut kept = book.clone();
    assert_eq!(kept.commit(at(1040), &event.commit(first, Ending::Done)), Ok(()));
    assert_eq!(kept.claim(at(1041), &event), Claimed::Over(Ending::Done));
    let second = token(book.claim(at(1030), &event));
    assert_eq!(book.commit(at(1040), &event.commit(first, Ending::Done)), Err(ClaimError::Lost));
    book.release(at(1040), &event.release(first));
    assert_eq!(book.claim(at(1040), &event), Claimed::Held { lease: Duration::from_millis(20) });
    assert_eq!(book.commit(at(1041), &event.commit(second, Ending::Done)), Ok(()));
}

#[test]
fn what_failed_is_owed_whatever_came_under_its_id() {
    let (mine, theirs) = (claim("mine", Some("id")), claim("theirs", Some("id")));
    let mut book = book();
    let first = token(book.claim(at(1000), &mine));
    assert_eq!(book.claim(at(1001), &theirs), Claimed::Held { lease: Duration::from_millis(29) });
    book.release(at(1002), &mine.release(first));
    // It came as a repeat of mine, and is mine now.
    let second = token(book.claim(at(1003), &theirs));
    assert_eq!(book.claim(at(1004), &mine), Claimed::Held { lease: Duration::from_millis(29) });
    book.release(at(1005), &theirs.release(second));

    let mut book = self::book();
    let first = token(book.claim(at(1000), &mine));
    book.release(at(1001), &mine.release(first));
    let other = token(book.claim(at(1002), &theirs));
    assert_eq!(book.commit(at(1003), &theirs.commit(other, Ending::Done)), Ok(()));
    let mut restored = again(book.records(), book.limits, at(1004));
    for book in [&mut book, &mut restored] {
        let second = token(book.claim(at(1004), &mine));
        assert_eq!(book.claim(at(1005), &claim("a third", Some("id"))), Claimed::Over(Ending::Done), "as theirs");
        assert_eq!(book.commit(at(1005), &mine.commit(second, Ending::Done)), Ok(()));
    }
}

#[test]
fn a_key_that_came_under_the_same_id_belongs_to_that_event() {
    let mut book = book();
    let event = claim("0", Some("id"));
    let first = token(book.claim(at(1000), &event));
    for key in 1..40 {
        let known = book.claim(at(1000), &claim(&format!("{key}"), Some("id")));
        assert_eq!(known, Claimed::Held { lease: Duration::from_millis(30) });
    }
    assert_eq!(book.commit(at(1001), &event.commit(first, Ending::Refused)), Ok(()));
    // Under whatever comes with them later; of those beyond the bound nothing is known.
    let answers = (1..40).map(|key| book.claim(at(1002), &claim(&format!("{key}"), None)));
    assert_eq!(answers.filter(|answer| *answer == Claimed::Over(Ending::Refused)).count(), VARIANTS);
}

#[test]
fn a_replay_must_be_signed_later_than_what_was_seen() {
    let signed = |key: &str, secs| Claim { signed: UnixTime::from_secs(secs), ..claim(key, None) };
    let replay = |number, secs| Claim { replay_of: Some("k".into()), ..signed(&format!("k#{number}"), secs) };
    let (mut book, first) = (book(), signed("k", 10));
    let held = token(book.claim(at(1000), &first));
    assert_eq!(book.claim(at(1000), &replay(1, 10)), Claimed::Held { lease: Duration::from_millis(30) });
    book.commit(at(1001), &first.commit(held, Ending::Done)).unwrap();
    let mut log = vec![book.change().unwrap()];
    assert_eq!(book.claim(at(1002), &signed("k", 12)), Claimed::Over(Ending::Done), "a repeat");
    log.extend(book.change());
    let mut restored = again(log, book.limits, at(1002));
    for book in [&mut book, &mut restored] {
        assert_eq!(book.claim(at(1003), &replay(1, 12)), Claimed::Over(Ending::Done));
        let one = token(book.claim(at(1004), &replay(1, 13)));
        book.release(at(1005), &replay(1, 13).release(one));
        let one = token(book.claim(at(1006), &replay(1, 13)));
        book.commit(at(1007), &replay(1, 13).commit(one, Ending::Refused)).unwrap();
        assert_eq!(book.claim(at(1008), &replay(2, 13)), Claimed::Over(Ending::Refused), "as the newest");
        assert_eq!(book.claim(at(1008), &replay(1, 90)), Claimed::Over(Ending::Refused), "once for each number");
        assert_eq!(book.claim(at(1008), &replay(2, 90)), Claimed::Over(Ending::Refused), "the repeat was signed then");
        token(book.claim(at(1008), &replay(2, 91)));
    }
}

#[test]
fn the_largest_place_of_a_line_counts_and_the_line_used_least_is_forgotten() {
    let mut book = ClaimBook::new(BookLimits::default().lines(2), at(0));
    let commit = |book: &mut ClaimBook, key: &str, line: &str, place| {
        let event = Claim { line: Some(line.into()), ..claim(key, None) };
        let Claimed::Granted { token, place: last } = book.claim(at(0), &event) else { panic!("{key} is free") };
        let end = Commit { place: Some((line.into(), place)), ..event.commit(token, Ending::Done) };
        book.commit(at(0), &end).unwrap();
        last
    };
    assert_eq!(commit(&mut book, "1", "x", 5), None);
    assert_eq!(commit(&mut book, "2", "x", 3), Some(5));
    assert_eq!(commit(&mut book, "3", "y", 1), None);
    assert_eq!(commit(&mut book, "4", "x", 4), Some(5));
    assert_eq!(commit(&mut book, "5", "z", 1), None);
    let mut restored = again(book.records(), book.limits, at(0));
    for book in [&mut book, &mut restored] {
        assert_eq!((book.lines(), commit(book, "6", "x", 6), commit(book, "7", "y", 1)), (2, Some(5), None));
    }
}

#[test]
fn what_is_forgotten_before_its_window_is_told() {
    let mut book = ClaimBook::new(BookLimits::default().window(WINDOW).ids(3), at(0));
    for n in 0..10 {
        let event = claim(&format!("{n}"), None);
        let granted = token(book.claim(at(n), &event));
        book.commit(at(n), &event.commit(granted, Ending::Done)).unwrap();
    }
    assert_eq!((book.remembered(), book.forgotten_early(), book.shrunk()), (3, 7, Some(Duration::from_millis(3))));
    assert_eq!(book.shrunk(), None);
    token(book.claim(at(200), &claim("9", None)));
    assert_eq!((book.remembered(), book.forgotten_early()), (0, 7), "those were old enough");
}

#[test]
fn a_clock_that_goes_back_shortens_nothing_and_stops_nothing() {
    let (mut book, event) = (book(), claim("a", None));
    token(book.claim(at(1000), &event));
    assert_eq!(book.claim(at(0), &event), Claimed::Held { lease: Duration::from_millis(30) });
    assert_eq!(book.claim(at(10), &event), Claimed::Held { lease: Duration::from_millis(20) });
    let second = token(book.claim(at(30), &event));
    book.commit(at(31), &event.commit(second, Ending::Done)).unwrap();
    // Made again under a clock that is behind: remembered for a window from then on.
    let mut restored = again(book.records(), book.limits, at(20));
    assert_eq!(restored.claim(at(119), &event), Claimed::Over(Ending::Done));
    token(restored.claim(at(120), &event));
}

/// One list, and nothing but looking through it. It forgets by age alone.
#[derive(Debug, Default)]
struct Model {
    clock: u64,
    told: u64,
    next: u64,
    events: Vec<Known>,
}

#[derive(Clone, Debug)]
struct Known {
    token: u64,
    first: String,
    keys: Vec<String>,
    said: Option<String>,
    holds: bool,
    root: String,
    signed: u64,
    /// When the lease runs out, or when it ended.
    at: u64,
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Held,
    Owed,
    Over(Ending),
}

impl Model {
    fn pass(&mut self, now: u64) {
        self.clock += now.saturating_sub(self.told);
        self.told = now;
        let (clock, window) = (self.clock, WINDOW.as_millis() as u64);
        self.events.retain(|event| clock.saturating_sub(event.at) < window);
    }

    fn answer(&self, event: &Known) -> Option<Claimed> {
        match event.how {
            How::Held if self.clock < event.at => {
                Some(Claimed::Held { lease: Duration::from_millis(event.at - self.clock) })
            }
            How::Over(ending) => Some(Claimed::Over(ending)),
            How::Held | How::Owed => None,
        }
    }

    fn claim(&mut self, now: u64, claim: &Claim) -> Claimed {
        self.pass(now);
        let (key, signed) = (String::from(&*claim.key), claim.signed.as_millis());
        let said = claim.said.as_deref().map(String::from);
        if let Some(at) = self.events.iter().position(|event| event.keys.contains(&key)) {
            if said.is_none() {
                self.events[at].signed = self.events[at].signed.max(signed);
            }
            if let Some(answer) = self.answer(&self.events[at]) {
                return answer;
            }
        } else if let Some(at) = self.events.iter().position(|event| event.holds && event.said == said)
            && let Some(answer) = self.answer(&self.events[at])
        {
            // Keys may have become another's; those still count against the bound.
            if self.events[at].keys.len() <= VARIANTS {
                self.events[at].keys.push(key);
            }
            return answer;
        }
        if let Some(root) = &claim.replay_of {
            let of_root = self.events.iter().filter(|event| event.said.is_none() && *event.root == **root);
            let taken = of_root.filter(|event| event.signed >= signed && self.answer(event).is_some());
            if let Some(newest) = taken.max_by_key(|event| (event.signed, event.token)) {
                return self.answer(newest).unwrap();
            }
        }
        self.grant(claim, key, said)
    }

    fn grant(&mut self, claim: &Claim, key: String, said: Option<String>) -> Claimed {
        let before = self.events.iter().position(|event| event.keys.contains(&key)).map(|at| self.events.remove(at));
        let mut event = Known {
            token: self.next,
            first: key.clone(),
            keys: vec![key.clone()],
            said,
            holds: false,
            root: claim.replay_of.as_deref().unwrap_or(&claim.key).into(),
            signed: claim.signed.as_millis(),
            at: self.clock + claim.lease.as_millis() as u64,
            how: How::Held,
        };
        if let Some(before) = before {
            event.said = before.said.or(event.said);
            event.signed = event.signed.max(before.signed);
            event.keys.extend(before.keys.into_iter().filter(|other| *other != key));
        }
        let holder = self.events.iter().find(|other| other.holds && other.said == event.said);
        event.holds = event.said.is_some() && holder.is_none_or(|holder| self.answer(holder).is_none());
        if event.holds {
            self.events.iter_mut().filter(|other| other.said == event.said).for_each(|other| other.holds = false);
        }
        self.next += 1;
        let token = ClaimToken::new(event.token);
        self.events.push(event);
        Claimed::Granted { token, place: None }
    }

    fn commit(&mut self, now: u64, commit: &Commit) -> Result<(), ClaimError> {
        self.pass(now);
        let clock = self.clock;
        let mut own = self.events.iter_mut();
        let own = own.find(|event| event.token == commit.token.get() && event.first == *commit.key);
        match own {
            Some(event) if event.how == How::Held => {
                (event.at, event.how) = (clock, How::Over(commit.ending));
                Ok(())
            }
            Some(event) if matches!(event.how, How::Over(_)) => Ok(()),
            Some(_) | None => Err(ClaimError::Lost),
        }
    }

    fn release(&mut self, now: u64, release: &Release) {
        self.pass(now);
        let clock = self.clock;
        let own = self.events.iter().position(|event| event.token == release.token.get() && event.how == How::Held);
        if let Some(at) = own {
            if self.events[at].said.is_some() {
                (self.events[at].at, self.events[at].how) = (clock, How::Owed);
            } else {
                self.events.remove(at);
            }
        }
    }

    fn restart(&mut self, now: u64) {
        (self.clock, self.told) = (now, now);
        self.events.retain(|event| matches!(event.how, How::Over(_)) || event.said.is_some());
        for event in &mut self.events {
            event.at = event.at.min(now);
            if event.how == How::Held {
                event.how = How::Owed;
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    Claim(Claim),
    Commit(prop::sample::Index, Ending),
    Release(prop::sample::Index),
    Time(u64),
    Back(u64),
    Restart(u64),
}

/// Keys 0 and 1 are covered, 2 and 3 are replays of 0, the others come under one of two ids or none.
fn claims() -> impl Strategy<Value = Claim> {
    (0_u8..10, 0_u8..3, 0_u64..6, 0_u64..60).prop_map(|(key, said, signed, lease)| Claim {
        said: (key > 3 && said > 0).then(|| format!("said {said}").into()),
        replay_of: (key == 2 || key == 3).then(|| "0".into()),
        signed: at(signed),
        ..Claim::new(format!("{key}"), Duration::from_millis(lease))
    })
}

fn endings() -> impl Strategy<Value = Ending> {
    prop::sample::select(vec![Ending::Done, Ending::Queued, Ending::Refused, Ending::Unsubscribed])
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        8 => claims().prop_map(Op::Claim),
        3 => (any::<prop::sample::Index>(), endings()).prop_map(|(at, ending)| Op::Commit(at, ending)),
        2 => any::<prop::sample::Index>().prop_map(Op::Release),
        3 => (0_u64..60).prop_map(Op::Time),
        1 => (0_u64..200).prop_map(Op::Back),
        1 => (0_u64..200).prop_map(Op::Restart),
    ];
    prop::collection::vec(op, 0..120)
}

proptest! {
    #[test]
    fn it_does_what_the_model_does(ops in ops()) {
        let mut book = book();
        let mut model = Model { clock: 1000, told: 1000, next: 1, events: Vec::new() };
        let (mut now, mut granted): (u64, Vec<(Claim, ClaimToken)>) = (1000, Vec::new());
        for op in ops {
            match op {
                Op::Claim(claim) => {
                    let answer = book.claim(at(now), &claim);
                    prop_assert_eq!(answer, model.claim(now, &claim), "{:?}", claim);
                    if let Claimed::Granted { token, .. } = answer {
                        granted.push((claim, token));
                    }
                }
                Op::Commit(index, ending) if !granted.is_empty() => {
                    let (claim, token) = index.get(&granted);
                    let commit = claim.commit(*token, ending);
                    prop_assert_eq!(book.commit(at(now), &commit), model.commit(now, &commit));
                }
                Op::Release(index) if !granted.is_empty() => {
                    let (claim, token) = index.get(&granted);
                    book.release(at(now), &claim.release(*token));
                    model.release(now, &claim.release(*token));
                }
                Op::Commit(..) | Op::Release(_) => {}
                Op::Time(by) => now += by,
                Op::Back(by) => now = now.saturating_sub(by),
                Op::Restart(to) => {
                    now = (now + to).saturating_sub(100);
                    // Whoever had a claim has gone with it, and comes no more under its token.
                    granted.retain(|(_, token)| model.events.iter().any(|event| {
                        event.token == token.get() && matches!(event.how, How::Over(_))
                    }));
                    model.pass(model.told);
                    book = again(book.records().collect::<Vec<_>>(), book.limits, at(now));
                    model.restart(now);
                    model.pass(now);
                }
            }
        }
    }

    /// Of any history, whatever is written down and however little is remembered: one claimant at a time, nothing over
    /// that was not committed, nothing committed that is not over while its window lasts, and no token twice.
    #[test]
    fn what_is_written_down_is_enough(ops in ops(), ids in prop_oneof![Just(2_usize), Just(1000)]) {
        let limits = BookLimits::default().window(WINDOW).ids(ids);
        let mut book = ClaimBook::new(limits, at(1000));
        let (mut now, mut log) = (1000, Vec::new());
        let mut granted: Vec<(Claim, ClaimToken)> = Vec::new();
        let mut tokens = BTreeSet::new();
        let mut committed: Vec<(Claim, Ending, u64)> = Vec::new();
        for op in ops {
            match op {
                Op::Claim(claim) => match book.claim(at(now), &claim) {
                    Claimed::Granted { token, .. } => {
                        prop_assert!(tokens.insert(token) && tokens.last() == Some(&token));
                        granted.push((claim, token));
                    }
                    Claimed::Held { lease } => prop_assert!(lease <= Duration::from_millis(60)),
                    Claimed::Over(ending) => {
                        let may_be = |(of, how, since): &(Claim, Ending, u64)| {
                            let uncovered = *of.key >= *"4" && *claim.key >= *"4";
                            let alike = of.key == claim.key || uncovered || claim.replay_of.is_some();
                            alike && *how == ending && now - since < 100
                        };
                        prop_assert!(committed.iter().any(may_be), "{:?} of {:?}", claim, committed);
                    }
                },
                Op::Commit(index, ending) if !granted.is_empty() => {
                    let (claim, token) = index.get(&granted).clone();
                    let was_over = book.events.get(&token).is_some_and(|event| matches!(event.state, State::Over { .. }));
                    if book.commit(at(now), &claim.commit(token, ending)).is_ok() && !was_over {
                        prop_assert!(ids < 5 || book.change.as_ref().is_some_and(BookRecord::is_gating));
                        committed.push((claim, ending, now));
                    }
                }
                Op::Release(index) if !granted.is_empty() => {
                    let (claim, token) = index.get(&granted);
                    book.release(at(now), &claim.release(*token));
                }
                Op::Commit(..) | Op::Release(_) | Op::Back(_) => {}
                Op::Time(by) => now += by,
                Op::Restart(_) => {
                    log.push(BookRecord::Tokens { next: book.next_token() });
                    book = again(log.clone(), limits, at(now));
                    granted.clear();
                }
            }
            log.extend(book.change());
            prop_assert!(book.remembered() <= ids);
            let indexes = book.leases.len() + book.ended.len();
            prop_assert_eq!(indexes, book.events.len());
            if ids > 5 && now.is_multiple_of(4) {
                for (claim, ending, since) in &committed {
                    if now - since < 100 {
                        prop_assert_eq!(book.clone().claim(at(now), claim), Claimed::Over(*ending), "{:?}", claim);
                    }
                }
            }
        }
    }

    #[test]
    fn arbitrary_bytes_are_a_record_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0_u8..7) {
        for bytes in [bytes.clone(), [vec![kind, 1], bytes].concat()] {
            if let Ok(record) = BookRecord::decode(&bytes) {
                let mut out = BytesMut::new();
                record.encode(&mut out);
                prop_assert_eq!(&out[..], &bytes[..]);
            }
        }
    }
}
