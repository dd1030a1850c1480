//! What the kernel counts.

/// Bytes written by this process so far.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// Bytes given to write calls.
    pub given: u64,
    /// Bytes that the kernel caused to be sent to the disk.
    pub sent: u64,
}

impl Written {
    /// As it is now. Linux only: elsewhere both are zero.
    pub fn now() -> Self {
        let text = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.trim().parse().ok()).unwrap_or(0)
        };
        Self { given: field("wchar:"), sent: field("write_bytes:") }
    }

    /// What was written between two moments.
    pub fn since(self, before: Self) -> Self {
        Self { given: self.given - before.given, sent: self.sent - before.sent }
    }
}
