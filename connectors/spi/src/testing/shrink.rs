//! Makes a failing query smaller, one step at a time, as long as it still fails.

use super::query::{Condition, FilterPlace, Output, Query};

/// The queries one step smaller than `query`, the greatest steps first.
pub(crate) fn smaller(query: &Query) -> Vec<Query> {
    let mut all = Vec::new();
    let mut change = |edit: &dyn Fn(&mut Query)| {
        let mut changed = query.clone();
        edit(&mut changed);
        if changed != *query {
            all.push(changed);
        }
    };
    change(&|query| query.join = None);
    change(&|query| query.mate = None);
    change(&|query| query.union = None);
    for index in 0..2 {
        change(&|query| {
            if let Some(parts) = &mut query.union {
                parts[index] = None;
            }
        });
    }
    for filter in query
        .mate
        .iter()
        .flat_map(|mate| &mate.filter)
        .flat_map(Condition::smaller)
    {
        change(&|query| {
            if let Some(mate) = &mut query.mate {
                mate.filter = Some(filter.clone());
            }
        });
    }
    change(&|query| {
        if let Some(mate) = &mut query.mate {
            mate.filter = None;
        }
    });
    change(&|query| {
        if let Some(mate) = &mut query.mate {
            mate.columns.truncate(1);
        }
    });
    change(&|query| query.filter = None);
    change(&|query| *query = query.unlimited());
    change(&|query| query.offset = 0);
    change(&|query| query.order = None);
    if let Output::Columns(columns) = &query.output {
        change(&|query| query.output = Output::Columns(columns.iter().take(1).cloned().collect()));
        for index in 0..columns.len() {
            if columns.len() > 1 || query.join.is_some() {
                let mut fewer = columns.clone();
                fewer.remove(index);
                change(&|query| query.output = Output::Columns(fewer.clone()));
            }
        }
    }
    if let Output::Aggregates {
        groups,
        calls,
        having,
    } = &query.output
    {
        change(&|query| {
            if let Output::Aggregates { having, .. } = &mut query.output {
                *having = None;
            }
        });
        for index in 0..groups.len() + calls.len() {
            let (mut groups, mut calls) = (groups.clone(), calls.clone());
            match index.checked_sub(groups.len()) {
                Some(call) => calls.remove(call),
                None => groups.remove(index),
            };
            if groups.len() + calls.len() > 0 {
                change(&|query| {
                    query.output = Output::Aggregates {
                        groups: groups.clone(),
                        calls: calls.clone(),
                        having: having.clone(),
                    };
                });
            }
        }
    }
    if let Some(join) = &query.join {
        let keys = join.keys.len();
        let halves = [0..keys / 2, keys / 2..keys];
        let singles = (0..keys).filter(|_| keys <= 8).map(|index| index..index + 1);
        for dropped in halves.into_iter().filter(|_| keys > 1).chain(singles) {
            change(&|query| {
                if let Some(join) = &mut query.join {
                    join.keys.drain(dropped.clone());
                }
            });
        }
        change(&|query| {
            if let Some(join) = &mut query.join {
                join.place = FilterPlace::Where;
            }
        });
    }
    for filter in query.filter.iter().flat_map(|filter| filter.smaller()) {
        change(&|query| query.filter = Some(filter.clone()));
    }
    all.retain(is_valid);
    all
}

/// Outside a join at least one column is given; the number of a key needs its join.
fn is_valid(query: &Query) -> bool {
    match &query.output {
        Output::Columns(columns) => !columns.is_empty() || query.join.as_ref().is_some_and(gives_number),
        _ => true,
    }
}

fn gives_number(join: &super::query::Join) -> bool {
    use super::query::JoinKind::{Inner, Left, Right};
    matches!(join.kind, Inner | Left | Right)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predicate(sql: &str) -> Condition {
        Condition::Predicate(sql.to_owned())
    }

    #[test]
    fn every_step_is_smaller_and_leads_to_the_bare_table() {
        let filter = Condition::All(vec![
            predicate("t.a = 1"),
            Condition::Not(Box::new(Condition::In {
                value: "t.b".to_owned(),
                list: vec!["1".to_owned(), "NULL".to_owned()],
                negated: true,
            })),
        ]);
        let mut query = Query {
            output: Output::Columns(vec!["a".to_owned(), "b".to_owned()]),
            filter: Some(filter),
            join: None,
            mate: None,
            union: None,
            order: None,
            limit: Some(3),
            offset: 1,
        };
        let mut steps = 0;
        while let Some(next) = smaller(&query).pop() {
            assert!(
                next.to_string().len() < query.to_string().len(),
                "{next} after {query}"
            );
            query = next;
            steps += 1;
            assert!(steps < 50);
        }
        assert_eq!(query.to_string(), "SELECT t.a AS c0 FROM t");
    }
}
