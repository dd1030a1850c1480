//! The command postrider: deliver, receive, sign and verify webhooks, and a demonstration.
fn main() {}
