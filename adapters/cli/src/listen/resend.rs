//! `postrider replay DIR`: what an inbox keeps is sent once more, to wherever it is wanted now.
//!
//! It only reads: the inbox may be in use, and what becomes of the requests is not written into it.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use postrider::history::End;
use postrider::journal::StdDisk;
use postrider::journal::history::{Answer, EventHistory, HistoryError, PAGE, Paging, Query};
use postrider::journal::store::Look;
use postrider_core::id::{EventId, TenantId};
use postrider_core::receiver::Delivery;
use postrider_core::time::UnixTime;
use postrider_driver::inbox;
use serde_json::json;

use super::exec::{self, Ended};
use super::forward::Forward;
use super::show::Webhook;
use super::stored::request;
use crate::exit::{Exit, Refusal, complain};
use crate::journal::asking;
use crate::journal::files::Files;
use crate::journal::read::{self, Much};

/// What is sent again, and where to.
pub(crate) struct Resend<'a> {
    pub(crate) directory: &'a Path,
    pub(crate) event: Option<&'a EventId>,
    pub(crate) from: Option<UnixTime>,
    pub(crate) to: Option<UnixTime>,
    pub(crate) state: &'a [End],
    pub(crate) forward: Option<&'a Forward>,
    pub(crate) exec: Option<&'a str>,
    pub(crate) timeout: Duration,
    pub(crate) dry_run: bool,
    pub(crate) json: bool,
}

/// What came of one.
enum Came {
    Well,
    Badly(String),
    /// It is not kept any more, or cannot be read.
    Gone(String),
}

impl Resend<'_> {
    /// Sends everything again that is asked for, from the oldest to the newest.
    pub(crate) fn run(&self) -> Result<Exit, Refusal> {
        Files::look(self.directory)?;
        let ids = self.ids()?;
        let mut out = io::stdout().lock();
        let mut failed = 0;
        for id in &ids {
            let story = asking::ask(self.directory, |look| event(look, id))?;
            let delivery = match story.and_then(|story| story.payload) {
                Some(payload) => Delivery::from_stored(&payload).map_err(|why| why.to_string()),
                None => Err("it is not kept any more".to_owned()),
            };
            let came = match &delivery {
                Ok(_) if self.dry_run => Came::Well,
                Ok(delivery) => self.send(delivery),
                Err(why) => Came::Gone(why.clone()),
            };
            failed += u64::from(!matches!(came, Came::Well));
            self.show(id, delivery.as_ref().ok(), &came, &mut out)?;
        }
        out.flush()?;
        if !self.json {
            let done = if self.dry_run { "would be sent" } else { "sent" };
            complain!("{} {done}, {failed} failed", ids.len());
        }
        Ok(if failed == 0 { Exit::Done } else { Exit::Failed })
    }

    /// The names of what is asked for: of what has ended, and where nothing is said about its end, of what has not.
    fn ids(&self) -> Result<Vec<EventId>, Refusal> {
        let journal = read::read(self.directory, Much::State, |_: &mut (), _, _, _| {})?;
        let is_inbox = journal
            .state
            .endpoints
            .iter()
            .all(|(key, endpoint)| *key == inbox::application() && endpoint.url == inbox::URL);
        if !is_inbox || journal.state.endpoints.is_empty() {
            let directory = self.directory.display();
            return Err(Refusal::new(format!(
                "{directory}: this is the journal of a sender and no inbox; say --journal {directory} --endpoint ID"
            )));
        }
        if let Some(event) = self.event {
            return Ok(vec![event.clone()]);
        }
        let mut ids = asking::ask(self.directory, |look| self.ended(look))?;
        if self.state.is_empty() && self.from.is_none() && self.to.is_none() {
            ids.extend(journal.state.events.into_values().filter(|event| !event.is_replay()).map(|event| event.id));
        }
        let mut known = std::collections::BTreeSet::new();
        ids.retain(|id| known.insert(id.clone()));
        Ok(ids)
    }

    /// The names of what has ended so and then, the oldest first.
    fn ended(&self, look: &mut Look<StdDisk>) -> Result<Vec<EventId>, HistoryError> {
        asking::warn(look);
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let query = Query::Endpoint {
                endpoint: inbox::application(),
                ends: self.state.to_vec(),
                from: self.from.unwrap_or(UnixTime::EPOCH),
                to: self.to.unwrap_or(UnixTime::from_millis(u64::MAX)),
                page: Paging { after, limit: PAGE },
            };
            let Answer::Deliveries { items, next } = asking::one(look, &query)? else { break };
            let named = items.into_iter().filter_map(|item| item.event);
            // The end of a replay is not another webhook.
            ids.extend(named.filter(|id| !id.as_str().starts_with(postrider::replays::REPLAYED)));
            after = next;
            if after.is_none() {
                break;
            }
        }
        ids.reverse();
        Ok(ids)
    }

    fn send(&self, delivery: &Delivery) -> Came {
        let (request, deadline) = (request(delivery), Instant::now() + self.timeout);
        match (self.forward, self.exec) {
            (Some(to), _) => match to.send(&request, deadline) {
                Ok(answer) if answer.status < 300 => Came::Well,
                Ok(answer) => Came::Badly(format!("answered {}", answer.status)),
                Err(why) => Came::Badly(format!("not sent: {why}")),
            },
            (None, Some(command)) => match exec::run(command, &Webhook::stored(&request, delivery), deadline) {
                Ok(Ended::Well) => Came::Well,
                Ok(Ended::Later) => Came::Badly("the command wants it later".into()),
                Ok(Ended::Badly(Some(code))) => Came::Badly(format!("the command ended with exit code {code}")),
                Ok(Ended::Badly(None)) => Came::Badly("the command was ended by a signal".into()),
                Ok(Ended::Overdue) => Came::Badly("the command was killed at its deadline".into()),
                Err(why) => Came::Badly(format!("the command could not be run: {why}")),
            },
            (None, None) => Came::Well,
        }
    }

    fn show(&self, id: &EventId, delivery: Option<&Delivery>, came: &Came, out: &mut impl Write) -> io::Result<()> {
        let why = match came {
            Came::Well => None,
            Came::Badly(why) | Came::Gone(why) => Some(why),
        };
        if self.json {
            let kind = delivery.and_then(|delivery| delivery.kind().map(String::from));
            let line = json!({ "event": id.as_str(), "type": kind, "sent": why.is_none(), "why": why });
            return writeln!(out, "{line}");
        }
        if let Some(why) = why {
            complain!("failed: {id}: {why}");
        }
        match (delivery, came) {
            (Some(delivery), Came::Well) => {
                let request = request(delivery);
                writeln!(out, "{id}: {}", Webhook::stored(&request, delivery).plain(None))
            }
            (Some(_) | None, Came::Well | Came::Badly(_) | Came::Gone(_)) => Ok(()),
        }
    }
}

/// The newest event of a name.
fn event(look: &mut Look<StdDisk>, id: &EventId) -> Result<Option<EventHistory>, HistoryError> {
    let query = Query::Event { tenant: TenantId::default(), event: id.clone() };
    match asking::one(look, &query)? {
        Answer::Event(event) => Ok(event.map(|event| *event)),
        _ => Ok(None),
    }
}
