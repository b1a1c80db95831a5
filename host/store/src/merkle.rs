//! The Merkle tree of RFC 6962 over a log that only grows.
//!
//! A leaf is hashed with a zero byte before it, a node with a one before its two children, so that neither can pass for
//! the other. Of the whole tree only its right edge is kept: the roots of the complete subtrees that it is made of, one for
//! each bit of its size. That is enough to add leaves and to know the root.

use sha2::{Digest, Sha256};

/// A hash of the tree.
pub type Hash = [u8; 32];

const HASH_BYTES: usize = size_of::<Hash>();

/// The right edge of a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    /// As many as `size` has ones in binary; the root of the largest subtree first.
    edge: Vec<Hash>,
}

impl Tree {
    /// How many leaves it has.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: &[u8]) {
        let mut hash = leaf_hash(leaf);
        // Each trailing one of the size is a subtree as large as the one that has just become complete.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.edge.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.edge.push(hash);
        self.size += 1;
    }

    /// The hash over all leaves and their order; of none, the hash of nothing.
    pub fn root(&self) -> Hash {
        let mut subtrees = self.edge.iter().rev();
        let Some(smallest) = subtrees.next() else {
            return Sha256::digest(b"").into();
        };
        subtrees.fold(*smallest, |right, left| node_hash(left, &right))
    }

    /// The right edge: at most 64 hashes, one after another, to be kept beside the size.
    pub fn edge(&self) -> Vec<u8> {
        self.edge.concat()
    }

    /// The tree of a size and its right edge; nothing if they do not belong together. Whether the hashes are right is only
    /// known by the root that they give.
    pub fn of(size: u64, edge: &[u8]) -> Option<Self> {
        let hashes = edge.chunks_exact(HASH_BYTES);
        let is_whole =
            hashes.remainder().is_empty() && hashes.len() as u64 == u64::from(size.count_ones());
        let edge: Result<Vec<Hash>, _> = hashes.map(Hash::try_from).collect();
        edge.ok()
            .filter(|_| is_whole)
            .map(|edge| Self { size, edge })
    }
}

fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new()
        .chain_update([0_u8])
        .chain_update(leaf)
        .finalize()
        .into()
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new()
        .chain_update([1_u8])
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use proptest::prelude::*;

    use super::*;

    /// The leaves that implementations of RFC 6962 are compared with, in hexadecimal.
    const LEAVES: [&str; 8] = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];

    /// The roots of the first 0 to 8 of them.
    const ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    fn bytes(hexadecimal: &str) -> Vec<u8> {
        (0..hexadecimal.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hexadecimal[at..at + 2], 16).unwrap())
            .collect()
    }

    fn hexadecimal(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    }

    fn tree<'a>(leaves: impl IntoIterator<Item = &'a Vec<u8>>) -> Tree {
        let mut tree = Tree::default();
        leaves.into_iter().for_each(|leaf| tree.push(leaf));
        tree
    }

    /// The definition of RFC 6962, section 2.1, word by word.
    fn defined(leaves: &[Vec<u8>]) -> Hash {
        match leaves {
            [] => Sha256::digest(b"").into(),
            [leaf] => leaf_hash(leaf),
            _ => {
                let mut k = 1;
                while 2 * k < leaves.len() {
                    k *= 2;
                }
                let (left, right) = leaves.split_at(k);
                node_hash(&defined(left), &defined(right))
            }
        }
    }

    #[test]
    fn roots_are_those_of_other_implementations() {
        let leaves = LEAVES.map(bytes);
        for (count, root) in ROOTS.into_iter().enumerate() {
            let tree = tree(&leaves[..count]);
            assert_eq!(hexadecimal(&tree.root()), root, "{count} leaves");
            assert_eq!(tree.size(), count as u64);
        }
    }

    #[test]
    fn an_edge_of_another_size_is_none() {
        let edge = tree(&LEAVES.map(bytes)[..7]).edge();
        assert_eq!(edge.len(), 3 * 32);
        assert!(Tree::of(7, &edge).is_some() && Tree::of(0, &[]).is_some());
        for (size, edge) in [
            (8, &edge[..]),
            (7, &edge[1..]),
            (7, &edge[32..]),
            (0, &edge[..]),
            (7, &[]),
            (u64::MAX, &edge[..]),
        ] {
            assert_eq!(Tree::of(size, edge), None, "{size}, {} bytes", edge.len());
        }
    }

    proptest! {
        #[test]
        fn the_root_is_that_of_the_definition_at_every_size(
            leaves in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..150),
        ) {
            let mut tree = Tree::default();
            for (size, leaf) in leaves.iter().enumerate() {
                prop_assert_eq!(tree.root(), defined(&leaves[..size]));
                tree.push(leaf);
            }
            prop_assert_eq!(tree.root(), defined(&leaves));
        }

        #[test]
        fn a_tree_goes_on_from_its_stored_edge(
            (leaves, at) in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..4), 0..150)
                .prop_flat_map(|leaves| { let at = 0..=leaves.len(); (Just(leaves), at) }),
        ) {
            let first = tree(&leaves[..at]);
            let mut resumed = Tree::of(first.size(), &first.edge()).unwrap();
            prop_assert_eq!(&resumed, &first);
            leaves[at..].iter().for_each(|leaf| resumed.push(leaf));
            prop_assert_eq!(resumed, tree(&leaves));
        }
    }
}
