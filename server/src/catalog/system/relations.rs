//! The relations of the system: their columns, and which of them can have rows.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::{Schema, SchemaRef};

use super::rows;
use crate::catalog::pg_type::catalog_field;

/// PostgreSQL's own schema.
pub(crate) const PG_CATALOG: &str = "pg_catalog";
/// The schemas of the system.
pub(crate) const SCHEMAS: [&str; 3] = [PG_CATALOG, "information_schema", "system"];

/// One relation.
#[derive(Debug)]
pub(crate) struct Relation {
    pub(crate) oid: u32,
    pub(crate) schema: &'static str,
    pub(crate) name: &'static str,
    /// `r` for a table, `v` for a view.
    pub(crate) kind: &'static str,
    pub(crate) columns: SchemaRef,
}

impl Relation {
    /// Whether it never has rows: Causeway has no such objects.
    pub(crate) fn is_always_empty(&self) -> bool {
        !rows::has_rows(self.schema, self.name)
    }
}

/// All relations.
pub(crate) static RELATIONS: LazyLock<Vec<Relation>> = LazyLock::new(|| {
    let texts = [include_str!("relations.txt"), include_str!("own.txt")];
    let lines = texts.into_iter().flat_map(str::lines);
    lines
        .filter(|line| !line.starts_with('#'))
        .filter_map(parse)
        .collect()
});

static BY_NAME: LazyLock<HashMap<(&'static str, &'static str), &'static Relation>> = LazyLock::new(|| {
    RELATIONS
        .iter()
        .map(|relation| ((relation.schema, relation.name), relation))
        .collect()
});

/// The relation `schema`.`name`.
pub(crate) fn relation(schema: &str, name: &str) -> Option<&'static Relation> {
    BY_NAME.get(&(schema, name)).copied()
}

fn parse(line: &'static str) -> Option<Relation> {
    let (head, columns) = line.split_once(": ")?;
    let mut words = head.split(' ');
    let oid = words.next()?.parse().ok()?;
    let (schema, name) = words.next()?.split_once('.')?;
    let kind = words.next()?;
    let fields = columns.split(", ").filter_map(|column| {
        let (name, type_name) = column.split_once(' ')?;
        Some(catalog_field(name, type_name))
    });
    Some(Relation {
        oid,
        schema,
        name,
        kind,
        columns: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_relation() {
        assert_eq!(RELATIONS.len(), 203 + 2);
        let class = relation(PG_CATALOG, "pg_class").unwrap();
        assert_eq!((class.oid, class.columns.fields().len()), (1259, 33));
        assert!(!class.is_always_empty());
        assert!(relation(PG_CATALOG, "pg_policy").unwrap().is_always_empty());
    }
}
