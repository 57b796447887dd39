//! The laws that a generated query is held to: the oracle's answer, and two that need no oracle.

use causeway_sql_tests::client::{QueryFailure, Rows};

use super::generate::Writer;
use super::judge::{Difference, Judge, SESSIONS, Sides, Sort, Verdict, difference, sorted};
use super::kind::Kind;
use super::query::{Body, Expr, Query, Select};

/// A law; a query's seed says which one it is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Law {
    /// PostgreSQL gives the same answer.
    Oracle,
    /// The rows of which a condition is true, false and NULL are all rows (ternary logic partitioning).
    Partition,
    /// As many rows pass a condition as rows of which it is true when it is computed above them (non-optimising
    /// reference engine construction).
    Counting,
}

impl Law {
    pub(super) fn of_seed(seed: u64) -> Self {
        match seed % 16 {
            6 => Self::Partition,
            14 => Self::Counting,
            _ => Self::Oracle,
        }
    }

    pub(super) fn query(self, mut writer: Writer<'_>) -> Query {
        match self {
            Self::Oracle => writer.query(),
            Self::Partition => writer.filtered(),
            Self::Counting => {
                writer.subqueries = 0;
                writer.filtered()
            }
        }
    }
}

impl Judge<'_> {
    /// Whether `query` keeps `law`.
    pub(super) async fn check(&self, law: Law, query: &Query, sides: Sides) -> Verdict {
        if law == Law::Oracle {
            return self.judge(query, sides).await;
        }
        let mut verdict = Verdict::AlikeErrors;
        for &index in sides.sessions() {
            verdict = match self.check_alone(law, query, index).await {
                Ok(Ok(rows)) => Verdict::Alike(rows),
                Ok(Err(shown)) => {
                    let sort = Sort::Rows;
                    return Verdict::Different(Difference {
                        session: SESSIONS[index].0,
                        sort,
                        shown,
                    });
                }
                Err(failure) if failure.sqlstate == "0A000" => Verdict::Refused(failure.message),
                Err(failure) => {
                    let sort = Sort::OnlyPostgresAnswers(failure.sqlstate.clone());
                    let shown = failure.to_string();
                    return Verdict::Different(Difference {
                        session: SESSIONS[index].0,
                        sort,
                        shown,
                    });
                }
            };
        }
        verdict
    }

    /// The number of rows, or how the law is broken; an error of the server as such.
    async fn check_alone(
        &self,
        law: Law,
        query: &Query,
        session: usize,
    ) -> Result<Result<usize, String>, QueryFailure> {
        let Body::Select(select) = &query.body else {
            return Ok(Ok(0));
        };
        let Some(filter) = &select.filter else {
            return Ok(Ok(0));
        };
        let ask = async |select: Select| -> Result<Rows, QueryFailure> {
            let sql = self.sql(&Query::of(Body::Select(select)));
            self.causeway(&sql, session).await
        };
        let with = |template: Option<&str>| Select {
            filter: template.map(|template| Expr::new(Kind::Bool, template, [filter.clone().into()])),
            ..select.clone()
        };
        match law {
            Law::Oracle | Law::Partition => {
                let all = ask(with(None)).await?.rows;
                let mut parts = Vec::new();
                for part in ["{}", "(NOT {})", "({} IS NULL)"] {
                    parts.extend(ask(with(Some(part))).await?.rows);
                }
                let broken = sorted(&all) != sorted(&parts);
                Ok(if broken {
                    Err(format!(
                        "all rows are \"PostgreSQL\", those of the three parts \"Causeway\": {}",
                        difference(&all, &parts)
                    ))
                } else {
                    Ok(all.len())
                })
            }
            Law::Counting => {
                let count = |item: Expr, filter: Option<Expr>| Select {
                    items: vec![item],
                    filter,
                    ..select.clone()
                };
                let passed = ask(count(Expr::sql(Kind::Int8, "count(*)"), Some(filter.clone()))).await?;
                let template = "coalesce(sum(CASE WHEN {} THEN 1 ELSE 0 END), 0)";
                let item = Expr::new(Kind::Int8, template, [filter.clone().into()]);
                let computed = ask(count(item, None)).await?;
                Ok(if passed.rows == computed.rows {
                    Ok(1)
                } else {
                    Err(format!(
                        "{} rows pass the condition, of {} it is true",
                        passed.text(),
                        computed.text()
                    ))
                })
            }
        }
    }
}
