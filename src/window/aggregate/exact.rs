//! Sums of floats without rounding, so that neither order nor division into parts matters.
//!
//! A sum is two floats that together hold it exactly, for as long as that is possible: adding costs two
//! error-free transformations (Knuth's `TwoSum`; Ogita, Rump, Oishi: "Accurate sum and dot product",
//! 2005). What does not fit into two floats goes into a fixed-point number that is wide enough for any
//! sum of floats (Kulisch's long accumulator). NaN and infinities are counted.
//!
//! The value of a sum is the real sum, rounded once.

use super::{
    bytes::{get, get_f64, get_i64},
    each::Refused,
};

/// Limbs of the wide number: 2098 bits from the least to the largest float, 64 for carries, a sign.
const LIMBS: usize = 34;
/// Bits of a float's fraction.
const FRACTION: u32 = f64::MANTISSA_DIGITS - 1;

/// An exact sum of floats, from which floats can be taken again.
#[derive(Clone, Default)]
pub(super) struct ExactSum {
    high: f64,
    low: f64,
    rare: Option<Box<Rare>>,
}

/// What few sums have.
#[derive(Clone, Default, PartialEq)]
struct Rare {
    wide: Wide,
    nans: i64,
    plus: i64,
    minus: i64,
}

/// The sum and the rounding error of it, exactly, unless something is not finite.
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let part = sum - a;
    (sum, (a - (sum - part)) + (b - part))
}

impl ExactSum {
    /// Adds `value`.
    pub(super) fn add(&mut self, value: f64) {
        let (high, error) = two_sum(self.high, value);
        let (low, rest) = two_sum(self.low, error);
        if rest == 0.0 {
            (self.high, self.low) = (high, low);
        } else {
            self.add_rare(value, 1);
        }
    }

    /// Takes `value` out again.
    pub(super) fn remove(&mut self, value: f64) {
        if value.is_finite() {
            self.add(-value);
        } else {
            self.add_rare(value, -1);
        }
    }

    /// Adds another sum.
    pub(super) fn merge(&mut self, other: &Self) {
        self.add(other.high);
        self.add(other.low);
        if let Some(other) = &other.rare {
            let rare = self.rare.get_or_insert_default();
            rare.wide.add_wide(&other.wide);
            rare.nans += other.nans;
            rare.plus += other.plus;
            rare.minus += other.minus;
        }
    }

    /// The sum, rounded to the nearest float, ties to even; as IEEE 754 has it with NaN or infinities.
    pub(super) fn value(&self) -> f64 {
        let Some(rare) = &self.rare else { return self.high + self.low };
        match (rare.nans, rare.plus, rare.minus) {
            (0, 0, 0) => self.wide().to_f64(),
            (0, _, 0) => f64::INFINITY,
            (0, 0, _) => f64::NEG_INFINITY,
            _ => f64::NAN,
        }
    }

    /// The finite part.
    fn wide(&self) -> Wide {
        let mut wide = self.rare.as_ref().map(|rare| rare.wide.clone()).unwrap_or_default();
        wide.add(self.high);
        wide.add(self.low);
        wide
    }

    #[cold]
    fn add_rare(&mut self, value: f64, times: i64) {
        let rare = self.rare.get_or_insert_default();
        if value.is_nan() {
            rare.nans += times;
        } else if value == f64::INFINITY {
            rare.plus += times;
        } else if value == f64::NEG_INFINITY {
            rare.minus += times;
        } else {
            rare.wide.add(value);
        }
    }

    /// Bytes beside the sum itself.
    pub(super) fn heap(&self) -> usize {
        self.rare.as_ref().map_or(0, |_| size_of::<Rare>())
    }

    /// Appends the sum: two floats if they hold it, the wide number otherwise.
    pub(super) fn save(&self, out: &mut Vec<u8>) {
        let mut rest = self.wide();
        let high = rest.take();
        let low = rest.take();
        let special = self.rare.as_ref().map_or([0; 3], |rare| [rare.nans, rare.plus, rare.minus]);
        if high.is_finite() && rest == Wide::default() && special == [0; 3] {
            out.push(0);
            out.extend_from_slice(&high.to_le_bytes());
            out.extend_from_slice(&low.to_le_bytes());
            return;
        }
        out.push(1);
        special.iter().for_each(|count| out.extend_from_slice(&count.to_le_bytes()));
        self.wide().0.iter().for_each(|limb| out.extend_from_slice(&limb.to_le_bytes()));
    }

    /// Reads what [`ExactSum::save`] wrote.
    pub(super) fn load(bytes: &mut &[u8]) -> Result<Self, Refused> {
        match get::<1>(bytes)? {
            [0] => Ok(Self { high: get_f64(bytes)?, low: get_f64(bytes)?, rare: None }),
            [1] => {
                let (nans, plus, minus) = (get_i64(bytes)?, get_i64(bytes)?, get_i64(bytes)?);
                let mut wide = Wide::default();
                for limb in &mut wide.0 {
                    *limb = u64::from_le_bytes(get(bytes)?);
                }
                let rare = Some(Box::new(Rare { wide, nans, plus, minus }));
                Ok(Self { high: 0.0, low: 0.0, rare })
            }
            [other] => Err(format!("{other} is no form of a sum")),
        }
    }
}

/// A fixed-point number in two's complement; the lowest bit is the least positive float.
#[derive(Clone, PartialEq)]
struct Wide([u64; LIMBS]);

impl Default for Wide {
    fn default() -> Self {
        Self([0; LIMBS])
    }
}

impl Wide {
    /// Adds a finite float.
    fn add(&mut self, value: f64) {
        let bits = value.to_bits();
        let exponent = (bits >> FRACTION) & 0x7ff;
        let fraction = bits & ((1 << FRACTION) - 1);
        let digits = if exponent == 0 { fraction } else { fraction | 1 << FRACTION };
        let shift = exponent.saturating_sub(1);
        let at = (shift / 64) as usize;
        let digits = u128::from(digits) << (shift % 64);
        let parts = [digits as u64, (digits >> 64) as u64];
        let mut carry = false;
        for (i, limb) in self.0[at..].iter_mut().enumerate() {
            let part = parts.get(i).copied().unwrap_or(0);
            (*limb, carry) = if value.is_sign_negative() {
                limb.borrowing(part, carry)
            } else {
                limb.carrying(part, carry)
            };
            if i > 0 && !carry {
                break;
            }
        }
    }

    fn add_wide(&mut self, other: &Self) {
        let mut carry = false;
        for (limb, part) in self.0.iter_mut().zip(&other.0) {
            (*limb, carry) = limb.carrying(*part, carry);
        }
    }

    /// The nearest float, ties to even; an infinity beyond the largest.
    fn to_f64(&self) -> f64 {
        let negative = self.0[LIMBS - 1] >> 63 == 1;
        let mut size = Self::default();
        if negative {
            let mut borrow = false;
            for (limb, part) in size.0.iter_mut().zip(&self.0) {
                (*limb, borrow) = limb.borrowing(*part, borrow);
            }
        } else {
            size = self.clone();
        }
        let Some(top) = (0..LIMBS).rev().find(|i| size.0[*i] != 0) else { return 0.0 };
        let bits = top as u32 * 64 + 64 - size.0[top].leading_zeros();
        let magnitude = size.rounded(bits);
        if negative { -magnitude } else { magnitude }
    }

    /// The float nearest to this positive number of `bits` bits.
    fn rounded(&self, bits: u32) -> f64 {
        let drop = bits.saturating_sub(FRACTION + 1);
        let mut digits = self.bits(drop);
        if drop > 0 {
            let half = self.bits(drop - 1) & 1 == 1;
            let below = (0..drop - 1).step_by(64).any(|at| {
                let width = (drop - 1 - at).min(64);
                self.bits(at) << (64 - width) != 0
            });
            if half && (below || digits & 1 == 1) {
                digits += 1;
            }
        }
        // The carry of a fraction of ones runs into the exponent, which is what it must do.
        let exponent = u64::from(drop) + u64::from(digits >> FRACTION != 0);
        let bits = if digits >> FRACTION == 0 {
            digits
        } else {
            (exponent << FRACTION) + (digits - (1 << FRACTION))
        };
        if bits >= f64::INFINITY.to_bits() { f64::INFINITY } else { f64::from_bits(bits) }
    }

    /// 64 bits from bit `at` on.
    fn bits(&self, at: u32) -> u64 {
        let (limb, shift) = ((at / 64) as usize, at % 64);
        let low = self.0[limb] >> shift;
        let high = self.0.get(limb + 1).copied().unwrap_or(0);
        if shift == 0 { low } else { low | high << (64 - shift) }
    }

    /// Takes the nearest float out and returns it.
    fn take(&mut self) -> f64 {
        let value = self.to_f64();
        if value.is_finite() {
            self.add(-value);
        }
        value
    }
}

/// Additions of limbs with a carry.
trait Limb: Sized {
    fn carrying(self, other: Self, carry: bool) -> (Self, bool);
    fn borrowing(self, other: Self, borrow: bool) -> (Self, bool);
}

impl Limb for u64 {
    fn carrying(self, other: Self, carry: bool) -> (Self, bool) {
        let (sum, a) = self.overflowing_add(other);
        let (sum, b) = sum.overflowing_add(Self::from(carry));
        (sum, a || b)
    }

    fn borrowing(self, other: Self, borrow: bool) -> (Self, bool) {
        let (difference, a) = self.overflowing_sub(other);
        let (difference, b) = difference.overflowing_sub(Self::from(borrow));
        (difference, a || b)
    }
}
