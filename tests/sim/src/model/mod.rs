//! The reference model: what must be true, told from what can be seen.

use crate::observe::{Broken, Judge, Look, Seen, SimTime};

/// All judges of the model behind one name.
#[derive(Debug, Default)]
pub struct Model;

impl Judge for Model {
    fn see(&mut self, _at: SimTime, _seen: &Seen<'_>) -> Result<(), Broken> {
        Ok(())
    }

    fn sweep(&mut self, _at: SimTime, _look: &dyn Look) -> Result<(), Broken> {
        Ok(())
    }

    fn end(&mut self, _at: SimTime, _look: &dyn Look) -> Result<(), Broken> {
        Ok(())
    }
}
