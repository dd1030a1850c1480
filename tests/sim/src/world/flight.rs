//! Attempts on their way, in slots that are used again.

use std::net::SocketAddr;

use bytes::Bytes;
use postrider_core::id::AttemptId;
use postrider_core::response::TransportError;
use postrider_core::sender::Transmit;

use crate::observe::SimTime;
use crate::receiver::Answer;

use super::carry::Mark;

/// What an attempt comes to next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The name has been looked up.
    Resolve,
    /// The connection stands.
    Depart,
    /// The receiver has the whole request.
    Arrive,
    /// The adapter reports it.
    Report,
}

/// An attempt.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) turn: u32,
    pub(super) node: u32,
    pub(super) life: u32,
    pub(super) number: u64,
    pub(super) id: AttemptId,
    pub(super) endpoint: u32,
    pub(super) transmit: Option<Transmit>,
    pub(super) address: Option<SocketAddr>,
    /// The request's head as it was sent.
    pub(super) head: Vec<u8>,
    /// Where its lines are.
    pub(super) marks: Vec<Mark>,
    pub(super) body: Bytes,
    /// What the adapter will report.
    pub(super) outcome: Result<Answer, TransportError>,
    /// And when, if that is settled.
    pub(super) due: Option<SimTime>,
    /// The outcome came to be while the connection stood: the receiver may have got the request.
    pub(super) sent: bool,
    /// A request is on its way to the receiver.
    pub(super) arriving: bool,
    /// The owner of the endpoint is asked for consent, and what the answer says of that.
    pub(super) word: Option<Bytes>,
    /// The adapter has reported, or there is no adapter any more.
    pub(super) over: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Flights {
    slots: Vec<Flight>,
    free: Vec<u32>,
}

impl Flights {
    /// Takes a slot for an attempt.
    pub(super) fn take(&mut self, node: u32, life: u32, number: u64, endpoint: u32, transmit: Transmit) -> (u32, u32) {
        let id = transmit.attempt();
        let outcome = Err(TransportError::Aborted);
        if let Some(slot) = self.free.pop() {
            let flight = &mut self.slots[slot as usize];
            let (head, marks) = (std::mem::take(&mut flight.head), std::mem::take(&mut flight.marks));
            *flight = Flight {
                turn: flight.turn,
                node,
                life,
                number,
                id,
                endpoint,
                transmit: Some(transmit),
                address: None,
                head,
                marks,
                body: Bytes::new(),
                outcome,
                due: None,
                sent: false,
                arriving: false,
                word: None,
                over: false,
            };
            return (slot, flight.turn);
        }
        let slot = u32::try_from(self.slots.len()).expect("no more than credit and what is still on its way");
        self.slots.push(Flight {
            turn: 0,
            node,
            life,
            number,
            id,
            endpoint,
            transmit: Some(transmit),
            address: None,
            head: Vec::new(),
            marks: Vec::new(),
            body: Bytes::new(),
            outcome,
            due: None,
            sent: false,
            arriving: false,
            word: None,
            over: false,
        });
        (slot, 0)
    }

    /// An attempt, unless its slot is another's by now.
    pub(super) fn find(&mut self, slot: u32, turn: u32) -> Option<&mut Flight> {
        self.slots.get_mut(slot as usize).filter(|flight| flight.turn == turn)
    }

    /// Which node a step happens to; `None` for what happens at the receiver.
    pub(super) fn node(&self, slot: u32, turn: u32, step: Step) -> Option<u32> {
        let flight = self.slots.get(slot as usize).filter(|flight| flight.turn == turn)?;
        (step != Step::Arrive && !flight.over).then_some(flight.node)
    }

    /// The attempt of a process that the machine calls so.
    pub(super) fn of(&self, node: u32, life: u32, id: AttemptId) -> Option<(u32, u32)> {
        let mine = |flight: &Flight| {
            !flight.over && flight.id == id && flight.node == node && flight.life == life && flight.transmit.is_some()
        };
        let slot = self.slots.iter().position(mine)?;
        Some((u32::try_from(slot).expect("a slot"), self.slots[slot].turn))
    }

    /// Frees the slot when nothing happens to it any more.
    pub(super) fn release(&mut self, slot: u32) {
        let flight = &mut self.slots[slot as usize];
        if flight.over && !flight.arriving && flight.transmit.is_some() {
            flight.transmit = None;
            flight.body = Bytes::new();
            flight.turn = flight.turn.wrapping_add(1);
            self.free.push(slot);
        }
    }

    /// The process of a node died: nobody reports its attempts.
    pub(super) fn orphan(&mut self, node: u32) {
        for slot in 0..self.slots.len() {
            let flight = &mut self.slots[slot];
            if flight.node == node && !flight.over && flight.transmit.is_some() {
                flight.over = true;
                self.release(u32::try_from(slot).expect("a slot"));
            }
        }
    }
}
