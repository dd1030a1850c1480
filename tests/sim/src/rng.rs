//! Random numbers, written here so that a seed means the same on every platform and for ever.

/// A stream of random numbers: xoshiro256++ (Blackman and Vigna, 2019), filled by SplitMix64.
#[derive(Clone, Debug)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        let mut mix = seed;
        Self { state: std::array::from_fn(|_| split_mix(&mut mix)) }
    }

    /// A stream of its own for a part of the world, by name: draws in one part never shift those of another.
    pub fn part(seed: u64, name: &str) -> Self {
        let salt = name
            .bytes()
            .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3));
        let mut mix = seed ^ salt;
        Self::new(split_mix(&mut mix))
    }

    /// A stream for one of several of the same kind.
    pub fn fork(&mut self) -> Self {
        Self::new(self.u64())
    }

    /// Any number.
    pub fn u64(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// A number below `bound`; 0 when there is none.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The bias of the multiplication is below 2^-32 for the bounds used here.
        u64::try_from((u128::from(self.u64()) * u128::from(bound)) >> 64).expect("the upper half of a product")
    }

    /// An index into something that has `len` entries.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("below a usize")
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below((high - low).saturating_add(1))
    }

    /// True once in `n` times; never for 0.
    pub fn once_in(&mut self, n: u64) -> bool {
        n > 0 && self.below(n) == 0
    }

    /// True in `millionths` of a million times.
    pub fn chance(&mut self, millionths: u32) -> bool {
        self.below(1_000_000) < u64::from(millionths)
    }

    /// One of them.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.index(of.len())]
    }

    /// A number of the order of `mean`: exponentially distributed, at least 1, at most 16 times `mean`.
    pub fn about(&mut self, mean: u64) -> u64 {
        // -ln(u) by the leading zeros of u and a straight line between powers of two: exact enough, and the same
        // everywhere because there is no floating point in it.
        let draw = self.u64() | 1;
        let zeros = u64::from(draw.leading_zeros());
        let rest = (draw << zeros) << 1;
        let fraction = 1024 - (rest >> 54);
        let halvings = (zeros * 1024 + fraction).min(16 * 1477);
        // One halving is ln 2 = 710/1024 of the mean.
        let nats = u128::from(halvings) * 710;
        u64::try_from((u128::from(mean) * nats) >> 20).unwrap_or(u64::MAX).max(1)
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_for_ever() {
        let mut rng = Rng::new(1);
        let drawn: [u64; 3] = std::array::from_fn(|_| rng.u64());
        assert_eq!(drawn, [14_971_601_782_005_023_387, 13_781_649_495_232_077_965, 1_847_458_086_238_483_744]);
        assert_ne!(Rng::part(1, "disk").u64(), Rng::part(1, "network").u64());
    }

    #[test]
    fn numbers_about_a_mean_have_that_mean() {
        let mut rng = Rng::new(2);
        let sum: u64 = (0..100_000).map(|_| rng.about(1_000_000) / 1000).sum();
        assert!((95_000_000..105_000_000).contains(&sum), "{sum}");
    }

    #[test]
    fn bounds_hold() {
        let mut rng = Rng::new(3);
        for _ in 0..1000 {
            assert!(rng.below(7) < 7);
            assert!((3..=5).contains(&rng.between(3, 5)));
        }
        assert_eq!(rng.below(0), 0);
    }
}
