//! Standard output.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write as _};

/// What a shell shows for a program that a closed pipe has ended (128 and the number of SIGPIPE).
const CLOSED_PIPE: i32 = 141;

/// Prints a line, as `println!` does, and ends the process quietly when nobody reads any more: `postern … | head`.
macro_rules! say {
    ($($text:tt)*) => { $crate::console::line(format_args!($($text)*)) };
}
pub(crate) use say;

/// See [`say!`].
pub(crate) fn line(text: Arguments<'_>) {
    let written = writeln!(io::stdout(), "{text}");
    if let Err(error) = written
        && error.kind() == ErrorKind::BrokenPipe
    {
        std::process::exit(CLOSED_PIPE);
    }
}
