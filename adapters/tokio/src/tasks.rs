//! The tasks of one connection, which end with it.

use std::sync::{Arc, Mutex, PoisonError};

use hyper::rt::Executor;
use tokio::task::AbortHandle;

/// Owns the tasks of a connection: dropping it ends them, and with them the socket, whatever they wait for.
///
/// hyper ends a connection's tasks by itself when the last request handle is gone, but only as fast as the peer takes
/// what is still to be written.
#[derive(Debug)]
pub(crate) struct Lifeline(Spawner);

impl Lifeline {
    pub(crate) fn new() -> Self {
        Self(Spawner(Arc::default()))
    }

    /// What starts tasks on this lifeline.
    pub(crate) fn spawner(&self) -> Spawner {
        self.0.clone()
    }
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        let mut tasks = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.over = true;
        tasks.running.drain(..).for_each(|task| task.abort());
    }
}

/// Starts tasks of a connection; an executor for hyper.
#[derive(Clone, Debug)]
pub(crate) struct Spawner(Arc<Mutex<Tasks>>);

/// At most a few at a time: one for the connection, and over HTTP/2 one for its frames and two for each request.
#[derive(Debug, Default)]
struct Tasks {
    running: Vec<AbortHandle>,
    over: bool,
}

impl<F> Executor<F> for Spawner
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !tasks.over {
            tasks.running.retain(|task| !task.is_finished());
            tasks.running.push(tokio::spawn(task).abort_handle());
        }
    }
}
