//! Verdicts, access paths and evaluation of filters on keys.

use causeway_spi::{TableName, Verdict};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, lit};
use datafusion::prelude::{col, random};

use super::*;
use crate::key::KeyValue;
use crate::key_order::KeyRange;

const NO_INDEX: &str = "no index on values";

fn keys() -> KeyColumns {
    let columns = ["tenant text", "id int", "day date", "v text"].map(ToOwned::to_owned);
    let name = TableName::new("c", "public", "t");
    KeyColumns::new(&TableDefinition::parse(name, "u:{id}:{tenant}", &columns).unwrap())
}

fn single() -> KeyColumns {
    let columns = ["id bigint", "v text"].map(ToOwned::to_owned);
    let name = TableName::new("c", "public", "t");
    KeyColumns::new(&TableDefinition::parse(name, "u:{id}", &columns).unwrap())
}

fn filter(expr: Expr) -> Filter {
    Filter::new(&expr)
}

fn access(keys: &KeyColumns, filters: &[Expr]) -> AccessPath {
    let filters: Vec<Filter> = filters.iter().map(Filter::new).collect();
    keys.compile(filters.iter(), None).unwrap().access().clone()
}

fn ids(numbers: &[i64]) -> AccessPath {
    AccessPath::Points(
        numbers
            .iter()
            .map(|&number| vec![KeyValue::Int(number)])
            .collect(),
    )
}

fn pair(id: i64, tenant: &str) -> KeyTuple {
    vec![KeyValue::Int(id), KeyValue::Text(tenant.to_owned())]
}

fn verdict(expr: Expr) -> (Verdict, String) {
    let pushdown = keys().verdict(&filter(expr), NO_INDEX);
    (pushdown.verdict, pushdown.reason.into_owned())
}

#[test]
fn filters_on_keys_are_exact_and_others_stay() {
    let exact = |expr| assert_eq!(verdict(expr), (Verdict::Exact, ON_KEY.to_owned()));
    exact(col("id").eq(lit(1)));
    exact(col("id").eq(lit(1_i64)));
    exact(col("id").gt(lit(1)).and(col("tenant").not_eq(lit("x"))));
    exact(col("tenant").like(lit("a%")));
    exact(col("tenant").in_list(vec![lit("a"), lit(ScalarValue::Utf8(None))], true));
    exact(col("id").is_null());
    exact(col("id").between(lit(1), lit(5)).is_not_true());
    exact(col("id").eq(lit(1.5)));
    exact(lit(false));
    let declined = |expr, reason: &str| assert_eq!(verdict(expr), (Verdict::Declined, reason.to_owned()));
    declined(col("v").eq(lit("x")), NO_INDEX);
    declined(col("id").eq(lit(1)).or(col("v").eq(lit("x"))), NO_INDEX);
    declined((col("id") / lit(0)).eq(lit(1)), NOT_ALLOWED);
    declined(random().gt(lit(0.5)), NOT_ALLOWED);
    declined(
        datafusion::prelude::cast(col("tenant"), DataType::Int32).eq(lit(1)),
        NOT_ALLOWED,
    );
    let deep = (0..1000).fold(col("id").eq(lit(0)), |expr, _| Expr::Not(Box::new(expr)));
    declined(deep, NOT_ALLOWED);
}

#[test]
fn equalities_become_points() {
    let keys = single();
    assert_eq!(access(&keys, &[col("id").eq(lit(5_i64))]), ids(&[5]));
    assert_eq!(access(&keys, &[lit(5_i64).eq(col("id"))]), ids(&[5]));
    assert_eq!(access(&keys, &[col("id").eq(lit(5))]), ids(&[5]));
    let list = vec![lit(3_i64), lit(5_i64), lit(3_i64), lit(ScalarValue::Int64(None))];
    assert_eq!(access(&keys, &[col("id").in_list(list, false)]), ids(&[3, 5]));
    let either = col("id").eq(lit(1_i64)).or(col("id").eq(lit(2_i64)));
    assert_eq!(access(&keys, std::slice::from_ref(&either)), ids(&[1, 2]));
    assert_eq!(
        access(&keys, &[either.clone(), col("id").eq(lit(2_i64))]),
        ids(&[2])
    );
    assert_eq!(access(&keys, &[either.and(col("id").gt(lit(1_i64)))]), ids(&[2]));
}

#[test]
fn contradictions_and_nulls_find_nothing() {
    let keys = single();
    let one = col("id").eq(lit(1_i64));
    assert_eq!(access(&keys, &[one.clone(), col("id").eq(lit(2_i64))]), ids(&[]));
    assert_eq!(
        access(&keys, &[col("id").eq(lit(ScalarValue::Int64(None)))]),
        ids(&[])
    );
    assert_eq!(
        access(
            &keys,
            &[col("id").in_list(vec![lit(ScalarValue::Int64(None))], false)]
        ),
        ids(&[])
    );
    assert_eq!(access(&keys, &[lit(ScalarValue::Boolean(None))]), ids(&[]));
    assert_eq!(access(&keys, &[one.or(lit(false))]), ids(&[1]));
}

#[test]
fn what_does_not_bind_every_column_is_a_full_walk() {
    let keys = keys();
    let id = |number: i32| col("id").eq(lit(number));
    let tenant = |name: &str| col("tenant").eq(lit(name));
    assert_eq!(access(&keys, &[id(1)]), AccessPath::Full);
    assert_eq!(access(&keys, &[]), AccessPath::Full);
    assert_eq!(access(&keys, &[id(1).or(tenant("a"))]), AccessPath::Full);
    assert_eq!(
        access(&keys, &[id(1), col("tenant").gt(lit("a"))]),
        AccessPath::Full
    );
    assert_eq!(
        access(&keys, &[id(1), tenant("a")]),
        AccessPath::Points(vec![pair(1, "a")])
    );
    let tuples = id(1)
        .and(tenant("a"))
        .or(id(2).and(tenant("b")))
        .or(tenant("a").and(id(1)));
    assert_eq!(
        access(&keys, std::slice::from_ref(&tuples)),
        AccessPath::Points(vec![pair(1, "a"), pair(2, "b")])
    );
    let product = [
        col("id").in_list(vec![lit(1), lit(2)], false),
        col("tenant").in_list(vec![lit("a"), lit("b")], false),
        tuples,
    ];
    assert_eq!(
        access(&keys, &product),
        AccessPath::Points(vec![pair(1, "a"), pair(2, "b")])
    );
    let partly = id(1).and(tenant("a")).or(id(2));
    assert_eq!(access(&keys, &[partly]), AccessPath::Full);
    assert_eq!(
        access(&keys, &[col("id").not_in_list(vec![lit(1)])]),
        AccessPath::Full
    );
}

#[test]
fn keys_in_order_are_ranges() {
    let columns = [("tenant", KeyType::Text), ("id", KeyType::Integer)];
    let keys = KeyColumns::over(columns.into_iter());
    let order = OrderedKey::new(columns.map(|(_, key_type)| key_type).to_vec());
    let access = |filters: &[Expr]| {
        let filters: Vec<Filter> = filters.iter().map(Filter::new).collect();
        keys.compile_ordered(filters.iter(), &order)
            .unwrap()
            .access()
            .clone()
    };
    let tenant = |name: &str| vec![KeyValue::Text(name.to_owned())];
    let whole = |name: &str| KeyRange::prefix(&OrderedKey::encode(&tenant(name)));
    assert_eq!(
        access(&[col("tenant").eq(lit("a"))]),
        AccessPath::Ranges(vec![whole("a")])
    );
    let either = col("tenant").in_list(vec![lit("c"), lit("a")], false);
    assert_eq!(
        access(&[either]),
        AccessPath::Ranges(vec![whole("a"), whole("c")])
    );
    let from = |id: i64| OrderedKey::encode(&[KeyValue::Text("a".to_owned()), KeyValue::Int(id)]);
    let range = AccessPath::Ranges(vec![KeyRange {
        low: from(3),
        high: Some(from(7)),
    }]);
    let some = [
        col("tenant").eq(lit("a")),
        col("id").gt_eq(lit(3)),
        col("id").lt(lit(7_i64)),
    ];
    assert_eq!(access(&some), range);
    let none = [
        col("tenant").eq(lit("a")),
        col("id").gt_eq(lit(3)),
        col("id").lt(lit(3)),
    ];
    assert_eq!(access(&none), AccessPath::Ranges(vec![]));
    assert_eq!(access(&[col("id").eq(lit(3))]), AccessPath::Full);
    assert_eq!(
        access(&[col("tenant").lt(lit(ScalarValue::Utf8(None)))]),
        AccessPath::Points(vec![])
    );
}

#[test]
fn large_lists_stay_supersets() {
    let keys = single();
    let list = |numbers: std::ops::Range<i64>| col("id").in_list(numbers.map(lit).collect(), false);
    let filters = [list(0..3_000), list(1_000..3_000)];
    let AccessPath::Points(points) = access(&keys, &filters) else {
        panic!("not points");
    };
    assert_eq!(points.len(), 2_000);
}

#[test]
fn the_predicate_follows_three_valued_logic() {
    let keys = keys();
    let tuples = vec![pair(1, "a"), pair(2, "b"), pair(3, "")];
    let passes = |expr: Expr| {
        let filter = filter(expr);
        keys.compile(std::iter::once(&filter), None)
            .unwrap()
            .passes(&tuples)
            .unwrap()
    };
    assert_eq!(passes(col("id").gt(lit(1))), [false, true, true]);
    assert_eq!(
        passes(col("id").gt(lit(1)).or(lit(ScalarValue::Boolean(None)))),
        [false, true, true]
    );
    let with_null = vec![lit("a"), lit(ScalarValue::Utf8(None))];
    assert_eq!(
        passes(col("tenant").in_list(with_null.clone(), false)),
        [true, false, false]
    );
    assert_eq!(
        passes(col("tenant").in_list(with_null, true)),
        [false, false, false]
    );
    assert_eq!(passes(col("tenant").like(lit("%"))), [true, true, true]);
    assert_eq!(passes(lit(true)), [true, true, true]);
    assert_eq!(passes(col("id").eq(lit(1_i64 << 40))), [false, false, false]);
}

trait NotInList {
    fn not_in_list(self, list: Vec<Expr>) -> Expr;
}

impl NotInList for Expr {
    fn not_in_list(self, list: Vec<Expr>) -> Expr {
        self.in_list(list, true)
    }
}
