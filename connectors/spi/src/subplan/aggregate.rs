//! Aggregates over a scan.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Field, Schema};
use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::expr::{AggregateFunctionParams, Case};
use datafusion::logical_expr::{Aggregate as AggregateNode, Expr, LogicalPlan, cast, lit};

use super::input::{Input, derived_column, derived_scan, free_name};
use super::{Offer, UNKNOWN};
use crate::filter::sql_text;
use crate::operator::{Aggregate, AggregateFunction, Aggregation, FLOAT_SUM_REASON, Operator};

/// Digits that an average has more than its argument, before and behind the point together and behind it.
const AVERAGE_ADDS: u8 = 4;
/// Digits that a sum has more than its argument.
const SUM_ADDS: u8 = 10;
/// Digits of a number of rows.
const COUNT_DIGITS: u8 = 19;

pub(super) fn grow(node: AggregateNode) -> Result<Transformed<LogicalPlan>> {
    let Some(input) = Input::of(&node.input) else {
        return Ok(Transformed::no(LogicalPlan::Aggregate(node)));
    };
    let (operator, columns) = match aggregation(&node, &input) {
        Ok((aggregation, columns)) => (Ok(Operator::Aggregate(aggregation)), columns),
        Err(reason) => (Err(reason), Vec::new()),
    };
    let Some(derived) = input.offer(operator, || shown_aggregate(&node)) else {
        return Ok(Transformed::no(LogicalPlan::Aggregate(node)));
    };
    Ok(Transformed::yes(derived_scan(derived, columns, &node.schema)?))
}

/// The aggregation that `node` is, and the outputs of `node` in terms of its columns.
fn aggregation(node: &AggregateNode, input: &Input<'_>) -> Offer<(Aggregation, Vec<Expr>)> {
    let group = |expr: &Expr| match expr {
        Expr::GroupingSet(_) => Err(Cow::Borrowed("grouping sets are not sent")),
        expr => input.inlined(expr).ok_or(UNKNOWN.into()),
    };
    let groups = node.group_expr.iter().map(group).collect::<Offer<Vec<Expr>>>()?;
    let types = node.schema.fields();
    let mut wanted = Wanted::default();
    for (key, field) in groups.iter().zip(types) {
        let name = match key {
            Expr::Column(column) => column.name.clone(),
            other => sql_text(other),
        };
        wanted.add_column(name, field.data_type(), field.is_nullable());
    }
    let mut columns: Vec<Expr> = (0..groups.len())
        .map(|position| wanted.column(position))
        .collect();
    for (expr, field) in node.aggr_expr.iter().zip(&types[groups.len()..]) {
        columns.push(wanted.aggregate(expr, field.data_type(), input)?);
    }
    Ok((
        Aggregation {
            groups,
            aggregates: wanted.aggregates,
            schema: Arc::new(Schema::new(wanted.fields)),
        },
        columns,
    ))
}

/// The columns of an aggregation, each once.
#[derive(Default)]
struct Wanted {
    fields: Vec<Field>,
    aggregates: Vec<Aggregate>,
}

impl Wanted {
    /// Adds a column, under `name` unless there is one already.
    fn add_column(&mut self, name: String, data_type: &DataType, nullable: bool) {
        let name = free_name(&self.fields, name);
        self.fields.push(Field::new(name, data_type.clone(), nullable));
    }

    fn column(&self, position: usize) -> Expr {
        derived_column(self.fields[position].name())
    }

    /// The column of an aggregate.
    fn call(&mut self, aggregate: Aggregate, data_type: &DataType, nullable: bool) -> Expr {
        let groups = self.fields.len() - self.aggregates.len();
        let known = self.aggregates.iter().zip(&self.fields[groups..]);
        let known = known.map(|(known, field)| (known, field.data_type()));
        if let Some(position) = known
            .into_iter()
            .position(|known| known == (&aggregate, data_type))
        {
            return self.column(groups + position);
        }
        self.add_column(aggregate.to_string(), data_type, nullable);
        self.aggregates.push(aggregate);
        self.column(self.fields.len() - 1)
    }

    /// The value of an aggregate of our engine, of type `data_type`.
    fn aggregate(&mut self, expr: &Expr, data_type: &DataType, input: &Input<'_>) -> Offer<Expr> {
        let call = match expr {
            Expr::Alias(alias) => return self.aggregate(&alias.expr, data_type, input),
            Expr::AggregateFunction(call) => call,
            _ => return Err("this aggregate is not sent".into()),
        };
        let name = call.func.name();
        let AggregateFunctionParams {
            args,
            distinct,
            filter,
            order_by,
            null_treatment,
        } = &call.params;
        if !order_by.is_empty() || null_treatment.is_some() {
            return Err("aggregates with ORDER BY are not sent".into());
        }
        let filter = filter.as_ref().map(|filter| input.inlined(filter).ok_or(UNKNOWN));
        let filter = filter.transpose()?;
        let [argument] = args.as_slice() else {
            return Err("aggregates of several columns are not sent".into());
        };
        let Some(function) = AggregateFunction::from_name(name) else {
            return match (name, data_type) {
                ("avg", DataType::Decimal128(..) | DataType::Decimal256(..)) if !distinct => {
                    let argument = input.inlined(argument).ok_or(UNKNOWN)?;
                    self.average(&where_true(filter, argument), data_type)
                }
                ("avg", DataType::Float32 | DataType::Float64) => Err(FLOAT_SUM_REASON.into()),
                ("avg", _) if *distinct => Err("averages of distinct values are not sent".into()),
                _ => Err(format!("{name} is not sent").into()),
            };
        };
        let argument = match argument {
            // count(*), as it is planned.
            Expr::Literal(value, _)
                if function == AggregateFunction::Count && !value.is_null() && !distinct =>
            {
                filter.map(|filter| where_true(Some(filter), lit(1_i64)))
            }
            argument => Some(where_true(filter, input.inlined(argument).ok_or(UNKNOWN)?)),
        };
        let aggregate = Aggregate {
            function,
            argument,
            // The least of distinct values is the least of all.
            distinct: *distinct && !matches!(function, AggregateFunction::Min | AggregateFunction::Max),
        };
        Ok(self.call(aggregate, data_type, function != AggregateFunction::Count))
    }

    /// The average of decimals, from their sum and their number: as our engine divides them, which may not be as the source
    /// does.
    fn average(&mut self, argument: &Expr, data_type: &DataType) -> Offer<Expr> {
        let (DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale)) = data_type
        else {
            return Err(UNKNOWN.into());
        };
        // An average has as many digits more than its argument behind the point as a quotient has.
        let (Some(digits), Some(scale)) = (
            precision.checked_sub(AVERAGE_ADDS),
            scale.checked_sub_unsigned(AVERAGE_ADDS),
        ) else {
            return Err(UNKNOWN.into());
        };
        let sum_digits = digits + SUM_ADDS;
        let sum_type = match sum_digits {
            ..=DECIMAL128_MAX_PRECISION => DataType::Decimal128(sum_digits, scale),
            _ => DataType::Decimal256(sum_digits.min(DECIMAL256_MAX_PRECISION), scale),
        };
        let count_type = match sum_type {
            DataType::Decimal128(..) => DataType::Decimal128(COUNT_DIGITS, 0),
            _ => DataType::Decimal256(COUNT_DIGITS, 0),
        };
        let call = |function| Aggregate {
            function,
            argument: Some(argument.clone()),
            distinct: false,
        };
        let sum = self.call(call(AggregateFunction::Sum), &sum_type, true);
        let count = self.call(call(AggregateFunction::Count), &DataType::Int64, false);
        Ok(cast(sum / cast(count, count_type), data_type.clone()))
    }
}

/// A value where `filter` is true, else NULL, which no aggregate counts.
fn where_true(filter: Option<Expr>, value: Expr) -> Expr {
    match filter {
        Some(filter) => Expr::Case(Case::new(None, vec![(Box::new(filter), Box::new(value))], None)),
        None => value,
    }
}

/// An aggregation that cannot be offered, for EXPLAIN.
fn shown_aggregate(node: &AggregateNode) -> String {
    let shown = node.aggr_expr.iter().chain(&node.group_expr);
    let shown: Vec<String> = shown.map(sql_text).collect();
    shown.join(", ")
}
