//! The internal topic: where a key goes, and what each of its partitions knows of the source.

use crate::types::murmur2;
use std::sync::Arc;

/// The internal topic as one source partition writes it.
pub struct Target {
    /// Its name.
    pub topic: Arc<str>,
    /// The watermark that each partition has been told.
    told: Vec<Option<i64>>,
}

impl Target {
    /// A topic with so many partitions, to which nothing was written.
    #[must_use]
    pub fn new(topic: &str, partitions: usize) -> Self {
        Self { topic: topic.into(), told: vec![None; partitions.max(1)] }
    }

    /// The partition of a key, as Kafka's own partitioner chooses it. All records without one go to
    /// partition 0: they are one group, as rows with a null key are one group of a window.
    #[must_use]
    pub fn place(&self, key: Option<&[u8]>) -> usize {
        key.map_or(0, |key| murmur2(key) as usize % self.told.len())
    }

    /// Partition `at` gets a record with `watermark_ms`.
    pub fn tell(&mut self, at: usize, watermark_ms: Option<i64>) {
        self.told[at] = self.told[at].max(watermark_ms);
    }

    /// The partitions that do not know of `watermark_ms` yet.
    #[must_use]
    pub fn behind(&self, watermark_ms: Option<i64>) -> Vec<usize> {
        (0..self.told.len()).filter(|&at| self.told[at] < watermark_ms).collect()
    }

    /// All partitions.
    #[must_use]
    pub fn all(&self) -> Vec<usize> {
        (0..self.told.len()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_goes_where_kafkas_partitioner_puts_it_and_no_key_to_the_first() {
        let target = Target::new("t", 7);
        assert_eq!(target.place(None), 0);
        assert_eq!(target.place(Some(b"abc")), 479_470_107 % 7);
    }

    #[test]
    fn those_are_behind_that_were_told_less() {
        let mut target = Target::new("t", 3);
        assert!(target.behind(None).is_empty());
        target.tell(1, Some(50));
        target.tell(1, Some(40));
        target.tell(2, Some(10));
        assert_eq!(target.behind(Some(50)), [0, 2]);
        assert_eq!(target.behind(Some(51)), target.all());
    }
}
