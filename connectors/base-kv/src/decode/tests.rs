//! Rows of every type and format, and values that are none.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int64Type, Schema};
use arrow::util::display::array_value_to_string;

use super::*;
use crate::key::KeyValue;
use crate::table_options::TableOptions;

const COLUMNS: [&str; 18] = [
    "id bigint",
    "a smallint",
    "b int",
    "c bigint",
    "d real",
    "e double precision",
    "f numeric(12,2)",
    "g numeric(60,3)",
    "h text",
    "i boolean",
    "j date",
    "k timestamp",
    "l timestamptz",
    "m bytea",
    "n time",
    "o json",
    "p uuid",
    "q numeric(5,2)[]",
];

fn definition() -> TableDefinition {
    let columns: Vec<String> = COLUMNS.iter().map(ToString::to_string).collect();
    TableDefinition::parse(TableName::new("cache", "public", "t"), "t:{id}", &columns).unwrap()
}

fn projection(definition: &TableDefinition, columns: &[usize]) -> Projection {
    let fields: Vec<_> = columns
        .iter()
        .map(|&index| definition.schema().field(index).clone())
        .collect();
    Projection::new(definition, columns, Arc::new(Schema::new(fields)))
}

fn field(text: &str) -> Option<Vec<u8>> {
    Some(text.as_bytes().to_vec())
}

#[test]
fn decodes_every_type_and_missing_fields() {
    let definition = definition();
    let all: Vec<usize> = (0..COLUMNS.len()).collect();
    let projection = projection(&definition, &all);
    let mut decoder = RowDecoder::new(definition.name(), &projection, 2);
    let texts = [
        "-1",
        "2",
        "3",
        "1.5",
        "2.5",
        "901.00",
        "-0.125",
        "x",
        "t",
        "2024-02-29",
        "2024-02-29 12:00:00.5",
        "2024-02-29 12:00:00+01",
        "raw",
        "12:00:00.5",
        "{\"a\": [1, null]}",
        "A0EEBC999C0B4EF8BB6D6BB9BD380A11",
        "[1, null, \"2.50\", 1e1]",
    ];
    let tuple = vec![KeyValue::Int(7)];
    decoder
        .push(b"t:7", &tuple, &texts.iter().map(|text| field(text)).collect())
        .unwrap();
    decoder.push(b"t:7", &tuple, &vec![None; 17]).unwrap();
    assert_eq!(decoder.rows(), 2);
    let batch = decoder.finish().unwrap();
    let shown: Vec<String> = batch
        .columns()
        .iter()
        .map(|column| array_value_to_string(column, 0).unwrap())
        .collect();
    assert_eq!(
        shown,
        [
            "7",
            "-1",
            "2",
            "3",
            "1.5",
            "2.5",
            "901.00",
            "-0.125",
            "x",
            "true",
            "2024-02-29",
            "2024-02-29T12:00:00.500",
            "2024-02-29T11:00:00Z",
            "726177",
            "12:00:00.500",
            "{\"a\": [1, null]}",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "[1.00, , 2.50, 10.00]"
        ]
    );
    assert!(batch.columns()[1..].iter().all(|column| column.is_null(1)));
    assert_eq!(decoder.finish().unwrap().num_rows(), 0);
}

#[test]
fn asks_for_projected_fields_only() {
    let definition = definition();
    assert!(projection(&definition, &[]).fields().is_empty());
    assert!(projection(&definition, &[0, 0]).fields().is_empty());
    let projection = projection(&definition, &[8, 0, 2, 8]);
    let named = |name: &str| Field::Named(name.to_owned());
    assert_eq!(projection.fields(), [named("h"), named("b")]);
    let mut decoder = RowDecoder::new(definition.name(), &projection, 1);
    decoder
        .push(b"t:1", &vec![KeyValue::Int(1)], &vec![field("x"), field("5")])
        .unwrap();
    let batch = decoder.finish().unwrap();
    assert_eq!(batch.column(1).as_primitive::<Int64Type>().value(0), 1);
    assert_eq!(batch.column(3).as_string_view().value(0), "x");
}

#[test]
fn an_undecodable_value_names_table_key_and_column() {
    let definition = definition();
    let projection = projection(&definition, &[2]);
    let mut decoder = RowDecoder::new(definition.name(), &projection, 1);
    let error = decoder
        .push(b"t:\x07", &vec![KeyValue::Int(1)], &vec![field("abc")])
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(
        error.message(),
        "value of column \"b\" of table cache.public.t at key \"t:\\u{7}\" cannot be read as integer"
    );
    assert_eq!(error.detail_text(), Some("The value \"abc\" is not an integer."));
}

fn options(toml: &str) -> TableDefinition {
    let options: TableOptions = toml::from_str(toml).unwrap();
    options.define(TableName::new("cache", "public", "t")).unwrap()
}

/// All columns of `values`, one row each, as text.
fn decoded(definition: &TableDefinition, values: &[FieldValues]) -> Result<Vec<String>> {
    let all: Vec<usize> = (0..definition.columns().len()).collect();
    let projection = projection(definition, &all);
    let mut decoder = RowDecoder::new(definition.name(), &projection, values.len());
    for (row, values) in values.iter().enumerate() {
        let id = i64::try_from(row).unwrap();
        decoder.push(format!("t:{row}").as_bytes(), &vec![KeyValue::Int(id)], values)?;
    }
    let batch = decoder.finish()?;
    let cell = |column: &arrow::array::ArrayRef, row| match column.is_null(row) {
        true => "NULL".to_owned(),
        false => array_value_to_string(column, row).unwrap(),
    };
    let lines = (0..batch.num_rows()).map(|row| {
        let cells: Vec<String> = batch.columns().iter().map(|column| cell(column, row)).collect();
        cells.join("|")
    });
    Ok(lines.collect())
}

const DOCUMENTS: &str = r#"
    name = "t"
    key = "t:{id}"
    value = "json"
    columns = [
        "id bigint",
        "name text",
        { name = "city", type = "text", path = "$.address.city" },
        { name = "tag", type = "text", path = "$.tags[0]" },
        { name = "tags", type = "text[]" },
        { name = "all", type = "json", path = "$.address" },
        "amount numeric(30,6)",
        "big bigint",
        "day date",
        "flag boolean",
    ]
"#;

#[test]
fn places_in_json_are_columns() {
    let definition = options(DOCUMENTS);
    let rows = [
        r#"{"name":"Ann","address":{"city":"Bern"},"tags":["a","b"],"amount":123456789012345678901234.000001,
            "big":9223372036854775807,"day":"2024-02-29","flag":true}"#,
        r#"{"name":null,"address":{"city":{"zip": 1}},"tags":[],"amount":1e-6,"big":"-7","flag":null}"#,
        r#"{"name":[1, 2],"address":"x","tags":null,"amount":"0.50"}"#,
        r#"[1]"#,
        r#"null"#,
        r#"{"name":"say \"hi\"\u000a","tags":[[1],null,{}]}"#,
    ];
    let values: Vec<FieldValues> = rows.iter().map(|row| vec![field(row)]).collect();
    assert_eq!(
        decoded(&definition, &values).unwrap(),
        [
            "0|Ann|Bern|a|[a, b]|{\"city\":\"Bern\"}|123456789012345678901234.000001|9223372036854775807|2024-02-29|true",
            "1|NULL|{\"zip\": 1}|NULL|[]|{\"city\":{\"zip\": 1}}|0.000001|-7|NULL|NULL",
            "2|[1, 2]|NULL|NULL|NULL|\"x\"|0.500000|NULL|NULL|NULL",
            "3|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL",
            "4|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL",
            "5|say \"hi\"\n|NULL|[1]|[[1], , {}]|NULL|NULL|NULL|NULL|NULL",
        ]
    );
}

#[test]
fn json_that_does_not_decode_is_named_or_null() {
    let definition = options(DOCUMENTS);
    for (document, problem) in [
        (
            "{",
            "value of column \"name\" of table cache.public.t at key \"t:0\" cannot be read as text",
        ),
        (
            r#"{"big":1.5}"#,
            "value of column \"big\" of table cache.public.t at key \"t:0\" cannot be read as bigint",
        ),
        (
            r#"{"big":{}}"#,
            "value of column \"big\" of table cache.public.t at key \"t:0\" cannot be read as bigint",
        ),
        (
            r#"{"tags":{}}"#,
            "value of column \"tags\" of table cache.public.t at key \"t:0\" cannot be read as text[]",
        ),
        (
            r#"{"day":"2023-02-29"}"#,
            "value of column \"day\" of table cache.public.t at key \"t:0\" cannot be read as date",
        ),
    ] {
        let error = decoded(&definition, &[vec![field(document)]]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert_eq!(error.message(), problem);
    }
    let error = decoded(&definition, &[vec![field(r#"{"big":1.5}"#)]]).unwrap_err();
    assert_eq!(error.detail_text(), Some("The value \"1.5\" is not an integer."));
    let lenient = options(&format!("{DOCUMENTS}\ninvalid = \"null\""));
    let rows = ["{", r#"{"name":"a","big":1.5,"flag":"maybe"}"#, r#"{"big":1}"#];
    let values: Vec<FieldValues> = rows.iter().map(|row| vec![field(row)]).collect();
    assert_eq!(
        decoded(&lenient, &values).unwrap(),
        [
            "0|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL",
            "1|a|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL",
            "2|NULL|NULL|NULL|NULL|NULL|NULL|1|NULL|NULL",
        ]
    );
}

#[test]
fn an_array_with_a_broken_element_is_null_as_a_whole() {
    let definition = options(
        "name = \"t\"\nkey = \"t:{id}\"\ninvalid = \"null\"\ncolumns = [\"id bigint\", \"n integer[]\"]",
    );
    let values = ["[1, 2]", "[3, \"x\", 4]", "[5]", "6"];
    let values: Vec<FieldValues> = values.iter().map(|value| vec![field(value)]).collect();
    assert_eq!(
        decoded(&definition, &values).unwrap(),
        ["0|[1, 2]", "1|NULL", "2|[5]", "3|NULL"]
    );
}

#[test]
fn a_string_and_its_hidden_columns() {
    let definition = options(
        "name = \"t\"\nkey = \"t:{id}\"\nvalue = \"string\"\nhidden = [\"_key\", \"_value\", \"_ttl\"]\n\
         columns = [\"id bigint\", \"hits integer\"]",
    );
    let all: Vec<usize> = (0..5).collect();
    assert_eq!(projection(&definition, &all).fields(), [Field::Value, Field::Ttl]);
    let values = [vec![field("7"), None], vec![field("-1"), field("60")]];
    assert_eq!(
        decoded(&definition, &values).unwrap(),
        ["0|7|t:0|37|NULL", "1|-1|t:1|2d31|60"]
    );
    let nullable: Vec<bool> = definition
        .schema()
        .fields()
        .iter()
        .map(|field| field.is_nullable())
        .collect();
    assert_eq!(nullable, [false, true, false, true, true]);
}

#[test]
fn a_column_may_have_another_name_than_its_field() {
    let definition = options(
        "name = \"t\"\nkey = \"t:{id}\"\n\
         columns = [\"id bigint\", { name = \"a\", type = \"text\", field = \"x\" }, { name = \"b\", type = \"int\", field = \"x\" }]",
    );
    assert_eq!(
        projection(&definition, &[1, 2]).fields(),
        [Field::Named("x".to_owned())]
    );
    assert_eq!(decoded(&definition, &[vec![field("5")]]).unwrap(), ["0|5|5"]);
}
