//! Notices as a stream.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use postrider_core::sender::Notice;
use postrider_driver::{Heard, Missed};

/// What is worth telling, in order: a [`Stream`], or [`next`](Self::next) by hand. It ends when the sender has stopped.
///
/// At most 1,024 notices wait for whoever listens; those that do not fit are counted, and the count comes in their place
/// as [`Missed`]. Dropping it ends the listening.
#[derive(Debug)]
pub struct Notices {
    inner: postrider_driver::Notices,
    waker: Arc<Mutex<Option<Waker>>>,
}

impl Notices {
    pub(crate) fn new(inner: postrider_driver::Notices) -> Self {
        let waker = Arc::new(Mutex::new(None::<Waker>));
        let stored = Arc::clone(&waker);
        inner.set_waker(Box::new(move || {
            let waker = stored.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }));
        Self { inner, waker }
    }

    /// The next notice; `None` when the sender has stopped. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Result<Notice, Missed>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Notices {
    type Item = Result<Notice, Missed>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // The waker is there before the look, so that what comes between the two is not missed.
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        match self.inner.try_next() {
            Heard::Notice(notice) => Poll::Ready(Some(Ok(notice))),
            Heard::Missed(count) => Poll::Ready(Some(Err(Missed(count)))),
            Heard::Nothing => Poll::Pending,
            Heard::Over => Poll::Ready(None),
        }
    }
}
