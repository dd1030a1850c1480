//! How many attempts one endpoint can carry at once.

/// The concurrency of one endpoint: halved when it is throttled, grown by one with each success, and doubled with
/// each success while a ramp lets overdue deliveries out.
///
/// It only says how many; whoever starts attempts counts those in flight. A window that shrinks below what is in
/// flight starts nothing new until it fits.
///
/// ```
/// use postrider_core::retry::Window;
///
/// let mut window = Window::new(8);
/// assert!(window.can_start(7) && !window.can_start(8));
/// window.on_throttle();
/// assert_eq!(window.size(), 4);
/// window.on_success();
/// assert_eq!(window.size(), 5);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    limit: u16,
    size: u16,
    ramping: bool,
}

impl Window {
    /// A fully open window. A limit of 0 counts as 1, since an endpoint is held back by its state and not by this.
    pub const fn new(limit: u16) -> Self {
        let limit = if limit == 0 { 1 } else { limit };
        Self { limit, size: limit, ramping: false }
    }

    /// An attempt succeeded: doubles the window while it is ramping, else adds one, up to the limit. Reaching the
    /// limit ends the ramp.
    pub fn on_success(&mut self) {
        let grown = if self.ramping { self.size.saturating_mul(2) } else { self.size.saturating_add(1) };
        self.size = grown.min(self.limit);
        self.ramping &= self.size < self.limit;
    }

    /// The endpoint said that it cannot keep up: halves the window, to at least 1, and ends a ramp.
    pub fn on_throttle(&mut self) {
        self.size = (self.size / 2).max(1);
        self.ramping = false;
    }

    /// Starts a ramp: 1, then doubled with each success until the limit. For when an endpoint comes back with
    /// deliveries that are overdue: resumed, recovered, restored, replayed.
    pub fn ramp(&mut self) {
        #[cfg(postrider_planted)]
        if crate::planted::breaks(33) {
            return;
        }
        self.size = 1;
        self.ramping = self.limit > 1;
    }

    /// Changes the limit. A fully open window stays so; another one is cut to the limit or grows by its rule.
    pub fn set_limit(&mut self, limit: u16) {
        let limit = limit.max(1);
        self.size = if self.size == self.limit { limit } else { self.size.min(limit) };
        self.limit = limit;
        self.ramping &= self.size < self.limit;
    }

    /// Whether one more attempt may start beside those in flight.
    pub const fn can_start(self, in_flight: u32) -> bool {
        in_flight < self.size as u32
    }

    /// How many attempts may be in flight now; at least 1, at most the limit.
    pub const fn size(self) -> u16 {
        self.size
    }

    /// How many attempts may ever be in flight.
    pub const fn limit(self) -> u16 {
        self.limit
    }

    /// Whether a ramp is on.
    pub const fn is_ramping(self) -> bool {
        self.ramping
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn sizes_of_successes(window: &mut Window, n: usize) -> Vec<u16> {
        core::iter::repeat_with(|| {
            window.on_success();
            window.size()
        })
        .take(n)
        .collect()
    }

    #[test]
    fn it_is_small_and_starts_open() {
        assert!(size_of::<Window>() <= 8);
        let window = Window::new(8);
        assert!(window.can_start(0) && window.can_start(7));
        assert!(!window.can_start(8) && !window.can_start(u32::MAX));
        assert_eq!(Window::new(0), Window::new(1));
    }

    #[test]
    fn a_throttle_halves_and_a_success_adds_one() {
        let mut window = Window::new(8);
        for size in [4, 2, 1, 1] {
            window.on_throttle();
            assert_eq!(window.size(), size);
        }
        assert_eq!(sizes_of_successes(&mut window, 9), [2, 3, 4, 5, 6, 7, 8, 8, 8]);
        window.on_success();
        let mut odd = Window::new(3);
        odd.on_throttle();
        assert_eq!(odd.size(), 1);
    }

    #[test]
    fn a_ramp_doubles_until_the_limit_and_then_is_over() {
        let mut window = Window::new(6);
        window.ramp();
        assert_eq!((window.size(), window.is_ramping()), (1, true));
        assert_eq!(sizes_of_successes(&mut window, 4), [2, 4, 6, 6]);
        assert!(!window.is_ramping());
        window.on_throttle();
        assert_eq!(sizes_of_successes(&mut window, 1), [4], "after the ramp, one by one");
        let mut single = Window::new(1);
        single.ramp();
        assert_eq!(single, Window::new(1), "nothing to ramp");
    }

    #[test]
    fn a_throttle_ends_a_ramp() {
        let mut window = Window::new(64);
        window.ramp();
        assert_eq!(sizes_of_successes(&mut window, 3), [2, 4, 8]);
        window.on_throttle();
        assert_eq!(sizes_of_successes(&mut window, 2), [5, 6]);
    }

    #[test]
    fn a_new_limit_keeps_an_open_window_open() {
        let mut window = Window::new(8);
        window.set_limit(16);
        assert_eq!(window, Window::new(16));
        window.on_throttle();
        window.set_limit(32);
        assert_eq!((window.size(), window.limit()), (8, 32));
        window.ramp();
        window.on_success();
        window.set_limit(2);
        assert_eq!(window, Window::new(2));
        window.set_limit(0);
        assert_eq!(window, Window::new(1));
        let mut large = Window::new(u16::MAX);
        large.ramp();
        assert_eq!(sizes_of_successes(&mut large, 17).last(), Some(&u16::MAX));
    }
}
