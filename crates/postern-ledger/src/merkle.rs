//! Merkle trees as in RFC 6962, section 2.1: leaves and nodes are hashed with different first bytes, so that
//! one can't be passed off as the other.

use sha2::{Digest, Sha256};

/// A SHA-256.
pub(crate) type Hash = [u8; 32];

/// Longest path that a tree of `u64` leaves can need.
pub(crate) const LONGEST_PATH: usize = 64;

/// The hash of a leaf.
pub(crate) fn leaf(bytes: &[u8]) -> Hash {
    Sha256::new_with_prefix([0]).chain_update(bytes).finalize().into()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    let hash = Sha256::new_with_prefix([1]).chain_update(left);
    hash.chain_update(right).finalize().into()
}

/// A tree that only grows, as the roots of its full subtrees: 64 hashes at most.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    leaves: u64,
    /// From the largest subtree, at the left, to the smallest.
    peaks: Vec<Hash>,
}

impl Tree {
    /// Adds a leaf at the right.
    pub(crate) fn push(&mut self, leaf: Hash) {
        let mut joined = leaf;
        // Each bit that is set is a subtree as large as what was joined so far.
        for _ in 0..self.leaves.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                joined = node(&left, &joined);
            }
        }
        self.peaks.push(joined);
        self.leaves = self.leaves.saturating_add(1);
    }

    /// Leaves so far.
    pub(crate) fn leaves(&self) -> u64 {
        self.leaves
    }

    /// The root over all leaves so far.
    pub(crate) fn root(&self) -> Hash {
        let joined = self.peaks.iter().rev().copied();
        joined
            .reduce(|right, left| node(&left, &right))
            .unwrap_or_else(|| Sha256::digest([]).into())
    }
}

/// The hashes that lead from leaf `index` to the root over `leaves`, from the leaf's neighbour up; `None` when
/// there is no such leaf.
pub(crate) fn path(mut index: usize, leaves: &[Hash]) -> Option<Vec<Hash>> {
    let mut rest = leaves;
    let mut path = Vec::new();
    rest.get(index)?;
    while rest.len() > 1 {
        let (left, right) = rest.split_at_checked(rest.len().next_power_of_two() / 2)?;
        if index < left.len() {
            path.push(root_of(right));
            rest = left;
        } else {
            path.push(root_of(left));
            index = index.saturating_sub(left.len());
            rest = right;
        }
    }
    path.reverse();
    Some(path)
}

fn root_of(leaves: &[Hash]) -> Hash {
    let mut tree = Tree::default();
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    tree.root()
}

/// The root that `path` leads to from `leaf` at `index` of a tree of `leaves` leaves; `None` when the path is
/// not one of such a tree.
pub(crate) fn root_by_path(leaf: Hash, index: u64, leaves: u64, path: &[Hash]) -> Option<Hash> {
    let mut at = index;
    let mut last = leaves.checked_sub(1)?;
    if at > last {
        return None;
    }
    let mut joined = leaf;
    for beside in path {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            joined = node(beside, &joined);
            // A subtree without a right neighbour goes up as it is.
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            joined = node(&joined, beside);
        }
        at >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(joined)
}
