//! The names of a result's columns as PostgreSQL gives them, computed from the syntax tree.

use std::collections::HashMap;

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, DataType, Expr, FunctionArguments, Ident, ObjectName, Query, Select, SelectItem,
    SetExpr, Statement,
};

use super::identifiers::folded;

/// The name of an output column that has none.
pub(super) const UNNAMED: &str = "?column?";

/// The output names of `statement`, whose plan gives `planned`; a wildcard's columns keep their planned names.
pub(super) fn output_names(statement: &Statement, planned: &[String]) -> Vec<String> {
    let Statement::Query(query) = statement else {
        return planned.to_vec();
    };
    let Some(select) = leftmost_select(query) else {
        return planned.to_vec();
    };
    let wildcards = select.projection.iter().filter(|item| is_wildcard(item)).count();
    let others = select.projection.len() - wildcards;
    let Some(expanded) = planned.len().checked_sub(others) else {
        return planned.to_vec();
    };
    if wildcards > 1 || (wildcards == 0 && expanded > 0) {
        return planned.to_vec();
    }
    let mut names = Vec::with_capacity(planned.len());
    for item in &select.projection {
        if is_wildcard(item) {
            let start = names.len();
            names.extend(planned.iter().skip(start).take(expanded).cloned());
        } else {
            names.push(item_name(item));
        }
    }
    names
}

/// What marks a name, with its place behind it: a sign that no statement can hold.
const MARK: char = '\0';

/// `names`, of which those that are there twice and those with `true` are marked: DataFusion wants the names of a select list
/// to be distinct, PostgreSQL does not.
pub(super) fn distinct(names: &[(&str, bool)]) -> Vec<String> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for (name, _) in names {
        *counts.entry(shown(name)).or_default() += 1;
    }
    let places = names.iter().enumerate();
    let distinct = places.map(|(place, (name, marked))| match counts.get(shown(name)) {
        Some(1) | None if !marked => shown(name).to_owned(),
        _ => format!("{}{MARK}{place}", shown(name)),
    });
    distinct.collect()
}

/// Whether `name` has a mark.
pub(super) fn is_marked(name: &str) -> bool {
    name.contains(MARK)
}

/// A name without its mark.
pub(super) fn shown(name: &str) -> &str {
    name.split_once(MARK).map_or(name, |(name, _)| name)
}

/// A text that may hold names, without their marks.
pub(crate) fn shown_in(text: &str) -> String {
    let mut pieces = text.split(MARK);
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |shown, piece| {
        shown + piece.trim_start_matches(|character: char| character.is_ascii_digit())
    })
}

/// Gives the columns of the right sides of UNION, INTERSECT and EXCEPT names of their own: those of the first SELECT are the
/// result's, and DataFusion finds two of one name where one of them is a term and gets the name of the left side.
pub(super) fn name_right_sides(query: &mut Query) {
    name_sides(query.body.as_mut(), false);
}

fn name_sides(body: &mut SetExpr, is_right: bool) {
    match body {
        SetExpr::Select(select) if is_right => {
            for (index, item) in select.projection.iter_mut().enumerate() {
                if let SelectItem::UnnamedExpr(expr) = item {
                    *item = numbered(expr, index);
                }
            }
        }
        SetExpr::Query(query) => name_sides(query.body.as_mut(), is_right),
        SetExpr::SetOperation { left, right, .. } => {
            name_sides(left, is_right);
            name_sides(right, true);
        }
        _ => {}
    }
}

fn numbered(expr: &Expr, index: usize) -> SelectItem {
    SelectItem::ExprWithAlias {
        expr: expr.clone(),
        alias: Ident::with_quote('"', format!("?column {index}?")),
    }
}

fn leftmost_select(query: &Query) -> Option<&Select> {
    let mut body = query.body.as_ref();
    loop {
        body = match body {
            SetExpr::Select(select) => return Some(select),
            SetExpr::Query(query) => query.body.as_ref(),
            SetExpr::SetOperation { left, .. } => left.as_ref(),
            _ => return None,
        };
    }
}

fn is_wildcard(item: &SelectItem) -> bool {
    matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..))
}

fn item_name(item: &SelectItem) -> String {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => folded(alias),
        SelectItem::UnnamedExpr(expr) => expr_name(expr).unwrap_or_else(|| UNNAMED.to_owned()),
        _ => UNNAMED.to_owned(),
    }
}

pub(super) fn expr_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => Some(folded(ident)),
        Expr::CompoundIdentifier(parts) => parts.last().map(folded),
        Expr::Function(function) => match &function.args {
            FunctionArguments::Subquery(_) => None,
            _ => last_part(&function.name),
        },
        // The name of a type is the last resort: of several casts, the outermost one's.
        Expr::Cast { expr, data_type, .. } => named_operand(expr).or_else(|| Some(type_name(data_type))),
        Expr::TypedString(typed) => Some(type_name(&typed.data_type)),
        Expr::Nested(inner) => expr_name(inner),
        Expr::Case { else_result, .. } => else_result
            .as_deref()
            .and_then(column_name)
            .or_else(|| Some("case".to_owned())),
        Expr::Extract { .. } => Some("extract".to_owned()),
        Expr::Substring { shorthand: true, .. } => Some("substr".to_owned()),
        Expr::Substring { .. } => Some("substring".to_owned()),
        Expr::AtTimeZone { .. } => Some("timezone".to_owned()),
        Expr::CompoundFieldAccess { root, .. } => expr_name(root),
        Expr::Position { .. } => Some("position".to_owned()),
        Expr::Trim { .. } => Some("btrim".to_owned()),
        Expr::Ceil { .. } => Some("ceil".to_owned()),
        Expr::Floor { .. } => Some("floor".to_owned()),
        Expr::Exists { .. } => Some("exists".to_owned()),
        Expr::Interval(_) => Some("interval".to_owned()),
        Expr::Array(_) => Some("array".to_owned()),
        Expr::Subquery(query) => match leftmost_select(query)?.projection.first()? {
            SelectItem::UnnamedExpr(expr) => expr_name(expr),
            item => Some(item_name(item)),
        },
        _ => None,
    }
}

/// The name of what is cast, unless that is a literal, a cast or a CASE itself.
fn named_operand(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Nested(inner) => named_operand(inner),
        Expr::Cast { expr, .. } => named_operand(expr),
        Expr::TypedString(_) | Expr::Interval(_) | Expr::Case { .. } => None,
        other => expr_name(other),
    }
}

fn column_name(expr: &Expr) -> Option<String> {
    is_column(expr).then(|| expr_name(expr)).flatten()
}

fn is_column(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
}

fn last_part(name: &ObjectName) -> Option<String> {
    name.0.last().and_then(|part| part.as_ident()).map(folded)
}

/// The name of a type as it names a column: PostgreSQL's internal one.
fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Int(_) | DataType::Integer(_) | DataType::Int4(_) => "int4".to_owned(),
        DataType::BigInt(_) | DataType::Int8(_) => "int8".to_owned(),
        DataType::SmallInt(_) | DataType::Int2(_) => "int2".to_owned(),
        DataType::Double(_) | DataType::DoublePrecision | DataType::Float8 => "float8".to_owned(),
        DataType::Real | DataType::Float4 => "float4".to_owned(),
        DataType::Decimal(_) | DataType::Dec(_) | DataType::Numeric(_) => "numeric".to_owned(),
        DataType::Varchar(_) | DataType::CharacterVarying(_) => "varchar".to_owned(),
        DataType::Char(_) | DataType::Character(_) => "bpchar".to_owned(),
        DataType::Array(ArrayElemTypeDef::SquareBracket(item, _) | ArrayElemTypeDef::AngleBracket(item)) => {
            type_name(item)
        }
        DataType::Boolean | DataType::Bool => "bool".to_owned(),
        DataType::Custom(name, _) => last_part(name).unwrap_or_else(|| UNNAMED.to_owned()),
        other => {
            let text = other.to_string().to_lowercase();
            text.split(['(', ' ']).next().unwrap_or("?column?").to_owned()
        }
    }
}
