//! Numbers without a pattern (xorshift), the same in every run.

pub(crate) struct Noise(u32);

impl Noise {
    pub(crate) fn new(seed: u32) -> Self {
        let mut noise = Self(seed.wrapping_mul(0x9e37_79b9) | 1);
        for _ in 0..8 {
            noise.next();
        }
        noise
    }

    /// From 0 to 1.
    pub(crate) fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        f64::from(self.0) / f64::from(u32::MAX)
    }

    /// Of mean 1, as the gaps between calls of many are.
    pub(crate) fn exponential(&mut self) -> f64 {
        -self.next().max(1e-9).ln()
    }
}
