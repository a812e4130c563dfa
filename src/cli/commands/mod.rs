//! The commands, one file each: arguments (whose doc comments are the help text) beside the body.

pub mod answer;
pub mod approve;
pub mod cancel;
pub mod completions;
pub mod doctor;
pub mod done;
pub mod exit_codes;
pub mod fork;
pub mod kill;
pub mod lint;
pub mod logs;
pub mod note;
pub mod ops;
pub mod plan;
pub mod ps;
pub mod reject;
pub mod resume;
pub mod retry;
pub mod rollback;
pub mod run;
pub mod settle;
pub mod show;
pub mod skip;
pub mod skip_undo;
