//! `avg`, `min` and `max` of intervals: DataFusion has no average of them, and compares their months before their days.
//! Those of floats are chosen here as well.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::arrow::datatypes::{
    DataType, Decimal128Type, Field, FieldRef, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
};
use datafusion::common::{DFSchema, Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::WindowFunctionDefinition;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, ExprSchemable, Signature, Volatility,
};

use super::moments::{INTERVAL, average_of, span};
use super::{external, float_extremes};
use crate::error::QueryError;
use crate::sqlstate::SqlState;

/// Digits of a sum of nanoseconds.
const SUM: DataType = DataType::Decimal128(38, 0);

/// `avg` as the planner sees it: of intervals as well. [`chosen`] puts one of the two in its place.
pub(in crate::query) fn average(inner: &Arc<AggregateUDF>) -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::new_from_impl(Average {
        inner: Arc::clone(inner),
        signature: Signature::user_defined(Volatility::Immutable),
    }))
}

/// The function that `expr` calls by the type of its argument, if it calls one of the three; whether it is another one.
pub(in crate::query) fn chosen(expr: &mut Expr, schema: &DFSchema) -> bool {
    let (function, args) = match expr {
        Expr::AggregateFunction(aggregate) => (&mut aggregate.func, &aggregate.params.args),
        Expr::WindowFunction(window) => match &mut window.fun {
            WindowFunctionDefinition::AggregateUDF(function) => (function, &window.params.args),
            WindowFunctionDefinition::WindowUDF(_) => return false,
        },
        _ => return false,
    };
    let given = args.first().and_then(|arg| arg.get_type(schema).ok());
    let of_intervals = matches!(given, Some(DataType::Interval(_)));
    let of_floats = matches!(given, Some(DataType::Float32 | DataType::Float64));
    let kind = match function.name() {
        "avg" => Kind::Average,
        "max" => Kind::Maximum,
        "min" => Kind::Minimum,
        _ => return false,
    };
    let other = match function.inner().downcast_ref::<Average>() {
        _ if of_intervals => Arc::new(AggregateUDF::new_from_impl(OfIntervals::new(kind))),
        Some(average) => Arc::clone(&average.inner),
        None if of_floats && matches!(kind, Kind::Minimum | Kind::Maximum) => {
            match float_extremes::of_floats(function) {
                Some(other) => other,
                None => return false,
            }
        }
        None => return false,
    };
    *function = other;
    true
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Average {
    inner: Arc<AggregateUDF>,
    signature: Signature,
}

impl AggregateUDFImpl for Average {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if let [DataType::Interval(_)] = types {
            return Ok(vec![INTERVAL]);
        }
        let given: Vec<FieldRef> = types
            .iter()
            .map(|given| Arc::new(Field::new("given", given.clone(), true)))
            .collect();
        let fields = fields_with_udf(&given, self.inner.as_ref())?;
        Ok(fields.iter().map(|field| field.data_type().clone()).collect())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [DataType::Interval(_)] => Ok(INTERVAL),
            _ => self.inner.return_type(types),
        }
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        internal_err!("avg was not replaced by what it is of its argument")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Average,
    Minimum,
    Maximum,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OfIntervals {
    kind: Kind,
    signature: Signature,
}

impl OfIntervals {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            signature: Signature::exact(vec![INTERVAL], Volatility::Immutable),
        }
    }
}

impl AggregateUDFImpl for OfIntervals {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Average => "avg",
            Kind::Minimum => "min",
            Kind::Maximum => "max",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(INTERVAL)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        match self.kind {
            Kind::Average if args.is_distinct => Err(external(QueryError::not_supported(
                "avg(DISTINCT ..) of intervals beside other aggregates is not supported",
            ))),
            Kind::Average => Ok(Box::new(AverageOfIntervals::default())),
            Kind::Minimum | Kind::Maximum => Ok(Box::new(Extreme {
                longest: self.kind == Kind::Maximum,
                found: None,
            })),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let types = match self.kind {
            Kind::Average => vec![DataType::Int64, DataType::Int64, SUM, DataType::Int64],
            Kind::Minimum | Kind::Maximum => vec![INTERVAL],
        };
        let fields = types.into_iter().enumerate();
        let fields = fields.map(|(index, data_type)| {
            Arc::new(Field::new(
                format!("{}[state {index}]", args.name),
                data_type,
                true,
            ))
        });
        Ok(fields.collect())
    }
}

/// The shortest or the longest interval so far; of equally long ones the first.
#[derive(Debug)]
struct Extreme {
    longest: bool,
    found: Option<IntervalMonthDayNano>,
}

impl Accumulator for Extreme {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = values
            .first()
            .map(|values| values.as_primitive::<IntervalMonthDayNanoType>());
        for value in values.into_iter().flatten().flatten() {
            let better = self.found.is_none_or(|found| match self.longest {
                true => span(value) > span(found),
                false => span(value) < span(found),
            });
            if better {
                self.found = Some(value);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::IntervalMonthDayNano(self.found))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }
}

/// Sums of the three parts, and how many they are of.
#[derive(Debug, Default)]
struct AverageOfIntervals {
    months: i64,
    days: i64,
    nanoseconds: i128,
    count: i64,
}

impl AverageOfIntervals {
    fn add(&mut self, values: &[ArrayRef], sign: i64) {
        let values = values
            .first()
            .map(|values| values.as_primitive::<IntervalMonthDayNanoType>());
        for value in values.into_iter().flatten().flatten() {
            // 2^31 rows of the longest interval fit.
            self.months += sign * i64::from(value.months);
            self.days += sign * i64::from(value.days);
            self.nanoseconds += i128::from(sign) * i128::from(value.nanoseconds);
            self.count += sign;
        }
    }
}

impl Accumulator for AverageOfIntervals {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(values, 1);
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(values, -1);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.count == 0 {
            return Ok(ScalarValue::IntervalMonthDayNano(None));
        }
        let average = average_of(self.months, self.days, self.nanoseconds, self.count);
        let average = average.ok_or_else(|| {
            external(QueryError::new(
                SqlState::DATETIME_OVERFLOW,
                "interval out of range",
            ))
        })?;
        Ok(ScalarValue::IntervalMonthDayNano(Some(average)))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![
            ScalarValue::Int64(Some(self.months)),
            ScalarValue::Int64(Some(self.days)),
            ScalarValue::Decimal128(Some(self.nanoseconds), 38, 0),
            ScalarValue::Int64(Some(self.count)),
        ])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [months, days, nanoseconds, counts] = states else {
            return internal_err!("the state of an average of intervals has four parts");
        };
        let total = |part: &ArrayRef| -> i64 { part.as_primitive::<Int64Type>().iter().flatten().sum() };
        self.months += total(months);
        self.days += total(days);
        self.count += total(counts);
        let nanoseconds = nanoseconds.as_primitive::<Decimal128Type>();
        self.nanoseconds += nanoseconds.iter().flatten().sum::<i128>();
        Ok(())
    }
}
