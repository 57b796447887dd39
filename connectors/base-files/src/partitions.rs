//! Partition columns: the `key=value` folders between a table's folder and its files.
//!
//! A column is an integer only if every value is written as an integer writes itself: with `007` among them the
//! column is text, because `7` would not find the folder again.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringViewArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use causeway_spi::{ConnectorError, ErrorKind, Result, TableName};
use datafusion::common::ScalarValue;
use object_store::ObjectMeta;
use object_store::path::Path;
use percent_encoding::percent_decode_str;

use crate::layout::TableRoot;
use crate::listing::parts_below;
use crate::typed::{Reading, typed};

/// The value Hive writes for NULL.
const NULL_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// One `key=value` folder, decoded; no value is NULL.
type Pair = (String, Option<String>);

/// Infers the partition columns of a table from its files and gives the values of each file.
///
/// Errors: `InvalidData` when the files do not all lie below the same keys.
pub(crate) fn infer(
    table: &TableName,
    root: &TableRoot,
    files: &[ObjectMeta],
) -> Result<(Vec<FieldRef>, Vec<Vec<ScalarValue>>)> {
    let pairs = read_folders(table, root, files)?;
    let Some(first) = pairs.first() else {
        return Ok((Vec::new(), Vec::new()));
    };
    let columns: Vec<FieldRef> = first
        .iter()
        .enumerate()
        .map(|(index, (key, _))| {
            let data_type = column_type(pairs.iter().filter_map(|file| file[index].1.as_deref()));
            Field::new(key, data_type, true).into()
        })
        .collect();
    let values = typed_values(table, &columns, pairs)?;
    Ok((columns, values))
}

/// The values of each file for columns that are already known.
///
/// Errors: `Changed` when a folder was added that does not fit them.
pub(crate) fn values(
    table: &TableName,
    root: &TableRoot,
    columns: &[FieldRef],
    files: &[ObjectMeta],
) -> Result<Vec<Vec<ScalarValue>>> {
    typed_values(table, columns, read_folders(table, root, files)?)
}

/// The values of each file for columns that were declared.
///
/// Errors: `InvalidData` when a file does not lie below folders of exactly these keys, or a value is not of its type.
pub(crate) fn declared_values(
    table: &TableName,
    root: &TableRoot,
    columns: &[FieldRef],
    files: &[ObjectMeta],
) -> Result<Vec<Vec<ScalarValue>>> {
    let pairs = read_folders(table, root, files)?;
    for (file, pairs) in files.iter().zip(&pairs) {
        let names = columns.iter().map(|column| column.name().as_str());
        if !names.clone().eq(pairs.iter().map(key)) {
            let message = format!(
                "file {} does not lie in folders of the partition columns of table {table}",
                file.location
            );
            let names: Vec<&str> = names.collect();
            return Err(ConnectorError::new(ErrorKind::InvalidData, message)
                .detail(format!("They are declared as {}.", names.join(", "))));
        }
    }
    let mut values: Vec<Vec<ScalarValue>> = vec![Vec::with_capacity(columns.len()); files.len()];
    for (index, column) in columns.iter().enumerate() {
        let texts = pairs.iter().map(|pairs| pairs[index].1.as_deref());
        let texts: ArrayRef = Arc::new(texts.collect::<StringViewArray>());
        let array = typed(&texts, column.data_type(), Reading::Declared).map_err(|misfit| {
            let location = files.get(misfit.row).map(|file| file.location.to_string());
            let place = format!("the folders of file {}", location.unwrap_or_default());
            misfit.error(column.name(), &place, Reading::Declared)
        })?;
        for (row, of_file) in values.iter_mut().enumerate() {
            let value = ScalarValue::try_from_array(&array, row).map_err(|error| {
                let message = format!("a partition value of table {table} has no scalar form");
                ConnectorError::new(ErrorKind::Internal, message).source(error)
            })?;
            of_file.push(value);
        }
    }
    Ok(values)
}

fn read_folders(table: &TableName, root: &TableRoot, files: &[ObjectMeta]) -> Result<Vec<Vec<Pair>>> {
    let mut pairs: Vec<Vec<Pair>> = Vec::with_capacity(files.len());
    for file in files {
        let of_file = pairs_of(table, root, &file.location)?;
        if let Some(first) = pairs.first()
            && !first.iter().map(key).eq(of_file.iter().map(key))
        {
            return Err(different_keys(
                table,
                &files[0].location,
                first,
                &file.location,
                &of_file,
            ));
        }
        pairs.push(of_file);
    }
    Ok(pairs)
}

fn key(pair: &Pair) -> &str {
    &pair.0
}

fn different_keys(
    table: &TableName,
    first: &Path,
    first_keys: &[Pair],
    other: &Path,
    other_keys: &[Pair],
) -> ConnectorError {
    let names = |pairs: &[Pair]| match pairs {
        [] => "no partition folder".to_owned(),
        pairs => pairs.iter().map(key).collect::<Vec<_>>().join(", "),
    };
    ConnectorError::new(
        ErrorKind::InvalidData,
        format!("files of table {table} have different partition columns"),
    )
    .detail(format!(
        "File {first} has {}, file {other} has {}.",
        names(first_keys),
        names(other_keys)
    ))
}

fn pairs_of(table: &TableName, root: &TableRoot, location: &Path) -> Result<Vec<Pair>> {
    let parts = parts_below(root.path(), location);
    let folders = parts.split_last().map_or(&[][..], |(_, folders)| folders);
    let mut pairs: Vec<Pair> = Vec::with_capacity(folders.len());
    for part in folders {
        let Some((key, value)) = part.split_once('=') else {
            if !root.has_only_partitions() {
                continue;
            }
            let message =
                format!("table {table} holds the folder \"{part}\", which is not a key=value partition");
            return Err(ConnectorError::new(ErrorKind::InvalidData, message)
                .detail(format!("File {location} lies in it."))
                .hint("Move the folder out of the table, or make it a table of its own."));
        };
        let key = decoded(table, location, key)?;
        if pairs.iter().any(|(known, _)| *known == key) {
            let message =
                format!("file {location} of table {table} has the partition column \"{key}\" twice");
            return Err(ConnectorError::new(ErrorKind::InvalidData, message));
        }
        let value = match value {
            NULL_VALUE => None,
            value => Some(decoded(table, location, value)?),
        };
        pairs.push((key, value));
    }
    Ok(pairs)
}

fn decoded(table: &TableName, location: &Path, text: &str) -> Result<String> {
    let decoded = percent_decode_str(text).decode_utf8().map_err(|error| {
        let message = format!("a folder of file {location} of table {table} is not percent-encoded UTF-8");
        ConnectorError::new(ErrorKind::InvalidData, message).source(error)
    })?;
    Ok(decoded.into_owned())
}

/// Int64 if there is a value and every value is a canonical one, else text.
fn column_type<'a>(values: impl Iterator<Item = &'a str>) -> DataType {
    let mut any = false;
    for value in values {
        if canonical_integer(value).is_none() {
            return DataType::Utf8View;
        }
        any = true;
    }
    if any { DataType::Int64 } else { DataType::Utf8View }
}

/// The integer that writes itself exactly as `text`.
fn canonical_integer(text: &str) -> Option<i64> {
    let value: i64 = text.parse().ok()?;
    (value.to_string() == text).then_some(value)
}

fn typed_values(
    table: &TableName,
    columns: &[FieldRef],
    pairs: Vec<Vec<Pair>>,
) -> Result<Vec<Vec<ScalarValue>>> {
    let mut values = Vec::with_capacity(pairs.len());
    for file in pairs {
        if !file
            .iter()
            .map(key)
            .eq(columns.iter().map(|column| column.name().as_str()))
        {
            return Err(layout_changed(table));
        }
        let typed = file.into_iter().zip(columns).map(|((_, value), column)| {
            typed_value(column.data_type(), value).ok_or_else(|| layout_changed(table))
        });
        values.push(typed.collect::<Result<Vec<_>>>()?);
    }
    Ok(values)
}

fn typed_value(data_type: &DataType, value: Option<String>) -> Option<ScalarValue> {
    match (data_type, value) {
        (DataType::Int64, Some(text)) => Some(ScalarValue::Int64(Some(canonical_integer(&text)?))),
        (DataType::Int64, None) => Some(ScalarValue::Int64(None)),
        (_, value) => Some(ScalarValue::Utf8View(value)),
    }
}

fn layout_changed(table: &TableName) -> ConnectorError {
    ConnectorError::new(
        ErrorKind::Changed,
        format!("the partition folders of table {table} changed since it was planned"),
    )
    .hint("Run the query again.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(locations: &[&str]) -> Vec<ObjectMeta> {
        let file = |location: &&str| ObjectMeta {
            location: Path::parse(location).unwrap(),
            last_modified: chrono::DateTime::UNIX_EPOCH,
            size: 1,
            e_tag: None,
            version: None,
        };
        locations.iter().map(file).collect()
    }

    fn inferred(locations: &[&str]) -> Result<(Vec<FieldRef>, Vec<Vec<ScalarValue>>)> {
        let table = TableName::new("lake", "public", "t");
        infer(&table, &TableRoot::Folder(Path::from("t")), &files(locations))
    }

    fn types(locations: &[&str]) -> Vec<DataType> {
        let (columns, _) = inferred(locations).unwrap();
        columns.iter().map(|column| column.data_type().clone()).collect()
    }

    #[test]
    fn only_canonical_integers_are_integers() {
        assert_eq!(types(&["t/y=2023/a", "t/y=-1/a", "t/y=0/a"]), [DataType::Int64]);
        for odd in ["007", "-0", "+1", "1.0", " 1", "9223372036854775808", "", "0x1"] {
            let odd = format!("t/y={odd}/a");
            assert_eq!(types(&["t/y=2023/a", &odd]), [DataType::Utf8View], "{odd}");
        }
    }

    #[test]
    fn the_default_partition_is_null_and_has_no_type() {
        let (columns, values) = inferred(&["t/y=1/a", "t/y=__HIVE_DEFAULT_PARTITION__/a"]).unwrap();
        assert_eq!(columns[0].data_type(), &DataType::Int64);
        assert_eq!(
            values,
            [[ScalarValue::Int64(Some(1))], [ScalarValue::Int64(None)]]
        );
        assert_eq!(types(&["t/y=__HIVE_DEFAULT_PARTITION__/a"]), [DataType::Utf8View]);
    }

    #[test]
    fn keys_and_values_are_percent_decoded() {
        let (columns, values) = inferred(&["t/my%20city=S%C3%A3o%2FPaulo%3D/a"]).unwrap();
        assert_eq!(columns[0].name(), "my city");
        assert_eq!(values[0][0], ScalarValue::Utf8View(Some("São/Paulo=".into())));
    }

    #[test]
    fn keys_must_agree_and_folders_must_be_keys() {
        let error = inferred(&["t/y=1/m=2/a", "t/y=1/a"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert_eq!(
            error.detail_text(),
            Some("File t/y=1/m=2/a has y, m, file t/y=1/a has y.")
        );
        let error = inferred(&["t/old/a"]).unwrap_err();
        assert_eq!(
            error.message(),
            "table lake.public.t holds the folder \"old\", which is not a key=value partition"
        );
    }

    #[test]
    fn a_value_that_no_longer_fits_is_a_change() {
        let table = TableName::new("lake", "public", "t");
        let folder = TableRoot::Folder(Path::from("t"));
        let (columns, _) = infer(&table, &folder, &files(&["t/y=1/a"])).unwrap();
        let error = values(&table, &folder, &columns, &files(&["t/y=1/a", "t/y=x/a"])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Changed);
    }
}
