//! Which endpoints want an event: type patterns and the index over them.
