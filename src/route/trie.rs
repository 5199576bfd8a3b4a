//! The compressed byte trie in which routes are looked up.

use std::num::NonZeroU32;
use std::ops::Range;

use memchr::memchr;

use super::pattern::{PathEnd, Pattern};

/// Up to this many children, a linear search is faster than a call to `memchr`.
const FEW: usize = 16;

/// A leaf: what ends where one pattern does. Numbered from 1, so that none takes no room of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeafId(NonZeroU32);

impl LeafId {
    /// The one at `index` in its table.
    pub(super) fn new(index: usize) -> Self {
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        Self(NonZeroU32::new(number).unwrap_or(NonZeroU32::MAX))
    }

    /// Its index in its table.
    pub(super) fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// A place in the tree: a node, and what is left of its label.
pub(super) type Spot<'a> = (usize, &'a [u8]);

/// A pattern and its leaf, sorted by key; no two patterns are equal.
pub(super) type Entry<'a> = (&'a Pattern, LeafId);

/// A radix tree over the keys of patterns: host and path, concatenated.
///
/// A host never contains a `/` and a path begins with one, so patterns with and without a host share
/// the tree without collisions; and no leaf is above one of another host.
#[derive(Clone, Debug)]
pub(super) struct Trie {
    /// The root comes first; the children of a node are adjacent.
    nodes: Vec<Node>,
    /// The first label byte of each node, stored separately so that one `memchr` finds a child.
    firsts: Vec<u8>,
    labels: Vec<u8>,
}

impl Trie {
    /// Builds the tree level by level from sorted entries without duplicates. Also returns, for each leaf, the
    /// next less specific one of the same host: whatever ends at the former also ends at the latter.
    pub(super) fn grow(entries: &[Entry]) -> (Self, Vec<Option<LeafId>>) {
        let mut tree = Self { nodes: Vec::new(), firsts: vec![0], labels: Vec::new() };
        let mut next_leaves = vec![None; entries.len()];
        // Each group becomes the node of the same index: its entries, how many of their bytes are above
        // that node, and the most specific leaf that is.
        let mut groups = vec![(entries, 0, None)];
        while let Some(&(group, depth, above)) = groups.get(tree.nodes.len()) {
            let label = shared_prefix(group, depth);
            let end = depth + label.len();
            let next = |entry: &Entry| entry.0.key.as_bytes().get(end).copied();
            let (here, below) = group.split_at(group.partition_point(|e| next(e).is_none()));
            let label_start = tree.labels.len();
            tree.labels.extend_from_slice(label);
            let leaf = |end| here.iter().find(|entry| entry.0.end == end).map(|entry| entry.1);
            let [by_byte, by_segment, exact] =
                [PathEnd::Anywhere, PathEnd::Segment, PathEnd::Exact].map(leaf);
            let mut less_specific = above;
            for leaf in [by_byte, by_segment, exact].into_iter().flatten() {
                next_leaves[leaf.index()] = less_specific;
                less_specific = Some(leaf);
            }
            let mut node = Node {
                label: label_start..tree.labels.len(),
                children: 0..0,
                at_end: exact.or(by_segment).or(by_byte),
                at_slash: by_segment.or(by_byte),
                within: by_byte,
            };
            let first_child = groups.len();
            for branch in below.chunk_by(|a, b| next(a) == next(b)) {
                let first = next(&branch[0]);
                tree.firsts.extend(first);
                groups.push((branch, end, node.leaf_before(first.as_slice()).or(above)));
            }
            node.children = first_child..groups.len();
            tree.nodes.push(node);
        }
        (tree, next_leaves)
    }

    /// Where every key begins.
    pub(super) fn root(&self) -> Spot<'_> {
        (0, self.label(0))
    }

    /// Follows a host, or a part of one, from a spot, to where it ends.
    pub(super) fn enter<'a>(&'a self, from: Spot<'a>, host: &[u8]) -> Option<Spot<'a>> {
        let (mut node, mut label) = from;
        let mut rest = host;
        loop {
            let (compared, tail) = label.split_at(label.len().min(rest.len()));
            let (head, below) = rest.split_at(compared.len());
            if !compared.eq_ignore_ascii_case(head) {
                return None;
            }
            let Some(first) = below.first() else {
                return Some((node, tail));
            };
            node = self.child(node, first.to_ascii_lowercase())?;
            (label, rest) = (self.label(node), below);
        }
    }

    /// The most specific leaf for `path`, which is followed from a spot.
    pub(super) fn longest<'a>(
        &'a self,
        (mut node, mut label): Spot<'a>,
        path: &[u8],
    ) -> Option<LeafId> {
        let (mut best, mut rest) = (None, path);
        while let Some(below) = rest.strip_prefix(label) {
            best = self.nodes[node].leaf_before(below).or(best);
            let Some(child) = below.first().and_then(|&first| self.child(node, first)) else {
                break;
            };
            (node, label, rest) = (child, self.label(child), below);
        }
        best
    }

    fn label(&self, node: usize) -> &[u8] {
        &self.labels[self.nodes[node].label.clone()]
    }

    fn child(&self, node: usize, first: u8) -> Option<usize> {
        let children = self.nodes[node].children.clone();
        let firsts = &self.firsts[children.clone()];
        let found = if firsts.len() <= FEW {
            firsts.iter().position(|other| *other == first)
        } else {
            memchr(first, firsts)
        };
        found.map(|at| children.start + at)
    }
}

#[derive(Clone, Debug)]
struct Node {
    label: Range<usize>,
    children: Range<usize>,
    /// The most specific leaf that ends here, if the path does, too.
    at_end: Option<LeafId>,
    /// The same, if a slash follows in the path.
    at_slash: Option<LeafId>,
    /// The same, if another byte follows.
    within: Option<LeafId>,
}

impl Node {
    /// The most specific leaf that ends here when `rest` of the path is still to come.
    fn leaf_before(&self, rest: &[u8]) -> Option<LeafId> {
        match rest {
            [] => self.at_end,
            [b'/', ..] => self.at_slash,
            _ => self.within,
        }
    }
}

/// The prefix that all keys share from `depth` on. The keys are sorted, so it is the one that the first
/// and the last share.
fn shared_prefix<'a>(group: &[Entry<'a>], depth: usize) -> &'a [u8] {
    let (Some(first), Some(last)) = (group.first(), group.last()) else {
        return &[];
    };
    let (first, last) = (&first.0.key.as_bytes()[depth..], &last.0.key.as_bytes()[depth..]);
    let len = first.iter().zip(last).take_while(|(a, b)| a == b).count();
    &first[..len]
}
