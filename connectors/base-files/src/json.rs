//! JSON lines out of a stream of bytes: one object a line, its scalars as texts in the nesting of the columns.
//!
//! Arrow's decoder reads the objects; numbers stay as they are written. It tells no line, so after an error the lines
//! of the batch are read once more, one by one, to find the one that is wrong.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use arrow::json::reader::Decoder;
use causeway_spi::{ConnectorError, ErrorKind, Result};
use object_store::path::Path;
use std::sync::Arc;

use crate::typed::text_fields;

/// The longest line.
const LINE_BYTES_MAX: usize = 16 << 20;
/// The longest part of the decoder's own words that a message shows.
const SAID_CHARS: usize = 160;

/// Takes whole lines out of chunks of bytes.
#[derive(Debug)]
pub(crate) struct Lines {
    location: Path,
    /// The number of the line that begins next.
    next: u64,
    begun: Vec<u8>,
}

impl Lines {
    /// The lines of the file at `location`.
    pub(crate) fn new(location: &Path) -> Self {
        Self {
            location: location.clone(),
            next: 1,
            begun: Vec::new(),
        }
    }

    /// Gives `line` each whole line of `chunk` that is not blank, with its number.
    ///
    /// Stops when `line` says so; what is left of `chunk` is for the next call.
    pub(crate) fn read(
        &mut self,
        chunk: &mut &[u8],
        mut line: impl FnMut(u64, &[u8]) -> Result<Flow>,
    ) -> Result<Flow> {
        while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
            let (rest, tail) = (&chunk[..end], &chunk[end + 1..]);
            *chunk = tail;
            let number = self.next;
            self.next += 1;
            let flow = if self.begun.is_empty() {
                give(number, rest, &mut line)?
            } else {
                let mut whole = std::mem::take(&mut self.begun);
                whole.extend_from_slice(rest);
                give(number, &whole, &mut line)?
            };
            if flow == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        if self.begun.len() + chunk.len() > LINE_BYTES_MAX {
            let message = format!(
                "line {} of file {} is longer than {} MiB",
                self.next,
                self.location,
                LINE_BYTES_MAX >> 20
            );
            return Err(ConnectorError::new(ErrorKind::InvalidData, message).hint(ONE_OBJECT_A_LINE));
        }
        self.begun.extend_from_slice(chunk);
        *chunk = &[];
        Ok(Flow::Go)
    }

    /// The line that the file ends in without a line break.
    pub(crate) fn last(&mut self, mut line: impl FnMut(u64, &[u8]) -> Result<Flow>) -> Result<()> {
        let whole = std::mem::take(&mut self.begun);
        give(self.next, &whole, &mut line).map(|_| ())
    }
}

/// Whether more lines are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Go,
    Stop,
}

const ONE_OBJECT_A_LINE: &str = "A JSON file holds one object a line.";

fn give(number: u64, text: &[u8], line: &mut impl FnMut(u64, &[u8]) -> Result<Flow>) -> Result<Flow> {
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    let text = match number {
        1 => text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text),
        _ => text,
    };
    let text = text.trim_ascii();
    if text.is_empty() {
        return Ok(Flow::Go);
    }
    line(number, text)
}

/// A line that is not the object it should be.
pub(crate) fn broken_line(number: u64, location: &Path, said: &str) -> ConnectorError {
    let message = format!("line {number} of file {location} cannot be read as JSON");
    let said: String = said
        .trim_start_matches("Json error: ")
        .chars()
        .take(SAID_CHARS)
        .collect();
    ConnectorError::new(ErrorKind::InvalidData, message)
        .detail(format!("The decoder says: {}.", said.trim_end_matches('.')))
        .hint(ONE_OBJECT_A_LINE)
}

/// Decodes lines to the columns of a scan, with texts for scalars.
pub(crate) struct JsonTexts {
    schema: SchemaRef,
    decoder: Decoder,
    location: Path,
    /// The lines not yet taken: their numbers, and all of their bytes with line breaks.
    lines: Vec<u64>,
    text: Vec<u8>,
}

impl JsonTexts {
    /// Reads the columns of `columns` in batches of at most `rows_max` rows.
    pub(crate) fn new(columns: &Schema, rows_max: usize, location: &Path) -> Result<Self> {
        let schema = Arc::new(Schema::new(text_fields(columns.fields())));
        Ok(Self {
            decoder: decoder(&schema, rows_max)?,
            schema,
            location: location.clone(),
            lines: Vec::new(),
            text: Vec::new(),
        })
    }

    /// The rows not yet taken.
    pub(crate) fn rows(&self) -> usize {
        self.lines.len()
    }

    /// The bytes of the rows not yet taken.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Adds a line.
    pub(crate) fn push(&mut self, number: u64, line: &[u8]) -> Result<()> {
        decode_line(&mut self.decoder, line, self.lines.len() + 1)
            .map_err(|said| broken_line(number, &self.location, &said))?;
        self.lines.push(number);
        self.text.extend_from_slice(line);
        self.text.push(b'\n');
        Ok(())
    }

    /// The columns so far, and the lines of their rows; begins anew.
    pub(crate) fn take(&mut self) -> Result<(Vec<ArrayRef>, Vec<u64>)> {
        let batch = self.decoder.flush().map_err(|error| self.find_broken(&error))?;
        self.text.clear();
        let columns = batch.map(|batch: RecordBatch| batch.columns().to_vec());
        let columns = columns.unwrap_or_else(|| {
            let empty = RecordBatch::new_empty(Arc::clone(&self.schema));
            empty.columns().to_vec()
        });
        Ok((columns, std::mem::take(&mut self.lines)))
    }

    /// The error of the first line that is wrong on its own.
    fn find_broken(&self, error: &ArrowError) -> ConnectorError {
        let lines = self.text.split(|byte| *byte == b'\n');
        for (number, line) in self.lines.iter().zip(lines) {
            let alone = decoder(&self.schema, 1).map_err(|error| error.message().to_owned());
            let said = alone.and_then(|mut decoder| {
                decode_line(&mut decoder, line, 1)?;
                decoder.flush().map(|_| ()).map_err(|error| error.to_string())
            });
            if let Err(said) = said {
                return broken_line(*number, &self.location, &said);
            }
        }
        broken_line(
            self.lines.first().copied().unwrap_or(1),
            &self.location,
            &error.to_string(),
        )
    }
}

fn decoder(schema: &SchemaRef, rows_max: usize) -> Result<Decoder> {
    ReaderBuilder::new(Arc::clone(schema))
        .with_batch_size(rows_max)
        .with_coerce_primitive(true)
        .build_decoder()
        .map_err(|error| {
            let message = "the JSON decoder does not take the columns";
            ConnectorError::new(ErrorKind::Internal, message).source(error)
        })
}

/// Decodes one line, which makes the decoder hold `rows` rows; the error is what is wrong with it.
fn decode_line(decoder: &mut Decoder, line: &[u8], rows: usize) -> Result<(), String> {
    let taken = decoder.decode(line).map_err(|error| error.to_string())?;
    if decoder.has_partial_record() {
        return Err("the object does not end in its line".to_owned());
    }
    if taken != line.len() || decoder.len() != rows {
        return Err("the line holds more than one value".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, size: usize) -> Vec<(u64, String)> {
        let mut lines = Lines::new(&Path::from("t/a.json"));
        let mut found = Vec::new();
        let mut keep = |number, line: &[u8]| {
            found.push((number, String::from_utf8(line.to_vec()).unwrap()));
            Ok(Flow::Go)
        };
        for mut chunk in text.as_bytes().chunks(size) {
            assert_eq!(lines.read(&mut chunk, &mut keep).unwrap(), Flow::Go);
        }
        lines.last(&mut keep).unwrap();
        found
    }

    #[test]
    fn lines_are_whole_whatever_the_chunks() {
        let text = "{\"a\":1}\r\n\n  {\"a\":2}\n{\"a\":3}";
        let expected = [(1, "{\"a\":1}"), (3, "{\"a\":2}"), (4, "{\"a\":3}")];
        let expected = expected.map(|(number, line)| (number, line.to_owned()));
        for size in [1, 2, 5, 1000] {
            assert_eq!(lines(text, size), expected, "in chunks of {size}");
        }
    }

    #[test]
    fn a_broken_line_is_told_by_its_number() {
        use arrow::datatypes::{DataType, Field};
        let columns = Schema::new(vec![Field::new("a", DataType::Int64, true)]);
        let texts = || JsonTexts::new(&columns, 100, &Path::from("t/a.json")).unwrap();
        for wrong in [
            "{\"a\":",
            "{\"a\":1}{\"a\":2}",
            "[1]",
            "nonsense",
            "{\"a\":{\"b\":1}}",
            "{\"a\":\"\u{1}\"}x",
        ] {
            let mut texts = texts();
            texts.push(1, b"{\"a\":1}").unwrap();
            let pushed = texts.push(3, wrong.as_bytes());
            let error = pushed.and_then(|()| texts.take().map(|_| ())).unwrap_err();
            assert_eq!(
                error.message(),
                "line 3 of file t/a.json cannot be read as JSON",
                "{wrong}"
            );
        }
        let mut texts = texts();
        texts.push(1, b"{\"a\":1}").unwrap();
        texts.push(2, b"{\"a\":\"\xff\"}").unwrap();
        let error = texts.take().unwrap_err();
        assert_eq!(error.message(), "line 2 of file t/a.json cannot be read as JSON");
    }
}
