//! What an order of joins costs, and the cheapest one.

use super::rows::Estimates;

/// An order of joins: which leaves, and what is joined of them, are joined with each other.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Order {
    Leaf(usize),
    /// The left side is the one with fewer rows, or the one that is written first.
    Join(Box<Order>, Box<Order>),
}

/// Leaves up to which all orders are compared; of more, the cheapest join comes first, again and again.
const COMPARED_MAX: usize = 10;
/// What a row costs that is moved from a source.
const REMOTE_ROW: f64 = 3.0;
/// What a row costs that is read of a file.
const FILE_ROW: f64 = 0.5;
/// What a row costs of which a hash table is built, beside one that is looked for in it, or given.
const BUILT_ROW: f64 = 2.0;

/// Leaves that are joined.
#[derive(Debug, Clone, Copy)]
struct Part {
    leaves: u64,
    rows: f64,
    cost: f64,
}

/// What joining in `order` costs.
pub(super) fn cost_of(order: &Order, estimates: &Estimates) -> f64 {
    part_of(order, estimates).cost
}

/// The cheapest order, and what it costs; `None` where no condition joins some of the leaves.
pub(super) fn cheapest(estimates: &Estimates) -> Option<(Order, f64)> {
    match estimates.leaves.len() {
        ..=COMPARED_MAX => compared(estimates),
        _ => greedy(estimates),
    }
}

fn part_of(order: &Order, estimates: &Estimates) -> Part {
    match order {
        Order::Leaf(leaf) => single(*leaf, estimates),
        Order::Join(left, right) => {
            let (left, right) = (part_of(left, estimates), part_of(right, estimates));
            joined(left, right, estimates.rows(left.leaves | right.leaves), estimates)
        }
    }
}

fn single(leaf: usize, estimates: &Estimates) -> Part {
    let known = &estimates.leaves[leaf];
    let row = if known.is_remote { REMOTE_ROW } else { FILE_ROW };
    Part {
        leaves: 1 << leaf,
        rows: known.rows,
        cost: known.rows * row,
    }
}

/// The join of two parts, of `rows` rows.
fn joined(one: Part, other: Part, rows: f64, estimates: &Estimates) -> Part {
    let read = |part: Part, by: Part| {
        let key_cost = match part.leaves.is_power_of_two() {
            true => estimates.key_cost(part.leaves.trailing_zeros(), by.leaves),
            false => None,
        };
        // Its rows are found by keys, if that costs less than all of them.
        key_cost.map_or(part.cost, |cost| part.cost.min(by.rows * cost * REMOTE_ROW))
    };
    // One of them is read first.
    let read = (read(one, other) + other.cost).min(one.cost + read(other, one));
    let (built, probed) = (one.rows.min(other.rows), one.rows.max(other.rows));
    Part {
        leaves: one.leaves | other.leaves,
        rows,
        cost: read + BUILT_ROW * built + probed + rows,
    }
}

/// The cheapest of all orders.
fn compared(estimates: &Estimates) -> Option<(Order, f64)> {
    let count = estimates.leaves.len();
    let all = (1_usize << count) - 1;
    // By the set of leaves: the cheapest way to join them, and the sets that it joins last.
    let mut best: Vec<Option<(Part, [u64; 2])>> = vec![None; all + 1];
    for leaf in 0..count {
        best[1 << leaf] = Some((single(leaf, estimates), [0, 0]));
    }
    for set in 1..=all {
        if set.is_power_of_two() {
            continue;
        }
        let rows = estimates.rows(set as u64);
        // Each split once: one part has the lowest leaf.
        let rest = set & (set - 1);
        let mut others = rest;
        while others != 0 {
            let (one, other) = (set ^ others, others);
            others = (others - 1) & rest;
            let (Some((one, _)), Some((other, _))) = (best[one], best[other]) else {
                continue;
            };
            if !estimates.are_joined(one.leaves, other.leaves) {
                continue;
            }
            let part = joined(one, other, rows, estimates);
            if best[set].is_none_or(|(known, _)| part.cost < known.cost) {
                best[set] = Some((part, [one.leaves, other.leaves]));
            }
        }
    }
    let order = order_of(all, &best)?;
    best[all].map(|(part, _)| (order, part.cost))
}

/// The order that joins the leaves of `set` as cheaply as `best` says.
fn order_of(set: usize, best: &[Option<(Part, [u64; 2])>]) -> Option<Order> {
    if set.is_power_of_two() {
        return Some(Order::Leaf(usize::try_from(set.trailing_zeros()).ok()?));
    }
    let (_, sides) = best[set]?;
    let mut parts = Vec::new();
    for side in sides {
        let side = usize::try_from(side).ok()?;
        let (part, _) = best[side]?;
        parts.push((part.rows, order_of(side, best)?));
    }
    parts.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut orders = parts.into_iter().map(|(_, order)| Box::new(order));
    Some(Order::Join(orders.next()?, orders.next()?))
}

/// An order that begins with the join that costs least, and goes on so.
fn greedy(estimates: &Estimates) -> Option<(Order, f64)> {
    let mut parts: Vec<(Part, Order)> = (0..estimates.leaves.len())
        .map(|leaf| (single(leaf, estimates), Order::Leaf(leaf)))
        .collect();
    let pair = |one: Part, other: Part| {
        let leaves = one.leaves | other.leaves;
        let are_joined = estimates.are_joined(one.leaves, other.leaves);
        are_joined.then(|| joined(one, other, estimates.rows(leaves), estimates))
    };
    // By the leaves of both parts, which tell the two: what joining them makes.
    let mut pairs: Vec<[Part; 3]> = Vec::new();
    for (index, (one, _)) in parts.iter().enumerate() {
        let others = parts.iter().skip(index + 1);
        pairs.extend(others.filter_map(|(other, _)| Some([*one, *other, pair(*one, *other)?])));
    }
    while parts.len() > 1 {
        let added = |[one, other, both]: &[Part; 3]| both.cost - one.cost - other.cost;
        let next = pairs
            .iter()
            .min_by(|one, other| added(one).total_cmp(&added(other)))?;
        let [one, other, both] = *next;
        let mut take = |part: Part| {
            let place = parts.iter().position(|(known, _)| known.leaves == part.leaves)?;
            Some(parts.swap_remove(place).1)
        };
        let (one_order, other_order) = (take(one)?, take(other)?);
        let (built, probed) = match one.rows <= other.rows {
            true => (one_order, other_order),
            false => (other_order, one_order),
        };
        pairs.retain(|[left, right, _]| (left.leaves | right.leaves) & both.leaves == 0);
        pairs.extend(
            parts
                .iter()
                .filter_map(|(part, _)| Some([*part, both, pair(*part, both)?])),
        );
        parts.push((both, Order::Join(Box::new(built), Box::new(probed))));
    }
    parts.pop().map(|(part, order)| (order, part.cost))
}
