//! Where a plugin's memory lies.
//!
//! A prediction pays for each page that it reads and, tenfold, for each that it writes: the host walks the ones and restores
//! the others before another prediction may see them, which costs more than many a model. The general allocator writes here
//! and there, as `load` has left room, and keeps its lists in between. So
//!
//! - what is freed while the model is loaded becomes zero: a snapshot of the instance is taken next, and zero pages cost
//!   nothing in it;
//! - what [`together`] allocates then lies in chunks of its own, and stays;
//! - what a prediction allocates comes from one small block, piece after piece. Room is used again when the last piece is
//!   freed, and all of it when no piece is left: after the call, in an instance that serves another;
//! - everything else, and what does not fit, comes from the general allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::hint::black_box;
use std::ptr;

const PAGE: usize = 4096;
/// Words for what an export returns beyond one number.
const RESULT: usize = 16;
/// Bytes of the block, two pages with what stands before it: room for the inputs and outputs of some dozens of rows.
const BLOCK: usize = 2 * PAGE - size_of::<[usize; RESULT + 3]>() - size_of::<Chunks>();
/// Bytes of the first chunk, which lies behind the block: a small model, the block and the statics of most plugins share the
/// 64 KiB that the kernel maps at the first read in them.
const NEAR: usize = 8 * PAGE;
/// Bytes that a chunk has for what comes after the call that it was made for.
const SPARE: usize = 2 << 10;
/// Chunks, at most.
const CHUNKS: usize = 4;

#[cfg_attr(target_arch = "wasm32", global_allocator)]
static MEMORY: Memory = Memory::new();

/// Calls `make` twice, the first time to see how much it allocates. What it allocates the second time lies together and is
/// never freed.
///
/// For what predictions read: `load` leaves it scattered among what it has freed, and a copy of it lies on as few pages as can
/// be, before all that was needed on the way, so that the snapshot ends with it. A model that derives `Clone` ends its `load`
/// by `Ok(together(|| model.clone()))`. Worth it for models of up to some MiB.
///
/// Natively, and once the model is loaded, this does nothing else than to call `make`.
pub fn together<T>(make: impl Fn() -> T) -> T {
    if cfg!(target_arch = "wasm32") {
        MEMORY.together(make)
    } else {
        make()
    }
}

/// Keeps a value as long as the instance lives, beside what was made [`together`] if there is room.
pub(crate) fn kept<T>(value: T) -> &'static T {
    if cfg!(target_arch = "wasm32") {
        let before = MEMORY.enter(Phase::Together);
        let value = Box::leak(Box::new(value));
        MEMORY.enter(before);
        value
    } else {
        Box::leak(Box::new(value))
    }
}

/// From now on allocations come from the block.
pub(crate) fn loaded() {
    if cfg!(target_arch = "wasm32") {
        MEMORY.enter(Phase::Predicting);
    }
}

/// Where the generated exports leave what they return, as a `T`: on the page that a prediction writes anyway.
pub(crate) const fn result<T>() -> *mut u8 {
    const {
        assert!(size_of::<T>() <= size_of::<[usize; RESULT]>());
        assert!(align_of::<T>() <= align_of::<usize>());
    }
    // SAFETY: the pointer is that of a static, and no reference is made.
    unsafe { (&raw mut (*MEMORY.0.get()).result).cast() }
}

/// The chunks, the block, and the general allocator behind them.
struct Memory(UnsafeCell<Block>);

/// Where pieces come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The general allocator.
    Loading,
    /// The general allocator, which counts.
    Measuring,
    /// The last chunk.
    Together,
    /// The block.
    Predicting,
}

/// On pages of its own, with what every prediction writes on the first of them.
#[repr(C, align(4096))]
struct Block {
    phase: Phase,
    /// Bytes given out, from the front.
    used: usize,
    /// Pieces not freed.
    pieces: usize,
    chunks: Chunks,
    result: [usize; RESULT],
    bytes: [u8; BLOCK],
    near: [u8; NEAR],
}

#[derive(Debug, Clone, Copy)]
struct Chunks {
    /// Where the next piece of the last chunk may begin, and the bytes from there on.
    next: *mut u8,
    room: usize,
    /// What was counted.
    measured: usize,
    /// The addresses of all chunks, first and behind the last.
    ranges: [(usize, usize); CHUNKS],
}

// SAFETY: a plugin has one thread, as the host refuses WebAssembly's threads. Elsewhere nothing calls the one block that is
// shared: `loaded` does nothing, and the generated exports are for plugins.
unsafe impl Sync for Memory {}

impl Memory {
    const fn new() -> Self {
        Self(UnsafeCell::new(Block {
            phase: Phase::Loading,
            used: 0,
            pieces: 0,
            chunks: Chunks {
                next: ptr::null_mut(),
                room: 0,
                measured: 0,
                ranges: [(0, 0); CHUNKS],
            },
            result: [0; RESULT],
            bytes: [0; BLOCK],
            near: [0; NEAR],
        }))
    }

    /// Returns the phase before.
    fn enter(&self, phase: Phase) -> Phase {
        // SAFETY: there is one thread, and no reference to the block.
        unsafe { ptr::replace(&raw mut (*self.0.get()).phase, phase) }
    }

    fn together<T>(&self, make: impl Fn() -> T) -> T {
        let before = self.enter(Phase::Measuring);
        if before != Phase::Loading {
            self.enter(before);
            return make();
        }
        // A panic ends the plugin, so that nothing is left to put back then.
        drop(make());
        self.reserve();
        self.enter(Phase::Together);
        let made = make();
        self.enter(before);
        made
    }

    /// Makes a chunk of what was counted, unless the last one has room for it.
    fn reserve(&self) {
        // SAFETY: there is one thread, and this is the only reference to a part of the block; allocating makes none.
        let chunks = unsafe { &mut (*self.0.get()).chunks };
        let bytes = std::mem::take(&mut chunks.measured);
        let free = chunks.ranges.iter().position(|range| *range == (0, 0));
        let (true, Some(free)) = (bytes > chunks.room, free) else {
            return;
        };
        let (chunk, bytes) = if free == 0 && bytes <= NEAR {
            // SAFETY: the pointer is that of a live block, and no reference is made.
            (unsafe { (&raw mut (*self.0.get()).near).cast() }, NEAR)
        } else {
            let Ok(layout) = Layout::from_size_align(bytes.saturating_add(SPARE), PAGE) else {
                return;
            };
            // SAFETY: its size is not zero.
            (unsafe { System.alloc(layout) }, layout.size())
        };
        if !chunk.is_null() {
            chunks.ranges[free] = (chunk.addr(), chunk.addr() + bytes);
            (chunks.next, chunks.room) = (chunk, bytes);
        }
    }

    /// Where the block's bytes begin.
    const fn start(&self) -> *mut u8 {
        // SAFETY: the pointer is that of a live block, and no reference is made.
        unsafe { (&raw mut (*self.0.get()).bytes).cast() }
    }

    /// Where in the block a piece begins; `None` for one of the general allocator.
    fn place(&self, piece: *const u8) -> Option<usize> {
        let place = piece.addr().wrapping_sub(self.start().addr());
        (place < BLOCK).then_some(place)
    }

    /// Whether a piece lies in a chunk.
    fn is_kept(&self, piece: *const u8) -> bool {
        // SAFETY: there is one thread, and no reference to the block.
        let ranges = unsafe { (*self.0.get()).chunks.ranges };
        ranges
            .iter()
            .any(|(low, high)| (*low..*high).contains(&piece.addr()))
    }

    /// A piece of the last chunk; `None` where it has no room.
    fn keep(&self, layout: Layout) -> Option<*mut u8> {
        // SAFETY: there is one thread, and this is the only reference to a part of the block.
        let chunks = unsafe { &mut (*self.0.get()).chunks };
        let pad = chunks.next.align_offset(layout.align());
        if pad.checked_add(layout.size())? > chunks.room {
            return None;
        }
        // SAFETY: a piece lies in its chunk, because `room` is what is left of it.
        unsafe {
            let piece = chunks.next.add(pad);
            chunks.next = piece.add(layout.size());
            chunks.room -= pad + layout.size();
            Some(piece)
        }
    }
}

// SAFETY: pieces of the block do not overlap, because each begins at or after `used` and moves it to its own end, and
// `used` goes back only to the begin of the last piece, when that is freed, and to 0, when none is left. They lie in the
// block, because `used` never passes its end, and begin at a multiple of their alignment. Those of a chunk are never freed and
// follow each other. Everything else is the general allocator's, told apart by its address. No reference into the block's
// bytes is ever made here, and there is one thread.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let block = self.0.get();
        // SAFETY: as above.
        unsafe {
            match (*block).phase {
                Phase::Together => {
                    if let Some(piece) = self.keep(layout) {
                        return piece;
                    }
                }
                // As much as its alignment may cost, wherever it will begin.
                Phase::Measuring => {
                    (*block).chunks.measured += layout.size() + layout.align() - 1;
                }
                Phase::Predicting => {
                    let start = self.start();
                    let pad = start.add((*block).used).align_offset(layout.align());
                    let place = (*block).used + pad;
                    if place <= BLOCK && layout.size() <= BLOCK - place {
                        (*block).used = place + layout.size();
                        (*block).pieces += 1;
                        return start.add(place);
                    }
                }
                Phase::Loading => {}
            }
            System.alloc(layout)
        }
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        let block = self.0.get();
        // SAFETY: as above; a piece of the block was counted when it was given out.
        unsafe {
            let Some(place) = self.place(piece) else {
                if !self.is_kept(piece) {
                    if (*block).phase != Phase::Predicting {
                        clear(piece, layout.size());
                    }
                    System.dealloc(piece, layout);
                }
                return;
            };
            (*block).pieces -= 1;
            if (*block).pieces == 0 {
                (*block).used = 0;
            } else if place + layout.size() == (*block).used {
                (*block).used = place;
            }
        }
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let block = self.0.get();
        // SAFETY: as above; the sum of place and size cannot overflow where size is at most what is left, and a new piece
        // does not overlap with the old one, which is not freed yet.
        unsafe {
            let place = self.place(piece);
            let is_general = place.is_none() && !self.is_kept(piece);
            let is_loading = (*block).phase != Phase::Predicting;
            if is_general && is_loading && size < layout.size() {
                clear(piece.add(size), layout.size() - size);
            }
            // While the model is loaded, what grows moves by hand: the general allocator would leave what it was.
            if is_general && (size <= layout.size() || !is_loading) {
                return System.realloc(piece, layout, size);
            }
            if let Some(place) = place
                && place + layout.size() == (*block).used
                && size <= BLOCK - place
            {
                (*block).used = place + size;
                return piece;
            }
            if size <= layout.size() {
                return piece;
            }
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                ptr::copy_nonoverlapping(piece, new, layout.size());
                self.dealloc(piece, layout);
            }
            new
        }
    }
}

/// Makes memory zero that is freed right after.
///
/// # Safety
/// The bytes may be written, and nobody reads them.
unsafe fn clear(piece: *mut u8, bytes: usize) {
    // SAFETY: the caller's.
    unsafe { piece.write_bytes(0, bytes) };
    // Without this the compiler removes stores to memory that is freed.
    black_box(piece);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> Memory {
        let memory = Memory::new();
        memory.enter(Phase::Predicting);
        memory
    }

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn until_the_model_is_loaded_nothing_comes_from_the_block() {
        let memory = Memory::new();
        // SAFETY: freed once, with its layout.
        unsafe {
            let piece = memory.alloc(layout(8, 8));
            assert_eq!(memory.place(piece), None);
            memory.enter(Phase::Predicting);
            memory.dealloc(piece, layout(8, 8));
        }
    }

    #[test]
    fn pieces_follow_each_other_and_the_block_is_empty_when_all_are_freed() {
        let memory = open();
        // SAFETY: each piece is freed once, with its layout.
        unsafe {
            let first = memory.alloc(layout(5, 1));
            let second = memory.alloc(layout(16, 8));
            let at = |piece| memory.place(piece).unwrap();
            assert!((at(first) + 5..at(first) + 13).contains(&at(second)));
            memory.dealloc(first, layout(5, 1));
            // The second still holds the block.
            let third = memory.alloc(layout(1, 1));
            assert_eq!(at(third), at(second) + 16);
            memory.dealloc(second, layout(16, 8));
            memory.dealloc(third, layout(1, 1));
            assert_eq!(at(memory.alloc(layout(5, 1))), at(first));
        }
    }

    #[test]
    fn what_is_made_together_follows_each_other_and_is_never_freed() {
        let memory = Memory::new();
        // SAFETY: each piece is freed or moved once, with its layout, and read and written within it.
        unsafe {
            let before = memory.alloc(layout(8, 8));
            const LARGE: usize = 64 << 10;
            let (first, second, large) = memory.together(|| {
                let first = memory.alloc(layout(3, 1));
                first.copy_from(b"abc".as_ptr(), 3);
                memory.dealloc(memory.alloc(layout(5, 1)), layout(5, 1));
                let second = memory.alloc(layout(16, 16));
                (first, second, memory.alloc(layout(LARGE, 8)))
            });
            assert!(!memory.is_kept(before));
            assert_eq!(second.addr() - first.addr(), 16);
            assert_eq!(second.addr() % PAGE, 16);
            assert_eq!(large.addr() - second.addr(), 16);
            large.write_bytes(1, LARGE);
            // A few bytes more have room beside it, and what is larger has a chunk of its own.
            let small = memory.together(|| memory.alloc(layout(8, 8)));
            assert_eq!(small.addr() - large.addr(), LARGE);
            let third = memory.together(|| memory.alloc(layout(LARGE, 8)));
            assert!(memory.is_kept(third) && !memory.is_kept(before));
            // Not together any more: a kept piece that grows moves away.
            let grown = memory.realloc(first, layout(3, 1), 30);
            assert_eq!(std::slice::from_raw_parts(grown, 3), b"abc");
            assert!(!memory.is_kept(grown));
            memory.dealloc(grown, layout(30, 1));
            memory.dealloc(large, layout(LARGE, 8));
            memory.dealloc(before, layout(8, 8));
            // What a prediction allocates is never kept.
            memory.enter(Phase::Predicting);
            let piece = memory.together(|| memory.alloc(layout(8, 8)));
            assert_eq!(memory.place(piece), Some(0));
            memory.dealloc(piece, layout(8, 8));
        }
    }

    #[test]
    fn a_piece_of_the_general_allocator_shrinks_and_grows_with_its_bytes_while_the_model_is_loaded()
    {
        let memory = Memory::new();
        // SAFETY: it is written and read within its layout, and freed once.
        unsafe {
            let piece = memory.alloc(layout(64, 8));
            piece.write_bytes(7, 64);
            let same = memory.realloc(piece, layout(64, 8), 32);
            let same = memory.realloc(same, layout(32, 8), 64);
            assert_eq!(std::slice::from_raw_parts(same, 32), [7; 32]);
            clear(same, 64);
            assert_eq!(std::slice::from_raw_parts(same, 64), [0; 64]);
            memory.dealloc(same, layout(64, 8));
        }
    }

    #[test]
    fn a_piece_shrinks_where_it_is() {
        let memory = open();
        // SAFETY: each piece is freed once, with its layout.
        unsafe {
            let vector = memory.alloc(layout(64, 8));
            let last = memory.alloc(layout(64, 8));
            assert_eq!(memory.realloc(vector, layout(64, 8), 8), vector);
            assert_eq!(memory.realloc(last, layout(64, 8), 8), last);
            memory.dealloc(vector, layout(8, 8));
            memory.dealloc(last, layout(8, 8));
        }
    }

    #[test]
    fn the_last_piece_grows_where_it_is_and_any_other_moves_with_its_bytes() {
        let memory = open();
        // SAFETY: each piece is freed once, with its layout.
        unsafe {
            let vector = memory.alloc(layout(4, 1));
            vector.copy_from(b"abcd".as_ptr(), 4);
            let same = memory.realloc(vector, layout(4, 1), 400);
            assert_eq!(same, vector);
            let last = memory.alloc(layout(1, 1));
            let moved = memory.realloc(vector, layout(400, 1), 800);
            assert!(memory.place(moved).unwrap() > memory.place(last).unwrap());
            assert_eq!(std::slice::from_raw_parts(moved, 4), b"abcd");
            // Beyond the block, and back into it.
            let large = memory.realloc(moved, layout(800, 1), BLOCK);
            assert_eq!(memory.place(large), None);
            assert_eq!(std::slice::from_raw_parts(large, 4), b"abcd");
            memory.dealloc(large, layout(BLOCK, 1));
            memory.dealloc(last, layout(1, 1));
        }
    }

    #[test]
    fn pieces_never_overlap_and_are_aligned() {
        let memory = open();
        let mut random = 1_u32;
        let mut next = |below: usize| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 8) as usize % below
        };
        let mut pieces: Vec<(*mut u8, Layout, u8)> = Vec::new();
        for mark in (0..=u8::MAX).cycle().take(20_000) {
            let layout = layout(1 + next(2_000), 1 << next(5));
            // SAFETY: each piece is freed or moved once, with its layout, and read and written within it.
            unsafe {
                let filled = |(piece, layout, mark): &(*mut u8, Layout, u8)| {
                    let bytes = std::slice::from_raw_parts(*piece, layout.size());
                    bytes.iter().all(|byte| byte == mark)
                };
                if pieces.len() < 12 && next(3) > 0 {
                    let piece = memory.alloc(layout);
                    assert_eq!(piece.addr() % layout.align(), 0);
                    piece.write_bytes(mark, layout.size());
                    pieces.push((piece, layout, mark));
                } else if !pieces.is_empty() {
                    let old = pieces.swap_remove(next(pieces.len()));
                    assert!(filled(&old));
                    if next(4) == 0 {
                        let new = Layout::from_size_align(layout.size(), old.1.align()).unwrap();
                        let piece = memory.realloc(old.0, old.1, new.size());
                        let kept =
                            Layout::from_size_align(old.1.size().min(new.size()), 1).unwrap();
                        assert!(filled(&(piece, kept, old.2)));
                        piece.write_bytes(old.2, new.size());
                        pieces.push((piece, new, old.2));
                    } else {
                        memory.dealloc(old.0, old.1);
                    }
                }
            }
        }
        for (piece, layout, _) in pieces {
            // SAFETY: as above.
            unsafe { memory.dealloc(piece, layout) }
        }
        // SAFETY: no piece is left.
        assert_eq!(unsafe { (*memory.0.get()).used }, 0);
    }
}
