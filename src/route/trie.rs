//! The compressed byte trie that routes are found in.

use std::ops::Range;

use memchr::memchr;

use super::pattern::Pattern;
use crate::id::RouteId;

/// Of so many children one is found sooner by looking at each than by a call of `memchr`.
const FEW: usize = 16;

/// A pattern and its route, on their way into the tree; they sort by key.
pub(super) type Entry<'a> = (&'a Pattern, RouteId);

/// A radix tree over the keys of patterns: host and path, written together.
///
/// A host never holds a `/` and a path begins with one, so the patterns with a host and those
/// without share the tree and their keys never meet.
#[derive(Clone, Debug)]
pub(super) struct Trie {
    /// The root comes first; the children of a node lie side by side.
    nodes: Vec<Node>,
    /// The first label byte of each node, apart from the nodes so that one `memchr` picks a child.
    firsts: Vec<u8>,
    labels: Vec<u8>,
}

impl Trie {
    /// Builds the tree level by level from entries in order, without doubles.
    pub(super) fn grow(entries: &[Entry]) -> Self {
        let mut tree = Self { nodes: Vec::new(), firsts: vec![0], labels: Vec::new() };
        // Each group is the node of the same index: its entries, and how many of their bytes lie
        // above it.
        let mut groups = vec![(entries, 0)];
        while let Some(&(group, depth)) = groups.get(tree.nodes.len()) {
            let label = shared_prefix(group, depth);
            let end = depth + label.len();
            let next = |entry: &Entry| entry.0.key.as_bytes().get(end).copied();
            let (here, below) = group.split_at(group.partition_point(|e| next(e).is_none()));
            let first_child = groups.len();
            for branch in below.chunk_by(|a, b| next(a) == next(b)) {
                tree.firsts.extend(next(&branch[0]));
                groups.push((branch, end));
            }
            let label_start = tree.labels.len();
            tree.labels.extend_from_slice(label);
            let route = |whole| here.iter().find(|e| e.0.whole_segments == whole).map(|e| e.1);
            tree.nodes.push(Node {
                label: label_start..tree.labels.len(),
                children: first_child..groups.len(),
                by_segment: route(true),
                by_byte: route(false),
            });
        }
        tree
    }

    /// Walks `host` down from the root: the node it ends in, and what of that node's label is left.
    pub(super) fn enter(&self, host: &[u8]) -> Option<(usize, &[u8])> {
        let (mut node, mut rest) = (0, host);
        loop {
            let label = self.label(node);
            let (compared, tail) = label.split_at(label.len().min(rest.len()));
            let (head, below) = rest.split_at(compared.len());
            if !compared.eq_ignore_ascii_case(head) {
                return None;
            }
            let Some(first) = below.first() else {
                return Some((node, tail));
            };
            node = self.child(node, first.to_ascii_lowercase())?;
            rest = below;
        }
    }

    /// The route with the longest prefix of `path`, going on from `node` with `label` left of its
    /// label.
    pub(super) fn longest<'a>(
        &'a self,
        mut node: usize,
        mut label: &'a [u8],
        path: &[u8],
    ) -> Option<RouteId> {
        let (mut best, mut rest) = (None, path);
        while let Some(below) = rest.strip_prefix(label) {
            best = self.nodes[node].route_before(below).or(best);
            let Some(child) = below.first().and_then(|&first| self.child(node, first)) else {
                break;
            };
            (node, label, rest) = (child, self.label(child), below);
        }
        best
    }

    pub(super) fn label(&self, node: usize) -> &[u8] {
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
    /// The route whose match must end at a segment border.
    by_segment: Option<RouteId>,
    /// The route whose match may end anywhere.
    by_byte: Option<RouteId>,
}

impl Node {
    /// The route that ends here when `rest` of the path is still to come.
    fn route_before(&self, rest: &[u8]) -> Option<RouteId> {
        let at_border = matches!(rest, [] | [b'/', ..]);
        self.by_segment.filter(|_| at_border).or(self.by_byte)
    }
}

/// What all keys have in common from `depth` on. They are in order, so the first and the last have
/// no more in common than any other two.
fn shared_prefix<'a>(group: &[Entry<'a>], depth: usize) -> &'a [u8] {
    let (Some(first), Some(last)) = (group.first(), group.last()) else {
        return &[];
    };
    let (first, last) = (&first.0.key.as_bytes()[depth..], &last.0.key.as_bytes()[depth..]);
    let len = first.iter().zip(last).take_while(|(a, b)| a == b).count();
    &first[..len]
}
