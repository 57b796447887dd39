//! What a source declares not to hold is refused by name.

use std::sync::Arc;

use super::capabilities::{OtherKinds, Writes};
use super::report::{Broken, ConformanceReport, Outcome, ensure, shown};
use super::suite::{Suite, whole};
use super::tables::ConformanceTable;
use crate::connector::Table;
use crate::error::{ConnectorError, ErrorKind};
use crate::testing::{CanonicalTable, ColumnKind, TextKind, column};

const INTEGER: ColumnKind = ColumnKind::Integer { bits: 64 };

/// A kind for each canonical type, and arrays of some.
const KINDS: [ColumnKind; 20] = [
    ColumnKind::Integer { bits: 16 },
    ColumnKind::Integer { bits: 32 },
    INTEGER,
    ColumnKind::Real { special: false },
    ColumnKind::Double { special: false },
    ColumnKind::Numeric {
        precision: 12,
        scale: 2,
    },
    ColumnKind::Numeric {
        precision: 38,
        scale: 10,
    },
    ColumnKind::Numeric {
        precision: 76,
        scale: 20,
    },
    ColumnKind::Date,
    ColumnKind::Time,
    ColumnKind::Timestamp,
    ColumnKind::Moment { unix: true },
    ColumnKind::Interval,
    ColumnKind::Boolean,
    ColumnKind::Bytes,
    ColumnKind::Text(TextKind::Unicode),
    ColumnKind::List(&INTEGER),
    ColumnKind::List(&ColumnKind::Text(TextKind::Unicode)),
    ColumnKind::List(&ColumnKind::Interval),
    ColumnKind::Composite,
];

pub(super) async fn check(suite: &Suite<'_>, report: &mut ConformanceReport) {
    if suite.declared.other_kinds == OtherKinds::CannotBeAsked {
        return;
    }
    for (number, kind) in KINDS.into_iter().enumerate() {
        let law = format!("a column of kind {} is held as declared", kind.word());
        report.check(&law, held(suite, kind, number)).await;
        if suite.declared.writes == Writes::Tables && is_held(suite, kind) {
            let law = format!("a key of kind {} is taken as declared", kind.word());
            report.check(&law, keyed(suite, kind, number)).await;
        }
    }
}

/// Whether columns of the type of `kind` are declared: the digits of numerics do not matter, their width does.
fn is_held(suite: &Suite<'_>, kind: ColumnKind) -> bool {
    let alike = |held: &ColumnKind| match (held, kind) {
        (ColumnKind::Numeric { precision: held, .. }, ColumnKind::Numeric { precision, .. }) => {
            (*held > 38) == (precision > 38)
        }
        _ => held.data_type() == kind.data_type(),
    };
    suite.declared.kinds.iter().any(alike)
}

/// A table of a key and one more column, which is `second` of its name.
fn table(name: String, kind: ColumnKind, key: Vec<usize>) -> ConformanceTable {
    let columns = vec![column("id", ColumnKind::Key), column("second", kind)];
    ConformanceTable {
        name,
        data: CanonicalTable::generate(columns, 20, 6),
        primary_key: key,
    }
}

/// The table in a catalog of its own, or the source's refusal.
async fn load(suite: &Suite<'_>, table: &ConformanceTable) -> crate::Result<Arc<dyn Table>> {
    let catalog = suite.source.load(std::slice::from_ref(table)).await?;
    let name = suite.name_of(&table.name);
    let found = catalog.table(&name).await?;
    found.ok_or_else(|| ConnectorError::new(ErrorKind::Internal, format!("table {name} is not there")))
}

async fn held(suite: &Suite<'_>, kind: ColumnKind, number: usize) -> Outcome {
    let table = table(format!("held_{number}"), kind, vec![0]);
    let loaded = load(suite, &table).await;
    if !is_held(suite, kind) {
        return is_refused(suite, loaded.map(drop));
    }
    let loaded = loaded?;
    suite.reads(&loaded, &whole(loaded.as_ref()), table.rows()).await
}

/// A key of which the column is a part.
async fn keyed(suite: &Suite<'_>, kind: ColumnKind, number: usize) -> Outcome {
    let mut table = table(format!("keyed_{number}"), kind, vec![0, 1]);
    // No key holds NULL.
    table.data = table.data.without_nulls();
    let loaded = load(suite, &table).await;
    let mut never = suite.declared.never_keys.iter();
    if never.any(|never| never.data_type() == kind.data_type()) {
        return is_refused(suite, loaded.map(drop));
    }
    let loaded = loaded?;
    ensure(loaded.primary_key() == [0, 1], || {
        format!("the key is {:?}", loaded.primary_key())
    })?;
    suite.reads(&loaded, &whole(loaded.as_ref()), table.rows()).await
}

fn is_refused(suite: &Suite<'_>, loaded: crate::Result<()>) -> Outcome {
    let OtherKinds::Refused(kinds) = suite.declared.other_kinds else {
        return Ok(());
    };
    let Err(error) = loaded else {
        return Err(Broken("it is not refused".to_owned()));
    };
    let names = error.message().contains("\"second\"");
    ensure(kinds.contains(&error.kind()) && names, || {
        format!(
            "it is refused by {} instead of {kinds:?} that names column \"second\"",
            shown(&error)
        )
    })
}
