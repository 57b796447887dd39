//! The rows of each relation that has any.

use std::time::Duration;

use causeway_spi::TableName;
use datafusion::arrow::datatypes::Field;

use super::activity;
use super::relations::{PG_CATALOG, RELATIONS, SCHEMAS};
use super::table::{Cell, RowSink, Wanted};
use super::{CatalogView, OWNER, OWNER_OID, Relation};
use crate::catalog::ALL_CATALOGS;
use crate::catalog::pg_type::{PgType, TYPES, by_oid, sql_name};
use crate::error::Result;

/// The OID of `pg_class`' access method for tables.
const HEAP: u32 = 2;
/// The longest wait for a source whose status is asked for.
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// The number that stands for UTF8 in `pg_database`.
const UTF8: i32 = 6;

/// Whether a relation can have rows.
pub(super) fn has_rows(schema: &str, name: &str) -> bool {
    match schema {
        PG_CATALOG => matches!(
            name,
            "pg_am"
                | "pg_attribute"
                | "pg_class"
                | "pg_database"
                | "pg_namespace"
                | "pg_roles"
                | "pg_settings"
                | "pg_stat_activity"
                | "pg_tables"
                | "pg_tablespace"
                | "pg_type"
                | "pg_user"
                | "pg_views"
        ),
        "information_schema" => matches!(
            name,
            "character_sets"
                | "columns"
                | "information_schema_catalog_name"
                | "schemata"
                | "tables"
                | "views"
        ),
        _ => true,
    }
}

/// The columns whose values say which tables must be asked for their columns.
pub(super) fn restricting_columns(relation: &Relation) -> &'static [&'static str] {
    match (relation.schema, relation.name) {
        (PG_CATALOG, "pg_attribute") => &["attrelid"],
        ("information_schema", "columns") => &["table_name", "table_schema"],
        _ => &[],
    }
}

/// Writes the rows of `relation`, at least those that `wanted` accepts.
pub(super) async fn write(
    view: &CatalogView,
    relation: &Relation,
    wanted: &Wanted,
    sink: &mut RowSink,
) -> Result<()> {
    match (relation.schema, relation.name) {
        (PG_CATALOG, "pg_am") => sink.push([
            ("oid", HEAP.into()),
            ("amname", "heap".into()),
            ("amhandler", "heap_tableam_handler".into()),
            ("amtype", "t".into()),
        ]),
        (PG_CATALOG, "pg_attribute") => attributes(view, wanted, sink).await?,
        (PG_CATALOG, "pg_class") => classes(view, sink).await?,
        (PG_CATALOG, "pg_database") => databases(view, sink),
        (PG_CATALOG, "pg_namespace") => namespaces(view, sink).await?,
        (PG_CATALOG, "pg_roles") => roles(view, sink),
        (PG_CATALOG, "pg_user") => users(view, sink),
        (PG_CATALOG, "pg_settings") => settings(view, sink),
        (PG_CATALOG, "pg_stat_activity") => activity::sessions(view, sink),
        (PG_CATALOG, "pg_tables") => tables(view, sink).await?,
        (PG_CATALOG, "pg_tablespace") => sink.push([
            ("oid", 1663_u32.into()),
            ("spcname", "pg_default".into()),
            ("spcowner", OWNER_OID.into()),
        ]),
        (PG_CATALOG, "pg_type") => types(sink),
        (PG_CATALOG, "pg_views") => views(view, sink).await?,
        ("information_schema", "character_sets") => sink.push([
            ("character_set_name", "UTF8".into()),
            ("character_repertoire", "UCS".into()),
            ("form_of_use", "UTF8".into()),
            ("default_collate_catalog", view.database.clone().into()),
        ]),
        ("information_schema", "columns") => columns(view, wanted, sink).await?,
        ("information_schema", "information_schema_catalog_name") => {
            sink.push([("catalog_name", view.database.clone().into())]);
        }
        ("information_schema", "schemata") => schemata(view, sink).await?,
        ("information_schema", "tables") => schema_tables(view, sink).await?,
        ("information_schema", "views") => schema_views(view, sink).await?,
        ("system", "catalogs") => catalogs(view, sink).await,
        ("system", "queries") => activity::queries(view, sink),
        _ => {}
    }
    Ok(())
}

fn databases(view: &CatalogView, sink: &mut RowSink) {
    for name in std::iter::once(ALL_CATALOGS).chain(view.catalogs.names()) {
        sink.push([
            ("oid", view.catalogs.oids.of_database(name).into()),
            ("datname", name.into()),
            ("datdba", OWNER_OID.into()),
            ("encoding", UTF8.into()),
            ("datlocprovider", "c".into()),
            ("datallowconn", true.into()),
            ("datconnlimit", (-1).into()),
            ("dattablespace", 1663_u32.into()),
            ("datcollate", "C.UTF-8".into()),
            ("datctype", "C.UTF-8".into()),
        ]);
    }
}

/// The schemas that a session sees: the system's, then the sources'.
async fn shown_schemas(view: &CatalogView) -> Result<Vec<String>> {
    let mut shown: Vec<String> = SCHEMAS.map(str::to_owned).to_vec();
    for schema in view.listing().await?.iter().flat_map(|listing| listing.iter()) {
        shown.push(super::shown_schema(
            &view.database,
            &schema.catalog,
            &schema.schema,
        ));
    }
    Ok(shown)
}

async fn namespaces(view: &CatalogView, sink: &mut RowSink) -> Result<()> {
    for schema in shown_schemas(view).await? {
        sink.push([
            ("oid", view.catalogs.oids.of_schema(&schema).into()),
            ("nspname", schema.into()),
            ("nspowner", OWNER_OID.into()),
        ]);
    }
    Ok(())
}

async fn schemata(view: &CatalogView, sink: &mut RowSink) -> Result<()> {
    for schema in shown_schemas(view).await? {
        sink.push([
            ("catalog_name", view.database.clone().into()),
            ("schema_name", schema.into()),
            ("schema_owner", OWNER.into()),
        ]);
    }
    Ok(())
}

/// Calls `each` with every table of the sources, the name of its schema, and `r` or `v`.
async fn each_table(
    view: &CatalogView,
    mut each: impl FnMut(&TableName, String, &'static str),
) -> Result<()> {
    for schema in view.listing().await?.iter().flat_map(|listing| listing.iter()) {
        for table in &schema.tables {
            let name = TableName::new(&schema.catalog, &schema.schema, table);
            let kind = if schema.views.contains(table) { "v" } else { "r" };
            each(&name, view.shown_schema(&name), kind);
        }
    }
    Ok(())
}

/// The views of the sources: the name of each one's schema, its name, its query.
async fn each_view(view: &CatalogView, mut each: impl FnMut(String, &str, &str)) -> Result<()> {
    let mut names = std::collections::HashSet::new();
    each_table(view, |name, _, kind| {
        if kind == "v" {
            names.insert(name.clone());
        }
    })
    .await?;
    for table in view.tables(|name| names.contains(name)).await? {
        let name = table.name();
        let sql = table.view().map_or("", |definition| &definition.sql);
        each(view.shown_schema(name), &name.table, sql);
    }
    Ok(())
}

async fn views(view: &CatalogView, sink: &mut RowSink) -> Result<()> {
    each_view(view, |schema, name, sql| {
        sink.push([
            ("schemaname", schema.into()),
            ("viewname", name.into()),
            ("viewowner", OWNER.into()),
            ("definition", sql.into()),
        ]);
    })
    .await
}

async fn schema_views(view: &CatalogView, sink: &mut RowSink) -> Result<()> {
    let database = view.database.clone();
    each_view(view, |schema, name, sql| {
        sink.push([
            ("table_catalog", database.clone().into()),
            ("table_schema", schema.into()),
            ("table_name", name.into()),
            ("view_definition", sql.into()),
            ("check_option", "NONE".into()),
            ("is_updatable", "NO".into()),
            ("is_insertable_into", "NO".into()),
            ("is_trigger_updatable", "NO".into()),
            ("is_trigger_deletable", "NO".into()),
            ("is_trigger_insertable_into", "NO".into()),
        ]);
    })
    .await
}

async fn classes(view: &CatalogView, sink: &mut RowSink) -> Result<()> {
    let oids = &view.catalogs.oids;
    let mut push = |oid: u32, name: &str, schema: &str, kind: &str, columns: usize| {
        sink.push([
            ("oid", oid.into()),
            ("relname", name.into()),
            ("relnamespace", oids.of_schema(schema).into()),
            ("relowner", OWNER_OID.into()),
            ("relam", if kind == "r" { HEAP } else { 0 }.into()),
            ("reltuples", (-1).into()),
            ("relpersistence", "p".into()),
            ("relkind", kind.into()),
            ("relnatts", i64::try_from(columns).unwrap_or(0).into()),
            ("relispopulated", true.into()),
            ("relreplident", "n".into()),
        ]);
    };
    for relation in RELATIONS.iter() {
        let columns = relation.columns.fields().len();
        push(
            relation.oid,
            relation.name,
            relation.schema,
            relation.kind,
            columns,
        );
    }
    each_table(view, |name, schema, kind| {
        push(oids.of_table(name), &name.table, &schema, kind, 0);
    })
    .await
}

async fn attributes(view: &CatalogView, wanted: &Wanted, sink: &mut RowSink) -> Result<()> {
    let is_wanted = |oid: u32| wanted.accepts("attrelid", &oid.to_string());
    for relation in RELATIONS.iter().filter(|relation| is_wanted(relation.oid)) {
        for (index, field) in relation.columns.fields().iter().enumerate() {
            attribute(relation.oid, index, field, sink);
        }
    }
    let oids = &view.catalogs.oids;
    for table in view.tables(|name| is_wanted(oids.of_table(name))).await? {
        for (index, field) in table.schema().fields().iter().enumerate() {
            attribute(oids.of_table(table.name()), index, field, sink);
        }
    }
    Ok(())
}

fn attribute(table: u32, index: usize, field: &Field, sink: &mut RowSink) {
    let pg_type = PgType::of_field(field);
    let row = by_oid(pg_type.oid);
    sink.push([
        ("attrelid", table.into()),
        ("attname", field.name().as_str().into()),
        ("atttypid", pg_type.oid.into()),
        ("attstattarget", (-1).into()),
        ("attlen", i32::from(pg_type.length).into()),
        ("attnum", i64::try_from(index + 1).unwrap_or(i64::MAX).into()),
        (
            "attndims",
            i32::from(row.is_some_and(|row| row.category == "A")).into(),
        ),
        ("attcacheoff", (-1).into()),
        ("atttypmod", pg_type.modifier.into()),
        ("attbyval", row.is_some_and(|row| row.by_value).into()),
        ("attalign", row.map(|row| row.alignment).into()),
        ("attstorage", row.map(|row| row.storage).into()),
        ("attnotnull", (!field.is_nullable()).into()),
        ("attislocal", true.into()),
        ("attcollation", row.map_or(0, |row| row.collation).into()),
    ]);
}

fn types(sink: &mut RowSink) {
    for row in TYPES.iter() {
        let [input, output, receive, send] = row.functions;
        sink.push([
            ("oid", row.oid.into()),
            ("typname", row.name.into()),
            ("typnamespace", 11_u32.into()),
            ("typowner", OWNER_OID.into()),
            ("typlen", i32::from(row.length).into()),
            ("typbyval", row.by_value.into()),
            ("typtype", row.kind.into()),
            ("typcategory", row.category.into()),
            ("typispreferred", row.preferred.into()),
            ("typisdefined", true.into()),
            ("typdelim", ",".into()),
            ("typelem", row.item.into()),
            ("typarray", row.array.into()),
            ("typinput", input.into()),
            ("typoutput", output.into()),
            ("typreceive", receive.into()),
            ("typsend", send.into()),
            ("typalign", row.alignment.into()),
            ("typstorage", row.storage.into()),
            ("typtypmod", (-1).into()),
            ("typcollation", row.collation.into()),
        ]);
    }
}

fn role_names(view: &CatalogView) -> Vec<&str> {
    let mut names = vec![OWNER];
    if view.user != OWNER {
        names.push(&view.user);
    }
    names
}

fn roles(view: &CatalogView, sink: &mut RowSink) {
    for name in role_names(view) {
        sink.push([
            ("oid", view.catalogs.oids.of_role(name).into()),
            ("rolname", name.into()),
            ("rolinherit", true.into()),
            ("rolcanlogin", true.into()),
            ("rolconnlimit", (-1).into()),
            ("rolpassword", "********".into()),
        ]);
    }
}

fn users(view: &CatalogView, sink: &mut RowSink) {
    for name in role_names(view) {
        sink.push([
            ("usename", name.into()),
            ("usesysid", view.catalogs.oids.of_role(name).into()),
            ("passwd", "********".into()),
        ]);
    }
}

fn settings(view: &CatalogView, sink: &mut RowSink) {
    for (name, value) in view.settings.all() {
        sink.push([
            ("name", name.into()),
            ("setting", value.into()),
            ("context", "user".into()),
            ("vartype", "string".into()),
            ("source", "default".into()),
        ]);
    }
}

async fn tables(view: &CatalogView, sink: &mut RowSink) -> Result<()> {
    let mut push = |schema: &str, table: &str| {
        sink.push([
            ("schemaname", schema.into()),
            ("tablename", table.into()),
            ("tableowner", OWNER.into()),
        ]);
    };
    for relation in RELATIONS.iter().filter(|relation| relation.kind == "r") {
        push(relation.schema, relation.name);
    }
    each_table(view, |name, schema, kind| {
        if kind == "r" {
            push(&schema, &name.table);
        }
    })
    .await
}

async fn schema_tables(view: &CatalogView, sink: &mut RowSink) -> Result<()> {
    let mut push = |schema: &str, table: &str, kind: &str| {
        sink.push([
            ("table_catalog", view.database.clone().into()),
            ("table_schema", schema.into()),
            ("table_name", table.into()),
            (
                "table_type",
                if kind == "r" { "BASE TABLE" } else { "VIEW" }.into(),
            ),
            ("is_insertable_into", "NO".into()),
            ("is_typed", "NO".into()),
        ]);
    };
    for relation in RELATIONS.iter() {
        push(relation.schema, relation.name, relation.kind);
    }
    each_table(view, |name, schema, kind| push(&schema, &name.table, kind)).await
}

async fn columns(view: &CatalogView, wanted: &Wanted, sink: &mut RowSink) -> Result<()> {
    let is_wanted = |schema: &str, table: &str| {
        wanted.accepts("table_schema", schema) && wanted.accepts("table_name", table)
    };
    for relation in RELATIONS.iter() {
        if is_wanted(relation.schema, relation.name) {
            for (index, field) in relation.columns.fields().iter().enumerate() {
                column(view, (relation.schema, relation.name), index, field, sink);
            }
        }
    }
    let tables = view.tables(|name| is_wanted(&view.shown_schema(name), &name.table));
    for table in tables.await? {
        let schema = view.shown_schema(table.name());
        for (index, field) in table.schema().fields().iter().enumerate() {
            column(view, (&schema, &table.name().table), index, field, sink);
        }
    }
    Ok(())
}

fn column(
    view: &CatalogView,
    (schema, table): (&str, &str),
    index: usize,
    field: &Field,
    sink: &mut RowSink,
) {
    let pg_type = PgType::of_field(field);
    let row = by_oid(pg_type.oid);
    let is_array = row.is_some_and(|row| row.category == "A");
    let data_type = if is_array {
        Some("ARRAY")
    } else {
        row.map(sql_name)
    };
    let numeric = (pg_type.modifier >= 4).then(|| pg_type.modifier - 4);
    let (precision, scale, radix) = match row.map(|row| row.name) {
        Some("int2") => (Some(16), Some(0), Some(2)),
        Some("int4") => (Some(32), Some(0), Some(2)),
        Some("int8") => (Some(64), Some(0), Some(2)),
        Some("float4") => (Some(24), None, Some(2)),
        Some("float8") => (Some(53), None, Some(2)),
        Some("numeric") => (
            numeric.map(|modifier| modifier >> 16),
            numeric.map(|modifier| modifier & 0xffff),
            Some(10),
        ),
        _ => (None, None, None),
    };
    let datetime_precision = match row.map(|row| row.name) {
        Some("date") => Some(0),
        Some("time" | "timestamp" | "timestamptz" | "interval") => Some(6),
        _ => None,
    };
    let octets = matches!(row.map(|row| row.name), Some("text" | "name")).then_some(1_073_741_824_i64);
    sink.push([
        ("table_catalog", view.database.clone().into()),
        ("table_schema", schema.into()),
        ("table_name", table.into()),
        ("column_name", field.name().as_str().into()),
        (
            "ordinal_position",
            i64::try_from(index + 1).unwrap_or(i64::MAX).into(),
        ),
        ("column_default", Cell::Null),
        (
            "is_nullable",
            if field.is_nullable() { "YES" } else { "NO" }.into(),
        ),
        ("data_type", data_type.into()),
        ("character_maximum_length", Cell::Null),
        ("character_octet_length", octets.into()),
        ("numeric_precision", precision.into()),
        ("numeric_precision_radix", radix.into()),
        ("numeric_scale", scale.into()),
        ("datetime_precision", datetime_precision.into()),
        ("interval_precision", Cell::Null),
        ("character_set_catalog", Cell::Null),
        ("character_set_schema", Cell::Null),
        ("character_set_name", Cell::Null),
        ("collation_catalog", Cell::Null),
        ("collation_schema", Cell::Null),
        ("collation_name", Cell::Null),
        ("domain_catalog", Cell::Null),
        ("domain_schema", Cell::Null),
        ("domain_name", Cell::Null),
        ("udt_catalog", view.database.clone().into()),
        ("udt_schema", PG_CATALOG.into()),
        ("udt_name", row.map(|row| row.name).into()),
        ("scope_catalog", Cell::Null),
        ("scope_schema", Cell::Null),
        ("scope_name", Cell::Null),
        ("maximum_cardinality", Cell::Null),
        ("dtd_identifier", (index + 1).to_string().into()),
        ("is_self_referencing", "NO".into()),
        ("is_identity", "NO".into()),
        ("identity_cycle", "NO".into()),
        ("is_generated", "NEVER".into()),
        ("is_updatable", "NO".into()),
    ]);
}

/// Each catalog with its state now: all are asked at the same time, none longer than [`PING_TIMEOUT`].
async fn catalogs(view: &CatalogView, sink: &mut RowSink) {
    let asked = view.catalogs.names().filter_map(|name| {
        let connector = view.catalogs.get(name)?;
        Some(async move {
            let error = match tokio::time::timeout(PING_TIMEOUT, connector.ping()).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(crate::error::QueryError::from(error).message),
                Err(_) => Some(format!("no answer within {} s", PING_TIMEOUT.as_secs())),
            };
            (name, connector.kind(), error)
        })
    });
    for (name, kind, error) in futures::future::join_all(asked).await {
        sink.push([
            ("name", name.into()),
            ("connector", kind.into()),
            ("status", if error.is_none() { "up" } else { "down" }.into()),
            ("error", error.into()),
            ("checked", chrono::Utc::now().into()),
        ]);
    }
}
