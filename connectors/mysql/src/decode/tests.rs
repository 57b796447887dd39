//! Values of the wire as Arrow values, and those that must be refused.

use arrow::array::Array;
use arrow::datatypes::{Field, Schema};
use arrow::util::display::array_value_to_string;
use causeway_base_sql::ColumnKind;

use super::*;

#[test]
fn days_and_dates_are_inverse() {
    let first = days(1, 1, 1).unwrap();
    let last = days(9999, 12, 31).unwrap();
    assert_eq!((first, last), (-719_162, 2_932_896));
    assert_eq!(days(1970, 1, 1), Some(0));
    for day in (first..=last).step_by(97).chain([last]) {
        let (year, month, date) = civil_from_days(day).unwrap();
        assert_eq!(days(year, month, date), Some(day));
    }
    assert_eq!(civil_from_days(first - 1), None);
    assert_eq!(civil_from_days(last + 1), None);
    assert_eq!(civil_from_days(i64::MAX), None);
}

#[test]
fn dates_that_do_not_exist_are_null() {
    for (year, month, day) in [
        (0, 0, 0),
        (2024, 0, 0),
        (2024, 5, 0),
        (2023, 2, 29),
        (2024, 2, 31),
        (0, 1, 1),
    ] {
        assert_eq!(days(year, month, day), None);
    }
    assert!(days(2024, 2, 29).is_some());
}

#[test]
fn a_day_with_a_time_is_no_day() {
    let mut batcher = batcher(DataType::Date32, "date", 10, 1000);
    let noon = Value::Date(2024, 2, 29, 12, 0, 0, 0);
    let error = batcher.push(vec![Some(noon)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(error.hint_text().unwrap().contains("run the query again"));
    assert!(
        batcher
            .push(vec![Some(Value::Date(2024, 2, 29, 0, 0, 0, 0))])
            .is_ok()
    );
}

#[test]
fn decimals_keep_every_digit() {
    let bytes = |text: &str| Value::Bytes(text.as_bytes().to_vec());
    assert_eq!(decimal128(&bytes("-0.05"), 2), Ok(Some(-5)));
    assert_eq!(decimal128(&bytes("12.5"), 2), Ok(Some(1250)));
    assert_eq!(decimal128(&bytes("7"), 0), Ok(Some(7)));
    assert_eq!(
        decimal128(&Value::UInt(u64::MAX), 0),
        Ok(Some(i128::from(u64::MAX)))
    );
    assert_eq!(decimal128(&Value::Int(-1), 2), Ok(Some(-100)));
    assert_eq!(decimal128(&Value::Int(i64::MAX), 20), Err(NOT_A_DECIMAL));
    assert_eq!(
        decimal256(&Value::Int(-7), 40),
        Ok(Some(-i256::from_string(&format!("7{}", "0".repeat(40))).unwrap()))
    );
    assert_eq!(decimal128(&Value::Double(1.0), 2), Err(OTHER_TYPE));
    for wrong in ["", "-", ".", "-.", "--1", "1-", "1.234", "1e5", "1.2.3", " 1"] {
        assert_eq!(decimal128(&bytes(wrong), 2), Err(NOT_A_DECIMAL), "{wrong}");
        assert_eq!(decimal128(&bytes(wrong), 30).is_ok(), wrong == "1.234", "{wrong}");
    }
    for (short, long) in [("-.5", "-0.50"), ("5.", "5.00"), ("-0", "0"), ("007", "7")] {
        assert_eq!(
            decimal128(&bytes(short), 2),
            decimal128(&bytes(long), 2),
            "{short}"
        );
        assert_eq!(
            decimal128(&bytes(short), 30),
            decimal128(&bytes(long), 30),
            "{short}"
        );
    }
    // Around the length at which the arithmetic changes.
    for digits in 15..=38 {
        let text = "9".repeat(digits);
        let number: i128 = text.parse().unwrap();
        assert_eq!(decimal128(&bytes(&text), 0), Ok(Some(number)));
        assert_eq!(
            decimal128(&bytes(&format!("-0.{text}")), digits),
            Ok(Some(-number))
        );
        assert_eq!(
            decimal128(&bytes("7"), digits - 1),
            Ok(Some(7 * 10_i128.pow(u32::try_from(digits).unwrap() - 1)))
        );
    }
    let long = "9".repeat(65);
    assert_eq!(decimal128(&bytes(&long), 0), Err(NOT_A_DECIMAL));
    assert_eq!(decimal256(&bytes(&long), 0), Ok(i256::from_string(&long)));
}

#[test]
fn times_are_text_of_any_length() {
    let shown = |value, native| text_of(value, native);
    assert_eq!(shown(Value::Time(true, 34, 22, 59, 59, 0), "time"), "-838:59:59");
    assert_eq!(
        shown(Value::Time(false, 0, 1, 2, 3, 450_000), "time(3)"),
        "01:02:03.450"
    );
    assert_eq!(
        shown(Value::Time(false, 0, 0, 0, 0, 0), "time(6)"),
        "00:00:00.000000"
    );
}

#[test]
fn bad_values_name_table_and_column() {
    let mut batcher = batcher(DataType::Utf8View, "varchar(9)", 10, 1000);
    let error = batcher
        .push(vec![Some(Value::Bytes(vec![0xff, 0xfe]))])
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(
        error.message(),
        "a value of column \"c\" of table shop.db.t cannot be read"
    );
    assert!(batcher.push(vec![]).is_err());
}

#[test]
fn batches_are_bounded_in_rows_and_bytes() {
    let mut by_rows = batcher(DataType::Int32, "int", 2, 1 << 20);
    assert!(by_rows.push(vec![Some(Value::Int(1))]).unwrap().is_none());
    assert_eq!(
        by_rows.push(vec![Some(Value::NULL)]).unwrap().unwrap().num_rows(),
        2
    );
    assert!(by_rows.finish().unwrap().is_none());
    let mut by_bytes = batcher(DataType::BinaryView, "blob", 100, 64);
    assert!(
        by_bytes
            .push(vec![Some(Value::Bytes(vec![0; 100]))])
            .unwrap()
            .is_some()
    );
}

#[test]
fn an_empty_projection_counts_rows() {
    let table = TableName::new("shop", "db", "t");
    let mut batcher = Batcher::new(table, Arc::new(Schema::empty()), &[], 3, 100).unwrap();
    for _ in 0..2 {
        assert!(batcher.push(vec![Some(Value::Int(1))]).unwrap().is_none());
    }
    assert_eq!(batcher.finish().unwrap().unwrap().num_rows(), 2);
}

fn text_of(value: Value, native_type: &str) -> String {
    let mut batcher = batcher(DataType::Utf8View, native_type, 1, 1000);
    let batch = batcher.push(vec![Some(value)]).unwrap().unwrap();
    assert_eq!(batch.column(0).null_count(), 0);
    array_value_to_string(batch.column(0), 0).unwrap()
}

fn batcher(data_type: DataType, native_type: &str, rows_max: usize, bytes_max: usize) -> Batcher {
    let profile = ColumnProfile {
        name: "c".to_owned(),
        native_type: native_type.to_owned(),
        kind: ColumnKind::Opaque,
        nullable: true,
        sorted_whole: true,
    };
    let schema = Arc::new(Schema::new(vec![Field::new("c", data_type, true)]));
    Batcher::new(
        TableName::new("shop", "db", "t"),
        schema,
        &[profile],
        rows_max,
        bytes_max,
    )
    .unwrap()
}
