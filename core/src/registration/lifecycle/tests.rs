//! Walks over the whole product, and the laws of a life.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use proptest::prelude::*;

use super::table::open_rest;
use super::*;

fn now() -> Now {
    Now { mono: Instant::from_millis(1_000_000), wall: UnixTime::from_secs(1_700_000_000) }
}

fn lives() -> Vec<Life> {
    let since = UnixTime::from_secs(1_600_000_000);
    let causes = [Cause::Command, Cause::Failing, Cause::NoConsent];
    let mut admins = alloc::vec![
        Admin::Unverified { since },
        Admin::Active,
        Admin::Paused { since },
        Admin::Gone { since },
        Admin::Removed { since },
    ];
    admins.extend(causes.map(|cause| Admin::Disabled { since, cause }));
    let (past, future) = (Instant::from_millis(999_999), Instant::from_millis(1_000_001));
    let mut lives = Vec::new();
    for admin in admins {
        let resting = [past, now().mono, future, Instant::LAST];
        let healths = [Health::Ok, Health::HalfOpen { times: 1 }, Health::HalfOpen { times: 255 }];
        let throttled = resting.map(|until| Health::Throttled { until });
        let open = resting.map(|until| Health::Open { until, times: 3 });
        let healths = healths.into_iter().chain(throttled).chain(open);
        lives.extend(healths.map(|health| Life { admin, health }));
    }
    lives
}

fn events() -> Vec<Event> {
    let since = UnixTime::from_secs(1_699_000_000);
    alloc::vec![
        Event::Register { consent: true },
        Event::Register { consent: false },
        Event::Agreed,
        Event::Declined,
        Event::Withdrawn,
        Event::Pause,
        Event::Resume { consent: true },
        Event::Resume { consent: false },
        Event::Disable,
        Event::Failing { since, attempts: 5 },
        Event::Gone,
        Event::HoldOver,
        Event::Remove,
        Event::Succeeded,
        Event::Failed,
        Event::Throttled { rest: Duration::ZERO },
        Event::Throttled { rest: Duration::MAX },
        Event::Tripped { attempts: 10, failed: 7 },
        Event::RestOver,
    ]
}

/// Every pair of life and event, and its step.
fn walk() -> Vec<(Life, Event, Step)> {
    let all = lives().into_iter().flat_map(|life| events().into_iter().map(move |event| (life, event)));
    all.map(|(life, event)| (life, event, life.step(now(), event))).collect()
}

fn is_over(admin: Admin) -> bool {
    matches!(admin, Admin::Gone { .. } | Admin::Removed { .. })
}

fn is_resting(health: Health) -> Option<Instant> {
    match health {
        Health::Throttled { until } | Health::Open { until, .. } => Some(until),
        Health::Ok | Health::HalfOpen { .. } => None,
    }
}

#[test]
fn every_pair_has_an_answer_and_a_sentence() {
    let steps = walk();
    assert_eq!(steps.len(), 8 * 11 * 19);
    for (life, event, step) in steps {
        let said = step.reason.to_string();
        assert!(said.starts_with("the endpoint ") && !said.ends_with('.') && !said.contains('\n'), "{said}");
        assert_eq!(step.answer == Answer::Done, step.to != life || !step.effects.is_empty(), "{life:?} {event:?}");
        assert!(step.answer == Answer::Done || step.effects.is_empty());
        assert_eq!((step.reason.event, step.reason.at), (event, now().wall));
        assert_eq!(step.reason.next, step.to.due(now()));
    }
}

/// The rows of the table in the module's documentation that begins with this column, without their first cell.
fn documented(column: &str) -> Vec<(&'static str, Vec<&'static str>)> {
    let doc = include_str!("mod.rs").lines().skip_while(|line| !line.contains(column)).skip(2);
    let rows = doc.map_while(|line| line.strip_prefix("//! | "));
    let cells = rows.map(|row| row.trim_end_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    cells.map(|cells| (cells[0], cells[1..].to_vec())).collect()
}

/// What a cell says of a step; `to` is the name of where it leads.
fn holds(cell: &str, step: Step, stays: bool, to: &str) -> bool {
    match cell {
        "-" => step.answer == Answer::Unchanged && stays,
        "no" => step.answer == Answer::Refused && stays,
        "does" => step.answer == Answer::Done && stays,
        name => step.answer == Answer::Done && to.split(' ').next() == Some(name),
    }
}

#[test]
fn the_documented_table_of_decisions_is_the_one_that_is_gone_by() {
    let since = UnixTime::from_secs(1_600_000_000);
    let rows = documented("happens | register");
    let admins = [
        Admin::Unverified { since },
        Admin::Active,
        Admin::Paused { since },
        Admin::Disabled { since, cause: Cause::Command },
        Admin::Gone { since },
        Admin::Removed { since },
    ];
    let deeds = |consent| {
        [
            Event::Register { consent },
            Event::Agreed,
            Event::Declined,
            Event::Withdrawn,
            Event::Pause,
            Event::Resume { consent },
            Event::Disable,
            Event::Failing { since, attempts: 5 },
            Event::Gone,
            Event::HoldOver,
            Event::Remove,
        ]
    };
    assert_eq!(rows.len(), admins.len());
    for (admin, (name, cells)) in admins.into_iter().zip(rows) {
        assert_eq!(admin.to_string().split(' ').next(), Some(name));
        assert_eq!(cells.len(), 11);
        for consent in [true, false] {
            for (event, cell) in deeds(consent).into_iter().zip(&cells) {
                let step = Life { admin, health: Health::Ok }.step(now(), event);
                let unasked = cell.strip_suffix(r" \*").map(|cell| match admin {
                    Admin::Unverified { .. } if !consent => "-",
                    _ if !consent => "unverified",
                    _ => cell,
                });
                let (cell, to) = (unasked.unwrap_or(cell), step.to.admin.to_string());
                assert!(holds(cell, step, step.to.admin == admin, &to), "{name}, {event:?}: {cell}, {step:?}");
            }
        }
    }
}

#[test]
fn the_documented_table_of_health_is_the_one_that_is_gone_by() {
    let until = now().mono;
    let rows = documented("happens | succeeded");
    let healths = [
        ("ok", Health::Ok),
        ("throttled", Health::Throttled { until }),
        ("open", Health::Open { until, times: 1 }),
        ("half-open", Health::HalfOpen { times: 1 }),
    ];
    let name = |health| match health {
        Health::Ok => "ok",
        Health::Throttled { .. } => "throttled",
        Health::Open { .. } => "open",
        Health::HalfOpen { .. } => "half-open",
    };
    let rest = Duration::from_secs(9);
    let tripped = Event::Tripped { attempts: 10, failed: 7 };
    let signs = [Event::Succeeded, Event::Failed, Event::Throttled { rest }, tripped, Event::RestOver];
    assert_eq!(rows.len(), healths.len());
    for ((is, health), (row, cells)) in healths.into_iter().zip(rows) {
        assert_eq!((is, cells.len()), (row, 5));
        for (event, cell) in signs.into_iter().zip(cells) {
            let step = Life { admin: Admin::Active, health }.step(now(), event);
            assert!(holds(cell, step, step.to.health == health, name(step.to.health)), "{row}, {event:?}: {step:?}");
        }
    }
}

#[test]
fn only_registering_again_ends_what_is_over() {
    for (life, event, step) in walk() {
        if is_over(life.admin) && !is_over(step.to.admin) {
            assert!(matches!(event, Event::Register { .. }), "{life:?} {event:?}");
        }
        if matches!(life.admin, Admin::Removed { .. }) && !matches!(event, Event::Register { .. }) {
            assert_eq!(step.to, life, "{event:?}");
        }
    }
}

#[test]
fn only_resuming_ends_a_pause_for_the_better() {
    for (life, event, step) in walk() {
        let to_service = matches!(step.to.admin, Admin::Active | Admin::Unverified { .. });
        if matches!(life.admin, Admin::Paused { .. } | Admin::Disabled { .. }) && to_service {
            assert!(matches!(event, Event::Resume { .. }), "{life:?} {event:?}");
        }
    }
}

#[test]
fn nothing_becomes_active_without_consent() {
    for (life, event, step) in walk() {
        if step.to.admin == Admin::Active && life.admin != Admin::Active {
            let given = matches!(event, Event::Register { consent: true } | Event::Resume { consent: true });
            assert!(given || event == Event::Agreed, "{life:?} {event:?}");
        }
        if matches!(step.to.admin, Admin::Unverified { .. }) && !matches!(life.admin, Admin::Unverified { .. }) {
            assert!(step.effects.contains(&Effect::Ask), "{life:?} {event:?}");
        }
    }
}

#[test]
fn a_rest_is_never_shortened_but_by_its_end() {
    for (life, event, step) in walk() {
        let Some(until) = is_resting(life.health) else { continue };
        match is_resting(step.to.health) {
            Some(later) => assert!(later >= until, "{life:?} {event:?}"),
            None => {
                let over = event == Event::RestOver && until <= now().mono;
                let anew = matches!(event, Event::Register { .. } | Event::Resume { .. });
                assert!(over || anew && !matches!(life.admin, Admin::Paused { .. }), "{life:?} {event:?}");
            }
        }
    }
}

#[test]
fn effects_say_what_changed() {
    for (life, event, step) in walk() {
        let does = |effect| step.effects.contains(&effect);
        assert_eq!(does(Effect::Match), !life.matches() && step.to.matches(), "{life:?} {event:?}");
        assert_eq!(does(Effect::Unmatch), life.matches() && !step.to.matches(), "{life:?} {event:?}");
        let ends = is_over(step.to.admin) && step.to.admin != life.admin;
        assert_eq!(does(Effect::Abort), ends, "{life:?} {event:?}");
        let held = event == Event::HoldOver && matches!(life.admin, Admin::Disabled { .. });
        assert_eq!(does(Effect::Discard), ends || held, "{life:?} {event:?}");
        let starts = does(Effect::Ramp) || does(Effect::Release) || does(Effect::Probe);
        assert!(!starts || step.to.admin == Admin::Active, "{life:?} {event:?}");
        let newly = step.to.admin != life.admin || step.to.health != life.health;
        if newly && step.to.due(now()).is_some() && step.to.due(now()) != life.due(now()) {
            assert!(does(Effect::Timer) || matches!(event, Event::Resume { .. }), "{life:?} {event:?}");
        }
        let unsendable = life.pass() == Pass::Nothing && step.to.pass() != Pass::Nothing;
        let first = matches!(event, Event::Register { .. });
        assert!(!unsendable || starts || first, "{life:?} {event:?}");
    }
}

#[test]
fn a_reason_survives_being_written() {
    let endless = Event::Throttled { rest: Duration::MAX };
    for event in events().into_iter().filter(|event| *event != endless) {
        let (code, inputs) = event.to_wire();
        assert_eq!(Event::from_wire(code, inputs), Some(event), "{event:?}");
        for rule in Rule::ALL {
            let reason = Reason { rule: *rule, event, at: now().wall, next: Some(Duration::from_secs(9)) };
            let read = Reason::from_wire(rule.code(), (code, inputs), reason.at, reason.next);
            assert_eq!(read, Some(reason));
        }
    }
    assert!(matches!(Event::from_wire(14, endless.to_wire().1), Some(Event::Throttled { .. })));
    assert_eq!(Event::from_wire(0, [0; 2]), None);
    assert_eq!(Event::from_wire(17, [0; 2]), None);
    assert_eq!(Reason::from_wire(0, (5, [0; 2]), now().wall, None), None, "no rule has this number");
}

#[test]
fn a_breaker_opens_for_twice_as_long_each_time_it_fails_its_probe() {
    let secs = |times| open_rest(times).as_secs();
    assert_eq!([1, 2, 3, 6, 7, 8, 255].map(secs), [30, 60, 120, 960, 1800, 1800, 1800]);
    let mut life = Life { admin: Admin::Active, health: Health::Ok };
    let mut now = now();
    life = life.step(now, Event::Tripped { attempts: 10, failed: 8 }).to;
    for times in 1..=10 {
        assert_eq!(life.due(now), Some(open_rest(times)));
        assert_eq!(life.step(now, Event::RestOver).to, life, "not yet");
        now = now.advanced(open_rest(times));
        life = life.step(now, Event::RestOver).to;
        assert_eq!((life.health, life.pass()), (Health::HalfOpen { times }, Pass::Probe));
        let recovered = life.step(now, Event::Succeeded);
        assert_eq!((recovered.to.health, recovered.effects), (Health::Ok, &[Effect::Ramp, Effect::Tell][..]));
        life = life.step(now, Event::Failed).to;
    }
}

#[test]
fn a_rest_outlives_a_restart() {
    let (rest, now) = (Duration::from_secs(60), now());
    let ends = |wall| rest_after_restart(Now { wall, ..now }, now.wall, rest).saturating_since(now.mono);
    assert_eq!(ends(now.wall), rest);
    assert_eq!(ends(now.wall.saturating_add(Duration::from_secs(45))), Duration::from_secs(15));
    assert_eq!(ends(now.wall.saturating_add(Duration::from_secs(90))), Duration::ZERO);
    assert_eq!(ends(now.wall.saturating_sub(rest)), rest, "the clock went back");
}

#[test]
fn reasons_are_plain_sentences() {
    let active = Life { admin: Admin::Active, health: Health::Ok };
    let said = |life: Life, event| life.step(now(), event).reason.to_string();
    let since = UnixTime::from_secs(1_699_000_000);
    assert_eq!(
        said(active, Event::Failing { since, attempts: 9 }),
        "the endpoint was disabled, because its attempts failed for too long: 9 attempts failed since \
         2023-11-03T08:26:40.000Z and none succeeded; what waits for it is held for 259200s"
    );
    assert_eq!(
        said(active, Event::Tripped { attempts: 10, failed: 7 }),
        "the endpoint failed too often, so that its breaker opened: 7 of 10 attempts failed; it is sent to again in 30s"
    );
    assert_eq!(said(Life::NEW, Event::Pause), "the endpoint is gone or removed and can only be registered again");
    let mut codes: Vec<u8> = Rule::ALL.iter().map(|rule| rule.code()).collect();
    let mut names: Vec<String> = Rule::ALL.iter().map(|rule| rule.name().to_string()).collect();
    assert!(codes.is_sorted());
    codes.dedup();
    names.sort();
    names.dedup();
    assert_eq!((codes.len(), names.len()), (Rule::ALL.len(), Rule::ALL.len()));
    assert!(Rule::ALL.iter().all(|rule| Rule::of_code(rule.code()) == Some(*rule)));
    let used: Vec<Rule> = walk().into_iter().map(|(_, _, step)| step.reason.rule).collect();
    let unused: Vec<_> = Rule::ALL.iter().filter(|rule| !used.contains(rule)).collect();
    assert!(unused.is_empty(), "{unused:?}");
}

proptest! {
    /// Over any course, what is owed is sent while the endpoint is active, and nothing while it is not.
    #[test]
    fn any_course_keeps_the_promises(course in prop::collection::vec((0..19_usize, 0..4_000_u64), 0..80)) {
        let (mut life, mut now, mut paused) = (Life::NEW, now(), false);
        for (which, pass) in course {
            now = now.advanced(Duration::from_secs(pass));
            let event = events()[which];
            let step = life.step(now, event);
            match event {
                Event::Pause if step.answer == Answer::Done => paused = true,
                Event::Resume { .. } | Event::Register { .. } | Event::Remove if step.answer == Answer::Done => paused = false,
                _ => {}
            }
            let sends = step.to.pass() != Pass::Nothing;
            prop_assert!(!(paused && sends));
            prop_assert!(!sends || step.to.matches());
            prop_assert!(step.to.due(now).is_none_or(|due| due <= limits::DISABLED_HOLD));
            prop_assert_eq!(step.to.step(now, Event::RestOver).to.step(now, Event::RestOver).to, step.to.step(now, Event::RestOver).to);
            life = step.to;
        }
    }
}
