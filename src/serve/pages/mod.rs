//! The pages: made here, quick on a telephone at three in the morning, and whole without a script.
//!
//! Each is an endpoint of the table. What a page lets somebody do is a form that ends at the very endpoint of the API, with the same act.

pub mod approval;
pub mod audit;
pub mod detail;
pub mod diff;
pub mod estimate;
pub mod face;
pub mod form;
pub mod graph;
pub mod history;
pub mod known;
pub mod login;
pub mod memo;
pub mod overview;
pub mod playbooks;
pub mod report;
pub mod run;
pub mod schedules;
pub mod start;
pub mod state;
pub mod steps;
pub mod table;
pub mod timeline;
pub mod tokens;
pub mod wants;
