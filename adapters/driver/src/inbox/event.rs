//! A delivery as the event that is published to an inbox.

use std::fmt::Write as _;

use postrider_core::encoding::Payload;
use postrider_core::event::Event;
use postrider_core::id::EventId;
use postrider_core::matching::EventType;
use postrider_core::receiver::{Delivery, STORED_TYPE};
use postrider_core::sender::{OPERATIONAL, REPLAYED};
use sha2::{Digest as _, Sha256};

use super::settings::Settings;

/// The type of events whose webhook says none that could be one.
const TYPE: &str = "webhook.received";

/// What the ids begin with that are digests.
const DIGEST: &str = "sha256-";

/// What no id of a webhook may begin with to be that of its event, so that nobody who signs can choose an id that something
/// else has, or will have.
const RESERVED: [&str; 3] = [DIGEST, REPLAYED, OPERATIONAL];

/// The longest ordering key, in bytes.
const KEY_BYTES: usize = 256;

impl Settings {
    /// The event that keeps a webhook. Everything that has to be the same for a repeat of it is in the id.
    pub fn event(&self, delivery: &Delivery) -> Event {
        let kind = delivery.kind().and_then(|kind| EventType::new(&*kind).ok());
        let payload = Payload::raw(STORED_TYPE, delivery.to_stored()).expect("the type is one");
        let event = Event::new(kind.as_ref().map_or(TYPE, EventType::as_str), payload).expect("the type is one");
        let event = event.id(self.name(delivery));
        let event = delivery.timestamp().into_iter().fold(event, Event::time);
        match (self.order_by)(delivery).filter(|key| !key.is_empty()) {
            Some(key) if key.len() <= KEY_BYTES => event.key(key),
            Some(key) => event.key(digest([key.as_bytes()])),
            None => event,
        }
    }

    /// What the event is called. Two webhooks have the same name exactly if they are of the same scope, have the same
    /// [`dedup_key`](Delivery::dedup_key), and are the same replay or none.
    fn name(&self, delivery: &Delivery) -> String {
        let covered = delivery.covered();
        let replay = delivery.replay().filter(|_| self.replays && covered.id && covered.time);
        let key = delivery.dedup_key();
        let is_plain = delivery.digest().is_none() && delivery.scope() == 0 && replay.is_none();
        if is_plain && !RESERVED.iter().any(|front| key.starts_with(front)) && EventId::new(&*key).is_ok() {
            return key.into_owned();
        }
        // A content and an id that looks like one are told apart by the first byte.
        let is_content = u8::from(delivery.digest().is_some());
        let replay = replay.map_or([0; 9], |number| {
            let [a, b, c, d, e, f, g, h] = number.to_le_bytes();
            [1, a, b, c, d, e, f, g, h]
        });
        digest([&[is_content][..], &delivery.scope().to_le_bytes(), &replay, key.as_bytes()])
    }
}

/// Parts, of which only the last may be of any length, as a name.
fn digest<const N: usize>(parts: [&[u8]; N]) -> String {
    let mut hash = Sha256::new();
    parts.into_iter().for_each(|part| hash.update(part));
    hash.finalize().iter().fold(DIGEST.to_owned(), |mut name, byte| {
        write!(name, "{byte:02x}").expect("a string takes everything");
        name
    })
}
