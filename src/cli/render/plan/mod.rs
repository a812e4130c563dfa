//! How a plan is shown: one fold over it (`page`), three faces of it, and the words they share.

mod bars;
mod block;
pub mod change;
mod escape;
mod graph;
pub mod html;
mod layout;
pub mod markdown;
mod page;
#[cfg(test)]
mod sample;
pub mod table;
#[cfg(test)]
mod tests;
mod words;
