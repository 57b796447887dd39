use arrow::util::display::array_value_to_string;

use super::*;

/// What `text` is as `data_type`, or that it is nothing.
fn read(text: &str, data_type: &DataType, reading: Reading) -> Option<String> {
    let texts: ArrayRef = Arc::new(StringViewArray::from(vec![text]));
    let array = typed(&texts, data_type, reading).ok()?;
    assert_eq!(array.data_type(), data_type);
    Some(array_value_to_string(&array, 0).unwrap())
}

fn both(data_type: &DataType, cases: &[(&str, Option<&str>, Option<&str>)]) {
    for (text, declared, inferred) in cases {
        let found = read(text, data_type, Reading::Declared);
        assert_eq!(found.as_deref(), *declared, "{text} declared {data_type}");
        let found = read(text, data_type, Reading::Inferred);
        assert_eq!(found.as_deref(), *inferred, "{text} inferred {data_type}");
    }
}

#[test]
fn integers_are_whole_and_within_their_type() {
    both(
        &DataType::Int64,
        &[
            ("7", Some("7"), Some("7")),
            (
                "-9223372036854775808",
                Some("-9223372036854775808"),
                Some("-9223372036854775808"),
            ),
            ("007", Some("7"), None),
            ("+7", Some("7"), None),
            (" 7 ", Some("7"), None),
            ("-0", Some("0"), None),
            ("9223372036854775808", None, None),
            ("7.0", None, None),
            ("7e0", None, None),
            ("0x7", None, None),
            ("", None, None),
        ],
    );
    both(
        &DataType::Int16,
        &[("32767", Some("32767"), Some("32767")), ("32768", None, None)],
    );
}

#[test]
fn numerics_lose_no_digit() {
    both(
        &DataType::Decimal128(5, 2),
        &[
            ("1.5", Some("1.50"), Some("1.50")),
            ("-0.05", Some("-0.05"), Some("-0.05")),
            ("999.99", Some("999.99"), Some("999.99")),
            ("1000", None, None),
            ("1.239", None, None),
            ("1.230", Some("1.23"), Some("1.23")),
            ("007", Some("7.00"), None),
            (".5", Some("0.50"), None),
            ("5.", Some("5.00"), None),
            ("1e2", Some("100.00"), None),
            ("15E-1", Some("1.50"), None),
            ("1e9999999999", None, None),
            ("1e2000000000", None, None),
            ("0e2000000000", Some("0.00"), None),
            ("0", Some("0.00"), Some("0.00")),
            ("0.000", Some("0.00"), Some("0.00")),
            ("1,5", None, None),
            ("NaN", None, None),
            ("-", None, None),
            ("--1", None, None),
        ],
    );
    let wide = "1234567890123456789012345678901234567890.12";
    both(&DataType::Decimal256(50, 2), &[(wide, Some(wide), Some(wide))]);
}

#[test]
fn doubles_are_finite_unless_they_say_otherwise() {
    both(
        &DataType::Float64,
        &[
            ("0.1", Some("0.1"), Some("0.1")),
            ("1e300", Some("1e300"), Some("1e300")),
            ("1e999", None, None),
            ("NaN", Some("NaN"), None),
            ("-Infinity", Some("-inf"), None),
            (
                "9007199254740992",
                Some("9007199254740992.0"),
                Some("9007199254740992.0"),
            ),
            ("9007199254740993", Some("9007199254740992.0"), None),
            (
                "0.12345678901234566",
                Some("0.12345678901234566"),
                Some("0.12345678901234566"),
            ),
            ("0.123456789012345678", Some("0.12345678901234568"), None),
            ("007", Some("7.0"), None),
            ("1,5", None, None),
        ],
    );
}

#[test]
fn booleans_have_postgres_spellings_where_they_are_declared() {
    both(
        &DataType::Boolean,
        &[
            ("true", Some("true"), Some("true")),
            ("FALSE", Some("false"), Some("false")),
            ("1", Some("true"), None),
            ("off", Some("false"), None),
            ("2", None, None),
        ],
    );
}

#[test]
fn dates_and_times_are_written_in_one_way() {
    both(
        &DataType::Date32,
        &[
            ("2024-02-29", Some("2024-02-29"), Some("2024-02-29")),
            ("2023-02-29", None, None),
            ("2024-2-29", None, None),
            ("0000-01-01", None, None),
            ("20240229", None, None),
            ("2024-02-29T00:00:00", None, None),
            ("29.02.2024", None, None),
        ],
    );
    let timestamp = DataType::Timestamp(TimeUnit::Microsecond, None);
    both(
        &timestamp,
        &[
            (
                "2024-02-29 13:14:15.5",
                Some("2024-02-29T13:14:15.500"),
                Some("2024-02-29T13:14:15.500"),
            ),
            (
                "2024-02-29T13:14",
                Some("2024-02-29T13:14:00"),
                Some("2024-02-29T13:14:00"),
            ),
            (
                "0001-01-01 00:00:00",
                Some("0001-01-01T00:00:00"),
                Some("0001-01-01T00:00:00"),
            ),
            ("2024-02-29", Some("2024-02-29T00:00:00"), None),
            (
                "2024-02-29 13:14:15.1234567",
                Some("2024-02-29T13:14:15.123456"),
                None,
            ),
            ("2024-02-29 24:00:00", None, None),
            ("2024-02-29 13:14:15Z", None, None),
            ("2024-02-29 13:14:15.", None, None),
            ("2024-02-29 1:14:15", None, None),
        ],
    );
    let moment = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    both(
        &moment,
        &[
            (
                "2024-02-29T13:14:15Z",
                Some("2024-02-29T13:14:15Z"),
                Some("2024-02-29T13:14:15Z"),
            ),
            (
                "2024-02-29 13:14:15+02:00",
                Some("2024-02-29T11:14:15Z"),
                Some("2024-02-29T11:14:15Z"),
            ),
            (
                "2024-02-29 13:14:15 -0530",
                Some("2024-02-29T18:44:15Z"),
                Some("2024-02-29T18:44:15Z"),
            ),
            (
                "2024-02-29 13:14:15+02",
                Some("2024-02-29T11:14:15Z"),
                Some("2024-02-29T11:14:15Z"),
            ),
            ("2024-02-29 13:14:15", None, None),
            ("2024-02-29 13:14:15+99", None, None),
            ("2024-02-29 13:14:15+1:00", None, None),
            ("2024-02-29 13:14:15 CET", None, None),
        ],
    );
}

#[test]
fn a_misfit_in_a_list_of_composites_is_found_again() {
    let tags = Field::new(
        "tags",
        DataType::List(Field::new("item", DataType::Int64, true).into()),
        true,
    );
    let wanted = DataType::Struct(vec![tags].into());
    let shape = text_shape(&wanted);
    let DataType::Struct(fields) = &shape else {
        panic!("{shape}")
    };
    let mut decoder =
        arrow::json::ReaderBuilder::new(Arc::new(arrow::datatypes::Schema::new(fields.clone())))
            .with_coerce_primitive(true)
            .build_decoder()
            .unwrap();
    let lines = b"{\"tags\":[1,2]}\n{}\n{\"tags\":[]}\n{\"tags\":[3,\"x\"]}\n";
    assert_eq!(decoder.decode(lines).unwrap(), lines.len());
    let rows: StructArray = decoder.flush().unwrap().unwrap().into();
    let rows: ArrayRef = Arc::new(rows);
    let misfit = typed(&rows, &wanted, Reading::Declared).unwrap_err();
    assert_eq!(
        (misfit.row, misfit.path.as_str(), misfit.value.as_str()),
        (3, ".tags[]", "x")
    );
}
