//! Rows to bytes and back, whole and in part, and bytes that are no rows.

use arrow::array::{
    BinaryViewArray, BooleanArray, Decimal128Array, Decimal256Array, Float64Array, Int16Array, Int32Array,
    Int64Array, IntervalMonthDayNanoArray, ListArray, StringViewArray,
};
use arrow::datatypes::{Int32Type, IntervalMonthDayNano, i256};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

fn columns() -> Vec<ArrayRef> {
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
        Some(vec![Some(1), None, Some(3)]),
        None,
        Some(vec![]),
        Some((0..20).map(|n| (n % 3 != 0).then_some(n)).collect()),
    ]);
    let long = "é".repeat(1000);
    vec![
        Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), None])),
        Arc::new(Int16Array::from(vec![Some(i16::MIN), None, Some(-1), Some(7)])),
        Arc::new(Int64Array::from(vec![
            Some(i64::MIN),
            Some(i64::MAX),
            None,
            Some(0),
        ])),
        Arc::new(Float64Array::from(vec![
            Some(-0.0),
            Some(f64::INFINITY),
            None,
            Some(1.5),
        ])),
        Arc::new(
            Decimal128Array::from(vec![Some(-1), None, Some(10_i128.pow(37)), Some(0)])
                .with_precision_and_scale(38, 2)
                .unwrap(),
        ),
        Arc::new(
            Decimal256Array::from(vec![
                Some(i256::from_i128(-5)),
                None,
                Some(i256::MAX.wrapping_div(i256::from_i128(1000))),
                None,
            ])
            .with_precision_and_scale(76, 0)
            .unwrap(),
        ),
        Arc::new(StringViewArray::from(vec![
            Some(""),
            None,
            Some("a\0b"),
            Some(long.as_str()),
        ])),
        Arc::new(BinaryViewArray::from(vec![
            Some(&b"\xff\x00"[..]),
            Some(b""),
            None,
            Some(&[7; 300]),
        ])),
        Arc::new(IntervalMonthDayNanoArray::from(vec![
            Some(IntervalMonthDayNano::new(1, -2, 3)),
            None,
            Some(IntervalMonthDayNano::new(0, 0, i64::MIN)),
            None,
        ])),
        Arc::new(lists),
        Arc::new(Int32Array::from(vec![None, Some(4), Some(5), None])),
    ]
}

fn cells(columns: &[ArrayRef]) -> Vec<Cell> {
    columns
        .iter()
        .map(|column| Cell::of(column.data_type()).unwrap())
        .collect()
}

fn encoded(columns: &[ArrayRef], cells: &[Cell]) -> Vec<Vec<u8>> {
    let pairs = columns.iter().cloned().zip(cells).collect();
    let encoder = RowEncoder::new(pairs);
    let row = |row| {
        let mut out = vec![1, 2, 3];
        encoder.encode(row, &mut out).unwrap();
        out
    };
    (0..columns[0].len()).map(row).collect()
}

/// Decodes the columns at `wanted`.
fn decoded(rows: &[Vec<u8>], columns: &[ArrayRef], wanted: &[usize]) -> Option<Vec<ArrayRef>> {
    let cells = cells(columns);
    let target = |index: usize| wanted.iter().position(|&column| column == index);
    let decoder = RowDecoder::new(
        cells
            .iter()
            .cloned()
            .enumerate()
            .map(|(index, cell)| (cell, target(index)))
            .collect(),
    );
    let mut builders: Vec<ColumnBuilder> = wanted
        .iter()
        .map(|&index| ColumnBuilder::new(columns[index].data_type().clone(), &cells[index]))
        .collect();
    for row in rows {
        decoder.decode(row, &mut builders)?;
    }
    Some(
        builders
            .iter_mut()
            .map(|builder| builder.finish().unwrap())
            .collect(),
    )
}

#[test]
fn every_type_comes_back() {
    let columns = columns();
    let rows = encoded(&columns, &cells(&columns));
    let all: Vec<usize> = (0..columns.len()).collect();
    for (found, column) in decoded(&rows, &columns, &all).unwrap().iter().zip(&columns) {
        assert_eq!(found, column);
    }
}

#[test]
fn slices_are_written_as_they_are_seen() {
    let sliced: Vec<ArrayRef> = columns().iter().map(|column| column.slice(1, 3)).collect();
    let rows = encoded(&sliced, &cells(&sliced));
    let all: Vec<usize> = (0..sliced.len()).collect();
    for (found, column) in decoded(&rows, &sliced, &all).unwrap().iter().zip(&sliced) {
        assert_eq!(found, column);
    }
}

#[test]
fn parts_are_read_alone_and_in_any_order() {
    let columns = columns();
    let rows = encoded(&columns, &cells(&columns));
    for wanted in [&[10_usize, 6, 0][..], &[9], &[], &[5, 4]] {
        let found = decoded(&rows, &columns, wanted).unwrap();
        assert_eq!(found.len(), wanted.len());
        for (found, &index) in found.iter().zip(wanted) {
            assert_eq!(found, &columns[index]);
        }
    }
}

#[test]
fn a_builder_starts_again() {
    let columns = columns();
    let cells = cells(&columns);
    let rows = encoded(&columns, &cells);
    let decoder = RowDecoder::new(
        cells
            .iter()
            .cloned()
            .enumerate()
            .map(|(index, cell)| (cell, Some(index)))
            .collect(),
    );
    let mut builders: Vec<ColumnBuilder> = columns
        .iter()
        .zip(&cells)
        .map(|(column, cell)| ColumnBuilder::new(column.data_type().clone(), cell))
        .collect();
    for row in &rows {
        decoder.decode(row, &mut builders).unwrap();
        assert!(builders.iter().all(|builder| builder.bytes() > 0));
        for builder in &mut builders {
            assert_eq!(builder.finish().unwrap().len(), 1);
            assert_eq!(builder.bytes(), 0);
        }
    }
}

/// Bytes that are damaged give an error or other values, never a panic.
#[test]
fn damaged_rows_do_not_panic() {
    let columns = columns();
    let rows = encoded(&columns, &cells(&columns));
    let all: Vec<usize> = (0..columns.len()).collect();
    let mut random = StdRng::seed_from_u64(8);
    for row in &rows {
        for end in 0..row.len().min(64) {
            assert!(
                decoded(&[row[..end].to_vec()], &columns, &all).is_none(),
                "{end} of {row:?}"
            );
        }
    }
    for round in 0..20_000 {
        let mut row = rows[round % rows.len()].clone();
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..row.len());
            row[at] = random.random();
        }
        drop(decoded(&[row], &columns, &all));
    }
}
