//! Digests of trees. Every part is written with its kind and its length, so that no two trees are written the
//! same.

use super::list;
use super::literal;
use crate::tree::Tree;
use sha2::{Digest, Sha256};

/// Of the whole tree.
pub(super) fn whole(tree: &Tree) -> [u8; 32] {
    let mut out = Vec::new();
    write(tree, false, &mut out);
    Sha256::digest(&out).into()
}

/// Of the tree without its values.
pub(super) fn shape(tree: &Tree) -> [u8; 32] {
    let mut out = Vec::new();
    write(tree, true, &mut out);
    Sha256::digest(&out).into()
}

fn write(tree: &Tree, shape: bool, out: &mut Vec<u8>) {
    if shape && (tree.kind() == "ParamRef" || literal::of(tree).is_some()) {
        out.push(6);
        return;
    }
    match tree {
        Tree::Nothing => out.push(0),
        Tree::Flag(flag) => out.extend([1, u8::from(*flag)]),
        Tree::Number(number) => {
            out.push(2);
            out.extend(number.to_be_bytes());
        }
        Tree::Text(text) => {
            out.push(3);
            bytes(text.as_bytes(), out);
        }
        Tree::List(items) => {
            out.push(4);
            length(items.len(), out);
            for item in items {
                write(item, shape, out);
            }
        }
        Tree::Node(kind, fields) => {
            out.push(5);
            bytes(kind.as_bytes(), out);
            length(fields.len(), out);
            for (name, value) in fields {
                bytes(name.as_bytes(), out);
                match list::repeatable(tree, name) {
                    Some(items) if shape => alike_once(items, out),
                    _ => write(value, shape, out),
                }
            }
        }
    }
}

/// Writes each run of items of the same shape as one item.
fn alike_once(items: &[Tree], out: &mut Vec<u8>) {
    out.push(7);
    let mut last = Vec::new();
    for item in items {
        let mut this = Vec::new();
        write(item, true, &mut this);
        if this != last {
            bytes(&this, out);
            last = this;
        }
    }
}

fn bytes(value: &[u8], out: &mut Vec<u8>) {
    length(value.len(), out);
    out.extend_from_slice(value);
}

fn length(length: usize, out: &mut Vec<u8>) {
    // A usize is at most 64 bits.
    out.extend(u64::try_from(length).unwrap_or(u64::MAX).to_be_bytes());
}
