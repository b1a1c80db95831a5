//! The memory that predictions use.
//!
//! A prediction pays for each page that it writes: the host restores the page before another prediction may see it, which
//! costs more than many a model. The general allocator writes here and there, as `load` has left room, and keeps its lists
//! in between. So what a prediction allocates comes from one small block, piece after piece, and once all pieces are freed
//! the block is empty again. What does not fit comes from the general allocator, and so does everything until the model is
//! loaded.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;

const PAGE: usize = 4096;
/// Words for what an export returns beyond one number.
const RESULT: usize = 16;
/// Bytes of the block, four pages with what stands before it: room for the inputs and outputs of some dozens of rows.
const BLOCK: usize = 4 * PAGE - size_of::<[usize; RESULT + 3]>();

#[cfg_attr(target_arch = "wasm32", global_allocator)]
static MEMORY: Memory = Memory::new();

/// From now on allocations come from the block.
pub(crate) fn loaded() {
    MEMORY.open();
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

/// The block, and the general allocator behind it.
struct Memory(UnsafeCell<Block>);

/// On pages of its own, with what every prediction writes on the first of them.
#[repr(C, align(4096))]
struct Block {
    open: bool,
    /// Bytes given out, from the front.
    used: usize,
    /// Pieces not freed.
    pieces: usize,
    result: [usize; RESULT],
    bytes: [u8; BLOCK],
}

// SAFETY: a plugin has one thread, as the host refuses WebAssembly's threads. Elsewhere the one block that is shared is
// never used.
unsafe impl Sync for Memory {}

impl Memory {
    const fn new() -> Self {
        Self(UnsafeCell::new(Block {
            open: false,
            used: 0,
            pieces: 0,
            result: [0; RESULT],
            bytes: [0; BLOCK],
        }))
    }

    fn open(&self) {
        // SAFETY: there is one thread, and no reference to the block.
        unsafe { (*self.0.get()).open = true }
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
}

// SAFETY: pieces of the block do not overlap, because each begins at or after `used` and moves it to its own end, and
// `used` goes back only to the begin of the last piece, when that is freed, and to 0, when none is left. They lie in the
// block, because `used` never passes its end, and begin at a multiple of their alignment. Everything else is the general
// allocator's, told apart by its address. No reference into the block is ever made here, and there is one thread.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let block = self.0.get();
        // SAFETY: as above.
        unsafe {
            if (*block).open {
                let start = self.start();
                let place = (*block).used + start.add((*block).used).align_offset(layout.align());
                if place <= BLOCK && layout.size() <= BLOCK - place {
                    (*block).used = place + layout.size();
                    (*block).pieces += 1;
                    return start.add(place);
                }
            }
            System.alloc(layout)
        }
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        let block = self.0.get();
        // SAFETY: as above; a piece of the block was counted when it was given out.
        unsafe {
            let Some(place) = self.place(piece) else {
                return System.dealloc(piece, layout);
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
            let Some(place) = self.place(piece) else {
                return System.realloc(piece, layout, size);
            };
            if place + layout.size() == (*block).used && size <= BLOCK - place {
                (*block).used = place + size;
                return piece;
            }
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                ptr::copy_nonoverlapping(piece, new, layout.size().min(size));
                self.dealloc(piece, layout);
            }
            new
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> Memory {
        let memory = Memory::new();
        memory.open();
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
            memory.open();
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
