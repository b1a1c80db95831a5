//! Checked code as a file in memory that nobody can change any more.
//!
//! Code that wasmtime is given as bytes it copies, and the image in it, from which instances begin, once more into a file of
//! its own. A file it maps as it is, for both, and what is never used is never touched. On disk a file could be changed after
//! its MAC was checked; in memory, sealed, it cannot.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use wasmtime::component::Component;

use crate::pieces::Pieces;

/// Maps code whose MAC was checked.
///
/// # Errors
/// The system has no such files, or no `/proc` to name them by: the code can be copied then.
///
/// # Safety
/// That of [`Component::deserialize`]: the bytes are code of our own compile worker for this engine.
pub(super) unsafe fn component(
    engine: &wasmtime::Engine,
    code: &Pieces<'_>,
) -> wasmtime::Result<Component> {
    let file = file_of(code)?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    // SAFETY: the caller vouches for the bytes, and the seals for their staying as they are. The file that is opened is
    // ours: nothing else in this process closes it.
    unsafe { Component::deserialize_file(engine, path) }
}

fn file_of(code: &Pieces<'_>) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = File::from(memfd_create("foretell-code", flags)?);
    file.set_len(code.len() as u64)?;
    // What lies between is a hole, which is zero and takes no memory.
    for (place, piece) in code.iter() {
        file.write_all_at(piece, place as u64)?;
    }
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    fcntl_add_seals(&file, seals)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_sealed_file_holds_the_code_and_takes_no_other() {
        let page = 4096;
        let code = [vec![1; 10], vec![0; 5 * page], vec![2; page], vec![0; 7]].concat();
        let file = file_of(&Pieces::of(&code)).unwrap();
        assert!(file.write_all_at(b"x", 0).is_err());
        assert!(file.set_len(1).is_err() && file.set_len(1 << 20).is_err());
        let mut found = vec![9; code.len() + 1];
        assert_eq!(file.read_at(&mut found, 0).unwrap(), code.len());
        assert_eq!(found[..code.len()], code);
        // In units of 512 bytes: the first page, and the two that the third part lies in.
        assert!(file.metadata().unwrap().blocks() <= 3 * 8);
    }

    #[test]
    fn code_of_zeros_is_as_long_as_it_was() {
        for bytes in [0, 1, 4096, 4097] {
            let file = file_of(&Pieces::of(&vec![0; bytes])).unwrap();
            assert_eq!(file.metadata().unwrap().len(), bytes as u64);
        }
    }
}
