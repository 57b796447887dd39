//! CSV records out of a stream of bytes: fields as texts, with the line that each record begins in.
//!
//! `csv-core` finds the fields; what it is silent about is an error here: another number of fields, a quoted field
//! without an end, text that is not UTF-8.

use arrow::array::{ArrayRef, StringViewBuilder};
use causeway_spi::{ConnectorError, ErrorKind, Result};
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use object_store::path::Path;
use std::sync::Arc;

use crate::typed::shown;

/// The longest record.
const RECORD_BYTES_MAX: usize = 16 << 20;
/// The most fields of a record.
const FIELDS_MAX: usize = 10_000;

/// How the CSV files of a table are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CsvStyle {
    /// Whether the first record names the columns.
    pub(crate) header: bool,
    pub(crate) delimiter: u8,
    /// The quote around fields, doubled inside of them; without one, quotes are like any other character.
    pub(crate) quote: Option<u8>,
    /// The text that stands for NULL, quoted or not.
    pub(crate) null: String,
}

impl Default for CsvStyle {
    fn default() -> Self {
        Self {
            header: true,
            delimiter: b',',
            quote: Some(b'"'),
            null: String::new(),
        }
    }
}

/// Takes the records of one file out of its bytes.
pub(crate) struct CsvRecords {
    reader: Box<Reader>,
    location: Path,
    line: u64,
    /// The record under way: its bytes, the ends of its fields, and how much of both is filled.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    filled: usize,
    ended: usize,
    first_line: u64,
    under_way: bool,
}

/// One record.
pub(crate) struct CsvRecord<'a> {
    /// The line it begins in, from 1.
    pub(crate) line: u64,
    location: &'a Path,
    bytes: &'a [u8],
    ends: &'a [usize],
}

impl CsvRecords {
    /// The records of the file at `location`.
    pub(crate) fn new(style: &CsvStyle, location: &Path) -> Self {
        let mut builder = ReaderBuilder::new();
        builder.delimiter(style.delimiter);
        match style.quote {
            Some(quote) => builder.quote(quote),
            None => builder.quoting(false),
        };
        Self {
            reader: Box::new(builder.build()),
            location: location.clone(),
            line: 1,
            bytes: vec![0; 1024],
            ends: vec![0; 64],
            filled: 0,
            ended: 0,
            first_line: 1,
            under_way: false,
        }
    }

    /// The next record; takes what it needs from the front of `input`. `None` when that holds no end of a record.
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Result<Option<CsvRecord<'_>>> {
        if !self.under_way {
            self.skip_empty_lines(input);
        }
        while !input.is_empty() {
            let (result, taken, written, ended) = self.reader.read_record(
                input,
                &mut self.bytes[self.filled..],
                &mut self.ends[self.ended..],
            );
            let newlines = input[..taken].iter().filter(|byte| **byte == b'\n').count();
            self.line += u64::try_from(newlines).unwrap_or(0);
            *input = &input[taken..];
            self.filled += written;
            self.ended += ended;
            self.under_way = true;
            match result {
                ReadRecordResult::Record => return Ok(Some(self.finished())),
                ReadRecordResult::OutputFull => self.grow_bytes()?,
                ReadRecordResult::OutputEndsFull => self.grow_ends()?,
                ReadRecordResult::InputEmpty | ReadRecordResult::End => {}
            }
        }
        Ok(None)
    }

    /// The last record, if the file does not end in a line break. Errors: a quoted field that never ends.
    pub(crate) fn last(&mut self) -> Result<Option<CsvRecord<'_>>> {
        if !self.under_way {
            return Ok(None);
        }
        let first_line = self.first_line;
        // A line break ends every record but one with an open quote.
        let mut line_break: &[u8] = b"\n";
        if self.next(&mut line_break)?.is_none() {
            let message = format!(
                "a quoted field in line {first_line} of file {} has no end",
                self.location
            );
            return Err(ConnectorError::new(ErrorKind::InvalidData, message));
        }
        let (filled, ended) = (self.filled, self.ended);
        Ok(Some(self.record(filled, ended)))
    }

    fn finished(&mut self) -> CsvRecord<'_> {
        self.under_way = false;
        let (filled, ended) = (self.filled, self.ended);
        self.record(filled, ended)
    }

    fn record(&self, filled: usize, ended: usize) -> CsvRecord<'_> {
        CsvRecord {
            line: self.first_line,
            location: &self.location,
            bytes: &self.bytes[..filled],
            ends: &self.ends[..ended],
        }
    }

    /// Empty lines are no records; skipped here, so that a record's line is where its first field is.
    fn skip_empty_lines(&mut self, input: &mut &[u8]) {
        while let Some((byte @ (b'\n' | b'\r'), rest)) = input.split_first() {
            self.line += u64::from(*byte == b'\n');
            *input = rest;
        }
        self.first_line = self.line;
        self.filled = 0;
        self.ended = 0;
    }

    fn grow_bytes(&mut self) -> Result<()> {
        if self.bytes.len() >= RECORD_BYTES_MAX {
            return Err(self.too_large(&format!("is longer than {} MiB", RECORD_BYTES_MAX >> 20)));
        }
        self.bytes.resize(self.bytes.len() * 4, 0);
        Ok(())
    }

    fn grow_ends(&mut self) -> Result<()> {
        if self.ends.len() >= FIELDS_MAX {
            return Err(self.too_large(&format!("has more than {FIELDS_MAX} fields")));
        }
        self.ends.resize((self.ends.len() * 4).min(FIELDS_MAX), 0);
        Ok(())
    }

    fn too_large(&self, problem: &str) -> ConnectorError {
        let message = format!(
            "the record in line {} of file {} {problem}",
            self.first_line, self.location
        );
        ConnectorError::new(ErrorKind::InvalidData, message)
            .hint("Perhaps a quoted field has no end, or the delimiter is another one.")
    }
}

impl CsvRecord<'_> {
    /// The number of fields.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of a field; empty beyond the last one.
    fn bytes(&self, index: usize) -> &[u8] {
        let start = match index.checked_sub(1) {
            Some(before) => self.ends.get(before).copied().unwrap_or(self.bytes.len()),
            None => 0,
        };
        let end = self.ends.get(index).copied().unwrap_or(self.bytes.len());
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// A field as text; `column` names it in the error.
    pub(crate) fn text(&self, index: usize, column: &str) -> Result<&str> {
        std::str::from_utf8(self.bytes(index)).map_err(|error| {
            let message = format!(
                "column \"{column}\" in line {} of file {} is not UTF-8 text",
                self.line, self.location
            );
            ConnectorError::new(ErrorKind::InvalidData, message).source(error)
        })
    }

    /// All fields as column names. Errors: one is empty, or is there twice.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        let mut names: Vec<String> = Vec::with_capacity(self.len());
        for index in 0..self.len() {
            let number = index + 1;
            let name = self.text(index, &format!("{number}"))?;
            let problem = if name.is_empty() {
                format!("no name for column {number}")
            } else if names.iter().any(|known| known == name) {
                format!("the name \"{}\" twice", shown(name))
            } else {
                names.push(name.to_owned());
                continue;
            };
            let message = format!("the header of file {} has {problem}", self.location);
            return Err(ConnectorError::new(ErrorKind::InvalidData, message)
                .hint("Declare the table with header = false if its files have no header."));
        }
        Ok(names)
    }

    /// Refuses a record that has not `wanted` fields.
    pub(crate) fn check_len(&self, wanted: usize) -> Result<()> {
        if self.len() == wanted {
            return Ok(());
        }
        let message = format!(
            "line {} of file {} has {} fields instead of {wanted}",
            self.line,
            self.location,
            self.len()
        );
        Err(ConnectorError::new(ErrorKind::InvalidData, message))
    }
}

/// Where a column of a scan stands in the records of one file.
#[derive(Debug)]
pub(crate) struct CsvField {
    /// `None`: the file does not have it.
    pub(crate) position: Option<usize>,
    pub(crate) name: String,
}

/// The texts of some fields of many records, column by column.
pub(crate) struct CsvTexts {
    columns: Vec<StringViewBuilder>,
    pub(crate) lines: Vec<u64>,
    pub(crate) bytes: usize,
}

impl CsvTexts {
    /// No records yet, of `columns` columns.
    pub(crate) fn new(columns: usize) -> Self {
        Self {
            columns: (0..columns).map(|_| StringViewBuilder::new()).collect(),
            lines: Vec::new(),
            bytes: 0,
        }
    }

    /// Adds a record, whose `fields` are the columns.
    pub(crate) fn push(&mut self, record: &CsvRecord<'_>, fields: &[CsvField], null: &str) -> Result<()> {
        for (column, field) in self.columns.iter_mut().zip(fields) {
            let text = match field.position {
                Some(position) => Some(record.text(position, &field.name)?).filter(|text| *text != null),
                None => None,
            };
            column.append_option(text);
        }
        self.bytes += record.bytes.len();
        self.lines.push(record.line);
        Ok(())
    }

    /// The columns so far, and the lines of their rows; begins anew.
    pub(crate) fn take(&mut self) -> (Vec<ArrayRef>, Vec<u64>) {
        let columns = self.columns.iter_mut();
        let columns = columns.map(|column| Arc::new(column.finish()) as ArrayRef);
        self.bytes = 0;
        (columns.collect(), std::mem::take(&mut self.lines))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The records of `text` in chunks of `size` bytes: line, then fields.
    fn records(text: &str, style: &CsvStyle, size: usize) -> Result<Vec<(u64, Vec<String>)>> {
        let mut records = CsvRecords::new(style, &Path::from("t/a.csv"));
        let mut found = Vec::new();
        let owned = |record: &CsvRecord<'_>| {
            let fields = (0..record.len()).map(|index| record.text(index, "c").unwrap().to_owned());
            (record.line, fields.collect())
        };
        for mut chunk in text.as_bytes().chunks(size) {
            while let Some(record) = records.next(&mut chunk)? {
                found.push(owned(&record));
            }
        }
        if let Some(record) = records.last()? {
            found.push(owned(&record));
        }
        Ok(found)
    }

    fn all(text: &str, style: &CsvStyle) -> Vec<(u64, Vec<String>)> {
        let whole = records(text, style, usize::MAX).unwrap();
        for size in [1, 2, 3, 7] {
            assert_eq!(records(text, style, size).unwrap(), whole, "in chunks of {size}");
        }
        whole
    }

    fn row(line: u64, fields: &[&str]) -> (u64, Vec<String>) {
        (line, fields.iter().map(|field| (*field).to_owned()).collect())
    }

    #[test]
    fn records_know_the_line_they_begin_in() {
        let found = all("a,b\r\n1,\"x\ny\"\"z\"\r\n\r\n2,\n3,c", &CsvStyle::default());
        let expected = [
            row(1, &["a", "b"]),
            row(2, &["1", "x\ny\"z"]),
            row(5, &["2", ""]),
            row(6, &["3", "c"]),
        ];
        assert_eq!(found, expected);
        assert!(all("", &CsvStyle::default()).is_empty());
        assert!(all("\n\r\n", &CsvStyle::default()).is_empty());
    }

    #[test]
    fn delimiters_and_quotes_are_what_the_style_says() {
        let style = CsvStyle {
            delimiter: b'\t',
            quote: None,
            ..CsvStyle::default()
        };
        assert_eq!(all("\"a\t,b", &style), [row(1, &["\"a", ",b"])]);
        let style = CsvStyle {
            delimiter: b';',
            quote: Some(b'\''),
            ..CsvStyle::default()
        };
        assert_eq!(all("'a;b';5\" disk\n", &style), [row(1, &["a;b", "5\" disk"])]);
    }

    #[test]
    fn a_quote_without_an_end_is_an_error() {
        let error = records("a,b\n1,\"x\n2,y\n", &CsvStyle::default(), 4).unwrap_err();
        assert_eq!(
            error.message(),
            "a quoted field in line 2 of file t/a.csv has no end"
        );
        let fine = all("a,5\" disk", &CsvStyle::default());
        assert_eq!(fine, [row(1, &["a", "5\" disk"])]);
    }

    #[test]
    fn records_have_limits() {
        let long = "x".repeat(RECORD_BYTES_MAX + 2);
        let error = records(&long, &CsvStyle::default(), usize::MAX).unwrap_err();
        assert!(error.message().contains("longer than 16 MiB"), "{error}");
        let wide = ",".repeat(FIELDS_MAX);
        let error = records(&wide, &CsvStyle::default(), usize::MAX).unwrap_err();
        assert!(error.message().contains("more than 10000 fields"), "{error}");
    }
}
