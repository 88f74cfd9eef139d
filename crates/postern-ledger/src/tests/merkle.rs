//! The trees of RFC 6962, against its definition and against the values that Certificate Transparency's own
//! implementations are tested with.

use crate::checkpoint::{from_hex, to_hex};
use crate::merkle::{Hash, Tree, leaf, path, root_by_path};
use sha2::{Digest, Sha256};

/// The root as the RFC defines it, by recursion.
fn defined(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [one] => *one,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            let bytes = [&[1][..], &defined(left), &defined(right)].concat();
            Sha256::digest(bytes).into()
        }
    }
}

fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|n| leaf(&n.to_be_bytes())).collect()
}

#[test]
fn leaves_and_the_empty_tree_have_the_known_hashes() {
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(to_hex(&Tree::default().root()), empty);
    let empty_leaf = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
    assert_eq!(to_hex(&leaf(b"")), empty_leaf);
}

#[test]
fn a_growing_tree_has_the_root_that_is_defined() {
    let leaves = leaves(70);
    let mut tree = Tree::default();
    for (count, leaf) in leaves.iter().enumerate() {
        assert_eq!(tree.root(), defined(&leaves[..count]));
        tree.push(*leaf);
        assert_eq!(tree.leaves(), count as u64 + 1);
    }
}

#[test]
fn every_path_leads_to_the_root_and_to_no_other_place() {
    for count in 1..=33 {
        let leaves = leaves(count);
        let root = defined(&leaves);
        for index in 0..count {
            let path = path(index, &leaves).unwrap();
            let lead = |index: usize, count: usize, path: &[Hash]| {
                root_by_path(leaves[index], index as u64, count as u64, path)
            };
            assert_eq!(lead(index, count, &path), Some(root), "{index} of {count}");
            let other = (index + 1) % count;
            if other != index {
                assert_ne!(
                    root_by_path(leaves[index], other as u64, count as u64, &path),
                    Some(root)
                );
            }
            let mut longer = path.clone();
            longer.push(root);
            assert_ne!(lead(index, count, &longer), Some(root));
            if let Some((_, shorter)) = path.split_last() {
                assert_ne!(lead(index, count, shorter), Some(root));
            }
        }
        assert_eq!(path(count, &leaves), None);
        assert_eq!(root_by_path(root, count as u64, count as u64, &[]), None);
    }
    assert_eq!(root_by_path([0; 32], 0, 0, &[]), None);
}

#[test]
fn hex_is_read_in_one_form_only() {
    assert_eq!(from_hex::<2>("0aff"), Some([10, 255]));
    for wrong in ["0AFF", "0af", "0aff0", "0aff00", "0ag0", "", "+aff"] {
        assert_eq!(from_hex::<2>(wrong), None, "{wrong}");
    }
}
