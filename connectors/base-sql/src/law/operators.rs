//! Laws of the operators above filters: which groups, aggregates and orders a source computes as our engine would.
//!
//! - Values ([`Columns::value`]): columns, literals, casts that change no value, CASE of numbers under exact conditions, and
//!   `+ - *` of decimals, where the source has such, as long as both sides keep every digit. `+ - *` of integers are computed
//!   where the source fails at 64 bits with a sign as our engine does; a narrower type gets a check of its own range.
//! - Fields and beginnings of days and of moments without a zone: whole numbers of one calendar. With a zone they depend on it.
//! - `count` looks at NULLs only. `sum` is exact over integers and decimals; over floats it depends on the order of rows.
//! - `min` and `max`, group keys and sort keys compare values: integers, decimals, bytes, and text in its binary form.
//!   Floats are declined (NaN, -0.0). A zero date is NULL there, too: it is sent in a form that makes it so.
//! - A source may sort and group by the beginning of a long value only ([`ColumnProfile::sorted_whole`]).
//! - Columns of sources with dynamic types: only where nothing else than the type can be stored.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use arrow::datatypes::{DataType, Schema};
use causeway_spi::{
    Aggregate, AggregateFunction, Aggregation, FLOAT_SUM_REASON, Scan, TopN, UNSIGNED_ZERO, Verdict,
    scalar_text,
};
use datafusion::common::DFSchema;
use datafusion::logical_expr::expr::{Case, ScalarFunction};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};

use super::{judge, numbers, text, unknown_type};
use crate::dynamic::{DynamicProfile, Fit, ValueClass};
use crate::print::Dialect;
use crate::profile::{ColumnKind, ColumnProfile, TextEncoding, TextOrder, TextProfile};
use crate::remote::{
    Arithmetic, ColumnForm, MomentField, MomentFunction, MomentUnit, RemoteColumn, RemoteScalar,
    RemoteSelect, RemoteSortKey, RemoteSource,
};

/// Digits of the widest decimal that sources compute with, and those behind its point.
const DECIMAL_DIGITS_MAX: u8 = 65;
const DECIMAL_SCALE_MAX: i8 = 30;
/// Digits by which a sum is wider there than what it sums.
const SUM_ADDS: u8 = 22;
/// Deepest nesting of a value that is sent.
const DEPTH_MAX: usize = 24;

const REASON: &str = "computed alike there and here";
pub(super) const OTHER_REASON: &str = "this expression is not known to mean the same there";
pub(super) const LONG_REASON: &str = "the source may compare only the beginning of so long a value";
pub(super) const UNFIT_REASON: &str = "a value of another type may be stored there";

const ZONE_REASON: &str = "it depends on the session's time zone";

/// Why something is not sent.
type Reason = Cow<'static, str>;

/// The columns that operators are computed from.
pub(crate) struct Columns<'a> {
    pub(crate) schema: &'a Schema,
    pub(crate) profiles: &'a [ColumnProfile],
    pub(crate) dialect: Dialect,
}

/// The statement that stands for an operator, and what is known of its outputs.
pub(crate) struct Computed {
    pub(crate) select: RemoteSelect,
    pub(crate) profiles: Vec<ColumnProfile>,
    pub(crate) reason: Reason,
}

/// A value with what is known of it.
struct Value {
    scalar: RemoteScalar,
    kind: ColumnKind,
    /// Its type here.
    data_type: DataType,
    nullable: bool,
    sorted_whole: bool,
}

impl Columns<'_> {
    /// `aggregation` over the rows of `below`, whose filters are exact.
    pub(crate) fn aggregate(
        &self,
        below: RemoteSelect,
        aggregation: &Aggregation,
    ) -> Result<Computed, Reason> {
        let mut outputs = Vec::new();
        for group in &aggregation.groups {
            outputs.push(compared(self.value(group, 0)?, true)?);
        }
        for aggregate in &aggregation.aggregates {
            outputs.push(self.aggregated(aggregate)?);
        }
        let profiles = outputs
            .iter()
            .zip(aggregation.schema.fields())
            .map(|(output, field)| ColumnProfile {
                name: field.name().clone(),
                native_type: output.data_type.to_string(),
                kind: output.kind.clone(),
                nullable: output.nullable,
                sorted_whole: output.sorted_whole,
            });
        Ok(Computed {
            profiles: profiles.collect(),
            select: RemoteSelect {
                outputs: outputs.into_iter().map(|output| output.scalar).collect(),
                groups: Some(aggregation.groups.len()),
                ..self.over(below)
            },
            reason: REASON.into(),
        })
    }

    /// The first rows of `below`, which reads `scan`, in an order.
    pub(crate) fn first(&self, below: RemoteSelect, scan: &Scan, top: &TopN) -> Result<Computed, Reason> {
        let order = top.order.iter().map(|key| {
            let value = compared(self.value(&key.expr, 0)?, true)?;
            Ok(RemoteSortKey {
                value: value.scalar,
                ascending: key.ascending,
                nulls_first: value.nullable.then_some(key.nulls_first),
            })
        });
        let mut order = order.collect::<Result<Vec<_>, Reason>>()?;
        // A number in ORDER BY is the place of an output there; a constant orders nothing.
        order.retain(|key| !matches!(key.value, RemoteScalar::Value(_)));
        let profiles = scan
            .projection
            .iter()
            .map(|&index| self.profiles.get(index).cloned());
        let profiles = profiles.collect::<Option<Vec<_>>>();
        Ok(Computed {
            profiles: profiles.ok_or("a column is unknown")?,
            select: RemoteSelect {
                outputs: scan
                    .projection
                    .iter()
                    .copied()
                    .map(RemoteScalar::column)
                    .collect(),
                order,
                limit: Some(top.fetch),
                ..self.over(below)
            },
            reason: REASON.into(),
        })
    }

    /// `outputs` of the rows of `below`, as a part of a union.
    pub(crate) fn part(
        &self,
        below: RemoteSelect,
        outputs: &[Expr],
    ) -> Result<(RemoteSelect, Vec<ColumnProfile>), Reason> {
        let values = outputs.iter().map(|output| self.value(output, 0));
        let values = values.collect::<Result<Vec<Value>, Reason>>()?;
        let profiles = values.iter().zip(outputs).map(|(value, output)| ColumnProfile {
            name: output.schema_name().to_string(),
            native_type: self.native_type(output, value),
            kind: value.kind.clone(),
            nullable: value.nullable,
            sorted_whole: value.sorted_whole,
        });
        let profiles = profiles.collect();
        let select = RemoteSelect {
            outputs: values.into_iter().map(|value| value.scalar).collect(),
            ..self.over(below)
        };
        Ok((select, profiles))
    }

    /// The type that the source has for `expr`, whose value is `value`.
    fn native_type(&self, expr: &Expr, value: &Value) -> String {
        let index = match expr {
            Expr::Column(column) => self.schema.index_of(&column.name).ok(),
            _ => None,
        };
        match index.and_then(|index| self.profiles.get(index)) {
            Some(profile) => profile.native_type.clone(),
            None => value.data_type.to_string(),
        }
    }

    /// A statement over the rows of `below`, in whose terms columns have the indexes that they have here.
    fn over(&self, below: RemoteSelect) -> RemoteSelect {
        if below.limit.is_none() {
            return RemoteSelect {
                outputs: Vec::new(),
                ..below
            };
        }
        let all = (0..self.profiles.len()).map(RemoteScalar::column);
        let limited = RemoteSelect {
            outputs: all.collect(),
            ..below
        };
        RemoteSelect::of(RemoteSource::Query(Box::new(limited)), &[])
    }

    fn aggregated(&self, aggregate: &Aggregate) -> Result<Value, Reason> {
        let function = aggregate.function;
        let argument = aggregate
            .argument
            .as_ref()
            .map(|argument| self.value(argument, 0));
        let argument = argument.transpose().map_err(|reason| match function {
            AggregateFunction::Sum if reason == numbers::FLOAT_REASON => FLOAT_SUM_REASON.into(),
            _ => reason,
        })?;
        let (argument, result) = match (function, argument) {
            (AggregateFunction::Count, None) => (None, self.count()),
            (AggregateFunction::Count, Some(argument)) => {
                let argument = match aggregate.distinct {
                    true => compared(argument, true)?,
                    false => counted(argument)?,
                };
                (Some(argument.scalar), self.count())
            }
            (AggregateFunction::Sum, Some(argument)) => summed(argument)?,
            (AggregateFunction::Min | AggregateFunction::Max, Some(argument)) => {
                let argument = compared(argument, false)?;
                if matches!(&argument.kind, ColumnKind::Dynamic(profile) if profile.class == ValueClass::Text)
                {
                    return Err("text there may not be UTF-8, which is found out by reading it".into());
                }
                let result = Value {
                    nullable: true,
                    scalar: RemoteScalar::column(0),
                    ..argument
                };
                (Some(argument.scalar), result)
            }
            (_, None) => return Err(OTHER_REASON.into()),
        };
        Ok(Value {
            scalar: RemoteScalar::Aggregate {
                function,
                argument: argument.map(Box::new),
                distinct: aggregate.distinct,
            },
            ..result
        })
    }

    /// The kind of a number that is computed and whole.
    fn whole_number(&self) -> ColumnKind {
        match self.dialect {
            Dialect::MySql => ColumnKind::Integer,
            Dialect::Sqlite => ColumnKind::Dynamic(DynamicProfile {
                class: ValueClass::Integer {
                    least: i64::MIN,
                    most: i64::MAX,
                },
                fit: Fit::Guaranteed,
                compares_bytes: true,
                index_collation: None,
            }),
        }
    }

    /// What is known of a number of rows.
    fn count(&self) -> Value {
        Value {
            scalar: RemoteScalar::column(0),
            kind: self.whole_number(),
            data_type: DataType::Int64,
            nullable: false,
            sorted_whole: true,
        }
    }

    /// The source's form of `expr`, if it has the same value there.
    fn value(&self, expr: &Expr, depth: usize) -> Result<Value, Reason> {
        if depth > DEPTH_MAX {
            return Err("nested too deeply to be sent".into());
        }
        match expr {
            Expr::Column(column) => self.column(&column.name),
            Expr::Alias(alias) => self.value(&alias.expr, depth + 1),
            Expr::Cast(cast) => {
                let value = self.value(&cast.expr, depth + 1)?;
                let to = cast.field.data_type();
                match keeps_values(&value.data_type, to) && is_number(&value.kind) {
                    true => Ok(Value {
                        data_type: to.clone(),
                        ..value
                    }),
                    false if value.kind == ColumnKind::Float => Err(numbers::FLOAT_REASON.into()),
                    false => Err("a cast is not known to mean the same there".into()),
                }
            }
            Expr::Literal(literal, _) => {
                let data_type = literal.data_type();
                let (bound, kind) = match (data_type.is_decimal(), self.dialect) {
                    (false, _) => (ColumnKind::Integer, self.whole_number()),
                    (true, Dialect::MySql) => (ColumnKind::Decimal, ColumnKind::Decimal),
                    // It would be computed as a float, or compared as the text that it is bound as.
                    (true, Dialect::Sqlite) => return Err("there are no decimals there".into()),
                };
                let value = numbers::literal(&bound, literal).filter(|_| !literal.is_null());
                let value = value.ok_or(OTHER_REASON)?;
                Ok(Value {
                    scalar: RemoteScalar::Value(value),
                    kind,
                    data_type,
                    nullable: false,
                    sorted_whole: true,
                })
            }
            Expr::BinaryExpr(binary) => self.arithmetic(binary, expr, depth),
            Expr::ScalarFunction(call) if call.name() == UNSIGNED_ZERO => Err(numbers::FLOAT_REASON.into()),
            Expr::ScalarFunction(call) => self.of_moment(call, expr, depth),
            Expr::Case(case) => self.case(case, depth),
            _ => Err(OTHER_REASON.into()),
        }
    }

    /// CASE with conditions that are exact, between numbers: whether a condition is false or NULL makes no difference.
    fn case(&self, case: &Case, depth: usize) -> Result<Value, Reason> {
        if case.expr.is_some() {
            return Err(OTHER_REASON.into());
        }
        let mut values = Vec::new();
        let mut branches = Vec::new();
        for (when, then) in &case.when_then_expr {
            let (pushdown, condition) = judge(when, self.schema, self.profiles);
            let condition = condition
                .filter(|_| pushdown.verdict == Verdict::Exact)
                .ok_or_else(|| format!("a condition in it is not exact there: {}", pushdown.reason))?;
            let then = self.value(then, depth + 1)?;
            branches.push((condition, then.scalar.clone()));
            values.push(then);
        }
        let otherwise = match case.else_expr.as_deref() {
            None => None,
            Some(Expr::Literal(null, _)) if null.is_null() => None,
            Some(otherwise) => {
                let otherwise = self.value(otherwise, depth + 1)?;
                let scalar = otherwise.scalar.clone();
                values.push(otherwise);
                Some(Box::new(scalar))
            }
        };
        let first = values.first().ok_or(OTHER_REASON)?;
        let alike = |value: &Value| is_number(&value.kind) && value.data_type == first.data_type;
        if !values.iter().all(alike) {
            return Err(OTHER_REASON.into());
        }
        let decimal = values.iter().find(|value| value.kind == ColumnKind::Decimal);
        Ok(Value {
            scalar: RemoteScalar::Case { branches, otherwise },
            kind: decimal.unwrap_or(first).kind.clone(),
            data_type: first.data_type.clone(),
            nullable: true,
            sorted_whole: true,
        })
    }

    fn column(&self, name: &str) -> Result<Value, Reason> {
        let found = self.schema.index_of(name).ok();
        let known = found.and_then(|index| Some((index, self.profiles.get(index)?)));
        let (index, profile) = known.ok_or_else(|| format!("column \"{name}\" is unknown"))?;
        if profile.kind == ColumnKind::Opaque {
            return Err(unknown_type(profile));
        }
        Ok(Value {
            scalar: RemoteScalar::column(index),
            kind: profile.kind.clone(),
            data_type: self.schema.field(index).data_type().clone(),
            nullable: profile.nullable,
            sorted_whole: profile.sorted_whole,
        })
    }

    fn type_of(&self, expr: &Expr) -> Result<DataType, Reason> {
        let schema = DFSchema::try_from(self.schema.clone()).map_err(|_| OTHER_REASON)?;
        expr.get_type(&schema).map_err(|_| OTHER_REASON.into())
    }

    /// `+ - *` of integers: the source computes 64 bits with a sign, and fails where our engine fails.
    fn integers(
        &self,
        left: Value,
        operator: Arithmetic,
        right: Value,
        result: DataType,
    ) -> Result<Value, Reason> {
        if self.dialect != Dialect::MySql {
            return Err("integers are computed here, where what does not fit is an error".into());
        }
        // Our engine computes both in the type of the result.
        let alike = |value: &Value| value.kind == ColumnKind::Integer && value.data_type == result;
        if !alike(&left) || !alike(&right) {
            return Err(OTHER_REASON.into());
        }
        let computed = RemoteScalar::Arithmetic {
            left: Box::new(signed(left.scalar)),
            operator,
            right: Box::new(signed(right.scalar)),
        };
        // Two of 32 bits cannot leave 64.
        let within = |bits| RemoteScalar::Within {
            value: Box::new(computed.clone()),
            bits,
        };
        let scalar = match result {
            DataType::Int16 => within(16),
            DataType::Int32 => within(32),
            DataType::Int64 => computed,
            _ => return Err(OTHER_REASON.into()),
        };
        Ok(Value {
            scalar,
            kind: ColumnKind::Integer,
            data_type: result,
            nullable: left.nullable || right.nullable,
            sorted_whole: true,
        })
    }

    /// A field of a day or moment, or the beginning of the unit that it is in.
    fn of_moment(&self, call: &ScalarFunction, expr: &Expr, depth: usize) -> Result<Value, Reason> {
        let [Expr::Literal(named, _), moment] = call.args.as_slice() else {
            return Err(OTHER_REASON.into());
        };
        let named = scalar_text(named).ok_or(OTHER_REASON)?;
        let moment = real_date(self.value(moment, depth + 1)?)?;
        let timed = match moment.kind {
            ColumnKind::Date { .. } => false,
            ColumnKind::DateTime { .. } => true,
            ColumnKind::Timestamp { .. } => return Err(ZONE_REASON.into()),
            _ => return Err(OTHER_REASON.into()),
        };
        let RemoteScalar::Column(column) = moment.scalar else {
            return Err(OTHER_REASON.into());
        };
        let unknown = || format!("\"{named}\" is computed here");
        let data_type = self.type_of(expr)?;
        let (function, kind) = match (call.func.name(), &data_type) {
            ("extract", DataType::Decimal128(_, 0)) => {
                let field = MomentField::named(named, timed).ok_or_else(unknown)?;
                (MomentFunction::Field(field), ColumnKind::Decimal)
            }
            ("date_trunc", DataType::Timestamp(_, Some(_))) => return Err(ZONE_REASON.into()),
            ("date_trunc", DataType::Timestamp(_, None)) if timed => {
                let unit = MomentUnit::named(named).ok_or_else(unknown)?;
                let kind = ColumnKind::DateTime {
                    fraction_digits: 0,
                    zero_dates: false,
                };
                (MomentFunction::Truncated(unit), kind)
            }
            _ => return Err(OTHER_REASON.into()),
        };
        Ok(Value {
            scalar: RemoteScalar::OfMoment { function, column },
            kind,
            data_type,
            nullable: moment.nullable,
            sorted_whole: true,
        })
    }

    /// `+ - *` of decimals: exact there and here as long as the result has room for every digit.
    fn arithmetic(&self, binary: &BinaryExpr, expr: &Expr, depth: usize) -> Result<Value, Reason> {
        let operator = match binary.op {
            Operator::Plus => Arithmetic::Plus,
            Operator::Minus => Arithmetic::Minus,
            Operator::Multiply => Arithmetic::Multiply,
            _ => return Err(OTHER_REASON.into()),
        };
        let (left, right) = (
            self.value(&binary.left, depth + 1)?,
            self.value(&binary.right, depth + 1)?,
        );
        let result = self.type_of(expr)?;
        if result.is_integer() {
            return self.integers(left, operator, right, result);
        }
        // Two integers would be computed as integers there, whatever they are cast to here.
        let decimals = is_number(&left.kind)
            && is_number(&right.kind)
            && (left.kind == ColumnKind::Decimal || right.kind == ColumnKind::Decimal);
        let digits = (digits(&left.data_type), digits(&right.data_type), digits(&result));
        let (Some((p1, s1)), Some((p2, s2)), Some((precision, scale)), true) =
            (digits.0, digits.1, digits.2, decimals)
        else {
            return Err(OTHER_REASON.into());
        };
        let (whole, needed_scale) = match operator {
            Arithmetic::Multiply => (p1 + p2 - (s1 + s2).unsigned_abs(), s1 + s2),
            _ => {
                let whole = (p1 - s1.unsigned_abs()).max(p2 - s2.unsigned_abs()) + 1;
                (whole, s1.max(s2))
            }
        };
        let needed = whole + needed_scale.unsigned_abs();
        let fits = needed <= precision.min(DECIMAL_DIGITS_MAX)
            && needed_scale == scale
            && needed_scale <= DECIMAL_SCALE_MAX;
        if !fits {
            return Err("the result may have more digits than there is room for".into());
        }
        Ok(Value {
            scalar: RemoteScalar::Arithmetic {
                left: Box::new(left.scalar),
                operator,
                right: Box::new(right.scalar),
            },
            kind: ColumnKind::Decimal,
            data_type: result,
            nullable: left.nullable || right.nullable,
            sorted_whole: true,
        })
    }
}

/// A whole number in a form that is computed with its sign.
fn signed(scalar: RemoteScalar) -> RemoteScalar {
    match scalar {
        RemoteScalar::Column(_) | RemoteScalar::Case { .. } => RemoteScalar::Signed(Box::new(scalar)),
        // A literal is bound with its sign, and what is computed has one.
        other => other,
    }
}

/// A value of which only its being NULL counts.
fn counted(value: Value) -> Result<Value, Reason> {
    match &value.kind {
        ColumnKind::Integer
        | ColumnKind::Decimal
        | ColumnKind::Float
        | ColumnKind::Text(_)
        | ColumnKind::Binary => Ok(value),
        ColumnKind::Date { .. } | ColumnKind::DateTime { .. } | ColumnKind::Timestamp { .. } => {
            real_date(value)
        }
        ColumnKind::Dynamic(DynamicProfile {
            fit: Fit::Guaranteed,
            class: ValueClass::Integer { .. } | ValueClass::Bytes | ValueClass::Float,
            ..
        }) => Ok(value),
        ColumnKind::Dynamic(_) => Err(UNFIT_REASON.into()),
        ColumnKind::Opaque => Err(OTHER_REASON.into()),
    }
}

/// A value in the form in which it is compared with others of its column; `sorted`: with all of them, in an order.
fn compared(value: Value, sorted: bool) -> Result<Value, Reason> {
    if sorted && !value.sorted_whole {
        return Err(LONG_REASON.into());
    }
    match &value.kind {
        ColumnKind::Integer | ColumnKind::Decimal | ColumnKind::Binary => Ok(value),
        ColumnKind::Text(profile) => in_bytes(&value.scalar, profile).map(|(scalar, kind)| Value {
            scalar,
            kind: ColumnKind::Text(kind),
            data_type: value.data_type,
            nullable: value.nullable,
            sorted_whole: value.sorted_whole,
        }),
        ColumnKind::Dynamic(dynamic) => match (dynamic.fit, dynamic.class) {
            (Fit::Guaranteed, ValueClass::Integer { .. } | ValueClass::Bytes) => Ok(value),
            (Fit::Guaranteed, ValueClass::Text) => match value.scalar {
                RemoteScalar::Column(column) => Ok(Value {
                    scalar: RemoteScalar::Column(RemoteColumn {
                        form: ColumnForm::Bytes,
                        ..column
                    }),
                    ..value
                }),
                _ => Err(OTHER_REASON.into()),
            },
            (Fit::Guaranteed, _) => Err(OTHER_REASON.into()),
            _ => Err(UNFIT_REASON.into()),
        },
        ColumnKind::Float => Err(numbers::FLOAT_REASON.into()),
        ColumnKind::Date { .. } | ColumnKind::DateTime { .. } | ColumnKind::Timestamp { .. } => {
            real_date(value)
        }
        ColumnKind::Opaque => Err(OTHER_REASON.into()),
    }
}

/// A day or moment that is NULL where it is not of the calendar.
fn real_date(value: Value) -> Result<Value, Reason> {
    let kind = match value.kind {
        ColumnKind::Date { zero_dates: true } => ColumnKind::Date { zero_dates: false },
        ColumnKind::DateTime {
            zero_dates: true,
            fraction_digits,
        } => ColumnKind::DateTime {
            zero_dates: false,
            fraction_digits,
        },
        ColumnKind::Timestamp {
            zero_dates: true,
            fraction_digits,
        } => ColumnKind::Timestamp {
            zero_dates: false,
            fraction_digits,
        },
        _ => return Ok(value),
    };
    let RemoteScalar::Column(column) = value.scalar else {
        return Err(OTHER_REASON.into());
    };
    Ok(Value {
        scalar: RemoteScalar::Column(RemoteColumn {
            form: ColumnForm::RealDate,
            ..column
        }),
        kind,
        nullable: true,
        ..value
    })
}

/// A text as what compares by its bytes of UTF-8, and what is known of that.
fn in_bytes(scalar: &RemoteScalar, profile: &TextProfile) -> Result<(RemoteScalar, TextProfile), Reason> {
    let RemoteScalar::Column(column) = scalar else {
        return Err(OTHER_REASON.into());
    };
    if profile.encoding == TextEncoding::Unknown {
        return Err(text::unknown_encoding_reason(profile));
    }
    if profile.order == TextOrder::Bytes {
        return Ok((scalar.clone(), profile.clone()));
    }
    let form = text::bytes_form(profile);
    let bytes = RemoteScalar::Column(RemoteColumn { form, ..*column });
    let known = TextProfile {
        collation: "binary".to_owned(),
        order: TextOrder::Bytes,
        encoding: TextEncoding::Utf8Bytes,
    };
    Ok((bytes, known))
}

/// The argument of a sum, and the sum.
fn summed(argument: Value) -> Result<(Option<RemoteScalar>, Value), Reason> {
    match argument.kind {
        ColumnKind::Integer | ColumnKind::Decimal => {}
        ColumnKind::Float => return Err(FLOAT_SUM_REASON.into()),
        ColumnKind::Dynamic(_) => return Err("sums are computed otherwise there".into()),
        _ => return Err(OTHER_REASON.into()),
    }
    let (precision, scale) = digits(&argument.data_type).ok_or(OTHER_REASON)?;
    if precision > DECIMAL_DIGITS_MAX - SUM_ADDS || scale > DECIMAL_SCALE_MAX {
        return Err("the sum may have more digits than there is room for".into());
    }
    let sum = Value {
        scalar: RemoteScalar::column(0),
        kind: ColumnKind::Decimal,
        data_type: argument.data_type,
        nullable: true,
        sorted_whole: true,
    };
    Ok((Some(argument.scalar), sum))
}

fn is_number(kind: &ColumnKind) -> bool {
    matches!(
        kind,
        ColumnKind::Integer
            | ColumnKind::Decimal
            | ColumnKind::Dynamic(DynamicProfile {
                class: ValueClass::Integer { .. },
                fit: Fit::Guaranteed,
                ..
            })
    )
}

/// Whether every value of `from` is the same number in `to`.
pub(super) fn keeps_values(from: &DataType, to: &DataType) -> bool {
    match (digits(from), digits(to)) {
        _ if from == to => true,
        (Some((p1, s1)), Some((p2, s2))) => {
            let widens = !to.is_integer() || from.is_integer();
            widens && s1 <= s2 && p1 - s1.unsigned_abs() <= p2 - s2.unsigned_abs()
        }
        _ => false,
    }
}

/// Digits of a whole number or a decimal, and those of them behind the point.
fn digits(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Int16 => Some((5, 0)),
        DataType::Int32 => Some((10, 0)),
        DataType::Int64 => Some((19, 0)),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale)
            if *scale >= 0 && scale.unsigned_abs() <= *precision =>
        {
            Some((*precision, *scale))
        }
        _ => None,
    }
}
