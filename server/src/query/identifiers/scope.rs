//! Which relations, with which columns, a name in a statement can mean.

use std::collections::HashMap;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::TableReference;
use datafusion::sql::planner::object_name_to_table_reference;
use datafusion::sql::sqlparser::ast::{
    Ident, ObjectName, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableAlias,
    TableFactor, TableWithJoins,
};

use super::{folded, last_folded, names};
use crate::error::QueryError;
use crate::sqlstate::SqlState;

/// The names of a relation's columns; `None` where only the planner knows them.
type Columns = Option<Vec<String>>;

/// A relation of a FROM clause.
#[derive(Debug)]
pub(super) struct Relation {
    /// The name that qualifies its columns: its alias, else the last part of its own name.
    pub(super) name: Option<String>,
    /// Its name as it is written, which stands before its columns unless it has an alias.
    pub(super) written: Option<ObjectName>,
    columns: Columns,
}

impl Relation {
    pub(super) fn columns(&self) -> &[String] {
        self.columns.as_deref().unwrap_or_default()
    }

    pub(super) fn has(&self, column: &str) -> bool {
        self.columns().iter().any(|known| known == column)
    }
}

/// What the names in one SELECT, or in its ORDER BY, can mean.
#[derive(Debug, Default)]
pub(super) struct Scope {
    pub(super) relations: Vec<Relation>,
    /// The output columns, which ORDER BY sees too.
    pub(super) outputs: Vec<String>,
}

impl Scope {
    /// Two relations with one name: only tables of different schemas may have that.
    pub(super) fn repeated_name(&self) -> Option<QueryError> {
        let repeated = self.relations.iter().enumerate().find_map(|(index, relation)| {
            let name = relation.name.as_ref()?;
            let repeats = self.relations.iter().take(index).any(|other| {
                let both_tables = relation.written.is_some() && other.written.is_some();
                other.name.as_ref() == Some(name) && !(both_tables && relation.written != other.written)
            });
            repeats.then_some(name)
        })?;
        let message = format!("table name \"{repeated}\" specified more than once");
        Some(QueryError::new(SqlState::DUPLICATE_ALIAS, message))
    }

    /// The relation that a qualifier means: exactly, else, unquoted, the only one that differs in case.
    pub(super) fn relation(&self, qualifier: &Ident) -> Option<&Relation> {
        let named = |relation: &&Relation| relation.name.as_deref() == Some(folded(qualifier).as_str());
        if let Some(exact) = self.relations.iter().find(named) {
            return Some(exact);
        }
        if qualifier.quote_style.is_some() {
            return None;
        }
        let wanted = qualifier.value.to_lowercase();
        let mut alike = self.relations.iter().filter(|relation| {
            relation
                .name
                .as_deref()
                .is_some_and(|name| name.to_lowercase() == wanted)
        });
        match (alike.next(), alike.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        }
    }
}

/// The tables of the statement, and the common table expressions at the place that is visited.
pub(super) struct Known<'a> {
    tables: &'a HashMap<TableReference, SchemaRef>,
    ctes: Vec<HashMap<String, Columns>>,
}

impl<'a> Known<'a> {
    pub(super) fn new(tables: &'a HashMap<TableReference, SchemaRef>) -> Self {
        Self {
            tables,
            ctes: Vec::new(),
        }
    }

    /// Enters `query`: its common table expressions are known until [`Known::leave`].
    pub(super) fn enter(&mut self, query: &Query) {
        self.ctes.push(HashMap::new());
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let columns = renamed(self.outputs(&cte.query), &cte.alias);
            if let Some(frame) = self.ctes.last_mut() {
                frame.insert(folded(&cte.alias.name), columns);
            }
        }
    }

    pub(super) fn leave(&mut self) {
        self.ctes.pop();
    }

    pub(super) fn scope(&mut self, select: &Select) -> Scope {
        Scope {
            relations: self.relations(&select.from),
            outputs: Vec::new(),
        }
    }

    /// The output columns of `query`.
    fn outputs(&mut self, query: &Query) -> Columns {
        self.enter(query);
        let outputs = self.outputs_of_body(&query.body);
        self.leave();
        outputs
    }

    pub(super) fn outputs_of_body(&mut self, body: &SetExpr) -> Columns {
        match body {
            SetExpr::Select(select) => self.outputs_of_select(select),
            SetExpr::Query(query) => self.outputs(query),
            SetExpr::SetOperation { left, .. } => self.outputs_of_body(left),
            SetExpr::Values(values) => {
                let width = values.rows.first().map_or(0, |row| row.content.len());
                Some((1..=width).map(|number| format!("column{number}")).collect())
            }
            _ => None,
        }
    }

    fn outputs_of_select(&mut self, select: &Select) -> Columns {
        let starred = select.projection.iter().any(|item| item_name(item).is_none());
        let scope = if starred {
            self.scope(select)
        } else {
            Scope::default()
        };
        let mut outputs = Vec::new();
        for item in &select.projection {
            match item {
                SelectItem::Wildcard(_) => {
                    for relation in &scope.relations {
                        outputs.extend(relation.columns.clone()?);
                    }
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                    let last = name.0.last()?.as_ident()?;
                    outputs.extend(scope.relation(last)?.columns.clone()?);
                }
                other => outputs.push(item_name(other)?),
            }
        }
        Some(outputs)
    }

    fn relations(&mut self, from: &[TableWithJoins]) -> Vec<Relation> {
        let mut relations = Vec::new();
        for tables in from {
            relations.extend(self.relations_of_factor(&tables.relation));
            for join in &tables.joins {
                relations.extend(self.relations_of_factor(&join.relation));
            }
        }
        relations
    }

    pub(super) fn relations_of_factor(&mut self, factor: &TableFactor) -> Vec<Relation> {
        let (own_name, columns, alias) = match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                ..
            } => {
                let last = last_folded(name);
                let cte = match (name.0.len(), &last) {
                    (1, Some(last)) => self.ctes.iter().rev().find_map(|frame| frame.get(last)).cloned(),
                    _ => None,
                };
                let columns = cte.unwrap_or_else(|| {
                    let reference = object_name_to_table_reference(name.clone(), true).ok()?;
                    let schema = self.tables.get(&reference)?;
                    Some(schema.fields().iter().map(|field| field.name().clone()).collect())
                });
                (last, columns, alias)
            }
            TableFactor::Table { name, alias, .. } | TableFactor::Function { name, alias, .. } => {
                (last_folded(name), None, alias)
            }
            TableFactor::Derived { subquery, alias, .. } => (None, self.outputs(subquery), alias),
            TableFactor::NestedJoin {
                table_with_joins,
                alias,
            } => {
                let inner = self.relations(std::slice::from_ref(table_with_joins));
                if alias.is_none() {
                    return inner;
                }
                let columns: Option<Vec<_>> = inner.into_iter().map(|relation| relation.columns).collect();
                (None, columns.map(|columns| columns.concat()), alias)
            }
            TableFactor::UNNEST { alias, .. } | TableFactor::TableFunction { alias, .. } => {
                (None, None, alias)
            }
            _ => return Vec::new(),
        };
        let (name, columns) = match alias {
            Some(alias) => (Some(folded(&alias.name)), renamed(columns, alias)),
            None => (own_name, columns),
        };
        let written = match (factor, alias) {
            (TableFactor::Table { name, .. }, None) => Some(name.clone()),
            _ => None,
        };
        vec![Relation {
            name,
            written,
            columns,
        }]
    }
}

/// The columns under the names that an alias gives to the first of them.
fn renamed(columns: Columns, alias: &TableAlias) -> Columns {
    if alias.columns.is_empty() {
        return columns;
    }
    let given = alias.columns.iter().map(|column| folded(&column.name));
    let rest = columns.unwrap_or_default().into_iter().skip(alias.columns.len());
    Some(given.chain(rest).collect())
}

/// The name of one output column; `None` for a wildcard.
pub(super) fn item_name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
        SelectItem::UnnamedExpr(expr) => {
            Some(names::expr_name(expr).unwrap_or_else(|| names::UNNAMED.to_owned()))
        }
        _ => None,
    }
}
