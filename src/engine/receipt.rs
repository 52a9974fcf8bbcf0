//! The text beside a committed offset: which commit put it there.
//!
//! The offset and this text are written by the same transaction. Whoever finds the token of a commit
//! here knows that all of that commit took effect; whoever finds another one knows that nothing of it did.
//!
//! # Guarantees
//!
//! * The text is ASCII and at most [`MOST_BYTES`] bytes, far below the broker's limit of 4,096.
//! * Reading any text never panics. What a newer version wrote is told apart from what others wrote.
//! * What [`Point::to_metadata`] writes, without a token, is read.

use super::horizon::{PREFIX, Point};
use serde::{Deserialize, Serialize};

/// Longest text of a receipt.
pub const MOST_BYTES: usize = 256;

/// What a commit says of itself beside the offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Receipt {
    /// The offset, the position, the watermarks.
    pub point: Point,
    /// Random name of the attempt that committed; 0 of a commit without a transaction.
    pub token: u64,
    /// Chained hash of every output up to the position.
    pub hash: u64,
    /// The clock as the handlers of its last batch saw it, in ms since the epoch.
    pub time_ms: i64,
    /// Changes when an operator resets; state of another generation is void, on whichever machine it is.
    pub generation: u32,
}

/// What stands beside a committed offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Metadata {
    /// A receipt of ours.
    Receipt(Receipt),
    /// Nothing: a commit without a transaction, or a tool that sets offsets.
    Empty,
    /// A receipt of a version that is not known here.
    Newer,
    /// Something that is not from here.
    Foreign,
}

/// The fields as they are written; short names, because the broker keeps the text for every commit.
#[derive(Serialize, Deserialize)]
struct Fields {
    #[serde(flatten)]
    point: Point,
    #[serde(default, rename = "x", skip_serializing_if = "Hex::is_zero")]
    token: Hex,
    #[serde(default, rename = "h", skip_serializing_if = "Hex::is_zero")]
    hash: Hex,
    #[serde(default, rename = "t")]
    time_ms: i64,
    #[serde(default, rename = "g", skip_serializing_if = "Hex::is_zero")]
    generation: Hex,
}

/// A number as hexadecimal digits: JSON's own numbers are not whole beyond 2^53 to other readers.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Hex(u64);

impl Hex {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
    fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

impl From<Hex> for String {
    fn from(hex: Hex) -> Self {
        format!("{:x}", hex.0)
    }
}

impl TryFrom<String> for Hex {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u64::from_str_radix(&text, 16).map(Self)
    }
}

impl Receipt {
    /// One of a commit up to `position` that has no windows in memory.
    #[must_use]
    pub fn plain(position: i64, token: u64) -> Self {
        Self { point: Point::plain(position), token, hash: 0, time_ms: 0, generation: 0 }
    }

    /// The text of a commit without a transaction: as short as what is to be said.
    #[must_use]
    pub fn without_token(point: Point, generation: u32) -> String {
        match generation {
            0 => point.to_metadata(),
            _ => Self { generation, point, ..Self::plain(point.position, 0) }.to_metadata(),
        }
    }

    /// Has an operator put it there, and nobody committed since? Then no record in front of it counts, and there is
    /// no state. Such a commit has a time and no token; those of workers have both or neither.
    #[must_use]
    pub fn is_beginning(&self) -> bool {
        self.generation != 0 && self.token == 0 && self.time_ms != 0
    }

    /// The first record whose results are not out yet.
    #[must_use]
    pub fn position(self) -> i64 {
        self.point.position
    }

    /// As the text beside the committed offset [`Point::offset`].
    ///
    /// # Panics
    ///
    /// Never: numbers and digits have a form in JSON.
    #[must_use]
    pub fn to_metadata(self) -> String {
        let fields = Fields {
            point: self.point,
            token: Hex(self.token),
            hash: Hex(self.hash),
            time_ms: self.time_ms,
            generation: Hex(self.generation.into()),
        };
        let json = serde_json::to_string(&fields).expect("numbers have a form in JSON");
        format!("{PREFIX}{json}")
    }
}

impl Metadata {
    /// Reads the text beside the committed offset `offset`.
    #[must_use]
    pub fn read(offset: i64, text: &str) -> Self {
        if text.is_empty() {
            return Self::Empty;
        }
        match text.strip_prefix(PREFIX) {
            Some(json) => Self::fields(offset, json).map_or(Self::Foreign, Self::Receipt),
            None if is_of_another_version(text) => Self::Newer,
            None => Self::Foreign,
        }
    }

    fn fields(offset: i64, json: &str) -> Option<Receipt> {
        let fields: Fields = serde_json::from_str(json).ok()?;
        let point = Point { offset, ..fields.point };
        let generation = u32::try_from(fields.generation.0).ok()?;
        (point.position >= offset).then_some(Receipt {
            point,
            token: fields.token.0,
            hash: fields.hash.0,
            time_ms: fields.time_ms,
            generation,
        })
    }

    /// The receipt, if there is one.
    #[must_use]
    pub fn receipt(&self) -> Option<&Receipt> {
        match self {
            Self::Receipt(receipt) => Some(receipt),
            _ => None,
        }
    }

    /// The token of the commit, 0 if it has none.
    #[must_use]
    pub fn token(&self) -> u64 {
        self.receipt().map_or(0, |receipt| receipt.token)
    }
}

fn is_of_another_version(text: &str) -> bool {
    let version = text.strip_prefix("turbine:").and_then(|rest| rest.split_once(':'));
    version.is_some_and(|(digits, _)| digits.parse::<u32>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn receipt() -> impl Strategy<Value = Receipt> {
        let numbers = (any::<u64>(), any::<u64>(), any::<i64>(), any::<u32>());
        let point = (0..i64::MAX, any::<u32>(), any::<i64>(), any::<i64>());
        (point, numbers).prop_map(|((offset, ahead, watermark_before, watermark), rest)| {
            let position = offset.saturating_add(i64::from(ahead));
            let point = Point { offset, position, watermark_before, watermark };
            let (token, hash, time_ms, generation) = rest;
            Receipt { point, token, hash, time_ms, generation }
        })
    }

    proptest! {
        /// A receipt is read as it was written, and its text is short and plain.
        #[test]
        fn a_receipt_comes_back(receipt in receipt()) {
            let text = receipt.to_metadata();
            prop_assert!(text.is_ascii() && text.len() <= MOST_BYTES, "{} bytes", text.len());
            prop_assert_eq!(Metadata::read(receipt.point.offset, &text), Metadata::Receipt(receipt));
        }

        /// Any text is read as something.
        #[test]
        fn no_text_is_too_strange(offset in any::<i64>(), tail in ".{0,80}", cut in 0..200_usize, receipt in receipt()) {
            let _ = Metadata::read(offset, &tail);
            let _ = Metadata::read(offset, &format!("turbine:1:{tail}"));
            let whole = receipt.to_metadata();
            let _ = Metadata::read(offset, &whole[..cut.min(whole.len())]);
        }

        /// The text without a token that windows in memory leave is read, and the other way round.
        #[test]
        fn points_and_receipts_read_each_other(receipt in receipt()) {
            let offset = receipt.point.offset;
            prop_assert_eq!(Point::from_metadata(offset, &receipt.to_metadata()), Some(receipt.point));
            let text = receipt.point.to_metadata();
            let point = Metadata::read(offset, &text).receipt().map(|read| (read.point, read.token));
            prop_assert_eq!(point, (!text.is_empty()).then_some((receipt.point, 0)));
        }
    }

    /// The longest numbers fit.
    #[test]
    fn the_longest_receipt_is_short_enough() {
        let point = Point {
            offset: i64::MAX,
            position: i64::MAX,
            watermark_before: i64::MIN + 1,
            watermark: i64::MIN + 1,
        };
        let (token, hash, time_ms, generation) = (u64::MAX, u64::MAX, i64::MIN, u32::MAX);
        let text = Receipt { point, token, hash, time_ms, generation }.to_metadata();
        assert!(text.len() <= MOST_BYTES, "{}", text.len());
    }

    /// Versions to come are refused by name, everything else is somebody else's.
    #[test]
    fn other_versions_are_not_guessed() {
        assert_eq!(Metadata::read(5, ""), Metadata::Empty);
        assert_eq!(Metadata::read(5, "turbine:2:{}"), Metadata::Newer);
        for foreign in
            ["turbine:x:{}", "AgABjEx", "turbine:1:{\"p\":4}", "turbine:1:", "turbine:1:{}"]
        {
            assert_eq!(Metadata::read(5, foreign), Metadata::Foreign, "{foreign}");
        }
    }
}
