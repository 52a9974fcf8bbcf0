//! `variance`, `std_dev`, `covariance`, `correlation`.
//!
//! Integers and decimals of up to 27 digits are added up exactly, with their squares and products, and
//! can be taken out again. Floats, and wider decimals as floats, follow Welford (1962), with merges by
//! Chan, Golub, LeVeque (1979); they cannot be taken out, because the rounding of what came later would
//! stay. NaN and infinities make the result NaN.

use super::{
    bytes::{get, get_count, get_f64, put_count},
    each::{Columns, Kind, Refused},
    sum::downcast,
};
use arrow::{
    array::{ArrayRef, ArrowPrimitiveType, Float64Builder, PrimitiveArray},
    datatypes::{DataType, Decimal128Type, Float64Type, i256},
};
use std::sync::Arc;

/// Most digits of exact values: squares times the squared number of rows fit into 256 bits.
const EXACT_DIGITS: u8 = 27;

/// What is made of the moments.
#[derive(Clone, Copy)]
pub(super) enum Made {
    /// Sum of products of differences from the means, over `n - ddof`; of a column with itself the
    /// variance.
    Covariance {
        /// What is subtracted from the number of rows.
        ddof: u64,
        /// True: its square root.
        root: bool,
    },
    /// Pearson's coefficient; null if one of the columns is constant.
    Correlation,
}

/// The type in which a number is read, and if that is exactly: `decimal128`, or `float64`.
pub(super) fn read_as(number: &DataType) -> DataType {
    match number {
        DataType::Int64 => DataType::Decimal128(19, 0),
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Decimal128(digits, _) if *digits <= EXACT_DIGITS => number.clone(),
        _ => DataType::Float64,
    }
}

/// Number of rows, and what their differences from the means add up to.
#[derive(Debug)]
pub(super) struct Differences {
    count: i64,
    xx: f64,
    xy: f64,
    yy: f64,
}

/// How pairs are added up.
pub(super) trait Pairs: Clone + Default + Send {
    /// Type of both columns.
    type Reads: ArrowPrimitiveType;
    /// True if pairs can be taken out.
    const RETRACTS: bool;

    /// Adds a pair.
    fn add(&mut self, x: Native<Self>, y: Native<Self>);
    /// Takes a pair out.
    fn remove(&mut self, x: Native<Self>, y: Native<Self>);
    /// Adds other pairs.
    fn merge(&mut self, other: &Self);
    /// Adds up the differences from the means.
    fn differences(&self) -> Differences;
    /// Appends the state.
    fn save(&self, out: &mut Vec<u8>);
    /// Reads the state.
    fn load(bytes: &mut &[u8]) -> Result<Self, Refused>;
}

type Native<P> = <<P as Pairs>::Reads as ArrowPrimitiveType>::Native;

/// Pairs of floats: means, and sums of products of differences from them.
#[derive(Clone, Default)]
pub(super) struct Floats {
    count: i64,
    mean: [f64; 2],
    sums: [f64; 3],
}

impl Pairs for Floats {
    type Reads = Float64Type;
    const RETRACTS: bool = false;

    #[inline]
    fn add(&mut self, x: f64, y: f64) {
        self.count += 1;
        let count = self.count as f64;
        let (dx, dy) = (x - self.mean[0], y - self.mean[1]);
        self.mean[0] += dx / count;
        self.mean[1] += dy / count;
        let (ex, ey) = (x - self.mean[0], y - self.mean[1]);
        self.sums[0] += dx * ex;
        self.sums[1] += dx * ey;
        self.sums[2] += dy * ey;
    }

    fn remove(&mut self, _: f64, _: f64) {}

    fn merge(&mut self, other: &Self) {
        if self.count == 0 || other.count == 0 {
            if self.count == 0 {
                self.clone_from(other);
            }
            return;
        }
        let (a, b) = (self.count as f64, other.count as f64);
        let d = [other.mean[0] - self.mean[0], other.mean[1] - self.mean[1]];
        let weight = a * b / (a + b);
        for (i, product) in [d[0] * d[0], d[0] * d[1], d[1] * d[1]].into_iter().enumerate() {
            self.sums[i] += other.sums[i] + product * weight;
        }
        for (mean, d) in self.mean.iter_mut().zip(d) {
            *mean += d * (b / (a + b));
        }
        self.count += other.count;
    }

    fn differences(&self) -> Differences {
        let [xx, xy, yy] = self.sums;
        Differences { count: self.count, xx, xy, yy }
    }

    fn save(&self, out: &mut Vec<u8>) {
        put_count(out, self.count.cast_unsigned());
        let parts = self.mean.iter().chain(&self.sums);
        parts.for_each(|part| out.extend_from_slice(&part.to_le_bytes()));
    }

    fn load(bytes: &mut &[u8]) -> Result<Self, Refused> {
        let mut state = Self { count: get_count(bytes)?.cast_signed(), ..Self::default() };
        for part in state.mean.iter_mut().chain(&mut state.sums) {
            *part = get_f64(bytes)?;
        }
        Ok(state)
    }
}

/// Pairs of whole numbers: sums of values, squares and products.
#[derive(Clone, Default)]
pub(super) struct Exact {
    count: i64,
    x: i256,
    y: i256,
    xx: i256,
    xy: i256,
    yy: i256,
}

impl Exact {
    fn shift(&mut self, x: i128, y: i128, step: impl Fn(i256, i256) -> i256) {
        let (x, y) = (i256::from_i128(x), i256::from_i128(y));
        self.x = step(self.x, x);
        self.y = step(self.y, y);
        self.xx = step(self.xx, x.wrapping_mul(x));
        self.xy = step(self.xy, x.wrapping_mul(y));
        self.yy = step(self.yy, y.wrapping_mul(y));
    }

    fn parts(&self) -> [i256; 5] {
        [self.x, self.y, self.xx, self.xy, self.yy]
    }
}

impl Pairs for Exact {
    type Reads = Decimal128Type;
    const RETRACTS: bool = true;

    fn add(&mut self, x: i128, y: i128) {
        self.count += 1;
        self.shift(x, y, i256::wrapping_add);
    }

    fn remove(&mut self, x: i128, y: i128) {
        self.count -= 1;
        self.shift(x, y, i256::wrapping_sub);
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        let [x, y, xx, xy, yy] = other.parts();
        self.x = self.x.wrapping_add(x);
        self.y = self.y.wrapping_add(y);
        self.xx = self.xx.wrapping_add(xx);
        self.xy = self.xy.wrapping_add(xy);
        self.yy = self.yy.wrapping_add(yy);
    }

    fn differences(&self) -> Differences {
        let n = i256::from_i128(i128::from(self.count));
        let of = |sum: i256, a: i256, b: i256| {
            let exact = n.wrapping_mul(sum).wrapping_sub(a.wrapping_mul(b));
            float(exact) / self.count as f64
        };
        Differences {
            count: self.count,
            xx: of(self.xx, self.x, self.x),
            xy: of(self.xy, self.x, self.y),
            yy: of(self.yy, self.y, self.y),
        }
    }

    fn save(&self, out: &mut Vec<u8>) {
        put_count(out, self.count.cast_unsigned());
        self.parts().iter().for_each(|part| out.extend_from_slice(&part.to_le_bytes()));
    }

    fn load(bytes: &mut &[u8]) -> Result<Self, Refused> {
        let count = get_count(bytes)?.cast_signed();
        let mut part = || Ok::<_, Refused>(i256::from_le_bytes(get(bytes)?));
        Ok(Self { count, x: part()?, y: part()?, xx: part()?, xy: part()?, yy: part()? })
    }
}

/// A number of 256 bits as a float, within a unit of the last place.
fn float(value: i256) -> f64 {
    let (low, high) = value.wrapping_abs().to_parts();
    let size = high as f64 * 2f64.powi(128) + low as f64;
    if value.is_negative() { -size } else { size }
}

/// Moments of one column or of two.
pub(super) struct Moments<P> {
    made: Made,
    /// What a unit of x and of y is worth: decimals are read without their point.
    units: [f64; 2],
    pairs: std::marker::PhantomData<fn() -> P>,
}

impl<P> Moments<P> {
    /// Of columns that are read as `reads`.
    pub(super) fn new(made: Made, reads: &[DataType]) -> Self {
        let unit = |of: Option<&DataType>| match of {
            Some(DataType::Decimal128(_, scale)) => 10f64.powi(i32::from(*scale)),
            _ => 1.0,
        };
        let units = [unit(reads.first()), unit(reads.last())];
        Self { made, units, pairs: std::marker::PhantomData }
    }
}

impl<P: Pairs> Kind for Moments<P> {
    type State = P;
    type Input<'a> = [&'a PrimitiveArray<P::Reads>; 2];
    type Output = Float64Builder;

    const RETRACTS: bool = P::RETRACTS;

    fn open<'a>(&self, columns: &Columns<'a>) -> Result<Self::Input<'a>, Refused> {
        let last = columns.arrays.len() - 1;
        Ok([downcast(&columns.arrays[0])?, downcast(&columns.arrays[last])?])
    }

    #[inline]
    fn add(&self, state: &mut P, [x, y]: &Self::Input<'_>, row: usize) -> Result<(), Refused> {
        state.add(x.values()[row], y.values()[row]);
        Ok(())
    }

    fn remove(&self, state: &mut P, [x, y]: &Self::Input<'_>, row: usize) -> Result<(), Refused> {
        if !P::RETRACTS {
            return Err("floats cannot be taken out of it again; cast them to decimals".to_string());
        }
        state.remove(x.values()[row], y.values()[row]);
        Ok(())
    }

    fn merge(&self, into: &mut P, from: &P) -> Result<(), Refused> {
        into.merge(from);
        Ok(())
    }

    fn output(&self, capacity: usize) -> Float64Builder {
        Float64Builder::with_capacity(capacity)
    }

    fn push(&self, state: &P, out: &mut Float64Builder) -> Result<(), Refused> {
        let d = state.differences();
        out.append_option(match self.made {
            Made::Covariance { ddof, root } => {
                let degrees = d.count.saturating_sub_unsigned(ddof);
                let spread = || d.xy / degrees as f64 / self.units[0] / self.units[1];
                (degrees > 0).then(|| if root { spread().sqrt() } else { spread() })
            }
            Made::Correlation => {
                let spread = d.xx.sqrt() * d.yy.sqrt();
                (d.count > 1 && spread != 0.0).then(|| (d.xy / spread).clamp(-1.0, 1.0))
            }
        });
        Ok(())
    }

    fn finish(&self, mut out: Float64Builder) -> Result<ArrayRef, Refused> {
        Ok(Arc::new(out.finish()))
    }

    fn save(&self, state: &P, out: &mut Vec<u8>) {
        state.save(out);
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<P, Refused> {
        P::load(bytes)
    }
}
