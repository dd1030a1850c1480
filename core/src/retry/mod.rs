//! When to try again: schedules, jitter, timers, windows.
