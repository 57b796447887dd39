//! Numbers at the edges of their types, and where floats and integers part.

use arrow::datatypes::{DataType, i256};
use datafusion::common::ScalarValue;

/// Digits of the widest numeric of 128 bits.
const DECIMAL128_DIGITS_MAX: u8 = 38;

pub(crate) fn integers(data_type: &DataType) -> Vec<ScalarValue> {
    let (min, max) = match data_type {
        DataType::Int16 => (i64::from(i16::MIN), i64::from(i16::MAX)),
        DataType::Int32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (i64::MIN, i64::MAX),
    };
    let values = [
        min,
        min + 1,
        -128,
        -2,
        -1,
        0,
        1,
        2,
        7,
        10,
        100,
        127,
        128,
        255,
        256,
        max - 1,
        max,
    ];
    // Beyond 2^53 two integers can be one double.
    let doubles = [(1 << 53) - 1, 1 << 53, (1 << 53) + 1, -(1 << 53) - 1];
    let all = values
        .into_iter()
        .chain(doubles.into_iter().filter(|&value| value < max && value > min));
    all.map(|value| {
        ScalarValue::Int64(Some(value))
            .cast_to(data_type)
            .expect("within the type")
    })
    .collect()
}

pub(crate) fn numerics(precision: u8, scale: i8) -> Vec<ScalarValue> {
    let ten = i256::from_i128(10);
    let limit = ten.wrapping_pow(u32::from(precision)) - i256::ONE;
    let one = ten.wrapping_pow(u32::from(scale.unsigned_abs()));
    let (two, half) = (i256::from_i128(2), one / i256::from_i128(2));
    let many = |times| i256::from_i128(times) * one;
    let values = [
        i256::ZERO,
        i256::ONE,
        i256::MINUS_ONE,
        two,
        one,
        -one,
        one + i256::ONE,
        one - i256::ONE,
        half,
        -half,
        many(10),
        many(100),
        many(123) + half,
        limit,
        limit - i256::ONE,
        -limit,
        i256::ONE - limit,
    ];
    // A type with few digits before the point does not hold all of them.
    let held = values
        .into_iter()
        .filter(|&value| value <= limit && value >= -limit);
    held.map(|value| numeric(value, precision, scale)).collect()
}

/// `unscaled` as a value of `numeric(precision, scale)`, which holds it.
pub(crate) fn numeric(unscaled: i256, precision: u8, scale: i8) -> ScalarValue {
    if precision > DECIMAL128_DIGITS_MAX {
        return ScalarValue::Decimal256(Some(unscaled), precision, scale);
    }
    ScalarValue::Decimal128(unscaled.to_i128(), precision, scale)
}

/// Around the greatest values of signed and unsigned integers of 32 and 64 bits.
pub(crate) fn unsigned() -> Vec<ScalarValue> {
    let edges = [0, 1 << 31, 1 << 32, 1 << 53, 1 << 63, 1_u128 << 64];
    let around = edges
        .into_iter()
        .flat_map(|edge| [edge.saturating_sub(1), edge, edge + 1]);
    let held = around.filter(|&value| value < 1 << 64);
    held.map(|value| ScalarValue::Decimal128(i128::try_from(value).ok(), 20, 0))
        .collect()
}

pub(crate) fn doubles(special: bool) -> Vec<ScalarValue> {
    let finite = [
        0.0,
        0.1,
        0.3,
        1.0,
        -1.5,
        2.5,
        1e15,
        9_007_199_254_740_993.0,
        1e308,
        -1e308,
        1e-300,
    ];
    let odd = [-0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    let all = finite.into_iter().chain(odd.into_iter().filter(|_| special));
    all.map(|value| ScalarValue::Float64(Some(value))).collect()
}

pub(crate) fn reals(special: bool) -> Vec<ScalarValue> {
    let finite = [
        0.0,
        0.1,
        0.3,
        1.0,
        -1.5,
        2.5,
        123_456.7,
        16_777_216.0,
        3.4e38,
        -3.4e38,
        1e-30,
    ];
    let odd = [-0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    let all = finite.into_iter().chain(odd.into_iter().filter(|_| special));
    all.map(|value| ScalarValue::Float32(Some(value))).collect()
}
