//! What happened, as far as a node must be able to tell it later, and what it must have forgotten.
//!
//! Invariants 31 and 32, together with `recalled`, which looks at what a node tells. The end of an event is known to lie
//! between two times, as nobody is told when it is written down; what a node tells must agree with all of what is known.
//! An outcome must be told when somebody was told of something that was written down later: a crash may take it before.

use std::collections::BTreeMap;

use super::book::Book;
use super::facts::{Facts, Scene, is_made};
use super::pages::Pages;
use super::story::{Place, Story, Tried, Wished, numbers};
use crate::observe::{Broken, Came, Fate, Look, Note, Outcome, Seen, SimTime, Submission, Told, Wish};

/// The least upper bounds for what is kept of an event besides its payload: of itself, and of each attempt.
const REST: (u64, u64) = (1024, 2048);

/// Everything that happened.
#[derive(Debug, Default)]
pub(super) struct History {
    /// By the number of the event.
    stories: Book<Story>,
    /// By the number of the attempt, from 1 on.
    tries: Book<Tried>,
    pub(super) endpoints: BTreeMap<u32, Place>,
    /// Wishes to forget all of a tenant.
    purges: BTreeMap<u32, Wished>,
    /// By node: what ended before this time may have been trimmed, and the times of which it has been told.
    trimmed: BTreeMap<u32, (u64, Vec<u64>)>,
    calls: Pages<About>,
    /// By node and incarnation: outcomes before this tick are durable.
    durable: BTreeMap<(u32, u32), u64>,
    pub(super) audit: super::recalled::Audit,
}

#[derive(Clone, Debug)]
enum About {
    Publish { event: u64, content: (u64, u64), tick: u64, before: (u64, bool) },
    Erase { events: Vec<u64>, tick: u64 },
    Purge { tenant: u32, tick: u64 },
}

impl History {
    /// What is seen often has a function of its own.
    pub(super) fn see(&mut self, facts: &Facts, at: SimTime, seen: &Seen<'_>) -> Result<(), Broken> {
        match seen {
            Seen::Asked { call, node, wish, .. } => self.asked(facts, *call, *node, wish),
            Seen::Aborted { attempt } => {
                if let Some(tried) = self.tried_mut(*attempt) {
                    tried.late = true;
                }
            }
            Seen::Noted { node, note, .. } => return self.noted(facts, *node, note),
            Seen::Trimmed { node, before } => return self.trim(facts, *node, *before),
            Seen::Read { node, clocks, question, recalled, pending } => {
                let read = super::recalled::Read { facts, at, node: *node, wall: clocks.wall, pending: *pending };
                return self.recalled(&read, question, recalled);
            }
            Seen::Began(_)
            | Seen::Answered { .. }
            | Seen::Started { .. }
            | Seen::Ended { .. }
            | Seen::Settled { .. }
            | Seen::Departed(_)
            | Seen::Arrived { .. }
            | Seen::Died { .. }
            | Seen::Restarted { .. }
            | Seen::Refused { .. }
            | Seen::Stepped { .. }
            | Seen::Suspended { .. }
            | Seen::Inquired { .. }
            | Seen::Replied { .. }
            | Seen::Damaged { .. }
            | Seen::Healed { .. } => {}
        }
        Ok(())
    }

    /// What was to be forgotten is in no file once somebody has compacted the log.
    pub(super) fn end(&self, facts: &Facts, look: &dyn Look) -> Result<(), Broken> {
        let mut found = None;
        for node in (0..facts.rules().nodes).filter(|node| !facts.node(*node).weak) {
            look.left_on_disk(node, &mut |name, bytes| {
                let events = numbers(bytes, b"{\"n\":", b',');
                let answers = numbers(bytes, b"answer~", b'~').filter_map(|attempt| self.tried(attempt));
                let mut left = events.chain(answers.map(|tried| tried.event));
                let gone = |event: &u64| {
                    self.story(*event).is_some_and(|story| story.ended.is_some() && self.is_forgotten(story))
                };
                found = found.take().or_else(|| left.find(gone).map(|event| (event, node, name.to_owned())));
            });
        }
        let Some((event, node, name)) = found else { return Ok(()) };
        Err(Broken::new(32, format!("e{event} was to be forgotten, and {name} of node {node} has it after compaction")))
    }

    fn asked(&mut self, facts: &Facts, call: u64, node: u32, wish: &Wish<'_>) {
        let tick = facts.tick;
        match wish {
            Wish::Put(spec) => {
                self.endpoints.entry(spec.endpoint).or_insert_with(|| Place::new(node, spec)).put(tick, spec);
            }
            Wish::Remove(endpoint) | Wish::Disable(endpoint) => self.rename(*endpoint, tick),
            Wish::Resume(endpoint) if facts.endpoints.may_lack_a_name(*endpoint) => self.rename(*endpoint, tick),
            Wish::Cancel { event, .. } => {
                self.story_mut(*event).into_iter().for_each(|story| story.cancelled = true);
            }
            Wish::Erase { event, .. } => {
                let events = facts.with_replays(*event);
                for number in &events {
                    self.story_mut(*number).into_iter().for_each(|story| story.erased.asked = tick);
                }
                self.calls.insert(call, About::Erase { events, tick });
            }
            Wish::Purge(tenant) => {
                self.calls.insert(call, About::Purge { tenant: *tenant, tick });
                self.purges.entry(*tenant).or_default().asked = tick;
            }
            Wish::Publish(_)
            | Wish::Pause(_)
            | Wish::Resume(_)
            | Wish::AddKey(..)
            | Wish::ExpireKey(..)
            | Wish::RevokeKey(..)
            | Wish::RotateKey(..)
            | Wish::FinishRotation(_)
            | Wish::Close(_) => {}
        }
    }

    /// `content` is a digest of type and payload.
    pub(super) fn submitted(
        &mut self,
        facts: &Facts,
        at: SimTime,
        call: u64,
        (node, wall): (u32, u64),
        (submission, content): (&Submission<'_>, u64),
    ) {
        let (event, tick) = (submission.event, facts.tick);
        let place = usize::try_from(event).expect("events are numbered from 0 on");
        while self.stories.len() <= place {
            self.stories.push(Story::default());
        }
        let story = self.stories.get_mut(place).expect("there are as many by now");
        let content = (content, submission.payload.len() as u64);
        let before = (story.life, story.again);
        self.calls.insert(call, About::Publish { event, content, tick, before });
        if story.first == 0 {
            *story = Story { node, tenant: submission.tenant, ..Story::default() };
            (story.first, story.since, story.latest, story.accepted) = (tick, at, wall, Some(wall));
        } else {
            story.accepted = None;
        }
        if !story.contents.contains(&Some(content)) {
            let free = usize::from(story.contents[0].is_some());
            story.contents[free] = Some(content);
        }
        // Who remembers the first takes none for new.
        let rules = facts.rules();
        let remembers = !rules.jumps && rules.remembered > 10_000 && at.since(story.since) < rules.window / 5 * 4;
        if !(story.sure && remembers) {
            story.life = tick;
            story.again |= before.0 != 0 && !remembers;
        }
    }

    pub(super) fn answered(&mut self, call: u64, told: Told) {
        match (self.calls.remove(call), told) {
            (Some(About::Publish { event, content, tick, before }), told) => {
                let Some(story) = self.story_mut(event) else { return };
                if matches!(told, Told::Ok { fresh: false } | Told::Refused(_)) && story.life == tick {
                    (story.life, story.again) = before;
                }
                story.sure |= matches!(told, Told::Ok { .. });
                if matches!(told, Told::Refused(_)) && story.contents[1] == Some(content) {
                    story.contents[1] = None;
                }
            }
            (Some(About::Erase { events, tick }), Told::Ok { .. }) => {
                for event in events {
                    let story = self.story_mut(event).into_iter();
                    story.for_each(|story| story.erased.sure = story.erased.sure.max(tick));
                }
            }
            (Some(About::Purge { tenant, tick }), Told::Ok { .. }) => {
                let wished = self.purges.entry(tenant).or_default();
                wished.sure = wished.sure.max(tick);
            }
            (Some(About::Erase { .. } | About::Purge { .. }), Told::Refused(_) | Told::Lost) | (None, _) => {}
        }
    }

    pub(super) fn started(&mut self, scene: &Scene<'_>) {
        let (open, tick, attempt) = (scene.open, scene.facts.tick, self.tries.len() as u64 + 1);
        let (event, endpoint, number, node) = (open.event, open.endpoint, open.number, open.node);
        let before = self.story_mut(event).map_or(0, |story| std::mem::replace(&mut story.last, attempt));
        let incarnation = scene.node.incarnation;
        let (at, came, late, told, answer) = (0, Came::None, false, None, None);
        let tried = Tried { event, endpoint, number, before, node, incarnation, tick, at, came, late, told, answer };
        self.tries.push(tried);
    }

    /// `late` says that its node waited for that no more.
    pub(super) fn ended(&mut self, tick: u64, attempt: u64, wall: u64, late: bool, outcome: Outcome<'_>) {
        let place = usize::try_from(attempt).ok().and_then(|attempt| attempt.checked_sub(1));
        let Some(tried) = place.and_then(|place| self.tries.get_mut(place)) else { return };
        let listed = tried.came != Came::None || tried.told.is_some_and(Fate::is_final);
        (tried.at, tried.tick) = (wall, tick);
        tried.late |= late;
        let (event, late) = (tried.event, tried.late);
        let place = self.endpoints.get_mut(&tried.endpoint);
        (tried.came, tried.answer) = match (outcome, &place) {
            (Outcome::Status { status, body, .. }, Some(place)) => (Came::Status(status), place.kept_of(body)),
            (Outcome::Status { status, .. }, None) => (Came::Status(status), None),
            (Outcome::Failed { why, .. }, _) => (Came::Failed(why), None),
        };
        if let Some(place) = place {
            if listed {
                place.closed.moved();
            }
            if !late && matches!(outcome, Outcome::Status { status: 200..=299, .. }) {
                place.closed.push(attempt, wall);
            }
        }
        if let Some(story) = self.story_mut(event).filter(|_| !late) {
            story.latest = story.latest.max(wall);
        }
    }

    /// A node told that all of an event has ended.
    pub(super) fn settled(&mut self, facts: &Facts, at: SimTime, node: u32, event: u64) {
        let latest = facts.node(node).latest_by(at);
        let Some(story) = self.story_mut(event) else { return };
        story.ended = Some((story.latest, latest));
        let last = story.last;
        self.is_durable_now(facts, node, last);
    }

    fn noted(&mut self, facts: &Facts, node: u32, note: &Note<'_>) -> Result<(), Broken> {
        let (event, endpoint, number, fate) = match note {
            Note::Retrying { endpoint, event, attempt, delay } => {
                (event, endpoint, Some(*attempt), Fate::Waiting(*delay))
            }
            Note::Exhausted { endpoint, event, attempts } => (event, endpoint, Some(*attempts), Fate::Exhausted),
            Note::Refused { endpoint, event } => (event, endpoint, None, Fate::Refused),
            Note::Trimmed(before) => {
                let known = self.trimmed.get(&node).is_some_and(|(_, told)| told.contains(before));
                let made_up = || Broken::new(31, format!("node {node} tells that it has forgotten what it has not"));
                return if known { Ok(()) } else { Err(made_up()) };
            }
            Note::Gone(endpoint) | Note::Disabled { endpoint, .. } => {
                self.rename(*endpoint, facts.tick);
                return Ok(());
            }
            Note::Expired { .. }
            | Note::Superseded { .. }
            | Note::Lost { .. }
            | Note::Opened { .. }
            | Note::Reopened { .. }
            | Note::Recovered(_)
            | Note::HoldEnded(_)
            | Note::WindowShrunk(_)
            | Note::Other(_) => return Ok(()),
        };
        let is_it = |tried: &Tried| tried.endpoint == *endpoint && number.is_none_or(|number| tried.number == number);
        let found = self.tries_of(*event).find(|(_, tried)| is_it(tried)).map(|(attempt, _)| attempt);
        let Some(attempt) = found else { return Ok(()) };
        self.is_durable_now(facts, node, attempt);
        // A delivery may end without a further attempt after what was told of its last one.
        if self.tried(attempt).is_some_and(|tried| tried.told.is_some()) {
            return Ok(());
        }
        let Some(tried) = self.tried_mut(attempt) else { return Ok(()) };
        tried.told = Some(fate);
        let ended = tried.at;
        if let Some(place) = self.endpoints.get_mut(endpoint).filter(|_| fate.is_final()) {
            place.closed.push(attempt, ended);
        }
        Ok(())
    }

    /// What an endpoint got until now may lose its name.
    fn rename(&mut self, endpoint: u32, tick: u64) {
        if let Some(place) = self.endpoints.get_mut(&endpoint) {
            place.renamed = Some(tick);
        }
    }

    /// Whether what came of an attempt must have the name of its endpoint, wherever it is told.
    pub(super) fn must_be_named(&self, facts: &Facts, tried: &Tried) -> bool {
        let renamed = self.endpoints.get(&tried.endpoint).and_then(|place| place.renamed);
        let submitted = self.story(tried.event).map_or(0, |story| story.first);
        let of_now = renamed.is_none_or(|at| at < submitted) && !facts.endpoints.may_lack_a_name(tried.endpoint);
        of_now || tried.incarnation == facts.node(tried.node).incarnation
    }

    /// A node has forgotten something before its time: there must have been more than there is room for.
    fn trim(&mut self, facts: &Facts, node: u32, before: u64) -> Result<(), Broken> {
        let (mark, told) = self.trimmed.entry(node).or_default();
        *mark = before.max(*mark);
        told.push(before);
        let kept = facts.rules().history;
        let stories = || self.stories.iter().filter(|story| story.first != 0 && story.node == node);
        let payloads: u64 =
            stories().map(|story| story.contents.iter().flatten().map(|(_, len)| len).sum::<u64>()).sum();
        let tries = || self.tries.iter().filter(|tried| tried.node == node);
        // What a node tells of itself has payloads too, and no story.
        let payloads = payloads + tries().filter(|tried| is_made(tried.event)).count() as u64 * REST.0;
        let rest = stories().count() as u64 * REST.0 + tries().count() as u64 * REST.1;
        if payloads > kept.payload_bytes || rest > kept.attempt_bytes || facts.node(node).weak {
            return Ok(());
        }
        let (payload_bytes, attempt_bytes) = (kept.payload_bytes, kept.attempt_bytes);
        let room = format!("{payloads} bytes of {payload_bytes}, {rest} of {attempt_bytes} at most");
        let what = format!("node {node} forgets what ended before {before}, and there was room for all of it: {room}");
        Err(Broken::new(31, what))
    }

    /// Somebody was told of this attempt's outcome, or of what was written down after it.
    fn is_durable_now(&mut self, facts: &Facts, node: u32, attempt: u64) {
        let incarnation = facts.node(node).incarnation;
        let Some(tick) = self.tried(attempt).filter(|tried| tried.incarnation == incarnation).map(|tried| tried.tick)
        else {
            return;
        };
        let durable = self.durable.entry((node, incarnation)).or_default();
        *durable = (tick + 1).max(*durable);
    }

    /// Whether a node cannot have lost the outcome of an attempt.
    pub(super) fn is_safe(&self, facts: &Facts, tried: &Tried) -> bool {
        let known = self.durable.get(&(tried.node, tried.incarnation)).is_some_and(|durable| tried.tick < *durable);
        let recorded = !tried.late && tried.came != Came::None;
        recorded && (known || facts.is_durable(tried.node, tried.incarnation, tried.tick))
    }

    /// Whether what ended then, at the earliest, must be there for so many milliseconds.
    pub(super) fn must_be_kept(&self, facts: &Facts, node: u32, ended: u64, kept: u64) -> bool {
        let known = facts.node(node);
        let trimmed = self.trimmed.get(&node).map_or(0, |(mark, _)| *mark);
        !known.weak && kept > 0 && ended >= trimmed && ended.saturating_add(kept) > known.latest
    }

    /// Whether an event surely was to be forgotten with all that the node may have of it.
    pub(super) fn is_forgotten(&self, story: &Story) -> bool {
        let purged = self.purges.get(&story.tenant).map_or(0, |wished| wished.sure);
        story.erased.sure.max(purged) > story.life
    }

    /// Whether anybody wished an event forgotten.
    pub(super) fn may_be_forgotten(&self, story: &Story) -> bool {
        let purged = self.purges.get(&story.tenant).map_or(0, |wished| wished.asked);
        story.erased.asked.max(purged) > story.first
    }

    pub(super) fn story(&self, event: u64) -> Option<&Story> {
        self.stories.get(usize::try_from(event).ok()?).filter(|story| story.first != 0)
    }

    fn story_mut(&mut self, event: u64) -> Option<&mut Story> {
        self.stories.get_mut(usize::try_from(event).ok()?).filter(|story| story.first != 0)
    }

    pub(super) fn tried(&self, attempt: u64) -> Option<&Tried> {
        self.tries.get(usize::try_from(attempt).ok()?.checked_sub(1)?)
    }

    fn tried_mut(&mut self, attempt: u64) -> Option<&mut Tried> {
        self.tries.get_mut(usize::try_from(attempt).ok()?.checked_sub(1)?)
    }

    /// All attempts of an event with their numbers, the newest first.
    pub(super) fn tries_of(&self, event: u64) -> impl Iterator<Item = (u64, &Tried)> {
        let mut next = self.story(event).map_or(0, |story| story.last);
        std::iter::from_fn(move || {
            let (attempt, tried) = (next, self.tried(next)?);
            next = tried.before;
            Some((attempt, tried))
        })
    }
}
