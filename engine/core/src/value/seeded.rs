//! Random values for the tests of this room, repeatable: every test prints its seed, and
//! `PERDURE_TEST_SEED=<n>` repeats one. Test code only.

/// A splitmix64 generator: small, and the same everywhere.
pub(crate) struct Seeded(u64);

impl Seeded {
    /// Seeded from `PERDURE_TEST_SEED` or the clock; prints the seed.
    pub fn from_environment(test: &str) -> Self {
        let seed = std::env::var("PERDURE_TEST_SEED").ok().and_then(|text| text.parse().ok());
        let seed = seed.unwrap_or_else(|| crate::clock::Clock::system().unix_ms() as u64);
        println!("{test}: PERDURE_TEST_SEED={seed}");
        Self(seed)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.draw() % bound as u64) as usize
    }

    /// An integer of any width, either sign.
    pub fn int(&mut self) -> i64 {
        self.draw() as i64 >> self.below(64)
    }

    /// An element of any encoding: integers, near integers, short, long, random bytes.
    pub fn element(&mut self) -> Vec<u8> {
        match self.below(9) {
            0 => Vec::new(),
            1..=3 => self.int().to_string().into_bytes(),
            4 => format!("0{}", self.int()).into_bytes(),
            5 => vec![b'x'; 55 + self.below(20)],
            6 => vec![b'y'; 110 + self.below(30)],
            7 => vec![b'z'; if self.below(20) == 0 { 4085 + self.below(20) } else { 200 }],
            _ => {
                let len = self.below(10);
                (0..len).map(|_| self.draw() as u8).collect()
            }
        }
    }
}
