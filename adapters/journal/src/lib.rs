//! Logs that a Postrider sender writes to: the trait, and one in memory.
