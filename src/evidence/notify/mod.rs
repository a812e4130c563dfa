//! Who is told what happens to runs: webhooks, from an outbox that no event falls out of.

pub mod config;
pub mod event;
pub mod outbox;
pub mod send;

#[cfg(test)]
mod tests;
