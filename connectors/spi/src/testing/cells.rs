//! Values as the texts that a source's test writes them by.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};

const OPTIONS: FormatOptions<'static> = FormatOptions::new()
    .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.6f"))
    .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.6f%:z"))
    .with_time_format(Some("%H:%M:%S%.6f"))
    .with_date_format(Some("%Y-%m-%d"));

/// The texts of one column.
pub(crate) struct Cells<'a> {
    array: &'a ArrayRef,
    /// `None` for arrays and composites, which are printed as JSON.
    formatter: Option<ArrayFormatter<'a>>,
}

impl<'a> Cells<'a> {
    pub(crate) fn new(array: &'a ArrayRef) -> Self {
        let formatter = (!array.data_type().is_nested())
            .then(|| ArrayFormatter::try_new(array, &OPTIONS).expect("canonical types can be formatted"));
        Self { array, formatter }
    }

    /// The text of one row; `None` for NULL.
    pub(crate) fn text(&self, row: usize) -> Option<String> {
        if self.array.is_null(row) {
            return None;
        }
        Some(match &self.formatter {
            Some(formatter) => formatter.value(row).to_string(),
            None => json(self.array, row),
        })
    }
}

/// One value as JSON: numbers and truth values bare, everything else that is no array or composite in quotes.
fn json(array: &ArrayRef, row: usize) -> String {
    if array.is_null(row) {
        return "null".to_owned();
    }
    match array.data_type() {
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            let items: Vec<String> = (0..items.len()).map(|item| json(&items, item)).collect();
            format!("[{}]", items.join(","))
        }
        DataType::Struct(fields) => {
            let columns = fields.iter().zip(array.as_struct().columns());
            let members: Vec<String> = columns
                .map(|(field, column)| format!("{}:{}", quoted(field.name()), json(column, row)))
                .collect();
            format!("{{{}}}", members.join(","))
        }
        data_type => {
            let text = Cells::new(array).text(row).unwrap_or_default();
            if data_type.is_numeric() || *data_type == DataType::Boolean {
                text
            } else {
                quoted(&text)
            }
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
