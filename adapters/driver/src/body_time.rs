//! How long the body of a request may take.

use std::time::Duration;

/// How long the body of a request may take, from when it is asked for: so long as a whole, and after a time of grace no
/// longer than a sender of the least rate would need. Who drips a byte now and then is found out before the whole time is
/// over, and who sends as fast as that at least gets all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyTime {
    whole: Duration,
    rate: u32,
    grace: Duration,
}

impl Default for BodyTime {
    /// 30 s as a whole, and at least 1,024 bytes a second after 5 s.
    fn default() -> Self {
        Self { whole: Duration::from_secs(30), rate: 1024, grace: Duration::from_secs(5) }
    }
}

impl BodyTime {
    /// With this time as a whole.
    #[must_use]
    pub fn whole(self, time: Duration) -> Self {
        Self { whole: time, ..self }
    }

    /// With at least so many bytes a second after `grace`; 0 demands none.
    #[must_use]
    pub fn rate(self, bytes_a_second: u32, grace: Duration) -> Self {
        Self { rate: bytes_a_second, grace, ..self }
    }

    /// When more must have come, or the end, where so many bytes have: from when the body was asked for.
    pub fn until(&self, received: usize) -> Duration {
        let millis = u64::try_from(received).unwrap_or(u64::MAX).saturating_mul(1000);
        match millis.checked_div(self.rate.into()) {
            Some(millis) => self.grace.saturating_add(Duration::from_millis(millis)).min(self.whole),
            None => self.whole,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sends_fast_enough_has_all_the_time() {
        let (seconds, time) = (Duration::from_secs, BodyTime::default());
        assert_eq!((time.until(0), time.until(1024), time.until(10 * 1024)), (seconds(5), seconds(6), seconds(15)));
        assert_eq!((time.until(1024 * 1024), time.until(usize::MAX)), (seconds(30), seconds(30)));
        assert_eq!(time.rate(0, seconds(1)).until(0), seconds(30));
        assert_eq!(time.whole(seconds(2)).until(0), seconds(2), "the whole is the whole");
        assert_eq!(time.rate(1, Duration::MAX).until(7), seconds(30));
    }
}
