//! The types that SQL names, as the engine's canonical ones: microseconds everywhere, one text type.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::Result;
use datafusion::logical_expr::logical_plan::Union;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast};
use datafusion::optimizer::analyzer::type_coercion::coerce_union_schema;
use datafusion::sql::sqlparser::ast::{DataType as SqlType, ExactNumberInfo, ObjectName, TimezoneInfo};

use super::moments::common_moment;

/// `numeric` without digits. No value has it: a cast to it keeps a number's digits ([`super::numerics`]).
pub(super) const NUMERIC_OF_ANY_SCALE: DataType = DataType::Decimal256(76, 38);

/// `plan` with the types that its expressions and inputs have now. A union keeps those that it was planned with otherwise,
/// and its parts would be made equal to these.
pub(super) fn with_types_of_inputs(plan: LogicalPlan) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Union(union) => Ok(LogicalPlan::Union(union_of(union.inputs)?)),
        // Its rows agree on new ones.
        LogicalPlan::Values(values) => LogicalPlanBuilder::values(values.values)?.build(),
        other => other.recompute_schema(),
    }
}

/// The union of `inputs`, with the types that all of them can have: its own are those of the first one, until types are made
/// equal. What cannot be made equal is left for that.
pub(super) fn union_of(mut inputs: Vec<Arc<LogicalPlan>>) -> Result<Union> {
    let columns = inputs.first().map_or(0, |first| first.schema().fields().len());
    let moments = (0..columns).map(|index| {
        let fields = inputs
            .iter()
            .filter_map(|input| input.schema().fields().get(index));
        common_moment(fields.map(|field| field.data_type()))
    });
    let moments: Vec<Option<DataType>> = moments.collect();
    if moments.iter().any(Option::is_some) {
        for input in &mut inputs {
            *input = Arc::new(with_timestamps(input, &moments)?);
        }
    }
    match coerce_union_schema(&inputs) {
        Ok(schema) => Ok(Union {
            inputs,
            schema: Arc::new(schema),
        }),
        Err(_) => Union::try_new_with_loose_types(inputs),
    }
}

/// `input` with timestamps for the dates of the columns for which there is a type.
fn with_timestamps(input: &LogicalPlan, types: &[Option<DataType>]) -> Result<LogicalPlan> {
    let columns = input
        .schema()
        .iter()
        .zip(types)
        .map(|((qualifier, field), wanted)| {
            let column = Expr::from((qualifier, field));
            match wanted {
                Some(wanted) if field.data_type() == &DataType::Date32 => {
                    cast(column, wanted.clone()).alias_qualified(qualifier.cloned(), field.name())
                }
                _ => column,
            }
        });
    let columns: Vec<Expr> = columns.collect();
    LogicalPlanBuilder::from(input.clone()).project(columns)?.build()
}

/// The one zone of timestamps with a time zone.
const UTC: &str = "UTC";

/// Translates what DataFusion would translate otherwise, or not at all.
#[derive(Debug)]
pub(super) struct PostgresTypes;

impl TypePlanner for PostgresTypes {
    fn plan_type_field(&self, sql_type: &SqlType) -> Result<Option<FieldRef>> {
        let planned = canonical(sql_type);
        Ok(planned.map(|data_type| Arc::new(Field::new("", data_type, true))))
    }
}

/// What is read as such a type, if DataFusion would read another.
pub(super) fn canonical(sql_type: &SqlType) -> Option<DataType> {
    let zoned = |zone: &TimezoneInfo| matches!(zone, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone);
    match sql_type {
        SqlType::Timestamp(_, zone) => {
            let zone = zoned(zone).then(|| Arc::from(UTC));
            Some(DataType::Timestamp(TimeUnit::Microsecond, zone))
        }
        SqlType::Time(_, zone) if !zoned(zone) => Some(DataType::Time64(TimeUnit::Microsecond)),
        // PostgreSQL's float is a double; its precision in bits chooses a real.
        SqlType::Float(ExactNumberInfo::Precision(1..=24)) => Some(DataType::Float32),
        SqlType::Real | SqlType::Float4 => Some(DataType::Float32),
        SqlType::Float(_) => Some(DataType::Float64),
        SqlType::Numeric(ExactNumberInfo::None) | SqlType::Decimal(ExactNumberInfo::None) => {
            Some(NUMERIC_OF_ANY_SCALE)
        }
        SqlType::Uuid | SqlType::JSON | SqlType::JSONB => Some(DataType::Utf8View),
        SqlType::CharacterVarying(_) | SqlType::Varchar(None) | SqlType::Text => Some(DataType::Utf8View),
        SqlType::Bytea => Some(DataType::BinaryView),
        SqlType::Custom(name, _) => named(name),
        _ => None,
    }
}

/// The types that the parser does not know, with or without `pg_catalog.` before them.
fn named(name: &ObjectName) -> Option<DataType> {
    let last = name.0.last()?.as_ident()?.value.to_lowercase();
    Some(match last.as_str() {
        "timestamptz" => DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from(UTC))),
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "int2" => DataType::Int16,
        "int4" => DataType::Int32,
        "int8" => DataType::Int64,
        "oid" => DataType::UInt32,
        "float4" => DataType::Float32,
        "float8" => DataType::Float64,
        "bool" => DataType::Boolean,
        "text" | "name" | "varchar" | "bpchar" | "citext" | "uuid" | "json" | "jsonb" | "xml" => {
            DataType::Utf8View
        }
        "numeric" => NUMERIC_OF_ANY_SCALE,
        "bytea" => DataType::BinaryView,
        "date" => DataType::Date32,
        _ => return None,
    })
}
