//! Tables, schemas and views that are created, renamed and dropped.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};

use super::capabilities::{CATALOG, Writes};
use super::report::{ConformanceReport, Outcome, ensure, refused};
use super::suite::{Suite, table_in};
use super::tables::plain_schema;
use super::transactions::{create, holds, insert};
use super::written::{begin, keys, plain};
use crate::connector::TableName;
use crate::error::ErrorKind;
use crate::write::{TEXT_LENGTH, TableDefinition, ViewDefinition, WriteTransaction};

pub(super) async fn check(suite: &Suite<'_>, report: &mut ConformanceReport) {
    if suite.declared.writes != Writes::Tables {
        return;
    }
    report
        .check("a table is what was created", definitions(suite))
        .await;
    report
        .check("tables and columns get other names", renames(suite))
        .await;
    report
        .check("schemas come and go as declared", schemas(suite))
        .await;
    report.check("views are kept as declared", views(suite)).await;
}

/// A key of two columns in another order, NOT NULL, and the length of a text.
async fn definitions(suite: &Suite<'_>) -> Outcome {
    let plain = plain_schema();
    let length = HashMap::from([(TEXT_LENGTH.to_owned(), "20".to_owned())]);
    let fields = vec![
        Field::clone(plain.field(0)),
        Field::clone(plain.field(1))
            .with_metadata(length)
            .with_nullable(false),
        Field::clone(plain.field(2)),
    ];
    let definition = TableDefinition {
        name: suite.name_of("w defined"),
        columns: Arc::new(Schema::new(fields)),
        primary_key: vec![1, 0],
    };
    let mut transaction = begin(&suite.catalog).await?;
    transaction.create_table(&definition).await?;
    transaction.commit().await?;
    let found = table_in(&suite.catalog, &definition.name).await?;
    ensure(found.schema() == definition.columns, || {
        format!("the columns are {:?}", found.schema())
    })?;
    ensure(found.primary_key() == [1, 0], || {
        format!("the primary key is {:?}", found.primary_key())
    })?;
    holds(&suite.catalog, &definition.name, Some(&[])).await
}

async fn renames(suite: &Suite<'_>) -> Outcome {
    let (old, new) = (suite.name_of("w old"), suite.name_of("w new"));
    let mut transaction = begin(&suite.catalog).await?;
    create(transaction.as_mut(), &old, &[1, 2]).await?;
    transaction.commit().await?;
    let mut transaction = begin(&suite.catalog).await?;
    transaction.rename_table(&old, &new.table).await?;
    transaction.rename_column(&new, 2, "number").await?;
    holds(&transaction.snapshot(), &new, Some(&[1, 2])).await?;
    holds(&suite.catalog, &new, None).await?;
    transaction.commit().await?;
    holds(&suite.catalog, &old, None).await?;
    holds(&suite.catalog, &new, Some(&[1, 2])).await?;
    let found = table_in(&suite.catalog, &new).await?;
    let names: Vec<String> = found
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    ensure(names == ["id", "name", "number"], || {
        format!("the columns are {names:?}")
    })?;
    ensure(found.primary_key() == [0], || "the key is gone".to_owned())?;
    // The old name is free.
    let mut transaction = begin(&suite.catalog).await?;
    create(transaction.as_mut(), &old, &[7]).await?;
    transaction.drop_table(&new).await?;
    transaction.commit().await?;
    holds(&suite.catalog, &new, None).await?;
    holds(&suite.catalog, &old, Some(&[7])).await
}

async fn schemas(suite: &Suite<'_>) -> Outcome {
    let schema = "w schema";
    let name = TableName::new(CATALOG, schema, "t");
    let mut transaction = begin(&suite.catalog).await?;
    let created = transaction.create_schema(schema).await;
    if !suite.declared.schemas {
        let refusal = |what: &str| format!("{what} schemas is not supported in this catalog");
        let kind = ErrorKind::NotSupported;
        refused("a schema", created, kind, &refusal("creating"))?;
        let dropped = transaction.drop_schema(suite.source.schema()).await;
        return refused("dropping a schema", dropped, kind, &refusal("dropping"));
    }
    created?;
    create(transaction.as_mut(), &name, &[1]).await?;
    transaction.commit().await?;
    let listed = suite.catalog.schemas().await?;
    ensure(listed.iter().any(|listed| listed == schema), || {
        format!("the schema is not among {listed:?}")
    })?;
    let tables = suite.catalog.tables(schema).await?;
    ensure(tables == ["t"], || format!("the schema holds {tables:?}"))?;
    holds(&suite.catalog, &name, Some(&[1])).await?;
    // A table of the same name elsewhere is another one.
    let mut transaction = begin(&suite.catalog).await?;
    create(transaction.as_mut(), &suite.name_of("t"), &[2]).await?;
    insert(transaction.as_mut(), &name, &[3]).await?;
    transaction.commit().await?;
    holds(&suite.catalog, &name, Some(&[1, 3])).await?;
    holds(&suite.catalog, &suite.name_of("t"), Some(&[2])).await?;
    let mut transaction = begin(&suite.catalog).await?;
    transaction.drop_table(&name).await?;
    transaction.drop_schema(schema).await?;
    transaction.commit().await?;
    let message = format!("schema \"{schema}\" does not exist in catalog \"{CATALOG}\"");
    let gone = suite.catalog.tables(schema).await;
    refused(
        "a schema that was dropped",
        gone,
        ErrorKind::UnknownSchema,
        &message,
    )
}

fn view_of(table: &TableName) -> ViewDefinition {
    ViewDefinition {
        sql: format!(
            "SELECT id FROM {CATALOG}.\"{}\".\"{}\"",
            table.schema, table.table
        ),
        columns: Arc::new(Schema::new(vec![Field::clone(plain_schema().field(0))])),
        reads: vec![table.clone()],
    }
}

async fn views(suite: &Suite<'_>) -> Outcome {
    let (table, name) = (suite.name_of("w viewed"), suite.name_of("w view"));
    let mut transaction = begin(&suite.catalog).await?;
    transaction.create_table(&plain(&table)).await?;
    let view = view_of(&table);
    let put = transaction.put_view(&name, &view).await;
    if !suite.declared.views {
        let refusal = |what: &str| format!("{what} views is not supported in this catalog");
        let kind = ErrorKind::NotSupported;
        refused("a view", put, kind, &refusal("creating"))?;
        let dropped = transaction.drop_view(&name).await;
        return refused("dropping a view", dropped, kind, &refusal("dropping"));
    }
    put?;
    transaction.commit().await?;
    is_view(suite, &name, &view).await?;
    let (renamed, other) = (
        suite.name_of("w view 2"),
        ViewDefinition {
            sql: format!("{} WHERE id > 1", view.sql),
            ..view
        },
    );
    let mut transaction = begin(&suite.catalog).await?;
    transaction.rename_table(&name, &renamed.table).await?;
    transaction.put_view(&renamed, &other).await?;
    transaction.commit().await?;
    is_view(suite, &renamed, &other).await?;
    let gone = suite.catalog.table(&name).await?;
    ensure(gone.is_none(), || "the old name is there".to_owned())?;
    is_no_target(begin(&suite.catalog).await?, &renamed).await?;
    let mut transaction = begin(&suite.catalog).await?;
    transaction.drop_view(&renamed).await?;
    transaction.commit().await?;
    let listed = suite.catalog.views(suite.source.schema()).await?;
    ensure(listed.is_empty(), || format!("there are still views: {listed:?}"))?;
    let keys = keys(&suite.catalog, &table).await?;
    ensure(keys.is_empty(), || "the view's table has rows".to_owned())
}

async fn is_view(suite: &Suite<'_>, name: &TableName, view: &ViewDefinition) -> Outcome {
    let schema = suite.source.schema();
    for listed in [
        suite.catalog.views(schema).await?,
        suite.catalog.tables(schema).await?,
    ] {
        ensure(listed.contains(&name.table), || {
            format!("view {name} is not among {listed:?}")
        })?;
    }
    let found = table_in(&suite.catalog, name).await?;
    ensure(found.view() == Some(view), || {
        format!("the view is {:?} instead of {view:?}", found.view())
    })?;
    ensure(found.schema() == view.columns, || {
        "the view has other columns".to_owned()
    })
}

/// Rows of a view are not written.
async fn is_no_target(transaction: Box<dyn WriteTransaction>, view: &TableName) -> Outcome {
    let found = transaction.target(view).await;
    let message = format!("table {view} does not exist");
    refused(
        "a view as a target",
        found.map(drop),
        ErrorKind::UnknownTable,
        &message,
    )?;
    transaction.rollback().await?;
    Ok(())
}
