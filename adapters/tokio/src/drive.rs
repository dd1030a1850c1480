//! The loop: one task owns the desk and turns it.

use postrider_core::sender::{Close, Wake};
use postrider_driver::{Carry, Desk};
use tokio::sync::{Notify, mpsc};

use crate::carrier::{Carrier, Way};

/// Commands that are carried out between two turns, at most, so that their records share one batch.
const BATCH: usize = 256;

/// A command on its way to the loop.
pub(crate) type Command<D> = Box<dyn FnOnce(&mut D) + Send>;

/// What the loop turns.
pub(crate) trait Driven {
    /// Takes facts in and carries effects out; says when to come back.
    fn turn(&mut self, carrier: &mut impl Carry) -> Wake;

    /// Begins to close.
    fn close(&mut self, how: Close);
}

impl Driven for Desk {
    fn turn(&mut self, carrier: &mut impl Carry) -> Wake {
        Self::turn(self, carrier)
    }

    fn close(&mut self, how: Close) {
        Self::close(self, how);
    }
}

/// Turns `desk` until it is closed. `woken` is notified when there are facts for it; when there can be no more
/// commands, it is closed at once.
pub(crate) async fn drive<D: Driven, W: Way>(
    desk: &mut D,
    carrier: &mut Carrier<W>,
    commands: &mut mpsc::Receiver<Command<D>>,
    woken: &Notify,
) {
    let (mut batch, mut open) = (Vec::with_capacity(BATCH), true);
    loop {
        let wake = desk.turn(carrier); // 1. facts go in, effects are carried out
        if wake == Wake::Closed {
            return;
        }
        tokio::select! {
            taken = commands.recv_many(&mut batch, BATCH), if open => {
                batch.drain(..).for_each(|command| command(desk)); // 2. somebody asked for something
                if taken == 0 {
                    open = false; // the last handle is gone
                    desk.close(Close::Now);
                }
            }
            () = woken.notified() => {} // 3. an attempt ended, or the log answered
            () = carrier.rest(wake) => {} // 4. it is time
        }
    }
}
