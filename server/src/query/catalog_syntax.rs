//! PostgreSQL's own spellings, made plain for the planner: `pg_catalog.` before functions, `OPERATOR(pg_catalog.~)`,
//! collations, casts to `regclass` and its like; and parts of catalog queries that can have no rows.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, GroupByExpr, Ident, JoinOperator, ObjectName, ObjectNamePart, Query, Select,
    SelectItem, SetExpr, Statement, TableFactor, TableWithJoins, Value, Visit, VisitMut, Visitor, VisitorMut,
    visit_expressions, visit_relations,
};

use super::names;
use super::references::path_as_written;
use crate::catalog::pg_type::by_name;
use crate::catalog::{CatalogView, TablePath};
use crate::error::{QueryError, Result};
use crate::sqlstate::SqlState;

/// The functions that `oid::regclass` and its like become; no statement can name them.
pub(super) const REGCLASS_NAME: &str = "regclass out";
pub(super) const REGTYPE_NAME: &str = "regtype out";
pub(super) const REGNAMESPACE_NAME: &str = "regnamespace out";

/// The function that makes a pattern with an escape character of its own a plain one.
pub(super) const LIKE_ESCAPE: &str = "like escape";

/// The schema whose name may stand before every function and type.
const PG_CATALOG: &str = "pg_catalog";

/// Rewrites `statement`. Errors: what a cast to `regclass` names does not exist.
pub(super) async fn rewrite(view: &CatalogView, statement: &mut Statement) -> Result<()> {
    let mut oids = HashMap::new();
    for text in regclass_literals(statement) {
        if let Entry::Vacant(entry) = oids.entry(text) {
            let oid = match entry.key().parse() {
                Ok(oid) => oid,
                Err(_) => view.oid_of(&path_of_text(entry.key())?).await?,
            };
            entry.insert(oid);
        }
    }
    let mut rewriter = Rewriter {
        view,
        oids: &oids,
        empty: reads(statement, |name| is_empty_relation(view, name)),
        types: reads(statement, |name| is_pg_type(view, name)),
    };
    match VisitMut::visit(statement, &mut rewriter) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// Whether `statement` asks for the schemas in which names are looked for.
pub(super) fn asks_for_schema(statement: &Statement) -> bool {
    let found = visit_expressions(statement, |expr| match expr {
        Expr::Function(function)
            if last_part(&function.name).is_some_and(|name| name.starts_with("current_schema")) =>
        {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// The kinds of `reg...` types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reg {
    Class,
    Type,
    Namespace,
    Proc,
}

fn reg_of(data_type: &DataType) -> Option<Reg> {
    match data_type {
        DataType::Regclass => Some(Reg::Class),
        DataType::Custom(name, _) => match last_part(name)?.as_str() {
            "regclass" => Some(Reg::Class),
            "regtype" => Some(Reg::Type),
            "regnamespace" => Some(Reg::Namespace),
            "regproc" | "regprocedure" => Some(Reg::Proc),
            _ => None,
        },
        _ => None,
    }
}

/// The texts that are cast to `regclass`.
fn regclass_literals(statement: &Statement) -> Vec<String> {
    let mut texts = Vec::new();
    let _ = visit_expressions(statement, |expr| {
        if let Expr::Cast { expr, data_type, .. } = expr
            && reg_of(data_type) == Some(Reg::Class)
            && let Some(text) = literal_text(expr)
        {
            texts.push(text.to_owned());
        }
        ControlFlow::<()>::Continue(())
    });
    texts
}

pub(super) fn literal_text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Some(text),
            _ => None,
        },
        Expr::Nested(inner) => literal_text(inner),
        _ => None,
    }
}

/// A name inside a text: `app.orders`, `"My Table"`.
fn path_of_text(text: &str) -> Result<TablePath> {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;
    let invalid = || QueryError::new(SqlState::INVALID_NAME, format!("invalid name syntax: \"{text}\""));
    let mut parser = Parser::new(&PostgreSqlDialect {})
        .try_with_sql(text)
        .map_err(|_| invalid())?;
    let name = parser.parse_object_name(false).map_err(|_| invalid())?;
    let mut path = path_as_written(&name);
    for part in &mut path.0 {
        part.span = None;
    }
    Ok(path)
}

fn is_empty_relation(view: &CatalogView, name: &ObjectName) -> bool {
    let path = path_as_written(name);
    matches!(view.system_relation(&path), Ok(Some(relation)) if relation.is_always_empty())
}

fn is_pg_type(view: &CatalogView, name: &ObjectName) -> bool {
    let path = path_as_written(name);
    matches!(view.system_relation(&path), Ok(Some(relation)) if relation.name == "pg_type")
}

fn reads(statement: &Statement, wanted: impl Fn(&ObjectName) -> bool) -> bool {
    let found = visit_relations(statement, |name| {
        if wanted(name) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    found.is_break()
}

struct Rewriter<'a> {
    view: &'a CatalogView,
    /// The numbers of the relations that are named in texts.
    oids: &'a HashMap<String, u32>,
    /// Whether the statement reads a relation that never has rows.
    empty: bool,
    /// Whether it reads `pg_type`.
    types: bool,
}

impl VisitorMut for Rewriter<'_> {
    type Break = QueryError;

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<QueryError> {
        if self.empty && query.with.is_none() {
            self.empty_body(&mut query.body);
            if is_empty(query) {
                query.order_by = None;
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<QueryError> {
        match expr {
            Expr::Function(function) => strip_schema(&mut function.name),
            Expr::BinaryOp { left, op, right } => {
                if let BinaryOperator::PGCustomBinaryOperator(parts) = op
                    && let [schema, operator] = parts.as_slice()
                    && schema == PG_CATALOG
                {
                    match binary_operator(operator) {
                        Some(found) => *op = found,
                        None => {
                            if let Some(like) = like(operator, left, right) {
                                *expr = like;
                            }
                        }
                    }
                }
            }
            Expr::Collate {
                expr: inner,
                collation,
            } if is_plain_collation(collation) => {
                *expr = std::mem::replace(inner, null());
            }
            Expr::Cast {
                expr: inner,
                data_type,
                ..
            } => {
                if let Some(reg) = reg_of(data_type) {
                    match self.cast_to_reg(inner, reg) {
                        Ok(cast) => *expr = cast,
                        Err(error) => return ControlFlow::Break(error),
                    }
                }
            }
            Expr::Like {
                pattern, escape_char, ..
            }
            | Expr::ILike {
                pattern, escape_char, ..
            } => {
                if let Some(character) = escape_char.take() {
                    let escaped = std::mem::replace(pattern.as_mut(), null());
                    **pattern = call(LIKE_ESCAPE, vec![escaped, Expr::value(character.value)]);
                }
            }
            Expr::Case {
                operand: None,
                conditions,
                else_result,
                ..
            } if self.types => {
                conditions.retain(|when| !is_impossible(&when.condition));
                if conditions.is_empty() {
                    *expr = else_result.take().map_or_else(null, |result| *result);
                }
            }
            Expr::Subquery(query) if is_empty(query) => *expr = null(),
            Expr::Exists { subquery, negated } if is_empty(subquery) => *expr = boolean(*negated),
            Expr::InSubquery {
                subquery, negated, ..
            } if is_empty(subquery) => *expr = boolean(*negated),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

impl Rewriter<'_> {
    fn cast_to_reg(&self, inner: &mut Expr, reg: Reg) -> Result<Expr> {
        let operand = std::mem::replace(inner, null());
        let Some(text) = literal_text(&operand) else {
            let function = match reg {
                Reg::Class => REGCLASS_NAME,
                Reg::Type => REGTYPE_NAME,
                Reg::Namespace => REGNAMESPACE_NAME,
                Reg::Proc => return Ok(operand),
            };
            return Ok(call(function, vec![operand]));
        };
        let oid = match reg {
            Reg::Class => self.oids.get(text).copied(),
            Reg::Type => {
                let name = text.strip_prefix("pg_catalog.").unwrap_or(text);
                let found = by_name(name.trim_matches('"')).map(|row| row.oid);
                Some(found.ok_or_else(|| undefined("type", text))?)
            }
            Reg::Namespace => Some(self.view.schema_oid(text.trim_matches('"'))),
            // Functions are known by their names, not by numbers.
            Reg::Proc => return Ok(string(text.rsplit('.').next().unwrap_or(text))),
        };
        Ok(as_oid(oid.unwrap_or(0)))
    }

    /// Makes every part of `body` that cannot have rows plainly empty.
    fn empty_body(&self, body: &mut SetExpr) {
        match body {
            SetExpr::Select(select) if self.is_without_rows(select) => make_empty(select),
            SetExpr::SetOperation { left, right, .. } => {
                self.empty_body(left);
                self.empty_body(right);
            }
            _ => {}
        }
    }

    fn is_without_rows(&self, select: &Select) -> bool {
        let grouped = match &select.group_by {
            GroupByExpr::All(_) => true,
            GroupByExpr::Expressions(by, _) => !by.is_empty(),
        };
        let aggregates = !grouped && select.projection.iter().any(has_aggregate);
        !aggregates
            && select.having.is_none()
            && select.projection.iter().all(|item| {
                matches!(
                    item,
                    SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. }
                )
            })
            && select.from.iter().any(|tables| self.is_empty_join(tables))
    }

    fn is_empty_join(&self, tables: &TableWithJoins) -> bool {
        let mut empty = self.is_empty_factor(&tables.relation);
        for join in &tables.joins {
            let other = self.is_empty_factor(&join.relation);
            empty = match &join.join_operator {
                JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_) => empty || other,
                JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => empty,
                _ => false,
            };
        }
        empty
    }

    fn is_empty_factor(&self, factor: &TableFactor) -> bool {
        match factor {
            TableFactor::Table { name, args: None, .. } => is_empty_relation(self.view, name),
            TableFactor::Derived { subquery, .. } => is_empty(subquery),
            TableFactor::NestedJoin { table_with_joins, .. } => self.is_empty_join(table_with_joins),
            _ => false,
        }
    }
}

/// Whether a condition asks for a type that is a domain, a composite, an enum or a range: Causeway has none. Drivers
/// look into those by subqueries that cannot be planned.
fn is_impossible(condition: &Expr) -> bool {
    let Expr::BinaryOp {
        left,
        op: BinaryOperator::Eq,
        right,
    } = condition
    else {
        return false;
    };
    let column = match left.as_ref() {
        Expr::Identifier(ident) => Some(ident),
        Expr::CompoundIdentifier(parts) => parts.last(),
        _ => None,
    };
    column.is_some_and(|column| column.value.eq_ignore_ascii_case("typtype"))
        && literal_text(right).is_some_and(|kind| ["d", "c", "e", "r", "m"].contains(&kind))
}

/// Whether `query` has been made empty.
fn is_empty(query: &Query) -> bool {
    match query.body.as_ref() {
        SetExpr::Select(select) => {
            select.from.is_empty()
                && matches!(
                    &select.selection,
                    Some(Expr::Value(value)) if value.value == Value::Boolean(false)
                )
        }
        _ => false,
    }
}

/// Keeps the output names of `select`, and nothing else.
fn make_empty(select: &mut Select) {
    let mut seen = HashSet::new();
    for (index, item) in select.projection.iter_mut().enumerate() {
        let alias = match item {
            SelectItem::ExprWithAlias { alias, .. } => Some(alias.clone()),
            SelectItem::UnnamedExpr(expr) => names::expr_name(expr).map(|name| Ident::with_quote('"', name)),
            _ => continue,
        };
        // The planner wants every name once; the client sees those of the statement as it is written.
        let alias = alias.filter(|alias| seen.insert(alias.value.to_lowercase()));
        let alias = alias.unwrap_or_else(|| Ident::with_quote('"', format!("?column {index}?")));
        *item = SelectItem::ExprWithAlias {
            expr: Expr::Cast {
                kind: CastKind::DoubleColon,
                expr: Box::new(null()),
                data_type: DataType::Text,
                array: false,
                format: None,
            },
            alias,
        };
    }
    select.from = Vec::new();
    select.group_by = GroupByExpr::Expressions(Vec::new(), Vec::new());
    select.distinct = None;
    select.selection = Some(boolean(false));
}

/// Whether an output column or a condition has an aggregate, so that there is a row even without rows below.
pub(super) fn has_aggregate(item: &impl Visit) -> bool {
    const AGGREGATES: [&str; 10] = [
        "count",
        "sum",
        "min",
        "max",
        "avg",
        "array_agg",
        "string_agg",
        "json_agg",
        "bool_or",
        "bool_and",
    ];
    struct Search {
        /// How many subqueries are around: their aggregates are their own.
        depth: usize,
    }
    impl Visitor for Search {
        type Break = ();

        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.depth += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Function(function)
                    if self.depth == 0
                        && last_part(&function.name)
                            .is_some_and(|name| AGGREGATES.contains(&name.as_str())) =>
                {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    item.visit(&mut Search { depth: 0 }).is_break()
}

fn binary_operator(operator: &str) -> Option<BinaryOperator> {
    Some(match operator {
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "=" => BinaryOperator::Eq,
        "<>" | "!=" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        "<=" => BinaryOperator::LtEq,
        ">" => BinaryOperator::Gt,
        ">=" => BinaryOperator::GtEq,
        "+" => BinaryOperator::Plus,
        "-" => BinaryOperator::Minus,
        "||" => BinaryOperator::StringConcat,
        _ => return None,
    })
}

/// LIKE, written as an operator.
fn like(operator: &str, left: &mut Expr, right: &mut Expr) -> Option<Expr> {
    let (negated, ignore_case) = match operator {
        "~~" => (false, false),
        "!~~" => (true, false),
        "~~*" => (false, true),
        "!~~*" => (true, true),
        _ => return None,
    };
    let expr = Box::new(std::mem::replace(left, null()));
    let pattern = Box::new(std::mem::replace(right, null()));
    Some(if ignore_case {
        Expr::ILike {
            negated,
            any: false,
            expr,
            pattern,
            escape_char: None,
        }
    } else {
        Expr::Like {
            negated,
            any: false,
            expr,
            pattern,
            escape_char: None,
        }
    })
}

/// Texts are compared by their bytes anyway.
fn is_plain_collation(name: &ObjectName) -> bool {
    last_part(name).is_some_and(|last| ["default", "c", "posix", "ucs_basic"].contains(&last.as_str()))
}

fn strip_schema(name: &mut ObjectName) {
    let is_system = |part: &ObjectNamePart| {
        part.as_ident()
            .is_some_and(|ident| ident.value.eq_ignore_ascii_case(PG_CATALOG))
    };
    if name.0.len() == 2 && name.0.first().is_some_and(is_system) {
        name.0.remove(0);
    }
}

pub(super) fn last_part(name: &ObjectName) -> Option<String> {
    name.0
        .last()
        .and_then(|part| part.as_ident())
        .map(|ident| ident.value.to_lowercase())
}

fn undefined(what: &str, name: &str) -> QueryError {
    QueryError::new(
        SqlState::UNDEFINED_OBJECT,
        format!("{what} \"{name}\" does not exist"),
    )
}

pub(super) fn null() -> Expr {
    Expr::value(Value::Null)
}

fn boolean(value: bool) -> Expr {
    Expr::value(Value::Boolean(value))
}

pub(super) fn string(text: &str) -> Expr {
    Expr::value(Value::SingleQuotedString(text.to_owned()))
}

fn as_oid(value: u32) -> Expr {
    Expr::Cast {
        kind: CastKind::DoubleColon,
        expr: Box::new(Expr::value(Value::Number(value.to_string(), false))),
        data_type: DataType::Custom(ObjectName::from(vec![Ident::new("oid")]), Vec::new()),
        array: false,
        format: None,
    }
}

pub(super) fn call(function: &str, arguments: Vec<Expr>) -> Expr {
    let arguments = arguments.into_iter();
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::with_quote('"', function)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: arguments
                .map(|argument| FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)))
                .collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
