//! PREPARE, EXECUTE and DEALLOCATE: SQL's own way to the statements of the extended protocol. And REFRESH.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{self, Expr, Ident, Statement, UnaryOperator, Value};

use super::connection::Connection;
use super::params;
use super::run::{Failure, Limits};
use super::statement::no_statement;
use crate::error::QueryError;
use crate::query::{self, ParsedStatement, Refresh};
use crate::sqlstate::SqlState;
use crate::values::input::{InputContext, of_text};

impl Connection {
    /// Runs `parsed` if it is REFRESH; returns whether it was.
    pub(super) async fn refresh_command(
        &mut self,
        sql: &str,
        parsed: &ParsedStatement,
        limits: &Limits,
    ) -> Result<bool, QueryError> {
        let Some(refresh) = Refresh::of(parsed, &self.endpoint.engine.catalogs(), &self.session)? else {
            return Ok(false);
        };
        let refreshed = self.on_planner(limits, |_| refresh.run()).await;
        refreshed.map_err(|error| error.located(sql))?;
        self.complete("REFRESH");
        Ok(true)
    }

    /// Runs `parsed` if it is one of the three; returns whether it was.
    pub(super) async fn prepared_command(
        &mut self,
        sql: &str,
        parsed: &ParsedStatement,
        limits: &Limits,
    ) -> Result<bool, Failure> {
        match &parsed.statement {
            Statement::Prepare {
                name,
                data_types,
                statement,
            } => {
                let oids = data_types.iter().map(oid_of).collect::<Result<Vec<_>, _>>()?;
                let types = oids.iter().map(|oid| params::arrow_type(*oid).map(Some));
                let types = types.collect::<Result<_, _>>()?;
                let inner = ParsedStatement {
                    statement: statement.as_ref().clone(),
                };
                let inner = Some(Arc::new(inner));
                let statement = self
                    .prepare_statement(Arc::from(sql), inner, types, &oids, limits)
                    .await?;
                self.remembered.add_statement(folded(name), statement)?;
                self.complete("PREPARE");
            }
            Statement::Execute {
                name: Some(name),
                parameters,
                immediate: false,
                ..
            } => {
                let name = name.0.last().and_then(|part| part.as_ident()).map(folded);
                let name = name.unwrap_or_default();
                let types = &self.remembered.statement(&name)?.parameters;
                if types.len() != parameters.len() {
                    let message = format!("wrong number of parameters for prepared statement \"{name}\"");
                    let detail = format!(
                        "Expected {} parameters but got {}.",
                        types.len(),
                        parameters.len()
                    );
                    return Err(QueryError::syntax(message).detail(detail).into());
                }
                let values = parameters.iter().zip(types);
                let cx = InputContext::in_zone(self.session.settings.time_zone());
                let values = values.map(|(value, (data_type, _))| value_of(value, data_type, &cx));
                let values: Vec<ScalarValue> = values.collect::<Result<_, _>>()?;
                let written = self.remembered.statement(&name)?.parsed.clone();
                match written.filter(|parsed| query::is_write(parsed)) {
                    Some(parsed) => {
                        let tag = self.write_statement(sql, &parsed, values, limits).await?;
                        self.complete(tag);
                    }
                    None => {
                        let prepared = self.planned(&name, limits).await?.bind(values)?;
                        self.run_whole(sql, prepared, limits).await?;
                    }
                }
            }
            Statement::Deallocate { name, .. } => {
                if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("all") {
                    self.remembered.close_statements();
                    self.complete("DEALLOCATE ALL");
                } else if self.remembered.close_statement(&folded(name)) {
                    self.complete("DEALLOCATE");
                } else {
                    return Err(no_statement(&folded(name)).into());
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn folded(name: &Ident) -> String {
    match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_lowercase(),
    }
}

/// The value that EXECUTE gives a parameter: a literal, perhaps with a sign.
fn value_of(expr: &Expr, data_type: &DataType, cx: &InputContext) -> Result<ScalarValue, QueryError> {
    match literal(expr) {
        Some(Some(text)) => of_text(&text, data_type, cx),
        Some(None) => Ok(ScalarValue::try_from(data_type)?),
        None => Err(QueryError::not_supported(format!(
            "EXECUTE takes literals only, not {expr}"
        ))),
    }
}

/// The text of a literal, `Some(None)` for NULL, `None` for anything else.
fn literal(expr: &Expr) -> Option<Option<String>> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Null => Some(None),
            Value::Boolean(value) => Some(Some(value.to_string())),
            Value::Number(number, _) => Some(Some(number.clone())),
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Some(Some(text.clone())),
            _ => None,
        },
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => match literal(expr)?? {
            text if text.starts_with('-') => None,
            text => Some(Some(format!("-{text}"))),
        },
        Expr::TypedString(typed) => literal(&Expr::Value(typed.value.clone())),
        Expr::Cast { expr, .. } | Expr::Nested(expr) => literal(expr),
        _ => None,
    }
}

/// The number of a type that PREPARE names.
fn oid_of(data_type: &ast::DataType) -> Result<u32, QueryError> {
    let text = data_type.to_string().to_lowercase();
    let name = text.split('(').next().unwrap_or_default().trim();
    Ok(match name {
        "bool" | "boolean" => 16,
        "bytea" => 17,
        "bigint" | "int8" => 20,
        "smallint" | "int2" => 21,
        "int" | "integer" | "int4" => 23,
        "text" | "unknown" => 25,
        "varchar" | "character varying" => 1043,
        "char" | "character" | "bpchar" => 1042,
        "real" | "float4" => 700,
        "double precision" | "double" | "float8" | "float" => 701,
        "date" => 1082,
        "time" | "time without time zone" => 1083,
        "timestamp" | "timestamp without time zone" => 1114,
        "timestamptz" | "timestamp with time zone" => 1184,
        "interval" => 1186,
        "numeric" | "decimal" => 1700,
        "uuid" => 2950,
        _ => {
            let message = format!("type \"{name}\" does not exist");
            return Err(QueryError::new(SqlState::UNDEFINED_OBJECT, message));
        }
    })
}
