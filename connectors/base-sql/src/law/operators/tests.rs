//! What is printed for the operators that are sent, and what is not sent.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use causeway_spi::{Aggregate, AggregateFunction, Aggregation, Scan, SortKey, TableName, TopN};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, Expr, Volatility, cast, col, create_udf, lit};

use super::{Columns, Computed};
use crate::dynamic::{DynamicProfile, Fit, ValueClass};
use crate::print::Dialect;
use crate::profile::{ColumnKind, ColumnProfile, TextEncoding, TextOrder, TextProfile};
use crate::remote::RemoteSelect;

#[test]
fn groups_are_kept_apart_by_their_bytes() {
    assert_eq!(
        grouped(&[col("i"), col("ci"), col("bin")], &[count()]),
        "SELECT `i` AS c0, CAST(`ci` AS BINARY) AS c1, `bin` AS c2, COUNT(*) AS c3 FROM `db`.`t` GROUP BY 1, 2, 3"
    );
    assert_eq!(
        grouped(&[col("latin")], &[]),
        "SELECT CAST(CONVERT(`latin` USING utf8mb4) AS BINARY) AS c0 FROM `db`.`t` GROUP BY 1"
    );
    assert_eq!(
        grouped(&[col("day")], &[]),
        "SELECT CASE WHEN DAYOFMONTH(`day`) BETWEEN 1 AND DAYOFMONTH(LAST_DAY(`day`)) AND YEAR(`day`) > 0 \
         THEN `day` END AS c0 FROM `db`.`t` GROUP BY 1"
    );
    for declined in ["f", "e", "strange", "long"] {
        assert!(aggregate(&[col(declined)], &[count()]).is_err(), "{declined}");
    }
}

#[test]
fn aggregates_are_those_of_values_that_compare_alike() {
    let calls = [
        call(AggregateFunction::Count, col("f")),
        call(AggregateFunction::Sum, cast(col("i"), DataType::Int64)),
        call(AggregateFunction::Min, col("ci")),
        call(AggregateFunction::Max, col("d")),
        Aggregate {
            distinct: true,
            ..call(AggregateFunction::Count, col("i"))
        },
    ];
    assert_eq!(
        grouped(&[], &calls),
        "SELECT COUNT(`f`) AS c0, SUM(`i`) AS c1, MIN(CAST(`ci` AS BINARY)) AS c2, MAX(`d`) AS c3, \
         COUNT(DISTINCT `i`) AS c4 FROM `db`.`t`"
    );
    for declined in [
        call(AggregateFunction::Sum, col("f")),
        call(AggregateFunction::Min, col("f")),
        call(AggregateFunction::Max, col("e")),
        call(AggregateFunction::Count, col("e")),
        call(AggregateFunction::Min, col("strange")),
        call(AggregateFunction::Sum, col("wide")),
        Aggregate {
            distinct: true,
            ..call(AggregateFunction::Count, col("long"))
        },
    ] {
        let refused = aggregate(&[], std::slice::from_ref(&declined));
        assert!(refused.is_err(), "{declined}");
    }
}

#[test]
fn only_decimals_with_room_are_computed() {
    let product = col("d") * (decimal(1, 1, 0) - col("d"));
    assert_eq!(
        grouped(&[], &[call(AggregateFunction::Sum, product)]),
        "SELECT SUM((`d` * (CAST('1' AS DECIMAL(1,0)) - `d`))) AS c0 FROM `db`.`t`"
    );
    for declined in [
        // Integers there, whatever they are cast to here.
        cast(col("i"), DataType::Decimal128(10, 0)) * cast(col("i"), DataType::Decimal128(10, 0)),
        // More digits than the result's type has room for.
        col("wide") * col("wide"),
        col("d") / decimal(2, 1, 0),
        cast(col("d"), DataType::Int64),
        cast(col("d"), DataType::Decimal128(10, 1)),
    ] {
        let call = call(AggregateFunction::Sum, declined);
        assert!(aggregate(&[], std::slice::from_ref(&call)).is_err(), "{call}");
    }
}

#[test]
fn integers_fail_there_where_they_fail_here() {
    let sum = |argument| grouped(&[], &[call(AggregateFunction::Sum, argument)]);
    assert_eq!(
        sum(col("id") * (lit(3_i64) - cast(col("i"), DataType::Int64))),
        "SELECT SUM((CAST(`id` AS SIGNED) * (3 - CAST(`i` AS SIGNED)))) AS c0 FROM `db`.`t`"
    );
    // Of 32 bits: what is left of 64 is taken up to either side, and given back.
    assert_eq!(
        sum(col("i") + lit(1_i32)),
        "SELECT SUM(((CAST(`i` AS SIGNED) + 1) + 9223372034707292160 - 9223372034707292160 - 9223372034707292160 \
         + 9223372034707292160)) AS c0 FROM `db`.`t`"
    );
    for declined in [
        col("id") / lit(2_i64),
        col("i") + lit(1_i64),
        col("id") % lit(2_i64),
    ] {
        let call = call(AggregateFunction::Sum, declined);
        assert!(aggregate(&[], std::slice::from_ref(&call)).is_err(), "{call}");
    }
    let sqlite = columns(&schema(), &profiles(), |columns| {
        let columns = Columns {
            dialect: Dialect::Sqlite,
            ..*columns
        };
        let call = call(AggregateFunction::Max, col("id") + lit(1_i64));
        columns.aggregate(table(), &aggregation(&[], &[call]))
    });
    assert!(sqlite.is_err());
}

#[test]
fn fields_and_beginnings_of_moments() {
    let real = |column: &str, then: &str| {
        format!(
            "SELECT CASE WHEN DAYOFMONTH(`{column}`) BETWEEN 1 AND DAYOFMONTH(LAST_DAY(`{column}`)) AND \
             YEAR(`{column}`) > 0 THEN {then} END AS c0 FROM `db`.`t` GROUP BY 1"
        )
    };
    let numeric = DataType::Decimal128(10, 0);
    let extract = |field: &str, column| moment_call("extract", field, column, numeric.clone());
    assert_eq!(
        grouped(&[extract("year", "day")], &[]),
        real("day", "YEAR(`day`)")
    );
    assert_eq!(
        grouped(&[extract("DOW", "at")], &[]),
        "SELECT (DAYOFWEEK(`at`) - 1) AS c0 FROM `db`.`t` GROUP BY 1"
    );
    let timestamp = DataType::Timestamp(TimeUnit::Microsecond, None);
    let trunc = |unit: &str, column| moment_call("date_trunc", unit, column, timestamp.clone());
    assert_eq!(
        grouped(&[trunc("month", "at")], &[]),
        "SELECT CAST(DATE(`at`) - INTERVAL DAYOFMONTH(`at`) - 1 DAY AS DATETIME) AS c0 FROM `db`.`t` GROUP BY 1"
    );
    let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    for declined in [
        // A day has no hour, and begins at another moment in each zone.
        extract("hour", "day"),
        moment_call("date_trunc", "month", "day", zoned.clone()),
        // A moment has fields in a zone only.
        extract("year", "moment"),
        moment_call("date_trunc", "month", "moment", zoned),
        // With a fraction.
        moment_call("extract", "second", "at", DataType::Decimal128(20, 6)),
        extract("century", "at"),
        trunc("minute", "at"),
        moment_call("date_part", "year", "at", DataType::Float64),
        moment_call("age", "year", "at", numeric.clone()),
    ] {
        assert!(
            aggregate(std::slice::from_ref(&declined), &[]).is_err(),
            "{declined}"
        );
    }
}

/// A call of a function of the engine: of a word and a column.
fn moment_call(function: &str, word: &str, column: &str, returns: DataType) -> Expr {
    let takes = vec![
        DataType::Utf8,
        schema().field_with_name(column).unwrap().data_type().clone(),
    ];
    let unused = Arc::new(|_: &[ColumnarValue]| Err(DataFusionError::Internal(String::new())));
    create_udf(function, takes, returns, Volatility::Immutable, unused).call(vec![lit(word), col(column)])
}

#[test]
fn conditions_in_a_value_are_exact() {
    let when = |condition: Expr| datafusion::logical_expr::when(condition, col("d")).end().unwrap();
    let sum = |condition| call(AggregateFunction::Sum, when(condition));
    assert_eq!(
        grouped(&[], &[sum(col("ci").eq(lit("Ann")))]),
        "SELECT SUM(CASE WHEN `ci` = 'Ann' AND CAST(`ci` AS BINARY) = CAST('Ann' AS BINARY) THEN `d` END) AS c0 \
         FROM `db`.`t`"
    );
    let either = datafusion::logical_expr::when(col("i").gt(lit(1_i32)), lit(1_i64))
        .otherwise(lit(0_i64))
        .unwrap();
    assert_eq!(
        grouped(&[], &[call(AggregateFunction::Sum, either)]),
        "SELECT SUM(CASE WHEN `i` > 1 THEN 1 ELSE 0 END) AS c0 FROM `db`.`t`"
    );
    for condition in [
        col("f").gt(lit(1.0_f64)),
        col("d").is_null().and(col("e").eq(lit("x"))),
    ] {
        let declined = sum(condition);
        assert!(
            aggregate(&[], std::slice::from_ref(&declined)).is_err(),
            "{declined}"
        );
    }
}

#[test]
fn the_place_of_nulls_is_written_out_where_there_can_be_some() {
    let first = |keys: &[(&str, bool, bool)]| {
        let order = keys.iter().map(|&(name, ascending, nulls_first)| SortKey {
            expr: col(name),
            ascending,
            nulls_first,
        });
        let top = TopN {
            order: order.collect(),
            fetch: 3,
        };
        let scan = Scan {
            schema: Arc::new(schema()),
            projection: vec![0],
            filters: Vec::new(),
            limit: None,
        };
        let computed = columns(&schema(), &profiles(), |columns| {
            columns.first(table(), &scan, &top)
        });
        computed.map(|computed| computed.select.text(Dialect::MySql))
    };
    let start = "SELECT `i` AS c0 FROM `db`.`t` ORDER BY ";
    let printed = |keys: &[(&str, bool, bool)]| {
        let text = first(keys).unwrap();
        text.strip_prefix(start).unwrap().to_owned()
    };
    assert_eq!(printed(&[("i", true, false)]), "`i` IS NULL, `i` LIMIT 3");
    assert_eq!(printed(&[("i", true, true)]), "`i` LIMIT 3");
    assert_eq!(
        printed(&[("i", false, true)]),
        "`i` IS NULL DESC, `i` DESC LIMIT 3"
    );
    assert_eq!(printed(&[("i", false, false)]), "`i` DESC LIMIT 3");
    assert_eq!(
        printed(&[("id", true, false), ("ci", false, false)]),
        "`id`, CAST(`ci` AS BINARY) DESC LIMIT 3"
    );
    assert!(first(&[("f", true, false)]).is_err());
    assert!(first(&[("long", true, false)]).is_err());
}

#[test]
fn a_limit_below_comes_first() {
    let limited = RemoteSelect {
        limit: Some(5),
        ..table()
    };
    let aggregation = aggregation(&[], &[call(AggregateFunction::Max, col("d"))]);
    let computed = columns(&schema(), &profiles(), |columns| {
        columns.aggregate(limited, &aggregation)
    });
    let text = computed.unwrap().select.text(Dialect::MySql);
    assert!(
        text.starts_with("SELECT MAX(c2) AS c0 FROM (SELECT `i` AS c0, `id` AS c1, `d` AS c2,"),
        "{text}"
    );
    assert!(text.ends_with(" LIMIT 5) AS t"), "{text}");
}

#[test]
fn where_any_value_may_be_stored_only_what_is_guaranteed_is_sent() {
    let schema = Schema::new(vec![
        Field::new("n", DataType::Int64, true),
        Field::new("name", DataType::Utf8View, true),
    ]);
    let profiles = |fit| {
        let column = |name: &str, class| ColumnProfile {
            name: name.to_owned(),
            native_type: String::new(),
            kind: ColumnKind::Dynamic(DynamicProfile {
                class,
                fit,
                compares_bytes: false,
                index_collation: None,
            }),
            nullable: true,
            sorted_whole: true,
        };
        let integer = ValueClass::Integer {
            least: i64::MIN,
            most: i64::MAX,
        };
        vec![column("n", integer), column("name", ValueClass::Text)]
    };
    let sent = |fit, groups: &[Expr], calls: &[Aggregate]| {
        let columns = Columns {
            schema: &schema,
            profiles: &profiles(fit),
            dialect: Dialect::Sqlite,
        };
        let computed = columns.aggregate(table(), &aggregation(groups, calls));
        computed.map(|computed| computed.select.text(Dialect::Sqlite))
    };
    let max = call(AggregateFunction::Max, col("n"));
    let named = sent(Fit::Guaranteed, &[col("name")], &[max.clone(), count()]).unwrap();
    assert_eq!(
        named,
        "SELECT \"id\" COLLATE BINARY AS c0, MAX(\"i\") AS c1, COUNT(*) AS c2 FROM \"db\".\"t\" GROUP BY 1"
    );
    // A sum that does not fit is an error there.
    assert!(sent(Fit::Guaranteed, &[], &[call(AggregateFunction::Sum, col("n"))]).is_err());
    // There are no decimals there: they would be computed as floats, and compared as texts.
    let half = decimal(5, 2, 1);
    let case = |then: Expr| datafusion::logical_expr::when(col("n").gt(lit(1_i64)), then);
    for computed in [
        col("n") * half.clone(),
        cast(col("n"), DataType::Decimal128(19, 0)) + half.clone(),
        half.clone(),
        case(half.clone()).end().unwrap(),
    ] {
        for function in [AggregateFunction::Sum, AggregateFunction::Max] {
            let declined = call(function, computed.clone());
            assert!(
                sent(Fit::Guaranteed, &[], std::slice::from_ref(&declined)).is_err(),
                "{declined}"
            );
        }
    }
    // Whichever branch stands first.
    let zero_first = case(lit(0_i64)).otherwise(col("n")).unwrap();
    assert!(
        sent(
            Fit::Guaranteed,
            &[],
            &[call(AggregateFunction::Sum, zero_first.clone())]
        )
        .is_err()
    );
    assert!(sent(Fit::Guaranteed, &[], &[call(AggregateFunction::Max, zero_first)]).is_ok());
    // What is not UTF-8 must be read to be found out.
    assert!(sent(Fit::Guaranteed, &[], &[call(AggregateFunction::Min, col("name"))]).is_err());
    for fit in [Fit::OrError, Fit::OrNull] {
        assert!(sent(fit, &[], std::slice::from_ref(&max)).is_err());
        assert!(sent(fit, &[col("name")], &[]).is_err());
        assert!(sent(fit, &[], &[count()]).is_ok());
    }
}

fn grouped(groups: &[Expr], calls: &[Aggregate]) -> String {
    aggregate(groups, calls).unwrap().select.text(Dialect::MySql)
}

fn aggregate(groups: &[Expr], calls: &[Aggregate]) -> Result<Computed, std::borrow::Cow<'static, str>> {
    let aggregation = aggregation(groups, calls);
    columns(&schema(), &profiles(), |columns| {
        columns.aggregate(table(), &aggregation)
    })
}

fn columns<T>(schema: &Schema, profiles: &[ColumnProfile], ask: impl FnOnce(&Columns<'_>) -> T) -> T {
    ask(&Columns {
        schema,
        profiles,
        dialect: Dialect::MySql,
    })
}

/// Its schema has no meaning here but the number of columns.
fn aggregation(groups: &[Expr], calls: &[Aggregate]) -> Aggregation {
    let fields = (0..groups.len() + calls.len()).map(|n| Field::new(format!("x{n}"), DataType::Null, true));
    Aggregation {
        groups: groups.to_vec(),
        aggregates: calls.to_vec(),
        schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
    }
}

fn count() -> Aggregate {
    Aggregate {
        function: AggregateFunction::Count,
        argument: None,
        distinct: false,
    }
}

fn call(function: AggregateFunction, argument: Expr) -> Aggregate {
    Aggregate {
        function,
        argument: Some(argument),
        distinct: false,
    }
}

fn decimal(digits: i128, precision: u8, scale: i8) -> Expr {
    lit(ScalarValue::Decimal128(Some(digits), precision, scale))
}

fn table() -> RemoteSelect {
    let names: Vec<_> = profiles().into_iter().map(|profile| profile.name).collect();
    RemoteSelect::of_table(TableName::new("shop", "db", "t"), names.into(), &[])
}

fn schema() -> Schema {
    let columns = [
        ("i", DataType::Int32),
        ("id", DataType::Int64),
        ("d", DataType::Decimal128(10, 2)),
        ("wide", DataType::Decimal256(60, 2)),
        ("f", DataType::Float64),
        ("ci", DataType::Utf8View),
        ("latin", DataType::Utf8View),
        ("bin", DataType::Utf8View),
        ("strange", DataType::Utf8View),
        ("long", DataType::Utf8View),
        ("e", DataType::Utf8View),
        ("day", DataType::Date32),
        ("at", DataType::Timestamp(TimeUnit::Microsecond, None)),
        (
            "moment",
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        ),
    ];
    let fields = columns.map(|(name, data_type)| Field::new(name, data_type, name != "id"));
    Schema::new(fields.to_vec())
}

fn profiles() -> Vec<ColumnProfile> {
    let text = |order, encoding| {
        ColumnKind::Text(TextProfile {
            collation: "some_ci".to_owned(),
            order,
            encoding,
        })
    };
    let date_time = ColumnKind::DateTime {
        fraction_digits: 6,
        zero_dates: false,
    };
    let timestamp = ColumnKind::Timestamp {
        fraction_digits: 6,
        zero_dates: false,
    };
    let kinds = [
        ("i", ColumnKind::Integer),
        ("id", ColumnKind::Integer),
        ("d", ColumnKind::Decimal),
        ("wide", ColumnKind::Decimal),
        ("f", ColumnKind::Float),
        ("ci", text(TextOrder::Language, TextEncoding::Utf8)),
        ("latin", text(TextOrder::Language, TextEncoding::Latin1)),
        ("bin", text(TextOrder::Bytes, TextEncoding::Utf8)),
        ("strange", text(TextOrder::Language, TextEncoding::Unknown)),
        ("long", text(TextOrder::Language, TextEncoding::Utf8)),
        ("e", ColumnKind::Opaque),
        ("day", ColumnKind::Date { zero_dates: true }),
        ("at", date_time),
        ("moment", timestamp),
    ];
    let columns = kinds.map(|(name, kind)| ColumnProfile {
        name: name.to_owned(),
        native_type: String::new(),
        kind,
        nullable: name != "id",
        sorted_whole: name != "long",
    });
    columns.into()
}
