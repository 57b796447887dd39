//! Columns: missing, reordered, widened, converted to canonical types; the decoder's and our filters agree.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Decimal128Array, Decimal256Array, DictionaryArray, DurationMicrosecondArray,
    FixedSizeBinaryArray, Float16Array, Float64Array, Int32Array, Int32Builder, Int64Array,
    IntervalDayTimeArray, IntervalYearMonthArray, ListArray, MapBuilder, NullArray, RecordBatch, StringArray,
    StringBuilder, StructArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray, UInt8Array, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Int32Type, IntervalDayTime, TimeUnit, i256};
use causeway_spi::{ErrorKind, Filter, check_canonical};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, col, lit};
use parquet::data_type::{Int96, Int96Type};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use crate::fixture::{Lake, ours, rows};

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
        .unwrap()
}

fn ints(values: &[i32]) -> ArrayRef {
    Arc::new(Int32Array::from(values.to_vec()))
}

fn longs(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

#[tokio::test]
async fn columns_may_be_missing_reordered_and_narrower() {
    let lake = Lake::new();
    lake.put_batch(
        "t/0.parquet",
        &batch(vec![("id", ints(&[1, 2])), ("name", texts(&["a", "b"]))]),
    )
    .await;
    lake.put_batch(
        "t/1.parquet",
        &batch(vec![
            ("extra", texts(&["x"])),
            ("name", texts(&["c"])),
            ("id", longs(&[5_000_000_000])),
        ]),
    )
    .await;
    let all = lake.rows(&["t"], "SELECT id, name, extra FROM t").await;
    assert_eq!(all, ["1|a|NULL", "2|b|NULL", "5000000000|c|x"]);
    assert_eq!(
        lake.rows(&["t"], "SELECT id FROM t WHERE extra IS NULL").await,
        ["1", "2"]
    );
    assert_eq!(
        lake.rows(&["t"], "SELECT id FROM t WHERE extra = 'x'").await,
        ["5000000000"]
    );
    assert_eq!(lake.rows(&["t"], "SELECT name FROM t WHERE id = 2").await, ["b"]);
    assert_eq!(
        lake.rows(&["t"], "SELECT name FROM t WHERE id >= 5000000000")
            .await,
        ["c"]
    );
    assert_eq!(
        lake.rows(&["t"], "SELECT count(*), count(extra), max(id), min(name) FROM t")
            .await,
        ["3|1|5000000000|a"]
    );
}

#[tokio::test]
async fn columns_that_differ_only_in_case_are_two() {
    let lake = Lake::new();
    lake.put_batch(
        "t/0.parquet",
        &batch(vec![("id", ints(&[1])), ("ID", ints(&[2]))]),
    )
    .await;
    lake.put_batch("t/1.parquet", &batch(vec![("ID", ints(&[4]))]))
        .await;
    assert_eq!(
        lake.rows(&["t"], r#"SELECT "id", "ID" FROM t"#).await,
        ["1|2", "NULL|4"]
    );
    assert_eq!(
        lake.rows(&["t"], r#"SELECT "id" FROM t WHERE "ID" = 2"#).await,
        ["1"]
    );
}

#[tokio::test]
async fn every_type_arrives_in_its_canonical_form() {
    let lake = Lake::new();
    let dictionary: DictionaryArray<Int32Type> = ["red", "blue"].into_iter().collect();
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("tiny", Arc::new(UInt8Array::from(vec![255, 0]))),
        ("huge", Arc::new(UInt64Array::from(vec![u64::MAX, 0]))),
        (
            "half",
            Arc::new(Float16Array::from_iter_values([half(1.5), half(-2.0)])),
        ),
        ("color", Arc::new(dictionary)),
        ("list", Arc::new(list)),
        ("nothing", Arc::new(NullArray::new(2))),
    ];
    lake.put_batch("t/0.parquet", &batch(columns)).await;
    let table = lake.table("t").await.unwrap();
    check_canonical(table.name(), &table.schema()).unwrap();
    let all = lake
        .rows(&["t"], "SELECT tiny, huge, half, color, nothing, list FROM t")
        .await;
    assert_eq!(
        all,
        [
            "0|0|-2.0|blue|NULL|NULL",
            "255|18446744073709551615|1.5|red|NULL|[1, NULL]"
        ]
    );
    for filter in [
        "tiny = 255",
        "huge = 18446744073709551615",
        "half > 1",
        "color = 'red'",
        "color IN ('red', 'x')",
    ] {
        let sql = format!("SELECT tiny FROM t WHERE {filter}");
        assert_eq!(lake.rows(&["t"], &sql).await, ["255"], "{filter}");
    }
    assert_eq!(
        lake.rows(&["t"], "SELECT tiny FROM t WHERE array_has(list, 1)")
            .await,
        ["255"]
    );
    assert_eq!(
        lake.rows(&["t"], "SELECT tiny FROM t WHERE list IS NULL").await,
        ["0"]
    );
}

fn half(value: f32) -> <arrow::datatypes::Float16Type as arrow::datatypes::ArrowPrimitiveType>::Native {
    <arrow::datatypes::Float16Type as arrow::datatypes::ArrowPrimitiveType>::Native::from_f32(value)
}

// A cast between units moved to the literal would lose the fraction: the rows at the border would go.
#[tokio::test]
async fn filters_on_times_of_other_units_lose_no_row() {
    let lake = Lake::new();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("ms", Arc::new(TimestampMillisecondArray::from(vec![1, 2]))),
        (
            "ns",
            Arc::new(TimestampNanosecondArray::from(vec![1_500_400, 2_000_000])),
        ),
    ];
    lake.put_batch("t/0.parquet", &batch(columns)).await;
    let table = lake.table("t").await.unwrap();
    assert_eq!(
        table.schema().field(1).data_type(),
        &DataType::Timestamp(TimeUnit::Microsecond, None)
    );
    let instant = |micros: &str| format!("TIMESTAMP '1970-01-01 00:00:00.{micros}'");
    let cases = [
        (format!("ms < {}", instant("001500")), 1),
        (format!("ms > {}", instant("000500")), 2),
        (format!("ms >= {}", instant("001500")), 1),
        (format!("ms <> {}", instant("001500")), 2),
        (format!("ns = {}", instant("001500")), 1),
        (format!("ns <= {}", instant("001500")), 1),
        (format!("ns > {}", instant("001500")), 1),
        (format!("ns IN ({}, {})", instant("001500"), instant("002000")), 2),
    ];
    for (filter, expected) in cases {
        let found = lake
            .rows(&["t"], &format!("SELECT ms FROM t WHERE {filter}"))
            .await;
        assert_eq!(found.len(), expected, "{filter}: {found:?}");
    }
}

// The bounds of a timestamp cast to a date and back are wider than before: an estimate above all rows was an error.
#[tokio::test]
async fn filters_on_casts_of_timestamps_are_planned() {
    let lake = Lake::new();
    // Three minutes around midnight.
    let day = 86_400_000_000;
    let midnight = 19_753 * day;
    let minute = 60_000_000;
    let at =
        TimestampMicrosecondArray::from(vec![midnight - minute, midnight + minute, midnight + 2 * minute]);
    lake.put_batch(
        "t/0.parquet",
        &batch(vec![
            ("id", ints(&[1, 2, 3])),
            ("at", Arc::new(at)),
            ("sign", ints(&[-1, 0, 1])),
        ]),
    )
    .await;
    for (filter, ids) in [
        ("CAST(at AS DATE) > DATE '2023-01-01'", "1 2 3"),
        ("CAST(at AS DATE) >= DATE '2024-01-31'", "2 3"),
        ("CAST(at AS DATE) < DATE '2024-01-31'", "1"),
        ("CAST(at AS DATE) = DATE '2024-01-30'", "1"),
        ("CAST(at AS TIME) > TIME '12:00:00'", "1"),
        ("CAST(id - 1 AS BOOLEAN) = false", "1"),
        ("CAST(sign AS BOOLEAN) = false", "2"),
    ] {
        let found = lake
            .rows(&["t"], &format!("SELECT id FROM t WHERE {filter}"))
            .await;
        assert_eq!(found.join(" "), ids, "{filter}");
        let above = format!("SELECT id FROM (SELECT id, at, sign FROM t LIMIT 10) WHERE {filter}");
        assert_eq!(
            lake.rows(&["t"], &above).await.join(" "),
            ids,
            "{filter} above a limit"
        );
    }
    assert_eq!(
        lake.rows(&["t"], "SELECT max(at), min(at) FROM t").await,
        ["2024-01-31T00:02:00|2024-01-30T23:59:00"]
    );
}

// NaN is the largest float here and in no bounds of any file.
#[tokio::test]
async fn not_a_number_is_found_beyond_the_bounds() {
    let lake = Lake::new();
    let values = Float64Array::from(vec![1.0, f64::NAN, 1.0]);
    lake.put_batch(
        "t/0.parquet",
        &batch(vec![("x", Arc::new(values)), ("id", ints(&[1, 2, 3]))]),
    )
    .await;
    assert_eq!(lake.rows(&["t"], "SELECT id FROM t WHERE x > 100").await, ["2"]);
    assert_eq!(
        lake.rows(&["t"], "SELECT id FROM t WHERE x = 1").await,
        ["1", "3"]
    );
    assert_eq!(lake.rows(&["t"], "SELECT max(x) FROM t").await, ["NaN"]);
}

#[tokio::test]
async fn filters_that_prune_nothing_say_so() {
    let lake = Lake::new();
    let ratios: ArrayRef = Arc::new(Float64Array::from(vec![1.5]));
    let prices = Decimal128Array::from(vec![299]).with_precision_and_scale(8, 2);
    let row = batch(vec![
        ("x", ratios),
        ("id", ints(&[1])),
        ("price", Arc::new(prices.unwrap())),
    ]);
    lake.put_batch("t/0.parquet", &row).await;
    let table = lake.table("t").await.unwrap();
    let prunes = |expr: Expr| {
        let reason = table.pushdown(&Filter::new(&expr)).reason;
        assert!(reason.contains("pruned"), "{reason}");
        !reason.contains("nothing is pruned")
    };
    let price = || lit(ScalarValue::Decimal128(Some(299), 8, 2));
    let some = || col("id").gt(lit(1_i32));
    assert!(prunes(some()) && prunes(col("price").lt(price())) && prunes(col("id").is_null()));
    assert!(prunes(some().and(col("x").gt(lit(1.0)))));
    for none in [
        col("x").gt(lit(1.0)),
        col("x").eq(lit(1.0)),
        col("x").is_null(),
        some().or(col("x").gt(lit(1.0))),
        (col("price") * price()).gt(price()),
        col("id").eq(col("id")),
    ] {
        assert!(!prunes(none.clone()), "{none}");
    }
}

#[tokio::test]
async fn maps_are_arrays_of_composites() {
    let lake = Lake::new();
    let mut maps = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    maps.keys().append_value("a");
    maps.values().append_value(1);
    maps.keys().append_value("b");
    maps.values().append_null();
    maps.append(true).unwrap();
    maps.append(false).unwrap();
    maps.append(true).unwrap();
    let maps: ArrayRef = Arc::new(maps.finish());
    let field = Arc::new(Field::new("m", maps.data_type().clone(), true));
    let inside = StructArray::from(vec![(field, Arc::clone(&maps))]);
    let columns = vec![
        ("id", ints(&[1, 2, 3])),
        ("m", maps),
        ("s", Arc::new(inside) as ArrayRef),
    ];
    lake.put_batch("t/0.parquet", &batch(columns)).await;
    let table = lake.table("t").await.unwrap();
    check_canonical(table.name(), &table.schema()).unwrap();
    assert_eq!(
        lake.rows(&["t"], "SELECT id, m, s FROM t").await,
        [
            "1|[{key: a, value: 1}, {key: b, value: NULL}]|{m: [{key: a, value: 1}, {key: b, value: NULL}]}",
            "2|NULL|{m: NULL}",
            "3|[]|{m: []}",
        ]
    );
    assert_eq!(
        lake.rows(&["t"], "SELECT m[1]['value'] FROM t WHERE m[1]['key'] = 'a'")
            .await,
        ["1"]
    );
    for (filter, ids) in [
        ("m IS NULL", "2"),
        ("m IS NOT NULL", "1 3"),
        ("s IS NULL", ""),
        ("s['m'] IS NULL", "2"),
        ("m IS NULL OR id = 3", "2 3"),
    ] {
        let found = lake
            .rows(&["t"], &format!("SELECT id FROM t WHERE {filter}"))
            .await;
        assert_eq!(found.join(" "), ids, "{filter}");
    }
}

#[tokio::test]
async fn intervals_and_durations_are_intervals() {
    let lake = Lake::new();
    let days = IntervalDayTimeArray::from(vec![
        IntervalDayTime::new(1, 3_600_000),
        IntervalDayTime::new(0, 5),
    ]);
    let months = IntervalYearMonthArray::from(vec![14, 0]);
    let spans = DurationMicrosecondArray::from(vec![90_000_000, -1]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", ints(&[1, 2])),
        ("days", Arc::new(days)),
        ("months", Arc::new(months)),
        ("span", Arc::new(spans)),
    ];
    lake.put_batch("t/0.parquet", &batch(columns)).await;
    assert_eq!(
        lake.rows(&["t"], "SELECT days, months, span FROM t WHERE id = 1")
            .await,
        ["1 days 1 hours|14 mons|1 mins 30.000000000 secs"]
    );
    for (filter, ids) in [
        ("span > INTERVAL '1 minute'", "1"),
        ("span < INTERVAL '0 seconds'", "2"),
        ("months = INTERVAL '14 months'", "1"),
        ("days < INTERVAL '1 day'", "2"),
    ] {
        let found = lake
            .rows(&["t"], &format!("SELECT id FROM t WHERE {filter}"))
            .await;
        assert_eq!(found.join(" "), ids, "{filter}");
    }
}

// Decimals in 4, 8 and 16 bytes and in fixed-length bytes; the smallest and largest bounds; empty files and row groups.
#[tokio::test]
async fn decimals_of_all_physical_types_and_empty_files() {
    let lake = Lake::new();
    let decimal = |values: Vec<i128>, precision, scale| {
        let array = Decimal128Array::from(values).with_precision_and_scale(precision, scale);
        Arc::new(array.unwrap()) as ArrayRef
    };
    let wide = Decimal256Array::from(vec![i256::from_i128(5), i256::from_i128(-7)]);
    let fixed = FixedSizeBinaryArray::try_from_iter([[1_u8, 2], [255, 0]].into_iter()).unwrap();
    let columns = vec![
        ("small", decimal(vec![123, -456], 5, 2)),
        ("middle", decimal(vec![10_i128.pow(17), -1], 18, 0)),
        ("large", decimal(vec![10_i128.pow(37), -10_i128.pow(37)], 38, 4)),
        (
            "wide",
            Arc::new(wide.with_precision_and_scale(60, 1).unwrap()) as ArrayRef,
        ),
        ("fixed", Arc::new(fixed) as ArrayRef),
    ];
    let rows = batch(columns);
    lake.put_batch("t/0.parquet", &rows).await;
    lake.put_batch("t/empty.parquet", &rows.slice(0, 0)).await;
    assert_eq!(
        lake.rows(&["t"], "SELECT small, middle, large, wide FROM t")
            .await,
        [
            "-4.56|-1|-1000000000000000000000000000000000.0000|-0.7",
            "1.23|100000000000000000|1000000000000000000000000000000000.0000|0.5",
        ]
    );
    for filter in [
        "small > 0",
        "middle > 0",
        "large > 0",
        "wide > 0",
        "encode(fixed, 'hex') = '0102'",
    ] {
        let found = lake
            .rows(&["t"], &format!("SELECT small FROM t WHERE {filter}"))
            .await;
        assert_eq!(found, ["1.23"], "{filter}");
    }
    assert_eq!(
        lake.rows(&["t"], "SELECT count(*), min(large) FROM t")
            .await
            .len(),
        1
    );
    let none = Lake::new();
    none.put_batch("t/empty.parquet", &rows.slice(0, 0)).await;
    assert!(none.rows(&["t"], "SELECT small FROM t").await.is_empty());
}

// INT96 has no bounds that can be used, and reaches beyond what nanoseconds of 64 bits hold.
#[tokio::test]
async fn int96_is_a_timestamp_from_year_1_on() {
    let lake = Lake::new();
    // Days since the Julian epoch: 2440588 is 1970-01-01; 1721426 is 0001-01-01.
    let values = [
        (2_440_588_u32, 1_500_u64),
        (1_721_426, 0),
        (5_373_484, 86_399_000_000_000),
    ];
    lake.put("t/0.parquet", int96_file(&values)).await;
    assert_eq!(
        lake.rows(&["t"], "SELECT at FROM t").await,
        [
            "0001-01-01T00:00:00",
            "1970-01-01T00:00:00.000001",
            "9999-12-31T23:59:59"
        ]
    );
    let later = "SELECT count(*) FROM t WHERE at > TIMESTAMP '1970-01-01 00:00:00'";
    assert_eq!(lake.rows(&["t"], later).await, ["2"]);
}

fn int96_file(values: &[(u32, u64)]) -> Vec<u8> {
    let schema = Arc::new(parse_message_type("message m { optional int96 at; }").unwrap());
    let mut bytes = Vec::new();
    let mut file = SerializedFileWriter::new(&mut bytes, schema, Default::default()).unwrap();
    let mut group = file.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().expect("it has one column");
    let int96 = |&(day, nanos): &(u32, u64)| {
        let mut value = Int96::new();
        let [low, high] = [nanos & 0xFFFF_FFFF, nanos >> 32].map(|half| u32::try_from(half).unwrap());
        value.set_data(low, high, day);
        value
    };
    let values: Vec<Int96> = values.iter().map(int96).collect();
    let levels = vec![1; values.len()];
    column
        .typed::<Int96Type>()
        .write_batch(&values, Some(&levels), None)
        .unwrap();
    column.close().unwrap();
    group.close().unwrap();
    file.close().unwrap();
    bytes
}

#[tokio::test]
async fn structs_may_gain_fields() {
    let lake = Lake::new();
    let field = |name: &str, kind| Arc::new(Field::new(name, kind, true));
    let old = StructArray::from(vec![(field("a", DataType::Int32), ints(&[1]))]);
    let new = StructArray::from(vec![
        (field("b", DataType::Utf8), texts(&["x"])),
        (field("a", DataType::Int64), longs(&[2])),
    ]);
    lake.put_batch("t/0.parquet", &batch(vec![("s", Arc::new(old))]))
        .await;
    lake.put_batch("t/1.parquet", &batch(vec![("s", Arc::new(new))]))
        .await;
    assert_eq!(
        lake.rows(&["t"], "SELECT s['a'], s['b'] FROM t").await,
        ["1|NULL", "2|x"]
    );
    assert_eq!(
        lake.rows(&["t"], "SELECT s['b'] FROM t WHERE s['a'] > 1").await,
        ["x"]
    );
    assert_eq!(
        lake.rows(&["t"], "SELECT s FROM t").await,
        ["{a: 1, b: NULL}", "{a: 2, b: x}"]
    );
}

#[tokio::test]
async fn types_that_contradict_each_other_are_an_error() {
    let lake = Lake::new();
    lake.put_batch("t/0.parquet", &batch(vec![("id", ints(&[1]))]))
        .await;
    lake.put_batch("t/1.parquet", &batch(vec![("id", texts(&["1"]))]))
        .await;
    let error = lake.table("t").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(
        error.message(),
        "column \"id\" of table lake.public.t has types that do not go together"
    );
}

// A table loaded before: the new file's integers would be cut by a cast to the old type.
#[tokio::test]
async fn a_file_that_comes_later_must_fit_the_table() {
    let lake = Lake::new();
    lake.put_batch("t/0.parquet", &batch(vec![("id", ints(&[1]))]))
        .await;
    let session = lake.session(&["t"]).await;
    lake.put_batch("t/1.parquet", &batch(vec![("id", ints(&[2]))]))
        .await;
    assert_eq!(rows(&session, "SELECT id FROM t").await.unwrap(), ["1", "2"]);
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![2.5]));
    lake.put_batch("t/2.parquet", &batch(vec![("id", floats)])).await;
    let error = rows(&session, "SELECT id FROM t").await.unwrap_err();
    assert_eq!(ours(&error).kind(), ErrorKind::InvalidData);
    assert_eq!(
        ours(&error).message(),
        "column \"id\" of file t/2.parquet has the type Float64, which does not fit the table's Int32"
    );
}

#[tokio::test]
async fn limits_stop_early_and_count_only_rows_that_pass() {
    let lake = Lake::new();
    let many: Vec<i32> = (0..1000).collect();
    for file in 0..3 {
        lake.put_batch(
            &format!("t/p={file}/0.parquet"),
            &batch(vec![("id", ints(&many))]),
        )
        .await;
    }
    let count = |sql: &'static str| {
        let lake = &lake;
        async move { lake.rows(&["t"], &format!("SELECT count(*) FROM ({sql})")).await }
    };
    assert_eq!(count("SELECT id FROM t LIMIT 10").await, ["10"]);
    assert_eq!(count("SELECT id FROM t WHERE p = 1 LIMIT 10").await, ["10"]);
    assert_eq!(count("SELECT id FROM t WHERE id >= 995 LIMIT 10").await, ["10"]);
    assert_eq!(
        count("SELECT id FROM t WHERE id >= 995 AND p = 1 LIMIT 10").await,
        ["5"]
    );
    assert_eq!(count("SELECT id FROM t WHERE id >= 995 LIMIT 100").await, ["15"]);
    assert_eq!(count("SELECT id FROM t LIMIT 0").await, ["0"]);
}

#[tokio::test]
async fn statistics_know_rows_and_width() {
    let lake = Lake::new();
    lake.put_batch("t/0.parquet", &batch(vec![("id", ints(&[1, 2, 3]))]))
        .await;
    lake.put_batch("t/1.parquet", &batch(vec![("id", ints(&[4]))]))
        .await;
    let statistics = lake.table("t").await.unwrap().statistics();
    assert_eq!(statistics.rows, Some(4));
    assert!(statistics.row_bytes.is_some_and(|bytes| bytes > 0));
}

// Their file type differs from the table's (text views, wider items): the decoder must not lose such a filter.
#[tokio::test]
async fn filters_on_converted_lists_and_fields_are_applied() {
    let lake = Lake::new();
    let tags = |values: [&[&str]; 2]| {
        let mut builder = arrow::array::ListBuilder::new(arrow::array::StringBuilder::new());
        for tags in values {
            builder.append_value(tags.iter().map(Some));
        }
        Arc::new(builder.finish()) as ArrayRef
    };
    let field = |name: &str, kind| Arc::new(Field::new(name, kind, true));
    let fields = |ms: [i64; 2], names: [&str; 2]| {
        let ms: ArrayRef = Arc::new(TimestampMillisecondArray::from(ms.to_vec()));
        Arc::new(StructArray::from(vec![
            (field("ms", DataType::Timestamp(TimeUnit::Millisecond, None)), ms),
            (field("name", DataType::Utf8), texts(&names)),
        ])) as ArrayRef
    };
    let narrow =
        ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1)]), Some(vec![Some(2)])]);
    let wide =
        ListArray::from_iter_primitive::<arrow::datatypes::Int64Type, _, _>([Some(vec![Some(1)]), None]);
    let first = vec![
        ("id", ints(&[1, 2])),
        ("tags", tags([&["x", "y"], &["z"]])),
        ("s", fields([1, 2], ["a", "b"])),
        ("n", Arc::new(narrow)),
    ];
    let second = vec![
        ("id", ints(&[3, 4])),
        ("tags", tags([&[], &["x"]])),
        ("s", fields([3, 4], ["c", "a"])),
        ("n", Arc::new(wide)),
    ];
    lake.put_batch("t/0.parquet", &batch(first)).await;
    lake.put_batch("t/1.parquet", &batch(second)).await;
    let cases = [
        ("array_has(tags, 'x')", "1 4"),
        ("NOT array_has(tags, 'x')", "2 3"),
        ("array_has(n, 1)", "1 3"),
        ("n IS NULL", "4"),
        ("s['name'] = 'a'", "1 4"),
        ("s['name'] IN ('b', 'c') AND id > 2", "3"),
        ("s['ms'] < TIMESTAMP '1970-01-01 00:00:00.001500'", "1"),
        ("s['ms'] > TIMESTAMP '1970-01-01 00:00:00.002500'", "3 4"),
        ("s IS NOT NULL AND array_has(tags, 'z')", "2"),
    ];
    for (filter, ids) in cases {
        let found = lake
            .rows(&["t"], &format!("SELECT id FROM t WHERE {filter}"))
            .await;
        assert_eq!(found.join(" "), ids, "{filter}");
    }
}
