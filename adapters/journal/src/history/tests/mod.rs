//! History in a store on a disk in memory, beside a model that keeps everything.

mod budgets;
mod model;
mod rig;
mod scenes;
