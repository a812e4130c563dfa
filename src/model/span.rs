//! Where in the user's own text something stands.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// One text the user wrote: a playbook, a module, a parameter file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The name to print: a path as the user gave it, or `stdlib/pg.rhai`.
    pub name: String,
    /// The whole text.
    pub text: Arc<str>,
}

/// A range of bytes in one file of a bundle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    /// Index of the [`Source`] in its bundle; 0 is `playbook.yaml`.
    pub source: u16,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// A range in the file with this index.
    #[must_use]
    pub fn new(source: u16, start: usize, end: usize) -> Self {
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self { source, start: clamp(start), end: clamp(end.max(start)) }
    }
}

/// A thing with the place where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The thing.
    pub value: T,
    /// Its place.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// Puts a thing and its place together.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}
