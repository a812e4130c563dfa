//! A terminal of a given size, on which the program runs as it does under a person's eyes.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::process::{Child, Command, Stdio};

/// A terminal, and the program on it.
pub struct Terminal {
    ours: File,
    child: Child,
    /// All that was written so far.
    pub seen: String,
}

impl Terminal {
    /// Runs a command on a terminal of so many columns.
    pub fn run(command: &mut Command, columns: u16) -> Self {
        let (mut ours, mut theirs) = (-1, -1);
        let size = libc::winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: both descriptors are places of ours, and the rest is read only during the call.
        let made = unsafe { libc::openpty(&mut ours, &mut theirs, std::ptr::null_mut(), std::ptr::null_mut(), &size) };
        assert_eq!(made, 0, "a terminal: {}", std::io::Error::last_os_error());
        // SAFETY: both were just opened, and nobody else has them.
        let (ours, theirs) = unsafe { (File::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) };
        let end = || Stdio::from(theirs.try_clone().expect("a descriptor"));
        let child = command.stdin(Stdio::null()).stdout(end()).stderr(end()).spawn().expect("the program starts");
        // The command keeps its descriptors: with them open the terminal would never end.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Self { ours, child, seen: String::new() }
    }

    /// Makes it so many columns wide.
    pub fn resize(&self, columns: u16) {
        let size = libc::winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the descriptor is open, and the size is read only during the call.
        let done = unsafe { libc::ioctl(self.ours.as_raw_fd(), libc::TIOCSWINSZ, &size) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    }

    /// Reads until what is written from now on is enough, and gives it back.
    pub fn until(&mut self, enough: impl Fn(&str) -> bool) -> String {
        let from = self.seen.len();
        while !enough(&self.seen[from..]) {
            assert!(self.more(), "it ended before that was seen: {}", self.seen);
        }
        self.seen[from..].to_owned()
    }

    /// Reads to the end, and gives back the exit code.
    pub fn end(&mut self) -> Option<i32> {
        while self.more() {}
        self.child.wait().expect("it ends").code()
    }

    fn more(&mut self) -> bool {
        let mut buffer = [0; 4096];
        // A terminal that nobody holds any more answers with an error.
        let count = self.ours.read(&mut buffer).unwrap_or(0);
        self.seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
        count > 0
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
