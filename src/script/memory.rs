//! Counts the memory each thread holds, so that a script cannot take more than its share: per-value limits alone let
//! gigabytes through.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, with a counter for each thread.
pub struct Counting;

fn add(bytes: usize) {
    // The thread may be ending, its locals gone: then nobody asks any more.
    let _ = HELD.try_with(|held| held.set(held.get().wrapping_add(bytes)));
}

// SAFETY: every method hands its arguments unchanged to the system's allocator; the counter does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        add(0usize.wrapping_sub(layout.size()));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        add(new_size.wrapping_sub(layout.size()));
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

/// Bytes allocated minus bytes freed on this thread. Memory freed by another thread than it came from makes this wrap, so
/// only differences within one evaluation mean something.
#[must_use]
pub fn held_by_thread() -> usize {
    let held = HELD.with(Cell::get);
    if held > usize::MAX / 2 { 0 } else { held }
}
