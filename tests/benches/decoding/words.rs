//! Texts as models write them, from a seed.

const WORDS: [&str; 24] = [
    " the",
    " and",
    " weather",
    " in",
    " of",
    " a",
    " wind",
    " umbrella",
    " to",
    " is",
    " rain",
    " tomorrow",
    " north",
    " light",
    ",",
    ".",
    " Oslo",
    " 6",
    "°C",
    " Tromsø",
    " it",
    "'s",
    " –",
    " clouds",
];

const ESCAPED: [&str; 6] = ["\n\n", "\n- ", " \"dry\"", "\t", " \\(x\\)", ":\n"];

const RARE: [&str; 6] = [" ☔", " 東京", " naïve", " Übergang", " 🌧️", " Привет"];

/// Numbers that are the same on every machine: splitmix64.
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }

    fn one_of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        let place = self.below(words.len() as u64);
        words[usize::try_from(place).unwrap_or_default()]
    }

    /// A piece of text, of 3 to about 40 bytes. Every tenth has an escape, every tenth a rare letter.
    pub fn text(&mut self) -> String {
        let length = usize::try_from(3 + self.below(30)).unwrap_or(3);
        let mut text = String::new();
        match self.below(10) {
            0 => text.push_str(self.one_of(&ESCAPED)),
            1 => text.push_str(self.one_of(&RARE)),
            _ => {}
        }
        while text.len() < length {
            text.push_str(self.one_of(&WORDS));
        }
        text
    }

    /// Letters without a meaning, as they fill identities and what hides the length of a text.
    pub fn filling(&mut self, length: u64) -> String {
        let letters = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
        let letter = |random: &mut Self| {
            let place = random.below(letters.len() as u64);
            char::from(letters[usize::try_from(place).unwrap_or_default()])
        };
        (0..length).map(|_| letter(self)).collect()
    }
}
