//! Functions of lists and objects that take a closure's answer for no when it is neither yes nor no: here it has to be one of these, and
//! what only the run will know is asked about.

use rhai::{Array, Dynamic, Engine, EvalAltResult, FnPtr, ImmutableString, Map, NativeCallContext};

use super::unknown::{stop, truth, unknown_of};

type Fallible<T> = Result<T, Box<EvalAltResult>>;

/// What a closure answered about an item.
fn answer(name: &str, given: &Dynamic) -> Fallible<bool> {
    if let Some(unknown) = unknown_of(given) {
        return truth(&unknown);
    }
    given.as_bool().map_err(|kind| {
        format!("the closure of `{name}` gives a value of type {kind}, not true or false: compare it with something")
            .into()
    })
}

/// Asks a closure about an item of a list.
fn holds(name: &str, context: &NativeCallContext, closure: &FnPtr, item: &mut Dynamic, at: usize) -> Fallible<bool> {
    let at = Dynamic::from_int(i64::try_from(at).unwrap_or(i64::MAX));
    answer(name, &closure.call_raw_with_extra_args(name, context, Some(item), [], [at], Some(0))?)
}

/// Asks a closure about an entry of an object.
fn entry_holds(
    name: &str,
    context: &NativeCallContext,
    closure: &FnPtr,
    key: &str,
    item: &mut Dynamic,
) -> Fallible<bool> {
    let key = Dynamic::from(ImmutableString::from(key));
    answer(name, &closure.call_raw_with_extra_args(name, context, Some(item), [key], [], Some(1))?)
}

/// The place from which to look; counted from the end when negative.
fn start_of(len: usize, start: i64) -> usize {
    match usize::try_from(start) {
        Ok(start) => start,
        Err(_) => len.saturating_sub(usize::try_from(start.unsigned_abs()).unwrap_or(usize::MAX)),
    }
}

fn place(
    context: &NativeCallContext,
    list: &mut Array,
    closure: &FnPtr,
    start: i64,
    name: &str,
) -> Fallible<Option<usize>> {
    let start = start_of(list.len(), start);
    for (at, item) in list.iter_mut().enumerate().skip(start) {
        if holds(name, context, closure, item, at)? {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

fn find(context: &NativeCallContext, list: &mut Array, closure: &FnPtr, start: i64) -> Fallible<Dynamic> {
    Ok(place(context, list, closure, start, "find")?.and_then(|at| list.get(at).cloned()).unwrap_or(Dynamic::UNIT))
}

fn index_of(context: &NativeCallContext, list: &mut Array, closure: &FnPtr, start: i64) -> Fallible<i64> {
    Ok(place(context, list, closure, start, "index_of")?.map_or(-1, |at| i64::try_from(at).unwrap_or(i64::MAX)))
}

fn find_map(context: &NativeCallContext, list: &mut Array, closure: &FnPtr, start: i64) -> Fallible<Dynamic> {
    let start = start_of(list.len(), start);
    for (at, item) in list.iter_mut().enumerate().skip(start) {
        let at = Dynamic::from_int(i64::try_from(at).unwrap_or(i64::MAX));
        let found = closure.call_raw_with_extra_args("find_map", context, Some(item), [], [at], Some(0))?;
        if super::rounds::there(found.clone())?.is_unit() {
            continue;
        }
        return Ok(found);
    }
    Ok(Dynamic::UNIT)
}

/// Takes those out for which the closure answers `taken`.
fn part(name: &str, context: &NativeCallContext, list: &mut Array, closure: &FnPtr, taken: bool) -> Fallible<Array> {
    let mut answers = Vec::with_capacity(list.len());
    for (at, item) in list.iter_mut().enumerate() {
        answers.push(holds(name, context, closure, item, at)?);
    }
    let (mut out, mut left) = (Array::new(), Array::new());
    for (item, answer) in std::mem::take(list).into_iter().zip(answers) {
        if answer == taken { out.push(item) } else { left.push(item) }
    }
    *list = left;
    Ok(out)
}

fn part_of_map(name: &str, context: &NativeCallContext, map: &mut Map, closure: &FnPtr, taken: bool) -> Fallible<Map> {
    let mut out = Map::new();
    for (key, item) in map.iter_mut() {
        if entry_holds(name, context, closure, key, item)? == taken {
            out.insert(key.clone(), item.clone());
        }
    }
    map.retain(|key, _| !out.contains_key(key));
    Ok(out)
}

/// Sorts by a closure that says a number or whether the first comes first. An error ends it; Rhai's own would go on.
fn sort_by(context: &NativeCallContext, list: &mut Array, closure: &FnPtr) -> Fallible<()> {
    let mut fault = None;
    let mut less = |a: &Dynamic, b: &Dynamic| -> bool {
        if fault.is_some() {
            return false;
        }
        let told = closure.call_raw(context, None, [a.clone(), b.clone()]);
        let answer = told.and_then(|told| match (unknown_of(&told), told.as_int(), told.as_bool()) {
            (Some(unknown), _, _) => stop(&unknown, "an order is wanted of"),
            (None, Ok(number), _) => Ok(number < 0),
            (None, _, Ok(first)) => Ok(first),
            _ => Err("the closure of `sort` gives neither a number nor true or false".into()),
        });
        answer.unwrap_or_else(|error| {
            fault = Some(error);
            false
        })
    };
    // By merging, which comes to an end whatever the closure says.
    let sorted = merge_sort(std::mem::take(list), &mut less);
    *list = sorted;
    fault.map_or(Ok(()), Err)
}

fn merge_sort(mut items: Vec<Dynamic>, less: &mut impl FnMut(&Dynamic, &Dynamic) -> bool) -> Vec<Dynamic> {
    if items.len() < 2 {
        return items;
    }
    let right = items.split_off(items.len() / 2);
    let mut left = merge_sort(items, less).into_iter().peekable();
    let mut right = merge_sort(right, less).into_iter().peekable();
    let mut merged = Vec::new();
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let next = if less(b, a) { right.next() } else { left.next() };
        merged.extend(next);
    }
    merged.extend(left);
    merged.extend(right);
    merged
}

fn dedup_by(context: &NativeCallContext, list: &mut Array, closure: &FnPtr) -> Fallible<()> {
    let mut kept: Array = Array::new();
    for item in list.iter() {
        if let Some(last) = kept.last() {
            let told = closure.call_raw(context, None, [last.clone(), item.clone()])?;
            if answer("dedup", &told)? {
                continue;
            }
        }
        kept.push(item.clone());
    }
    *list = kept;
    Ok(())
}

/// Teaches an engine the strict forms.
pub fn register(engine: &mut Engine) {
    engine.register_fn("filter", |context: NativeCallContext, list: &mut Array, closure: FnPtr| -> Fallible<Array> {
        part("filter", &context, &mut list.clone(), &closure, true)
    });
    engine.register_fn("retain", |context: NativeCallContext, list: &mut Array, closure: FnPtr| {
        part("retain", &context, list, &closure, false)
    });
    engine.register_fn("drain", |context: NativeCallContext, list: &mut Array, closure: FnPtr| {
        part("drain", &context, list, &closure, true)
    });
    engine.register_fn("some", |context: NativeCallContext, list: &mut Array, closure: FnPtr| {
        place(&context, list, &closure, 0, "some").map(|place| place.is_some())
    });
    engine.register_fn("all", |context: NativeCallContext, list: &mut Array, closure: FnPtr| -> Fallible<bool> {
        if list.is_empty() && super::current::calls().is_some_and(|calls| calls.vouches()) {
            return Err("`all` is asked of an empty list: that would prove nothing".into());
        }
        for (at, item) in list.iter_mut().enumerate() {
            if !holds("all", &context, &closure, item, at)? {
                return Ok(false);
            }
        }
        Ok(true)
    });
    engine.register_fn("find", |context: NativeCallContext, list: &mut Array, closure: FnPtr| {
        find(&context, list, &closure, 0)
    });
    engine.register_fn("find", |context: NativeCallContext, list: &mut Array, closure: FnPtr, start: i64| {
        find(&context, list, &closure, start)
    });
    engine.register_fn("find_map", |context: NativeCallContext, list: &mut Array, closure: FnPtr| {
        find_map(&context, list, &closure, 0)
    });
    engine.register_fn("find_map", |context: NativeCallContext, list: &mut Array, closure: FnPtr, start: i64| {
        find_map(&context, list, &closure, start)
    });
    engine.register_fn("index_of", |context: NativeCallContext, list: &mut Array, closure: FnPtr| {
        index_of(&context, list, &closure, 0)
    });
    engine.register_fn("index_of", |context: NativeCallContext, list: &mut Array, closure: FnPtr, start: i64| {
        index_of(&context, list, &closure, start)
    });
    for name in ["sort", "sort_by"] {
        engine.register_fn(name, |context: NativeCallContext, list: &mut Array, closure: FnPtr| {
            sort_by(&context, list, &closure)
        });
    }
    for name in ["order", "order_by"] {
        engine.register_fn(name, |context: NativeCallContext, list: &mut Array, closure: FnPtr| -> Fallible<Array> {
            let mut list = list.clone();
            sort_by(&context, &mut list, &closure).map(|()| list)
        });
    }
    engine.register_fn("dedup", |context: NativeCallContext, list: &mut Array, closure: FnPtr| {
        dedup_by(&context, list, &closure)
    });
    engine.register_fn("filter", |context: NativeCallContext, map: &mut Map, closure: FnPtr| {
        part_of_map("filter", &context, &mut map.clone(), &closure, true)
    });
    engine.register_fn("retain", |context: NativeCallContext, map: &mut Map, closure: FnPtr| {
        part_of_map("retain", &context, map, &closure, false)
    });
    engine.register_fn("drain", |context: NativeCallContext, map: &mut Map, closure: FnPtr| {
        part_of_map("drain", &context, map, &closure, true)
    });
}
