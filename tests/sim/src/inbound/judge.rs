//! What must be true, seen from outside.

use std::collections::{BTreeMap, BTreeSet};

use postrider_core::receiver::{Delivery, Reason, Response};

use super::draw::{Ordered, Setting, number};
use super::node::Node;
use crate::observe::SimTime;

/// A message, and what has become of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Message {
    pub(super) line: u64,
    pub(super) at: u64,
    /// The bodies under which it was sent.
    pub(super) bodies: BTreeSet<Vec<u8>>,
    /// How often the application has done it, or it was made durable.
    pub(super) effects: u32,
    /// Whether the application has refused it, or its sender.
    pub(super) refused: bool,
    pub(super) unsubscribed: bool,
    /// Whether the store of claims has acknowledged its end.
    pub(super) committed: bool,
    /// Whether its end stands in the store of claims, though nobody may have been told.
    pub(super) noted: bool,
    /// When the store was asked to take note of its end.
    pub(super) asked: Option<SimTime>,
    /// Whether the store did not take note of its end, or it ended after its time.
    pub(super) excused: bool,
    /// Whether somebody whose memory has gone since has ended it.
    pub(super) ended: bool,
    /// Its sender has an answer that ends it.
    pub(super) over: bool,
    pub(super) attempts: u32,
}

/// Who sees everything that leaves receivers.
#[derive(Debug)]
pub(super) struct Judge {
    pub(super) messages: Vec<Message>,
    order: Ordered,
    drop_late: bool,
    stored: bool,
    claims: bool,
    dedupes: bool,
}

impl Judge {
    pub(super) fn new(setting: &Setting) -> Self {
        Self {
            messages: Vec::new(),
            order: setting.order,
            drop_late: setting.drop_late,
            stored: setting.stored,
            claims: setting.claims,
            dedupes: setting.dedupes(),
        }
    }

    /// A delivery leaves a machine, in this life of the store of claims; says which message it is.
    pub(super) fn delivered(
        &self,
        node: &Node,
        delivery: &Delivery,
        (to_store, life): (bool, u32),
    ) -> Result<usize, String> {
        if to_store != self.stored {
            return Err("what is to be stored is delivered, or the other way round".into());
        }
        let text = String::from_utf8_lossy(delivery.payload());
        let found = number(&text, "evt_").and_then(|number| usize::try_from(number).ok());
        let at = found.filter(|at| *at < self.messages.len()).ok_or("nobody sent what is delivered")?;
        let message = &self.messages[at];
        if !message.bodies.contains(&delivery.body()[..]) {
            return Err(format!("nobody signed evt_{at} as it is delivered"));
        }
        if node.given.values().any(|other| *other == at) && self.dedupes {
            return Err(format!("evt_{at} is with the application already"));
        }
        if self.dedupes && node.settled.contains(&at) {
            return Err(format!("evt_{at} has ended here, and is delivered again"));
        }
        let granted = node.granted.get(&delivery.id()) == Some(&life);
        if self.dedupes && self.claims && message.committed && granted {
            return Err(format!("evt_{at} has ended for all, and is delivered again"));
        }
        self.in_order(node, at, delivery.is_late()).map(|()| at)
    }

    fn in_order(&self, node: &Node, at: usize, late: bool) -> Result<(), String> {
        if self.order == Ordered::No {
            return if late { Err(format!("evt_{at} is late where there is no order")) } else { Ok(()) };
        }
        let message = &self.messages[at];
        if node.given.values().any(|other| self.messages[*other].line == message.line) {
            return Err(format!("two of line {} are with the application", message.line));
        }
        let places = |which: &mut dyn Iterator<Item = &Message>| {
            which.filter(|other| other.line == message.line).map(|other| other.at).max().unwrap_or(0)
        };
        let here = places(&mut node.settled.iter().map(|other| &self.messages[*other]));
        let anywhere = places(&mut self.messages.iter().filter(|other| other.committed || other.ended)).max(here);
        if !late && message.at <= here {
            return Err(format!("evt_{at} comes after {here} of its line, and is not called late"));
        }
        if late && message.at > anywhere {
            return Err(format!("evt_{at} is called late, and nothing after it has ended"));
        }
        let told = node.gaps.contains(&(message.line.to_string(), message.at));
        if self.order == Ordered::Sequence && !late && message.at > anywhere + 1 && !told {
            return Err(format!("evt_{at} goes after {anywhere} of its line, and no gap is told"));
        }
        Ok(())
    }

    /// A request with this message is answered, or one that nobody signed. Says whether that ends it for its sender.
    pub(super) fn answered(&self, message: Option<usize>, response: &Response) -> Result<bool, String> {
        let status = response.status().as_u16();
        let Some(at) = message else {
            // Whoever is refused may be told to come later before anybody looks at his signature.
            return match status {
                400 | 401 | 503 => Ok(false),
                _ => Err(format!("what nobody signed is answered {status}")),
            };
        };
        let message = &self.messages[at];
        match (status, response.reason()) {
            (200..300, Reason::Late) => {
                let later = |other: &&Message| other.line == message.line && other.at >= message.at;
                let is_late = self.messages.iter().filter(later).any(|other| other.ended || other.committed);
                if self.drop_late && is_late { Ok(true) } else { Err(format!("evt_{at} is dropped, and is not late")) }
            }
            (200..300, _) if message.effects == 0 && !self.was_dropped(message) => {
                Err(format!("evt_{at} is answered {status}, and has had no effect"))
            }
            (200..300, _) if self.claims && !message.noted && !message.excused && !self.was_dropped(message) => {
                Err(format!("evt_{at} is answered {status}, and the store has not taken note of its end"))
            }
            (200..300, _) => Ok(true),
            (400, Reason::Refused) if message.refused => Ok(true),
            (410, Reason::Unsubscribed) if message.unsubscribed => Ok(true),
            (401 | 503, _) => Ok(false),
            (_, reason) => Err(format!("evt_{at} is answered {status} for {reason:?}")),
        }
    }

    /// Whether a message may have been answered as done without an effect, because it came late.
    fn was_dropped(&self, message: &Message) -> bool {
        let later = |other: &&Message| other.line == message.line && other.at > message.at;
        self.drop_late
            && self.order != Ordered::No
            && self.messages.iter().filter(later).any(|other| other.ended || other.committed)
    }

    /// Everything is over: whoever is not done is lost.
    pub(super) fn finish(&self) -> Result<(), String> {
        let mut lost = BTreeMap::new();
        for (at, message) in self.messages.iter().enumerate() {
            if !message.over {
                lost.insert(at, message.attempts);
            }
        }
        if lost.is_empty() { Ok(()) } else { Err(format!("messages without an end, with their attempts: {lost:?}")) }
    }
}
