//! A sketch of a distribution that is precise at its ends: the merging t-digest (Dunning and Ertl,
//! "Computing extremely accurate quantiles using t-digests", 2019).
//!
//! Values wait in a buffer; a full one is sorted into the centroids. A centroid around quantile `q` of
//! `n` values holds at most `4 n q (1 - q) / compression` of them, and at least one. Up to a full buffer
//! quantiles are exact, and those at the ends always are. What is saved has the buffer in it, so that a
//! restored digest goes on as the saved one would have.

use super::{
    bytes::{get_f64, get_len, put_count},
    each::Refused,
    quantiles::Sketch,
};

/// Values in the buffer for each unit of the compression.
const BUFFERED: usize = 5;

/// A digest; its compression is given to every call.
#[derive(Clone, Default)]
pub(super) struct TDigest {
    /// Ascending.
    centroids: Vec<Centroid>,
    /// Values that are in no centroid yet.
    buffer: Vec<f64>,
}

#[derive(Clone, Copy)]
struct Centroid {
    mean: f64,
    weight: f64,
}

impl Centroid {
    fn one(mean: f64) -> Self {
        Self { mean, weight: 1.0 }
    }

    /// True if their mean is a number between them.
    fn joins(self, other: Self) -> bool {
        self.mean == other.mean || (self.mean.is_finite() && other.mean.is_finite())
    }

    fn join(&mut self, other: Self) {
        self.weight += other.weight;
        if self.mean != other.mean {
            self.mean += (other.mean - self.mean) * (other.weight / self.weight);
        }
    }
}

impl TDigest {
    /// Sorts the buffer into the centroids.
    fn compress(&mut self, compression: usize) {
        self.centroids.extend(self.buffer.drain(..).map(Centroid::one));
        self.centroids.sort_by(|a, b| a.mean.total_cmp(&b.mean));
        let total: f64 = self.centroids.iter().map(|centroid| centroid.weight).sum();
        let mut before = 0.0;
        let mut joined: Vec<Centroid> = Vec::new();
        for centroid in self.centroids.drain(..) {
            if let Some(last) = joined.last_mut() {
                let weight = last.weight + centroid.weight;
                let q = (before + weight / 2.0) / total;
                let most = 4.0 * total * q * (1.0 - q) / compression as f64;
                if weight <= most && last.joins(centroid) {
                    last.join(centroid);
                    continue;
                }
                before += last.weight;
            }
            joined.push(centroid);
        }
        self.centroids = joined;
    }
}

impl Sketch for TDigest {
    type View = Vec<(f64, f64)>;

    fn is_empty(&self) -> bool {
        self.centroids.is_empty() && self.buffer.is_empty()
    }

    fn add(&mut self, value: f64, compression: usize) {
        self.buffer.push(value);
        if self.buffer.len() >= compression * BUFFERED {
            self.compress(compression);
        }
    }

    fn merge(&mut self, other: &Self, compression: usize) {
        if !other.centroids.is_empty() {
            self.centroids.extend(&other.centroids);
            self.compress(compression);
        }
        other.buffer.iter().for_each(|value| self.add(*value, compression));
    }

    /// Means, and the ranks in the middle of their centroids.
    fn view(&self, compression: usize) -> Self::View {
        let mut whole = self.clone();
        // Without centroids the buffer fits: sorted, it is the distribution itself.
        if whole.centroids.is_empty() {
            whole.buffer.sort_by(f64::total_cmp);
            whole.centroids.extend(whole.buffer.drain(..).map(Centroid::one));
        } else if !whole.buffer.is_empty() {
            whole.compress(compression);
        }
        let mut before = 0.0;
        let middle = |centroid: &Centroid| {
            let rank = before + centroid.weight / 2.0;
            before += centroid.weight;
            (centroid.mean, rank)
        };
        whole.centroids.iter().map(middle).collect()
    }

    /// Between the middles of neighbouring centroids on a straight line.
    fn quantile(view: &Self::View, q: f64) -> f64 {
        let Some((first, last)) = view.first().zip(view.last()) else { return f64::NAN };
        // The first and the last centroid are single values, half a rank from the ends.
        let rank = first.1 + q * (last.1 - first.1);
        let above = view.partition_point(|(_, middle)| *middle < rank);
        let (high, at) = view.get(above).copied().unwrap_or(*last);
        let (low, from) = view[above.saturating_sub(1)];
        if high == low || at <= rank {
            return high;
        }
        low + (high - low) * ((rank - from) / (at - from))
    }

    fn save(&self, out: &mut Vec<u8>) {
        put_count(out, self.centroids.len() as u64);
        for centroid in &self.centroids {
            out.extend_from_slice(&centroid.mean.to_le_bytes());
            out.extend_from_slice(&centroid.weight.to_le_bytes());
        }
        put_count(out, self.buffer.len() as u64);
        self.buffer.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
    }

    fn load(bytes: &mut &[u8]) -> Result<Self, Refused> {
        let mut digest = Self::default();
        for _ in 0..get_len(bytes)? {
            let (mean, weight) = (get_f64(bytes)?, get_f64(bytes)?);
            digest.centroids.push(Centroid { mean, weight });
        }
        for _ in 0..get_len(bytes)? {
            digest.buffer.push(get_f64(bytes)?);
        }
        Ok(digest)
    }

    fn heap(&self) -> usize {
        self.centroids.capacity() * size_of::<Centroid>() + self.buffer.capacity() * 8
    }
}
