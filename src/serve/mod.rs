//! `muster serve`: one process that carries runs on, answers the API, and shows the pages.
//!
//! Everything it answers stands in one table of endpoints ([`table`]), each with the act that it takes. It holds no truth of its own: what
//! it knows is in the store, and what it is told goes through the same inbox as the command line.

pub mod api;
pub mod call;
pub mod catalog;
pub mod endpoint;
pub mod feed;
pub mod http;
pub mod leader;
pub mod life;
pub mod messages;
pub mod metrics;
pub mod openapi;
pub mod otlp;
pub mod pages;
pub mod problem;
pub mod runner;
pub mod schedules;
pub mod server;
pub mod table;
pub mod traces;
pub mod visible;

pub use life::{ServeError, serve};
pub use server::{Options, Phase, Server};
