//! Runs statements over the wire, as psql would, and prints their answers as aligned tables.

use std::io::Write;
use std::net::SocketAddr;

use futures::{StreamExt, pin_mut};
use tokio_postgres::error::DbError;
use tokio_postgres::{Config, NoTls, SimpleQueryMessage};

use super::error::DemoError;

/// The rows by which the widths of the columns are chosen.
const MEASURED_ROWS: usize = 1_000;
/// The widest that a column is made: a longer value stands out of its row.
const WIDTH_MAX: usize = 120;

/// Runs `statements` and prints each answer.
pub(super) async fn ask(address: SocketAddr, statements: &str) -> Result<(), DemoError> {
    let (client, connection) = Config::new()
        .host(address.ip().to_string())
        .port(address.port())
        .user("demo")
        .dbname("causeway")
        .connect(NoTls)
        .await
        .map_err(failed)?;
    let connection = tokio::spawn(connection);
    let answered = print(&client, statements).await;
    drop(client);
    connection.abort();
    answered
}

async fn print(client: &tokio_postgres::Client, statements: &str) -> Result<(), DemoError> {
    let messages = client.simple_query_raw(statements).await.map_err(failed)?;
    pin_mut!(messages);
    let mut out = std::io::stdout();
    let mut table: Option<Printed> = None;
    while let Some(message) = messages.next().await {
        match message.map_err(failed)? {
            SimpleQueryMessage::RowDescription(columns) => {
                let names = columns.iter().map(|column| column.name().to_owned());
                table = Some(Printed::new(names.collect()));
            }
            SimpleQueryMessage::Row(row) => {
                let cells = (0..row.len()).map(|index| row.get(index).map(one_line)).collect();
                if let Some(table) = &mut table {
                    table.push(cells, &mut out).map_err(DemoError::Print)?;
                }
            }
            SimpleQueryMessage::CommandComplete(_) => {
                if let Some(table) = table.take() {
                    table.finish(&mut out).map_err(DemoError::Print)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The lines that psql shows for an error, with the SQLSTATE.
fn failed(error: tokio_postgres::Error) -> DemoError {
    match error.as_db_error() {
        Some(error) => DemoError::Query(error_text(error)),
        None => DemoError::Connection(error),
    }
}

fn error_text(error: &DbError) -> String {
    let mut text = format!(
        "{}:  {}: {}",
        error.severity(),
        error.code().code(),
        error.message()
    );
    for (title, part) in [("DETAIL", error.detail()), ("HINT", error.hint())] {
        if let Some(part) = part {
            text.push_str(&format!("\n{title}:  {part}"));
        }
    }
    text
}

fn one_line(value: &str) -> String {
    value.replace(['\n', '\r'], " ")
}

type Cells = Vec<Option<String>>;

/// A table on its way to the terminal: its first rows are kept until the widths are known.
struct Printed {
    names: Vec<String>,
    kept: Vec<Cells>,
    columns: Option<Vec<Column>>,
    rows: usize,
}

struct Column {
    width: usize,
    is_number: bool,
}

impl Column {
    /// The blanks beside a value.
    fn padding(&self, value: &str) -> String {
        " ".repeat(self.width.saturating_sub(width(value)))
    }
}

impl Printed {
    fn new(names: Vec<String>) -> Self {
        Self {
            names,
            kept: Vec::new(),
            columns: None,
            rows: 0,
        }
    }

    fn push(&mut self, cells: Cells, out: &mut impl Write) -> std::io::Result<()> {
        self.rows += 1;
        if self.columns.is_none() {
            self.kept.push(cells);
            if self.kept.len() == MEASURED_ROWS {
                self.measure(out)?;
            }
            return Ok(());
        }
        self.line(&cells, out)
    }

    fn finish(mut self, out: &mut impl Write) -> std::io::Result<()> {
        if self.columns.is_none() {
            self.measure(out)?;
        }
        let plural = if self.rows == 1 { "row" } else { "rows" };
        writeln!(out, "({} {plural})\n", self.rows)
    }

    /// Chooses the widths and prints the head and the rows that were kept.
    fn measure(&mut self, out: &mut impl Write) -> std::io::Result<()> {
        let kept = std::mem::take(&mut self.kept);
        let column = |(index, name): (usize, &String)| {
            let values = || kept.iter().filter_map(|cells| cells.get(index)?.as_deref());
            Column {
                width: values()
                    .map(width)
                    .chain([width(name)])
                    .max()
                    .unwrap_or(0)
                    .min(WIDTH_MAX),
                is_number: values().next().is_some() && values().all(|value| value.parse::<f64>().is_ok()),
            }
        };
        let columns: Vec<Column> = self.names.iter().enumerate().map(column).collect();
        let heads: Vec<String> = self
            .names
            .iter()
            .zip(&columns)
            .map(|(name, column)| format!(" {name}{} ", column.padding(name)))
            .collect();
        let rules: Vec<String> = columns
            .iter()
            .map(|column| "-".repeat(column.width + 2))
            .collect();
        self.columns = Some(columns);
        writeln!(out, "{}", heads.join("|").trim_end())?;
        writeln!(out, "{}", rules.join("+"))?;
        kept.iter().try_for_each(|cells| self.line(cells, out))
    }

    fn line(&self, cells: &Cells, out: &mut impl Write) -> std::io::Result<()> {
        let columns = self.columns.as_deref().unwrap_or_default();
        let parts: Vec<String> = cells
            .iter()
            .zip(columns)
            .map(|(cell, column)| {
                let cell = cell.as_deref().unwrap_or_default();
                match column.is_number {
                    true => format!(" {}{cell} ", column.padding(cell)),
                    false => format!(" {cell}{} ", column.padding(cell)),
                }
            })
            .collect();
        writeln!(out, "{}", parts.join("|").trim_end())
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned() {
        let mut out = Vec::new();
        let mut table = Printed::new(vec!["name".to_owned(), "n".to_owned()]);
        let cells = |name: &str, n: Option<&str>| vec![Some(name.to_owned()), n.map(str::to_owned)];
        table.push(cells("Zoë", Some("1.50")), &mut out).unwrap();
        table.push(cells("Bernadette", None), &mut out).unwrap();
        table.push(cells("", Some("-20")), &mut out).unwrap();
        table.finish(&mut out).unwrap();
        let expected = " name       | n\n------------+------\n Zoë        | 1.50\n Bernadette |\n            |  -20\n(3 rows)\n\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_value_of_any_length_is_printed() {
        let mut out = Vec::new();
        let mut table = Printed::new(vec!["plan".to_owned()]);
        table.push(vec![Some("x".repeat(100_000))], &mut out).unwrap();
        table.finish(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text.lines().map(str::len).collect::<Vec<_>>(),
            [5, WIDTH_MAX + 2, 100_001, 7, 0]
        );
    }

    #[test]
    fn more_rows_than_are_measured_are_printed_too() {
        let mut out = Vec::new();
        let mut table = Printed::new(vec!["n".to_owned()]);
        for n in 0..2_500 {
            table.push(vec![Some(n.to_string())], &mut out).unwrap();
        }
        table.finish(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), 2_500 + 4);
        assert!(
            text.ends_with(" 2499\n(2500 rows)\n\n"),
            "{}",
            &text[text.len() - 60..]
        );
    }
}
