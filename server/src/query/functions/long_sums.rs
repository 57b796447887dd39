//! `sum` of numerics of up to 38 digits whose sum may have more. DataFusion adds numbers of one length: each would have to be
//! made longer first, and longer ones added.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal256Array, PrimitiveArray};
use datafusion::arrow::datatypes::{
    DECIMAL256_MAX_PRECISION, DataType, Decimal128Type, Decimal256Type, Field, FieldRef, i256,
};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature,
    Volatility,
};
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::accumulate::NullState;

/// The sum of a `Decimal128`, as a `Decimal256` of `digits` and ten more, of which 76 are kept.
pub(in crate::query) fn long_sum(digits: u8) -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::new_from_impl(LongSum {
        digits: digits.saturating_add(SUM_ADDS).min(DECIMAL256_MAX_PRECISION),
        signature: Signature::any(1, Volatility::Immutable),
    }))
}

/// Digits by which a sum may be longer than what it sums.
pub(in crate::query) const SUM_ADDS: u8 = 10;

#[derive(Debug, PartialEq, Eq, Hash)]
struct LongSum {
    /// Those of the sum.
    digits: u8,
    signature: Signature,
}

impl AggregateUDFImpl for LongSum {
    fn name(&self) -> &str {
        "sum"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [DataType::Decimal128(_, scale)] => Ok(DataType::Decimal256(self.digits, *scale)),
            _ => internal_err!("a long sum is one of numerics of up to 38 digits, not of {types:?}"),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return internal_err!("a long sum is not of distinct values");
        }
        Ok(Box::new(Single {
            sum: Sum::default(),
            found: false,
            data_type: args.return_field.data_type().clone(),
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let sum = Field::new(format!("{}[sum]", args.name), args.return_type().clone(), true);
        Ok(vec![Arc::new(sum)])
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Grouped {
            sums: Vec::new(),
            nulls: NullState::new(),
            data_type: args.return_field.data_type().clone(),
        }))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// A sum of 256 bits that is added to in 128: `carry` times 2^128 and `low`, which has a sign.
#[derive(Debug, Default, Clone, Copy)]
struct Sum {
    low: i128,
    carry: i128,
}

impl Sum {
    #[inline]
    fn add(&mut self, value: i128) {
        let (low, overflowed) = self.low.overflowing_add(value);
        self.low = low;
        if overflowed {
            self.carry += if value < 0 { -1 } else { 1 };
        }
    }

    fn add_long(&mut self, value: i256) {
        let (low, high) = value.to_parts();
        let low = low.cast_signed();
        // A low part with the highest bit is a negative number here, and one carry more.
        self.carry += high + i128::from(low < 0);
        self.add(low);
    }

    fn value(self) -> i256 {
        let carried = i256::from_parts(0, self.carry);
        carried.wrapping_add(i256::from_i128(self.low))
    }
}

/// Of all rows.
#[derive(Debug)]
struct Single {
    sum: Sum,
    found: bool,
    data_type: DataType,
}

impl Accumulator for Single {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [values] = values else {
            return internal_err!("a sum is of one column");
        };
        let values = values.as_primitive::<Decimal128Type>();
        self.found |= values.null_count() < values.len();
        match values.null_count() {
            0 => values.values().iter().for_each(|value| self.sum.add(*value)),
            _ => values.iter().flatten().for_each(|value| self.sum.add(value)),
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let DataType::Decimal256(precision, scale) = self.data_type else {
            return internal_err!("a long sum has 256 bits, not {}", self.data_type);
        };
        let sum = self.found.then(|| self.sum.value());
        Ok(ScalarValue::Decimal256(sum, precision, scale))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [sums] = states else {
            return internal_err!("the state of a sum is one");
        };
        for sum in sums.as_primitive::<Decimal256Type>().iter().flatten() {
            self.found = true;
            self.sum.add_long(sum);
        }
        Ok(())
    }
}

/// Of each group.
#[derive(Debug)]
struct Grouped {
    sums: Vec<Sum>,
    nulls: NullState,
    data_type: DataType,
}

impl GroupsAccumulator for Grouped {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        let [values] = values else {
            return internal_err!("a sum is of one column");
        };
        self.sums.resize(total_num_groups, Sum::default());
        let values = values.as_primitive::<Decimal128Type>();
        let sums = &mut self.sums;
        self.nulls.accumulate(
            group_indices,
            values,
            opt_filter,
            total_num_groups,
            |group, value| {
                if let Some(sum) = sums.get_mut(group) {
                    sum.add(value);
                }
            },
        );
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let sums = emit_to.take_needed(&mut self.sums);
        let nulls = self.nulls.build(emit_to);
        let values: Vec<i256> = sums.into_iter().map(Sum::value).collect();
        let sums = Decimal256Array::new(values.into(), nulls);
        Ok(Arc::new(sums.with_data_type(self.data_type.clone())))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        let [states] = values else {
            return internal_err!("the state of a sum is one");
        };
        self.sums.resize(total_num_groups, Sum::default());
        let states = states.as_primitive::<Decimal256Type>();
        let sums = &mut self.sums;
        self.nulls
            .accumulate(group_indices, states, None, total_num_groups, |group, value| {
                if let Some(sum) = sums.get_mut(group) {
                    sum.add_long(value);
                }
            });
        Ok(())
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let [values] = values else {
            return internal_err!("a sum is of one column");
        };
        let values = values.as_primitive::<Decimal128Type>();
        let counted = |row| opt_filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
        let states: PrimitiveArray<Decimal256Type> = values
            .iter()
            .enumerate()
            .map(|(row, value)| value.filter(|_| counted(row)).map(i256::from_i128))
            .collect();
        Ok(vec![Arc::new(states.with_data_type(self.data_type.clone()))])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<Sum>() + self.nulls.size()
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Decimal128Array;

    use super::*;

    const LARGEST: i128 = 99_999_999_999_999_999_999_999_999_999_999_999_999;

    fn grouped() -> Grouped {
        Grouped {
            sums: Vec::new(),
            nulls: NullState::new(),
            data_type: DataType::Decimal256(49, 2),
        }
    }

    fn column(values: impl IntoIterator<Item = Option<i128>>) -> ArrayRef {
        let values: Decimal128Array = values.into_iter().collect();
        Arc::new(values.with_data_type(DataType::Decimal128(38, 2)))
    }

    fn times(value: i128, times: i128) -> Option<i256> {
        Some(i256::from_i128(value).wrapping_mul(i256::from_i128(times)))
    }

    fn found(sums: &ArrayRef) -> Vec<Option<i256>> {
        assert_eq!(sums.data_type(), &DataType::Decimal256(49, 2));
        sums.as_primitive::<Decimal256Type>().iter().collect()
    }

    /// Ten times the largest, ten times the least, and both.
    #[test]
    fn sums_longer_than_their_values_are_exact() {
        let values = [LARGEST, -LARGEST, LARGEST]
            .into_iter()
            .zip([LARGEST, -LARGEST, -LARGEST]);
        let values = column((0..5).flat_map(|_| values.clone().flat_map(|(a, b)| [Some(a), Some(b)])));
        let groups: Vec<usize> = (0..5).flat_map(|_| [0, 0, 1, 1, 2, 2]).collect();
        let expected = [times(LARGEST, 10), times(LARGEST, -10), times(0, 0)];

        let mut sums = grouped();
        sums.update_batch(&[Arc::clone(&values)], &groups, None, 3)
            .unwrap();
        let state = sums.state(EmitTo::All).unwrap();
        assert_eq!(found(&state[0]), expected);

        // Merged with themselves, and with rows as states.
        let mut merged = grouped();
        merged.merge_batch(&state, &[0, 1, 2], 3).unwrap();
        let rows = grouped().convert_to_state(&[values], None).unwrap();
        merged.merge_batch(&rows, &groups, 3).unwrap();
        let expected = [times(LARGEST, 20), times(LARGEST, -20), times(0, 0)];
        assert_eq!(found(&merged.evaluate(EmitTo::All).unwrap()), expected);
    }

    #[test]
    fn rows_that_are_not_counted_make_no_sum() {
        let values = column([Some(1), None, Some(3), Some(4), None]);
        let filter = BooleanArray::from(vec![Some(true), Some(true), None, Some(false), Some(true)]);
        let groups = [0, 1, 1, 2, 2];
        let expected = [times(1, 1), None, None];
        let mut sums = grouped();
        sums.update_batch(&[Arc::clone(&values)], &groups, Some(&filter), 3)
            .unwrap();
        assert_eq!(found(&sums.evaluate(EmitTo::First(2)).unwrap()), expected[..2]);
        assert_eq!(found(&sums.evaluate(EmitTo::All).unwrap()), expected[2..]);

        let states = grouped().convert_to_state(&[values], Some(&filter)).unwrap();
        let mut merged = grouped();
        merged.merge_batch(&states, &groups, 3).unwrap();
        assert_eq!(found(&merged.evaluate(EmitTo::All).unwrap()), expected);
    }

    #[test]
    fn one_sum_is_as_those_of_groups() {
        let mut single = Single {
            sum: Sum::default(),
            found: false,
            data_type: DataType::Decimal256(49, 2),
        };
        assert_eq!(single.evaluate().unwrap(), ScalarValue::Decimal256(None, 49, 2));
        single.update_batch(&[column([None, None])]).unwrap();
        assert_eq!(single.evaluate().unwrap(), ScalarValue::Decimal256(None, 49, 2));
        single
            .update_batch(&[column([Some(-LARGEST), None, Some(-LARGEST)])])
            .unwrap();
        single.update_batch(&[column([Some(-LARGEST)])]).unwrap();
        let state = single.evaluate().unwrap();
        assert_eq!(state, ScalarValue::Decimal256(times(LARGEST, -3), 49, 2));
        single.merge_batch(&[state.to_array().unwrap()]).unwrap();
        let expected = ScalarValue::Decimal256(times(LARGEST, -6), 49, 2);
        assert_eq!(single.evaluate().unwrap(), expected);
    }
}
