//! The compressed byte trie in which routes are looked up.

use std::ops::Range;

use memchr::memchr;

use super::pattern::Pattern;
use crate::id::RouteId;

/// Up to this many children, a linear search is faster than a call to `memchr`.
const FEW: usize = 16;

/// A pattern and its route, sorted by key.
pub(super) type Entry<'a> = (&'a Pattern, RouteId);

/// A radix tree over the keys of patterns: host and path, concatenated.
///
/// A host never contains a `/` and a path begins with one, so patterns with and without a host share
/// the tree without collisions.
#[derive(Clone, Debug)]
pub(super) struct Trie {
    /// The root comes first; the children of a node are adjacent.
    nodes: Vec<Node>,
    /// The first label byte of each node, stored separately so that one `memchr` finds a child.
    firsts: Vec<u8>,
    labels: Vec<u8>,
}

impl Trie {
    /// Builds the tree level by level from sorted entries without duplicates.
    pub(super) fn grow(entries: &[Entry]) -> Self {
        let mut tree = Self { nodes: Vec::new(), firsts: vec![0], labels: Vec::new() };
        // Each group becomes the node of the same index: its entries, and how many of their bytes are
        // above that node.
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

    /// Follows `host` from the root. Returns the node it ends in and the rest of that node's label.
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

    /// Returns the route with the longest prefix of `path`, starting at `node` with `label` left of its
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
    /// The route whose match must end at a segment boundary.
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
