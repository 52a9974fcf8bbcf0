//! Where a record of an internal topic came from, and how far its source was: a header that the first
//! stage of a repartitioned subscription writes and the second one reads and takes away.
//!
//! Its value is text, `kind partition partitions offset watermark topic`, parted by single spaces; no
//! topic of Kafka has a space in its name.

use crate::types::Header;

/// Name of the header.
pub const HEADER: &str = "turbine.origin";

/// What a record of an internal topic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A record of the source.
    Row,
    /// No record: it only tells how far the source is.
    Mark,
    /// No record: the source has come to its end and is silent.
    Idle,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Row, Self::Mark, Self::Idle];

    fn word(self) -> &'static str {
        match self {
            Self::Row => "row",
            Self::Mark => "mark",
            Self::Idle => "idle",
        }
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// What the record is.
    pub kind: Kind,
    /// Topic that the stage reads.
    pub topic: String,
    /// Partition there.
    pub partition: i32,
    /// How many partitions there are.
    pub partitions: i32,
    /// Offset there; of a mark, the offset behind the last record.
    pub offset: i64,
    /// Watermark of that partition behind the record, in ms; none before the first time.
    pub watermark_ms: Option<i64>,
}

impl Origin {
    /// As a header.
    #[must_use]
    pub fn header(&self) -> Header {
        let Self { kind, topic, partition, partitions, offset, watermark_ms } = self;
        let watermark = watermark_ms.map_or_else(|| "-".to_owned(), |ms| ms.to_string());
        let text = format!("{} {partition} {partitions} {offset} {watermark} {topic}", kind.word());
        (HEADER.to_owned(), Some(text.into_bytes()))
    }

    /// The origin that `headers` tell of; none if they do not, or in a form that nobody here wrote.
    #[must_use]
    pub fn find(headers: &[Header]) -> Option<Self> {
        let (_, value) = headers.iter().rfind(|(name, _)| name == HEADER)?;
        Self::parse(std::str::from_utf8(value.as_deref()?).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.splitn(6, ' ');
        let mut word = || words.next();
        let kind = word()?;
        let kind = Kind::ALL.into_iter().find(|one| one.word() == kind)?;
        let partition = word()?.parse().ok().filter(|&n| n >= 0)?;
        let partitions = word()?.parse().ok().filter(|n| (1..=MOST_PARTITIONS).contains(n))?;
        let offset = word()?.parse().ok()?;
        let watermark_ms = match word()? {
            "-" => None,
            number => Some(number.parse().ok()?),
        };
        Some(Self { kind, topic: word()?.to_owned(), partition, partitions, offset, watermark_ms })
    }
}

/// More partitions than any topic has: what a stranger wrote is not believed beyond it.
const MOST_PARTITIONS: i32 = 1 << 20;

/// `headers` without ours.
pub fn strip(headers: &mut Vec<Header>) {
    headers.retain(|(name, _)| name != HEADER);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            kind in prop::sample::select(Kind::ALL.to_vec()),
            topic in "[a-zA-Z0-9._-]{1,40}",
            partition in 0..=i32::MAX,
            partitions in 1..=MOST_PARTITIONS,
            offset in any::<i64>(),
            watermark_ms in any::<Option<i64>>(),
        ) {
            let origin = Origin { kind, topic, partition, partitions, offset, watermark_ms };
            let mut headers = vec![("own".to_owned(), None), origin.header()];
            prop_assert_eq!(Origin::find(&headers), Some(origin));
            strip(&mut headers);
            prop_assert_eq!(headers.len(), 1);
        }

        #[test]
        fn any_bytes_are_no_origin_or_one_that_can_be(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Some(found) = Origin::find(&[(HEADER.to_owned(), Some(bytes))]) {
                prop_assert!(found.partition >= 0 && found.partitions > 0);
            }
        }
    }
}
