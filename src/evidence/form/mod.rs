//! A report in its forms: for a terminal, a ticket, a browser, a test server.

pub mod html;
pub mod junit;
pub mod markdown;
pub mod page;
pub mod period;
pub mod run;
pub mod table;
