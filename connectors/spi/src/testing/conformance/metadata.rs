//! Names, schemas and types: what is listed is there, what is not there is said as agreed, what is loaded is as declared.

use std::collections::BTreeSet;

use arrow::datatypes::Schema;

use super::capabilities::{CATALOG, Writes};
use super::report::{ConformanceReport, Outcome, ensure, refused};
use super::suite::{Suite, table_in};
use super::tables::{ConformanceTable, KINDS};
use crate::connector::TableName;
use crate::error::ErrorKind;
use crate::types::check_canonical;

/// A name that no source has.
const NOWHERE: &str = "no such name";

pub(super) async fn check(suite: &Suite<'_>, report: &mut ConformanceReport) {
    report.check("the source answers a ping", ping(suite)).await;
    report
        .check("what is listed is there, and the reverse", listing(suite))
        .await;
    report
        .check("a table that is missing is none", missing_table(suite))
        .await;
    report
        .check(
            "a schema that is missing is said as agreed",
            missing_schema(suite),
        )
        .await;
    report
        .check("only what is declared is offered", offers(suite))
        .await;
    report.check("views are told as declared", views(suite)).await;
    report
        .check("what is forgotten is asked for again", refresh(suite))
        .await;
    for table in &suite.tables {
        let law = format!("table {} is as it was loaded", table.name);
        report.check(&law, definition(suite, table)).await;
    }
}

async fn ping(suite: &Suite<'_>) -> Outcome {
    suite.catalog.ping().await?;
    let kind = suite.catalog.kind();
    ensure(!kind.is_empty(), || "the connector has no kind".to_owned())
}

async fn listing(suite: &Suite<'_>) -> Outcome {
    let schemas = suite.catalog.schemas().await?;
    let distinct: BTreeSet<&String> = schemas.iter().collect();
    ensure(distinct.len() == schemas.len(), || {
        format!("schemas are listed twice: {schemas:?}")
    })?;
    let own = suite.source.schema();
    ensure(schemas.iter().any(|schema| schema == own), || {
        format!("schema {own} is not among {schemas:?}")
    })?;
    for schema in &schemas {
        let tables = suite.catalog.tables(schema).await?;
        let distinct: BTreeSet<&String> = tables.iter().collect();
        ensure(distinct.len() == tables.len(), || {
            format!("tables of schema {schema} are listed twice: {tables:?}")
        })?;
    }
    let listed = suite.catalog.tables(own).await?;
    for table in &suite.tables {
        ensure(listed.contains(&table.name), || {
            format!("table {} is not among {listed:?}", table.name)
        })?;
    }
    for table in listed {
        let name = suite.name_of(&table);
        let found = table_in(&suite.catalog, &name).await?;
        ensure(*found.name() == name, || {
            format!("table {name} says that it is {}", found.name())
        })?;
    }
    Ok(())
}

async fn missing_table(suite: &Suite<'_>) -> Outcome {
    for name in [NOWHERE, "", "KINDS", "kinds ", "kind_", "%", "'; --", "..", "a/b"] {
        let found = suite.catalog.table(&suite.name_of(name)).await?;
        ensure(found.is_none(), || format!("there is a table {name:?}"))?;
    }
    Ok(())
}

async fn missing_schema(suite: &Suite<'_>) -> Outcome {
    for schema in [NOWHERE, "", "..", "'"] {
        let message = format!("schema \"{schema}\" does not exist in catalog \"{CATALOG}\"");
        let unknown = ErrorKind::UnknownSchema;
        let tables = suite.catalog.tables(schema).await;
        refused("listing its tables", tables, unknown, &message)?;
        let name = TableName::new(CATALOG, schema, KINDS);
        let table = suite.catalog.table(&name).await;
        refused("loading a table of it", table, unknown, &message)?;
        if suite.declared.views {
            let views = suite.catalog.views(schema).await;
            refused("listing its views", views, unknown, &message)?;
        }
    }
    Ok(())
}

async fn offers(suite: &Suite<'_>) -> Outcome {
    let declared = &suite.declared;
    let writes = suite.catalog.writer().is_some();
    ensure(writes == (declared.writes != Writes::None), || {
        let has = if writes { "a" } else { "no" };
        format!("the catalog has {has} writer, and writes {:?}", declared.writes)
    })?;
    let needs = suite.catalog.needs().await?;
    ensure(needs.is_some() == declared.login, || {
        format!("what the login needs is {needs:?}")
    })?;
    let excess = suite.catalog.excess().await?;
    let sentence = |said: &&String| !said.ends_with('.');
    match excess.iter().find(sentence) {
        Some(said) => ensure(false, || format!("what the login may do is no sentence: {said}")),
        None => Ok(()),
    }
}

async fn views(suite: &Suite<'_>) -> Outcome {
    let listed = suite.catalog.views(suite.source.schema()).await?;
    for table in &suite.tables {
        ensure(!listed.contains(&table.name), || {
            format!("table {} is listed as a view", table.name)
        })?;
    }
    ensure(suite.declared.views || listed.is_empty(), || {
        format!("views are listed, and none are declared: {listed:?}")
    })
}

async fn refresh(suite: &Suite<'_>) -> Outcome {
    let kinds = suite.name_of(KINDS);
    suite.catalog.refresh(Some(&kinds)).await?;
    let before = table_in(&suite.catalog, &kinds).await?.schema();
    suite.catalog.refresh(Some(&suite.name_of(NOWHERE))).await?;
    suite.catalog.refresh(None).await?;
    let after = table_in(&suite.catalog, &kinds).await?.schema();
    ensure(before == after, || {
        format!("columns are {after:?} after a refresh, and were {before:?}")
    })
}

/// A table's columns, keys and the like, as it was loaded.
async fn definition(suite: &Suite<'_>, canonical: &ConformanceTable) -> Outcome {
    let table = suite.table(&canonical.name).await?;
    let schema = table.schema();
    check_canonical(table.name(), &schema)?;
    columns(suite, canonical, &schema)?;
    let key = table.primary_key();
    let wanted: &[usize] = match suite.declared.primary_keys {
        true => &canonical.primary_key,
        false => &[],
    };
    ensure(key == wanted, || {
        format!("the primary key is {key:?} instead of {wanted:?}")
    })?;
    ensure(table.view().is_none(), || "it is a view".to_owned())?;
    let native = table.native();
    ensure(native.is_some() == suite.declared.native_scans, || {
        format!("a native scan: {}", native.is_some())
    })?;
    if let Some(native) = native {
        ensure(native.schema() == schema, || {
            "its native scan has other columns".to_owned()
        })?;
    }
    Ok(())
}

fn columns(suite: &Suite<'_>, canonical: &ConformanceTable, schema: &Schema) -> Outcome {
    let wanted = canonical.schema();
    let same = |(found, wanted): (&arrow::datatypes::FieldRef, &arrow::datatypes::FieldRef)| {
        found.name() == wanted.name() && found.data_type() == wanted.data_type()
    };
    let alike = schema.fields().len() == wanted.fields().len();
    let differs = schema
        .fields()
        .iter()
        .zip(wanted.fields())
        .find(|pair| !same(*pair));
    ensure(alike && differs.is_none(), || match differs {
        Some((found, wanted)) => format!("column {found} instead of {wanted}"),
        None => format!(
            "{} columns instead of {}",
            schema.fields().len(),
            wanted.fields().len()
        ),
    })?;
    for (index, field) in schema.fields().iter().enumerate() {
        let has_null = canonical.rows().column(index).null_count() > 0;
        ensure(field.is_nullable() || !has_null, || {
            format!("column {} holds NULL and says that it does not", field.name())
        })?;
        let defined = canonical.primary_key.contains(&index);
        ensure(
            !field.is_nullable() || !defined || !suite.declared.not_null,
            || format!("column {} of the key says that it may be NULL", field.name()),
        )?;
        ensure(field.is_nullable() || suite.declared.not_null, || {
            format!("column {} is NOT NULL, which is not declared", field.name())
        })?;
    }
    Ok(())
}
