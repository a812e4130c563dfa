//! A program at work that does not outlive its test: it is killed when it is dropped, whatever the test came to.

use std::ops::{Deref, DerefMut};
use std::process::{Child, Command, Output};

/// A program at work.
pub struct Running(Option<Child>);

impl Running {
    /// Starts it.
    pub fn start(command: &mut Command) -> Self {
        Self(Some(command.spawn().expect("the program starts")))
    }

    /// Waits for its end; what it said.
    #[allow(dead_code, reason = "each test file uses what it needs")]
    pub fn end(mut self) -> Output {
        self.0.take().expect("it was started").wait_with_output().expect("it ends")
    }
}

impl Deref for Running {
    type Target = Child;

    fn deref(&self) -> &Child {
        self.0.as_ref().expect("it was started")
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Child {
        self.0.as_mut().expect("it was started")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It may have ended; waiting then only takes its status.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
