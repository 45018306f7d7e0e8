//! The few functions that must give the same bits on every machine. The standard library's come from the platform and
//! differ in the last bit; these use only operations that IEEE 754 rounds exactly.

/// The natural logarithm of a positive, normal number; minus infinity for anything less, and for no number.
///
/// Within 2 units in the last place of the platform's: x = m·2ᵉ with m near 1, and ln m = 2·artanh((m−1)/(m+1)).
pub fn ln(x: f64) -> f64 {
    if x.is_nan() || x < f64::MIN_POSITIVE {
        return f64::NEG_INFINITY;
    }
    if x.is_infinite() {
        return f64::INFINITY;
    }
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 0x7ff) as i32 - 1023;
    let mut mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa /= 2.0;
        exponent += 1;
    }
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    let square = ratio * ratio;
    // |ratio| ≤ 0.1716, so the term of power 25 is below 2⁻⁵³ of the first.
    let series = (0..13).rev().fold(0.0, |sum, n| sum * square + 1.0 / f64::from(2 * n + 1));
    2.0 * ratio * series + f64::from(exponent) * std::f64::consts::LN_2
}

/// The logarithm to base 10, as [`ln`].
pub fn log10(x: f64) -> f64 {
    ln(x) / std::f64::consts::LN_10
}

/// The cube root of a finite number, by Newton's steps from a power of two.
pub fn cbrt(x: f64) -> f64 {
    let size = x.abs();
    if !(size.is_finite() && size >= f64::MIN_POSITIVE) {
        return 0.0;
    }
    let exponent = ((size.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    let mut root = f64::from_bits(((exponent.div_euclid(3) + 1023) as u64) << 52);
    for _ in 0..8 {
        root = (2.0 * root + size / (root * root)) / 3.0;
    }
    if x < 0.0 { -root } else { root }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_agree_with_the_platform() {
        let mut random = crate::Random::new(3, 0);
        for _ in 0..10_000 {
            let x = random.unit() * [1.0, 1e-9, 1e12][random.below(3) as usize] + 1e-12;
            assert!((ln(x) - x.ln()).abs() <= 4e-16 * x.ln().abs().max(1.0), "ln {x}");
            assert!((cbrt(x) - x.cbrt()).abs() <= 4e-16 * x.cbrt(), "cbrt {x}");
            assert!((cbrt(-x) + x.cbrt()).abs() <= 4e-16 * x.cbrt(), "cbrt -{x}");
        }
        assert_eq!((ln(1.0), ln(0.0), ln(-1.0), cbrt(0.0)), (0.0, f64::NEG_INFINITY, f64::NEG_INFINITY, 0.0));
        assert!((log10(1000.0) - 3.0).abs() < 1e-15);
    }
}
