//! Numbers as text: read once, then taken as integer, float or decimal without a detour.

use super::{Fault, Scanned};

/// A number as it stands in the text.
pub(in crate::codec) struct Number<'a> {
    /// Its text.
    pub text: &'a [u8],
    negative: bool,
    /// All digits in front of the exponent as one integer; exact up to 19 digits.
    mantissa: u64,
    /// Count of those digits, leading zeros included.
    digits: usize,
    /// The value is `mantissa * 10^exponent`.
    exponent: i32,
    /// Neither a fraction nor an exponent is written.
    pub is_integer: bool,
}

/// Powers of ten that a float holds exactly.
const EXACT: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Largest integer up to which a float holds every integer.
const FLOAT_EXACT: u64 = 1 << 53;

impl<'a> Number<'a> {
    /// Reads the number that starts at `pos` with a minus or a digit, and moves behind it.
    #[inline]
    pub(in crate::codec) fn read(data: &'a [u8], pos: &mut usize) -> Scanned<Self> {
        let start = *pos;
        let mut i = start;
        let negative = data[i] == b'-';
        i += usize::from(negative);
        let first = i;
        let mut mantissa = 0u64;
        i = run(data, i, &mut mantissa);
        let mut digits = i - first;
        if digits == 0 {
            return Err(Fault::new(i, "expected a digit"));
        }
        if digits > 1 && data[first] == b'0' {
            return Err(Fault::new(first, "a number starts with a zero"));
        }
        let (mut exponent, mut is_integer) = (0i32, true);
        if data.get(i) == Some(&b'.') {
            is_integer = false;
            let point = i + 1;
            i = run(data, point, &mut mantissa);
            if i == point {
                return Err(Fault::new(i, "expected a digit behind the decimal point"));
            }
            digits += i - point;
            exponent = i32::try_from(i - point).map_or(i32::MIN / 2, |n| -n);
        }
        if let Some(b'e' | b'E') = data.get(i) {
            is_integer = false;
            exponent = exponent.saturating_add(read_exponent(data, &mut i)?);
        }
        *pos = i;
        Ok(Self { text: &data[start..i], negative, mantissa, digits, exponent, is_integer })
    }

    /// As a 64-bit integer; `5.0` and `5e2` are integers too. `Err` says why not.
    #[inline]
    pub(in crate::codec) fn to_i64(&self) -> Result<i64, &'static str> {
        if self.is_integer && self.digits <= 18 {
            let value = self.mantissa as i64;
            return Ok(if self.negative { -value } else { value });
        }
        self.to_i128()?.try_into().map_err(|_| "out of range")
    }

    /// As an integer of up to 38 digits.
    pub(in crate::codec) fn to_i128(&self) -> Result<i128, &'static str> {
        self.to_decimal(0, 38).map_err(|e| match e {
            DecimalError::Fraction => "not a whole number",
            DecimalError::Digits => "out of range",
        })
    }

    /// As the nearest float; infinite if it is too large.
    #[inline]
    pub(in crate::codec) fn to_f64(&self) -> f64 {
        // One rounding of two exact numbers is the correctly rounded result.
        if self.digits <= 19 && self.mantissa <= FLOAT_EXACT {
            let value = self.mantissa as f64;
            let value = match self.exponent {
                0 => value,
                e @ -22..0 => value / EXACT[e.unsigned_abs() as usize],
                e @ 1..=22 => value * EXACT[e.unsigned_abs() as usize],
                _ => return self.to_f64_slow(),
            };
            return if self.negative { -value } else { value };
        }
        self.to_f64_slow()
    }

    #[inline(never)]
    fn to_f64_slow(&self) -> f64 {
        std::str::from_utf8(self.text)
            .ok()
            .and_then(|text| text.parse().ok())
            .expect("the grammar of JSON numbers is part of Rust's")
    }

    /// True if [`Number::to_f64`] loses nothing of a number written as an integer.
    pub(in crate::codec) fn is_exact_float(&self) -> bool {
        if !self.is_integer {
            return true;
        }
        self.to_i128().is_ok_and(int_fits_f64)
    }

    /// As `value * 10^scale` with at most `precision` digits, exactly.
    pub(in crate::codec) fn to_decimal(
        &self,
        scale: i32,
        precision: usize,
    ) -> Result<i128, DecimalError> {
        decimal(self.text, scale, precision)
    }

    /// As the integer nearest to `value * 10^scale`, halves away from zero; none if it is out of
    /// range.
    pub(in crate::codec) fn to_rounded(&self, scale: i32) -> Option<i128> {
        let mut digits = Digits::of(self.text, scale).ok()?;
        if digits.exponent >= 0 {
            return digits.value(38).ok();
        }
        let cut = usize::try_from(digits.exponent.unsigned_abs()).ok()?;
        let Some(kept) = digits.significant.len().checked_sub(cut) else { return Some(0) };
        let up = i128::from(digits.significant.get(kept).is_some_and(|&d| d >= b'5'));
        digits.significant.truncate(kept);
        digits.exponent = 0;
        let whole = digits.value(37).ok()?;
        Some(if digits.negative { whole - up } else { whole + up })
    }
}

/// True if a float holds `value` exactly.
pub(in crate::codec) fn int_fits_f64(value: i128) -> bool {
    let float = value as f64;
    float.is_finite() && float as i128 == value && value != i128::MAX
}

/// Why a number does not fit a decimal column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::codec) enum DecimalError {
    /// It has digits behind the last decimal place.
    Fraction,
    /// It has too many digits.
    Digits,
}

/// Reads digits from `i` on, adding them to `mantissa` (which may wrap), and stops behind the last
/// one.
#[inline]
fn run(data: &[u8], mut i: usize, mantissa: &mut u64) -> usize {
    // Eight bytes at a time, however many of them are digits: how long numbers are cannot be
    // predicted.
    while let Some(chunk) = data.get(i..).and_then(<[u8]>::first_chunk::<8>) {
        let w = u64::from_le_bytes(*chunk) ^ ZEROS;
        let others = (w.wrapping_add(OVER_NINE) | w) & HIGHS;
        let count = others.trailing_zeros() / 8;
        if count == 0 {
            return i;
        }
        // Bytes that are no digits go, and zeros come in front.
        let value = eight_digits(w << (64 - 8 * count));
        *mantissa = mantissa.wrapping_mul(POWERS[count as usize]).wrapping_add(value);
        i += count as usize;
        if count < 8 {
            return i;
        }
    }
    while let Some(d) = data.get(i).map(|b| b.wrapping_sub(b'0')).filter(|&d| d < 10) {
        *mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(d));
        i += 1;
    }
    i
}

const ZEROS: u64 = u64::from_ne_bytes([b'0'; 8]);
const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
/// Added to a byte below 128, sets its high bit if it is above 9.
const OVER_NINE: u64 = u64::from_ne_bytes([0x76; 8]);
const POWERS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// The number whose digits are the bytes of `w`, the first one lowest: pairs, then fours, then all.
#[inline]
fn eight_digits(w: u64) -> u64 {
    let pairs = (w * 10 + (w >> 8)) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_FFFF_0000_FFFF;
    (fours * 10_000 + (fours >> 32)) & 0xFFFF_FFFF
}

fn read_exponent(data: &[u8], i: &mut usize) -> Scanned<i32> {
    *i += 1;
    let negative = match data.get(*i) {
        Some(b'-') => {
            *i += 1;
            true
        }
        Some(b'+') => {
            *i += 1;
            false
        }
        _ => false,
    };
    let first = *i;
    let mut value = 0i32;
    while let Some(d) = data.get(*i).filter(|b| b.is_ascii_digit()) {
        value = value.saturating_mul(10).saturating_add(i32::from(d - b'0'));
        *i += 1;
    }
    if *i == first {
        return Err(Fault::new(*i, "expected a digit in the exponent"));
    }
    Ok(if negative { -value } else { value })
}

/// Takes decimal text, with or without fraction and exponent, as `value * 10^scale`.
///
/// The text must follow the grammar of JSON numbers; nothing is rounded.
pub(in crate::codec) fn decimal(
    text: &[u8],
    scale: i32,
    precision: usize,
) -> Result<i128, DecimalError> {
    Digits::of(text, scale)?.value(precision)
}

/// A number as its significant digits and a power of ten.
struct Digits {
    negative: bool,
    /// Without zeros at either end; empty for zero.
    significant: Vec<u8>,
    exponent: i32,
}

impl Digits {
    /// Takes `text * 10^scale` apart.
    fn of(text: &[u8], scale: i32) -> Result<Self, DecimalError> {
        let (negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            _ => (false, text),
        };
        let split = text.iter().position(|b| matches!(b, b'e' | b'E')).unwrap_or(text.len());
        let mut exponent = match text.get(split..) {
            Some([]) | None => 0,
            Some(_) => read_exponent(text, &mut { split }).map_err(|_| DecimalError::Digits)?,
        };
        if let Some(point) = text[..split].iter().position(|&b| b == b'.') {
            let places = i32::try_from(split - point - 1).map_err(|_| DecimalError::Digits)?;
            exponent = exponent.saturating_sub(places);
        }
        let digits = || text[..split].iter().filter(|b| b.is_ascii_digit()).copied();
        let mut significant: Vec<u8> = digits().skip_while(|&d| d == b'0').collect();
        let kept = significant.iter().rposition(|&d| d != b'0').map_or(0, |i| i + 1);
        let zeros = i32::try_from(significant.len() - kept).map_err(|_| DecimalError::Digits)?;
        significant.truncate(kept);
        let exponent = exponent.saturating_add(zeros).saturating_add(scale);
        Ok(Self { negative, significant, exponent })
    }

    /// The whole number, if it is one of at most `precision` digits.
    fn value(&self, precision: usize) -> Result<i128, DecimalError> {
        if self.significant.is_empty() {
            return Ok(0);
        }
        let zeros = usize::try_from(self.exponent).map_err(|_| DecimalError::Fraction)?;
        if self.significant.len().saturating_add(zeros) > precision.min(38) {
            return Err(DecimalError::Digits);
        }
        let value = self.significant.iter().fold(0i128, |v, d| v * 10 + i128::from(d - b'0'));
        let value = value * 10i128.pow(u32::try_from(zeros).map_err(|_| DecimalError::Digits)?);
        Ok(if self.negative { -value } else { value })
    }
}
