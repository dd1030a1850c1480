//! What the handler of a receiver may return.

use postrider_core::receiver::Processed;

/// What came of a delivery, said by its handler.
///
/// * [`Processed`] says it outright.
/// * `()` is [`Processed::Done`]: for handlers that cannot fail.
/// * `Result<(), E>` is done, or what the error becomes: implement `From<YourError> for Processed` and use `?`. There is
///   no such conversion for every error, because wanting it again and never wanting it are not the same.
pub trait Handled {
    /// What is told the machine, and by it the sender.
    fn processed(self) -> Processed;
}

impl Handled for Processed {
    fn processed(self) -> Processed {
        self
    }
}

impl Handled for () {
    fn processed(self) -> Processed {
        Processed::Done
    }
}

impl<E: Into<Processed>> Handled for Result<(), E> {
    fn processed(self) -> Processed {
        self.map_or_else(Into::into, |()| Processed::Done)
    }
}
