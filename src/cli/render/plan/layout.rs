//! Where the boxes of a graph stand: each below everything it needs, few lines crossing, lines short and around boxes.

use std::collections::BTreeMap;

/// Room between two boxes of a level.
const GAP: f64 = 22.0;

/// How wide the place is through which a long line passes a level.
const PASS: f64 = 10.0;

/// How often the levels are ordered by what stands above and below them.
const SWEEPS: usize = 12;

/// A graph that was laid out.
pub struct Layout {
    /// The middle of each box, and its level.
    pub boxes: Vec<(f64, usize)>,
    /// Each line: the box it comes from, the box it leads to, and the x of the places it passes in between, level by level.
    pub lines: Vec<(usize, usize, Vec<f64>)>,
    /// How wide it all is.
    pub width: f64,
    /// How many levels there are.
    pub levels: usize,
}

/// A box, or a place where a line passes.
struct Place {
    level: usize,
    width: f64,
    up: Vec<usize>,
    down: Vec<usize>,
    x: f64,
}

/// Lays out boxes of these widths. `needs` holds for each box those that stand above it; cycles are cut.
#[must_use]
pub fn lay_out(widths: &[f64], needs: &[Vec<usize>]) -> Layout {
    let needs = direct(needs, widths.len());
    let levels = levels(&needs);
    let mut places: Vec<Place> = widths
        .iter()
        .zip(&levels)
        .map(|(width, level)| Place { level: *level, width: *width, up: vec![], down: vec![], x: 0.0 })
        .collect();
    let mut lines: Vec<(usize, usize, Vec<usize>)> = Vec::new();
    for (to, all) in needs.iter().enumerate() {
        for &from in all {
            let mut passed = Vec::new();
            let mut last = from;
            for level in levels[from] + 1..levels[to] {
                let new = places.len();
                places.push(Place { level, width: PASS, up: vec![last], down: vec![], x: 0.0 });
                places[last].down.push(new);
                passed.push(new);
                last = new;
            }
            places[last].down.push(to);
            places[to].up.push(last);
            lines.push((from, to, passed));
        }
    }
    let count = levels.iter().max().map_or(0, |most| most + 1);
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (index, place) in places.iter().enumerate() {
        rows[place.level].push(index);
    }
    order(&places, &mut rows);
    let width = spread(&mut places, &rows);
    Layout {
        boxes: places.iter().take(widths.len()).map(|place| (place.x, place.level)).collect(),
        lines: lines
            .into_iter()
            .map(|(from, to, passed)| (from, to, passed.into_iter().map(|at| places[at].x).collect()))
            .collect(),
        width,
        levels: count,
    }
}

/// Without what follows from the rest: a line from a to c says nothing when one leads from a to b and one from b to c.
fn direct(needs: &[Vec<usize>], count: usize) -> Vec<Vec<usize>> {
    // In this order everything comes after what it needs; what stands in a cycle is left out.
    let mut open: Vec<usize> = (0..count).map(|to| needs.get(to).map_or(0, Vec::len)).collect();
    let mut followers: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (to, all) in needs.iter().enumerate() {
        all.iter().for_each(|from| followers.entry(*from).or_default().push(to));
    }
    let mut ready: Vec<usize> = (0..count).filter(|index| open[*index] == 0).collect();
    let words = count.div_ceil(64);
    let mut above: Vec<Vec<u64>> = vec![vec![0; words]; count];
    let mut kept: Vec<Vec<usize>> = vec![Vec::new(); count];
    while let Some(at) = ready.pop() {
        let all = needs.get(at).map_or(&[][..], Vec::as_slice);
        let mut set = vec![0_u64; words];
        for &need in all {
            set.iter_mut().zip(&above[need]).for_each(|(mine, theirs)| *mine |= theirs);
        }
        kept[at] = all.iter().copied().filter(|need| set[need / 64] & (1 << (need % 64)) == 0).collect();
        kept[at].sort_unstable();
        kept[at].dedup();
        all.iter().for_each(|need| set[need / 64] |= 1 << (need % 64));
        above[at] = set;
        for &next in followers.get(&at).into_iter().flatten() {
            open[next] -= 1;
            if open[next] == 0 {
                ready.push(next);
            }
        }
    }
    kept
}

/// The longest way from the top to each.
fn levels(needs: &[Vec<usize>]) -> Vec<usize> {
    let mut levels: Vec<Option<usize>> = vec![None; needs.len()];
    for start in 0..needs.len() {
        let mut stack = vec![start];
        while let Some(&at) = stack.last() {
            let open: Vec<usize> = needs[at].iter().copied().filter(|need| levels[*need].is_none()).collect();
            if open.is_empty() {
                levels[at] = Some(needs[at].iter().filter_map(|need| levels[*need]).max().map_or(0, |most| most + 1));
                stack.pop();
            } else {
                stack.extend(open);
            }
        }
    }
    levels.into_iter().map(Option::unwrap_or_default).collect()
}

/// Orders every level by the middle of what its boxes hang on, downwards and upwards in turn.
fn order(places: &[Place], rows: &mut [Vec<usize>]) {
    let mut spot: Vec<f64> = vec![0.0; places.len()];
    let number = |row: &[usize], spot: &mut Vec<f64>| {
        row.iter().enumerate().for_each(|(at, place)| spot[*place] = (at as f64 + 0.5) / row.len() as f64);
    };
    rows.iter().for_each(|row| number(row, &mut spot));
    let count = rows.len();
    for sweep in 0..SWEEPS {
        for step in 0..count {
            let level = if sweep % 2 == 0 { step } else { count - 1 - step };
            let row = &mut rows[level];
            let key = |place: usize| {
                let of = if sweep % 2 == 0 { &places[place].up } else { &places[place].down };
                if of.is_empty() { spot[place] } else { of.iter().map(|at| spot[*at]).sum::<f64>() / of.len() as f64 }
            };
            let mut keyed: Vec<(f64, usize)> = row.iter().map(|place| (key(*place), *place)).collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            *row = keyed.into_iter().map(|(_, place)| place).collect();
            number(row, &mut spot);
        }
    }
}

/// Gives every place its x, as near to what it hangs on as its neighbours allow. Returns the width.
fn spread(places: &mut [Place], rows: &[Vec<usize>]) -> f64 {
    for row in rows {
        let mut x = 0.0;
        for &at in row {
            places[at].x = x + places[at].width / 2.0;
            x += places[at].width + GAP;
        }
        let middle = (x - GAP) / 2.0;
        row.iter().for_each(|at| places[*at].x -= middle);
    }
    for sweep in 0..SWEEPS {
        let levels: Vec<usize> =
            if sweep % 2 == 0 { (0..rows.len()).collect() } else { (0..rows.len()).rev().collect() };
        for level in levels {
            let row = &rows[level];
            let wanted: Vec<f64> = row
                .iter()
                .map(|at| {
                    let place = &places[*at];
                    let of: Vec<usize> = match sweep % 3 {
                        0 => place.up.clone(),
                        1 => place.down.clone(),
                        _ => place.up.iter().chain(&place.down).copied().collect(),
                    };
                    if of.is_empty() {
                        place.x
                    } else {
                        of.iter().map(|at| places[*at].x).sum::<f64>() / of.len() as f64
                    }
                })
                .collect();
            let sizes: Vec<f64> = row.iter().map(|at| places[*at].width).collect();
            for (at, x) in row.iter().zip(nearest(&wanted, &sizes)) {
                places[*at].x = x;
            }
        }
    }
    let left = places.iter().map(|place| place.x - place.width / 2.0).fold(f64::INFINITY, f64::min);
    let left = if left.is_finite() { left } else { 0.0 };
    places.iter_mut().for_each(|place| place.x -= left);
    places.iter().map(|place| place.x + place.width / 2.0).fold(0.0, f64::max)
}

/// The places nearest to those wanted, in this order and without overlap: least squares, by pooling neighbours that push each other.
fn nearest(wanted: &[f64], sizes: &[f64]) -> Vec<f64> {
    let mut offsets = Vec::with_capacity(sizes.len());
    let mut offset = 0.0;
    for (index, size) in sizes.iter().enumerate() {
        if index > 0 {
            offset += (sizes[index - 1] + size) / 2.0 + GAP;
        }
        offsets.push(offset);
    }
    // Pools of neighbours: the mean of what they want, and how many they are.
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for (want, offset) in wanted.iter().zip(&offsets) {
        let mut pool = (want - offset, 1_usize);
        while let Some(last) = pools.last().copied().filter(|last| last.0 > pool.0) {
            pools.pop();
            let count = last.1 + pool.1;
            pool = ((last.0 * last.1 as f64 + pool.0 * pool.1 as f64) / count as f64, count);
        }
        pools.push(pool);
    }
    let spread = pools.into_iter().flat_map(|(mean, count)| std::iter::repeat_n(mean, count));
    spread.zip(&offsets).map(|(mean, offset)| mean + offset).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_box_stands_below_what_it_needs_and_beside_no_other() {
        let needs = vec![vec![], vec![0], vec![0], vec![1, 2, 0], vec![0, 3], vec![]];
        let layout = lay_out(&[100.0; 6], &needs);
        for (to, all) in needs.iter().enumerate() {
            assert!(all.iter().all(|from| layout.boxes[*from].1 < layout.boxes[to].1), "{to}");
        }
        for (a, one) in layout.boxes.iter().enumerate() {
            for other in &layout.boxes[a + 1..] {
                assert!(one.1 != other.1 || (one.0 - other.0).abs() >= 100.0 + GAP - 1e-6);
            }
        }
        assert_eq!(layout.levels, 4);
    }

    #[test]
    fn what_follows_from_the_rest_is_not_drawn() {
        let layout = lay_out(&[50.0; 3], &[vec![], vec![0], vec![1, 0]]);
        let drawn: Vec<(usize, usize)> = layout.lines.iter().map(|line| (line.0, line.1)).collect();
        assert_eq!(drawn, [(0, 1), (1, 2)]);
    }

    #[test]
    fn a_cycle_or_nothing_at_all_is_laid_out_too() {
        assert_eq!(lay_out(&[], &[]).levels, 0);
        assert_eq!(lay_out(&[10.0; 2], &[vec![1], vec![0]]).boxes.len(), 2);
    }
}
