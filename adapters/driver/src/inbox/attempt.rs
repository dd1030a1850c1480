//! An attempt of an inbox, which is a call of the handler.

use postrider_core::receiver::{Delivery, Processed, StoredError};
use postrider_core::response::{Outcome, Reply, TransportError};
use postrider_core::sender::{Resolver, Transmit};

/// What the handler is to be called with, or why what is stored cannot be read; then the attempt is
/// [`unreadable`].
pub fn delivery(transmit: &Transmit) -> Result<Delivery, StoredError> {
    let cleared = transmit.clear_by(Resolver::Handler).map_err(|_| StoredError::Unknown)?;
    Delivery::from_stored(cleared.body())
}

/// How an attempt ends of which nothing can be read: as 500, because a later version may be able to.
pub fn unreadable(why: StoredError) -> Outcome {
    failed(&why.to_string())
}

/// How an attempt ends of which the handler said this; see the table of this module.
pub fn outcome(processed: Processed) -> Outcome {
    match processed {
        Processed::Done => Ok(Reply::new(204)),
        Processed::Queued => Ok(Reply::new(202)),
        Processed::Later { after: None } => failed("the handler wants it later"),
        Processed::Later { after: Some(after) } => {
            let secs = after.as_secs().saturating_add(u64::from(after.subsec_nanos() > 0));
            failed("the handler wants it later").map(|reply| reply.header("retry-after", secs.to_string().as_bytes()))
        }
        Processed::Refuse | Processed::Unsubscribed => Err(TransportError::Unwanted),
    }
}

/// How an attempt ends whose handler panicked.
pub fn panicked() -> Outcome {
    failed("the handler panicked")
}

fn failed(why: &str) -> Outcome {
    Ok(Reply::new(500).with_body(why.to_owned().into()))
}
