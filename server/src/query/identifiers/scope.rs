//! Which relations, with which columns, a name in a statement can mean.

use std::borrow::Cow;
use std::collections::HashMap;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::TableReference;
use datafusion::sql::planner::object_name_to_table_reference;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, JoinOperator, ObjectName, Query, Select, SelectItem, SelectItemQualifiedWildcardKind,
    SetExpr, TableAlias, TableFactor, TableWithJoins,
};

use super::given::{Given, find, join};
use super::{folded, last_folded, names};
use crate::error::{QueryError, Result};
use crate::sqlstate::SqlState;

/// The names of a relation's columns; `None` where only the planner knows them.
type Columns = Option<Vec<String>>;

/// A relation of a FROM clause.
#[derive(Debug, Clone)]
pub(super) struct Relation {
    /// The name that qualifies its columns: its alias, else the last part of its own name.
    pub(super) name: Option<String>,
    /// Its name as it is written, which stands before its columns unless it has an alias.
    pub(super) written: Option<ObjectName>,
    columns: Columns,
}

impl Relation {
    pub(super) fn known_columns(&self) -> Option<&[String]> {
        self.columns.as_deref()
    }

    /// What stands before its columns.
    pub(super) fn qualifier(&self) -> Option<ObjectName> {
        let name = || self.name.as_ref();
        let written = self.written.clone();
        written.or_else(|| Some(ObjectName::from(vec![Ident::with_quote('"', name()?)])))
    }

    /// Its column `name`.
    pub(super) fn column(&self, name: &str) -> Expr {
        let column = Ident::with_quote('"', name);
        let Some(qualifier) = self.qualifier() else {
            return Expr::Identifier(column);
        };
        let parts = qualifier.0.iter().filter_map(|part| part.as_ident().cloned());
        Expr::CompoundIdentifier(parts.chain([column]).collect())
    }
}

/// An output column.
#[derive(Debug)]
pub(super) struct Output<'a> {
    /// Its name: a repeated one with its mark.
    pub(super) name: String,
    pub(super) value: Cow<'a, Expr>,
}

/// What the names in one SELECT, or in its ORDER BY, can mean.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    pub(super) relations: Vec<Relation>,
    /// What names without a relation can mean, and what `*` stands for.
    pub(super) given: Vec<Given>,
    /// The output columns that ORDER BY sees first.
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

    /// What is seen of both of two parts of a FROM clause.
    pub(super) fn extend(&mut self, other: Self) {
        self.relations.extend(other.relations);
        self.given.extend(other.given);
    }

    /// Joins another part; gives what USING and NATURAL mean. Errors: 42703 and 42702 for their columns.
    pub(super) fn join(&mut self, other: Self, operator: &JoinOperator) -> Result<Option<Expr>> {
        let joined = join(std::mem::take(&mut self.given), other.given, operator)?;
        self.relations.extend(other.relations);
        self.given = joined.given;
        Ok(joined.condition)
    }

    /// The output columns of `select`; `None` where only the planner knows them.
    pub(super) fn outputs_of<'a>(&'a self, select: &'a Select) -> Option<Vec<Output<'a>>> {
        let mut values = Vec::new();
        for item in &select.projection {
            match item {
                SelectItem::Wildcard(_) => {
                    for given in &self.given {
                        let column = given.column()?;
                        values.push((column.name.clone(), Cow::Borrowed(column.value.as_ref())));
                    }
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                    let relation = self.relation(name.0.last()?.as_ident()?)?;
                    for column in relation.known_columns()? {
                        values.push((column.clone(), Cow::Owned(relation.column(column))));
                    }
                }
                SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                    values.push((item_name(item)?, Cow::Borrowed(expr)));
                }
                _ => return None,
            }
        }
        let names = self.distinct_names(
            values
                .iter()
                .map(|(name, value)| (name.as_str(), Some(value.as_ref()))),
        );
        let outputs = names.into_iter().zip(values);
        Some(outputs.map(|(name, (_, value))| Output { name, value }).collect())
    }

    /// The names of what `*` stands for; `None` where only the planner knows them.
    fn names_of_all(&self) -> Columns {
        let columns: Option<Vec<_>> = self.given.iter().map(Given::column).collect();
        let columns = columns?;
        let columns = columns
            .iter()
            .map(|column| (column.name.as_str(), Some(column.value.as_ref())));
        Some(self.distinct_names(columns))
    }

    /// The names of the items of a select list.
    pub(super) fn names_of(&self, select: &Select) -> Vec<Option<String>> {
        let written: Vec<Option<String>> = select.projection.iter().map(item_name).collect();
        let items = select.projection.iter().zip(&written);
        let names = self.distinct_names(items.map(|(item, name)| match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                (name.as_deref().unwrap_or_default(), Some(expr))
            }
            _ => ("", None),
        }));
        let names = names.into_iter().zip(&written);
        names
            .map(|(name, written)| written.as_ref().map(|_| name))
            .collect()
    }

    /// Names of outputs, of which none is there twice or is that of another column of FROM: the planner would mix them up.
    fn distinct_names<'a>(&self, outputs: impl Iterator<Item = (&'a str, Option<&'a Expr>)>) -> Vec<String> {
        let outputs: Vec<(&str, bool)> = outputs
            .map(|(name, value)| (name, value.is_some_and(|value| self.hides_column(name, value))))
            .collect();
        names::distinct(&outputs)
    }

    /// Whether `value` has the name of a column of FROM, and is none.
    fn hides_column(&self, name: &str, value: &Expr) -> bool {
        let is_column = match value {
            Expr::Identifier(ident) => {
                let found = find(&self.given, ident).ok().flatten();
                found.is_none_or(|column| matches!(*column.value, Expr::CompoundIdentifier(_)))
            }
            Expr::CompoundIdentifier(_) => true,
            _ => false,
        };
        let mut columns = self
            .relations
            .iter()
            .filter_map(Relation::known_columns)
            .flatten();
        !is_column && columns.any(|column| names::shown(column) == names::shown(name))
    }

    /// Whether USING or NATURAL made one column of two.
    fn has_merged(&self) -> bool {
        let columns = self.relations.iter().filter_map(Relation::known_columns);
        let of_relations: usize = columns.map(<[String]>::len).sum();
        self.given.iter().filter_map(Given::column).count() < of_relations
    }

    /// Writes out `*` where the planner would give other columns, or two of one name.
    pub(super) fn expand(&self, select: &mut Select) {
        let outputs = self.outputs_of(select);
        let repeats =
            outputs.is_some_and(|outputs| outputs.iter().any(|output| names::is_marked(&output.name)));
        if !repeats && !self.has_merged() {
            return;
        }
        let items = std::mem::take(&mut select.projection).into_iter();
        let expanded = items.flat_map(|item| match &item {
            SelectItem::Wildcard(_) => self.given.iter().cloned().map(Given::into_item).collect(),
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                let last = name.0.last().and_then(|part| part.as_ident());
                match last.and_then(|last| self.relation(last)) {
                    Some(relation) => Given::of(relation).into_iter().map(Given::into_item).collect(),
                    None => vec![item],
                }
            }
            _ => vec![item],
        });
        select.projection = expanded.collect();
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

    /// Errors: 42703 and 42702 for the columns of USING and NATURAL.
    pub(super) fn scope(&mut self, select: &Select) -> Result<Scope> {
        let mut scope = Scope::default();
        for tables in &select.from {
            scope.extend(self.joined(tables)?);
        }
        Ok(scope)
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
        let scope = self.scope(select).ok()?;
        let outputs = scope.outputs_of(select)?.into_iter();
        Some(outputs.map(|output| output.name).collect())
    }

    fn joined(&mut self, tables: &TableWithJoins) -> Result<Scope> {
        let mut scope = self.factor(&tables.relation)?;
        for joined in &tables.joins {
            scope.join(self.factor(&joined.relation)?, &joined.join_operator)?;
        }
        Ok(scope)
    }

    /// One part of a FROM clause.
    pub(super) fn factor(&mut self, factor: &TableFactor) -> Result<Scope> {
        if let TableFactor::NestedJoin {
            table_with_joins,
            alias: None,
        } = factor
        {
            return self.joined(table_with_joins);
        }
        let relations: Vec<Relation> = self.relation(factor).into_iter().collect();
        Ok(Scope {
            given: relations.iter().flat_map(Given::of).collect(),
            relations,
            outputs: Vec::new(),
        })
    }

    fn relation(&mut self, factor: &TableFactor) -> Option<Relation> {
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
                let inner = self.joined(table_with_joins).unwrap_or_default();
                (None, inner.names_of_all(), alias)
            }
            TableFactor::UNNEST { alias, .. } | TableFactor::TableFunction { alias, .. } => {
                (None, None, alias)
            }
            _ => return None,
        };
        let (name, columns) = match alias {
            Some(alias) => (Some(folded(&alias.name)), renamed(columns, alias)),
            None => (own_name, columns),
        };
        let written = match (factor, alias) {
            (TableFactor::Table { name, .. }, None) => Some(name.clone()),
            _ => None,
        };
        Some(Relation {
            name,
            written,
            columns,
        })
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
